//! The congestion-aware network: whole messages stored and forwarded, one at a time per link, first
//! come first served. A hop takes latency + bytes / bandwidth and keeps its link for bytes / bandwidth,
//! each rounded down. On several dimensions (which ASTRA-sim's backend refuses) a message goes through
//! them in ascending order, one after another.

use crate::network::message::Rank;

use super::config::BlockKind;
use super::matching::{MessageIndex, Messages};
use super::queue::{EventQueue, Kind};
use super::topology::{Dimension, MAX_NPUS, Topology};
use super::world::Hop;

/// Nothing.
const NONE: u32 = u32::MAX;

/// In a message's place: it is in a switch, on its way to this rank...
const IN_SWITCH: u32 = 1 << 31;

/// ... of the dimension in these bits ([`super::topology::MAX_DIMENSIONS`] of them).
const DIMENSION_SHIFT: u32 = 27;

/// A directed link.
#[derive(Debug, Clone, Copy)]
struct Link {
    /// Messages that wait, oldest first.
    head: u32,
    tail: u32,
    busy: bool,
}

const IDLE: Link = Link {
    head: NONE,
    tail: NONE,
    busy: false,
};

/// Nanoseconds that a size takes on a dimension's links.
#[derive(Debug, Clone, Copy)]
struct Cost {
    bytes: u64,
    /// Until it is at the other end.
    arrival: u64,
    /// Until the link is free.
    occupied: u64,
}

/// A dimension's links: those of rank r begin at `first + r * per_rank`.
#[derive(Debug)]
struct Links {
    dimension: Dimension,
    first: u32,
    per_rank: u32,
    cost: Cost,
}

/// Links and what waits for them.
#[derive(Debug)]
pub struct Aware {
    topology: Topology,
    dimensions: Vec<Links>,
    links: Vec<Link>,
    /// The links of rank 0 stand for all others' ([`super::symmetry`]).
    of_one: bool,
}

/// Links of a rank in a dimension: both ways round a ring, up to and down from a switch, to each
/// member of a mesh.
fn links_per_rank(dimension: &Dimension) -> u64 {
    match dimension.kind {
        BlockKind::Ring | BlockKind::Switch => 2,
        BlockKind::FullyConnected => u64::from(dimension.size),
    }
}

/// How many links a topology has; more than [`u32::MAX`] cannot be told apart.
pub fn count_links(topology: &Topology) -> u64 {
    let per_rank: u64 = topology.dimensions().iter().map(links_per_rank).sum();
    per_rank * u64::from(topology.npus())
}

impl Aware {
    /// The idle network of a topology.
    pub fn new(topology: Topology) -> Self {
        Self::build(topology, false)
    }

    /// The same for a rank that stands for all, with its own links only.
    pub fn of_one(topology: Topology) -> Self {
        Self::build(topology, true)
    }

    fn build(topology: Topology, of_one: bool) -> Self {
        let ranks = if of_one { 1 } else { topology.npus() };
        let mut first = 0;
        let dimensions = topology.dimensions().iter().map(|&dimension| {
            let per_rank = links_per_rank(&dimension) as u32;
            let cost = Cost {
                bytes: 0,
                arrival: dimension.latency as u64,
                occupied: 0,
            };
            let links = Links {
                dimension,
                first,
                per_rank,
                cost,
            };
            first += per_rank * ranks;
            links
        });
        Aware {
            dimensions: dimensions.collect(),
            links: vec![IDLE; first as usize],
            topology,
            of_one,
        }
    }

    /// Its topology.
    pub fn topology(&self) -> &Topology {
        &self.topology
    }

    /// How many links there are.
    pub fn links(&self) -> usize {
        self.links.len()
    }

    /// Between whom a link is.
    pub fn describe(&self, link: u32) -> String {
        let Links {
            dimension,
            first,
            per_rank,
            ..
        } = &self.dimensions[self.dimension_of(link)];
        let (rank, port) = ((link - first) / per_rank, (link - first) % per_rank);
        let from = dimension.coordinate(rank);
        let moved = |coordinate: u32| rank - from * dimension.stride + coordinate * dimension.stride;
        match (dimension.kind, port) {
            (BlockKind::FullyConnected, goal) => format!("rank {rank} -> rank {}", moved(goal)),
            (BlockKind::Switch, 0) => format!("rank {rank} -> switch"),
            (BlockKind::Switch, _) => format!("switch -> rank {rank}"),
            (BlockKind::Ring, 0) => format!("rank {rank} -> rank {}", moved((from + 1) % dimension.size)),
            (BlockKind::Ring, _) => {
                let before = (from + dimension.size - 1) % dimension.size;
                format!("rank {rank} -> rank {}", moved(before))
            }
        }
    }

