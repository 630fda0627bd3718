//! The side of a queue pair that sends requests: cuts them into packets, keeps a window of them in
//! flight, takes acknowledges and responses, goes back where something is missing, and gives up in
//! the end.

use std::collections::VecDeque;

use super::config::{Config, FOR_EVER, rnr_wait};
use super::segment::{Chunk, Segment};
use crate::network::rdma::provider::{Remote, Status, Verb};
use crate::network::roce::counters::Counters;
use crate::network::roce::dcqcn::ReactionPoint;
use crate::network::roce::memory::Regions;
use crate::network::roce::wire::header::{BTH, Nak, Syndrome};
use crate::network::roce::wire::opcode::{Opcode, Operation};
use crate::network::roce::wire::packet::{Headers, Packet};
use crate::network::roce::wire::psn::{self, Sequence};
use crate::network::roce::wire::{Bth, Reth};

/// Bytes of Ethernet, IPv4, UDP and transport headers and checksum of a packet, roughly: what rates
/// are computed with.
const OVERHEAD: u64 = 14 + 20 + 8 + BTH as u64 + 4;

/// A posted request.
#[derive(Debug, Clone)]
pub struct Work {
    /// Comes back in its completion.
    pub id: u64,
    /// What to do.
    pub verb: Verb,
    /// Its bytes; for a read, where they go.
    pub payload: Chunk,
    /// Whether it completes visibly.
    pub signalled: bool,
    /// Whether the receiver's completion raises an event.
    pub solicited: bool,
}

/// A request between posting and completion.
#[derive(Debug)]
struct Pending {
    work: Work,
    first: Sequence,
    packets: u64,
    /// Responses that have come, for a read.
    responses: u64,
}

impl Pending {
    fn is_read(&self) -> bool {
        matches!(self.work.verb, Verb::Read { .. })
    }

    fn end(&self) -> Sequence {
        self.first + self.packets
    }
}

/// How a request ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Finished {
    /// Its id.
    pub id: u64,
    /// How.
    pub status: Status,
    /// Whether to tell.
    pub signalled: bool,
}

/// The requesting side of a queue pair.
#[derive(Debug)]
pub struct Requester {
    config: Config,
    destination: u32,
    queue: VecDeque<Pending>,
    /// Request that the next packet belongs to.
    cursor: usize,
    /// The next packet.
    next: Sequence,
    /// Given to the next request that is posted.
    end: Sequence,
    /// One past the last packet that was ever sent.
    highest: Sequence,
    /// The oldest packet that is not acknowledged.
    unacked: Sequence,
    retries: u8,
    rnr_retries: u8,
    deadline: Option<u64>,
    /// The receiver was not ready: nothing goes out before.
    held_until: Option<u64>,
    /// Congestion control holds packets back until.
    paced_until: Option<u64>,
    /// A missing response has been asked for again.
    asked_again: bool,
    rate: Option<ReactionPoint>,
    finished: VecDeque<Finished>,
    failed: bool,
}

impl Requester {
    /// A side that sends to the peer's queue pair `destination`, its first packet numbered `first_psn`.
    pub fn new(config: Config, destination: u32, first_psn: u32) -> Self {
        let first = psn::first(first_psn);
        Self {
            retries: config.retries,
            rnr_retries: config.rnr_retries,
            rate: config.dcqcn.map(ReactionPoint::new),
            config,
            destination,
            queue: VecDeque::new(),
            cursor: 0,
            next: first,
            end: first,
            highest: first,
            unacked: first,
            deadline: None,
            held_until: None,
            paced_until: None,
            asked_again: false,
            finished: VecDeque::new(),
            failed: false,
        }
    }

