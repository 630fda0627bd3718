//! The networks of ASTRA-sim's analytical backends: dimensions of rings, switches and full meshes.
//! Dimension 0 is the fastest-varying part of a rank.

use crate::network::message::Rank;

use super::config::{BlockKind, Dim, NetworkConfig};

/// Most NPUs of a topology.
pub const MAX_NPUS: u32 = 1 << 27;

/// Most dimensions of a topology.
pub const MAX_DIMENSIONS: usize = 16;

/// A network that is too large.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a network has at most {MAX_NPUS} NPUs and {MAX_DIMENSIONS} dimensions")]
pub struct TooLarge;

/// One dimension.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Dimension {
    /// How its members are connected.
    pub kind: BlockKind,
    /// Members.
    pub size: u32,
    /// Distance between the ranks of neighbours.
    pub stride: u32,
    /// Bytes per nanosecond of a link.
    pub bandwidth: f64,
    /// Nanoseconds of a link.
    pub latency: f64,
}

impl Dimension {
    /// A rank's coordinate.
    pub fn coordinate(&self, rank: Rank) -> u32 {
        rank / self.stride % self.size
    }

    /// Hops between two coordinates: a ring's shorter way, up and down a switch.
    pub fn hops(&self, from: u32, to: u32) -> u32 {
        match self.kind {
            BlockKind::FullyConnected => 1,
            BlockKind::Switch => 2,
            BlockKind::Ring => {
                let clockwise = if to < from {
                    to + self.size - from
                } else {
                    to - from
                };
                clockwise.min(self.size - clockwise)
            }
        }
    }
}

/// All dimensions.
#[derive(Debug, Clone, PartialEq)]
pub struct Topology {
    dimensions: Vec<Dimension>,
    npus: u32,
}

impl Topology {
    /// The network that a file describes.
    ///
    /// # Errors
    /// If it has more dimensions or NPUs than can be told apart.
    pub fn new(config: &NetworkConfig) -> Result<Self, TooLarge> {
        let mut npus = config.dims.iter().map(|dim| u64::from(dim.npus));
        let npus = npus.try_fold(1, u64::checked_mul).unwrap_or(u64::MAX);
        if npus > u64::from(MAX_NPUS) || config.dims.len() > MAX_DIMENSIONS {
            return Err(TooLarge);
        }
        let mut stride = 1;
        let dimension = |dim: &Dim| {
            let built = Dimension {
                kind: dim.kind,
                size: dim.npus,
                stride,
                bandwidth: dim.bytes_per_ns(),
                latency: dim.latency_ns,
            };
            stride *= dim.npus;
            built
        };
        Ok(Topology {
            dimensions: config.dims.iter().map(dimension).collect(),
            npus: npus as u32,
        })
    }

    /// The dimensions.
    pub fn dimensions(&self) -> &[Dimension] {
        &self.dimensions
    }

    /// Ranks.
    pub fn npus(&self) -> u32 {
        self.npus
    }

    /// The rank from which 0 is as far, in every dimension, as `rank` is from 0.
    pub fn opposite(&self, rank: Rank) -> Rank {
        let ways = self.dimensions.iter().map(|dim| {
            let coordinate = dim.coordinate(rank);
            (dim.size - coordinate) % dim.size * dim.stride
        });
        ways.sum()
    }

    /// The first dimension in which two ranks differ, with both coordinates.
    pub fn differing(&self, from: Rank, to: Rank) -> Option<(usize, u32, u32)> {
        if let [only] = &self.dimensions[..] {
            debug_assert_eq!(only.stride, 1);
            return (from != to).then_some((0, from, to));
        }
        let pairs = self.dimensions.iter().enumerate();
        pairs
            .map(|(d, dim)| (d, dim.coordinate(from), dim.coordinate(to)))
            .find(|&(_, a, b)| a != b)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_opposite_of_a_rank_is_as_far_from_0() {
        let dim = |kind, npus| Dim {
            kind,
            npus,
            bandwidth_gib_per_s: 50.0,
            latency_ns: 500.0,
        };
        let dims = vec![
            dim(BlockKind::Ring, 4),
            dim(BlockKind::Switch, 2),
            dim(BlockKind::FullyConnected, 3),
        ];
        let topology = Topology::new(&NetworkConfig { dims }).unwrap();
        let coordinates = |rank| -> Vec<u32> {
            let dims = topology.dimensions().iter();
            dims.map(|dim| dim.coordinate(rank)).collect()
        };
        assert_eq!(coordinates(23), [3, 1, 2]);
        assert_eq!(coordinates(topology.opposite(23)), [1, 1, 1]);
        assert!((0..24).all(|rank| topology.opposite(topology.opposite(rank)) == rank));
    }
}
