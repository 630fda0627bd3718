//! Phases: a chunk's way through one dimension by one algorithm, in ASTRA-sim's order of sends,
//! receives and delays.
//!
//! * [`plan`]: which phases a collective has. [`packets`]: ring, direct, halving-doubling.
//! * [`tree`]: double binary tree. [`graph`]: custom algorithms, in the order of a [`hash_set`].
//! * [`own`]: genie's own ones, as such.

pub mod graph;
mod hash_set;
pub(super) mod own;
pub(super) mod packets;
pub(super) mod plan;
pub(super) mod tree;

use std::sync::Arc;

use crate::network::message::Rank;

use super::op::Collective;
use super::setup::{Pattern, Ring};
use graph::{AlgorithmGraph, GraphRun};
use packets::Packets;
use tree::TreeRun;

/// What a phase is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Happening {
    /// It begins.
    Start,
    /// What was to be settled is.
    Settled,
    /// A message has come, or (custom algorithms) a marked step is over.
    Over(u32),
}

/// What a phase wants done, in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Move {
    /// A message passes through this end: endpoint delay, and the cost of reducing so many bytes.
    Settle(Settle),
    /// Send to a rank.
    Send { to: Rank, bytes: u64, label: Label },
    /// Expect from a rank.
    Receive { from: Rank, bytes: u64, label: Label },
    /// Wait (custom algorithms).
    Wait { delay: u64, mark: u32 },
    /// The phase is over.
    End,
}

/// A message passing through this end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Settle {
    /// Payload length.
    pub bytes: u64,
    /// Whether it is reduced.
    pub reduced: bool,
    /// Towards memory (a rank's own first messages), not from it; only a bus tells these apart.
    pub to_memory: bool,
    /// Whether it goes on to another rank; only a bus looks at it.
    pub send_back: bool,
    /// In a group smaller than all ranks, by an algorithm that knows: a fixed delay.
    pub fast: bool,
}

/// How a phase knows its messages again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Label {
    /// Messages of a pair come in order; nobody asks when a send is over.
    Plain,
    /// A custom algorithm's step: its tag and number.
    Step { tag: u32, mark: u32 },
}

/// One phase of a collective, the same for each of its chunks.
#[derive(Debug, Clone)]
pub(super) struct Phase {
    pub algorithm: Algorithm,
    pub collective: Collective,
    pub ring: Ring,
    /// Bytes of a chunk that enter it.
    pub bytes: u64,
    /// The dimension in whose queues it waits.
    pub level: u32,
    /// Which of them.
    pub pick: Pick,
    /// Turn of the first chunk in `pick`.
    pub turn: u32,
    /// Turn of the first chunk among the trees, and turns from chunk to chunk.
    pub trees: (u32, u32),
}

/// How a phase's messages are found.
#[derive(Debug, Clone)]
pub(super) enum Algorithm {
    Pattern(Pattern),
    Custom(Arc<AlgorithmGraph>),
}

/// Which queues of a dimension chunks are dealt out to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pick {
    Any,
    FirstHalf,
    SecondHalf,
}

impl Pick {
    /// The queue of the `turn`-th chunk, of `queues` in the dimension, and whether its ring runs
    /// anticlockwise (ASTRA-sim, `QueueLevelHandler`).
    pub(super) fn queue(self, turn: u32, queues: u32) -> (u32, bool) {
        let half = queues / 2;
        match self {
            Pick::Any => {
                let queue = turn % queues;
                (queue, queues > 1 && queue >= half)
            }
            Pick::FirstHalf => (turn % half.max(1), false),
            Pick::SecondHalf => (half + turn % (queues - half), true),
        }
    }
}

/// A chunk in a phase.
#[derive(Debug)]
pub(super) enum PhaseRun {
    Packets(Packets),
    Tree(TreeRun),
    Graph(Box<GraphRun>),
}

impl Phase {
    /// Chunk `number`'s run.
    pub(super) fn start(&self, number: u32, anticlockwise: bool) -> PhaseRun {
        match &self.algorithm {
            Algorithm::Custom(graph) => {
                PhaseRun::Graph(Box::new(GraphRun::new(Arc::clone(graph), self.ring.clone())))
            }
            Algorithm::Pattern(Pattern::DoubleBinaryTree) => {
                let (first, step) = self.trees;
                let turn = first.wrapping_add(number.wrapping_mul(step));
                PhaseRun::Tree(TreeRun::new(&self.ring, turn % 2 == 1, self.bytes))
            }
            Algorithm::Pattern(pattern) => PhaseRun::Packets(Packets::new(self, *pattern, anticlockwise)),
        }
    }

    /// Bytes that leave it.
    pub(super) fn output(&self) -> u64 {
        let n = u64::from(self.ring.size);
        match (&self.algorithm, self.collective) {
            (Algorithm::Pattern(Pattern::DoubleBinaryTree), _) => self.bytes,
            (_, Collective::AllGather) => self.bytes.saturating_mul(n),
            (_, Collective::ReduceScatter) => self.bytes / n,
            _ => self.bytes,
        }
    }
}

impl PhaseRun {
    /// Adds to `moves` what follows from what happened.
    pub(super) fn on(&mut self, happening: Happening, moves: &mut Vec<Move>) {
        match self {
            PhaseRun::Packets(run) => run.on(happening, moves),
            PhaseRun::Tree(run) => run.on(happening, moves),
            PhaseRun::Graph(run) => run.on(happening, moves),
        }
    }

    /// Bytes of the message that is being settled: the one made last.
    pub(super) fn bytes(&self) -> u64 {
        match self {
            PhaseRun::Packets(run) => run.bytes(),
            PhaseRun::Tree(run) => run.bytes(),
            PhaseRun::Graph(_) => 0,
        }
    }
}
