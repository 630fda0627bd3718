//! A RoCE v2 endpoint as a provider of verbs: queue pairs and memory over the sockets of one address.
//! Nothing happens but while it is called, so the caller's thread is the device.

use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::os::fd::{AsFd, BorrowedFd};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use bytes::Bytes;
use pnet_datalink::NetworkInterface;
use socket2::{Domain, SockAddr, Socket, Type};

use super::capture::Capture;
use super::counters::Counters;
use super::dcqcn;
use super::desk::{Desk, FIRST_NUMBER, Peer, Queue, since_epoch};
use super::loss::Loss;
use super::memory::Regions;
use super::port::{Lane, Port, PortError};
use super::queue::{Chunk, Config, QueuePair, Receive, Segment, Work};
use super::raw::interface_of;
use super::sys::{self, Message};
use super::train::{Tail, Train, append, bytes_of};
use super::wire::PORT;
use super::wire::icrc::{Envelope, Unidentified};
use crate::network::rdma::provider::{
    Access, Completed, DeviceFacts, Gid, Memory, PathOptions, Payload, Provider, ProviderError, QueueAddress,
    QueueOptions, QueuePair as Number, Request, Span,
};
use crate::scenario::plan::rdma::Service;

/// Settings of an endpoint.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Whole frames are received, by a raw socket.
    pub raw: bool,
    /// Several packets go in one message, which the kernel or the device cuts.
    pub segmentation: bool,
    /// Checksums of packets that come in are judged.
    pub check_icrc: bool,
    /// Bytes in flight of each queue pair at most.
    pub window: u64,
    /// Congestion control.
    pub dcqcn: Option<dcqcn::Parameters>,
    /// Traffic class of congestion notifications.
    pub cnp_class: u8,
    /// Share of own packets that is dropped on purpose, 0 to 1.
    pub loss: f64,
    /// Of what is random.
    pub seed: u64,
    /// All packets are written to this file.
    pub capture: Option<PathBuf>,
}

impl Default for Settings {
    /// A UDP socket, 256 KiB in flight, no congestion control; notifications at DSCP 48, as network cards
    /// send them.
    fn default() -> Self {
        Self {
            raw: false,
            segmentation: true,
            check_icrc: true,
            window: 256 << 10,
            dcqcn: None,
            cnp_class: 48 << 2,
            loss: 0.0,
            seed: 1,
            capture: None,
        }
    }
}

/// Headers of a packet that count against an interface's MTU: IPv6, UDP, transport headers and
/// checksum, rounded up as rxe does.
const HEADERS: u32 = 80;
/// Packets that a queue pair sends before others have their turn.
const QUANTUM: usize = 128;
/// Batches of packets that are received before something is sent.
const BATCHES: usize = 4;
/// Longest message, as on all known hardware.
const LONGEST_MESSAGE: u64 = 1 << 31;

/// An endpoint.
#[derive(Debug)]
pub struct Endpoint {
    facts: DeviceFacts,
    settings: Settings,
    port: Port,
    memory: Regions,
    queues: Vec<Queue>,
    waiting: VecDeque<Train>,
    completions: VecDeque<Completed>,
    /// Packets that no queue pair counted.
    counters: Counters,
    identify: Unidentified,
    loss: Loss,
    capture: Option<Capture<io::BufWriter<std::fs::File>>>,
    started: Instant,
}