    /// Takes a request.
    pub fn post(&mut self, work: Work) {
        if self.failed {
            self.finished.push_back(Finished {
                id: work.id,
                status: Status::Flushed,
                signalled: true,
            });
            return;
        }
        let packets = (work.payload.bytes() as u64)
            .div_ceil(u64::from(self.config.mtu))
            .max(1);
        self.queue.push_back(Pending {
            work,
            first: self.end,
            packets,
            responses: 0,
        });
        self.end += packets;
    }

    /// The next request that is over.
    pub fn next_finished(&mut self) -> Option<Finished> {
        self.finished.pop_front()
    }

    /// Whether the queue pair has failed.
    pub fn has_failed(&self) -> bool {
        self.failed
    }

    /// Ends all requests: the oldest as `status` says, the others flushed.
    pub fn fail(&mut self, status: Status) {
        let mut status = status;
        for pending in self.queue.drain(..) {
            self.finished.push_back(Finished {
                id: pending.work.id,
                status,
                signalled: true,
            });
            status = Status::Flushed;
        }
        (self.failed, self.cursor) = (true, 0);
        (self.deadline, self.held_until, self.paced_until) = (None, None, None);
    }

    /// When [`tick`](Self::tick) wants to be called, or more packets may go out.
    pub fn next_time(&self) -> Option<u64> {
        let times = [self.deadline, self.held_until, self.paced_until];
        times.into_iter().flatten().min()
    }

    /// Time has passed: sends again what was not acknowledged in time.
    pub fn tick(&mut self, now: u64, counters: &mut Counters) {
        if self.deadline.is_none_or(|deadline| now < deadline) {
            return;
        }
        counters.local_ack_timeout_err += 1;
        self.deadline = None;
        self.go_back(self.unacked, counters);
    }

    /// Sends again from `sequence` on, if the budget allows.
    fn go_back(&mut self, sequence: Sequence, counters: &mut Counters) {
        if self.retries == 0 {
            counters.retry_exceeded_err += 1;
            self.fail(Status::RetriesExceeded);
            return;
        }
        self.retries -= 1;
        counters.completer_retry_err += 1;
        self.seek(sequence);
        self.asked_again = false;
    }

    fn seek(&mut self, sequence: Sequence) {
        self.next = sequence;
        self.cursor = self.queue.partition_point(|pending| pending.end() <= sequence);
    }

    /// The next packet that may go out now.
    pub fn poll(&mut self, now: u64, counters: &mut Counters) -> Option<Segment> {
        if self.held_until.is_some_and(|until| now < until) {
            return None;
        }
        self.held_until = None;
        let pending = self.queue.get(self.cursor)?;
        if self.next >= self.unacked + u64::from(self.config.window) {
            return None;
        }
        if pending.is_read() && self.reads_out() >= usize::from(self.config.reads) {
            return None;
        }
        if let Some(rate) = &mut self.rate {
            self.paced_until = rate.wait_until(now);
            if self.paced_until.is_some() {
                return None;
            }
        }
        let (segment, taken) = self.packet(pending);
        self.account(&segment, now, counters);
        self.next += taken;
        self.highest = self.highest.max(self.next);
        if self.next >= self.queue[self.cursor].end() {
            self.cursor += 1;
        }
        if self.deadline.is_none() {
            self.deadline = self.config.timeout.map(|timeout| now + timeout);
        }
        Some(segment)
    }

    fn account(&mut self, segment: &Segment, now: u64, counters: &mut Counters) {
        let bytes = segment.payload.bytes() as u64;
        counters.sent_pkts += 1;
        counters.sent_bytes += bytes;
        counters.retransmitted_pkts += u64::from(self.next < self.highest);
        if let Some(rate) = &mut self.rate {
            rate.sent(bytes + OVERHEAD, now);
        }
    }

    fn reads_out(&self) -> usize {
        let sent = self.queue.iter().take(self.cursor);
        sent.filter(|pending| pending.is_read()).count()
    }

