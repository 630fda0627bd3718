//! A steady stream of small packets out of ports, and when they arrive at the far ends of their links: what
//! traffic sees of a circuit that moves. UDP to everybody on the link (RFC 919), never forwarded (TTL 1),
//! stamped by the kernel as they come in.

use std::io::{self, IoSliceMut};
use std::net::{Ipv4Addr, SocketAddrV4, UdpSocket};
use std::os::fd::{AsFd, AsRawFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use nix::sys::socket::{ControlMessageOwned, MsgFlags, recvmsg, setsockopt, sockopt};
use socket2::{Domain, Protocol, Socket, Type};

use super::{Fabric, FabricError};
use crate::namespace::enter;

/// Where probes are sent to. Below the ports that ranks are given or choose (from 32768 on, RoCE v2 from 49152).
const PORT: u16 = 20_862;
const MAGIC: [u8; 8] = *b"genie-pr";
/// Magic, number of the sending end, sequence number.
const LENGTH: usize = 8 + 4 + 8;
/// The receiver looks so often whether it is to end.
const TICK: u16 = 5;
/// After the last probe was sent: when none has come for so long, or after so long at most, none is waited for.
const STRAGGLERS: (Duration, Duration) = (Duration::from_millis(10), Duration::from_millis(100));

/// A probe that has arrived.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Arrival {
    /// Which end of those that are probed had sent it.
    pub from: usize,
    /// Its number among those of that end.
    pub sequence: u64,
    /// When, by the kernel's stamp; nanoseconds since 1970.
    pub at_ns: u64,
}

/// What was found, by end.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Heard {
    /// What arrived at each end, in order.
    pub arrivals: Vec<Vec<Arrival>>,
    /// How many probes each end has sent.
    pub sent: Vec<u64>,
    /// The longest time between two rounds of probes: times are no finer than this.
    pub longest_pause: Duration,
}

/// A stream of probes. Dropping it ends it.
#[derive(Debug)]
pub struct Probe {
    shared: Arc<Shared>,
    sender: Option<JoinHandle<()>>,
    receiver: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    sockets: Vec<UdpSocket>,
    /// No more is sent.
    silent: AtomicBool,
    /// Nor heard.
    stopped: AtomicBool,
    heard: Mutex<Heard>,
}

impl Fabric {
    /// Sends a probe out of each of these ends of links (link, side) every so often, and listens there.
    pub fn probe(&self, ends: &[(usize, usize)], every: Duration) -> Result<Probe, FabricError> {
        let open = |&(link, side): &(usize, usize)| {
            let (node, interface) = &self.spec.links[link].ends[side];
            enter(self.nodes[*node].namespace.as_fd())?;
            socket(interface)
        };
        // A socket belongs to the namespace of the thread that opens it.
        let opened = thread::scope(|scope| scope.spawn(|| ends.iter().map(open).collect()).join());
        let sockets: io::Result<Vec<UdpSocket>> =
            opened.unwrap_or_else(|_| Err(io::Error::other("the opening thread panicked")));
        Probe::start(sockets.map_err(FabricError::Probe)?, every).map_err(FabricError::Probe)
    }
}

fn socket(interface: &str) -> io::Result<UdpSocket> {
    let socket = Socket::new(Domain::IPV4, Type::DGRAM, Some(Protocol::UDP))?;
    socket.bind_device(Some(interface.as_bytes()))?;
    socket.set_broadcast(true)?;
    socket.set_ttl_v4(1)?;
    socket.set_nonblocking(true)?;
    setsockopt(&socket, sockopt::ReceiveTimestampns, &true)?;
    socket.bind(&SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, PORT).into())?;
    Ok(socket.into())
}

impl Probe {
    fn start(sockets: Vec<UdpSocket>, every: Duration) -> io::Result<Self> {
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
        for (end, socket) in sockets.iter().enumerate() {
            epoll.add(socket, EpollEvent::new(EpollFlags::EPOLLIN, end as u64))?;
        }
        let heard = Heard {
            arrivals: vec![Vec::new(); sockets.len()],
            sent: vec![0; sockets.len()],
            longest_pause: Duration::ZERO,
        };
        let shared = Arc::new(Shared {
            sockets,
            silent: AtomicBool::new(false),
            stopped: AtomicBool::new(false),
            heard: Mutex::new(heard),
        });
        let (sending, receiving) = (shared.clone(), shared.clone());
        Ok(Probe {
            sender: Some(thread::spawn(move || sending.send(every))),
            receiver: Some(thread::spawn(move || receiving.receive(&epoll))),
            shared,
        })
    }