impl Endpoint {
    /// Opens the endpoint of `address`, which must be one of this host's.
    pub fn open(address: IpAddr, settings: Settings) -> Result<Self, ProviderError> {
        let name = format!("roce-user {address}");
        let failed = |what: &str, source: io::Error| ProviderError {
            device: name.clone(),
            what: what.to_owned(),
            source,
        };
        let port = Port::open(address, settings.raw, settings.segmentation).map_err(|e| {
            let kind = match &e {
                PortError::Taken { .. } => io::ErrorKind::AddrInUse,
                PortError::Io { source, .. } => source.kind(),
            };
            failed("open its sockets", io::Error::new(kind, e))
        })?;
        let mtu = path_mtu(address).map_err(|e| failed("find its interface", e))?;
        let capture = settings.capture.as_deref().map(Capture::create).transpose();
        let capture = capture.map_err(|e| failed("write its capture", e))?;
        Ok(Self {
            facts: facts(address, name, mtu),
            loss: Loss::new(settings.loss, settings.seed),
            settings,
            port,
            memory: Regions::default(),
            queues: Vec::new(),
            waiting: VecDeque::new(),
            completions: VecDeque::new(),
            counters: Counters::default(),
            identify: Unidentified::default(),
            capture,
            started: Instant::now(),
        })
    }

    fn now(&self) -> u64 {
        self.started.elapsed().as_nanos() as u64
    }

    fn error(&self, what: impl Into<String>, source: io::Error) -> ProviderError {
        ProviderError {
            device: self.facts.name.clone(),
            what: what.into(),
            source,
        }
    }

    fn unfit(&self, what: &str, why: impl Into<String>) -> ProviderError {
        self.error(what, io::Error::new(io::ErrorKind::InvalidInput, why.into()))
    }

    /// All counts so far.
    pub fn totals(&self) -> Counters {
        let mut sum = self.counters;
        for pair in self.queues.iter().filter_map(|queue| queue.pair.as_ref()) {
            sum.add(pair.counters());
        }
        sum
    }

    fn chunk(&self, span: &Span) -> Result<Chunk, ProviderError> {
        let address = span.memory.address.wrapping_add(span.offset);
        let bytes = span.bytes;
        if bytes == 0 {
            return Ok(Chunk::Empty);
        }
        let key = span.memory.local_key;
        match self.memory.slice(key, address, bytes as usize) {
            Ok(_) => Ok(Chunk::Memory { key, address, bytes }),
            Err(e) => Err(self.unfit("use memory", e.to_string())),
        }
    }

    // --- packets in --------------------------------------------------------------------------

    fn receive(&mut self) -> io::Result<()> {
        let now = self.now();
        let Self {
            port,
            memory,
            queues,
            counters,
            identify,
            settings,
            capture,
            ..
        } = self;
        let mut desk = Desk {
            memory,
            queues,
            counters,
            identify: settings.check_icrc.then_some(identify),
            capture: capture.as_mut(),
            now,
            failure: None,
        };
        for _ in 0..BATCHES {
            if !port.receive(|datagram| desk.take(&datagram))? {
                break;
            }
        }
        desk.failure.map_or(Ok(()), Err)
    }

    // --- packets out -------------------------------------------------------------------------

    /// Sends what queue pairs have, as far as there is room.
    fn transmit(&mut self) -> io::Result<()> {
        loop {
            self.send_waiting()?;
            if !self.waiting.is_empty() || !self.collect() {
                return Ok(());
            }
        }
    }

    /// Asks every queue pair that may have packets for some; gives whether there are any.
    fn collect(&mut self) -> bool {
        let now = self.now();
        for number in 0..self.queues.len() {
            let queue = &mut self.queues[number];
            let Some(pair) = queue.pair.as_mut().filter(|_| queue.dirty) else {
                continue;
            };
            queue.dirty = false;
            for taken in 0.. {
                if taken == QUANTUM {
                    queue.dirty = true;
                    break;
                }
                let Some(segment) = pair.poll_transmit(now) else {
                    break;
                };
                if self.loss.drops() {
                    self.counters.injected_drops += 1;
                } else {
                    append(&mut self.waiting, number, segment, self.port.segmentation());
                }
            }
        }
        !self.waiting.is_empty()
    }

