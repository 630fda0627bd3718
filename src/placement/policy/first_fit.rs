//! First fit: the first free box on a torus whose circuits stand still.

use super::{Placement, Policy, Refusal, fixed_closing};
use crate::placement::fixed::{self, Rows, Wanted};
use crate::placement::fold::{Fold, unfolded};
use crate::placement::machine::Machine;
use crate::placement::shape::{Closing, Shape};
use crate::placement::state::State;

/// The policy.
#[derive(Debug, Clone, Copy, Default)]
pub struct FirstFit;

impl Policy for FirstFit {
    fn place(&mut self, shape: &Shape, state: &State<'_>) -> Result<Placement, Refusal> {
        if u64::from(state.free()) < shape.size() {
            return Err(Refusal::Resource);
        }
        first_of(shape, &[unfolded(shape)], state, self.closing(state.machine))
    }

    fn closing(&self, machine: &Machine) -> Closing {
        fixed_closing(machine)
    }

    fn fixed(&self) -> bool {
        true
    }
}

/// The first free box of the first fold that has one.
pub fn first_of(
    shape: &Shape,
    folds: &[Fold],
    state: &State<'_>,
    closing: Closing,
) -> Result<Placement, Refusal> {
    if shape.twisted {
        // A fixed torus has no twisted links.
        return Err(Refusal::Wiring);
    }
    let links = shape.grid(closing);
    let (rows, links) = (Rows::of(state), &links);
    let find = |ports| {
        let wanted = |fold| Wanted { fold, links, ports };
        folds.iter().find_map(|fold| rows.find(&wanted(fold)))
    };
    if let Some(nodes) = find(true) {
        let circuits = fixed::circuits(state.machine, links, &nodes).collect();
        return Ok(Placement { nodes, circuits });
    }
    let dark = state.machine.has_dead_ports() && find(false).is_some();
    Err(if dark { Refusal::Wiring } else { Refusal::Shape })
}
