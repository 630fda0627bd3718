//! `[testbed]`: fabric, transport, how many ranks, how they wait, and when to give up.

use std::fmt;

use schemars::JsonSchema;
use serde::de::value::SeqAccessDeserializer;
use serde::de::{self, Deserializer, SeqAccess, Visitor};
use serde::{Deserialize, Serialize};

use crate::scenario::plan::{FabricKind, TransportKind, Wait};
use crate::scenario::units::Duration;

/// Where and how ranks run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Testbed {
    /// What carries the traffic: namespaces and shaped links made for the run, or existing interfaces.
    pub fabric: FabricKind,
    /// Which transport carries messages.
    pub transport: TransportKind,
    /// Ranks on every host of an emulated fabric; 1 unless given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ranks_per_host: Option<u32>,
    /// Emulated fabric: the host of each rank, in order of rank. Host fabric: how many ranks.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ranks: Option<Ranks>,
    /// Carry real data, reduce it and check every element. Proves correctness; timings mean nothing then.
    pub verify: bool,
    /// How a rank waits for the network.
    pub wait: Wait,
    /// Pin each rank to a core; when absent, as soon as there are enough cores.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pin: Option<bool>,
    /// An operation without progress for so long ends the run.
    pub deadline: Duration,
    /// Bring-up (fabric, ranks, connections) that takes longer ends the run.
    pub setup_deadline: Duration,
    /// Measure rate and one-way time of the emulated links before playing.
    pub calibrate: bool,
    /// Keep when each message was sent and received, of so many measured iterations of each operation; 1 unless given,
    /// 0 keeps none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub record_messages: Option<u32>,
    /// Seed of everything that is random.
    pub seed: u64,
}

impl Default for Testbed {
    fn default() -> Self {
        Testbed {
            fabric: FabricKind::Emulated,
            transport: TransportKind::Tcp,
            ranks_per_host: None,
            ranks: None,
            verify: false,
            wait: Wait::Auto,
            pin: None,
            deadline: Duration(10_000_000_000),
            setup_deadline: Duration(60_000_000_000),
            calibrate: true,
            record_messages: None,
            seed: 1,
        }
    }
}

/// How many ranks, or on which hosts.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[serde(untagged)]
pub enum Ranks {
    /// So many.
    Count(u32),
    /// The host's name of each rank.
    Hosts(Vec<String>),
}

impl<'de> Deserialize<'de> for Ranks {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(RanksVisitor)
    }
}

struct RanksVisitor;

impl<'de> Visitor<'de> for RanksVisitor {
    type Value = Ranks;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a number of ranks, or a list with the host of each rank")
    }

    fn visit_i64<E: de::Error>(self, count: i64) -> Result<Ranks, E> {
        let count = u32::try_from(count);
        count
            .map(Ranks::Count)
            .map_err(|_| E::custom("a number of ranks is at least 1 and fits 32 bits"))
    }

    fn visit_u64<E: de::Error>(self, count: u64) -> Result<Ranks, E> {
        self.visit_i64(i64::try_from(count).unwrap_or(i64::MAX))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, hosts: A) -> Result<Ranks, A::Error> {
        Deserialize::deserialize(SeqAccessDeserializer::new(hosts)).map(Ranks::Hosts)
    }
}
