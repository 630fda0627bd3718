//! Who looks for what: one file per policy. A policy only finds room; it keeps nothing but what it knows of
//! shapes, so that the same state always gets the same answer.
//!
//! * [`first_fit`], [`folding`], [`hilbert`]: on a torus whose circuits stand still.
//! * [`reconfiguration`], [`rfold`]: with circuits of their own. [`public`]: the public simulator's rule.

pub mod first_fit;
pub mod folding;
pub mod hilbert;
pub mod public;
pub mod reconfiguration;
pub mod rfold;

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::circuit::CrossConnect;
use super::machine::Machine;
use super::shape::{Closing, Shape};
use super::state::State;

/// Where a job runs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Placement {
    /// The machine's nodes by node of the job.
    pub nodes: Vec<u32>,
    /// The circuits over which its links go, those that stand already too.
    pub circuits: Vec<CrossConnect>,
}

/// Why a job was not placed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Refusal {
    /// Not enough free nodes.
    Resource,
    /// Enough, but not in its shape.
    Shape,
    /// In its shape, but not so that circuits can join them.
    Wiring,
}

/// Finds room for jobs.
pub trait Policy {
    /// Room for a job of this shape.
    fn place(&mut self, shape: &Shape, state: &State<'_>) -> Result<Placement, Refusal>;

    /// Which axes of jobs close to rings on this machine.
    fn closing(&self, machine: &Machine) -> Closing;

    /// Whether circuits stand still.
    fn fixed(&self) -> bool;

    /// Whether all links of a job are one hop long.
    fn one_hop(&self) -> bool {
        true
    }
}

/// The policies by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// The first free box of a fixed torus.
    FirstFit,
    /// The same with folded shapes.
    Folding,
    /// The nearest free nodes on a Hilbert curve over a fixed torus, whatever the shape.
    Hilbert,
    /// Boxes over cubes that circuits join.
    Reconfiguration,
    /// Both: folded shapes over cubes that circuits join.
    Rfold,
}

impl Kind {
    /// Whether circuits stand still.
    pub fn fixed(self) -> bool {
        matches!(self, Kind::FirstFit | Kind::Folding | Kind::Hilbert)
    }

    /// A policy that knows nothing yet.
    pub fn build(self, machine: &Machine) -> Box<dyn Policy> {
        match self {
            Kind::FirstFit => Box::new(first_fit::FirstFit),
            Kind::Folding => Box::<folding::Folding>::default(),
            Kind::Hilbert => Box::new(hilbert::Hilbert::new(machine)),
            Kind::Reconfiguration => Box::new(reconfiguration::Reconfiguration),
            Kind::Rfold => Box::<rfold::Rfold>::default(),
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Kind::FirstFit => "first-fit",
            Kind::Folding => "folding",
            Kind::Hilbert => "hilbert",
            Kind::Reconfiguration => "reconfiguration",
            Kind::Rfold => "rfold",
        })
    }
}

/// Axes of a job on a fixed torus close where they go all the way round; on one of unequal axes none is
/// promised to.
fn fixed_closing(machine: &Machine) -> Closing {
    let [a, b, c] = machine.torus();
    if a == b && b == c {
        Closing::Exactly(a)
    } else {
        Closing::Never
    }
}
