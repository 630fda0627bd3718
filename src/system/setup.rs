//! How a machine works when it is configured as ASTRA-sim's system layer: dimensions with an
//! implementation of each collective, chunks in queues, delays at the endpoints. Shared by all ranks.

use std::sync::Arc;

use crate::network::message::Rank;

use super::bus::BusConfig;
use super::op::Collective;
use super::phase::graph::AlgorithmGraph;

/// Which waiting chunk goes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Policy {
    /// Those of the collective issued last.
    #[default]
    Lifo,
    /// Those of the collective issued first.
    Fifo,
    /// Those of the collective with the highest priority of its own.
    Explicit,
}

/// How a dimension carries out a collective.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pattern {
    /// One message at a time, neighbour to neighbour.
    Ring,
    /// So many messages at a time to everyone in turn; `None`: to all others at once.
    Direct(Option<u32>),
    /// Partners at distances 1, 2, 4, ...
    HalvingDoubling,
    /// Two binary trees, chunks alternating between them.
    DoubleBinaryTree,
}

/// An entry of an implementation list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Implementation {
    /// Pattern of messages.
    pub pattern: Pattern,
    /// All ranks as one dimension (`oneRing`, `oneDirect`, `oneHalvingDoubling`).
    pub flat: bool,
}

/// A dimension as a collective sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogicalDimension {
    /// Members.
    pub size: u32,
    /// Distance between the ranks of neighbours.
    pub stride: u32,
    /// How it carries the collective out.
    pub pattern: Pattern,
}

/// Collectives that are carried out phase by phase, in the order of [`Setup::implementations`].
pub const COLLECTIVES: [Collective; 4] = [
    Collective::AllReduce,
    Collective::AllGather,
    Collective::ReduceScatter,
    Collective::AllToAll,
];

/// What is known of a custom algorithm.
#[derive(Debug, Clone)]
pub enum CustomAlgorithm {
    /// There is none: the collective is carried out by the implementations.
    Native,
    /// There is one, but not for this position.
    Missing,
    /// This one.
    Graph(Arc<AlgorithmGraph>),
}

/// Where algorithms of custom collectives come from.
pub trait CustomSource: std::fmt::Debug + Send + Sync {
    /// The algorithm of one position for a collective that a node asks for.
    fn algorithm(&self, node: u64, collective: Collective, position: u32) -> CustomAlgorithm;
}

/// All that ranks share.
#[derive(Debug, Clone)]
pub struct Setup {
    /// Members of each dimension of the network, the fastest-varying first.
    pub dimensions: Vec<u32>,
    /// For each of [`COLLECTIVES`]: an implementation per dimension. Shorter than `dimensions`: only
    /// the first ones communicate. Empty: the collective is not configured.
    pub implementations: [Vec<Implementation>; 4],
    /// Algorithms that come before the implementations.
    pub custom: Option<Arc<dyn CustomSource>>,
    /// Pieces that a collective is cut into, at least 1.
    pub splits: u64,
    /// Queues of each dimension, at least 1.
    pub queues: u32,
    /// Chunks that may run in a dimension at once, shared out to its queues, at least 1.
    pub active_chunks: u32,
    /// Which waiting chunk goes first.
    pub policy: Policy,
    /// All-reduce over several dimensions: an all-reduce in each (true), or reduce-scatter up, and
    /// all-gather down the dimensions (false).
    pub baseline: bool,
    /// Nanoseconds before a rank's first send and after each receive.
    pub endpoint_delay: u64,
    /// Bytes per second of local memory: what a reduction costs.
    pub local_mem_bandwidth: f64,
    /// Receivers ask for each message first.
    pub rendezvous: bool,
    /// A bus between NPU and memory in place of `endpoint_delay`.
    pub bus: Option<BusConfig>,
}

impl Default for Setup {
    fn default() -> Self {
        Setup {
            dimensions: Vec::new(),
            implementations: Default::default(),
            custom: None,
            splits: 1,
            queues: 1,
            active_chunks: 1,
            policy: Policy::default(),
            baseline: false,
            endpoint_delay: 10,
            local_mem_bandwidth: 0.0,
            rendezvous: false,
            bus: None,
        }
    }
}