    fn send_waiting(&mut self) -> io::Result<()> {
        while !self.waiting.is_empty() {
            let sent = match self.send_batch() {
                Ok(0) => {
                    let lane = self.waiting.front().and_then(|train| self.lane(train.queue));
                    return lane.map_or(Ok(()), |lane| self.port.block(lane));
                }
                Ok(sent) => sent,
                Err(e) if cannot_segment(&e) && self.port.segmentation() => {
                    self.port.without_segmentation();
                    self.split_trains();
                    continue;
                }
                // No route, a link that is down or a full queue: lost on the way, like any packet.
                Err(e) if lost_on_the_way(&e) => {
                    self.counters.send_errors += 1;
                    1
                }
                Err(e) => return Err(e),
            };
            self.waiting.drain(..sent);
        }
        Ok(())
    }

    /// Sends the first trains that share a lane; gives how many went.
    fn send_batch(&mut self) -> io::Result<usize> {
        let Some(lane) = self.waiting.front().and_then(|train| self.lane(train.queue)) else {
            return Ok(1);
        };
        let same = |train: &&Train| self.lane(train.queue) == Some(lane);
        let trains: Vec<&Train> = self.waiting.iter().take(sys::BATCH).take_while(same).collect();
        let tails: Vec<Vec<Tail>> = trains.iter().map(|train| self.tails(train)).collect();
        let parts: Vec<Vec<IoSlice<'_>>> = trains
            .iter()
            .zip(&tails)
            .map(|(train, tails)| self.parts(train, tails))
            .collect();
        let mut messages = Vec::with_capacity(trains.len());
        for (train, parts) in trains.iter().zip(&parts) {
            let Some(peer) = &self.queues[train.queue].peer else {
                break;
            };
            let notification = train.segments.first().is_some_and(|segment| segment.notification);
            messages.push(Message {
                to: &peer.to,
                parts,
                segment: (train.segments.len() > 1).then_some(train.datagram as u16),
                class: if notification {
                    self.settings.cnp_class
                } else {
                    peer.class
                },
            });
        }
        let sent = self.port.send(lane, &messages)?;
        self.record(sent)?;
        Ok(sent)
    }

    fn lane(&self, queue: Number) -> Option<Lane> {
        self.queues[queue].peer.as_ref().map(|peer| peer.lane)
    }

    fn payload<'a>(&'a self, segment: &'a Segment) -> &'a [u8] {
        bytes_of(&self.memory, &segment.payload)
    }

    /// Padding and checksum of each packet of a train.
    fn tails(&self, train: &Train) -> Vec<Tail> {
        let Some(peer) = &self.queues[train.queue].peer else {
            return Vec::new();
        };
        let tail = |(index, segment): (usize, &Segment)| {
            // The kernel numbers the packets that it cuts from one message 0, 1, 2, ..
            let envelope = Envelope {
                identification: index as u16,
                ..peer.envelope
            };
            Tail::of(&envelope, segment, self.payload(segment))
        };
        train.segments.iter().enumerate().map(tail).collect()
    }

