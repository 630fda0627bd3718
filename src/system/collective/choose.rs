//! Which algorithm `auto` is. Small messages are bound by latency and by the cost of a message, so
//! few rounds and few messages win; large ones by bandwidth, so the fewest bytes per link and only
//! neighbours as peers win.

use crate::system::op::{Algorithm, Collective};

/// All-reduce up to this size, bytes, sends whole buffers log2(n) times; above, the log2(n)-fold
/// bytes outweigh the halved number of rounds (the usual switch-over of MPI libraries is 2 to 64 KiB).
pub const RECURSIVE_DOUBLING_BYTES: u64 = 32 << 10;

/// Small all-reduces among so many ranks go through trees: 2(n-1) messages in place of n log2(n), in at
/// most twice the rounds. Where ranks share cores, as on every machine that emulates a network, the
/// messages are what takes time (8 ranks on 2 cores: 5 to 15 % less, 16 ranks: 25 to 40 %).
pub const TREE_RANKS: u32 = 8;

/// All-reduce, all-gather and reduce-scatter up to this many bytes per rank halve and double: as few
/// bytes as a ring in log2(n) rounds, but with partners far away, whose paths collide.
pub const HALVING_DOUBLING_BYTES_PER_RANK: u64 = 64 << 10;

/// Fewer ranks than this gain too few rounds by halving and doubling.
pub const HALVING_DOUBLING_RANKS: u32 = 8;

/// Broadcast and reduce up to this size, bytes, use trees; above, a chain sends every byte once per
/// rank (which needs several chunks to fill).
pub const TREE_BYTES: u64 = 4 << 20;

/// Broadcast and reduce among at most this many ranks go straight from or to the root.
pub const DIRECT_RANKS: u32 = 3;

/// The algorithm for `collective` among `n` ranks with `bytes` as [`crate::system::op::Op::bytes`].
/// The same on every rank.
pub fn choose(collective: Collective, n: u32, bytes: u64) -> Algorithm {
    let halving =
        n >= HALVING_DOUBLING_RANKS && bytes / u64::from(n.max(1)) <= HALVING_DOUBLING_BYTES_PER_RANK;
    match collective {
        Collective::AllReduce if n >= TREE_RANKS && bytes <= RECURSIVE_DOUBLING_BYTES => {
            Algorithm::DoubleBinaryTree
        }
        Collective::AllReduce if bytes <= RECURSIVE_DOUBLING_BYTES => Algorithm::RecursiveDoubling,
        Collective::AllReduce | Collective::AllGather | Collective::ReduceScatter if halving => {
            Algorithm::HalvingDoubling
        }
        Collective::AllReduce | Collective::AllGather | Collective::ReduceScatter => Algorithm::Ring,
        Collective::Broadcast | Collective::Reduce if n <= DIRECT_RANKS => Algorithm::Direct,
        Collective::Broadcast | Collective::Reduce if bytes <= TREE_BYTES => Algorithm::DoubleBinaryTree,
        Collective::Broadcast | Collective::Reduce | Collective::SendRecv => Algorithm::Ring,
        Collective::AllToAll | Collective::Gather | Collective::Scatter => Algorithm::Direct,
        Collective::Barrier => Algorithm::RecursiveDoubling,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::system::collective::supports;

    #[test]
    fn what_is_chosen_is_supported() {
        for collective in Collective::ALL {
            for n in [1, 2, 3, 8, 13, 1024] {
                for bytes in [0, 8, 1 << 16, 1 << 20, 1 << 40] {
                    let algorithm = choose(collective, n, bytes);
                    assert_eq!(supports(collective, algorithm), Ok(()));
                    assert_ne!(algorithm, Algorithm::Auto);
                }
            }
        }
    }

    #[test]
    fn all_reduce_goes_from_fewest_rounds_to_fewest_collisions() {
        let of = |n, bytes| choose(Collective::AllReduce, n, bytes);
        let by_size = [4 << 10, 1 << 20, 1 << 30].map(|bytes| of(64, bytes));
        use Algorithm::{DoubleBinaryTree, HalvingDoubling, RecursiveDoubling, Ring};
        assert_eq!(by_size, [DoubleBinaryTree, HalvingDoubling, Ring]);
        assert_eq!(of(4, 4 << 10), RecursiveDoubling, "few ranks: fewest rounds");
    }
}
