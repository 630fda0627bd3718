//! What an operation is: which collective, how large, over which element type.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::network::message::{CommunicatorId, Rank};

/// The operations that a communicator can carry out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Collective {
    /// Every rank ends with the reduction of all ranks' buffers.
    AllReduce,
    /// Every rank ends with the blocks of all ranks.
    AllGather,
    /// Rank r ends with block r of the reduction.
    ReduceScatter,
    /// Rank r ends with block r of every rank's buffer; `matrix` of an [`Op`] makes sizes differ.
    AllToAll,
    /// Every rank ends with the root's buffer.
    Broadcast,
    /// The root ends with the reduction of all ranks' buffers.
    Reduce,
    /// The root ends with the blocks of all ranks.
    Gather,
    /// Rank r ends with block r of the root's buffer.
    Scatter,
    /// No rank leaves before all have come.
    Barrier,
    /// Every rank sends its buffer to the next rank and receives from the one before.
    SendRecv,
}

/// How a collective is broken into messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Algorithm {
    /// Chosen by collective, size and number of ranks; see [`super::collective::choose`].
    Auto,
    /// Neighbour to neighbour.
    Ring,
    /// Everyone to everyone (or everyone to the root) in one or two rounds.
    Direct,
    /// Partners at distances 1, 2, 4, ...; blocks halve, then double.
    HalvingDoubling,
    /// Partners at distances 1, 2, 4, ...; whole buffers, fewest rounds: for small messages.
    RecursiveDoubling,
    /// Two complementary binary trees, chunks alternating between them.
    DoubleBinaryTree,
}

/// Element type of a buffer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum DataType {
    /// 8-bit signed integer.
    Int8,
    /// 32-bit signed integer.
    Int32,
    /// 64-bit signed integer.
    Int64,
    /// IEEE 754 single precision.
    Float32,
    /// IEEE 754 double precision.
    Float64,
}

impl DataType {
    /// Bytes of one element.
    pub fn bytes(self) -> u64 {
        match self {
            DataType::Int8 => 1,
            DataType::Int32 | DataType::Float32 => 4,
            DataType::Int64 | DataType::Float64 => 8,
        }
    }
}

/// Reduction operator.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ReduceOp {
    /// Addition.
    Sum,
    /// Largest.
    Max,
    /// Smallest.
    Min,
}

/// One operation as every member of its communicator issues it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Op {
    /// Which collective.
    pub collective: Collective,
    /// By which algorithm; never [`Algorithm::Auto`] once planned.
    pub algorithm: Algorithm,
    /// Over which communicator.
    pub communicator: CommunicatorId,
    /// Size of the operation in bytes, as nccl-tests counts it: the larger of a rank's send and
    /// receive buffer (all-gather, reduce-scatter, gather, scatter, all-to-all: all blocks together).
    pub bytes: u64,
    /// Element type; blocks are whole elements.
    pub dtype: DataType,
    /// Reduction operator, for collectives that reduce.
    pub redop: ReduceOp,
    /// Position of the root in the communicator, for collectives that have one.
    pub root: Rank,
    /// Largest piece that runs through the algorithm by itself, bytes; 0: one piece.
    pub chunk_bytes: u64,
    /// How many pieces may be in flight at once (at least 1).
    pub chunks_in_flight: u32,
    /// all-to-all(v): bytes from position s to position d at `matrix[s][d]`; `None`: equal shares.
    pub matrix: Option<Vec<Vec<u64>>>,
}

impl Collective {
    /// nccl-tests' bus-bandwidth factor for `n` ranks: busbw = algbw x factor
    /// (nccl-tests, doc/PERFORMANCE.md).
    pub fn busbw_factor(self, n: u32) -> f64 {
        let n = f64::from(n.max(1));
        match self {
            Collective::AllReduce => 2.0 * (n - 1.0) / n,
            Collective::AllGather
            | Collective::ReduceScatter
            | Collective::AllToAll
            | Collective::Gather
            | Collective::Scatter => (n - 1.0) / n,
            Collective::Broadcast | Collective::Reduce | Collective::SendRecv => 1.0,
            Collective::Barrier => 0.0,
        }
    }
}

impl Op {
    /// In words, as messages to people name it: `all-reduce ring 64 MiB`.
    pub fn label(&self) -> String {
        let size = crate::scenario::units::Bytes(self.bytes);
        format!("{} {} {size}", self.collective, self.algorithm)
    }
}

macro_rules! kebab_display {
    ($type:ty) => {
        impl std::fmt::Display for $type {
            /// As scenarios spell it.
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                let name = serde_json::to_value(self).map_err(|_| std::fmt::Error)?;
                f.pad(name.as_str().unwrap_or_default())
            }
        }
    };
}

kebab_display!(Collective);
kebab_display!(Algorithm);
kebab_display!(DataType);
kebab_display!(ReduceOp);
