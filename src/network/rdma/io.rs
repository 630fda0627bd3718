//! What connections share: the device, registered memory, options, counters, and what is complete.

use std::collections::VecDeque;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::landing::Received;
use super::provider::{Memory, Provider};
use crate::network::flows::FlowTable;
use crate::network::transport::{Completion, Totals};
use crate::scenario::plan::rdma::RdmaOptions;

/// Registered memory of a rank, made once.
#[derive(Debug, Clone, Copy)]
pub struct Memories {
    /// Where pieces land: one slot for all where payload is not kept.
    pub landing: Memory,
    /// Where pieces are sent from: one slot for all where payload is constant.
    pub source: Memory,
    /// Bytes of a slot of the source memory.
    pub source_slot: u64,
    /// Rings that peers write grants into.
    pub rings: Memory,
    /// Buffers of receives.
    pub receives: Memory,
    /// Small messages that are not sent inline.
    pub staging: Memory,
}

impl Memories {
    /// All of it.
    pub fn bytes(&self) -> u64 {
        let all = [self.landing, self.source, self.rings, self.receives, self.staging];
        all.iter().map(|memory| memory.bytes).sum()
    }
}

/// What the connections of a rank share.
#[derive(Debug)]
pub struct Io {
    /// The device.
    pub provider: Box<dyn Provider>,
    /// Its memory.
    pub memories: Memories,
    /// Options of the transport.
    pub options: RdmaOptions,
    /// Longest inline payload, header included.
    pub inline: u32,
    /// Messages carry real data.
    pub real_payload: bool,
    /// Counters of flows.
    pub flows: FlowTable,
    /// What is complete.
    pub completions: VecDeque<Completion>,
    /// Bytes and messages.
    pub totals: Totals,
    /// The time, since the transport was made; only kept where connections are paced.
    pub now: Duration,
}

impl Io {
    /// A receive is complete.
    pub fn received(&mut self, received: Received) {
        let Received { id, data } = received;
        self.completions.push_back(Completion::Received(id, data));
    }

    /// A send is complete.
    pub fn sent(&mut self, id: u64) {
        self.completions.push_back(Completion::Sent(id));
    }

    /// Bytes of a flow were handed to the device.
    pub fn transmitted(&mut self, flow: usize, bytes: u64) {
        self.totals.sent_bytes += bytes;
        let flow = self.flows.flow(flow);
        flow.transmitted.fetch_add(bytes, Ordering::Release);
    }

    /// Bytes of a flow were acknowledged by the peer's device.
    pub fn done(&self, flow: usize, bytes: u64) {
        self.flows.flow(flow).done.fetch_add(bytes, Ordering::Release);
    }
}
