//! The side of a queue pair that serves the peer's requests: takes packets in order, writes to
//! memory, completes receives, and answers with acknowledges, refusals and read responses.

use std::collections::VecDeque;

use super::config::Config;
use super::segment::{Chunk, Segment};
use crate::network::rdma::provider::{Access, Status, What};
use crate::network::roce::counters::Counters;
use crate::network::roce::memory::Regions;
use crate::network::roce::wire::header::{Aeth, Nak, Syndrome};
use crate::network::roce::wire::opcode::{Opcode, Operation};
use crate::network::roce::wire::packet::{Headers, NOTIFICATION, Packet};
use crate::network::roce::wire::psn::{self, Sequence};
use crate::network::roce::wire::{Bth, Reth};

/// Credits are not used: the number that says so.
const NO_CREDITS: u8 = 31;
/// Answers to repeated reads that wait at most; more are dropped, and asked for again.
const MOST_REPEATED: usize = 64;

/// A posted receive: where a send goes. A write with immediate only takes its number.
#[derive(Debug, Clone, Copy)]
pub struct Receive {
    /// Comes back in its completion.
    pub id: u64,
    /// Key and address of the buffer.
    pub buffer: (u32, u64),
    /// Bytes of the buffer.
    pub bytes: u32,
}

/// A receive that is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Taken {
    /// Its id.
    pub id: u64,
    /// By what.
    pub what: What,
    /// How it ended.
    pub status: Status,
}

/// A message of which not all has come.
#[derive(Debug, Clone, Copy)]
struct Current {
    operation: Operation,
    /// Of a send.
    receive: Option<Receive>,
    key: u32,
    address: u64,
    /// Room (send) or bytes announced (write).
    length: u32,
    taken: u32,
}

#[derive(Debug)]
enum Reply {
    Acknowledge {
        sequence: Sequence,
        syndrome: Syndrome,
        messages: u32,
    },
    Read {
        first: Sequence,
        reth: Reth,
        next: u64,
        messages: u32,
    },
    Notification,
}

/// Why a packet is not taken.
enum Refusal {
    NotReady,
    Final(Nak),
}

impl From<Nak> for Refusal {
    fn from(nak: Nak) -> Self {
        Refusal::Final(nak)
    }
}

/// The responding side of a queue pair.
#[derive(Debug)]
pub struct Responder {
    config: Config,
    destination: u32,
    expected: Sequence,
    /// The last packet of a send or write that was taken: what acknowledges name. Never a read's: its responses are
    /// its acknowledge, and rxe takes a bare one of that number for the end of a read whose response was lost.
    taken_upto: Sequence,
    messages: u32,
    /// A refusal is out; packets after it are no news.
    refused: bool,
    current: Option<Current>,
    receives: VecDeque<Receive>,
    replies: VecDeque<Reply>,
    taken: VecDeque<Taken>,
    notified_at: Option<u64>,
    failed: bool,
}

impl Responder {
    /// A side that answers to the peer's queue pair `destination`, whose first packet is numbered
    /// `first_psn`.
    pub fn new(config: Config, destination: u32, first_psn: u32) -> Self {
        let first = psn::first(first_psn);
        Self {
            config,
            destination,
            expected: first,
            taken_upto: first - 1,
            messages: 0,
            refused: false,
            current: None,
            receives: VecDeque::new(),
            replies: VecDeque::new(),
            taken: VecDeque::new(),
            notified_at: None,
            failed: false,
        }
    }

    /// Takes a receive.
    pub fn post(&mut self, receive: Receive) {
        if self.failed {
            self.flush(receive.id);
        } else {
            self.receives.push_back(receive);
        }
    }

    fn flush(&mut self, id: u64) {
        self.taken.push_back(Taken {
            id,
            what: What::Received {
                bytes: 0,
                immediate: None,
            },
            status: Status::Flushed,
        });
    }

    /// Ends all receives.
    pub fn fail(&mut self) {
        self.failed = true;
        let current = self.current.take().and_then(|current| current.receive);
        let waiting: Vec<Receive> = current.into_iter().chain(self.receives.drain(..)).collect();
        for receive in waiting {
            self.flush(receive.id);
        }
    }

    /// Whether this side has refused a request for good.
    pub fn has_failed(&self) -> bool {
        self.failed
    }

    /// The next receive that is over.
    pub fn next_taken(&mut self) -> Option<Taken> {
        self.taken.pop_front()
    }

    /// A packet came that a switch had marked.
    pub fn marked(&mut self, now: u64, counters: &mut Counters) {
        counters.np_ecn_marked_roce_packets += 1;
        let recent = |at: u64| now.saturating_sub(at) < self.config.cnp_interval;
        if !self.notified_at.is_some_and(recent) {
            self.notified_at = Some(now);
            self.replies.push_front(Reply::Notification);
        }
    }

