//! Listening, dialling and greeting until every pair that the plan foresees is connected. The
//! lower rank dials the higher; each connection opens with a greeting of 32 bytes: the run's key
//! (16 bytes), the dialling rank, the dialled rank, the lane (u32 little-endian each), 0.

use std::io::{self, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use socket2::{Domain, Protocol, SockAddr, Socket, Type};

use super::connection::Connection;
use super::sys;
use super::transport::{LANES_PER_CHANNEL, Lane, Settings};
use crate::network::message::Rank;
use crate::scenario::plan::TcpOptions;

const GREETING: usize = 32;
/// Send buffers of all connections of a rank together, when the scenario names none.
const SEND_BUFFERS: usize = 64 << 20;
/// Smallest and largest send buffer of a connection: less starves links of 10 Gbit/s while
/// acknowledgements wait behind data of the other direction.
const SEND_BUFFER: [usize; 2] = [1 << 20, 16 << 20];

/// Why the mesh could not be made.
#[derive(Debug, thiserror::Error)]
pub enum MeshError {
    /// No listening socket.
    #[error("cannot listen on {address}: {source}")]
    Listen {
        /// Wanted address.
        address: IpAddr,
        /// The kernel's reason.
        source: io::Error,
    },
    /// A peer cannot be reached.
    #[error("cannot connect to rank {rank} at {address}: {source}")]
    Connect {
        /// The peer.
        rank: Rank,
        /// Its address.
        address: SocketAddr,
        /// The kernel's reason.
        source: io::Error,
    },
    /// A socket option was refused.
    #[error("cannot set {option}: {source}")]
    Option {
        /// Which.
        option: String,
        /// The kernel's reason.
        source: io::Error,
    },
    /// A peer did not come.
    #[error("ranks {missing:?} did not connect within {seconds} s")]
    Missing {
        /// Who.
        missing: Vec<Rank>,
        /// How long we waited.
        seconds: u64,
    },
    /// Anything else.
    #[error("{0}")]
    Io(#[from] io::Error),
}

/// Listening sockets of a rank, one per address.
#[derive(Debug)]
pub struct Listeners {
    sockets: Vec<TcpListener>,
}

/// Who a rank is and whom it must be connected with.
#[derive(Debug, Clone)]
pub struct Mesh<'a> {
    /// This rank.
    pub rank: Rank,
    /// Key of the run.
    pub key: [u8; 16],
    /// Ranks to be connected with.
    pub peers: &'a [Rank],
    /// `book[rank]`: where each rank listens.
    pub book: &'a [Vec<SocketAddr>],
    /// This rank's own addresses.
    pub addresses: &'a [IpAddr],
    /// The interface that goes with each address; empty: routes decide.
    pub interfaces: &'a [String],
    /// Options.
    pub options: &'a TcpOptions,
    /// Pacing in real bytes per second.
    pub pacing: Option<u64>,
    /// The whole must be done within this time.
    pub deadline: Duration,
}

/// Bytes that the kernel takes of a connection of a rank with so many peers before a send waits.
pub fn send_buffer(options: &TcpOptions, peers: usize) -> usize {
    let share = (SEND_BUFFERS / peers.max(1)).clamp(SEND_BUFFER[0], SEND_BUFFER[1]);
    options.send_buffer.map_or(share, |bytes| bytes.0 as usize)
}

impl Listeners {
    /// Listens on each address, on ports of the kernel's choice.
    pub fn bind(
        addresses: &[IpAddr],
        interfaces: &[String],
        options: &TcpOptions,
    ) -> Result<Self, MeshError> {
        let listen = |(number, &address): (usize, &IpAddr)| {
            let bind = || -> io::Result<TcpListener> {
                let socket = Socket::new(
                    Domain::for_address((address, 0).into()),
                    Type::STREAM,
                    Some(Protocol::TCP),
                )?;
                if let Some(bytes) = options.receive_buffer {
                    socket.set_recv_buffer_size(bytes.0 as usize)?;
                }
                bind_interface(&socket, interfaces, number)?;
                socket.bind(&SockAddr::from(SocketAddr::new(address, 0)))?;
                socket.listen(4096)?;
                socket.set_nonblocking(true)?;
                Ok(socket.into())
            };
            bind().map_err(|source| MeshError::Listen { address, source })
        };
        Ok(Self {
            sockets: addresses
                .iter()
                .enumerate()
                .map(listen)
                .collect::<Result<_, _>>()?,
        })
    }

    /// Where this rank listens.
    pub fn addresses(&self) -> io::Result<Vec<SocketAddr>> {
        self.sockets.iter().map(TcpListener::local_addr).collect()
    }
}

/// Makes a socket send and receive by the interface of its address only, where one is named.
fn bind_interface(socket: &Socket, interfaces: &[String], number: usize) -> io::Result<()> {
    match interfaces.get(number) {
        Some(name) => socket.bind_device(Some(name.as_bytes())),
        None => Ok(()),
    }
}

impl Mesh<'_> {
    /// Connects with every peer, on every channel.
    pub fn connect(
        &self,
        listeners: &Listeners,
        settings: &Settings,
    ) -> Result<Vec<(Rank, Lane, Connection)>, MeshError> {
        let start = Instant::now();
        let mut streams = Vec::new();
        for &peer in self.peers.iter().filter(|&&peer| peer > self.rank) {
            for lane in 0..self.lanes() {
                streams.push((peer, lane, self.dial(peer, lane, start)?));
            }
        }
        self.accept(listeners, start, &mut streams)?;
        let wrap = |(peer, lane, stream): (Rank, Lane, TcpStream)| {
            self.tune(&stream)?;
            stream.set_nonblocking(true)?;
            Ok((peer, lane, Connection::new(stream, peer, settings)))
        };
        streams.into_iter().map(wrap).collect()
    }

    /// Connections of a pair: two for each channel, see [`super::transport`].
    fn lanes(&self) -> Lane {
        self.options.channels * LANES_PER_CHANNEL
    }

    fn dial(&self, peer: Rank, lane: Lane, start: Instant) -> Result<TcpStream, MeshError> {
        let channel = lane / LANES_PER_CHANNEL;
        let addresses = &self.book[peer as usize];
        let address = addresses[channel as usize % addresses.len()];
        let failed = |source| MeshError::Connect {
            rank: peer,
            address,
            source,
        };
        let own = channel as usize % self.addresses.len();
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
        if let Some(bytes) = self.options.receive_buffer {
            socket.set_recv_buffer_size(bytes.0 as usize)?;
        }
        bind_interface(&socket, self.interfaces, own).map_err(failed)?;
        socket
            .bind(&SockAddr::from(SocketAddr::new(self.addresses[own], 0)))
            .map_err(failed)?;
        let left = self
            .deadline
            .saturating_sub(start.elapsed())
            .max(Duration::from_millis(1));
        socket
            .connect_timeout(&SockAddr::from(address), left)
            .map_err(failed)?;
        let mut stream: TcpStream = socket.into();
        stream.set_nodelay(true)?;
        let mut greeting = [0; GREETING];
        greeting[..16].copy_from_slice(&self.key);
        for (at, value) in [(16, self.rank), (20, peer), (24, lane)] {
            greeting[at..at + 4].copy_from_slice(&value.to_le_bytes());
        }
        stream.write_all(&greeting).map_err(failed)?;
        Ok(stream)
    }

    fn accept(
        &self,
        listeners: &Listeners,
        start: Instant,
        streams: &mut Vec<(Rank, Lane, TcpStream)>,
    ) -> Result<(), MeshError> {
        let expected = |peer: &Rank| *peer < self.rank;
        let wanted = self.peers.iter().filter(|p| expected(p)).count() * self.lanes() as usize;
        let mut epoll = sys::Epoll::new()?;
        for (index, listener) in listeners.sockets.iter().enumerate() {
            epoll.add(listener.as_fd(), index as u64, false)?;
        }
        let (mut accepted, mut ready) = (0, Vec::new());
        while accepted < wanted {
            let Some(left) = self.deadline.checked_sub(start.elapsed()) else {
                let came = |p: &Rank| streams.iter().any(|(peer, _, _)| peer == p);
                let missing = self
                    .peers
                    .iter()
                    .copied()
                    .filter(|p| expected(p) && !came(p))
                    .collect();
                return Err(MeshError::Missing {
                    missing,
                    seconds: self.deadline.as_secs(),
                });
            };
            epoll.wait(Some(left), &mut ready)?;
            for &(index, _, _) in &ready {
                while let Ok((stream, _)) = listeners.sockets[index as usize].accept() {
                    if let Some((peer, lane)) = self.greeted(&stream, left) {
                        streams.push((peer, lane, stream));
                        accepted += 1;
                    }
                }
            }
        }
        Ok(())
    }

    /// Reads a greeting; `None` for strangers.
    fn greeted(&self, mut stream: &TcpStream, left: Duration) -> Option<(Rank, Lane)> {
        stream.set_nonblocking(false).ok()?;
        stream
            .set_read_timeout(Some(left.clamp(Duration::from_millis(1), Duration::from_secs(5))))
            .ok()?;
        let mut greeting = [0; GREETING];
        stream.read_exact(&mut greeting).ok()?;
        let word = |at: usize| {
            u32::from_le_bytes([greeting[at], greeting[at + 1], greeting[at + 2], greeting[at + 3]])
        };
        let difference = greeting[..16]
            .iter()
            .zip(&self.key)
            .fold(0, |sum, (a, b)| sum | (a ^ b));
        let (peer, dialled, lane) = (word(16), word(20), word(24));
        let ours =
            difference == 0 && dialled == self.rank && lane < self.lanes() && self.peers.contains(&peer);
        ours.then_some((peer, lane))
    }

    fn tune(&self, stream: &TcpStream) -> Result<(), MeshError> {
        let socket = socket2::SockRef::from(stream);
        let option = |option: String| move |source| MeshError::Option { option, source };
        stream.set_nodelay(true).map_err(option("TCP_NODELAY".into()))?;
        let control = &self.options.congestion_control;
        socket
            .set_tcp_congestion(control.as_bytes())
            .map_err(option(format!("congestion control `{control}`")))?;
        let fd = stream.as_fd();
        sys::send_buffer(fd, send_buffer(self.options, self.peers.len()))
            .map_err(option("SO_SNDBUF".into()))?;
        if self.options.dscp > 0 {
            socket
                .set_tos_v4(u32::from(self.options.dscp) << 2)
                .map_err(option("DSCP".into()))?;
        }
        if let Some(rate) = self.pacing {
            sys::pace(fd, Some(rate)).map_err(option("SO_MAX_PACING_RATE".into()))?;
        }
        Ok(())
    }
}
