//! The three counters of a flow (communicator, peer, channel), in payload bytes: ready (asked to be
//! sent), transmitted (handed to the kernel) and done (acknowledged by the receiver's kernel).
//! Written by the rank's data thread, read at any time by others.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, RwLock};

use crate::network::message::{Channel, CommunicatorId, Rank};

/// What a flow is named by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FlowName {
    /// Communicator.
    pub communicator: CommunicatorId,
    /// The receiving rank.
    pub peer: Rank,
    /// Connection among the parallel ones of the pair.
    pub channel: Channel,
}

/// Counters of one flow, payload bytes since the start of the run.
#[derive(Debug, Default)]
pub struct Flow {
    /// Asked to be sent.
    pub ready: AtomicU64,
    /// Handed to the kernel.
    pub transmitted: AtomicU64,
    /// Acknowledged by the receiver's kernel.
    pub done: AtomicU64,
}

/// All flows of a rank, shared between the data thread and whoever samples.
#[derive(Debug, Default, Clone)]
pub struct Flows {
    table: Arc<RwLock<Table>>,
}

type Table = Vec<(FlowName, Arc<Flow>)>;

/// Readings of one flow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sample {
    /// Which flow.
    pub name: FlowName,
    /// ready, transmitted, done.
    pub bytes: [u64; 3],
}

impl Flows {
    /// Reads all flows. `done` is read first, so that done <= transmitted <= ready holds.
    pub fn sample(&self) -> Vec<Sample> {
        let Ok(table) = self.table.read() else {
            return Vec::new();
        };
        let read = |name: FlowName, flow: &Flow| {
            let done = flow.done.load(Ordering::Acquire);
            let transmitted = flow.transmitted.load(Ordering::Acquire);
            let ready = flow.ready.load(Ordering::Acquire);
            Sample {
                name,
                bytes: [ready, transmitted, done],
            }
        };
        table.iter().map(|(name, flow)| read(*name, flow)).collect()
    }
}

/// The data thread's own way to its counters, without locks once a flow exists.
#[derive(Debug, Default)]
pub struct FlowTable {
    shared: Flows,
    own: Vec<Arc<Flow>>,
    index: HashMap<FlowName, usize>,
}

impl FlowTable {
    /// A handle for samplers.
    pub fn shared(&self) -> Flows {
        self.shared.clone()
    }

    /// Index of a flow, made when new.
    pub fn index(&mut self, name: FlowName) -> usize {
        if let Some(&index) = self.index.get(&name) {
            return index;
        }
        let flow = Arc::new(Flow::default());
        self.own.push(flow.clone());
        if let Ok(mut table) = self.shared.table.write() {
            table.push((name, flow));
        }
        self.index.insert(name, self.own.len() - 1);
        self.own.len() - 1
    }

    /// A message of so many bytes is asked to be sent; gives its flow's index.
    pub fn announce(&mut self, name: FlowName, bytes: u64) -> usize {
        let index = self.index(name);
        self.flow(index).ready.fetch_add(bytes, Ordering::Release);
        index
    }

    /// Counters by index.
    pub fn flow(&self, index: usize) -> &Flow {
        &self.own[index]
    }
}
