//! What the RDMA transport asks of whatever executes verbs: a device's library (libibverbs) or
//! Genie's own endpoint. One instance is one opened device with one completion queue and belongs to
//! one thread; nothing happens in it but while it is called.

use std::fmt;
use std::io;
use std::os::fd::BorrowedFd;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::scenario::plan::rdma::Service;

/// Number of a queue pair among those of a provider, counted from 0 in the order of creation.
pub type QueuePair = usize;

/// Executes verbs on one device.
pub trait Provider: fmt::Debug + Send {
    /// What the device is and how much it can take.
    fn device(&self) -> &DeviceFacts;

    /// Registers `bytes` of fresh, zeroed memory, to be used by this side's requests and, as `access`
    /// says, by peers'. It stays registered as long as the provider lives.
    fn register(&mut self, bytes: u64, access: Access) -> Result<Memory, ProviderError>;

    /// Copies out of registered memory: `into.len()` bytes from `offset` on.
    fn load(&self, memory: &Memory, offset: u64, into: &mut [u8]);

    /// Copies into registered memory from `offset` on.
    fn store(&mut self, memory: &Memory, offset: u64, from: &[u8]);

    /// Makes a queue pair whose completions go to the one completion queue. It can be given receives
    /// but does not take part in traffic before [`connect`](Self::connect).
    fn create(&mut self, options: &QueueOptions) -> Result<QueuePair, ProviderError>;

    /// What the peer must know of a queue pair.
    fn address(&self, queue: QueuePair) -> QueueAddress;

    /// Joins a queue pair with the peer's: ready to receive, then ready to send.
    fn connect(
        &mut self,
        queue: QueuePair,
        peer: &QueueAddress,
        path: &PathOptions,
    ) -> Result<(), ProviderError>;

    /// Posts a receive. A span of `None` is a receive without buffer: only immediates can come in.
    fn post_receive(&mut self, queue: QueuePair, id: u64, buffer: Option<Span>) -> Result<(), ProviderError>;

    /// Posts requests in this order, in one call to the device where it can. The caller keeps count of
    /// what is outstanding and never posts more than [`QueueOptions::sends`].
    fn post(&mut self, queue: QueuePair, requests: &[Request<'_>]) -> Result<(), ProviderError>;

    /// Moves what can be moved without waiting and appends completions, in the order in which the
    /// completion queue has them; at most `most` in one call.
    fn poll(&mut self, completions: &mut Vec<Completed>, most: usize) -> Result<(), ProviderError>;

    /// Asks that [`event`](Self::event) becomes readable at the next completion. A completion that came
    /// before this call need not count: poll once more before waiting.
    fn arm(&mut self) -> Result<(), ProviderError>;

    /// The descriptor to wait on after [`arm`](Self::arm).
    fn event(&self) -> BorrowedFd<'_>;

    /// Takes back what made [`event`](Self::event) readable. Calling it without need does no harm.
    fn disarm(&mut self) -> Result<(), ProviderError>;

    /// The caller must not wait longer than this before it polls again, because the provider itself
    /// has something to do then (retransmissions of an endpoint in software). `None`: no limit.
    fn must_poll_within(&self) -> Option<Duration> {
        None
    }

    /// The device's own counters by name (`counters` and `hw_counters` of sysfs, or the endpoint's
    /// under the same names), as they stand now.
    fn counters(&self) -> Vec<(String, u64)>;
}

/// What a device is.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct DeviceFacts {
    /// Name (`mlx5_0`, `rxe0`).
    pub name: String,
    /// Port, counted from 1.
    pub port: u8,
    /// Index of the GID in use.
    pub gid_index: u16,
    /// The GID in use.
    pub gid: Gid,
    /// Path MTU that the port can carry now: 256, 512, 1024, 2048 or 4096 bytes of payload.
    pub mtu: u32,
    /// Most requests of one queue pair's send queue, likewise receives.
    pub most_requests: u32,
    /// Most completions that the completion queue can hold.
    pub most_completions: u32,
    /// Largest message in bytes (2 GiB on all known hardware).
    pub most_bytes: u64,
    /// Most RDMA reads that a queue pair may have outstanding.
    pub most_reads: u8,
}

/// A global identifier; of RoCE v2, an IPv6 or IPv4-mapped address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Gid(pub [u8; 16]);

/// What peers may do with registered memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Nothing: only this side's own requests use it.
    Local,
    /// Write into it.
    RemoteWrite,
    /// Read it.
    RemoteRead,
}

