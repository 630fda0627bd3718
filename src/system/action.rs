//! What goes into the per-NPU machine and what comes out of it.

use crate::network::message::{Channel, MessageKey, Rank};

use super::collective::Region;
use super::op::Op;

/// An operation's number; the caller chooses it, unique among the operations in flight.
pub type NodeId = u64;

/// A message's number, chosen by the machine, unique in its life.
pub type MessageId = u64;

/// A timer's number, chosen by the machine, unique in its life.
pub type TimerId = u64;

/// Nanoseconds since the start of the run, in whatever clock the backend keeps.
pub type Nanos = u64;

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
    /// The buffer of a send is free again.
    Sent(MessageId),
    /// A receive is complete.
    Received(MessageId),
    /// A timer has fired.
    TimerFired(TimerId),
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
    /// Payload length, never 0 except for barriers (which send 1 byte).
    pub bytes: u64,
    /// The operation it belongs to.
    pub node: NodeId,
    /// Where in that operation's buffer the payload lies; only looked at when data is real.
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

/// What the machine wants done.
#[derive(Debug, Clone, PartialEq)]
pub enum Action {
    /// Send this.
    Send(Transfer),
    /// Expect this.
    Receive(Transfer, Combine),
    /// Fire [`Input::TimerFired`] after so many nanoseconds.
    Timer(TimerId, Nanos),
    /// The operation is complete on this rank.
    Done(NodeId),
}
