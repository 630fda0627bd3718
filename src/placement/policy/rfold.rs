//! RFold: folded shapes over cubes that circuits join. Jobs of one dimension are wound through cubes; others
//! take the fold that needs the fewest cubes and has room.

use std::collections::HashMap;

use super::reconfiguration::{find, placed, why};
use super::{Placement, Policy, Refusal};
use crate::placement::fold::{Fold, folds};
use crate::placement::machine::Machine;
use crate::placement::ring;
use crate::placement::shape::{Closing, Dims, Shape};
use crate::placement::state::State;

/// The policy, with the folds that it knows.
#[derive(Debug, Clone, Default)]
pub struct Rfold {
    known: HashMap<Shape, Vec<Fold>>,
}

impl Policy for Rfold {
    fn place(&mut self, shape: &Shape, state: &State<'_>) -> Result<Placement, Refusal> {
        if u64::from(state.free()) < shape.size() {
            return Err(Refusal::Resource);
        }
        let closing = self.closing(state.machine);
        if shape.order() == 1
            && let Some(found) = wind(shape, closing, state)
        {
            return Ok(found);
        }
        let known = self.known.entry(*shape);
        let known = known.or_insert_with(|| folds(shape, closing, cost(shape, state.machine)));
        let found = known
            .iter()
            .find_map(|fold| Some((fold, find(shape, fold, state, true)?)));
        match found {
            Some((fold, slice)) => Ok(placed(&slice, shape, fold, state)),
            None => Err(why(shape, known, state)),
        }
    }

    fn closing(&self, machine: &Machine) -> Closing {
        Closing::Multiple(machine.side)
    }

    fn fixed(&self) -> bool {
        false
    }
}

fn wind(shape: &Shape, closing: Closing, state: &State<'_>) -> Option<Placement> {
    let length = shape.size() as u32;
    let mut budget = ring::BUDGET;
    let ring = closing.closes(length) && length > 2;
    let (nodes, circuits) = ring::find(state, length, ring, &mut budget)?;
    Some(Placement { nodes, circuits })
}

/// Cubes that a box needs; none that needs more than the shape as it is, or than there are.
pub(super) fn cost(shape: &Shape, machine: &Machine) -> impl Fn(Dims) -> Option<(u64, u32)> {
    let side = machine.side;
    let cubes = move |dims: Dims| dims.iter().map(|d| u64::from(d.div_ceil(side))).product::<u64>();
    let most = cubes(shape.dims);
    move |dims| {
        let longest = dims.into_iter().max()?;
        Some((cubes(dims), longest)).filter(|(cubes, _)| *cubes <= most)
    }
}
