//! A queue pair of a reliable connection, without sockets and without a clock: packets and the time
//! go in, packets and completions come out.
//!
//! * [`requester`]: own requests. [`responder`]: the peer's.
//! * [`segment`]: a packet to be sent. [`config`]: settings.

pub mod config;
pub mod requester;
pub mod responder;
pub mod segment;
#[cfg(test)]
mod tests;

pub use config::Config;
pub use requester::Work;
pub use responder::Receive;
pub use segment::{Chunk, Segment};

use super::counters::Counters;
use super::memory::Regions;
use super::wire::{Opcode, Packet};
use crate::network::rdma::provider::{Completed, QueuePair as Number, Status, What};
use requester::Requester;
use responder::Responder;

/// Both sides of a queue pair.
#[derive(Debug)]
pub struct QueuePair {
    number: Number,
    requester: Requester,
    responder: Responder,
    counters: Counters,
}

impl QueuePair {
    /// Queue pair `number` of its endpoint, joined with the peer's `destination`. Packet numbers begin
    /// at `own_psn` here and at `peer_psn` there.
    pub fn new(number: Number, config: Config, destination: u32, own_psn: u32, peer_psn: u32) -> Self {
        Self {
            number,
            requester: Requester::new(config.clone(), destination, own_psn),
            responder: Responder::new(config, destination, peer_psn),
            counters: Counters::default(),
        }
    }

    /// What was counted.
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// Posts a request.
    pub fn post(&mut self, work: Work) {
        self.requester.post(work);
    }

    /// Posts a receive.
    pub fn post_receive(&mut self, receive: Receive) {
        self.responder.post(receive);
    }

    /// Takes a packet that was addressed to this queue pair; `marked`: a switch on its way was congested.
    pub fn handle(&mut self, packet: &Packet<'_>, marked: bool, now: u64, memory: &mut Regions) {
        let opcode = packet.bth.opcode;
        let counters = &mut self.counters;
        counters.rcvd_pkts += 1;
        if opcode == Opcode::CongestionNotification {
            return self.requester.notified(now, counters);
        }
        // Slowing down the sender of an acknowledge would not help the queue that marked it.
        if marked && opcode != Opcode::Acknowledge {
            self.responder.marked(now, counters);
        }
        if opcode.is_request() {
            self.responder.request(packet, memory, counters);
        } else if opcode.is_response() {
            self.requester.response(packet, memory, now, counters);
        } else if let Some(aeth) = packet.aeth {
            self.requester
                .acknowledge(packet.bth.psn, aeth.syndrome, now, counters);
        }
        self.fail_together();
    }

    /// One side's failure is both sides'.
    fn fail_together(&mut self) {
        if self.responder.has_failed() && !self.requester.has_failed() {
            self.requester.fail(Status::Flushed);
        }
        if self.requester.has_failed() && !self.responder.has_failed() {
            self.responder.fail();
        }
    }

    /// The next packet to be sent now, answers first.
    pub fn poll_transmit(&mut self, now: u64) -> Option<Segment> {
        self.responder
            .poll(&mut self.counters)
            .or_else(|| self.requester.poll(now, &mut self.counters))
    }

    /// When to call [`tick`](Self::tick) and [`poll_transmit`](Self::poll_transmit) at the latest.
    pub fn next_time(&self) -> Option<u64> {
        self.requester.next_time()
    }

    /// Time has passed.
    pub fn tick(&mut self, now: u64) {
        self.requester.tick(now, &mut self.counters);
        self.fail_together();
    }

    /// The next completion.
    pub fn poll_completion(&mut self) -> Option<Completed> {
        while let Some(finished) = self.requester.next_finished() {
            if finished.signalled {
                return Some(self.completed(finished.id, What::Request, finished.status));
            }
        }
        let taken = self.responder.next_taken()?;
        Some(self.completed(taken.id, taken.what, taken.status))
    }

    fn completed(&self, id: u64, what: What, status: Status) -> Completed {
        Completed {
            queue: self.number,
            id,
            what,
            status,
            vendor: 0,
        }
    }
}
