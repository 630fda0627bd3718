//! Custom algorithms: a small graph of sends, receives and waits per position. Every step begins as soon
//! as those that it depends on are over; nothing limits how many run at once. Those that begin at once
//! do so in ASTRA-sim's order ([`super::hash_set`]).

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

use thiserror::Error;

use super::hash_set::HashSet;
use super::{Happening, Label, Move};
use crate::system::setup::Ring;

/// What a step does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StepKind {
    /// Sends to a position.
    Send {
        /// Position of the receiver.
        to: u32,
        /// Payload length.
        bytes: u64,
        /// By which its messages are matched.
        tag: u32,
    },
    /// Expects from a position.
    Receive {
        /// Position of the sender.
        from: u32,
        /// Payload length.
        bytes: u64,
        /// By which its messages are matched.
        tag: u32,
    },
    /// Takes so many nanoseconds.
    Wait(u64),
    /// Takes no time.
    Nothing,
}

/// A step as a file gives it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// Its number there.
    pub id: u64,
    /// Numbers of those that must be over before.
    pub after: Vec<u64>,
    /// What it does.
    pub kind: StepKind,
}

/// A graph that is no algorithm.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum GraphError {
    /// Two steps of the same number.
    #[error("step {0} stands twice")]
    Repeated(u64),
    /// A dependency on nothing.
    #[error("step {step} depends on step {missing}, which is not there")]
    Missing {
        /// The step that depends.
        step: u64,
        /// On what.
        missing: u64,
    },
    /// Steps that wait for each other.
    #[error("step {0} depends on itself, directly or through others")]
    Cyclic(u64),
}

/// The steps of one position, by ascending number.
#[derive(Debug, PartialEq, Eq)]
pub struct AlgorithmGraph {
    ids: Vec<u64>,
    kinds: Vec<StepKind>,
    /// Steps that wait for each.
    children: Vec<Vec<u32>>,
    /// Steps that each waits for.
    parents: Vec<u32>,
    /// Steps that wait for nothing, in the order in which they begin.
    first: Vec<u32>,
    /// How far the set of steps that may begin has grown by those.
    grown: usize,
}

impl AlgorithmGraph {
    /// The graph of some steps, given in the order of their file.
    ///
    /// # Errors
    /// Numbers that stand twice, are missing, or depend on themselves.
    pub fn new(steps: Vec<Step>) -> Result<Self, GraphError> {
        let mut sorted: Vec<&Step> = steps.iter().collect();
        sorted.sort_by_key(|step| step.id);
        if let Some(pair) = sorted.windows(2).find(|pair| pair[0].id == pair[1].id) {
            return Err(GraphError::Repeated(pair[0].id));
        }
        let mut graph = AlgorithmGraph {
            ids: sorted.iter().map(|step| step.id).collect(),
            kinds: sorted.iter().map(|step| step.kind).collect(),
            children: Vec::new(),
            parents: vec![0; steps.len()],
            first: Vec::new(),
            grown: 0,
        };
        graph.link(&steps)?;
        match graph.first_of_a_cycle() {
            Some(at) => Err(GraphError::Cyclic(graph.ids[at])),
            None => Ok(graph),
        }
    }

    /// Dependencies, in the order in which ASTRA-sim's feeder meets them (`dependancy_solver.cpp`).
    fn link(&mut self, steps: &[Step]) -> Result<(), GraphError> {
        let mut children: Vec<HashSet> = self.ids.iter().map(|_| HashSet::emptied(0)).collect();
        let (mut known, mut met) = (HashSet::emptied(0), vec![false; steps.len()]);
        let mut meet = |at: u32, id: u64| {
            if !std::mem::replace(&mut met[at as usize], true) {
                known.insert(id, at);
            }
        };
        for step in steps {
            let at = self.place(step.id, step.id)?;
            meet(at, step.id);
            let (mut after, mut seen) = (HashSet::emptied(0), BTreeSet::new());
            for &parent in step.after.iter().filter(|&&parent| seen.insert(parent)) {
                after.insert(parent, self.place(parent, step.id)?);
            }
            for parent in after.iter() {
                meet(parent, self.ids[parent as usize]);
                children[parent as usize].insert(step.id, at);
                self.parents[at as usize] += 1;
            }
        }
        let mut free = HashSet::emptied(0);
        for at in known.iter().filter(|&at| self.parents[at as usize] == 0) {
            free.insert(self.ids[at as usize], at);
        }
        self.children = children.iter().map(|set| set.iter().collect()).collect();
        (self.first, self.grown) = (free.iter().collect(), free.size());
        Ok(())
    }

    /// The place of a step that `step` names.
    fn place(&self, id: u64, step: u64) -> Result<u32, GraphError> {
        let place = self.ids.binary_search(&id);
        place
            .map(|place| place as u32)
            .map_err(|_| GraphError::Missing { step, missing: id })
    }

