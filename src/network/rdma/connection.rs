//! Everything between this rank and one peer: queue pairs of all channels, small messages with their
//! credit, grants both ways, pieces of large messages. Knows verbs, but no device and no waiting.

use std::collections::VecDeque;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::departure::{Departure, Outgoing, Piece};
use super::failure::RdmaError;
use super::frame::{GRANT, Grant, HEADER, Header, Immediate, Kind};
use super::io::Io;
use super::landing::{Landing, LandingOptions, Received};
use super::pace::Pace;
use super::provider::{QueueAddress, Remote, Span, Verb, What};
use super::queue::{LONGEST_INLINE, Purpose, Queue, Source, Work};
use crate::network::message::{Channel, MessageKey, Rank};
use crate::scenario::plan::rdma::{QpSplit, RdmaVerb};

/// Parts of a piece that is split over queue pairs begin at multiples of so many bytes (as NCCL's do).
const SPLIT_ALIGNMENT: u32 = 128;

/// What one side tells the other of a connection.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Invitation {
    /// Its queue pairs: those of channel 0, of channel 1, and so on.
    pub queues: Vec<QueueAddress>,
    /// Its ring, into which the peer writes grants.
    pub ring: Remote,
    /// Its source memory (verb `read`).
    pub source: Remote,
    /// Ordinary slots that it lands pieces in.
    pub slots: u32,
    /// Bytes of a slot.
    pub slot_bytes: u32,
    /// Small messages that it has receives for, per channel.
    pub credits: u32,
}

/// Where a connection's pieces of the rank's registered memory begin.
#[derive(Debug, Clone, Copy)]
pub struct Layout {
    /// Slots that pieces land in.
    pub landing: u64,
    /// Pieces are sent from here.
    pub source: u64,
    /// Ring of grants from the peer.
    pub ring: u64,
    /// Small messages too long for inline, all channels.
    pub staging: u64,
    /// Distance between two slots: 0 where all are the same memory.
    pub stride: u64,
}

/// What takes a receive of the peer and so waits for credit.
#[derive(Debug)]
enum Small {
    Message(Outgoing),
    /// A large message that waits for a grant.
    Announcement(MessageKey, u64),
}

/// What a channel has besides its queue pairs.
#[derive(Debug)]
struct ChannelState {
    /// Receives that the peer has for us.
    credit: u32,
    /// Receives to tell the peer of.
    owed: u32,
    waiting: VecDeque<Small>,
    /// Free pieces of staging memory.
    staging: Vec<u32>,
    /// Next queue pair of the channel, for round-robin.
    turn: usize,
}

/// This rank's side of a connection.
#[derive(Debug)]
pub struct Connection {
    /// The rank at the other end.
    pub peer: Rank,
    queues: Vec<Queue>,
    per_channel: usize,
    layout: Layout,
    remote: Option<Invitation>,
    landing: Landing,
    departure: Departure,
    channels: Vec<ChannelState>,
    ready: VecDeque<Piece>,
    /// Parts under way out of each slot's source memory.
    busy: Vec<u32>,
    /// Offered to be read, by slot: message and bytes.
    offered: Vec<Option<(u64, u32)>>,
    outbox: VecDeque<(usize, Header)>,
    pace: Option<Pace>,
    held_until: Option<Duration>,
}

impl Connection {
    /// A connection over these queue pairs, equally many for each channel; `pace`: no faster than that.
    pub fn new(peer: Rank, queues: Vec<Queue>, layout: Layout, pace: Option<Pace>, io: &Io) -> Self {
        let options = &io.options;
        let slots = options.slots as usize + 1;
        let channel = |_| ChannelState {
            credit: 0,
            owed: 0,
            waiting: VecDeque::new(),
            staging: (0..options.credits).rev().collect(),
            turn: 0,
        };
        Self {
            peer,
            per_channel: queues.len() / options.channels as usize,
            queues,
            layout,
            remote: None,
            landing: Landing::new(LandingOptions {
                peer,
                slots: options.slots,
                slot_bytes: options.slot_bytes.0 as u32,
                small: options.small.0,
                real_payload: io.real_payload,
            }),
            departure: Departure::new(peer, options.slots),
            channels: (0..options.channels).map(channel).collect(),
            ready: VecDeque::new(),
            busy: vec![0; slots],
            offered: vec![None; slots],
            outbox: VecDeque::new(),
            pace,
            held_until: None,
        }
    }

