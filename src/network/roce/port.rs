//! Where an endpoint's packets leave and arrive. Both ways send through UDP sockets that are not
//! connected and forbid fragments, so that every header field under the checksum is known (Linux then
//! numbers IPv4 packets 0, and those that it cuts from one message 0, 1, 2, ..).
//! `udp` receives on such a socket too; `raw` sees whole frames.

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsFd, BorrowedFd};

use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags};
use nix::sys::socket::{setsockopt, sockopt};
use socket2::{Domain, Protocol, SockAddr, Socket, Type};

use super::raw::Raw;
use super::sys::{self, Inbox, Message};
use super::wire::PORT;
use super::wire::frame::Seen;
use super::wire::icrc::Envelope;

/// Messages received in one call, and the longest: what UDP can carry.
const INBOX: usize = 16;
const LONGEST: usize = 65_536;
/// Room for packets that come while the rank does something else.
const RECEIVE_BUFFER: usize = 8 << 20;
/// Room for packets on their way out of one flow.
const SEND_BUFFER: usize = 1 << 20;

/// One of the sockets that packets are sent from: a source port of its own, so that switches hash the
/// flows apart.
pub type Lane = usize;

/// How packets are received.
#[derive(Debug)]
enum Receiver {
    Udp(Inbox),
    Raw(Box<Raw>),
}

/// The sockets of an endpoint.
#[derive(Debug)]
pub struct Port {
    address: IpAddr,
    /// Bound to [`PORT`].
    main: Socket,
    lanes: Vec<(u16, Socket)>,
    by_port: BTreeMap<u16, Lane>,
    receiver: Receiver,
    epoll: Epoll,
    blocked: Option<Lane>,
    segmentation: bool,
}

/// A datagram that arrived.
#[derive(Debug, Clone, Copy)]
pub struct Datagram<'a> {
    /// The headers around it. The identification is only true if `identified`.
    pub seen: Seen<'a>,
    /// Whether the IPv4 identification is known.
    pub identified: bool,
}

/// Why an endpoint's sockets cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum PortError {
    /// Somebody else has the port.
    #[error(
        "UDP port {PORT} of {address} is taken: one RoCE endpoint per address is possible, and none where the kernel's rxe has one"
    )]
    Taken {
        /// Whose port.
        address: IpAddr,
    },
    /// Anything else.
    #[error("{what} for {address}: {source}")]
    Io {
        /// What was tried.
        what: &'static str,
        /// For which address.
        address: IpAddr,
        /// What the kernel said.
        source: io::Error,
    },
}

