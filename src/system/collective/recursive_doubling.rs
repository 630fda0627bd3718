//! Partners at distances 1, 2, 4, ... exchange whole buffers: the fewest rounds, for small messages
//! (Thakur, Rabenseifner and Gropp, 2005). The barrier is the dissemination barrier (Hensgen, Finkel
//! and Manber, 1988), which needs no folding when n is no power of two.

use crate::system::op::Collective;

use super::halving_doubling::{Fold, Part};
use super::schedule::{Cells, Round, Schedule, ahead, behind};

/// Whole buffers at doubling distances.
#[derive(Debug, Clone)]
pub struct RecursiveDoubling {
    /// All-reduce or barrier.
    pub collective: Collective,
    /// Communicator size.
    pub n: u32,
}

impl RecursiveDoubling {
    fn is_barrier(&self) -> bool {
        self.collective == Collective::Barrier
    }

    /// Rounds of the dissemination barrier: log2(n), rounded up.
    fn dissemination_rounds(&self) -> u32 {
        self.n.next_power_of_two().ilog2()
    }

    fn all_reduce(&self, position: u32, k: u32, round: &mut Round) {
        let fold = Fold::new(self.n);
        let (buffer, extra) = (Cells::one(0), fold.is_extra(position));
        match (fold.part(position, k, fold.log()), fold.partner(position)) {
            (Part::In, Some(partner)) if extra => round.send(partner, buffer),
            (Part::In, Some(partner)) => round.reduce(partner, buffer),
            (Part::Out, Some(partner)) if extra => round.copy(partner, buffer),
            (Part::Out, Some(partner)) => round.send(partner, buffer),
            (Part::Among(k), _) => {
                let partner = position ^ (1 << k);
                round.send(partner, buffer);
                round.reduce(partner, buffer);
            }
            (Part::In | Part::Out, None) => unreachable!("only positions with a partner fold"),
        }
    }
}

impl Schedule for RecursiveDoubling {
    fn rounds(&self, position: u32) -> u32 {
        if self.is_barrier() {
            return self.dissemination_rounds();
        }
        let fold = Fold::new(self.n);
        fold.rounds(position, fold.log())
    }

    fn round(&self, position: u32, k: u32, round: &mut Round) {
        if self.is_barrier() {
            round.send(ahead(position, 1 << k, self.n), Cells::one(0));
            round.reduce(behind(position, 1 << k, self.n), Cells::one(0));
        } else {
            self.all_reduce(position, k, round);
        }
    }

    fn depth(&self) -> u32 {
        if self.is_barrier() {
            return self.dissemination_rounds();
        }
        Fold::new(self.n).depth(1)
    }
}