    /// The peer is known: traffic may begin.
    pub fn accept(&mut self, invitation: Invitation) {
        for (queue, address) in self.queues.iter_mut().zip(&invitation.queues) {
            queue.remote_number = address.number;
        }
        for channel in &mut self.channels {
            channel.credit = invitation.credits;
        }
        self.departure = Departure::new(self.peer, invitation.slots);
        self.landing.shrink(invitation.slot_bytes);
        self.remote = Some(invitation);
    }

    /// Its queue pairs.
    pub fn queues(&self) -> &[Queue] {
        &self.queues
    }

    /// A message is to be sent.
    pub fn send(&mut self, message: Outgoing, io: &mut Io) -> Result<(), RdmaError> {
        if message.bytes > io.options.small.0 {
            self.departure.post(message, &mut self.ready)?;
        } else {
            let channel = self.channel(message.channel);
            self.channels[channel].waiting.push_back(Small::Message(message));
        }
        self.advance(io)
    }

    /// A message is expected.
    pub fn expect(&mut self, id: u64, key: MessageKey, bytes: u64, io: &mut Io) -> Result<(), RdmaError> {
        take(self.landing.post(id, key, bytes)?, io);
        self.advance(io)
    }

    /// When the next piece may leave, if one is held back for the sake of the rate.
    pub fn held_until(&self) -> Option<Duration> {
        self.held_until
    }

    fn channel(&self, channel: Channel) -> usize {
        channel as usize % self.channels.len()
    }

    /// A receive of queue pair `index` was taken; `buffer` is what it had.
    pub fn received(&mut self, index: usize, what: What, buffer: Span, io: &mut Io) -> Result<(), RdmaError> {
        match what {
            What::Written { bytes, immediate } => match Immediate::decode(immediate) {
                Immediate::Slot(slot) => {
                    let at = self.layout.landing + u64::from(slot) * self.layout.stride;
                    self.landed(slot, bytes, at, io)
                }
                Immediate::Grants { first, count } => self.granted(first, count, io),
            },
            What::Received {
                bytes,
                immediate: Some(slot),
            } => self.landed_in(slot, bytes, buffer, io),
            What::Received { bytes, .. } => self.heard(index, bytes, buffer, io),
            What::Request => Ok(()),
        }
    }

    /// Bytes of a slot came in; they lie at `at` of the landing memory.
    fn landed(&mut self, slot: u32, bytes: u32, at: u64, io: &mut Io) -> Result<(), RdmaError> {
        io.totals.received_bytes += u64::from(bytes);
        let (provider, memory) = (&*io.provider, io.memories.landing);
        let copy = |part: &mut [u8]| provider.load(&memory, at, part);
        let done = self.landing.arrived(slot, bytes, copy);
        take(done.map_err(|e| RdmaError::protocol(self.peer, e))?, io);
        Ok(())
    }

    /// Like [`landed`](Self::landed), but the bytes lie in the receive's own buffer.
    fn landed_in(&mut self, slot: u32, bytes: u32, buffer: Span, io: &mut Io) -> Result<(), RdmaError> {
        io.totals.received_bytes += u64::from(bytes);
        let provider = &*io.provider;
        let copy = |part: &mut [u8]| provider.load(&buffer.memory, buffer.offset, part);
        let done = self.landing.arrived(slot, bytes, copy);
        take(done.map_err(|e| RdmaError::protocol(self.peer, e))?, io);
        Ok(())
    }

