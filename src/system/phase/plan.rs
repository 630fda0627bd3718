//! Which phases a collective has: one per dimension, upwards, or downwards for an all-gather; an
//! all-reduce is scattered on its way up, reduced in the last dimension and gathered on its way down
//! (ASTRA-sim, `Sys::generate_collective`).

use std::sync::Arc;

use crate::network::message::Rank;

use super::{Algorithm, Phase, Pick};
use crate::system::op::Collective;
use crate::system::setup::{LogicalDimension, Pattern, Ring, Setup};

/// What a collective runs over.
#[derive(Debug, Clone)]
pub(in crate::system) enum Scope {
    /// All ranks: those dimensions whose bit is set.
    Dimensions { rank: Rank, involved: u64 },
    /// A group, as one dimension.
    Group(Ring),
}

/// How a collective is cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::system) struct Cut {
    /// Bytes of a chunk.
    pub chunk: u64,
    /// How many; the last one is as large as the others.
    pub chunks: u64,
}

impl Cut {
    /// Cuts `bytes` into `splits` of at least one byte per NPU; all-gathers are cut as they are.
    pub(in crate::system) fn new(collective: Collective, bytes: u64, splits: u64, npus: u32) -> Self {
        let chunk = bytes / splits;
        if collective == Collective::AllGather {
            let chunk = chunk.max(1);
            return Cut {
                chunk,
                chunks: bytes.div_ceil(chunk),
            };
        }
        if chunk < u64::from(npus) {
            return Cut {
                chunk: u64::from(npus),
                chunks: splits,
            };
        }
        Cut {
            chunk,
            chunks: bytes.div_ceil(chunk),
        }
    }
}

/// The phases of chunks of `bytes`, without their turns in queues and among trees.
pub(in crate::system) fn phases(
    setup: &Setup,
    collective: Collective,
    bytes: u64,
    scope: &Scope,
) -> Vec<Phase> {
    let rings = rings(setup, collective, scope);
    let order: Vec<(Collective, Pick, usize)> = if collective == Collective::AllReduce && !setup.baseline {
        up_and_down(rings.len())
    } else {
        let one = |at| (collective, Pick::Any, at);
        if collective == Collective::AllGather {
            (0..rings.len()).rev().map(one).collect()
        } else {
            (0..rings.len()).map(one).collect()
        }
    };
    let mut bytes = bytes;
    let phase = |(collective, pick, at): (Collective, Pick, usize)| {
        let (level, pattern, ring) = rings[at].clone();
        let phase = Phase {
            algorithm: Algorithm::Pattern(pattern),
            collective,
            ring,
            bytes,
            level,
            pick,
            turn: 0,
            trees: (0, 0),
        };
        bytes = phase.output();
        phase
    };
    order.into_iter().map(phase).collect()
}

/// Reduce-scatter up, all-reduce in the last one, all-gather down.
fn up_and_down(dimensions: usize) -> Vec<(Collective, Pick, usize)> {
    let Some(last) = dimensions.checked_sub(1) else {
        return Vec::new();
    };
    let up = (0..last).map(|at| (Collective::ReduceScatter, Pick::FirstHalf, at));
    let down = (0..last)
        .rev()
        .map(|at| (Collective::AllGather, Pick::SecondHalf, at));
    up.chain([(Collective::AllReduce, Pick::FirstHalf, last)])
        .chain(down)
        .collect()
}

/// The rings with more than one member that take part, with their dimensions.
fn rings(setup: &Setup, collective: Collective, scope: &Scope) -> Vec<(u32, Pattern, Ring)> {
    let Some((list, logical)) = setup.logical(collective) else {
        return Vec::new();
    };
    let all: Vec<(u32, Pattern, Ring)> = match scope {
        Scope::Dimensions { rank, involved } => {
            let taking_part = |&(d, _): &(usize, &LogicalDimension)| involved >> d.min(63) & 1 == 1;
            let ring = |(d, dim): (usize, &LogicalDimension)| {
                (
                    d as u32,
                    dim.pattern,
                    Ring::of_dimension(*rank, dim.size, dim.stride),
                )
            };
            logical.iter().enumerate().filter(taking_part).map(ring).collect()
        }
        Scope::Group(ring) => {
            let pattern = match &setup.implementations[list][..] {
                [only] => only.pattern,
                _ => Pattern::Ring,
            };
            vec![(0, pattern, ring.clone())]
        }
    };
    all.into_iter().filter(|(_, _, ring)| ring.size > 1).collect()
}

/// The one phase of a custom algorithm.
pub(in crate::system) fn custom(
    graph: Arc<super::graph::AlgorithmGraph>,
    collective: Collective,
    ring: Ring,
) -> Phase {
    Phase {
        algorithm: Algorithm::Custom(graph),
        collective,
        ring,
        bytes: 0,
        level: 0,
        pick: Pick::FirstHalf,
        turn: 0,
        trees: (0, 0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_remainder_is_a_whole_chunk_and_small_ones_are_raised() {
        let cut = |collective, bytes, splits| {
            let cut = Cut::new(collective, bytes, splits, 8);
            (cut.chunk, cut.chunks)
        };
        assert_eq!(cut(Collective::AllReduce, 1 << 20, 4), (1 << 18, 4));
        assert_eq!(cut(Collective::AllReduce, 103, 4), (25, 5));
        assert_eq!(cut(Collective::AllReduce, 5, 4), (8, 4));
        assert_eq!(cut(Collective::AllGather, 5, 4), (1, 5));
        assert_eq!(cut(Collective::AllGather, 0, 4), (1, 0));
    }
}