    /// Bytes that this position sends, by message.
    pub fn steps(&self) -> &[StepKind] {
        &self.kinds
    }

    fn first_of_a_cycle(&self) -> Option<usize> {
        let mut open = self.parents.clone();
        let mut ready: VecDeque<usize> = (0..open.len()).filter(|&at| open[at] == 0).collect();
        while let Some(at) = ready.pop_front() {
            for &child in &self.children[at] {
                open[child as usize] -= 1;
                if open[child as usize] == 0 {
                    ready.push_back(child as usize);
                }
            }
        }
        open.iter().position(|&parents| parents > 0)
    }
}

/// A chunk (there is only one) in a custom algorithm.
#[derive(Debug)]
pub(in crate::system) struct GraphRun {
    graph: Arc<AlgorithmGraph>,
    ring: Ring,
    open: Vec<u32>,
    /// Steps that may begin.
    free: HashSet,
    left: usize,
}

impl GraphRun {
    pub(super) fn new(graph: Arc<AlgorithmGraph>, ring: Ring) -> Self {
        GraphRun {
            open: graph.parents.clone(),
            left: graph.kinds.len(),
            free: HashSet::emptied(graph.grown),
            graph,
            ring,
        }
    }

    pub(super) fn on(&mut self, happening: Happening, moves: &mut Vec<Move>) {
        let mut ready = match happening {
            Happening::Over(step) => {
                self.finish(step);
                self.take()
            }
            Happening::Start => self.graph.first.clone(),
            Happening::Settled => Vec::new(),
        };
        while !ready.is_empty() {
            for step in ready {
                match self.begin(step) {
                    Some(begun) => moves.push(begun),
                    None => self.finish(step),
                }
            }
            ready = self.take();
        }
        if self.left == 0 {
            moves.push(Move::End);
        }
    }

    /// A step is over; some may begin.
    fn finish(&mut self, step: u32) {
        self.left -= 1;
        for &child in &self.graph.children[step as usize] {
            self.open[child as usize] -= 1;
            if self.open[child as usize] == 0 {
                self.free.insert(self.graph.ids[child as usize], child);
            }
        }
    }

    /// The steps that may begin, in order.
    fn take(&mut self) -> Vec<u32> {
        let ready = self.free.iter().collect();
        self.free.clear();
        ready
    }

    fn begin(&self, step: u32) -> Option<Move> {
        let label = |tag| Label::Step { tag, mark: step };
        match self.graph.kinds[step as usize] {
            StepKind::Send { to, bytes, tag } => Some(Move::Send {
                to: self.ring.rank(to),
                bytes,
                label: label(tag),
            }),
            StepKind::Receive { from, bytes, tag } => Some(Move::Receive {
                from: self.ring.rank(from),
                bytes,
                label: label(tag),
            }),
            StepKind::Wait(delay) => Some(Move::Wait { delay, mark: step }),
            StepKind::Nothing => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(id: u64, after: &[u64], kind: StepKind) -> Step {
        Step {
            id,
            after: after.to_vec(),
            kind,
        }
    }

    #[test]
    fn steps_begin_when_those_before_are_over() {
        let steps = vec![
            step(7, &[5], StepKind::Wait(9)),
            step(5, &[], StepKind::Nothing),
            step(9, &[7, 7], StepKind::Wait(1)),
        ];
        let mut run = GraphRun::new(
            Arc::new(AlgorithmGraph::new(steps).unwrap()),
            Ring::of_dimension(0, 2, 1),
        );
        let mut moves = Vec::new();
        run.on(Happening::Start, &mut moves);
        assert_eq!(moves, [Move::Wait { delay: 9, mark: 1 }]);
        moves.clear();
        run.on(Happening::Over(1), &mut moves);
        assert_eq!(moves, [Move::Wait { delay: 1, mark: 2 }]);
        moves.clear();
        run.on(Happening::Over(2), &mut moves);
        assert_eq!(moves, [Move::End]);
    }

    #[test]
    fn what_is_no_algorithm_is_refused() {
        let graph = |steps| AlgorithmGraph::new(steps).unwrap_err();
        let nothing = |id, after: &[u64]| step(id, after, StepKind::Nothing);
        assert_eq!(
            graph(vec![nothing(1, &[]), nothing(1, &[])]),
            GraphError::Repeated(1)
        );
        assert_eq!(
            graph(vec![nothing(1, &[2])]),
            GraphError::Missing { step: 1, missing: 2 }
        );
        assert_eq!(
            graph(vec![nothing(1, &[2]), nothing(2, &[1])]),
            GraphError::Cyclic(1)
        );
    }
}