    fn granted(&mut self, first: u32, count: u32, io: &mut Io) -> Result<(), RdmaError> {
        let slots = self.busy.len() as u32;
        if first >= slots || count > slots {
            return Err(RdmaError::protocol(self.peer, super::frame::BadFrame));
        }
        for entry in (first..first + count).map(|entry| entry % slots) {
            let mut bytes = [0; GRANT];
            let at = self.layout.ring + u64::from(entry) * GRANT as u64;
            io.provider.load(&io.memories.rings, at, &mut bytes);
            let grant = Grant::decode(&bytes);
            let fits = u64::from(grant.bytes) <= io.memories.source_slot && grant.slot < slots;
            if !fits {
                return Err(RdmaError::protocol(self.peer, super::frame::BadFrame));
            }
            self.departure.granted(grant, &mut self.ready)?;
        }
        Ok(())
    }

    /// A header came in, perhaps with a small message.
    fn heard(&mut self, index: usize, bytes: u32, buffer: Span, io: &mut Io) -> Result<(), RdmaError> {
        let mut head = [0; HEADER];
        io.provider.load(&buffer.memory, buffer.offset, &mut head);
        let header = Header::decode(&head).map_err(|e| RdmaError::protocol(self.peer, e))?;
        let channel = index / self.per_channel;
        self.channels[channel].credit += u32::from(header.credit);
        match header.kind {
            Kind::Message => {
                self.channels[channel].owed += 1;
                let payload = u64::from(bytes).saturating_sub(HEADER as u64);
                if payload != header.bytes {
                    return Err(RdmaError::protocol(self.peer, super::frame::BadFrame));
                }
                io.totals.received_bytes += payload;
                let mut data = Vec::new();
                if io.real_payload {
                    data.resize(payload as usize, 0);
                    let at = buffer.offset + HEADER as u64;
                    io.provider.load(&buffer.memory, at, &mut data);
                }
                let done = self.landing.small(header.key, payload, data)?;
                take(done, io);
            }
            Kind::Announcement => {
                self.channels[channel].owed += 1;
                self.landing.announce(header.key, header.bytes)?;
            }
            Kind::Credit => {}
            Kind::Written => {
                let at = self.layout.landing + u64::from(header.slot) * self.layout.stride;
                self.landed(header.slot, header.bytes as u32, at, io)?;
            }
            Kind::Offered => self.fetch(index, header.slot, io),
            Kind::Fetched => self.fetched(header.slot, io)?,
        }
        Ok(())
    }

    /// A request of queue pair `index` is complete, and those before it.
    pub fn completed(&mut self, index: usize, id: u64, io: &mut Io) -> Result<(), RdmaError> {
        let mut done = Vec::new();
        self.queues[index].completed(id, |purpose| done.push(purpose));
        for purpose in done {
            self.request_done(index, purpose, io)?;
        }
        Ok(())
    }

    fn request_done(&mut self, index: usize, purpose: Purpose, io: &mut Io) -> Result<(), RdmaError> {
        match purpose {
            Purpose::Small { flow, bytes, staged } => {
                io.done(flow, bytes);
                self.channels[index / self.per_channel].staging.extend(staged);
            }
            Purpose::Piece { message, bytes, slot } => {
                self.busy[slot as usize] -= 1;
                self.piece_done(message, bytes, io);
            }
            Purpose::Read { slot, bytes } => {
                let at = self.layout.landing + u64::from(slot) * self.layout.stride;
                self.landed(slot, bytes, at, io)?;
                let mut header = Header::new(Kind::Fetched);
                header.slot = slot;
                self.outbox.push_back((index, header));
            }
            Purpose::Control => {}
        }
        Ok(())
    }

    fn piece_done(&mut self, message: u64, bytes: u32, io: &mut Io) {
        if let Some(flow) = self.departure.message(message).map(|m| m.flow) {
            io.done(flow, u64::from(bytes));
        }
        if let Some(id) = self.departure.done(message, u64::from(bytes)) {
            io.sent(id);
        }
    }

