//! What an operation is: which collective, how large, over which element type.

use std::fmt;

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
    /// Chosen by collective, size and number of ranks; see [`super::collective::choose()`].
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

impl Collective {
    /// Every collective.
    pub const ALL: [Collective; 10] = [
        Collective::AllReduce,
        Collective::AllGather,
        Collective::ReduceScatter,
        Collective::AllToAll,
        Collective::Broadcast,
        Collective::Reduce,
        Collective::Gather,
        Collective::Scatter,
        Collective::Barrier,
        Collective::SendRecv,
    ];

    /// Its name in scenarios and reports.
    pub fn name(self) -> &'static str {
        match self {
            Collective::AllReduce => "all-reduce",
            Collective::AllGather => "all-gather",
            Collective::ReduceScatter => "reduce-scatter",
            Collective::AllToAll => "all-to-all",
            Collective::Broadcast => "broadcast",
            Collective::Reduce => "reduce",
            Collective::Gather => "gather",
            Collective::Scatter => "scatter",
            Collective::Barrier => "barrier",
            Collective::SendRecv => "send-recv",
        }
    }
}

impl fmt::Display for Collective {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl Algorithm {
    /// Every algorithm but [`Algorithm::Auto`].
    pub const ALL: [Algorithm; 5] = [
        Algorithm::Ring,
        Algorithm::Direct,
        Algorithm::HalvingDoubling,
        Algorithm::RecursiveDoubling,
        Algorithm::DoubleBinaryTree,
    ];

    /// Its name in scenarios and reports.
    pub fn name(self) -> &'static str {
        match self {
            Algorithm::Auto => "auto",
            Algorithm::Ring => "ring",
            Algorithm::Direct => "direct",
            Algorithm::HalvingDoubling => "halving-doubling",
            Algorithm::RecursiveDoubling => "recursive-doubling",
            Algorithm::DoubleBinaryTree => "double-binary-tree",
        }
    }
}

impl fmt::Display for Algorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
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

/// Large sends of a piece that are outstanding at once unless told otherwise: one on the wire and one
/// behind it, so that links stay busy while destinations are still walked in order.
pub const SENDS_IN_FLIGHT: u32 = 2;

fn sends_in_flight() -> u32 {
    SENDS_IN_FLIGHT
}

/// One operation as every member of its communicator issues it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Op {
    /// Which collective.
    pub collective: Collective,
    /// By which algorithm; never [`Algorithm::Auto`] once planned (the machine would choose alike on
    /// every rank, but reports should name what ran).
    pub algorithm: Algorithm,
    /// Over which communicator.
    pub communicator: CommunicatorId,
    /// Size of the operation in bytes, as nccl-tests counts it: the larger of a rank's send and
    /// receive buffer (all-gather, reduce-scatter, gather, scatter, all-to-all: all blocks together).
    /// Rounded down to whole elements; block sizes differ by at most one element, larger ones first.
    /// A barrier ignores it.
    pub bytes: u64,
    /// Element type; blocks are whole elements.
    pub dtype: DataType,
    /// Reduction operator, for collectives that reduce.
    pub redop: ReduceOp,
    /// Position of the root in the communicator, for collectives that have one.
    pub root: Rank,
    /// Largest piece that runs through the algorithm by itself, bytes (up to the rounding of its
    /// blocks to whole elements); 0: one piece. Every block is cut, so a piece has all blocks' shares.
    pub chunk_bytes: u64,
    /// How many pieces may be in flight at once (at least 1).
    pub chunks_in_flight: u32,
    /// How many large sends of a piece may be outstanding at once (at least 1); small ones always may.
    #[serde(default = "sends_in_flight")]
    pub sends_in_flight: u32,
    /// all-to-all(v): bytes from position s to position d at `matrix[s][d]`, each rounded down to
    /// whole elements; `None`: equal shares. With a matrix, `bytes` is not looked at.
    pub matrix: Option<Vec<Vec<u64>>>,
}

impl Op {
    /// In words, as messages to people name it: `all-reduce ring 64 MiB`.
    pub fn label(&self) -> String {
        let size = crate::scenario::units::Bytes(self.bytes);
        format!("{} {} {size}", self.collective, self.algorithm)
    }

    /// Whether every rank sends to all others at once, each flow at its share of the busiest link
    /// (if there is a link that limits), rather than to one or two at a time.
    pub fn shares_links(&self, limited: bool) -> bool {
        let everyone = matches!(
            self.collective,
            Collective::AllReduce | Collective::AllGather | Collective::ReduceScatter | Collective::AllToAll
        );
        limited && everyone && self.algorithm == Algorithm::Direct
    }

    /// A whole-buffer operation of float32 sums on communicator 0 with root 0, to be changed by
    /// struct update.
    pub fn new(collective: Collective, algorithm: Algorithm, bytes: u64) -> Self {
        Op {
            collective,
            algorithm,
            communicator: 0,
            bytes,
            dtype: DataType::Float32,
            redop: ReduceOp::Sum,
            root: 0,
            chunk_bytes: 0,
            chunks_in_flight: 1,
            sends_in_flight: SENDS_IN_FLIGHT,
            matrix: None,
        }
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_scenarios() {
        for collective in Collective::ALL {
            assert_eq!(serde_json::to_value(collective).unwrap(), collective.name());
        }
        for algorithm in Algorithm::ALL.into_iter().chain([Algorithm::Auto]) {
            assert_eq!(serde_json::to_value(algorithm).unwrap(), algorithm.name());
        }
    }
}