    /// The packet at `next`, and how many sequence numbers it takes.
    fn packet(&self, pending: &Pending) -> (Segment, u64) {
        let index = self.next - pending.first;
        match pending.work.verb {
            Verb::Send { immediate } => (self.part(pending, index, Operation::Send, None, immediate), 1),
            Verb::Write { remote, immediate } => (
                self.part(pending, index, Operation::Write, Some(remote), immediate),
                1,
            ),
            Verb::Read { remote } => (self.read(pending, index, remote), pending.packets - index),
        }
    }

    fn part(
        &self,
        pending: &Pending,
        index: u64,
        operation: Operation,
        remote: Option<Remote>,
        immediate: Option<u32>,
    ) -> Segment {
        let (first, last) = (index == 0, index + 1 == pending.packets);
        let immediate = immediate.filter(|_| last);
        let opcode = Opcode::of_part(operation, first, last, immediate.is_some());
        let mut bth = Bth::new(opcode, self.destination, psn::wire(self.next));
        bth.solicited = last && pending.work.solicited;
        let full = self.next + 1 >= self.unacked + u64::from(self.config.window);
        bth.ack_request = last || full || self.next.is_multiple_of(u64::from(self.config.ack_every));
        let payload = pending.work.payload.piece(index, self.config.mtu);
        let reth = remote.filter(|_| first).map(|remote| Reth {
            address: remote.address,
            key: remote.key,
            length: pending.work.payload.bytes() as u32,
        });
        Segment {
            headers: Headers::write(bth, reth, None, immediate, payload.bytes()),
            payload,
            notification: false,
        }
    }

    /// A read, or what is missing of it.
    fn read(&self, pending: &Pending, index: u64, remote: Remote) -> Segment {
        let skipped = index * u64::from(self.config.mtu);
        let mut bth = Bth::new(Opcode::ReadRequest, self.destination, psn::wire(self.next));
        bth.ack_request = true;
        let reth = Reth {
            address: remote.address.wrapping_add(skipped),
            key: remote.key,
            length: (pending.work.payload.bytes() as u64 - skipped) as u32,
        };
        Segment {
            headers: Headers::write(bth, Some(reth), None, None, 0),
            payload: Chunk::Empty,
            notification: false,
        }
    }

    /// A congestion notification came in.
    pub fn notified(&mut self, now: u64, counters: &mut Counters) {
        match &mut self.rate {
            Some(rate) => {
                counters.rp_cnp_handled += 1;
                rate.notified(now);
            }
            None => counters.rp_cnp_ignored += 1,
        }
    }

    /// Takes an acknowledge.
    pub fn acknowledge(&mut self, psn: u32, syndrome: Syndrome, now: u64, counters: &mut Counters) {
        let sequence = psn::nearest(self.unacked, psn);
        if self.failed || sequence >= self.highest || sequence + 1 < self.unacked {
            return; // Of another age, or made up.
        }
        match syndrome {
            Syndrome::Ack(_) => self.advance(sequence + 1, now, counters),
            Syndrome::ReceiverNotReady(code) => {
                counters.rcvd_rnr_err += 1;
                self.advance(sequence, now, counters);
                if sequence >= self.unacked {
                    self.hold(sequence, now + rnr_wait(code), counters);
                }
            }
            Syndrome::Nak(Nak::Sequence) => {
                counters.rcvd_seq_err += 1;
                self.advance(sequence, now, counters);
                if sequence >= self.unacked {
                    self.go_back(sequence, counters);
                    self.restart(now);
                }
            }
            Syndrome::Nak(nak) => {
                self.advance(sequence, now, counters);
                self.fail(match nak {
                    Nak::RemoteAccess => Status::RemoteAccess,
                    Nak::RemoteOperational => Status::RemoteOperation,
                    _ => Status::RemoteInvalidRequest,
                });
            }
            Syndrome::Reserved(_) => self.fail(Status::BadResponse),
        }
    }

