//! Partners at distances 1, 2, 4, ...; what is exchanged halves, then doubles (Thakur, Rabenseifner
//! and Gropp, "Optimization of collective communication operations in MPICH", 2005, with ASTRA-sim's
//! order of partners: distance 1 first in the reduce-scatter, last in the all-gather). When n is no
//! power of two, position m+a (m the largest power of two in n) is folded into a before and out after.

use crate::system::op::Collective;

use super::schedule::{Cells, Round, Schedule};

/// Halving, doubling, or both.
#[derive(Debug, Clone)]
pub struct HalvingDoubling {
    /// Which collective.
    pub collective: Collective,
    /// Communicator size.
    pub n: u32,
}

/// How positions beyond the largest power of two take part.
#[derive(Debug, Clone, Copy)]
pub(super) struct Fold {
    n: u32,
    /// The largest power of two that is at most n.
    pub(super) active: u32,
}

/// Which part of a folded schedule a round belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    /// An extra position hands its data to its active partner.
    In,
    /// Round of the active positions among themselves.
    Among(u32),
    /// The active partner hands the result back.
    Out,
}

impl Fold {
    pub(super) fn new(n: u32) -> Self {
        Fold {
            n,
            active: 1 << n.ilog2(),
        }
    }

    /// Rounds of the halving or of the doubling.
    pub(super) fn log(self) -> u32 {
        self.active.ilog2()
    }

    /// The position folded into `position`, or into which it is folded.
    pub(super) fn partner(self, position: u32) -> Option<u32> {
        match position.checked_sub(self.active) {
            Some(active) => Some(active),
            None => Some(position + self.active).filter(|&extra| extra < self.n),
        }
    }

    pub(super) fn is_extra(self, position: u32) -> bool {
        position >= self.active
    }

    /// Rounds of `position` when the active positions take `among` among themselves.
    pub(super) fn rounds(self, position: u32, among: u32) -> u32 {
        match (self.is_extra(position), self.partner(position)) {
            (true, _) => 2,
            (false, Some(_)) => among + 2,
            (false, None) => among,
        }
    }

    /// Which part round `k` of `position` is.
    pub(super) fn part(self, position: u32, k: u32, among: u32) -> Part {
        match (self.is_extra(position), self.partner(position)) {
            (_, Some(_)) if k == 0 => Part::In,
            (true, _) => Part::Out,
            (false, Some(_)) if k == among + 1 => Part::Out,
            (false, Some(_)) => Part::Among(k - 1),
            (false, None) => Part::Among(k),
        }
    }

    /// Critical path when the active positions go `passes` times through all distances: a path from
    /// position y to position x flips the bits in which they differ, begins with a message if y has
    /// an extra and ends with one if x has. After one pass x and y differ in every bit on the longest
    /// path, so that both can have one only if more than half of the active positions do.
    pub(super) fn depth(self, passes: u32) -> u32 {
        let extras = self.n - self.active;
        passes * self.log()
            + match extras {
                0 => 0,
                _ if passes > 1 || 2 * extras > self.active => 2,
                _ => 1,
            }
    }
}

impl HalvingDoubling {
    /// Cells of the buffer: as many as there are active positions (all-reduce) or ranks.
    fn cells(&self) -> u32 {
        match self.collective {
            Collective::AllReduce => Fold::new(self.n).active,
            _ => self.n,
        }
    }

    /// Halving, doubling, or both.
    fn passes(&self) -> u32 {
        if self.collective == Collective::AllReduce {
            2
        } else {
            1
        }
    }

    /// Rounds among the active positions.
    fn among(&self) -> u32 {
        self.passes() * Fold::new(self.n).log()
    }

    /// The partner's half is sent, the own half received: distance 2^level.
    fn halve(&self, position: u32, level: u32, round: &mut Round) {
        let (partner, modulus) = (position ^ (1 << level), 2 << level);
        round.send(
            partner,
            Cells::congruent(partner % modulus, modulus, self.cells()),
        );
        round.reduce(
            partner,
            Cells::congruent(position % modulus, modulus, self.cells()),
        );
    }

    /// What is held is sent, as much received: distance 2^level.
    fn double(&self, position: u32, level: u32, round: &mut Round) {
        let (partner, modulus) = (position ^ (1 << level), 2 << level);
        round.send(
            partner,
            Cells::congruent(position % modulus, modulus, self.cells()),
        );
        round.copy(
            partner,
            Cells::congruent(partner % modulus, modulus, self.cells()),
        );
    }

    fn fold_in(&self, position: u32, partner: u32, extra: bool, round: &mut Round) {
        let cells = match self.collective {
            Collective::AllGather => Cells::one(position.max(partner)),
            _ => Cells::range(0, self.cells()),
        };
        match (extra, self.collective) {
            (true, _) => round.send(partner, cells),
            (false, Collective::AllGather) => round.copy(partner, cells),
            (false, _) => round.reduce(partner, cells),
        }
    }

    fn fold_out(&self, position: u32, partner: u32, extra: bool, round: &mut Round) {
        let folded = position.max(partner);
        let pieces = match self.collective {
            Collective::ReduceScatter => vec![Cells::one(folded)],
            Collective::AllGather => vec![Cells::range(0, folded), Cells::range(folded + 1, self.n)],
            _ => vec![Cells::range(0, self.cells())],
        };
        for cells in pieces.into_iter().filter(|cells| cells.count > 0) {
            if extra {
                round.copy(partner, cells);
            } else {
                round.send(partner, cells);
            }
        }
    }
}

impl Schedule for HalvingDoubling {
    fn rounds(&self, position: u32) -> u32 {
        Fold::new(self.n).rounds(position, self.among())
    }

    fn round(&self, position: u32, k: u32, round: &mut Round) {
        let fold = Fold::new(self.n);
        let (log, extra) = (fold.log(), fold.is_extra(position));
        match (fold.part(position, k, self.among()), fold.partner(position)) {
            (Part::In, Some(partner)) => self.fold_in(position, partner, extra, round),
            (Part::Out, Some(partner)) => self.fold_out(position, partner, extra, round),
            (Part::Among(k), _) => match self.collective {
                Collective::AllGather => self.double(position, log - 1 - k, round),
                _ if k < log => self.halve(position, k, round),
                _ => self.double(position, 2 * log - 1 - k, round),
            },
            (Part::In | Part::Out, None) => unreachable!("only positions with a partner fold"),
        }
    }

    fn depth(&self) -> u32 {
        Fold::new(self.n).depth(self.passes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn partners_are_near_first_with_half_the_data() {
        let schedule = HalvingDoubling {
            collective: Collective::AllReduce,
            n: 8,
        };
        let sent: Vec<(u32, u32)> = (0..schedule.rounds(5))
            .map(|k| {
                let mut round = Round::default();
                schedule.round(5, k, &mut round);
                (round.sends[0].peer ^ 5, round.sends[0].cells.count)
            })
            .collect();
        assert_eq!(
            sent,
            [(1, 4), (2, 2), (4, 1), (4, 1), (2, 2), (1, 4)],
            "distance, eighths of the buffer"
        );
    }
}