    /// Posts whatever can go on now.
    pub fn advance(&mut self, io: &mut Io) -> Result<(), RdmaError> {
        self.grant(io);
        self.announce();
        self.send_pieces(io);
        self.send_small(io);
        self.give_back(io);
        while let Some((index, header)) = self.outbox.pop_front() {
            self.control(index, &header);
        }
        for queue in &mut self.queues {
            queue.flush(io.provider.as_mut())?;
        }
        Ok(())
    }

    /// Grants free slots to posted receives: runs of neighbouring slots in one write.
    fn grant(&mut self, io: &Io) {
        let Some(ring) = self.remote.as_ref().map(|remote| remote.ring) else {
            return;
        };
        let longest = (io.inline as usize / GRANT).max(1) as u32;
        let mut run: Vec<u8> = Vec::new();
        let mut first = 0;
        while let Some(granted) = self.landing.grant() {
            let count = (run.len() / GRANT) as u32;
            if count > 0 && (granted.slot != first + count || count == longest) {
                self.write_grants(ring, first, &std::mem::take(&mut run));
            }
            if run.is_empty() {
                first = granted.slot;
            }
            let at = self.layout.landing + u64::from(granted.slot) * self.layout.stride;
            let grant = Grant {
                key: granted.key,
                message_bytes: granted.message_bytes,
                offset: granted.offset,
                bytes: granted.bytes,
                slot: granted.slot,
                remote: Remote {
                    address: io.memories.landing.address + at,
                    key: io.memories.landing.remote_key,
                },
            };
            run.extend_from_slice(&grant.encode());
        }
        if !run.is_empty() {
            self.write_grants(ring, first, &run);
        }
    }

    fn write_grants(&mut self, ring: Remote, first: u32, run: &[u8]) {
        let count = (run.len() / GRANT) as u32;
        let remote = Remote {
            address: ring.address + u64::from(first) * GRANT as u64,
            key: ring.key,
        };
        let immediate = Some(Immediate::Grants { first, count }.encode());
        self.queues[0].push(Work {
            verb: Verb::Write { remote, immediate },
            source: Source::inline(&[run]),
            signalled: false,
            purpose: Purpose::Control,
        });
    }

    fn announce(&mut self) {
        for (key, bytes) in self.departure.announcements() {
            let waiting = &mut self.channels[0].waiting;
            waiting.push_back(Small::Announcement(key, bytes));
        }
    }

    fn send_pieces(&mut self, io: &mut Io) {
        self.held_until = None;
        while let Some(piece) = self.ready.front().copied() {
            let slot = piece.grant.slot as usize;
            // What is sent, or offered, from this slot's memory has not all gone yet.
            if self.busy[slot] > 0 && (io.real_payload || io.options.verb == RdmaVerb::Read) {
                return;
            }
            let bytes = u64::from(piece.grant.bytes);
            if let Some(pace) = &mut self.pace
                && !pace.admits(io.now, bytes)
            {
                self.held_until = Some(pace.next());
                return;
            }
            self.ready.pop_front();
            self.send_piece(&piece, io);
        }
    }

    fn send_piece(&mut self, piece: &Piece, io: &mut Io) {
        let (grant, slot) = (piece.grant, piece.grant.slot);
        let at = self.layout.source + u64::from(slot) * self.layout.stride;
        let Some(message) = self.departure.message(piece.message) else {
            return;
        };
        if let Some(data) = &message.data {
            let start = grant.offset as usize;
            let part = &data[start..start + grant.bytes as usize];
            io.provider.store(&io.memories.source, at, part);
        }
        let (flow, channel) = (message.flow, self.channel(message.channel));
        io.transmitted(flow, u64::from(grant.bytes));
        if io.options.verb == RdmaVerb::Read {
            self.busy[slot as usize] += 1;
            self.offered[slot as usize] = Some((piece.message, grant.bytes));
            let mut header = Header::new(Kind::Offered);
            header.slot = slot;
            let index = self.pick(channel, grant.key, io);
            self.outbox.push_back((index, header));
            return;
        }
        let near_end =
            self.departure.after(piece) < u64::from(io.options.slot_bytes.0 as u32) * self.per_channel as u64;
        for (index, offset, bytes) in self.parts(channel, &grant, io) {
            let span = Span {
                memory: io.memories.source,
                offset: at + u64::from(offset),
                bytes,
            };
            let remote = Remote {
                address: grant.remote.address + u64::from(offset),
                key: grant.remote.key,
            };
            self.busy[slot as usize] += 1;
            self.queues[index].push(Work {
                verb: bulk(io.options.verb, remote, slot),
                source: Source::Span(span),
                signalled: near_end || io.real_payload,
                purpose: Purpose::Piece {
                    message: piece.message,
                    bytes,
                    slot,
                },
            });
            if io.options.verb == RdmaVerb::Write {
                let bytes = u64::from(bytes);
                let header = Header {
                    slot,
                    bytes,
                    ..Header::new(Kind::Written)
                };
                self.control(index, &header);
            }
        }
    }

