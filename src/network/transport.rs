//! What a rank's loop asks of whatever carries its messages: sends and receives are posted,
//! completions are polled. How two transports find each other is in [`Endpoint`] and [`Opening`].

use std::collections::BTreeMap;
use std::error::Error;
use std::fmt::Debug;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::flows::Flows;
use super::message::{Channel, LengthMismatch, MessageKey, Rank};
use super::rdma::opening::RdmaEndpoint;

/// The transport of one rank; one thread uses it.
pub trait Transport: Debug + Send {
    /// Sends a message; `data` is its real payload, or `None` for constant bytes. `id` comes back in
    /// [`Completion::Sent`].
    fn post_send(
        &mut self,
        id: u64,
        peer: Rank,
        channel: Channel,
        key: MessageKey,
        bytes: u64,
        data: Option<Vec<u8>>,
    ) -> Result<(), TransportError>;

    /// Expects a message; `id` comes back in [`Completion::Received`]. Channel and length are the sender's.
    fn post_receive(
        &mut self,
        id: u64,
        peer: Rank,
        channel: Channel,
        key: MessageKey,
        bytes: u64,
    ) -> Result<(), TransportError>;

    /// The next completion, if any; never waits.
    fn next_completion(&mut self) -> Option<Completion>;

    /// From now on each channel of a peer carries no more than its rate here (payload bytes per second), and
    /// those that are not named as much as they can. Transports that cannot pace leave it.
    fn pace(&mut self, _rates: &BTreeMap<(Rank, Channel), u64>) -> Result<(), TransportError> {
        Ok(())
    }

    /// Moves data until something completes or `timeout` has passed.
    fn poll(&mut self, timeout: Duration) -> Result<(), TransportError>;

    /// Bytes and messages so far.
    fn totals(&self) -> Totals;

    /// Packets or segments retransmitted so far.
    fn retransmits(&self) -> u64;

    /// The flows' counters, for samplers.
    fn flows(&self) -> Flows;

    /// Brings the flows' `done` counters up to date.
    fn sample_now(&mut self);

    /// The RDMA device in use and what it has counted since ranks were connected, if there is one.
    fn device(&self) -> Option<DeviceUse> {
        None
    }
}

/// Something posted that is complete.
#[derive(Debug)]
pub enum Completion {
    /// A send: its buffer is free.
    Sent(u64),
    /// A receive, with real payload if there is any.
    Received(u64, Vec<u8>),
}

/// Why the transport failed.
#[derive(Debug, thiserror::Error)]
pub enum TransportError {
    /// The way to a peer failed.
    #[error("connection with rank {peer}: {source}")]
    Peer {
        /// The rank at the other end.
        peer: Rank,
        /// What happened.
        source: Box<dyn Error + Send + Sync>,
    },
    /// Sender and receiver disagree.
    #[error(transparent)]
    Length(#[from] LengthMismatch),
    /// There is no connection with that rank.
    #[error("rank {0} is not connected; the plan did not foresee this pair")]
    NotConnected(Rank),
    /// The kernel refused something that has nothing to do with one peer.
    #[error("{0}")]
    Io(#[from] io::Error),
}

impl TransportError {
    /// The way to `peer` failed.
    pub fn peer(peer: Rank, source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        TransportError::Peer {
            peer,
            source: source.into(),
        }
    }
}

/// Bytes and messages that went through.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Totals {
    /// Payload bytes handed to the kernel or the device.
    pub sent_bytes: u64,
    /// Payload bytes received.
    pub received_bytes: u64,
    /// Messages sent.
    pub messages: u64,
}

/// An RDMA device as a rank uses it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct DeviceUse {
    /// Name.
    pub name: String,
    /// Port, from 1.
    pub port: u8,
    /// Index of the GID.
    pub gid_index: u16,
    /// The GID, as an address.
    pub gid: String,
    /// Path MTU that the port can carry, bytes of payload.
    pub mtu: u32,
    /// Queue pairs.
    pub queue_pairs: u32,
    /// Bytes of memory registered.
    pub registered_bytes: u64,
    /// Bytes of a slot; smaller than the scenario's where memory for real payload is short.
    pub slot_bytes: u64,
    /// Longest inline payload, bytes.
    pub inline: u32,
    /// What the device counted during the run, for all of its users: counters that moved, by the
    /// kernel's names.
    pub counters: BTreeMap<String, u64>,
}

/// Where a rank can be reached, as it is told to all others before they connect.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Endpoint {
    /// Listening TCP sockets, one per address of the rank.
    Tcp(Vec<SocketAddr>),
    /// Queue pairs and memory, for each peer.
    Rdma(RdmaEndpoint),
}

/// A transport that can be reached but has reached nobody yet.
pub trait Opening: Debug {
    /// Where it can be reached.
    fn endpoint(&self) -> Endpoint;

    /// Connects with every peer; `book[rank]` is that rank's endpoint.
    fn connect(self: Box<Self>, book: &[Endpoint]) -> Result<Box<dyn Transport>, OpenError>;
}

/// A transport could not be opened or connected.
pub type OpenError = Box<dyn Error + Send + Sync>;
