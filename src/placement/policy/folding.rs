//! Folding on a torus whose circuits stand still: of all boxes that hold the job, those with the shortest
//! longest axis first.

use std::collections::HashMap;

use super::first_fit::first_of;
use super::{Placement, Policy, Refusal, fixed_closing};
use crate::placement::fold::{Fold, folds};
use crate::placement::machine::Machine;
use crate::placement::shape::{Closing, Dims, Shape};
use crate::placement::state::State;

/// The policy, with the folds that it knows.
#[derive(Debug, Clone, Default)]
pub struct Folding {
    known: HashMap<Shape, Vec<Fold>>,
}

impl Policy for Folding {
    fn place(&mut self, shape: &Shape, state: &State<'_>) -> Result<Placement, Refusal> {
        if u64::from(state.free()) < shape.size() {
            return Err(Refusal::Resource);
        }
        let closing = self.closing(state.machine);
        let longest = state.machine.torus().into_iter().max().unwrap_or(0);
        let cost = |dims: [u32; 3]| {
            let best = dims.into_iter().max().filter(|d| *d <= longest);
            best.filter(|_| halved(shape, dims))
        };
        let known = self
            .known
            .entry(*shape)
            .or_insert_with(|| folds(shape, closing, cost));
        first_of(shape, known, state, closing)
    }

    fn closing(&self, machine: &Machine) -> Closing {
        fixed_closing(machine)
    }

    fn fixed(&self) -> bool {
        true
    }
}

/// The folds of the paper's policy: rows in any way, planes by halving one side, boxes not at all.
fn halved(shape: &Shape, mut dims: Dims) -> bool {
    let sorted = |mut dims: Dims| {
        dims.sort_unstable();
        dims
    };
    dims.sort_unstable();
    let [c, b, a] = sorted(shape.dims);
    let half = |side: u32| if side.is_multiple_of(2) { side / 2 } else { side };
    dims == sorted(shape.dims)
        || shape.order() == 1
        || shape.order() == 2
            && c == 1
            && (dims == sorted([half(a), b, 2]) || dims == sorted([a, half(b), 2]))
}
