//! One TCP connection between two ranks: a queue of outgoing messages cut into slices that each
//! wait for a slot of receiver credit, and an incoming byte stream taken apart into slices.

use std::collections::VecDeque;
use std::io;
use std::net::TcpStream;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

use super::frame::{BadFrame, HEADER, Header, Kind};
use super::sys;
use super::transport::Settings;
use crate::network::message::{MessageKey, Rank};

/// Receive wake-ups are held back until so many bytes are there (or the rest of the slice).
const LOW_WATER: usize = 512 * 1024;
/// Slices from this size on are received without copying and with [`LOW_WATER`].
const BULK: usize = 16 * 1024;
/// Payloads up to this size go out in the same call as their header.
const INLINE: usize = 4 * 1024;
/// On shaped links a message of more than a packet ends in a segment of its own of so many bytes:
/// the shaper lets a segment go as soon as the ones before it are paid for, so only a small last
/// segment arrives when the wire would have delivered the message's end.
const TAIL: usize = 256;
/// Bytes before the tail that are copied when the others go by reference, which cannot end a record.
const BEFORE_TAIL: usize = 4096;
/// Messages up to this size fit a packet and need no tail.
const ONE_PACKET: usize = 1400;
/// Of a paced connection, what the kernel takes ahead of the pace: filling larger buffers costs a moment at
/// the start of an operation in which the others have to wait. Measured with 4 and 8 ranks on 2 cores.
const AHEAD: Duration = Duration::from_millis(13);
/// The least that it takes, bytes.
const LEAST_AHEAD: usize = 512 * 1024;
/// Bytes read at once when small frames are expected.
const READ_AHEAD: usize = 4096;

/// A message on its way out.
#[derive(Debug)]
pub struct Outgoing {
    /// The caller's number for it.
    pub id: u64,
    /// Communicator and tag.
    pub key: MessageKey,
    /// Payload bytes.
    pub bytes: u64,
    /// Real payload; `None`: constant bytes.
    pub data: Option<Vec<u8>>,
    /// Index of its flow's counters.
    pub flow: usize,
}

/// What came out of a connection.
#[derive(Debug)]
pub enum Arrival {
    /// A message was handed to the kernel whole.
    Sent {
        /// The caller's number for it.
        id: u64,
    },
    /// A slice of a message came in; `header.first` begins a message.
    Slice {
        /// Its header.
        header: Header,
        /// Real payload (empty when discarded).
        data: Vec<u8>,
    },
    /// So many payload bytes of a flow were handed to the kernel.
    Transmitted {
        /// Index of the flow's counters.
        flow: usize,
        /// Payload bytes.
        bytes: u64,
    },
}

/// Why a connection failed.
#[derive(Debug, thiserror::Error)]
pub enum ConnectionError {
    /// The peer closed it.
    #[error("the peer closed the connection")]
    Closed,
    /// The kernel reports an error.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// Framing is broken.
    #[error("{0}")]
    Frame(#[from] BadFrame),
    /// The peer gave back more slots than there are.
    #[error("the peer gave back more credit than it had received")]
    Credit,
}

/// The slice that is being written.
#[derive(Debug)]
struct Writing {
    header: [u8; HEADER],
    header_sent: usize,
    bytes: usize,
    /// Last bytes of the payload that leave as a segment of their own.
    tail: usize,
    sent: usize,
}

/// The slice that is being read.
#[derive(Debug)]
struct Reading {
    header: Header,
    left: usize,
    data: Vec<u8>,
}

/// One connection.
#[derive(Debug)]
pub struct Connection {
    stream: TcpStream,
    /// The rank at the other end.
    pub peer: Rank,
    settings: Settings,
    /// Slots that we may still use.
    credit: u32,
    /// Slots to give back.
    owed: u32,
    outgoing: VecDeque<Outgoing>,
    /// Payload bytes of the front message that were cut into slices already.
    cut: u64,
    writing: Option<Writing>,
    /// Bytes read ahead and not taken apart yet.
    buffer: Vec<u8>,
    reading: Option<Reading>,
    low_water: usize,
    bulk: bool,
    /// The kernel's send buffer is full.
    pub blocked: bool,
    /// Largest rate, payload bytes per second.
    pace: Option<u64>,
    /// The last turn ended before there was nothing left to write.
    pub unfinished: bool,
    /// What epoll currently watches for.
    pub watched_writable: bool,
    /// Bytes handed to the kernel, headers included.
    written: u64,
    /// (position in the byte stream, flow, payload bytes) of data not acknowledged yet.
    unacknowledged: VecDeque<(u64, usize, u64)>,
}

impl Connection {
    /// Wraps a connected, non-blocking stream.
    pub fn new(stream: TcpStream, peer: Rank, settings: &Settings) -> Self {
        Self {
            stream,
            peer,
            credit: settings.slots,
            settings: settings.clone(),
            owed: 0,
            outgoing: VecDeque::new(),
            cut: 0,
            writing: None,
            buffer: Vec::with_capacity(READ_AHEAD),
            reading: None,
            low_water: 1,
            bulk: false,
            blocked: false,
            pace: None,
            unfinished: false,
            watched_writable: false,
            written: 0,
            unacknowledged: VecDeque::new(),
        }
    }

