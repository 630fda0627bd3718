//! Collective algorithms, one file each, and the verifier that proves them.
//!
//! * [`schedule`]: what an algorithm is: rounds of messages between positions, as pure data.
//! * [`ring`], [`direct`], [`halving_doubling`], [`recursive_doubling`], [`double_binary_tree`].
//! * [`layout`], [`region`]: where the cells that messages name lie in an operation's buffer.
//! * [`promise`]: what cells hold before an operation and must hold after it.
//! * [`mod@choose`], [`mod@traffic`]: which algorithm `auto` is; who sends how much to whom, for planning.
//! * [`verify`]: proves that the machine and a schedule together keep the promise.

use std::sync::Arc;

use thiserror::Error;

use super::op::{Algorithm, Collective, Op};

mod area;
pub mod choose;
pub mod direct;
pub mod double_binary_tree;
pub mod halving_doubling;
pub mod layout;
pub mod promise;
pub mod recursive_doubling;
pub mod region;
pub mod ring;
pub mod schedule;
pub mod traffic;
pub mod verify;

pub use choose::choose;
pub use layout::Layout;
pub use region::Region;
pub use schedule::{Cells, Message, Round, Schedule};
pub use traffic::{Flow, Traffic, traffic};

/// A collective that has no such algorithm.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("{collective} has no {algorithm} algorithm; the nearest is {nearest}")]
pub struct Unsupported {
    /// What was to be done.
    pub collective: Collective,
    /// By which algorithm.
    pub algorithm: Algorithm,
    /// The algorithm to use in its place.
    pub nearest: Algorithm,
}

/// An operation that no communicator of this size can carry out.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum OpError {
    /// No such algorithm.
    #[error(transparent)]
    Unsupported(#[from] Unsupported),
    /// The root is not a position.
    #[error("root {root} is outside a communicator of {n} ranks")]
    RootOutside {
        /// Position asked for.
        root: u32,
        /// Communicator size.
        n: u32,
    },
    /// The matrix is not n by n.
    #[error("the matrix of an all-to-all between {n} ranks needs {n} rows of {n} sizes")]
    MatrixShape {
        /// Communicator size.
        n: u32,
    },
    /// Only all-to-all has a matrix.
    #[error("{0} takes no matrix; only all-to-all does")]
    MatrixElsewhere(Collective),
    /// More messages between two ranks than a tag can number.
    #[error("{algorithm} {collective} between {n} ranks needs more messages per pair than a tag can number")]
    TooManyRanks {
        /// What was to be done.
        collective: Collective,
        /// By which algorithm.
        algorithm: Algorithm,
        /// Communicator size.
        n: u32,
    },
}

/// Whether `collective` can be done by `algorithm` ([`Algorithm::Auto`] always can).
///
/// # Errors
/// Names the nearest algorithm that can.
pub fn supports(collective: Collective, algorithm: Algorithm) -> Result<(), Unsupported> {
    use Algorithm::{Auto, Direct, DoubleBinaryTree, HalvingDoubling, RecursiveDoubling, Ring};
    use Collective as C;
    let (can, nearest): (&[Algorithm], Algorithm) = match collective {
        C::AllReduce => (
            &[Ring, Direct, HalvingDoubling, RecursiveDoubling, DoubleBinaryTree],
            Ring,
        ),
        C::AllGather | C::ReduceScatter => (
            &[Ring, Direct, HalvingDoubling],
            if algorithm == RecursiveDoubling {
                HalvingDoubling
            } else {
                Ring
            },
        ),
        C::AllToAll => (&[Direct, Ring], Direct),
        C::Broadcast | C::Reduce => (&[Ring, Direct, DoubleBinaryTree], DoubleBinaryTree),
        C::Gather | C::Scatter => (&[Direct, Ring], Direct),
        C::Barrier => (
            &[Direct, Ring, RecursiveDoubling, DoubleBinaryTree],
            RecursiveDoubling,
        ),
        C::SendRecv => (&[Ring], Ring),
    };
    if algorithm == Auto || can.contains(&algorithm) {
        Ok(())
    } else {
        Err(Unsupported {
            collective,
            algorithm,
            nearest,
        })
    }
}