impl Setup {
    /// Ranks.
    pub fn npus(&self) -> u32 {
        self.dimensions.iter().product()
    }

    /// Chunks that may run in a queue at once.
    pub fn running_per_queue(&self) -> u32 {
        self.active_chunks.div_ceil(self.queues)
    }

    /// The dimensions that one of [`COLLECTIVES`] runs through, and the place of its list.
    pub fn logical(&self, collective: Collective) -> Option<(usize, Vec<LogicalDimension>)> {
        let place = COLLECTIVES.iter().position(|&c| c == collective)?;
        let mut stride = 1;
        let mut logical = Vec::new();
        for (&size, implementation) in self.dimensions.iter().zip(&self.implementations[place]) {
            let pattern = implementation.pattern;
            if implementation.flat {
                let size = self.npus();
                logical.push(LogicalDimension {
                    size,
                    stride: 1,
                    pattern,
                });
                break;
            }
            logical.push(LogicalDimension {
                size,
                stride,
                pattern,
            });
            stride *= size;
        }
        Some((place, logical))
    }

    /// Nanoseconds to reduce so many bytes: written once and read twice, each rounded down
    /// (ASTRA-sim, `PacketBundle::call`). Without a bandwidth it costs nothing, as there.
    pub fn reduction_delay(&self, bytes: u64) -> u64 {
        let once = bytes as f64 / self.local_mem_bandwidth * 1e9;
        if once.is_finite() {
            3u64.saturating_mul(once as u64)
        } else {
            0
        }
    }
}

/// Members of a logical ring, seen from one of them; no list is kept where a formula will do.
#[derive(Debug, Clone)]
pub struct Ring {
    /// How many.
    pub size: u32,
    /// Which one sees it.
    pub position: u32,
    /// Of a group smaller than all ranks: ASTRA-sim's delays differ there.
    pub local: bool,
    members: Members,
}

#[derive(Debug, Clone)]
enum Members {
    Stride { first: Rank, stride: u32 },
    List(Arc<[Rank]>),
}

impl Ring {
    /// The members of a dimension that differ from `rank` in it only.
    pub fn of_dimension(rank: Rank, size: u32, stride: u32) -> Self {
        let position = rank / stride % size;
        let first = rank - position * stride;
        Ring {
            size,
            position,
            local: false,
            members: Members::Stride { first, stride },
        }
    }

    /// A group in the order listed; `None` if `rank` is not in it.
    pub fn of_group(rank: Rank, ranks: &Arc<[Rank]>) -> Option<Self> {
        let position = ranks.iter().position(|&r| r == rank)? as u32;
        Some(Ring {
            size: ranks.len() as u32,
            position,
            local: true,
            members: Members::List(Arc::clone(ranks)),
        })
    }

    /// World rank at a position.
    pub fn rank(&self, position: u32) -> Rank {
        match &self.members {
            Members::Stride { first, stride } => first + position * stride,
            Members::List(ranks) => ranks[position as usize],
        }
    }

    /// The position among the members by ascending rank, whatever their order: that by which ASTRA-sim
    /// finds a custom algorithm's file (`CommunicatorGroup.cc`).
    pub fn place_by_rank(&self) -> u32 {
        match &self.members {
            Members::Stride { .. } => self.position,
            Members::List(ranks) => {
                let own = ranks[self.position as usize];
                ranks.iter().filter(|&&rank| rank < own).count() as u32
            }
        }
    }

    /// The position so many steps ahead; `distance` at most the size.
    pub fn ahead(&self, distance: u32) -> u32 {
        let sum = self.position + distance;
        if sum >= self.size { sum - self.size } else { sum }
    }

    /// The position so many steps behind; `distance` at most the size.
    pub fn behind(&self, distance: u32) -> u32 {
        if self.position >= distance {
            self.position - distance
        } else {
            self.position + self.size - distance
        }
    }
}
