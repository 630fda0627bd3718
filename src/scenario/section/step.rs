//! `[[step]]`: circuits of optical switches, and what is played over them.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::collective::{Collective, Count};
use super::trace::Trace;
use crate::placement::policy::Kind;
use crate::scenario::units::{Bytes, Duration};

/// A part of the run: circuits are changed, then its traffic is played.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Step {
    /// Its name in results, unique; `step 1`, `step 2`, ... unless given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// All circuits that stand from now on, each between the ports of two nodes or links, for example
    /// [["h0", "h1"], ["h2", "h3"]]. Those of the step before unless given; none in the first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub circuits: Option<Vec<[String; 2]>>,
    /// Jobs that begin: each is placed on `[topology.cubes]`, and its circuits are made. Others stay where
    /// they are.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub job: Vec<Job>,
    /// Names of jobs that have ended before this step.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ended: Vec<String>,
    /// Changes while the traffic of this step is played.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub change: Vec<Change>,
    /// Ring traffic along every dimension of jobs, before the collectives.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ring: Vec<Ring>,
    /// Collective operations, one after another.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub collective: Vec<Collective>,
    /// Traces of training jobs, after the collectives.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub trace: Vec<Trace>,
}

impl Step {
    /// Whether anything is played in it.
    pub fn plays(&self) -> bool {
        !(self.ring.is_empty() && self.collective.is_empty() && self.trace.is_empty())
    }
}

/// A job that is placed on cubes. It is a communicator of its name as well, its ranks in the order of its
/// nodes, the first dimension fastest.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Job {
    /// Its name, unique among jobs and communicators.
    pub name: String,
    /// Its nodes along up to three dimensions, for example "4x2x2", or "12".
    pub shape: String,
    /// Who finds room for it.
    #[serde(default = "rfold")]
    pub policy: Kind,
}

fn rfold() -> Kind {
    Kind::Rfold
}

/// Every rank of a job sends to its next along one dimension, all at once; then along the next dimension.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Ring {
    /// Which job; all that run unless given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub job: Option<String>,
    /// What each rank sends to its next.
    pub size: Bytes,
    /// How often it is measured; "auto": as many as fit `time_per_size`.
    #[serde(default)]
    pub iterations: Count,
    /// Real time that "auto" iterations of one dimension may take.
    #[serde(default = "time_per_size")]
    pub time_per_size: Duration,
}

fn time_per_size() -> Duration {
    Duration(500_000_000)
}

/// A change of circuits while traffic is played.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Change {
    /// When: time since the step's traffic began.
    pub at: Duration,
    /// All circuits that stand from then on.
    pub circuits: Vec<[String; 2]>,
}