    fn hold(&mut self, sequence: Sequence, until: u64, counters: &mut Counters) {
        if self.rnr_retries == 0 {
            counters.retry_rnr_exceeded_err += 1;
            self.fail(Status::NotReadyRetriesExceeded);
            return;
        }
        if self.rnr_retries != FOR_EVER {
            self.rnr_retries -= 1;
        }
        self.seek(sequence);
        self.held_until = Some(until);
        self.deadline = None;
    }

    /// All before `upto` has been taken by the responder, unless a read's responses are missing.
    fn advance(&mut self, upto: Sequence, now: u64, counters: &mut Counters) {
        let mut upto = upto;
        let mut missing = None;
        while let Some(front) = self.queue.front() {
            if front.is_read() && front.responses < front.packets && upto > front.first {
                let expected = front.first + front.responses;
                missing = (upto > expected).then_some(expected);
                upto = upto.min(expected);
                break;
            }
            if front.end() > upto {
                break;
            }
            self.complete_front();
        }
        if upto > self.unacked {
            self.unacked = upto;
            (self.retries, self.rnr_retries) = (self.config.retries, self.config.rnr_retries);
            self.restart(now);
        }
        if self.next < self.unacked {
            self.seek(self.unacked);
        }
        if let Some(expected) = missing {
            self.ask_again(expected, now, counters);
        }
    }

    fn ask_again(&mut self, expected: Sequence, now: u64, counters: &mut Counters) {
        if !self.asked_again {
            counters.implied_nak_seq_err += 1;
            self.go_back(expected, counters);
            self.asked_again = true;
            self.restart(now);
        }
    }

    fn complete_front(&mut self) {
        if let Some(pending) = self.queue.pop_front() {
            self.cursor = self.cursor.saturating_sub(1);
            self.finished.push_back(Finished {
                id: pending.work.id,
                status: Status::Success,
                signalled: pending.work.signalled,
            });
        }
    }

    fn restart(&mut self, now: u64) {
        let waiting = self.unacked < self.highest && !self.failed;
        self.deadline = self
            .config
            .timeout
            .filter(|_| waiting)
            .map(|timeout| now + timeout);
    }

    /// Takes a response to a read.
    pub fn response(&mut self, packet: &Packet<'_>, memory: &mut Regions, now: u64, counters: &mut Counters) {
        let sequence = psn::nearest(self.unacked, packet.bth.psn);
        let index = self.queue.partition_point(|pending| pending.end() <= sequence);
        let Some(pending) = self.queue.get(index) else {
            return;
        };
        if self.failed || sequence < self.unacked || sequence >= self.highest || !pending.is_read() {
            return;
        }
        // Whatever came before the read has been taken.
        self.advance(pending.first, now, counters);
        let Some(front) = self.queue.front() else { return };
        if !front.is_read() || !(front.first..front.end()).contains(&sequence) {
            return;
        }
        let expected = front.first + front.responses;
        if sequence > expected {
            self.ask_again(expected, now, counters);
        } else if sequence == expected {
            self.take(packet, memory, now, counters);
        }
    }

    /// Puts the response that is expected next where it belongs.
    fn take(&mut self, packet: &Packet<'_>, memory: &mut Regions, now: u64, counters: &mut Counters) {
        let Some(front) = self.queue.front_mut() else {
            return;
        };
        let piece = front.work.payload.piece(front.responses, self.config.mtu);
        if piece.bytes() != packet.payload.len() {
            self.fail(Status::BadResponse);
            return;
        }
        if let Chunk::Memory { key, address, bytes } = piece {
            match memory.slice_mut(key, address, bytes as usize) {
                Ok(place) => place.copy_from_slice(packet.payload),
                Err(_) => {
                    self.fail(Status::LocalProtection);
                    return;
                }
            }
        }
        counters.rcvd_bytes += packet.payload.len() as u64;
        front.responses += 1;
        self.asked_again = false;
        let taken = front.first + front.responses;
        self.advance(taken, now, counters);
    }
}
