//! What a machine carries out for a node of an execution graph, when it works as ASTRA-sim's system
//! layer does ([`super::setup::Setup`]).

use crate::network::message::{CommunicatorId, MessageKey, Rank};

use super::action::Nanos;
use super::op::Collective;

/// The name in [`MessageKey`] of messages between two ranks that no collective has asked for.
pub const POINT_TO_POINT: CommunicatorId = (1 << 31) - 1;

/// Set in the communicator of a receiver's request for a message (rendezvous).
pub const RENDEZVOUS: CommunicatorId = 1 << 31;

/// Bytes of such a request.
pub const RENDEZVOUS_BYTES: u64 = 8192;

/// A node's work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Task {
    /// A collective over all ranks or a group.
    Collective(Request),
    /// A message to another rank; over when it has arrived.
    Send(Peer),
    /// A message from another rank.
    Receive(Peer),
    /// So many nanoseconds.
    Delay(Nanos),
    /// So many bytes from or to remote memory.
    Memory(u64),
}

/// A collective.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Request {
    /// Which; those outside [`super::setup::COLLECTIVES`] by genie's own algorithms.
    pub collective: Collective,
    /// Over whom; 0: all ranks.
    pub group: CommunicatorId,
    /// Bytes that a rank brings (all-gather: contributes).
    pub bytes: u64,
    /// Bit d: dimension d takes part. Groups smaller than all ranks do not look at it.
    pub dimensions: u64,
    /// Higher ones first, if the policy asks.
    pub priority: i64,
    /// Position of the root, for collectives that have one (an extension).
    pub root: u32,
}

/// The other side of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Peer {
    /// The other rank.
    pub rank: Rank,
    /// By which the sides find each other.
    pub tag: u64,
    /// Payload length.
    pub bytes: u64,
}

impl Peer {
    /// The name of the message.
    pub fn key(&self) -> MessageKey {
        MessageKey {
            communicator: POINT_TO_POINT,
            tag: self.tag,
        }
    }
}