    /// The socket.
    pub fn socket(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }

    /// Queues a message.
    pub fn push(&mut self, message: Outgoing) {
        self.outgoing.push_back(message);
    }

    /// Messages wait to be written.
    pub fn has_outgoing(&self) -> bool {
        !self.outgoing.is_empty()
    }

    /// Gives slots back to the peer, with the next frame or when half of them are owed.
    pub fn give_back(&mut self, slots: u32) {
        self.owed += slots;
    }

    /// Writes as much as credit and the kernel allow, but little more than `turn` bytes; constant
    /// payload by reference to `pages`, if there are any.
    pub fn write(
        &mut self,
        pages: Option<BorrowedFd<'_>>,
        turn: u64,
        out: &mut Vec<Arrival>,
    ) -> Result<(), ConnectionError> {
        (self.blocked, self.unfinished) = (false, false);
        let end = self.written.saturating_add(turn);
        loop {
            if self.written >= end {
                self.unfinished = true;
                return Ok(());
            }
            if self.writing.is_none() && !self.next_slice() {
                return Ok(());
            }
            match self.write_slice(pages, out) {
                Ok(()) => {}
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => {
                    self.blocked = true;
                    return Ok(());
                }
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e.into()),
            }
        }
    }

    /// Prepares the next slice or credit frame; `false` when there is nothing to write.
    fn next_slice(&mut self) -> bool {
        let credit = self.owed.min(255) as u8;
        let header = match self.outgoing.front() {
            Some(message) if self.credit > 0 => {
                let bytes = (message.bytes - self.cut).min(self.settings.slot_bytes);
                Header {
                    kind: Kind::Data,
                    credit,
                    key: message.key,
                    message_bytes: message.bytes,
                    slice_bytes: bytes as u32,
                    first: self.cut == 0,
                }
            }
            _ if self.owed >= self.settings.slots.div_ceil(2) => Header::credit(credit),
            _ => return false,
        };
        self.owed -= u32::from(credit);
        if header.kind == Kind::Data {
            self.credit -= 1;
        }
        let bytes = header.slice_bytes as usize;
        let last = self.cut + bytes as u64 == header.message_bytes;
        let split = self.settings.split_tail && !self.settings.real_payload && last && bytes > ONE_PACKET;
        self.writing = Some(Writing {
            header: header.encode(),
            header_sent: 0,
            bytes,
            tail: if split { TAIL } else { 0 },
            sent: 0,
        });
        true
    }

    fn write_slice(&mut self, pages: Option<BorrowedFd<'_>>, out: &mut Vec<Arrival>) -> io::Result<()> {
        let Some(w) = &mut self.writing else { return Ok(()) };
        let socket = self.stream.as_fd();
        let data = self.outgoing.front().and_then(|m| m.data.as_deref());
        let cut = self.cut as usize;
        let before = w.sent;
        let result = if w.header_sent < HEADER && w.bytes - w.tail <= INLINE {
            write_inline(socket, w, data.map(|d| &d[cut..cut + w.bytes]))
        } else {
            write_bulk(socket, pages, w, data.map(|d| &d[cut..cut + w.bytes]))
        };
        let (payload, done) = (w.sent - before, w.header_sent == HEADER && w.sent == w.bytes);
        self.written += *result.as_ref().unwrap_or(&0) as u64;
        self.account(payload, out);
        result?;
        if done {
            self.finish_slice(out);
        }
        Ok(())
    }

