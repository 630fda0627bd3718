//! The TCP transport of one rank: sends and receives are posted, completions are polled. One
//! thread, one epoll set; waiting is blocking, polling, or adaptive between the two.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::connection::{Arrival, Connection, ConnectionError, Outgoing};
use super::matching::{Matching, Outcome};
use super::sys::{self, Epoll};
use crate::network::flows::{FlowName, FlowTable, Flows};
use crate::network::message::{Channel, MessageKey, Rank};
use crate::network::transport::{Completion, Totals, Transport, TransportError};
use crate::network::waiting::{self, Spin};
use crate::scenario::plan::Wait;

/// Messages up to this size are small: worth polling for.
const LATENCY_BOUND: u64 = 64 * 1024;
/// Size of the constant payload that is sent by reference.
const PAGES: usize = 4 << 20;
/// With messages to several ranks, so many bytes are written to one before it is the next one's turn:
/// all of them begin within a moment, and none fills the link for the time that a whole message takes.
const TURN: u64 = 128 * 1024;
/// Acknowledgements are asked for at most this often.
const SAMPLE_EVERY: Duration = Duration::from_millis(100);

/// Number of a connection among those of a pair: a channel has two. All small messages of a channel
/// share its first, where data carries the credit of the other direction along. Large messages of the
/// higher rank take the second, so that bulk data never runs both ways on one connection: TCP is
/// slower then, and both directions would be received on one processor.
pub type Lane = u32;
/// Connections of a channel.
pub const LANES_PER_CHANNEL: Lane = 2;

/// Settings of the transport.
#[derive(Debug, Clone)]
pub struct Settings {
    /// This rank.
    pub rank: Rank,
    /// How to wait.
    pub wait: Wait,
    /// Fewer cores than ranks: polling gives the core away between two looks.
    pub oversubscribed: bool,
    /// Messages carry real data.
    pub real_payload: bool,
    /// Slots of credit per connection.
    pub slots: u32,
    /// Bytes of a slot.
    pub slot_bytes: u64,
    /// Constant payload is sent by reference to pages rather than copied: cheaper on slow links, where
    /// copies would go to cold memory. A segment then holds at most 17 pages of 4 KiB, too little for
    /// links of 10 Gbit/s (measured: half as much CPU again).
    pub by_reference: bool,
    /// Bytes that the kernel takes of a connection before a send waits.
    pub send_buffer: usize,
    /// The scenario says so: nothing else may.
    pub fixed_send_buffer: bool,
    /// The scenario says how connections are paced: nothing else may.
    pub paced: bool,
    /// Messages end in a small segment, for shaped links.
    pub split_tail: bool,
}

/// The transport of one rank.
#[derive(Debug)]
pub struct TcpTransport {
    settings: Settings,
    connections: Vec<Connection>,
    /// Connections of each peer, by lane.
    peers: BTreeMap<Rank, Vec<usize>>,
    epoll: Epoll,
    ready: Vec<(u64, bool, bool)>,
    arrivals: Vec<Arrival>,
    matching: Matching,
    flows: FlowTable,
    completions: VecDeque<Completion>,
    pages: Option<OwnedFd>,
    totals: Totals,
    sampled: Instant,
    spin: Spin,
    /// Connections whose last turn ended before there was nothing left to write.
    unfinished: usize,
    /// The receive posted last is of a message that takes longer than polling for it is worth.
    bulk: bool,
}

