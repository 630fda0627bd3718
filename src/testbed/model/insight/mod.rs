//! What a simulated workload spent its time on. The definitions and formulas are those of
//! docs/astra-insight.md.
//!
//! * [`watch`]: follows a simulation and tells what happens, as [`Seen`]; [`live`]: operations that run.
//! * [`busy`]: when an NPU computes. [`usage`]: how full links are.
//! * [`explain`]: each NPU's exposed communication in parts; [`path`]: the critical path across ranks.

pub mod busy;
pub mod explain;
mod live;
pub mod path;
pub mod usage;
pub mod watch;

use crate::network::message::Rank;
use crate::system::npu::watch::PhaseEvent;

/// Nanoseconds of an operation's running time, each counted once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize)]
pub struct Split {
    /// The endpoint's delay and reductions on this NPU.
    pub endpoint: u64,
    /// Not so, and a member of the collective, or the other side of a message, has not come yet.
    pub peers: u64,
    /// All the rest: messages are under way.
    pub network: u64,
}

impl Split {
    /// All of it, ns.
    pub fn total(&self) -> u64 {
        self.endpoint + self.peers + self.network
    }
}

/// A node that is over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpRecord {
    /// Whose.
    pub rank: Rank,
    /// Its place in the rank's graph.
    pub place: u32,
    /// The last node that it waited for.
    pub parent: Option<u32>,
    /// When all that it depends on was over, ns.
    pub ready: u64,
    /// When it began: its slot was free.
    pub start: u64,
    /// When all members of its collective had come, or the other side of its message; `start` for
    /// nodes that wait for nobody, `end` if they never came.
    pub met: u64,
    /// When it was over.
    pub end: u64,
    /// How a communication ran: adds up to `end - start`; 0 for other nodes.
    pub split: Split,
    /// As much of `split` as no compute of the GPU hides.
    pub exposed: Split,
    /// Nanoseconds from `ready` to `start` that no compute of the GPU hides.
    pub exposed_slot: u64,
    /// Nanoseconds from `start` to `end` that no compute of the GPU hides.
    pub exposed_running: u64,
    /// Collectives: the how many-th of the group on this rank, and which instance it is part of.
    pub collective: Option<(u64, u32)>,
    /// Messages: the node at the other side, if it has begun.
    pub other: Option<Other>,
    /// Dimensions and the nanoseconds in which a phase ran there.
    pub dimensions: Vec<(u32, u64)>,
}

/// The other side of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Other {
    /// Whose.
    pub rank: Rank,
    /// Its place in the rank's graph.
    pub place: u32,
    /// When it began, ns.
    pub start: u64,
}

/// A chunk's phase that is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PhaseRecord {
    /// Whose.
    pub rank: Rank,
    /// The collective's place in the rank's graph.
    pub place: u32,
    /// Chunk, phase, dimension, queue; `at` is the end.
    pub phase: PhaseEvent,
    /// When the chunk came to the queue, ns.
    pub queued: u64,
    /// When its turn had come.
    pub start: u64,
}

/// A message of a collective.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MessageSeen {
    /// A number that its two sides share.
    pub id: u64,
    /// The side at which it is seen.
    pub rank: Rank,
    /// The collective there.
    pub place: u32,
    /// The chunk.
    pub chunk: u32,
    /// Payload.
    pub bytes: u64,
    /// When, ns.
    pub at: u64,
}

/// What is told, in the order in which it happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Seen {
    /// A node begins.
    Begin {
        /// Whose.
        rank: Rank,
        /// Its place in the rank's graph.
        place: u32,
        /// When, ns.
        at: u64,
    },
    /// A node is over.
    Op(Box<OpRecord>),
    /// A chunk begins a phase.
    PhaseBegin {
        /// Whose.
        rank: Rank,
        /// The collective's place in the rank's graph.
        place: u32,
        /// Which.
        phase: PhaseEvent,
    },
    /// A chunk's phase is over.
    Phase(PhaseRecord),
    /// A message of a collective is sent.
    Sent(MessageSeen),
    /// A message of a collective has come and is taken.
    Received(MessageSeen),
}

/// What is to be told and kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct WatchOptions {
    /// Operations and phases are told.
    pub operations: bool,
    /// Messages of collectives, too.
    pub messages: bool,
    /// Operations and the use of links are kept, for [`explain::Explanation`].
    pub explain: bool,
}
