//! The congestion-unaware network: every message has its way for itself. Only the first dimension in
//! which the ranks differ is charged: hops x latency + bytes / bandwidth, rounded down once.

use crate::network::message::Rank;

use super::topology::Topology;

/// Delays of messages that never meet.
#[derive(Debug)]
pub struct Unaware {
    topology: Topology,
    /// The last dimension and size asked for, and how long that size takes, ns: most messages of a
    /// collective are alike.
    last: (usize, u64, f64),
}

impl Unaware {
    /// The network of a topology.
    pub fn new(topology: Topology) -> Self {
        Unaware {
            topology,
            last: (usize::MAX, 0, 0.0),
        }
    }

    /// Its topology.
    pub fn topology(&self) -> &Topology {
        &self.topology
    }

    /// Nanoseconds from send to arrival.
    pub fn delay(&mut self, from: Rank, to: Rank, bytes: u64) -> u64 {
        let Some((d, a, b)) = self.topology.differing(from, to) else {
            return 0;
        };
        let dimension = &self.topology.dimensions()[d];
        if (self.last.0, self.last.1) != (d, bytes) {
            self.last = (d, bytes, bytes as f64 / dimension.bandwidth);
        }
        (f64::from(dimension.hops(a, b)) * dimension.latency + self.last.2) as u64
    }
}
