//! Groups of ranks.

use thiserror::Error;

use crate::network::message::{CommunicatorId, Rank};

/// A group of ranks, seen from one of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Communicator {
    id: CommunicatorId,
    ranks: Vec<Rank>,
    position: u32,
}

/// A group that cannot be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum CommunicatorError {
    /// The rank is not in it.
    #[error("rank {rank} is no member of communicator {id}")]
    NotMember {
        /// The communicator.
        id: CommunicatorId,
        /// The rank that was to join.
        rank: Rank,
    },
    /// A rank is in it twice.
    #[error("rank {rank} is in communicator {id} more than once")]
    Repeated {
        /// The communicator.
        id: CommunicatorId,
        /// The rank.
        rank: Rank,
    },
    /// The number is taken.
    #[error("there is a communicator {0} already")]
    Exists(CommunicatorId),
}

impl Communicator {
    /// The group `ranks`, in order of position, seen from `rank`.
    ///
    /// # Errors
    /// If `rank` is not in it or any rank is in it twice.
    pub fn new(id: CommunicatorId, ranks: Vec<Rank>, rank: Rank) -> Result<Self, CommunicatorError> {
        let mut sorted = ranks.clone();
        sorted.sort_unstable();
        if let Some(pair) = sorted.windows(2).find(|pair| pair[0] == pair[1]) {
            return Err(CommunicatorError::Repeated { id, rank: pair[0] });
        }
        let Some(position) = ranks.iter().position(|&r| r == rank) else {
            return Err(CommunicatorError::NotMember { id, rank });
        };
        Ok(Communicator {
            id,
            ranks,
            position: position as u32,
        })
    }

    /// Its number.
    pub fn id(&self) -> CommunicatorId {
        self.id
    }

    /// How many ranks it has.
    pub fn size(&self) -> u32 {
        self.ranks.len() as u32
    }

    /// Position of the rank that sees it.
    pub fn position(&self) -> u32 {
        self.position
    }

    /// World rank at a position.
    pub fn rank(&self, position: u32) -> Rank {
        self.ranks[position as usize]
    }

    /// World ranks in order of position.
    pub fn ranks(&self) -> &[Rank] {
        &self.ranks
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_are_not_world_ranks() {
        let communicator = Communicator::new(3, vec![9, 4, 7], 7).unwrap();
        assert_eq!(
            (communicator.position(), communicator.rank(0), communicator.size()),
            (2, 9, 3)
        );
    }

    #[test]
    fn strangers_and_doubles_are_refused() {
        assert_eq!(
            Communicator::new(3, vec![1, 2], 0),
            Err(CommunicatorError::NotMember { id: 3, rank: 0 })
        );
        assert_eq!(
            Communicator::new(3, vec![0, 1, 0], 0),
            Err(CommunicatorError::Repeated { id: 3, rank: 0 })
        );
    }
}
