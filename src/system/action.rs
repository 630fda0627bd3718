//! What goes into the per-NPU machine and what comes out of it.

use crate::network::message::{Channel, MessageKey, Rank};

use super::collective::Region;
use super::op::Op;
use super::task::Task;

/// An operation's number; the caller chooses it, unique among the operations in flight.
pub type NodeId = u64;

/// A message's number, chosen by the machine, unique in its life.
pub type MessageId = u64;

/// A timer's number, chosen by the machine; several may run under the same one.
pub type TimerId = u64;

/// Nanoseconds since the start of the run, in whatever clock the backend keeps.
pub type Nanos = u64;

/// The number of sends of whose end the machine need not be told.
pub const UNTRACKED: MessageId = u64::MAX;

/// What the machine is told.
#[derive(Debug, Clone)]
pub enum Input {
    /// An operation whose dependencies are met starts now. All members of a communicator must
    /// issue that communicator's operations in the same order.
    Issue {
        /// The caller's name for it; comes back in [`Action::Done`].
        node: NodeId,
        /// What is to be done.
        op: Op,
    },
    /// A node of an execution graph starts now, in a machine with a [`super::setup::Setup`].
    Start {
        /// The caller's name for it; comes back in [`Action::Done`].
        node: NodeId,
        /// What is to be done.
        task: Task,
    },
    /// The buffer of a send is free again.
    Sent(MessageId),
    /// A receive is complete.
    Received(MessageId),
    /// A timer has fired.
    TimerFired(TimerId),
    /// What a node wanted of remote memory is done.
    MemoryDone(NodeId),
}

/// One side of a message.
#[derive(Debug, Clone, PartialEq)]
pub struct Transfer {
    /// Number by which [`Input::Sent`] or [`Input::Received`] names it.
    pub message: MessageId,
    /// The other rank (world rank).
    pub peer: Rank,
    /// Communicator and tag.
    pub key: MessageKey,
    /// Which of a pair's parallel connections to use, modulo their number.
    pub channel: Channel,
    /// Payload length, never 0 (barriers send 1 byte).
    pub bytes: u64,
    /// The operation it belongs to.
    pub node: NodeId,
    /// Where in that operation's buffer the payload lies; only looked at when data is real. Tasks of
    /// execution graphs have no buffer.
    pub region: Region,
}

/// What a receiver does with the payload, when data is real.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Combine {
    /// Overwrites.
    Copy,
    /// Reduces into what is there.
    Reduce,
}

/// What the machine wants done, in this order.
#[derive(Debug, Clone, PartialEq)]
pub enum Action {
    /// Send this. What it carries is what its region holds now: with real data, a backend must not
    /// let a receive that is posted later change it (recursive doubling sends from a buffer into
    /// which it reduces meanwhile). Taking a copy at once is the simple way. Every algorithm but
    /// recursive doubling's all-reduce also works without (proven by
    /// [`super::collective::verify`] with zero-copy delivery).
    Send(Transfer),
    /// Expect this. Messages may arrive before they are expected (at most those of later rounds,
    /// chunks and operations); such a one must not keep others of its pair from being delivered.
    Receive(Transfer, Combine),
    /// Move so many bytes from or to remote memory, then tell [`Input::MemoryDone`].
    Memory {
        /// The node that waits.
        node: NodeId,
        /// How many.
        bytes: u64,
    },
    /// Fire [`Input::TimerFired`] after so many nanoseconds.
    Timer(TimerId, Nanos),
    /// The operation is complete on this rank.
    Done(NodeId),
}