impl Port {
    /// Opens the sockets of `address`; `raw`: whole frames are received.
    pub fn open(address: IpAddr, raw: bool, segmentation: bool) -> Result<Self, PortError> {
        let failed = |what: &'static str| {
            move |source: io::Error| PortError::Io {
                what,
                address,
                source,
            }
        };
        let main = bound(address, PORT).map_err(|e| match e.kind() {
            io::ErrorKind::AddrInUse => PortError::Taken { address },
            _ => failed("cannot bind a UDP socket")(e),
        })?;
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)
            .map_err(|e| failed("cannot make an epoll set")(e.into()))?;
        let receiver = if raw {
            // The main socket only keeps the kernel from refusing packets; nobody reads from it.
            let _ = main.set_recv_buffer_size(0);
            Receiver::Raw(Box::new(
                Raw::open(address).map_err(failed("cannot receive whole frames"))?,
            ))
        } else {
            receive_options(&main, address.is_ipv6()).map_err(failed("cannot set socket options"))?;
            Receiver::Udp(Inbox::new(INBOX, LONGEST))
        };
        let readable = match &receiver {
            Receiver::Udp(_) => main.as_fd(),
            Receiver::Raw(raw) => raw.as_fd(),
        };
        epoll
            .add(readable, EpollEvent::new(EpollFlags::EPOLLIN, 0))
            .map_err(|e| failed("cannot wait for packets")(e.into()))?;
        Ok(Self {
            address,
            main,
            lanes: Vec::new(),
            by_port: BTreeMap::new(),
            receiver,
            epoll,
            blocked: None,
            // Whole frames are seen before the kernel cuts them.
            segmentation: segmentation && !raw,
        })
    }

    /// Own address.
    pub fn address(&self) -> IpAddr {
        self.address
    }

    /// Becomes readable when packets have come, or may go again.
    pub fn event(&self) -> BorrowedFd<'_> {
        self.epoll.0.as_fd()
    }

    /// A socket to send from with this source port; where the port is taken, the next one that is not.
    pub fn lane(&mut self, wanted: u16) -> io::Result<Lane> {
        if let Some(lane) = self.by_port.get(&wanted) {
            return Ok(*lane);
        }
        let ports = (0..64).map(|step| 0xc000 | wanted.wrapping_add(step) & 0x3fff);
        let mut last = io::Error::from(io::ErrorKind::AddrInUse);
        for port in ports {
            match bound(self.address, port) {
                Ok(socket) => {
                    self.lanes.push((port, socket));
                    self.by_port.insert(wanted, self.lanes.len() - 1);
                    return Ok(self.lanes.len() - 1);
                }
                Err(e) => last = e,
            }
        }
        Err(last)
    }

    /// Source port of a lane.
    pub fn source_port(&self, lane: Lane) -> u16 {
        self.lanes.get(lane).map_or(PORT, |(port, _)| *port)
    }

    /// Whether several datagrams can go in one message.
    pub fn segmentation(&self) -> bool {
        self.segmentation
    }

    /// No device takes messages of several datagrams here.
    pub fn without_segmentation(&mut self) {
        self.segmentation = false;
    }

    /// Sends messages from one lane; gives how many were taken, 0 when there is no room: see
    /// [`block`](Self::block).
    pub fn send(&self, lane: Lane, messages: &[Message<'_>]) -> io::Result<usize> {
        let socket = self.lanes.get(lane).map_or(&self.main, |(_, socket)| socket);
        match sys::send(socket.as_fd(), messages) {
            Err(e) if matches!(e.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => Ok(0),
            other => other,
        }
    }

    /// [`event`](Self::event) shall also become readable when a lane has room again.
    pub fn block(&mut self, lane: Lane) -> io::Result<()> {
        if self.blocked.is_none()
            && let Some((_, socket)) = self.lanes.get(lane)
        {
            self.epoll.add(
                socket,
                EpollEvent::new(EpollFlags::EPOLLOUT | EpollFlags::EPOLLONESHOT, 1),
            )?;
            self.blocked = Some(lane);
        }
        Ok(())
    }

    /// Takes [`block`](Self::block) back.
    pub fn unblock(&mut self) -> io::Result<()> {
        if let Some(lane) = self.blocked.take() {
            self.epoll.delete(&self.lanes[lane].1)?;
        }
        Ok(())
    }

    /// Receives what is there, up to one batch, and hands over datagram by datagram. Gives whether
    /// there may be more.
    pub fn receive(&mut self, mut take: impl FnMut(Datagram<'_>)) -> io::Result<bool> {
        let own = self.address;
        match &mut self.receiver {
            Receiver::Raw(raw) => raw.receive(own, INBOX * 4, |seen| {
                take(Datagram {
                    seen,
                    identified: true,
                });
            }),
            Receiver::Udp(inbox) => {
                let count = inbox.receive(self.main.as_fd())?;
                for index in 0..count {
                    let (arrival, bytes) = inbox.message(index);
                    let envelope = Envelope {
                        source: arrival.source.ip(),
                        destination: own,
                        source_port: arrival.source.port(),
                        identification: 0,
                    };
                    let size = arrival.segment.unwrap_or(bytes.len()).max(1);
                    for datagram in bytes.chunks(size) {
                        let seen = Seen {
                            envelope,
                            class: arrival.class,
                            datagram,
                        };
                        take(Datagram {
                            seen,
                            identified: false,
                        });
                    }
                }
                Ok(count == INBOX)
            }
        }
    }
}

/// A UDP socket of `address` from which packets go without fragments.
fn bound(address: IpAddr, port: u16) -> io::Result<Socket> {
    let socket = Socket::new(
        if address.is_ipv4() {
            Domain::IPV4
        } else {
            Domain::IPV6
        },
        Type::DGRAM.nonblocking().cloexec(),
        Some(Protocol::UDP),
    )?;
    let (level, name) = if address.is_ipv4() {
        (libc::IPPROTO_IP, libc::IP_MTU_DISCOVER)
    } else {
        (libc::IPPROTO_IPV6, libc::IPV6_MTU_DISCOVER)
    };
    sys::set_option(socket.as_fd(), level, name, libc::IP_PMTUDISC_DO)?;
    let _ = setsockopt(&socket, sockopt::SndBufForce, &SEND_BUFFER)
        .or_else(|_| setsockopt(&socket, sockopt::SndBuf, &SEND_BUFFER));
    socket.bind(&SockAddr::from(SocketAddr::new(address, port)))?;
    Ok(socket)
}

/// Received packets come with their traffic class, merged where that is possible.
fn receive_options(socket: &Socket, v6: bool) -> io::Result<()> {
    let (level, name) = if v6 {
        (libc::IPPROTO_IPV6, libc::IPV6_RECVTCLASS)
    } else {
        (libc::IPPROTO_IP, libc::IP_RECVTOS)
    };
    sys::set_option(socket.as_fd(), level, name, 1)?;
    // Without privileges the kernel grants what `net.core.rmem_max` allows, and says nothing.
    let _ = setsockopt(socket, sockopt::RcvBufForce, &RECEIVE_BUFFER)
        .or_else(|_| setsockopt(socket, sockopt::RcvBuf, &RECEIVE_BUFFER));
    // Kernels before 5.0 cannot merge; datagrams then come one by one.
    let _ = sys::set_option(socket.as_fd(), libc::SOL_UDP, libc::UDP_GRO, 1);
    Ok(())
}