    fn parts<'a>(&'a self, train: &'a Train, tails: &'a [Tail]) -> Vec<IoSlice<'a>> {
        let mut parts = Vec::with_capacity(train.segments.len() * 3);
        for (segment, tail) in train.segments.iter().zip(tails) {
            parts.push(IoSlice::new(segment.headers.as_bytes()));
            let payload = self.payload(segment);
            if !payload.is_empty() {
                parts.push(IoSlice::new(payload));
            }
            parts.push(IoSlice::new(tail.as_bytes()));
        }
        parts
    }

    /// Writes the first trains into the capture.
    fn record(&mut self, sent: usize) -> io::Result<()> {
        let Some(capture) = &mut self.capture else {
            return Ok(());
        };
        for train in self.waiting.iter().take(sent) {
            let Some(peer) = &self.queues[train.queue].peer else {
                continue;
            };
            for (index, segment) in train.segments.iter().enumerate() {
                let envelope = Envelope {
                    identification: index as u16,
                    ..peer.envelope
                };
                let payload = bytes_of(&self.memory, &segment.payload);
                let tail = Tail::of(&envelope, segment, payload);
                let class = if segment.notification {
                    self.settings.cnp_class
                } else {
                    peer.class
                };
                let parts = [segment.headers.as_bytes(), payload, tail.as_bytes()];
                capture.packet(since_epoch(), &envelope, class, &parts)?;
            }
        }
        Ok(())
    }

    /// Every packet in a message of its own.
    fn split_trains(&mut self) {
        let trains = std::mem::take(&mut self.waiting);
        for train in trains {
            for segment in train.segments {
                append(&mut self.waiting, train.queue, segment, false);
            }
        }
    }

    // --- time --------------------------------------------------------------------------------

    fn tick(&mut self) {
        let now = self.now();
        for queue in &mut self.queues {
            if let Some(pair) = &mut queue.pair
                && pair.next_time().is_some_and(|time| time <= now)
            {
                pair.tick(now);
                queue.dirty = true;
            }
        }
    }

    fn progress(&mut self) -> io::Result<()> {
        self.receive()?;
        self.tick();
        self.port.unblock()?;
        self.transmit()?;
        for queue in &mut self.queues {
            while let Some(completed) = queue.pair.as_mut().and_then(QueuePair::poll_completion) {
                self.completions.push_back(completed);
            }
        }
        Ok(())
    }
}

/// The kernel or the device cannot cut messages here.
fn cannot_segment(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error(),
        Some(libc::EIO | libc::EINVAL | libc::EOPNOTSUPP | libc::ENOPROTOOPT)
    )
}

fn lost_on_the_way(error: &io::Error) -> bool {
    let lost = [
        libc::ENOBUFS,
        libc::EPERM,
        libc::ENETDOWN,
        libc::ENETUNREACH,
        libc::EHOSTUNREACH,
        libc::EHOSTDOWN,
        libc::ECONNREFUSED,
    ];
    error.raw_os_error().is_some_and(|code| lost.contains(&code))
}

/// The largest path MTU of RoCE that the interface of `address` can carry. A host's address may stand on its
/// loopback interface and be routed to (as on emulated fabrics): then all others must carry it.
fn path_mtu(address: IpAddr) -> io::Result<u32> {
    let missing = || {
        io::Error::new(
            io::ErrorKind::AddrNotAvailable,
            format!("no interface has {address}"),
        )
    };
    let mut on = vec![interface_of(address).ok_or_else(missing)?];
    if on[0].is_loopback() && !address.is_loopback() {
        on = pnet_datalink::interfaces();
        on.retain(|interface| interface.is_up() && !interface.is_loopback());
    }
    let socket = Socket::new(Domain::IPV4, Type::DGRAM, None)?;
    let mtu = |interface: &NetworkInterface| {
        Ok::<_, io::Error>((
            sys::interface_mtu(socket.as_fd(), &interface.name)?,
            interface.name.clone(),
        ))
    };
    let of_all: Vec<(u32, String)> = on.iter().map(mtu).collect::<Result<_, _>>()?;
    let (mtu, name) = of_all.into_iter().min().ok_or_else(missing)?;
    let fits = |size: &u32| size + HEADERS <= mtu;
    let too_small = || io::Error::other(format!("{name} has an MTU of {mtu} bytes; 336 are needed"));
    [4096, 2048, 1024, 512, 256]
        .into_iter()
        .find(fits)
        .ok_or_else(too_small)
}

/// The GID that RoCE v2 makes of an address.
pub fn gid_of(address: IpAddr) -> Gid {
    Gid(match address {
        IpAddr::V4(v4) => v4.to_ipv6_mapped().octets(),
        IpAddr::V6(v6) => v6.octets(),
    })
}

