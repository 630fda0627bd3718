//! Everyone to everyone, or everyone from or to the root, in one round (all-reduce: two). Position
//! p walks its destinations p+1, p+2, ..., so that at any time every position is the destination
//! of one other; how many are under way at once is bounded by the machine's send window.

use crate::system::op::Collective;

use super::schedule::{Cells, Round, Schedule, ahead, behind};

/// Messages straight to where they are needed.
#[derive(Debug, Clone)]
pub struct Direct {
    /// Which collective.
    pub collective: Collective,
    /// Communicator size.
    pub n: u32,
    /// Position of the root.
    pub root: u32,
}

impl Direct {
    /// Destinations in shifted order.
    fn after(&self, position: u32) -> impl Iterator<Item = u32> + use<> {
        let n = self.n;
        (1..n).map(move |i| ahead(position, i, n))
    }

    /// Sources in the order in which they come round to this position.
    fn before(&self, position: u32) -> impl Iterator<Item = u32> + use<> {
        let n = self.n;
        (1..n).map(move |i| behind(position, i, n))
    }

    fn reduce_scatter(&self, position: u32, round: &mut Round) {
        self.after(position).for_each(|d| round.send(d, Cells::one(d)));
        self.before(position)
            .for_each(|s| round.reduce(s, Cells::one(position)));
    }

    fn all_gather(&self, position: u32, round: &mut Round) {
        self.after(position)
            .for_each(|d| round.send(d, Cells::one(position)));
        self.before(position).for_each(|s| round.copy(s, Cells::one(s)));
    }

    fn all_to_all(&self, position: u32, round: &mut Round) {
        self.after(position).for_each(|d| round.send(d, Cells::one(d)));
        self.before(position)
            .for_each(|s| round.copy(s, Cells::one(self.n + s)));
    }

    /// Broadcast and scatter: the root sends to each, `cell(d)` being the cell for d.
    fn root_sends(&self, position: u32, round: &mut Round, cell: impl Fn(u32) -> u32) {
        if position == self.root {
            self.after(position)
                .for_each(|d| round.send(d, Cells::one(cell(d))));
        } else {
            round.copy(self.root, Cells::one(cell(position)));
        }
    }
}

impl Schedule for Direct {
    fn rounds(&self, _position: u32) -> u32 {
        match self.collective {
            _ if self.n == 1 => 0,
            Collective::AllReduce => 2,
            _ => 1,
        }
    }

    fn round(&self, position: u32, k: u32, round: &mut Round) {
        match self.collective {
            Collective::AllReduce if k == 0 => self.reduce_scatter(position, round),
            Collective::AllReduce | Collective::AllGather => self.all_gather(position, round),
            Collective::ReduceScatter => self.reduce_scatter(position, round),
            Collective::AllToAll => self.all_to_all(position, round),
            Collective::Broadcast => self.root_sends(position, round, |_| 0),
            Collective::Scatter => self.root_sends(position, round, |d| d),
            Collective::Reduce if position == self.root => {
                self.before(position).for_each(|s| round.reduce(s, Cells::one(0)));
            }
            Collective::Reduce => round.send(self.root, Cells::one(0)),
            Collective::Gather if position == self.root => {
                self.before(position).for_each(|s| round.copy(s, Cells::one(s)));
            }
            Collective::Gather => round.send(self.root, Cells::one(position)),
            Collective::Barrier => {
                self.after(position).for_each(|d| round.send(d, Cells::one(0)));
                self.before(position).for_each(|s| round.reduce(s, Cells::one(0)));
            }
            Collective::SendRecv => unreachable!("supports() refuses it"),
        }
    }

    fn depth(&self) -> u32 {
        self.rounds(0)
    }
}
