//! The `[topology]` table of a scenario or topology file: one builder, or explicit hosts, switches
//! and links. Plain data; [`super::build`] checks it and makes the graph.

use std::fmt;

use schemars::JsonSchema;
use serde::de::{self, Deserializer, Visitor};
use serde::{Deserialize, Serialize, Serializer};

use super::cubes::Cubes;
use super::optical::Ocs;
use crate::scenario::units::{Bandwidth, Duration, Share};

/// The network.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Topology {
    /// Take the topology from this file, named relative to the scenario's folder.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    /// Largest packet without link header, bytes, 576 to 65535.
    #[serde(default = "mtu")]
    pub mtu: u32,
    /// Hosts around one switch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub star: Option<Star>,
    /// Hosts in a circle, each linked with two neighbours.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ring: Option<Ring>,
    /// Every host linked with every other.
    #[serde(rename = "full-mesh", default, skip_serializing_if = "Option::is_none")]
    pub full_mesh: Option<FullMesh>,
    /// Hosts on a grid of two or three dimensions, each dimension closed to a circle.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub torus: Option<Torus>,
    /// Hosts on leaf switches, every leaf linked with every spine (folded Clos).
    #[serde(rename = "leaf-spine", default, skip_serializing_if = "Option::is_none")]
    pub leaf_spine: Option<LeafSpine>,
    /// Rail-optimised: network card r of every host on switch r.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rail: Option<Rail>,
    /// Hosts in cubes, joined by optical switches; `[[step.job]]` places jobs on them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cubes: Option<Cubes>,
    /// Explicit hosts.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub host: Vec<ExplicitNode>,
    /// Explicit switches.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub switch: Vec<ExplicitNode>,
    /// Optical circuit switches; `[[step]]` says which of their ports are joined.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ocs: Vec<Ocs>,
    /// Explicit links.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub link: Vec<ExplicitLink>,
}

impl Topology {
    /// What was said of the optical switch of this name.
    pub fn ocs_named(&self, name: &str) -> Ocs {
        let alike = self.cubes.as_ref().map(|cubes| &cubes.ocs);
        let found = self.ocs.iter().find(|ocs| ocs.name == name).or(alike);
        found.cloned().unwrap_or_default()
    }
}

fn mtu() -> u32 {
    1500
}

/// Hosts `h0`, `h1`, ... around switch `s0`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Star {
    /// Number of hosts.
    pub hosts: u32,
    /// Rate of each direction of each link.
    pub rate: Rate,
    /// One-way propagation delay of each link.
    #[serde(default)]
    pub delay: Duration,
    /// Packets lost at random on each link and direction.
    #[serde(default, skip_serializing_if = "Share::is_zero")]
    pub loss: Share,
}

/// Hosts `h0`, `h1`, ... in a circle.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Ring {
    /// Number of hosts, at least 2.
    pub hosts: u32,
    /// Rate of each direction of each link.
    pub rate: Rate,
    /// One-way propagation delay of each link.
    #[serde(default)]
    pub delay: Duration,
    /// Packets lost at random on each link and direction.
    #[serde(default, skip_serializing_if = "Share::is_zero")]
    pub loss: Share,
}

/// Hosts `h0`, `h1`, ..., every two of them linked.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FullMesh {
    /// Number of hosts, at least 2.
    pub hosts: u32,
    /// Rate of each direction of each link.
    pub rate: Rate,
    /// One-way propagation delay of each link.
    #[serde(default)]
    pub delay: Duration,
    /// Packets lost at random on each link and direction.
    #[serde(default, skip_serializing_if = "Share::is_zero")]
    pub loss: Share,
}

/// Hosts `h0`, `h1`, ... on a grid; the first dimension counts fastest.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Torus {
    /// Hosts along each of two or three dimensions, for example [4, 4, 2].
    pub dims: Vec<u32>,
    /// Rate of each direction of each link.
    pub rate: Rate,
    /// One-way propagation delay of each link.
    #[serde(default)]
    pub delay: Duration,
    /// Packets lost at random on each link and direction.
    #[serde(default, skip_serializing_if = "Share::is_zero")]
    pub loss: Share,
}

/// Hosts on switches `leaf0`, ..., joined by switches `spine0`, ...
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LeafSpine {
    /// Number of leaf switches.
    pub leaves: u32,
    /// Number of spine switches.
    pub spines: u32,
    /// Hosts on each leaf.
    pub hosts_per_leaf: u32,
    /// Rate of each direction of the links between hosts and leaves.
    pub rate: Rate,
    /// Rate of each direction of the links between leaves and spines; `rate` unless given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uplink_rate: Option<Rate>,
    /// One-way propagation delay of each link.
    #[serde(default)]
    pub delay: Duration,
    /// Packets lost at random on each link and direction.
    #[serde(default, skip_serializing_if = "Share::is_zero")]
    pub loss: Share,
}

/// Network card r of every host on switch `rail<r>`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Rail {
    /// Number of hosts.
    pub hosts: u32,
    /// Network cards of each host, and rail switches.
    pub rails: u32,
    /// Spine switches that join the rails; 0 unless given.
    #[serde(default)]
    pub spines: u32,
    /// Rate of each direction of the links between hosts and rail switches.
    pub rate: Rate,
    /// Rate of each direction of the links between rail switches and spines; `rate` unless given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uplink_rate: Option<Rate>,
    /// One-way propagation delay of each link.
    #[serde(default)]
    pub delay: Duration,
    /// Packets lost at random on each link and direction.
    #[serde(default, skip_serializing_if = "Share::is_zero")]
    pub loss: Share,
}

/// A host or switch by name.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ExplicitNode {
    /// Name, unique among hosts and switches: letters, digits, `-`, `_` and `.`, at most 32.
    pub name: String,
}

/// A link between two named nodes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ExplicitLink {
    /// Name, unique; `a-b` unless given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The two nodes.
    pub ends: [String; 2],
    /// Port of the optical switch at one of its ends; the first that is free unless given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<u32>,
    /// Rate of each direction.
    pub rate: Rate,
    /// One-way propagation delay.
    #[serde(default)]
    pub delay: Duration,
    /// Packets lost at random in each direction.
    #[serde(default, skip_serializing_if = "Share::is_zero")]
    pub loss: Share,
}

/// A link's rate, or `"unlimited"` for a link that is not shaped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate(pub Option<Bandwidth>);

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(rate) => rate.fmt(f),
            None => f.write_str("unlimited"),
        }
    }
}

impl Serialize for Rate {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Rate {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(RateVisitor)
    }
}

struct RateVisitor;

impl Visitor<'_> for RateVisitor {
    type Value = Rate;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a rate, for example \"400 Gbit/s\", or \"unlimited\"")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Rate, E> {
        match text {
            "unlimited" => Ok(Rate(None)),
            _ => text.parse().map(|rate| Rate(Some(rate))).map_err(E::custom),
        }
    }

    fn visit_i64<E: de::Error>(self, number: i64) -> Result<Rate, E> {
        self.visit_str(&number.to_string())
    }

    fn visit_f64<E: de::Error>(self, number: f64) -> Result<Rate, E> {
        self.visit_str(&number.to_string())
    }
}

impl JsonSchema for Rate {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Rate".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "description": "A rate with its unit, for example \"400 Gbit/s\", or \"unlimited\".",
            "type": "string",
        })
    }
}