    /// Shows each link that a message goes over.
    pub fn walk(&self, from: Rank, to: Rank, bytes: u64, mut visit: impl FnMut(Hop)) {
        let mut at = from;
        while at != to {
            let (dimension, link, next) = self.hop(at, to);
            let bandwidth = self.dimensions[dimension].dimension.bandwidth;
            visit(Hop {
                dimension,
                link,
                bytes,
                taken: (bytes as f64 / bandwidth) as u64,
            });
            at = next;
        }
    }

    fn dimension_of(&self, link: u32) -> usize {
        self.dimensions.partition_point(|links| links.first <= link) - 1
    }

    /// Sends a message on its way from where it is; gives the link, or `None` if it is where it belongs.
    #[inline]
    pub fn forward(
        &mut self,
        messages: &mut Messages,
        queue: &mut EventQueue,
        index: MessageIndex,
    ) -> Option<u32> {
        let message = messages.get_mut(index);
        let (at, to) = (message.at, message.key.destination);
        if at == to {
            return None;
        }
        let (d, link, next) = self.hop(at, to);
        message.at = next;
        message.behind = NONE;
        let bytes = message.key.bytes;
        let line = &mut self.links[link as usize];
        if line.busy {
            if line.head == NONE {
                line.head = index;
            } else {
                messages.get_mut(line.tail).behind = index;
            }
            line.tail = index;
        } else {
            line.busy = true;
            self.transmit(queue, d, link, index, bytes);
        }
        Some(link)
    }

    /// A link has sent its message: the next one may go.
    pub fn release(&mut self, messages: &Messages, queue: &mut EventQueue, link: u32) {
        let line = &mut self.links[link as usize];
        let index = line.head;
        if index == NONE {
            line.busy = false;
            return;
        }
        let message = messages.get(index);
        line.head = message.behind;
        let d = self.dimension_of(link);
        self.transmit(queue, d, link, index, message.key.bytes);
    }

    fn transmit(&mut self, queue: &mut EventQueue, d: usize, link: u32, index: MessageIndex, bytes: u64) {
        let Links { dimension, cost, .. } = &mut self.dimensions[d];
        if cost.bytes != bytes {
            let serialisation = bytes as f64 / dimension.bandwidth;
            *cost = Cost {
                bytes,
                arrival: (dimension.latency + serialisation) as u64,
                occupied: serialisation as u64,
            };
        }
        queue.push(cost.arrival, Kind::Arrival, index, 0);
        queue.push(cost.occupied, Kind::LinkFree, link, 0);
    }

    /// The first of a rank's links in a dimension.
    #[inline]
    fn links_of(&self, d: usize, rank: Rank) -> u32 {
        let links = &self.dimensions[d];
        let rank = if self.of_one { 0 } else { rank };
        links.first + rank * links.per_rank
    }

    /// The link from `at` towards `to`, its dimension, and where it leads.
    fn hop(&self, at: u32, to: Rank) -> (usize, u32, u32) {
        if at & IN_SWITCH != 0 {
            let rank = at & (MAX_NPUS - 1);
            let d = ((at & !IN_SWITCH) >> DIMENSION_SHIFT) as usize;
            return (d, self.links_of(d, rank) + 1, rank);
        }
        let (d, from, goal) = self
            .topology
            .differing(at, to)
            .expect("a message that is where it belongs is not sent on");
        let Dimension {
            kind, size, stride, ..
        } = self.dimensions[d].dimension;
        let mine = self.links_of(d, at);
        let moved = |coordinate: u32| at - from * stride + coordinate * stride;
        match kind {
            BlockKind::FullyConnected if self.of_one => (d, mine + (goal + size - from) % size, moved(goal)),
            BlockKind::FullyConnected => (d, mine + goal, moved(goal)),
            BlockKind::Switch => {
                let switch = IN_SWITCH | (d as u32) << DIMENSION_SHIFT;
                (d, mine, switch | moved(goal))
            }
            BlockKind::Ring => {
                let clockwise = if goal < from {
                    goal + size - from
                } else {
                    goal - from
                };
                if size - clockwise < clockwise {
                    let next = from.checked_sub(1).unwrap_or(size - 1);
                    (d, mine + 1, moved(next))
                } else {
                    let next = if from + 1 == size { 0 } else { from + 1 };
                    (d, mine, moved(next))
                }
            }
        }
    }
}
