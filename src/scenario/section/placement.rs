//! `[placement]`: jobs on a torus of cubes, replayed in virtual time under several policies.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::placement::policy::Kind;
use crate::placement::trace::Format;
use crate::scenario::units::Duration;

/// Jobs on a torus of cubes, replayed in virtual time under several policies.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Placement {
    /// Nodes along each axis.
    pub torus: [u32; 3],
    /// How many seeds are played.
    pub seeds: u32,
    /// The first of them.
    pub first_seed: u64,
    /// Jobs of each seed.
    pub jobs: u32,
    /// Mean number of generated jobs that arrive in an hour.
    pub arrivals_per_hour: f64,
    /// Factors by which arrivals are pressed together; all policies are played under each.
    pub loads: Vec<f64>,
    /// How long a job holds its nodes while circuits are changed for it.
    pub reconfiguration: Duration,
    /// Share of a job's time that it spends on its links, for what scattered placements pay.
    pub communication: f64,
    /// A trace to play instead of generated jobs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trace: Option<Trace>,
    /// Nodes that have failed, by their place in the torus.
    pub failed_nodes: Vec<[u32; 3]>,
    /// Ports that are dark: switch and port.
    pub failed_ports: Vec<[u32; 2]>,
    /// Switches that are dark.
    pub failed_switches: Vec<u32>,
    /// The policies, `[[placement.policy]]`.
    pub policy: Vec<Policy>,
}

/// A job trace in a file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Trace {
    /// The file, from the folder in which genie runs.
    pub file: String,
    /// Its format.
    pub format: Format,
}

/// A policy to be compared.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Policy {
    /// Which one.
    pub policy: Kind,
    /// Nodes along an edge of its cubes.
    #[serde(default = "four")]
    pub cube: u32,
    /// Jobs behind the head of the queue that may start if they do not hold it up; 0 is strictly first come, first served.
    #[serde(default)]
    pub backfill: u32,
}

fn four() -> u32 {
    4
}

impl Default for Placement {
    fn default() -> Self {
        Placement {
            torus: [16; 3],
            seeds: 20,
            first_seed: 1,
            jobs: 400,
            arrivals_per_hour: 0.2,
            loads: vec![1.0],
            reconfiguration: Duration(10_000_000_000),
            communication: 0.3,
            trace: None,
            failed_nodes: Vec::new(),
            failed_ports: Vec::new(),
            failed_switches: Vec::new(),
            policy: Vec::new(),
        }
    }
}
