//! Whole frames from an interface, by way of pnet: the IPv4 identification is seen, so that checksums
//! are judged exactly. Needs CAP_NET_RAW in the network namespace.

use std::io;
use std::net::IpAddr;
use std::os::fd::{AsFd, BorrowedFd, IntoRawFd, OwnedFd};
use std::time::Duration;

use nix::sys::socket::{AddressFamily, SockFlag, SockProtocol, SockType, socket};
use pnet_datalink::{Channel, Config, DataLinkReceiver, NetworkInterface};

use super::wire::frame::{self, Seen};

/// Longest frame: merged ones do not come, because nobody here sends them.
const LONGEST: usize = 65_536;

/// The receiving end of an interface.
pub struct Raw {
    receiver: Box<dyn DataLinkReceiver>,
    /// The same socket, to wait on.
    socket: OwnedFd,
}

impl std::fmt::Debug for Raw {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Raw")
            .field("socket", &self.socket)
            .finish_non_exhaustive()
    }
}

/// The interface that has this address.
pub fn interface_of(address: IpAddr) -> Option<NetworkInterface> {
    let has = |interface: &NetworkInterface| interface.ips.iter().any(|network| network.ip() == address);
    let loopback = |interface: &NetworkInterface| interface.is_loopback() && address.is_loopback();
    let mut interfaces = pnet_datalink::interfaces();
    let index = interfaces
        .iter()
        .position(has)
        .or_else(|| interfaces.iter().position(loopback))?;
    Some(interfaces.swap_remove(index))
}

impl Raw {
    /// Listens on the interface of `address`.
    pub fn open(address: IpAddr) -> io::Result<Self> {
        let unfit = |why: &'static str| io::Error::new(io::ErrorKind::Unsupported, why);
        let interface = interface_of(address).ok_or_else(|| unfit("no interface has this address"))?;
        if interface.is_loopback() {
            return Err(unfit(
                "loopback shows every frame twice; use backend = \"udp\" there",
            ));
        }
        let own = socket(
            AddressFamily::Packet,
            SockType::Raw,
            SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK,
            SockProtocol::EthAll,
        )?;
        let config = Config {
            read_buffer_size: LONGEST,
            read_timeout: Some(Duration::ZERO),
            promiscuous: false,
            socket_fd: Some(own.try_clone()?.into_raw_fd()),
            ..Config::default()
        };
        match pnet_datalink::channel(&interface, config)? {
            Channel::Ethernet(_, receiver) => Ok(Self {
                receiver,
                socket: own,
            }),
            _ => Err(unfit("the interface is not Ethernet")),
        }
    }

    /// Hands over the RoCE packets to `own` among at most `most` frames; gives whether there may be more.
    pub fn receive(&mut self, own: IpAddr, most: usize, mut take: impl FnMut(Seen<'_>)) -> io::Result<bool> {
        for _ in 0..most {
            match self.receiver.next() {
                Ok(bytes) => {
                    if let Some(seen) = frame::read(bytes).filter(|seen| seen.envelope.destination == own) {
                        take(seen);
                    }
                }
                Err(e) if nothing_there(&e) => return Ok(false),
                Err(e) => return Err(e),
            }
        }
        Ok(true)
    }
}

/// pnet says "timed out" where a socket says "would block".
fn nothing_there(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted
    )
}

impl AsFd for Raw {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}
