//! Proves schedules: runs the machines of all ranks against an abstract network in which every part
//! of every cell holds the multiset of contributions that were copied or reduced into it, and checks
//! that each rank ends with exactly what the collective promises, whatever the order of delivery.
//!
//! Found: wrong, missing and double contributions, unmatched messages, unequal sizes, reused tags,
//! deadlock (also when sends complete only at a waiting receiver), and, with zero-copy delivery,
//! cells that are overwritten while a send still reads them.

use std::collections::BTreeMap;
use std::sync::Arc;

use thiserror::Error;

use crate::network::message::MessageKey;
use crate::system::npu::{Awaited, HandleError, ScheduleSource};
use crate::system::op::Op;

use super::promise::Holds;
use world::World;

mod world;

/// Which of the things that can happen next happens first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// What became possible first.
    First,
    /// What became possible last; others starve as long as that goes on.
    Last,
    /// Drawn from a seed.
    Random(u64),
    /// Every message takes one unit of time, everything else none; [`Proof::steps`] counts units.
    Clocked,
}

/// When a send takes its payload and when its buffer is free.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Delivery {
    /// Taken and free at once, as with a network that buffers without bound.
    Eager,
    /// Taken at once, free when the receiver, who must have posted its receive, has it.
    Rendezvous,
    /// As rendezvous, and the messages of a pair, over all chunks and operations, pass one by one in
    /// the order in which they were sent: one whose receive is not posted holds up those behind it.
    InOrder,
    /// Taken when the receiver has posted its receive, free some time later.
    ZeroCopy,
}

/// What one proof found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proof {
    /// Messages and bytes by (sender's, receiver's position).
    pub pairs: BTreeMap<(u32, u32), (u64, u64)>,
    /// Units of time until the last rank was done; 0 unless [`Order::Clocked`].
    pub steps: u64,
}

/// Why an operation does not do what it promises.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Flaw {
    /// A machine refused its input.
    #[error("the machine at position {position} refused: {error}")]
    Refused {
        /// Where.
        position: u32,
        /// Why.
        error: HandleError,
    },
    /// Nothing can happen any more, yet somebody is not done.
    #[error("deadlock; positions not done and what they wait for: {waiting:?}")]
    Deadlock {
        /// Positions and what they wait for.
        waiting: Vec<(u32, Vec<Awaited>)>,
    },
    /// Messages that nobody expected, or that never came, although everybody is done.
    #[error("{sends} sends and {receives} receives have no counterpart")]
    LeftOver {
        /// Sends without receive.
        sends: usize,
        /// Receives without send.
        receives: usize,
    },
    /// The two sides of a message, or its parts, differ in size.
    #[error("position {from} sends {sent} bytes where {to} expects {expected} (cell {cell})")]
    Sizes {
        /// Sender.
        from: u32,
        /// Receiver.
        to: u32,
        /// Cell of the receiver.
        cell: u32,
        /// Bytes of the sender.
        sent: u64,
        /// Bytes of the receiver.
        expected: u64,
    },
    /// Two messages of a pair are in flight under one tag.
    #[error("positions {from} and {to} have two messages under {key:?}")]
    TagReused {
        /// Sender.
        from: u32,
        /// Receiver.
        to: u32,
        /// The tag.
        key: MessageKey,
    },
    /// A receive changed a cell that a send still read.
    #[error("position {position}: cell {cell} of chunk {chunk} was overwritten while it was being sent")]
    Overwritten {
        /// Where.
        position: u32,
        /// Which cell.
        cell: u32,
        /// Which chunk.
        chunk: u32,
    },
    /// A cell does not hold what is promised.
    #[error("position {position}: cell {cell} of chunk {chunk} should hold {promised:?} but holds {found}")]
    Wrong {
        /// Where.
        position: u32,
        /// Which cell.
        cell: u32,
        /// Which chunk.
        chunk: u32,
        /// What it should hold.
        promised: Holds,
        /// What it holds: (position, block) x times.
        found: String,
    },
}

/// Proves `ops`, issued at once by each of `n` ranks, under genie's own schedules.
///
/// # Errors
/// The first flaw found.
pub fn prove(ops: &[Op], n: u32, order: Order, delivery: Delivery) -> Result<Proof, Flaw> {
    prove_with(Arc::new(super::schedules), ops, n, order, delivery)
}

/// Proves `ops` under other schedules.
///
/// # Errors
/// The first flaw found.
pub fn prove_with(
    source: ScheduleSource,
    ops: &[Op],
    n: u32,
    order: Order,
    delivery: Delivery,
) -> Result<Proof, Flaw> {
    let mut world = World::new(&source, ops, n, order, delivery);
    world.run()?;
    world.finish()
}
