//! What an algorithm is: for each position in a communicator, rounds of messages between cells of
//! buffers, as pure data that is generated when it is needed and never stored as a whole.

use std::fmt;

use crate::system::action::Combine;

/// Some cells of a rank's buffer: `first`, `first + stride`, ... (`count` of them). What a cell is
/// and where it lies is said by [`super::Layout`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Cells {
    /// The first cell.
    pub first: u32,
    /// Distance from one to the next.
    pub stride: u32,
    /// How many.
    pub count: u32,
}

impl Cells {
    /// One cell.
    pub fn one(cell: u32) -> Self {
        Cells {
            first: cell,
            stride: 1,
            count: 1,
        }
    }

    /// The cells from `first` up to, not including, `end`.
    pub fn range(first: u32, end: u32) -> Self {
        Cells {
            first,
            stride: 1,
            count: end - first,
        }
    }

    /// The cells below `end` that are `residue` modulo `modulus`.
    pub fn congruent(residue: u32, modulus: u32, end: u32) -> Self {
        let count = end.saturating_sub(residue).div_ceil(modulus);
        Cells {
            first: residue,
            stride: modulus,
            count,
        }
    }

    /// Every cell in order.
    pub fn iter(self) -> impl Iterator<Item = u32> {
        (0..self.count).map(move |i| self.first + i * self.stride)
    }
}

/// One side of a message of a schedule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Message {
    /// Position of the other side.
    pub peer: u32,
    /// Cells of this side's buffer. The other side names as many of its own, of the same sizes in
    /// the same order.
    pub cells: Cells,
}

/// What a position does in a round.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Round {
    /// Started in this order when all receives of earlier rounds are complete.
    pub sends: Vec<Message>,
    /// Complete in any order.
    pub receives: Vec<(Message, Combine)>,
}

impl Round {
    /// Adds a send to position `peer`.
    pub fn send(&mut self, peer: u32, cells: Cells) {
        self.sends.push(Message { peer, cells });
    }

    /// Adds a receive from position `peer` that overwrites.
    pub fn copy(&mut self, peer: u32, cells: Cells) {
        self.receives.push((Message { peer, cells }, Combine::Copy));
    }

    /// Adds a receive from position `peer` that reduces into what is there.
    pub fn reduce(&mut self, peer: u32, cells: Cells) {
        self.receives.push((Message { peer, cells }, Combine::Reduce));
    }
}

/// An algorithm for one collective among so many ranks.
///
/// Rules, proven for every schedule by [`super::verify`]:
/// * the i-th message that position s sends to d is the i-th that d receives from s, counted
///   through the rounds;
/// * sends of a round carry what the receives of all earlier rounds left behind;
/// * receives of one round that name the same cell all reduce;
/// * a receive that overwrites what an earlier or simultaneous send of this position reads is an
///   answer to that send (so it cannot arrive before the send has gone), or it reduces (see the
///   contract of [`crate::system::action::Action::Send`]).
pub trait Schedule: fmt::Debug + Send + Sync {
    /// How many rounds `position` takes part in; 0 when there is nothing to do.
    fn rounds(&self, position: u32) -> u32;

    /// Adds what `position` does in round `k` (below [`Schedule::rounds`]) to `round`.
    fn round(&self, position: u32, k: u32, round: &mut Round);

    /// Length of the critical path: message latencies that one chunk spends one after another.
    fn depth(&self) -> u32;
}

/// `position + distance` around a ring of `n`; `distance` below `n`.
pub(super) fn ahead(position: u32, distance: u32, n: u32) -> u32 {
    ((u64::from(position) + u64::from(distance)) % u64::from(n)) as u32
}

/// `position - distance` around a ring of `n`; `distance` at most `n`.
pub(super) fn behind(position: u32, distance: u32, n: u32) -> u32 {
    ahead(position, n - distance % n, n)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn congruent_cells_stay_below_the_end() {
        assert_eq!(Cells::congruent(1, 4, 11).iter().collect::<Vec<_>>(), [1, 5, 9]);
        assert_eq!(Cells::congruent(3, 4, 3).count, 0);
    }

    #[test]
    fn rings_close() {
        assert_eq!((ahead(6, 3, 7), behind(1, 3, 7), behind(0, 7, 7)), (2, 5, 0));
    }
}