/// The address that a GID of RoCE v2 is made of.
pub fn address_of(gid: &Gid) -> IpAddr {
    let v6 = Ipv6Addr::from(gid.0);
    v6.to_ipv4_mapped().map_or(IpAddr::V6(v6), IpAddr::V4)
}

fn facts(address: IpAddr, name: String, mtu: u32) -> DeviceFacts {
    DeviceFacts {
        name,
        port: 1,
        gid_index: 0,
        gid: gid_of(address),
        mtu,
        most_requests: 1 << 14,
        most_completions: 1 << 22,
        most_bytes: LONGEST_MESSAGE,
        most_reads: 128,
    }
}

/// UDP source port of a queue pair, in the range that network cards use: a mix of flow label and
/// numbers, or the flow label itself where there is one.
fn source_port(flow_label: u32, own: u32, peer: u32) -> u16 {
    let mixed = if flow_label > 0 {
        flow_label ^ flow_label >> 14
    } else {
        u32::wrapping_mul(own, 0x9e37).wrapping_add(peer.wrapping_mul(0x85eb)) >> 3
    };
    0xc000 | (mixed & 0x3fff) as u16
}

impl Provider for Endpoint {
    fn device(&self) -> &DeviceFacts {
        &self.facts
    }

    fn register(&mut self, bytes: u64, access: Access) -> Result<Memory, ProviderError> {
        let registered = self.memory.register(bytes, access);
        registered.map_err(|e| self.error(format!("register {bytes} bytes"), e))
    }

    fn load(&self, memory: &Memory, offset: u64, into: &mut [u8]) {
        let address = memory.address.wrapping_add(offset);
        if let Ok(bytes) = self.memory.slice(memory.local_key, address, into.len()) {
            into.copy_from_slice(bytes);
        }
    }

    fn store(&mut self, memory: &Memory, offset: u64, from: &[u8]) {
        let address = memory.address.wrapping_add(offset);
        if let Ok(bytes) = self.memory.slice_mut(memory.local_key, address, from.len()) {
            bytes.copy_from_slice(from);
        }
    }

    fn create(&mut self, options: &QueueOptions) -> Result<Number, ProviderError> {
        if options.service != Service::Rc {
            let why = "the userspace endpoint speaks reliable connections only (service = \"rc\")";
            return Err(self.unfit("make a queue pair", why));
        }
        let number = self.queues.len();
        // Any number will do; different ones make captures readable.
        let first_psn = (self.settings.seed as u32 ^ (number as u32 + 1).wrapping_mul(0x9e_3779)) & 0xff_ffff;
        self.queues.push(Queue {
            pair: None,
            first_psn,
            peer: None,
            early: Vec::new(),
            dirty: false,
        });
        Ok(number)
    }

    fn address(&self, queue: Number) -> QueueAddress {
        QueueAddress {
            number: FIRST_NUMBER + queue as u32,
            first_psn: self.queues[queue].first_psn,
            gid: self.facts.gid,
            lid: 0,
            mtu: self.facts.mtu,
        }
    }

    fn connect(
        &mut self,
        queue: Number,
        peer: &QueueAddress,
        path: &PathOptions,
    ) -> Result<(), ProviderError> {
        let to = address_of(&peer.gid);
        if to.is_ipv4() != self.port.address().is_ipv4() {
            let why = format!("{to} is of another address family than {}", self.port.address());
            return Err(self.unfit("connect a queue pair", why));
        }
        let mtu = path.mtu.unwrap_or(peer.mtu.min(self.facts.mtu));
        if ![256, 512, 1024, 2048, 4096].contains(&mtu) || mtu > self.facts.mtu {
            let why = format!(
                "a path MTU of {mtu}; this interface carries up to {}",
                self.facts.mtu
            );
            return Err(self.unfit("connect a queue pair", why));
        }
        let own = FIRST_NUMBER + queue as u32;
        let wanted = source_port(path.flow_label, own, peer.number);
        let lane = self.port.lane(wanted);
        let lane = lane.map_err(|e| self.error("bind a source port", e))?;
        let config = Config {
            dcqcn: self.settings.dcqcn,
            ..Config::of(path, mtu, self.settings.window)
        };
        let entry = &mut self.queues[queue];
        let mut pair = QueuePair::new(queue, config, peer.number, entry.first_psn, peer.first_psn);
        for receive in entry.early.drain(..) {
            pair.post_receive(receive);
        }
        entry.pair = Some(pair);
        entry.peer = Some(Peer {
            envelope: Envelope {
                source: self.port.address(),
                destination: to,
                source_port: self.port.source_port(lane),
                identification: 0,
            },
            to: SockAddr::from(SocketAddr::new(to, PORT)),
            lane,
            class: path.traffic_class,
        });
        Ok(())
    }

