//! The public simulator's reconfiguration, as a policy: admits what its rule admits and tells of each how it
//! stands with the port map. Never part of a comparison: what it admits cannot always be built.

use serde::Serialize;

use super::reconfiguration::find;
use super::{Placement, Policy, Refusal};
use crate::placement::fold::unfolded;
use crate::placement::machine::Machine;
use crate::placement::public_rule;
use crate::placement::shape::{Closing, Shape};
use crate::placement::state::State;

/// Jobs that the public rule admitted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Census {
    /// All of them.
    pub admitted: u64,
    /// On more than one cube.
    pub several_cubes: u64,
    /// With blocks of more than one kind.
    pub several_kinds: u64,
    /// Of those: circuits cannot join them where they were put.
    pub not_wireable: u64,
    /// Of these: the search of offsets finds a place that can be wired, in the same state.
    pub recovered: u64,
}

impl Census {
    /// These counts less those of another.
    pub fn without(&self, other: &Census) -> Census {
        Census {
            admitted: self.admitted - other.admitted,
            several_cubes: self.several_cubes - other.several_cubes,
            several_kinds: self.several_kinds - other.several_kinds,
            not_wireable: self.not_wireable - other.not_wireable,
            recovered: self.recovered - other.recovered,
        }
    }

    /// Adds the counts of another.
    pub fn add(&mut self, other: &Census) {
        self.admitted += other.admitted;
        self.several_cubes += other.several_cubes;
        self.several_kinds += other.several_kinds;
        self.not_wireable += other.not_wireable;
        self.recovered += other.recovered;
    }
}

/// The policy, and what it counted.
#[derive(Debug, Clone, Copy, Default)]
pub struct Public {
    /// Jobs so far.
    pub census: Census,
}

impl Policy for Public {
    fn place(&mut self, shape: &Shape, state: &State<'_>) -> Result<Placement, Refusal> {
        if u64::from(state.free()) < shape.size() {
            return Err(Refusal::Resource);
        }
        let admitted = public_rule::admit(state, shape.dims).ok_or(Refusal::Shape)?;
        let wireable = admitted.wireable(state.machine.side);
        self.census.admitted += 1;
        self.census.several_cubes += u64::from(admitted.cubes > 1);
        self.census.several_kinds += u64::from(admitted.mixed());
        self.census.not_wireable += u64::from(!wireable);
        let found = || find(shape, &unfolded(shape), state, true).is_some();
        self.census.recovered += u64::from(!wireable && found());
        let (nodes, circuits) = (admitted.nodes, Vec::new());
        Ok(Placement { nodes, circuits })
    }

    fn closing(&self, machine: &Machine) -> Closing {
        Closing::Multiple(machine.side)
    }

    fn fixed(&self) -> bool {
        false
    }

    fn one_hop(&self) -> bool {
        false
    }
}