    /// Takes a request packet.
    pub fn request(&mut self, packet: &Packet<'_>, memory: &mut Regions, counters: &mut Counters) {
        if self.failed {
            return;
        }
        let sequence = psn::nearest(self.expected, packet.bth.psn);
        if sequence > self.expected {
            counters.out_of_seq_request += 1;
            if !self.refused {
                counters.sent_seq_err += 1;
                self.refuse(Syndrome::Nak(Nak::Sequence));
            }
            return;
        }
        if sequence < self.expected {
            counters.duplicate_request += 1;
            self.repeat(sequence, packet, memory);
            return;
        }
        match self.take(packet, memory) {
            Ok(()) => {
                self.refused = false;
                counters.rcvd_bytes += packet.payload.len() as u64;
            }
            Err(Refusal::NotReady) => {
                counters.send_rnr_err += 1;
                self.refuse(Syndrome::ReceiverNotReady(self.config.min_rnr_timer));
            }
            Err(Refusal::Final(nak)) => {
                counters.resp_remote_access_errors += u64::from(nak == Nak::RemoteAccess);
                self.refuse(Syndrome::Nak(nak));
                self.fail();
            }
        }
    }

    fn refuse(&mut self, syndrome: Syndrome) {
        self.refused = true;
        self.replies.push_back(Reply::Acknowledge {
            sequence: self.expected,
            syndrome,
            messages: self.messages,
        });
    }

    /// All up to the last packet of a send or write has been taken.
    fn acknowledge(&mut self) {
        let sequence = self.taken_upto;
        if let Some(Reply::Acknowledge {
            sequence: last,
            syndrome: Syndrome::Ack(_),
            messages,
        }) = self.replies.back_mut()
        {
            (*last, *messages) = (sequence, self.messages);
            return;
        }
        self.replies.push_back(Reply::Acknowledge {
            sequence,
            syndrome: Syndrome::Ack(NO_CREDITS),
            messages: self.messages,
        });
    }

    /// Answers a request that had been taken before: a read is served again, anything else acknowledged.
    fn repeat(&mut self, sequence: Sequence, packet: &Packet<'_>, memory: &Regions) {
        match packet.reth.filter(|_| packet.bth.opcode == Opcode::ReadRequest) {
            Some(reth) => {
                let allowed = readable(&reth, memory);
                let fits = sequence + self.packets(reth.length) <= self.expected;
                if allowed && fits && self.replies.len() < MOST_REPEATED {
                    self.serve(sequence, reth);
                }
            }
            None => self.acknowledge(),
        }
    }

    fn packets(&self, bytes: u32) -> u64 {
        u64::from(bytes.div_ceil(self.config.mtu).max(1))
    }

    fn serve(&mut self, first: Sequence, reth: Reth) {
        self.replies.push_back(Reply::Read {
            first,
            reth,
            next: 0,
            messages: self.messages,
        });
    }

    fn take(&mut self, packet: &Packet<'_>, memory: &mut Regions) -> Result<(), Refusal> {
        if packet.bth.opcode == Opcode::ReadRequest {
            return self.take_read(packet, memory);
        }
        let (operation, first, last, with_immediate) = packet.bth.opcode.part().ok_or(Nak::InvalidRequest)?;
        let mut current = match (first, self.current) {
            (true, None) => self.begin(packet, operation, memory)?,
            (false, Some(current)) if current.operation == operation => current,
            _ => return Err(Nak::InvalidRequest.into()),
        };
        let bytes = packet.payload.len() as u32;
        let right = if last {
            bytes <= self.config.mtu
        } else {
            bytes == self.config.mtu
        };
        if !right || bytes > current.length - current.taken {
            return Err(Nak::InvalidRequest.into());
        }
        if last && operation == Operation::Write && current.taken + bytes != current.length {
            return Err(Nak::InvalidRequest.into());
        }
        let immediate = packet.immediate.filter(|_| with_immediate);
        let writes_into_receive = operation == Operation::Write && immediate.is_some();
        if writes_into_receive && self.receives.is_empty() {
            return Err(Refusal::NotReady);
        }
        if bytes > 0 {
            let place = current.address + u64::from(current.taken);
            let place = memory.slice_mut(current.key, place, bytes as usize);
            place
                .map_err(|_| Nak::RemoteOperational)?
                .copy_from_slice(packet.payload);
        }
        current.taken += bytes;
        if first && operation == Operation::Send {
            self.receives.pop_front();
        }
        self.taken_upto = self.expected;
        self.expected += 1;
        self.current = (!last).then_some(current);
        if last {
            self.finish(&current, immediate);
        }
        if packet.bth.ack_request {
            self.acknowledge();
        }
        Ok(())
    }

