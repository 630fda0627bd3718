//! The public simulator's reconfiguration and RFold, as policies: they admit what its rules admit. Never part
//! of a comparison: what they admit cannot always be built. The first tells of each job how it stands with the
//! port map; both together say how much of the published gain is owed to placements without wires.

use std::collections::HashMap;

use serde::Serialize;

use super::reconfiguration::find;
use super::rfold::cost;
use super::{Placement, Policy, Refusal};
use crate::placement::fold::{Fold, folds, unfolded};
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

/// The public simulator's RFold: a row takes whatever nodes are free in the fewest cubes, other shapes the fold of
/// the fewest cubes. Looser than the simulator in one thing: the last cube of a row need not have a path of the
/// length that is left.
#[derive(Debug, Clone, Default)]
pub struct PublicRfold {
    known: HashMap<Shape, Option<Fold>>,
}

impl Policy for PublicRfold {
    fn place(&mut self, shape: &Shape, state: &State<'_>) -> Result<Placement, Refusal> {
        if u64::from(state.free()) < shape.size() {
            return Err(Refusal::Resource);
        }
        if shape.order() == 1
            && let Some(nodes) = any_nodes(state, shape.size() as u32)
        {
            let circuits = Vec::new();
            return Ok(Placement { nodes, circuits });
        }
        let closing = self.closing(state.machine);
        let known = self.known.entry(*shape);
        let best = || {
            folds(shape, closing, cost(shape, state.machine))
                .into_iter()
                .next()
        };
        let fold = known.or_insert_with(best).as_ref();
        let dims = fold
            .filter(|_| shape.order() > 1)
            .map_or(shape.dims, |fold| fold.dims);
        let admitted = public_rule::admit(state, dims).ok_or(Refusal::Shape)?;
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

/// Free nodes of cubes in use with more than one free, and of as many empty ones as are needed besides: fewest cubes first.
fn any_nodes(state: &State<'_>, size: u32) -> Option<Vec<u32>> {
    let machine = state.machine;
    let full = machine.cube_nodes();
    let (mut cubes, empty): (Vec<u32>, Vec<u32>) = (0..machine.cubes())
        .filter(|cube| state.free_in(*cube) > 1)
        .partition(|cube| state.free_in(*cube) < full);
    let mut found: u32 = cubes.iter().map(|cube| state.free_in(*cube)).sum();
    let mut more = empty.into_iter();
    while found < size {
        let cube = more.next()?;
        found += state.free_in(cube);
        cubes.push(cube);
    }
    cubes.sort_by_key(|cube| (full - state.free_in(*cube), *cube));
    let nodes = cubes.into_iter().flat_map(|cube| cube * full..(cube + 1) * full);
    Some(
        nodes
            .filter(|node| state.is_free(*node))
            .take(size as usize)
            .collect(),
    )
}
