//! The sections of a scenario file, one file each: plain data with its defaults. Nothing here is
//! checked beyond its type; [`super::planner`] does that.
//!
//! * [`testbed`], [`time`], [`host`], [`tcp`], [`rdma`], [`roce`]: where and how ranks run.
//! * [`communicator`]: groups of ranks.
//! * [`collective`], [`trace`]: what is played; [`step`]: over which circuits. [`placement`]: jobs that are placed, instead of traffic.
//!
//! The `topology` section is [`crate::topology::spec`].

pub mod collective;
pub mod communicator;
pub mod host;
pub mod placement;
pub mod rdma;
pub mod roce;
pub mod step;
pub mod tcp;
pub mod testbed;
pub mod time;
pub mod trace;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::topology::spec::Topology;

/// A scenario: what is played, over which network, and how.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Scenario {
    /// Name of the scenario: letters, digits, `-`, `_` and `.`, at most 64. Results are filed under it.
    pub name: String,
    /// Where and how ranks run.
    #[serde(default)]
    pub testbed: testbed::Testbed,
    /// How time passes.
    #[serde(default)]
    pub time: time::Time,
    /// The network; needed when the fabric is emulated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub topology: Option<Topology>,
    /// Existing interfaces; only when the fabric is the host's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<host::Host>,
    /// Options of the TCP transport.
    #[serde(default)]
    pub tcp: tcp::Tcp,
    /// Options of the transports that speak verbs.
    #[serde(default, skip_serializing_if = "rdma::Rdma::is_default")]
    pub rdma: rdma::Rdma,
    /// Options of the RoCE v2 endpoint in userspace.
    #[serde(
        default,
        rename = "roce-user",
        skip_serializing_if = "roce::RoceUser::is_default"
    )]
    pub roce_user: roce::RoceUser,
    /// Groups of ranks; "world" always exists and holds all of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub communicator: Vec<communicator::Communicator>,
    /// Jobs on a torus of cubes, instead of traffic.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub placement: Option<placement::Placement>,
    /// What is played, in the order of the file.
    #[serde(default)]
    pub traffic: Traffic,
    /// Circuits of optical switches and what is played over them, one after another; instead of `traffic`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub step: Vec<step::Step>,
}

/// What is played, by kind.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Traffic {
    /// Collective operations, one after another.
    #[serde(default)]
    pub collective: Vec<collective::Collective>,
    /// Traces of training jobs, after the collectives.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub trace: Vec<trace::Trace>,
}
