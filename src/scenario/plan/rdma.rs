//! Options of the transports that speak verbs, checked and resolved.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::scenario::units::{Bandwidth, Bytes};

/// Options of the transports that speak verbs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RdmaOptions {
    /// Device; `None`: the one that has the rank's address.
    pub device: Option<String>,
    /// Port of the device, from 1.
    pub port: u8,
    /// Index of the GID; `None`: the RoCE v2 GID of the rank's address.
    pub gid_index: Option<u16>,
    /// Service of the queue pairs.
    pub service: Service,
    /// How pieces of large messages move.
    pub verb: RdmaVerb,
    /// Channels between two ranks.
    pub channels: u32,
    /// Queue pairs of a channel.
    pub queue_pairs: u32,
    /// How pieces are spread over the queue pairs of a channel.
    pub split: QpSplit,
    /// Largest piece of a message that one grant covers.
    pub slot_bytes: Bytes,
    /// Slots that a receiver grants to each of its peers.
    pub slots: u32,
    /// Longest message that is sent without waiting for a grant.
    pub small: Bytes,
    /// Small messages that may be under way on each channel.
    pub credits: u32,
    /// Longest inline payload; `None`: what the device takes.
    pub inline: Option<u32>,
    /// Requests of a queue pair outstanding at most.
    pub depth: u32,
    /// Of so many requests of a queue pair one asks for a completion.
    pub signal_every: u32,
    /// Requests posted in one call at most.
    pub post_list: u32,
    /// Memory is registered in huge pages.
    #[serde(default)]
    pub huge_pages: bool,
    /// Largest rate of one connection, nominal.
    #[serde(default)]
    pub pacing: Option<Bandwidth>,
    /// Path MTU, bytes; `None`: what both ports can carry.
    pub mtu: Option<u32>,
    /// Service level.
    pub service_level: u8,
    /// The IP header's traffic class byte: DSCP and ECN.
    pub traffic_class: u8,
    /// Flow labels; queue pair i of a connection takes label i, wrapping around.
    pub flow_labels: Vec<u32>,
    /// IP time to live.
    pub hop_limit: u8,
    /// Index into the port's table of partition keys.
    pub pkey_index: u16,
    /// Time-out of an acknowledgement: 4.096 us x 2^timeout; 0 never.
    pub timeout: u8,
    /// Retransmissions before a queue pair fails.
    pub retry_count: u8,
    /// Repetitions after "receiver not ready"; 7: for ever.
    pub rnr_retry: u8,
    /// Code of the pause asked for with "receiver not ready".
    pub min_rnr_timer: u8,
}

/// Service of RDMA queue pairs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Service {
    /// Reliable connection: acknowledged, retransmitted, in order.
    #[default]
    Rc,
    /// Unreliable connection: in order; what is lost stays lost, and the run ends at its deadline.
    Uc,
}

/// How pieces of large messages move.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum RdmaVerb {
    /// RDMA WRITE with an immediate that tells the receiver.
    #[default]
    WriteImm,
    /// RDMA WRITE, then a small SEND that tells the receiver.
    Write,
    /// SEND into receives that were posted before.
    Send,
    /// The sender offers, the receiver fetches by RDMA READ (reliable connections only).
    Read,
}

/// How pieces are spread over the queue pairs of a channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum QpSplit {
    /// Each piece on the next queue pair.
    #[default]
    RoundRobin,
    /// Each piece in equal parts on all of them.
    Split,
    /// All pieces of a message on the queue pair that its tag picks.
    Hash,
}

/// ECN bits of the IP header (RFC 3168).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Ecn {
    /// 00: routers drop, and do not mark.
    #[default]
    NotEct,
    /// 10: may be marked.
    Ect0,
    /// 01: may be marked.
    Ect1,
}

impl Ecn {
    /// The two lower bits of the traffic class.
    pub fn bits(self) -> u8 {
        match self {
            Ecn::NotEct => 0b00,
            Ecn::Ect0 => 0b10,
            Ecn::Ect1 => 0b01,
        }
    }
}