    /// The latest arrival at each end so far.
    pub fn latest(&self) -> Vec<Option<Arrival>> {
        let heard = self.shared.heard();
        heard
            .arrivals
            .iter()
            .map(|arrivals| arrivals.last().copied())
            .collect()
    }

    /// Ends the stream, waits for what is under way and gives what was found.
    pub fn finish(mut self) -> Heard {
        self.shared.silent.store(true, Ordering::Relaxed);
        join(&mut self.sender);
        self.await_stragglers();
        self.end();
        std::mem::take(&mut *self.shared.heard())
    }

    fn await_stragglers(&self) {
        let count = || self.shared.heard().arrivals.iter().map(Vec::len).sum::<usize>();
        let (silence, most) = STRAGGLERS;
        let end = Instant::now() + most;
        let (mut heard, mut since) = (count(), Instant::now());
        while since.elapsed() < silence && Instant::now() < end {
            thread::sleep(Duration::from_millis(1));
            let now = count();
            if now > heard {
                (heard, since) = (now, Instant::now());
            }
        }
    }

    fn end(&mut self) {
        self.shared.silent.store(true, Ordering::Relaxed);
        self.shared.stopped.store(true, Ordering::Relaxed);
        join(&mut self.sender);
        join(&mut self.receiver);
    }
}

fn join(thread: &mut Option<JoinHandle<()>>) {
    if let Some(thread) = thread.take() {
        // A thread that panicked has nothing left to end.
        let _ = thread.join();
    }
}

impl Drop for Probe {
    fn drop(&mut self) {
        self.end();
    }
}

impl Shared {
    fn heard(&self) -> std::sync::MutexGuard<'_, Heard> {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn send(&self, every: Duration) {
        let to = SocketAddrV4::new(Ipv4Addr::BROADCAST, PORT);
        let (mut next, mut last) = (Instant::now(), None::<Instant>);
        let (mut sequence, mut longest) = (0, Duration::ZERO);
        while !self.silent.load(Ordering::Relaxed) {
            let now = Instant::now();
            longest = longest.max(last.map_or(Duration::ZERO, |last| now - last));
            last = Some(now);
            for (end, socket) in self.sockets.iter().enumerate() {
                // A port that is dark may say so or lose it in silence; either way it does not arrive.
                let _ = socket.send_to(&packet(end, sequence), to);
            }
            sequence += 1;
            next = (next + every).max(now);
            thread::sleep(next.saturating_duration_since(Instant::now()));
        }
        let mut heard = self.heard();
        heard.sent.iter_mut().for_each(|sent| *sent = sequence);
        heard.longest_pause = longest;
    }

    fn receive(&self, epoll: &Epoll) {
        let mut events = [EpollEvent::empty(); 64];
        while !self.stopped.load(Ordering::Relaxed) {
            let count = epoll.wait(&mut events, EpollTimeout::from(TICK)).unwrap_or(0);
            for event in &events[..count] {
                let end = event.data() as usize;
                // Whoever sends to everybody hears it as well.
                let others = |arrival: &Arrival| arrival.from < self.sockets.len() && arrival.from != end;
                let arrived = arrivals(&self.sockets[end]);
                self.heard().arrivals[end].extend(arrived.into_iter().filter(others));
            }
        }
    }
}

fn packet(end: usize, sequence: u64) -> [u8; LENGTH] {
    let mut packet = [0; LENGTH];
    packet[..8].copy_from_slice(&MAGIC);
    packet[8..12].copy_from_slice(&(end as u32).to_be_bytes());
    packet[12..].copy_from_slice(&sequence.to_be_bytes());
    packet
}

/// All that waits at a socket.
fn arrivals(socket: &UdpSocket) -> Vec<Arrival> {
    let (mut found, mut buffer) = (Vec::new(), [0; LENGTH]);
    while let Some(stamped) = receive(socket, &mut buffer) {
        if let Some((from, sequence)) = read(&buffer[..stamped.length.min(LENGTH)]) {
            found.push(Arrival {
                from,
                sequence,
                at_ns: stamped.at_ns,
            });
        }
    }
    found
}