impl TcpTransport {
    /// Takes over connected, non-blocking connections: (peer, lane, connection).
    pub fn new(settings: Settings, connections: Vec<(Rank, Lane, Connection)>) -> io::Result<Self> {
        let epoll = Epoll::new()?;
        let pages = settings
            .by_reference
            .then(|| sys::constant_pages(PAGES))
            .transpose()?;
        let mut peers: BTreeMap<Rank, Vec<(Lane, usize)>> = BTreeMap::new();
        let mut list = Vec::with_capacity(connections.len());
        for (index, (peer, lane, connection)) in connections.into_iter().enumerate() {
            epoll.add(connection.socket(), index as u64, false)?;
            peers.entry(peer).or_default().push((lane, index));
            list.push(connection);
        }
        let in_order = |mut lanes: Vec<(Lane, usize)>| {
            lanes.sort_unstable();
            lanes.into_iter().map(|(_, index)| index).collect()
        };
        Ok(Self {
            spin: Spin::new(settings.wait),
            settings,
            connections: list,
            peers: peers
                .into_iter()
                .map(|(peer, lanes)| (peer, in_order(lanes)))
                .collect(),
            epoll,
            ready: Vec::new(),
            arrivals: Vec::new(),
            matching: Matching::default(),
            flows: FlowTable::default(),
            completions: VecDeque::new(),
            pages,
            totals: Totals::default(),
            sampled: Instant::now(),
            unfinished: 0,
            bulk: false,
        })
    }

    fn connection_of(&self, peer: Rank, channel: Channel, bytes: u64) -> Result<usize, TransportError> {
        let lanes = self.peers.get(&peer).ok_or(TransportError::NotConnected(peer))?;
        let second = bytes > LATENCY_BOUND && self.settings.rank > peer;
        let lane = channel as usize * LANES_PER_CHANNEL as usize + usize::from(second);
        Ok(lanes[lane % lanes.len()])
    }

    fn settle(&mut self, outcome: Outcome) -> Result<(), TransportError> {
        if let Some(done) = outcome.completed {
            self.completions
                .push_back(Completion::Received(done.id, done.data));
        }
        if let Some((connection, slots)) = outcome.give_back {
            self.connections[connection].give_back(slots);
        }
        Ok(())
    }

    /// Frames that only credit is in, and sends that credit has set free, go out.
    fn flush(&mut self) -> Result<(), TransportError> {
        for index in 0..self.connections.len() {
            if !self.connections[index].blocked {
                self.write(index)?;
            }
        }
        Ok(())
    }

    /// One look at all connections, waiting at most `timeout` for the first event.
    fn turn(&mut self, timeout: Duration) -> Result<(), TransportError> {
        let timeout = if self.unfinished > 0 {
            self.flush()?;
            Duration::ZERO
        } else {
            timeout
        };
        let mut ready = std::mem::take(&mut self.ready);
        self.epoll.wait(Some(timeout), &mut ready)?;
        for &(token, readable, writable) in &ready {
            let index = token as usize;
            if readable {
                self.read(index)?;
            }
            if writable || (readable && !self.connections[index].blocked) {
                self.write(index)?;
            }
        }
        self.ready = ready;
        Ok(())
    }

    fn failed(&self, index: usize) -> impl FnOnce(ConnectionError) -> TransportError + use<> {
        let peer = self.connections[index].peer;
        move |source| TransportError::peer(peer, source)
    }

    fn read(&mut self, index: usize) -> Result<(), TransportError> {
        let mut arrivals = std::mem::take(&mut self.arrivals);
        let result = self.connections[index]
            .read(&mut arrivals)
            .map_err(self.failed(index));
        self.digest(index, &mut arrivals)?;
        self.arrivals = arrivals;
        result
    }

    fn write(&mut self, index: usize) -> Result<(), TransportError> {
        let mut arrivals = std::mem::take(&mut self.arrivals);
        let before = self.connections[index].unfinished;
        let result = self.connections[index]
            .write(self.pages.as_ref().map(AsFd::as_fd), TURN, &mut arrivals)
            .map_err(self.failed(index));
        self.digest(index, &mut arrivals)?;
        self.arrivals = arrivals;
        result?;
        let connection = &mut self.connections[index];
        self.unfinished = self.unfinished + usize::from(connection.unfinished) - usize::from(before);
        if connection.blocked != connection.watched_writable {
            self.epoll
                .modify(connection.socket(), index as u64, connection.blocked)?;
            connection.watched_writable = connection.blocked;
        }
        Ok(())
    }