/// Registered memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Memory {
    /// The provider's number for it.
    pub id: usize,
    /// Where it begins, as requests and peers name it.
    pub address: u64,
    /// Length.
    pub bytes: u64,
    /// Key for own requests.
    pub local_key: u32,
    /// Key for peers' requests.
    pub remote_key: u32,
}

/// A piece of registered memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// Within this memory,
    pub memory: Memory,
    /// from here on,
    pub offset: u64,
    /// so many bytes.
    pub bytes: u32,
}

/// A piece of the peer's memory begins here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Remote {
    /// Address in the peer's terms.
    pub address: u64,
    /// The peer's key for it.
    pub key: u32,
}

/// What a queue pair is made with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QueueOptions {
    /// Which service.
    pub service: Service,
    /// Requests outstanding at most.
    pub sends: u32,
    /// Receives outstanding at most.
    pub receives: u32,
    /// Longest inline payload that will be asked for, bytes. Fails if the device cannot.
    pub inline: u32,
}

/// What one side tells the other of a queue pair.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct QueueAddress {
    /// Queue pair number, 24 bits.
    pub number: u32,
    /// First packet sequence number that this side sends, 24 bits.
    pub first_psn: u32,
    /// GID of its port.
    pub gid: Gid,
    /// LID of its port; 0 on Ethernet.
    pub lid: u16,
    /// Path MTU that its port can carry.
    pub mtu: u32,
}

/// How packets of a queue pair travel, and how patient it is. The numbers are those of `ibv_modify_qp`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PathOptions {
    /// Path MTU in bytes; `None`: the smaller of the two ports'.
    pub mtu: Option<u32>,
    /// Service level.
    pub service_level: u8,
    /// The IP header's whole traffic class byte: DSCP in the upper 6 bits, ECN in the lower 2.
    pub traffic_class: u8,
    /// IPv6 flow label, 20 bits; picks the UDP source port on most devices.
    pub flow_label: u32,
    /// IP time to live.
    pub hop_limit: u8,
    /// Index into the port's table of partition keys.
    pub pkey_index: u16,
    /// Local acknowledgement timeout: 4.096 us x 2^timeout; 0 never times out.
    pub timeout: u8,
    /// Retransmissions before the queue pair fails, 0 to 7.
    pub retry_count: u8,
    /// Repetitions after "receiver not ready", 0 to 6; 7: for ever.
    pub rnr_retry: u8,
    /// Code of the time that senders must wait after "receiver not ready", 0 to 31.
    pub min_rnr_timer: u8,
    /// RDMA reads outstanding.
    pub reads: u8,
}

/// One request of a send queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Request<'a> {
    /// Comes back in its completion.
    pub id: u64,
    /// What to do.
    pub verb: Verb,
    /// With which bytes.
    pub payload: Payload<'a>,
    /// Report a completion. Requests that fail are reported in any case.
    pub signalled: bool,
    /// Raise an event at the receiver if it asked for solicited ones only.
    pub solicited: bool,
}

/// What a request does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verb {
    /// Into a receive of the peer.
    Send {
        /// Number that comes with it.
        immediate: Option<u32>,
    },
    /// Into the peer's memory; with an immediate it also takes a receive of the peer.
    Write {
        /// Where to.
        remote: Remote,
        /// Number that comes with it.
        immediate: Option<u32>,
    },
    /// Out of the peer's memory into the payload's span, which must not be inline.
    Read {
        /// Where from.
        remote: Remote,
    },
}

/// Where a request's bytes are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Payload<'a> {
    /// In registered memory, not to be changed before completion.
    Span(Span),
    /// Copied when posted.
    Inline(&'a [u8]),
}

impl Payload<'_> {
    /// Length in bytes.
    pub fn bytes(&self) -> u32 {
        match self {
            Payload::Span(span) => span.bytes,
            // Inline payload is at most what a queue pair was made with: a u32.
            Payload::Inline(bytes) => u32::try_from(bytes.len()).unwrap_or(u32::MAX),
        }
    }
}

