//! How many hops apart hosts are, as packets find it: what is left of their time to live when they arrive; and
//! how long small packets take. Each goes by the routes that stand.

use std::io;
use std::net::{Ipv4Addr, SocketAddrV4, UdpSocket};
use std::os::fd::AsFd;
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{setsockopt, sockopt};
use socket2::{Domain, Protocol, Socket, Type};

use super::probe::{Stamped, receive};
use super::{Fabric, FabricError};
use crate::namespace::enter;

/// Where packets are sent to. Below the ports that ranks are given or choose, as that of probes.
const PORT: u16 = 20_863;
const TTL: u32 = 64;
/// Packets from one host to the other.
const PACKETS: u64 = 5;
/// One that takes longer does not arrive.
const PATIENCE: Duration = Duration::from_millis(250);
/// When none of so many has arrived, none will.
const MISSED: u64 = 3;

/// What was found between two hosts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hops {
    /// Hops, 1 between neighbours; `None`: no packet arrived.
    pub hops: Option<u32>,
    /// One-way time of a packet of 8 bytes, the median.
    pub one_way: Option<Duration>,
}

impl Fabric {
    /// Measures from host to host, for each pair of node numbers; both have an address. A pair that does not reach
    /// each other takes three quarters of a second.
    pub fn hops(&self, pairs: &[(usize, usize)]) -> Result<Vec<Hops>, FabricError> {
        self.hops_while(pairs, || true)
    }

    /// The same for the first of the pairs, as long as `go_on` says so.
    pub fn hops_while(
        &self,
        pairs: &[(usize, usize)],
        go_on: impl Fn() -> bool,
    ) -> Result<Vec<Hops>, FabricError> {
        let mut nodes: Vec<usize> = pairs.iter().flat_map(|&(a, b)| [a, b]).collect();
        nodes.sort_unstable();
        nodes.dedup();
        let open = |&node: &usize| -> io::Result<(UdpSocket, Ipv4Addr)> {
            let address = self.spec.nodes[node].addresses.first().copied();
            enter(self.nodes[node].namespace.as_fd())?;
            let address = address.ok_or_else(|| io::Error::other("a node without address"))?;
            Ok((socket(address)?, address))
        };
        // A socket belongs to the namespace of the thread that opens it.
        let opened = thread::scope(|scope| scope.spawn(|| nodes.iter().map(open).collect()).join());
        let opened: io::Result<Vec<(UdpSocket, Ipv4Addr)>> =
            opened.unwrap_or_else(|_| Err(io::Error::other("the opening thread panicked")));
        let sockets = opened.map_err(FabricError::Probe)?;
        let of = |node: usize| &sockets[nodes.binary_search(&node).unwrap_or(0)];
        // Every packet of a measurement has a number of its own: one that comes late is nobody else's.
        let one = |(place, &(from, to)): (usize, &(usize, usize))| {
            between(&of(from).0, of(to), place as u64 * PACKETS)
        };
        let pairs = pairs.iter().enumerate().take_while(|_| go_on());
        Ok(pairs.map(one).collect())
    }
}

fn socket(address: Ipv4Addr) -> io::Result<UdpSocket> {
    let socket = Socket::new(Domain::IPV4, Type::DGRAM, Some(Protocol::UDP))?;
    socket.set_ttl_v4(TTL)?;
    socket.set_nonblocking(true)?;
    setsockopt(&socket, sockopt::ReceiveTimestampns, &true)?;
    setsockopt(&socket, sockopt::Ipv4RecvTtl, &true)?;
    socket.bind(&SocketAddrV4::new(address, PORT).into())?;
    Ok(socket.into())
}

fn between(from: &UdpSocket, (to, address): &(UdpSocket, Ipv4Addr), first: u64) -> Hops {
    let (mut hops, mut times) = (None, Vec::new());
    for number in first..first + PACKETS {
        let sent = SystemTime::now();
        if from
            .send_to(&number.to_be_bytes(), SocketAddrV4::new(*address, PORT))
            .is_err()
        {
            continue;
        }
        let Some(arrived) = arrival(to, number) else {
            match hops.is_none() && number + 1 >= first + MISSED {
                true => break,
                false => continue,
            }
        };
        // The longest way that any packet took.
        let way = (TTL + 1).saturating_sub(arrived.ttl.unwrap_or(0));
        hops = hops.max(arrived.ttl.map(|_| way));
        let sent = sent
            .duration_since(UNIX_EPOCH)
            .map_or(0, |since| since.as_nanos() as u64);
        times.push(Duration::from_nanos(arrived.at_ns.saturating_sub(sent)));
    }
    times.sort_unstable();
    Hops {
        hops,
        one_way: times.get(times.len() / 2).copied(),
    }
}

/// Waits for a packet of this number.
fn arrival(socket: &UdpSocket, number: u64) -> Option<Stamped> {
    let end = Instant::now() + PATIENCE;
    let mut buffer = [0; 8];
    loop {
        while let Some(stamped) = receive(socket, &mut buffer) {
            if stamped.length == 8 && u64::from_be_bytes(buffer) == number {
                return Some(stamped);
            }
        }
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return None;
        }
        let mut ends = [PollFd::new(socket.as_fd(), PollFlags::POLLIN)];
        // Whatever ends the wait, it is looked again.
        let _ = poll(
            &mut ends,
            PollTimeout::from(left.as_millis().clamp(1, 500) as u16),
        );
    }
}
