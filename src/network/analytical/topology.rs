//! The networks of ASTRA-sim's analytical backends: dimensions of rings, switches and full meshes.
//! Dimension 0 is the fastest-varying part of a rank.

use crate::network::message::Rank;

/// Bytes of a network "GB" per second, as bytes per nanosecond: ASTRA-sim's network counts 2^30.
pub const BYTES_PER_NS_OF_GB_PER_S: f64 = (1u64 << 30) as f64 / 1e9;

/// Most NPUs of a topology.
pub const MAX_NPUS: u32 = 1 << 27;

/// Most dimensions of a topology.
pub const MAX_DIMENSIONS: usize = 16;

/// How the members of a dimension are connected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// Each with the next, both ways.
    Ring,
    /// Each with every other.
    FullyConnected,
    /// Each with one switch.
    Switch,
}

/// One dimension.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Dimension {
    /// How its members are connected.
    pub shape: Shape,
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
        match self.shape {
            Shape::FullyConnected => 1,
            Shape::Switch => 2,
            Shape::Ring => {
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
    /// A network of dimensions, the fastest-varying first: shape, members, bandwidth in ASTRA-sim's
    /// GB/s and latency in nanoseconds of each. There are at most [`MAX_DIMENSIONS`] and [`MAX_NPUS`].
    pub fn new(dimensions: impl IntoIterator<Item = (Shape, u32, f64, f64)>) -> Self {
        let mut npus = 1;
        let dimension = |(shape, size, gb_per_s, latency)| {
            let stride = npus;
            npus *= size;
            Dimension {
                shape,
                size,
                stride,
                bandwidth: gb_per_s * BYTES_PER_NS_OF_GB_PER_S,
                latency,
            }
        };
        let dimensions: Vec<Dimension> = dimensions.into_iter().map(dimension).collect();
        debug_assert!(dimensions.len() <= MAX_DIMENSIONS && npus <= MAX_NPUS);
        Topology { dimensions, npus }
    }

    /// The dimensions.
    pub fn dimensions(&self) -> &[Dimension] {
        &self.dimensions
    }

    /// Ranks.
    pub fn npus(&self) -> u32 {
        self.npus
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
