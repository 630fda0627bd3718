//! A rank's TCP transport before it is connected: it listens, and knows whom to dial.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use super::mesh::{Listeners, Mesh, MeshError};
use super::transport::{Settings, TcpTransport};
use crate::network::message::Rank;
use crate::network::transport::{Endpoint, OpenError, Opening, Transport};
use crate::scenario::plan::TcpOptions;

/// Everything that a rank needs to know to be connected by TCP.
#[derive(Debug, Clone)]
pub struct Setup {
    /// Key that connections open with.
    pub key: [u8; 16],
    /// Ranks to be connected with.
    pub peers: Vec<Rank>,
    /// Addresses to listen on and dial from.
    pub addresses: Vec<IpAddr>,
    /// The interface that goes with each address; empty: routes decide.
    pub interfaces: Vec<String>,
    /// Socket options.
    pub options: TcpOptions,
    /// Pacing of each connection in real bytes per second.
    pub pacing: Option<u64>,
    /// Connecting must be done within this time.
    pub deadline: Duration,
    /// Settings of the transport.
    pub settings: Settings,
}

/// Listening sockets of a rank.
#[derive(Debug)]
pub struct TcpOpening {
    setup: Setup,
    listeners: Listeners,
    addresses: Vec<SocketAddr>,
}

impl TcpOpening {
    /// Listens on every address.
    pub fn listen(setup: Setup) -> Result<Self, MeshError> {
        let listeners = Listeners::bind(&setup.addresses, &setup.interfaces, &setup.options)?;
        let addresses = listeners.addresses()?;
        Ok(Self {
            setup,
            listeners,
            addresses,
        })
    }
}

impl Opening for TcpOpening {
    fn endpoint(&self) -> Endpoint {
        Endpoint::Tcp(self.addresses.clone())
    }

    fn connect(self: Box<Self>, book: &[Endpoint]) -> Result<Box<dyn Transport>, OpenError> {
        let setup = self.setup;
        let addresses = |endpoint: &Endpoint| match endpoint {
            Endpoint::Tcp(addresses) => Ok(addresses.clone()),
            Endpoint::Rdma(_) => Err("a rank speaks another transport"),
        };
        let book: Vec<Vec<SocketAddr>> = book.iter().map(addresses).collect::<Result<_, _>>()?;
        let mesh = Mesh {
            rank: setup.settings.rank,
            key: setup.key,
            peers: &setup.peers,
            book: &book,
            addresses: &setup.addresses,
            interfaces: &setup.interfaces,
            options: &setup.options,
            pacing: setup.pacing,
            deadline: setup.deadline,
        };
        let connections = mesh.connect(&self.listeners, &setup.settings)?;
        Ok(Box::new(TcpTransport::new(setup.settings, connections)?))
    }
}
