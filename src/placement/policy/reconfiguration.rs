//! Reconfiguration: the shape as it is, over cubes that circuits join.

use std::collections::HashSet;

use super::{Placement, Policy, Refusal};
use crate::placement::fold::{Fold, unfolded};
use crate::placement::machine::Machine;
use crate::placement::public_rule;
use crate::placement::shape::{Closing, Shape};
use crate::placement::slice::{self, Slice, Wanted};
use crate::placement::state::State;

/// The policy.
#[derive(Debug, Clone, Copy, Default)]
pub struct Reconfiguration;

impl Policy for Reconfiguration {
    fn place(&mut self, shape: &Shape, state: &State<'_>) -> Result<Placement, Refusal> {
        if u64::from(state.free()) < shape.size() {
            return Err(Refusal::Resource);
        }
        let fold = unfolded(shape);
        match find(shape, &fold, state, true) {
            Some(slice) => Ok(placed(&slice, shape, &fold, state)),
            None => Err(why(shape, &[fold], state)),
        }
    }

    fn closing(&self, machine: &Machine) -> Closing {
        Closing::Multiple(machine.side)
    }

    fn fixed(&self) -> bool {
        false
    }
}

/// Room for one fold of a job.
pub fn find(shape: &Shape, fold: &Fold, state: &State<'_>, ports: bool) -> Option<Slice> {
    let twist = shape.twisted.then(|| shape.short());
    let wanted = Wanted {
        dims: fold.dims,
        twist,
        ports,
    };
    slice::find(state, &wanted)
}

/// The job in the box that was found, with the circuits over which its links go: a folded job does not need all that
/// the box has.
pub fn placed(slice: &Slice, shape: &Shape, fold: &Fold, state: &State<'_>) -> Placement {
    let (machine, of_box) = (state.machine, slice.nodes(state));
    let nodes: Vec<u32> = fold.map().iter().map(|node| of_box[*node as usize]).collect();
    let mut circuits = slice.circuits(state);
    if fold.dims != shape.dims {
        let links = shape.grid(Closing::Multiple(machine.side));
        let ends = |(a, b): (u32, u32)| sorted(nodes[a as usize], nodes[b as usize]);
        let needed: HashSet<(u32, u32)> = links.links().map(ends).collect();
        circuits.retain(|circuit| {
            let (a, b) = machine.ends(circuit);
            needed.contains(&sorted(a, b))
        });
    }
    Placement { nodes, circuits }
}

fn sorted(a: u32, b: u32) -> (u32, u32) {
    (a.min(b), a.max(b))
}

/// Why none of the folds has room: if blocks would fit but for how they must join, wiring.
pub fn why(shape: &Shape, folds: &[Fold], state: &State<'_>) -> Refusal {
    let dark = |fold: &Fold| state.machine.has_dead_ports() && find(shape, fold, state, false).is_some();
    let loose = |fold: &Fold| public_rule::admit(state, fold.dims).is_some();
    if folds.iter().any(|fold| dark(fold) || loose(fold)) {
        Refusal::Wiring
    } else {
        Refusal::Shape
    }
}