/// What the kernel says of a datagram.
#[derive(Debug, Clone, Copy)]
pub(super) struct Stamped {
    /// Bytes that were put into the buffer.
    pub length: usize,
    /// When it came in, nanoseconds since 1970.
    pub at_ns: u64,
    /// What was left of its time to live, on sockets that asked for it.
    pub ttl: Option<u32>,
}

/// The next datagram at a socket that asked for stamps; `None`: there is none.
pub(super) fn receive(socket: &UdpSocket, buffer: &mut [u8]) -> Option<Stamped> {
    let mut control = nix::cmsg_space!(nix::sys::time::TimeSpec, libc::c_int);
    let mut parts = [IoSliceMut::new(buffer)];
    let flags = MsgFlags::MSG_DONTWAIT;
    let message = recvmsg::<()>(socket.as_raw_fd(), &mut parts, Some(&mut control), flags).ok()?;
    let mut stamped = Stamped {
        length: message.bytes,
        at_ns: 0,
        ttl: None,
    };
    for one in message.cmsgs().ok()? {
        match one {
            ControlMessageOwned::ScmTimestampns(at) => {
                stamped.at_ns = at.tv_sec() as u64 * 1_000_000_000 + at.tv_nsec() as u64;
            }
            ControlMessageOwned::Ipv4Ttl(ttl) => stamped.ttl = u32::try_from(ttl).ok(),
            _ => {}
        }
    }
    Some(stamped)
}

fn read(packet: &[u8]) -> Option<(usize, u64)> {
    let (magic, rest) = packet.split_at_checked(8)?;
    let (end, sequence) = rest.split_at_checked(4)?;
    let end = u32::from_be_bytes(end.try_into().ok()?);
    let sequence = u64::from_be_bytes(sequence.try_into().ok()?);
    (magic == MAGIC).then_some((end as usize, sequence))
}

impl Heard {
    /// How long an end heard nothing while the circuit behind it was moved: from the last probe before to
    /// the first one after. Where the far end is another one afterwards that is the silence between the
    /// two, else the longest. `None`: it heard nothing before, or nothing after.
    pub fn silence(&self, end: usize) -> Option<Duration> {
        let arrivals = self.arrivals.get(end)?;
        let pairs = || arrivals.windows(2).map(|pair| (pair[0], pair[1]));
        let length = |(a, b): (Arrival, Arrival)| Duration::from_nanos(b.at_ns.saturating_sub(a.at_ns));
        let another = pairs().find(|(a, b)| a.from != b.from).map(length);
        another.or_else(|| pairs().map(length).max())
    }

    /// Probes of an end that arrived nowhere.
    pub fn lost(&self, end: usize) -> u64 {
        let arrived = self.arrivals.iter().flatten();
        let arrived = arrived.filter(|arrival| arrival.from == end).count() as u64;
        self.sent.get(end).map_or(0, |sent| sent.saturating_sub(arrived))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heard(arrivals: &[(usize, u64)]) -> Heard {
        let arrival = |&(from, at_ns): &(usize, u64)| Arrival {
            from,
            sequence: 0,
            at_ns,
        };
        Heard {
            arrivals: vec![arrivals.iter().map(arrival).collect()],
            ..Heard::default()
        }
    }

    #[test]
    fn silence_is_between_the_old_and_the_new_far_end() {
        // A pause of the sender (30) is longer than the darkness (20): that of the move counts.
        let moved = heard(&[(1, 10), (1, 40), (2, 60), (2, 61)]);
        assert_eq!(moved.silence(0), Some(Duration::from_nanos(20)));
        let same = heard(&[(1, 10), (1, 12), (1, 60), (1, 61)]);
        assert_eq!(same.silence(0), Some(Duration::from_nanos(48)));
        assert_eq!(heard(&[(1, 10)]).silence(0), None);
        assert_eq!(heard(&[]).silence(0), None);
    }

    #[test]
    fn probes_of_an_end_are_lost_that_arrive_at_no_other() {
        let mut found = heard(&[(1, 10), (2, 20), (1, 30)]);
        found.sent = vec![3, 3, 1];
        assert_eq!([0, 1, 2, 9].map(|end| found.lost(end)), [3, 1, 0, 0]);
    }

    #[test]
    fn only_probes_are_read() {
        assert_eq!(read(&packet(7, 9)), Some((7, 9)));
        assert_eq!(read(b"genie-pr"), None);
        assert_eq!(read(&[0; LENGTH]), None);
    }
}
