//! Neighbour to neighbour. All-reduce is reduce-scatter then all-gather in 2(n-1) rounds of 1/n of
//! the data each (Patarasuk and Yuan, "Bandwidth optimal all-reduce algorithms", 2009); rooted
//! collectives are chains from or to the root, which need several chunks to fill the chain.

use crate::system::op::Collective;

use super::area::transit_cell;
use super::schedule::{Cells, Round, Schedule, ahead, behind};

/// The ring of positions 0, 1, ..., n-1.
#[derive(Debug, Clone)]
pub struct Ring {
    /// Which collective.
    pub collective: Collective,
    /// Communicator size.
    pub n: u32,
    /// Position of the root.
    pub root: u32,
}

impl Ring {
    fn next(&self, position: u32) -> u32 {
        ahead(position, 1, self.n)
    }

    fn previous(&self, position: u32) -> u32 {
        behind(position, 1, self.n)
    }

    /// Hops from the root to `position`, in ring direction.
    fn hops_from_root(&self, position: u32) -> u32 {
        behind(position, self.root, self.n)
    }

    /// Hops from `position` to the root, in ring direction.
    fn hops_to_root(&self, position: u32) -> u32 {
        behind(self.root, position, self.n)
    }

    /// Block p of the reduction comes to rest at position p.
    fn reduce_scatter(&self, position: u32, k: u32, round: &mut Round) {
        let n = self.n;
        round.send(self.next(position), Cells::one(behind(position, k + 1, n)));
        round.reduce(self.previous(position), Cells::one(behind(position, k + 2, n)));
    }

    fn all_gather(&self, position: u32, k: u32, round: &mut Round) {
        let n = self.n;
        round.send(self.next(position), Cells::one(behind(position, k, n)));
        round.copy(self.previous(position), Cells::one(behind(position, k + 1, n)));
    }

    /// Store and forward: in round k every position passes on what it holds of source
    /// `position - k`, farthest destination first; what is for the next position stops there.
    fn all_to_all(&self, position: u32, k: u32, round: &mut Round) {
        let n = self.n;
        for hops in (1..n - k).rev() {
            let held = match k {
                0 => ahead(position, hops, n),
                _ => transit_cell(n, k, hops),
            };
            let landing = match hops - 1 {
                0 => n + behind(position, k + 1, n),
                left => transit_cell(n, k + 1, left),
            };
            round.send(self.next(position), Cells::one(held));
            round.copy(self.previous(position), Cells::one(landing));
        }
    }

    fn broadcast(&self, position: u32, k: u32, round: &mut Round) {
        let hops = self.hops_from_root(position);
        if hops > 0 && k == 0 {
            round.copy(self.previous(position), Cells::one(0));
        } else {
            round.send(self.next(position), Cells::one(0));
        }
    }

    fn reduce(&self, position: u32, k: u32, round: &mut Round) {
        if self.hops_to_root(position) < self.n - 1 && k == 0 {
            round.reduce(self.previous(position), Cells::one(0));
        } else {
            round.send(self.next(position), Cells::one(0));
        }
    }

    /// Every position sends its own block towards the root, then passes on what comes from behind.
    fn gather(&self, position: u32, k: u32, round: &mut Round) {
        let (n, hops) = (self.n, self.hops_to_root(position));
        if hops > 0 {
            round.send(self.next(position), Cells::one(behind(position, k, n)));
        }
        if k < n - 1 - hops {
            round.copy(self.previous(position), Cells::one(behind(position, k + 1, n)));
        }
    }

    /// The root sends the block of the farthest position first; every position passes on all but
    /// the last that it receives, which is its own.
    fn scatter(&self, position: u32, k: u32, round: &mut Round) {
        let (n, hops) = (self.n, self.hops_from_root(position));
        let block = |k: u32| Cells::one(ahead(self.root, n - 1 - k, n));
        if hops == 0 {
            (0..n - 1).for_each(|k| round.send(self.next(position), block(k)));
            return;
        }
        if k > 0 {
            round.send(self.next(position), block(k - 1));
        }
        round.copy(self.previous(position), block(k));
    }
}

impl Schedule for Ring {
    fn rounds(&self, position: u32) -> u32 {
        let n = self.n;
        if n == 1 {
            return 0;
        }
        match self.collective {
            Collective::AllReduce => 2 * (n - 1),
            Collective::AllGather
            | Collective::ReduceScatter
            | Collective::AllToAll
            | Collective::Barrier => n - 1,
            Collective::Broadcast => 1 + u32::from((1..n - 1).contains(&self.hops_from_root(position))),
            Collective::Reduce => 1 + u32::from((1..n - 1).contains(&self.hops_to_root(position))),
            Collective::Gather => match self.hops_to_root(position) {
                0 => n - 1,
                hops => n - hops,
            },
            Collective::Scatter => match self.hops_from_root(position) {
                0 => 1,
                hops => n - hops,
            },
            Collective::SendRecv => 1,
        }
    }

    fn round(&self, position: u32, k: u32, round: &mut Round) {
        match self.collective {
            Collective::AllReduce if k < self.n - 1 => self.reduce_scatter(position, k, round),
            Collective::AllReduce => self.all_gather(position, k - (self.n - 1), round),
            Collective::AllGather => self.all_gather(position, k, round),
            Collective::ReduceScatter => self.reduce_scatter(position, k, round),
            Collective::AllToAll => self.all_to_all(position, k, round),
            Collective::Broadcast => self.broadcast(position, k, round),
            Collective::Reduce => self.reduce(position, k, round),
            Collective::Gather => self.gather(position, k, round),
            Collective::Scatter => self.scatter(position, k, round),
            Collective::Barrier => {
                round.send(self.next(position), Cells::one(0));
                round.reduce(self.previous(position), Cells::one(0));
            }
            Collective::SendRecv => {
                round.send(self.next(position), Cells::one(0));
                round.copy(self.previous(position), Cells::one(1));
            }
        }
    }

    fn depth(&self) -> u32 {
        match self.collective {
            _ if self.n == 1 => 0,
            Collective::AllReduce => 2 * (self.n - 1),
            Collective::SendRecv => 1,
            _ => self.n - 1,
        }
    }
}