    /// On which queue pairs a piece travels: (index, where the part begins in the piece, bytes).
    fn parts(&mut self, channel: usize, grant: &Grant, io: &Io) -> Vec<(usize, u32, u32)> {
        // What is sent into a receive carries no place in its slot, so it comes whole.
        if io.options.split != QpSplit::Split || io.options.verb == RdmaVerb::Send {
            return vec![(self.pick(channel, grant.key, io), 0, grant.bytes)];
        }
        let even = grant.bytes.div_ceil(self.per_channel as u32);
        let part = even.next_multiple_of(SPLIT_ALIGNMENT);
        let first = channel * self.per_channel;
        (0..grant.bytes.div_ceil(part))
            .map(|n| (first + n as usize, n * part, part.min(grant.bytes - n * part)))
            .collect()
    }

    /// The queue pair of the next piece, where pieces are not split.
    fn pick(&mut self, channel: usize, key: MessageKey, io: &Io) -> usize {
        let within = if io.options.split == QpSplit::Hash {
            let mixed = (key.tag ^ (u64::from(key.communicator) << 40)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
            (mixed >> 32) as usize
        } else {
            self.channels[channel].turn += 1;
            self.channels[channel].turn - 1
        };
        channel * self.per_channel + within % self.per_channel
    }

    /// The peer has a piece ready to be read.
    fn fetch(&mut self, index: usize, slot: u32, io: &Io) {
        let (bytes, Some(remote)) = (self.landing.left(slot), &self.remote) else {
            return;
        };
        if bytes == 0 {
            return;
        }
        let stride = if self.layout.stride == 0 {
            0
        } else {
            u64::from(remote.slot_bytes)
        };
        let remote = Remote {
            address: remote.source.address + u64::from(slot) * stride,
            key: remote.source.key,
        };
        let at = self.layout.landing + u64::from(slot) * self.layout.stride;
        self.queues[index].push(Work {
            verb: Verb::Read { remote },
            source: Source::Span(Span {
                memory: io.memories.landing,
                offset: at,
                bytes,
            }),
            signalled: true,
            purpose: Purpose::Read { slot, bytes },
        });
    }

    /// The peer has read what was offered.
    fn fetched(&mut self, slot: u32, io: &mut Io) -> Result<(), RdmaError> {
        let offered = self.offered.get_mut(slot as usize).and_then(Option::take);
        let Some((message, bytes)) = offered else {
            return Err(RdmaError::protocol(self.peer, super::frame::BadFrame));
        };
        self.busy[slot as usize] -= 1;
        self.piece_done(message, bytes, io);
        Ok(())
    }
}

impl Connection {
    /// Sends what waits for credit, as far as there is some.
    fn send_small(&mut self, io: &mut Io) {
        for channel in 0..self.channels.len() {
            while self.channels[channel].credit > 0 {
                let Some(waiting) = self.channels[channel].waiting.pop_front() else {
                    break;
                };
                if let Some(message) = self.send_one(channel, waiting, io) {
                    self.channels[channel].waiting.push_front(Small::Message(message));
                    break;
                }
            }
        }
    }

