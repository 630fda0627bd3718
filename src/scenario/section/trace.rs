//! `[[traffic.trace]]`: execution traces of a job, one per rank, played in real time.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::scenario::units::Bytes;
use crate::system::op::{Algorithm, Collective};
use crate::workload::generate::spec::Spec;
use crate::workload::trace::{LaneRule, ScaleUp};

/// A job's traces, warmed up and repeated: compute takes time, communication goes over the network.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Trace {
    /// Name in results; that of the files or model if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Chakra traces `WORKLOAD.<rank>.et`, relative to the scenario's file. This or `generate`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workload: Option<String>,
    /// A training step of a model, its traces made by genie. This or `workload`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub generate: Option<Spec>,
    /// ASTRA-sim's comm groups file (JSON), relative to the scenario's file; only with `workload`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub comm_groups: Option<String>,
    /// How often the trace is measured.
    #[serde(default = "iterations")]
    pub iterations: u32,
    /// How often it is played before it is measured.
    #[serde(default = "warmup")]
    pub warmup: u32,
    /// Factor on all times of compute.
    #[serde(default = "unchanged")]
    pub compute_scale: f64,
    /// Factor on all sizes of communication.
    #[serde(default = "unchanged")]
    pub comm_scale: f64,
    /// Which nodes may run side by side.
    #[serde(default)]
    pub lanes: LaneRule,
    /// Algorithm of each collective; those that are not named are "auto".
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub algorithms: BTreeMap<Collective, Algorithm>,
    /// Largest piece of a collective that runs through the algorithm by itself; "0 B": never cut.
    #[serde(default = "chunk")]
    pub chunk: Bytes,
    /// How many pieces may be in flight at once, 1 to 256.
    #[serde(default = "chunks_in_flight")]
    pub chunks_in_flight: u32,
    /// Neighbours that communicate by other means: collectives within a domain are modelled as time
    /// and not put on the network; their members do not wait for each other.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scale_up: Option<ScaleUp>,
}

fn iterations() -> u32 {
    10
}
fn warmup() -> u32 {
    1
}
fn unchanged() -> f64 {
    1.0
}
fn chunk() -> Bytes {
    Bytes(4 << 20)
}
fn chunks_in_flight() -> u32 {
    4
}
