//! What a message between two ranks is called. Every transport matches a send with a receive by
//! communicator, source and tag, in the order in which they were posted.

use serde::{Deserialize, Serialize};

/// A rank's number in the whole job ("world rank").
pub type Rank = u32;

/// A communicator's number; 0 is the communicator of all ranks.
pub type CommunicatorId = u32;

/// The two things besides the peer by which a receive is matched with a send.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct MessageKey {
    /// Communicator in which the message travels.
    pub communicator: CommunicatorId,
    /// Tag; unique among the messages in flight between two ranks of a communicator.
    pub tag: u64,
}

/// Which of the parallel connections of a pair carries a message: `channel % channels`.
pub type Channel = u32;

/// Sender and receiver disagree on a message's length.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("rank {peer} sent {sent} bytes where {posted} bytes were expected (tag {tag:#x})")]
pub struct LengthMismatch {
    /// The sender.
    pub peer: Rank,
    /// Bytes that it announced.
    pub sent: u64,
    /// Bytes that the receive was posted with.
    pub posted: u64,
    /// The message's tag.
    pub tag: u64,
}