    /// Sends one; gives it back if there is no memory for it until earlier ones are complete.
    fn send_one(&mut self, channel: usize, what: Small, io: &mut Io) -> Option<Outgoing> {
        let index = channel * self.per_channel;
        let state = &mut self.channels[channel];
        let message = match what {
            Small::Announcement(key, bytes) => {
                state.credit -= 1;
                let mut header = Header::new(Kind::Announcement);
                (header.key, header.bytes) = (key, bytes);
                self.control(index, &header);
                return None;
            }
            Small::Message(message) => message,
        };
        let length = HEADER + message.bytes as usize;
        let staged = if length <= io.inline as usize {
            None
        } else if let Some(place) = state.staging.pop() {
            Some(place)
        } else {
            return Some(message);
        };
        state.credit -= 1;
        let header = Header {
            kind: Kind::Message,
            credit: give(&mut state.owed),
            key: message.key,
            bytes: message.bytes,
            slot: 0,
        };
        let scarce = staged.is_some() && state.staging.len() < io.options.credits as usize / 2;
        let source = match staged {
            None => inline(&header, &message),
            Some(place) => Source::Span(self.stage(channel, place, &header, &message, io)),
        };
        let (flow, bytes) = (message.flow, message.bytes);
        self.queues[index].push(Work {
            verb: Verb::Send { immediate: None },
            source,
            signalled: scarce,
            purpose: Purpose::Small { flow, bytes, staged },
        });
        io.transmitted(flow, bytes);
        io.sent(message.id);
        None
    }

    /// Lays header and payload into staging memory.
    fn stage(&self, channel: usize, place: u32, header: &Header, message: &Outgoing, io: &mut Io) -> Span {
        let each = HEADER as u64 + io.options.small.0;
        let place = channel as u64 * u64::from(io.options.credits) + u64::from(place);
        let (memory, offset) = (io.memories.staging, self.layout.staging + place * each);
        io.provider.store(&memory, offset, &header.encode());
        if let Some(data) = &message.data {
            io.provider.store(&memory, offset + HEADER as u64, data);
        }
        Span {
            memory,
            offset,
            bytes: HEADER as u32 + message.bytes as u32,
        }
    }

    /// Tells the peer of receives that it may use again, if no message does so soon.
    fn give_back(&mut self, io: &Io) {
        for (channel, state) in self.channels.iter_mut().enumerate() {
            if state.owed >= io.options.credits.div_ceil(2) {
                let mut header = Header::new(Kind::Credit);
                header.credit = give(&mut state.owed);
                self.outbox.push_back((channel * self.per_channel, header));
            }
        }
    }

    fn control(&mut self, index: usize, header: &Header) {
        self.queues[index].push(Work {
            verb: Verb::Send { immediate: None },
            source: Source::inline(&[&header.encode()]),
            signalled: false,
            purpose: Purpose::Control,
        });
    }
}

fn take(received: Option<Received>, io: &mut Io) {
    if let Some(received) = received {
        io.received(received);
    }
}

/// As much of what is owed as fits a header.
fn give(owed: &mut u32) -> u8 {
    let credit = (*owed).min(255);
    *owed -= credit;
    credit as u8
}

fn inline(header: &Header, message: &Outgoing) -> Source {
    match &message.data {
        Some(data) => Source::inline(&[&header.encode(), data]),
        None => Source::inline(&[&header.encode(), &ZEROS[..message.bytes as usize]]),
    }
}

/// Constant payload of inline messages.
static ZEROS: [u8; LONGEST_INLINE] = [0; LONGEST_INLINE];

/// The request that moves a piece.
fn bulk(verb: RdmaVerb, remote: Remote, slot: u32) -> Verb {
    let immediate = Some(Immediate::Slot(slot).encode());
    match verb {
        RdmaVerb::WriteImm => Verb::Write { remote, immediate },
        RdmaVerb::Write => Verb::Write {
            remote,
            immediate: None,
        },
        RdmaVerb::Send => Verb::Send { immediate },
        RdmaVerb::Read => Verb::Read { remote },
    }
}