/// A completion.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Completed {
    /// Of which queue pair.
    pub queue: QueuePair,
    /// The request's or receive's id.
    pub id: u64,
    /// What was completed. Not to be relied on when `status` is not success.
    pub what: What,
    /// How it went.
    pub status: Status,
    /// The device's own code for what went wrong.
    pub vendor: u32,
}

/// What a completion is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum What {
    /// A request of the send queue, and all before it on its queue pair.
    Request,
    /// A receive, taken by a send.
    Received {
        /// Bytes that came in.
        bytes: u32,
        /// Number that came with it.
        immediate: Option<u32>,
    },
    /// A receive, taken by a write with immediate: the bytes are in the memory that it named.
    Written {
        /// Bytes that came in.
        bytes: u32,
        /// Number that came with it.
        immediate: u32,
    },
}

/// Status of a completion, by the names of `ibv_wc_status`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// `IBV_WC_SUCCESS`
    Success,
    /// `IBV_WC_LOC_LEN_ERR`
    LocalLength,
    /// `IBV_WC_LOC_QP_OP_ERR`
    LocalOperation,
    /// `IBV_WC_LOC_PROT_ERR`
    LocalProtection,
    /// `IBV_WC_WR_FLUSH_ERR`: the queue pair had failed before.
    Flushed,
    /// `IBV_WC_BAD_RESP_ERR`
    BadResponse,
    /// `IBV_WC_LOC_ACCESS_ERR`
    LocalAccess,
    /// `IBV_WC_REM_INV_REQ_ERR`
    RemoteInvalidRequest,
    /// `IBV_WC_REM_ACCESS_ERR`
    RemoteAccess,
    /// `IBV_WC_REM_OP_ERR`
    RemoteOperation,
    /// `IBV_WC_RETRY_EXC_ERR`
    RetriesExceeded,
    /// `IBV_WC_RNR_RETRY_EXC_ERR`
    NotReadyRetriesExceeded,
    /// `IBV_WC_FATAL_ERR`
    Fatal,
    /// `IBV_WC_RESP_TIMEOUT_ERR`
    ResponseTimeout,
    /// Anything else, by its number.
    Other(u32),
}

/// A provider could not do what it was asked.
#[derive(Debug, thiserror::Error)]
#[error("{device}: cannot {what}: {source}")]
pub struct ProviderError {
    /// On which device.
    pub device: String,
    /// What was asked, as it follows "cannot".
    pub what: String,
    /// The reason given.
    pub source: io::Error,
}

impl fmt::Display for Gid {
    /// As an address: IPv4 where it is one.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let address = std::net::Ipv6Addr::from(self.0);
        match address.to_ipv4_mapped() {
            Some(mapped) => write!(f, "{mapped}"),
            None => write!(f, "{address}"),
        }
    }
}

impl fmt::Display for Status {
    /// The name that every verbs program and manual uses.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match self {
            Status::Success => "IBV_WC_SUCCESS",
            Status::LocalLength => "IBV_WC_LOC_LEN_ERR",
            Status::LocalOperation => "IBV_WC_LOC_QP_OP_ERR",
            Status::LocalProtection => "IBV_WC_LOC_PROT_ERR",
            Status::Flushed => "IBV_WC_WR_FLUSH_ERR",
            Status::BadResponse => "IBV_WC_BAD_RESP_ERR",
            Status::LocalAccess => "IBV_WC_LOC_ACCESS_ERR",
            Status::RemoteInvalidRequest => "IBV_WC_REM_INV_REQ_ERR",
            Status::RemoteAccess => "IBV_WC_REM_ACCESS_ERR",
            Status::RemoteOperation => "IBV_WC_REM_OP_ERR",
            Status::RetriesExceeded => "IBV_WC_RETRY_EXC_ERR",
            Status::NotReadyRetriesExceeded => "IBV_WC_RNR_RETRY_EXC_ERR",
            Status::Fatal => "IBV_WC_FATAL_ERR",
            Status::ResponseTimeout => "IBV_WC_RESP_TIMEOUT_ERR",
            Status::Other(number) => return write!(f, "completion status {number}"),
        };
        f.write_str(name)
    }
}