    fn digest(&mut self, index: usize, arrivals: &mut Vec<Arrival>) -> Result<(), TransportError> {
        for arrival in arrivals.drain(..) {
            match arrival {
                Arrival::Sent { id } => self.completions.push_back(Completion::Sent(id)),
                Arrival::Transmitted { flow, bytes } => {
                    self.totals.sent_bytes += bytes;
                    self.flows
                        .flow(flow)
                        .transmitted
                        .fetch_add(bytes, Ordering::Release);
                }
                Arrival::Slice { header, data } => {
                    self.totals.received_bytes += u64::from(header.slice_bytes);
                    let peer = self.connections[index].peer;
                    let outcome = self.matching.slice(index, peer, &header, data)?;
                    self.settle(outcome)?;
                }
            }
        }
        Ok(())
    }

    /// Brings the flows' `done` counters up to date, at most every [`SAMPLE_EVERY`].
    fn sample_acknowledged(&mut self) {
        if self.sampled.elapsed() >= SAMPLE_EVERY {
            self.sample_now();
        }
    }
}

impl Transport for TcpTransport {
    fn post_send(
        &mut self,
        id: u64,
        peer: Rank,
        channel: Channel,
        key: MessageKey,
        bytes: u64,
        data: Option<Vec<u8>>,
    ) -> Result<(), TransportError> {
        let index = self.connection_of(peer, channel, bytes)?;
        let name = FlowName {
            communicator: key.communicator,
            peer,
            channel,
        };
        let flow = self.flows.announce(name, bytes);
        self.totals.messages += 1;
        let idle = !self.connections[index].has_outgoing();
        self.connections[index].push(Outgoing {
            id,
            key,
            bytes,
            data,
            flow,
        });
        if idle { self.write(index) } else { Ok(()) }
    }

    fn post_receive(
        &mut self,
        id: u64,
        peer: Rank,
        _channel: Channel,
        key: MessageKey,
        bytes: u64,
    ) -> Result<(), TransportError> {
        self.bulk = bytes > LATENCY_BOUND;
        let outcome = self.matching.post(id, peer, key, bytes)?;
        self.settle(outcome)
    }

    fn next_completion(&mut self) -> Option<Completion> {
        self.completions.pop_front()
    }

    fn pace(&mut self, rates: &BTreeMap<(Rank, Channel), u64>) -> Result<(), TransportError> {
        if self.settings.paced {
            return Ok(());
        }
        for (&peer, lanes) in &self.peers {
            for (lane, &index) in (0..).zip(lanes) {
                let channel = lane / LANES_PER_CHANNEL;
                self.connections[index].pace(rates.get(&(peer, channel)).copied())?;
            }
        }
        Ok(())
    }

    fn poll(&mut self, timeout: Duration) -> Result<(), TransportError> {
        self.flush()?;
        if !self.completions.is_empty() {
            return Ok(());
        }
        let start = Instant::now();
        let spin = self.spin.budget(self.bulk).min(timeout);
        while start.elapsed() < spin {
            self.turn(Duration::ZERO)?;
            if !self.completions.is_empty() {
                return Ok(());
            }
            waiting::pause(self.settings.oversubscribed);
        }
        loop {
            self.sample_acknowledged();
            self.turn(timeout.saturating_sub(start.elapsed()))?;
            if !self.completions.is_empty() || start.elapsed() >= timeout {
                break;
            }
        }
        self.spin.blocked(start.elapsed());
        Ok(())
    }

    fn totals(&self) -> Totals {
        self.totals
    }

    fn retransmits(&self) -> u64 {
        self.connections.iter().map(Connection::retransmits).sum()
    }

    fn flows(&self) -> Flows {
        self.flows.shared()
    }

    fn sample_now(&mut self) {
        self.sampled = Instant::now();
        let flows = &self.flows;
        for connection in &mut self.connections {
            connection.acknowledged(|flow, bytes| {
                flows.flow(flow).done.fetch_add(bytes, Ordering::Release);
            });
        }
    }
}