    fn account(&mut self, payload: usize, out: &mut Vec<Arrival>) {
        if let (true, Some(message)) = (payload > 0, self.outgoing.front()) {
            let (flow, bytes) = (message.flow, payload as u64);
            self.unacknowledged.push_back((self.written, flow, bytes));
            out.push(Arrival::Transmitted { flow, bytes });
        }
    }

    fn finish_slice(&mut self, out: &mut Vec<Arrival>) {
        let Some(w) = self.writing.take() else { return };
        if w.bytes == 0 {
            return;
        }
        self.cut += w.bytes as u64;
        if self.outgoing.front().is_some_and(|m| m.bytes == self.cut) {
            self.cut = 0;
            if let Some(message) = self.outgoing.pop_front() {
                out.push(Arrival::Sent { id: message.id });
            }
        }
    }

    /// Reads what is there, at most a bounded amount so that no peer starves the others.
    pub fn read(&mut self, out: &mut Vec<Arrival>) -> Result<(), ConnectionError> {
        for _ in 0..16 {
            match self.read_some(out) {
                Ok(true) => {}
                Ok(false) => return Ok(()),
                Err(ConnectionError::Io(e)) if e.kind() == io::ErrorKind::WouldBlock => {
                    return self.adjust_low_water();
                }
                Err(ConnectionError::Io(e)) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
        self.adjust_low_water()
    }

    /// One receive call; `false` when a short read says that the socket is empty.
    fn read_some(&mut self, out: &mut Vec<Arrival>) -> Result<bool, ConnectionError> {
        if let Some(reading) = self.reading.as_mut().filter(|r| r.left > 0) {
            let wanted = reading.left;
            let got = if self.settings.real_payload {
                let start = reading.data.len();
                reading.data.resize(start + wanted, 0);
                let got = sys::receive(self.stream.as_fd(), &mut reading.data[start..]);
                reading.data.truncate(start + *got.as_ref().unwrap_or(&0));
                got?
            } else {
                sys::discard(self.stream.as_fd(), wanted)?
            };
            if got == 0 {
                return Err(ConnectionError::Closed);
            }
            reading.left -= got;
            self.finish_reading(out);
            return Ok(true);
        }
        let start = self.buffer.len();
        let ahead = if self.bulk {
            HEADER - start.min(HEADER)
        } else {
            READ_AHEAD
        };
        self.buffer.resize(start + ahead.max(1), 0);
        let got = sys::receive(self.stream.as_fd(), &mut self.buffer[start..]);
        self.buffer.truncate(start + *got.as_ref().unwrap_or(&0));
        if got? == 0 {
            return Err(ConnectionError::Closed);
        }
        let short = self.buffer.len() < start + ahead;
        self.take_apart(out)?;
        if short && self.reading.is_none() {
            self.adjust_low_water()?;
            return Ok(false);
        }
        Ok(true)
    }

    /// Takes headers and payload out of the read-ahead buffer.
    fn take_apart(&mut self, out: &mut Vec<Arrival>) -> Result<(), ConnectionError> {
        let mut at = 0;
        while self.buffer.len() - at >= HEADER {
            let mut bytes = [0; HEADER];
            bytes.copy_from_slice(&self.buffer[at..at + HEADER]);
            let header = Header::decode(&bytes)?;
            at += HEADER;
            self.credit += u32::from(header.credit);
            if self.credit > self.settings.slots {
                return Err(ConnectionError::Credit);
            }
            if header.kind == Kind::Credit {
                continue;
            }
            let here = (self.buffer.len() - at).min(header.slice_bytes as usize);
            let data = if self.settings.real_payload {
                self.buffer[at..at + here].to_vec()
            } else {
                Vec::new()
            };
            at += here;
            self.bulk = header.slice_bytes as usize >= BULK;
            self.reading = Some(Reading {
                header,
                left: header.slice_bytes as usize - here,
                data,
            });
            self.finish_reading(out);
        }
        self.buffer.drain(..at);
        Ok(())
    }

    fn finish_reading(&mut self, out: &mut Vec<Arrival>) {
        if self.reading.as_ref().is_some_and(|r| r.left == 0)
            && let Some(Reading { header, data, .. }) = self.reading.take()
        {
            out.push(Arrival::Slice { header, data });
        }
    }

    /// Wakes us only when enough of a large slice is there; at once for headers and small slices.
    fn adjust_low_water(&mut self) -> Result<(), ConnectionError> {
        let left = self.reading.as_ref().map_or(0, |r| r.left);
        let wanted = if left >= BULK {
            left.min(LOW_WATER)
        } else {
            left.max(1)
        };
        if wanted != self.low_water {
            sys::set_option(
                self.stream.as_fd(),
                libc::SOL_SOCKET,
                libc::SO_RCVLOWAT,
                wanted as i32,
            )?;
            self.low_water = wanted;
        }
        Ok(())
    }

    /// Payload bytes acknowledged by the peer's kernel since the last call, per flow.
    pub fn acknowledged(&mut self, mut each: impl FnMut(usize, u64)) {
        let Ok(outstanding) = sys::unacknowledged(self.stream.as_fd()) else {
            return;
        };
        let acknowledged = self.written.saturating_sub(outstanding);
        while let Some((_, flow, bytes)) = self
            .unacknowledged
            .pop_front_if(|(end, _, _)| *end <= acknowledged)
        {
            each(flow, bytes);
        }
    }

    /// Sends at most at this rate (payload bytes per second) from now on, and lets the kernel take no more
    /// ahead of it than [`AHEAD`].
    pub fn pace(&mut self, rate: Option<u64>) -> io::Result<()> {
        if rate == self.pace {
            return Ok(());
        }
        let socket = self.stream.as_fd();
        sys::pace(socket, rate)?;
        if !self.settings.fixed_send_buffer {
            let ahead = |rate| (rate as f64 * AHEAD.as_secs_f64()) as usize;
            let most = self.settings.send_buffer;
            let bytes = rate.map_or(most, |rate| ahead(rate).max(LEAST_AHEAD).min(most));
            sys::send_buffer(socket, bytes)?;
        }
        self.pace = rate;
        Ok(())
    }

    /// Segments retransmitted so far.
    pub fn retransmits(&self) -> u64 {
        sys::retransmits(self.stream.as_fd()).map_or(0, u64::from)
    }
}

/// Header and payload (without its tail) in one call.
fn write_inline(socket: BorrowedFd<'_>, w: &mut Writing, data: Option<&[u8]>) -> io::Result<usize> {
    let body = w.bytes - w.tail;
    let mut frame = [0; HEADER + INLINE];
    frame[..HEADER].copy_from_slice(&w.header);
    if let Some(data) = data {
        frame[HEADER..HEADER + body].copy_from_slice(&data[..body]);
    }
    let flags = if w.tail > 0 { libc::MSG_EOR } else { 0 };
    let sent = sys::send(socket, &frame[w.header_sent..HEADER + body], flags)?;
    let position = w.header_sent + sent;
    w.header_sent = position.min(HEADER);
    w.sent = position - w.header_sent;
    Ok(sent)
}

/// Header, then payload (constant bytes, or real data), then the tail.
fn write_bulk(
    socket: BorrowedFd<'_>,
    pages: Option<BorrowedFd<'_>>,
    w: &mut Writing,
    data: Option<&[u8]>,
) -> io::Result<usize> {
    if w.header_sent < HEADER {
        let sent = sys::send(socket, &w.header[w.header_sent..], libc::MSG_MORE)?;
        w.header_sent += sent;
        return Ok(sent);
    }
    let tail_at = w.bytes - w.tail;
    let referred = if w.tail > 0 {
        tail_at.saturating_sub(BEFORE_TAIL)
    } else {
        w.bytes
    };
    let end_of_record = if w.tail > 0 { libc::MSG_EOR } else { 0 };
    let sent = match (data, pages) {
        (Some(data), _) => sys::send(socket, &data[w.sent..], 0)?,
        (None, Some(pages)) if w.sent < referred => sys::send_pages(socket, pages, referred - w.sent)?,
        _ if w.sent < tail_at => sys::send_zeros(socket, tail_at - w.sent, end_of_record)?,
        _ => sys::send_zeros(socket, w.bytes - w.sent, 0)?,
    };
    w.sent += sent;
    Ok(sent)
}
