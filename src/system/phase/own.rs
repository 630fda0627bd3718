//! Collectives that ASTRA-sim has no algorithm for, by genie's own schedules, as custom algorithms: each
//! round's sends wait for what the rounds before have received and settled. An extension.

use std::collections::BTreeMap;

use super::graph::{AlgorithmGraph, GraphError, Step, StepKind};
use crate::system::action::{Combine, Nanos};
use crate::system::collective::{Layout, Round, Schedule};

/// One position's graph being made.
struct Builder<'a> {
    layout: &'a Layout,
    steps: Vec<Step>,
    /// Messages so far to and from each position.
    turns: BTreeMap<(u32, bool), u32>,
}

/// The steps of `position` in a schedule of one chunk. `settle` says how long a message of so many
/// bytes, reduced or not, is settled.
pub(in crate::system) fn graph(
    schedule: &dyn Schedule,
    layout: &Layout,
    position: u32,
    settle: impl Fn(u64, bool) -> Nanos,
) -> Result<AlgorithmGraph, GraphError> {
    let mut builder = Builder {
        layout,
        steps: Vec::new(),
        turns: BTreeMap::new(),
    };
    let mut ready = builder.add(Vec::new(), StepKind::Wait(settle(0, false)));
    for k in 0..schedule.rounds(position) {
        let mut round = Round::default();
        schedule.round(position, k, &mut round);
        let mut settled = vec![ready];
        for message in round.sends {
            let bytes = layout.bytes(message.cells, 0);
            let (to, tag) = (message.peer, builder.turn(message.peer, false));
            if bytes > 0 {
                settled.push(builder.add(vec![ready], StepKind::Send { to, bytes, tag }));
            }
        }
        for (message, combine) in round.receives {
            let bytes = builder.layout.bytes(message.cells, 0);
            let (from, tag) = (message.peer, builder.turn(message.peer, true));
            if bytes > 0 {
                let received = builder.add(Vec::new(), StepKind::Receive { from, bytes, tag });
                let delay = settle(bytes, combine == Combine::Reduce);
                settled.push(builder.add(vec![received], StepKind::Wait(delay)));
            }
        }
        ready = builder.add(settled, StepKind::Nothing);
    }
    AlgorithmGraph::new(builder.steps)
}

impl Builder<'_> {
    fn add(&mut self, after: Vec<u64>, kind: StepKind) -> u64 {
        let id = self.steps.len() as u64;
        self.steps.push(Step { id, after, kind });
        id
    }

    /// The turn of the next message of a pair and direction, which is its tag.
    fn turn(&mut self, peer: u32, received: bool) -> u32 {
        let turn = self.turns.entry((peer, received)).or_default();
        *turn += 1;
        *turn - 1
    }
}
