//! Remote memory that ranks share: transactions one at a time, first come first served, or each for
//! itself (ASTRA-sim, `AnalyticalRemoteMemory.cc`).

use std::collections::VecDeque;

use crate::network::message::Rank;
use crate::workload::memory::{MemoryCost, RemoteMemory};

/// A transaction that has begun.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Transaction {
    /// Whose.
    pub rank: Rank,
    /// Its number there.
    pub token: u64,
    /// How long it takes, ns.
    pub time: u64,
    /// The memory that may begin the next one then; `None`: nobody waits for it.
    pub place: Option<usize>,
}

/// A place with transactions.
#[derive(Debug, Default)]
struct Place {
    busy: bool,
    waiting: VecDeque<(Rank, u64, u64)>,
}

/// All remote memory.
#[derive(Debug)]
pub struct Memory {
    config: RemoteMemory,
    places: Vec<Place>,
}

impl Memory {
    /// Idle memory for so many ranks.
    pub fn new(config: RemoteMemory, npus: u32) -> Self {
        let places = match config {
            RemoteMemory::None | RemoteMemory::PerNpu(_) => 0,
            RemoteMemory::PerNode { npus_per_node, .. } => npus.div_ceil(npus_per_node.max(1)),
            RemoteMemory::Pool(_) => 1,
        };
        Memory {
            config,
            places: (0..places).map(|_| Place::default()).collect(),
        }
    }

    /// A rank asks for `bytes`; gives the transaction if it begins at once. `token` is the rank's.
    pub fn ask(&mut self, rank: Rank, token: u64, bytes: u64) -> Option<Transaction> {
        let cost = self.config.cost()?;
        let Some(place) = self.place(rank) else {
            return Some(begin(cost, (rank, token, bytes), None));
        };
        let state = &mut self.places[place];
        if state.busy {
            state.waiting.push_back((rank, token, bytes));
            return None;
        }
        state.busy = true;
        Some(begin(cost, (rank, token, bytes), Some(place)))
    }

    /// A transaction is over: the next one of its place, if one waits.
    pub fn next(&mut self, place: usize) -> Option<Transaction> {
        let cost = self.config.cost()?;
        let state = self.places.get_mut(place)?;
        let next = state.waiting.pop_front();
        state.busy = next.is_some();
        next.map(|asked| begin(cost, asked, Some(place)))
    }

    fn place(&self, rank: Rank) -> Option<usize> {
        match self.config {
            RemoteMemory::None | RemoteMemory::PerNpu(_) => None,
            RemoteMemory::PerNode { npus_per_node, .. } => Some((rank / npus_per_node.max(1)) as usize),
            RemoteMemory::Pool(_) => Some(0),
        }
    }
}

fn begin(cost: MemoryCost, (rank, token, bytes): (Rank, u64, u64), place: Option<usize>) -> Transaction {
    Transaction {
        rank,
        token,
        time: cost.time_ns(bytes),
        place,
    }
}