/// The algorithm of `op` among `n` ranks, with [`Algorithm::Auto`] resolved.
pub fn algorithm(op: &Op, n: u32) -> Algorithm {
    match op.algorithm {
        Algorithm::Auto => choose(op.collective, n, op.bytes),
        chosen => chosen,
    }
}

/// Whether `n` ranks can carry out `op`.
///
/// # Errors
/// Says what is wrong with the operation.
pub fn check(op: &Op, n: u32) -> Result<(), OpError> {
    let (collective, algorithm) = (op.collective, algorithm(op, n));
    supports(collective, algorithm)?;
    if op.root >= n {
        return Err(OpError::RootOutside { root: op.root, n });
    }
    if let Some(matrix) = &op.matrix {
        if collective != Collective::AllToAll {
            return Err(OpError::MatrixElsewhere(collective));
        }
        if matrix.len() != n as usize || matrix.iter().any(|row| row.len() != n as usize) {
            return Err(OpError::MatrixShape { n });
        }
    }
    let per_pair = match (collective, algorithm) {
        (Collective::AllToAll, Algorithm::Ring) => u64::from(n) * u64::from(n - 1) / 2,
        _ => 2 * u64::from(n),
    };
    if per_pair > u64::from(super::tag::MAX_MESSAGES) {
        return Err(OpError::TooManyRanks {
            collective,
            algorithm,
            n,
        });
    }
    Ok(())
}

/// The schedules of `op` among `n` ranks: chunk c runs `schedules[c % len]`.
///
/// # Errors
/// As [`check`].
pub fn schedules(op: &Op, n: u32) -> Result<Vec<Arc<dyn Schedule>>, OpError> {
    check(op, n)?;
    let (collective, root) = (op.collective, op.root);
    Ok(match algorithm(op, n) {
        Algorithm::Auto => unreachable!("algorithm() resolves auto"),
        Algorithm::Ring => vec![Arc::new(ring::Ring { collective, n, root })],
        Algorithm::Direct => vec![Arc::new(direct::Direct { collective, n, root })],
        Algorithm::HalvingDoubling => vec![Arc::new(halving_doubling::HalvingDoubling { collective, n })],
        Algorithm::RecursiveDoubling => {
            vec![Arc::new(recursive_doubling::RecursiveDoubling { collective, n })]
        }
        Algorithm::DoubleBinaryTree => double_binary_tree::Tree::BOTH
            .map(|tree| double_binary_tree::DoubleBinaryTree {
                collective,
                n,
                root,
                tree,
            })
            .map(|s| Arc::new(s) as Arc<dyn Schedule>)
            .to_vec(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_refusal_names_an_algorithm_that_is_not_refused() {
        for collective in Collective::ALL {
            let mut supported = 0;
            for algorithm in Algorithm::ALL {
                match supports(collective, algorithm) {
                    Ok(()) => supported += 1,
                    Err(refusal) => assert_eq!(supports(collective, refusal.nearest), Ok(())),
                }
            }
            assert!(supported > 0, "{collective} cannot be done at all");
        }
        let refusal = supports(Collective::AllGather, Algorithm::RecursiveDoubling).unwrap_err();
        assert_eq!(
            refusal.to_string(),
            "all-gather has no recursive-doubling algorithm; the nearest is halving-doubling"
        );
    }

    #[test]
    fn what_no_communicator_can_do_is_refused() {
        let op = Op {
            root: 4,
            ..Op::new(Collective::Broadcast, Algorithm::Ring, 8)
        };
        assert_eq!(check(&op, 4), Err(OpError::RootOutside { root: 4, n: 4 }));
        let op = Op {
            matrix: Some(vec![vec![1; 4]; 3]),
            ..Op::new(Collective::AllToAll, Algorithm::Direct, 8)
        };
        assert_eq!(check(&op, 4), Err(OpError::MatrixShape { n: 4 }));
        let op = Op {
            matrix: Some(vec![vec![1; 4]; 4]),
            ..Op::new(Collective::AllGather, Algorithm::Ring, 8)
        };
        assert_eq!(
            check(&op, 4),
            Err(OpError::MatrixElsewhere(Collective::AllGather))
        );
        let op = Op::new(Collective::AllToAll, Algorithm::Ring, 8);
        assert!(matches!(check(&op, 6000), Err(OpError::TooManyRanks { .. })));
    }
}