    /// The first packet of a message: whether there is room and permission for all of it. A send's
    /// receive stays at the front of the queue until the packet is taken.
    fn begin(&self, packet: &Packet<'_>, operation: Operation, memory: &Regions) -> Result<Current, Refusal> {
        match (operation, packet.reth) {
            (Operation::Send, _) => {
                let receive = *self.receives.front().ok_or(Refusal::NotReady)?;
                Ok(Current {
                    operation,
                    receive: Some(receive),
                    key: receive.buffer.0,
                    address: receive.buffer.1,
                    length: receive.bytes,
                    taken: 0,
                })
            }
            (Operation::Write, Some(reth)) => {
                if reth.length > 0 {
                    memory
                        .check(
                            reth.key,
                            reth.address,
                            u64::from(reth.length),
                            Access::RemoteWrite,
                        )
                        .map_err(|_| Nak::RemoteAccess)?;
                }
                Ok(Current {
                    operation,
                    receive: None,
                    key: reth.key,
                    address: reth.address,
                    length: reth.length,
                    taken: 0,
                })
            }
            (Operation::Write, None) => Err(Nak::InvalidRequest.into()),
        }
    }

    fn finish(&mut self, current: &Current, immediate: Option<u32>) {
        self.messages = (self.messages + 1) & 0xff_ffff;
        let bytes = current.taken;
        let taken = match (current.receive, immediate) {
            (Some(receive), immediate) => Some((receive.id, What::Received { bytes, immediate })),
            (None, Some(immediate)) => self
                .receives
                .pop_front()
                .map(|receive| (receive.id, What::Written { bytes, immediate })),
            (None, None) => None,
        };
        self.taken.extend(taken.map(|(id, what)| Taken {
            id,
            what,
            status: Status::Success,
        }));
    }

    fn take_read(&mut self, packet: &Packet<'_>, memory: &Regions) -> Result<(), Refusal> {
        let (Some(reth), None) = (packet.reth, self.current) else {
            return Err(Nak::InvalidRequest.into());
        };
        if !readable(&reth, memory) {
            return Err(Nak::RemoteAccess.into());
        }
        let first = self.expected;
        self.expected += self.packets(reth.length);
        self.messages = (self.messages + 1) & 0xff_ffff;
        self.serve(first, reth);
        Ok(())
    }

    /// The next packet to be sent.
    pub fn poll(&mut self, counters: &mut Counters) -> Option<Segment> {
        let reply = self.replies.front_mut()?;
        let (segment, over) = match reply {
            Reply::Acknowledge {
                sequence,
                syndrome,
                messages,
            } => (
                acknowledge(self.destination, *sequence, *syndrome, *messages),
                true,
            ),
            Reply::Notification => {
                counters.np_cnp_sent += 1;
                (notification(self.destination), true)
            }
            Reply::Read {
                first,
                reth,
                next,
                messages,
            } => {
                let index = *next;
                *next += 1;
                let segment = response(self.destination, self.config.mtu, *first, reth, index, *messages);
                let packets = u64::from(reth.length.div_ceil(self.config.mtu).max(1));
                (segment, *next == packets)
            }
        };
        if over {
            self.replies.pop_front();
        }
        counters.sent_pkts += 1;
        counters.sent_bytes += segment.payload.bytes() as u64;
        Some(segment)
    }
}

/// Whether a peer may read this. Nothing is asked of the key of nothing.
fn readable(reth: &Reth, memory: &Regions) -> bool {
    let check = || memory.check(reth.key, reth.address, u64::from(reth.length), Access::RemoteRead);
    reth.length == 0 || check().is_ok()
}

fn acknowledge(destination: u32, sequence: Sequence, syndrome: Syndrome, messages: u32) -> Segment {
    let bth = Bth::new(Opcode::Acknowledge, destination, psn::wire(sequence));
    Segment {
        headers: Headers::write(bth, None, Some(Aeth { syndrome, messages }), None, 0),
        payload: Chunk::Empty,
        notification: false,
    }
}

fn notification(destination: u32) -> Segment {
    let mut bth = Bth::new(Opcode::CongestionNotification, destination, 0);
    bth.becn = true;
    Segment {
        headers: Headers::write(bth, None, None, None, NOTIFICATION),
        payload: Chunk::Inline(bytes::Bytes::from_static(&[0; NOTIFICATION])),
        notification: true,
    }
}

fn response(destination: u32, mtu: u32, first: Sequence, reth: &Reth, index: u64, messages: u32) -> Segment {
    let whole = Chunk::Memory {
        key: reth.key,
        address: reth.address,
        bytes: reth.length,
    };
    let last = (index + 1) * u64::from(mtu) >= u64::from(reth.length);
    let opcode = Opcode::of_response(index == 0, last);
    let aeth = opcode.has_aeth().then_some(Aeth {
        syndrome: Syndrome::Ack(NO_CREDITS),
        messages,
    });
    let payload = whole.piece(index, mtu);
    let bth = Bth::new(opcode, destination, psn::wire(first + index));
    Segment {
        headers: Headers::write(bth, None, aeth, None, payload.bytes()),
        payload,
        notification: false,
    }
}