    fn post_receive(&mut self, queue: Number, id: u64, buffer: Option<Span>) -> Result<(), ProviderError> {
        let receive = match buffer.map(|span| self.chunk(&span)).transpose()? {
            Some(Chunk::Memory { key, address, bytes }) => Receive {
                id,
                buffer: (key, address),
                bytes,
            },
            _ => Receive {
                id,
                buffer: (0, 0),
                bytes: 0,
            },
        };
        let entry = &mut self.queues[queue];
        match &mut entry.pair {
            Some(pair) => pair.post_receive(receive),
            None => entry.early.push(receive),
        }
        Ok(())
    }

    fn post(&mut self, queue: Number, requests: &[Request<'_>]) -> Result<(), ProviderError> {
        for request in requests {
            let payload = match request.payload {
                Payload::Span(span) => self.chunk(&span)?,
                Payload::Inline(bytes) => Chunk::Inline(Bytes::copy_from_slice(bytes)),
            };
            let entry = &mut self.queues[queue];
            let Some(pair) = &mut entry.pair else {
                return Err(self.unfit("post a request", "the queue pair is not connected"));
            };
            pair.post(Work {
                id: request.id,
                verb: request.verb,
                payload,
                signalled: request.signalled,
                solicited: request.solicited,
            });
            entry.dirty = true;
        }
        let sent = if self.waiting.is_empty() {
            self.transmit()
        } else {
            Ok(())
        };
        sent.map_err(|e| self.error("send packets", e))
    }

    fn poll(&mut self, completions: &mut Vec<Completed>, most: usize) -> Result<(), ProviderError> {
        if self.completions.is_empty() {
            self.progress().map_err(|e| self.error("exchange packets", e))?;
        }
        let count = most.min(self.completions.len());
        completions.extend(self.completions.drain(..count));
        Ok(())
    }

    fn arm(&mut self) -> Result<(), ProviderError> {
        Ok(())
    }

    fn event(&self) -> BorrowedFd<'_> {
        self.port.event()
    }

    fn disarm(&mut self) -> Result<(), ProviderError> {
        Ok(())
    }

    fn must_poll_within(&self) -> Option<Duration> {
        // What waits for room in a socket is woken by it.
        let may_send = self.waiting.is_empty() && self.queues.iter().any(|queue| queue.dirty);
        if !self.completions.is_empty() || may_send {
            return Some(Duration::ZERO);
        }
        let pairs = self.queues.iter().filter_map(|queue| queue.pair.as_ref());
        let next = pairs.filter_map(QueuePair::next_time).min()?;
        Some(Duration::from_nanos(next.saturating_sub(self.now())))
    }

    fn counters(&self) -> Vec<(String, u64)> {
        let named = self.totals().named();
        named
            .into_iter()
            .map(|(name, count)| (name.to_owned(), count))
            .collect()
    }
}

impl Drop for Endpoint {
    fn drop(&mut self) {
        if let Some(capture) = &mut self.capture {
            // Nobody is left to be told.
            let _ = capture.flush();
        }
    }
}
