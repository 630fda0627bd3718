//! A rank's RDMA transport before it is connected: memory registered, queue pairs made and given
//! their receives. The same for every provider.

use std::collections::VecDeque;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::connection::{Connection, Invitation, Layout};
use super::frame::{GRANT, HEADER};
use super::io::{Io, Memories};
use super::pace::Pace;
use super::provider::{
    Access, Memory, PathOptions, Provider, ProviderError, QueueOptions, QueuePair, Remote, Span,
};
use super::queue::{Queue, RECEIVE};
use super::transport::{Owner, RdmaTransport};
use crate::network::flows::FlowTable;
use crate::network::message::Rank;
use crate::network::transport::{Endpoint, OpenError, Opening, Totals, Transport};
use crate::scenario::plan::Wait;
use crate::scenario::plan::rdma::{RdmaOptions, RdmaVerb};

/// Memory that real payload may take for landing and sending, bytes; slots shrink to fit.
const REAL_PAYLOAD: u64 = 64 << 20;
/// Memory that receives may take where pieces are sent into them, bytes; slots shrink to fit.
const SENT_INTO: u64 = 128 << 20;
/// Slots never shrink below this.
const SMALLEST_SLOT: u64 = 4 << 10;
/// Inline lengths that are tried in turn when the scenario names none: of mlx5, irdma, any.
const INLINE: [u32; 3] = [256, 96, 64];
/// Receives for messages that only give credit back: no more can be under way.
const CREDIT_ONLY: u32 = 4;

/// Everything that a rank needs to know to open the transport.
#[derive(Debug, Clone)]
pub struct Setup {
    /// Ranks to be connected with.
    pub peers: Vec<Rank>,
    /// This rank.
    pub rank: Rank,
    /// Options.
    pub options: RdmaOptions,
    /// How to wait.
    pub wait: Wait,
    /// Fewer cores than ranks: polling gives the core away between two looks.
    pub oversubscribed: bool,
    /// Messages carry real data.
    pub real_payload: bool,
    /// Largest rate of each connection, real bytes per second.
    pub pacing: Option<u64>,
}

/// Where a rank can be reached by verbs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RdmaEndpoint {
    /// Its device.
    pub device: String,
    /// What it has prepared for each of its peers. A list, because keys of JSON objects are text.
    pub peers: Vec<(Rank, Invitation)>,
}

/// Why ranks could not be connected.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// A rank speaks another transport, or does not know this one.
    #[error("rank {0} has prepared nothing for this rank")]
    NotInvited(Rank),
    /// Sizes or numbers of queue pairs differ.
    #[error("rank {0} has other numbers of queue pairs or slots: is its `[rdma]` the same?")]
    Different(Rank),
    /// The device cannot hold what is needed.
    #[error("{device} can have {most} {what}, {wanted} are needed for {peers} peers\nhelp: lower rdma.{key}")]
    TooMany {
        /// Which device.
        device: String,
        /// Of what.
        what: &'static str,
        /// Its limit.
        most: u32,
        /// What is needed.
        wanted: u64,
        /// How many ranks this one is connected with.
        peers: usize,
        /// The option to lower.
        key: &'static str,
    },
}

impl Setup {
    /// Completions that can be there at once: what a provider's completion queue must hold.
    pub fn completions(&self) -> u64 {
        let queues = 0..self.options.channels * self.options.queue_pairs;
        let each: u64 = queues
            .map(|index| u64::from(self.receives(index) + self.options.depth))
            .sum();
        each * self.peers.len().max(1) as u64
    }

    /// Receives of queue pair `index` of a connection: for every message that can be under way.
    fn receives(&self, index: u32) -> u32 {
        let options = &self.options;
        let pieces = 2 * (options.slots + 1);
        let small = if index.is_multiple_of(options.queue_pairs) {
            options.credits + CREDIT_ONLY
        } else {
            0
        };
        let grants = if index == 0 { options.slots + 1 } else { 0 };
        pieces + small + grants
    }

    fn connection_receives(&self) -> u32 {
        (0..self.options.channels * self.options.queue_pairs)
            .map(|index| self.receives(index))
            .sum()
    }

    /// Length of a receive's buffer.
    fn buffer(&self) -> u64 {
        let small = HEADER as u64 + self.options.small.0;
        match self.options.verb {
            RdmaVerb::Send => small.max(self.options.slot_bytes.0),
            _ => small,
        }
    }

    /// Slots small enough for the memory that they may take.
    fn shrink_slots(&mut self) {
        let peers = self.peers.len().max(1) as u64;
        let (slots, receives) = (
            u64::from(self.options.slots) + 1,
            u64::from(self.connection_receives()),
        );
        let too_much = |slot: u64| {
            let real = self.real_payload && 2 * peers * slots * slot > REAL_PAYLOAD;
            let sent = self.options.verb == RdmaVerb::Send && peers * receives * slot > SENT_INTO;
            slot > SMALLEST_SLOT && (real || sent)
        };
        let mut slot = self.options.slot_bytes.0;
        while too_much(slot) {
            slot = (slot / 2).max(SMALLEST_SLOT);
        }
        self.options.slot_bytes.0 = slot;
    }

    fn path(&self, queue: usize) -> PathOptions {
        let options = &self.options;
        let labels = &options.flow_labels;
        PathOptions {
            mtu: options.mtu,
            service_level: options.service_level,
            traffic_class: options.traffic_class,
            flow_label: labels.get(queue % labels.len().max(1)).copied().unwrap_or(0),
            hop_limit: options.hop_limit,
            pkey_index: options.pkey_index,
            timeout: options.timeout,
            retry_count: options.retry_count,
            rnr_retry: options.rnr_retry,
            min_rnr_timer: options.min_rnr_timer,
            reads: 8,
        }
    }
}

/// A rank that can be reached by verbs.
#[derive(Debug)]
pub struct RdmaOpening {
    setup: Setup,
    io: Io,
    connections: Vec<Connection>,
    owners: Vec<Owner>,
    receives: Vec<Span>,
}

impl RdmaOpening {
    /// Registers memory, makes queue pairs and posts their receives.
    pub fn open(mut setup: Setup, provider: Box<dyn Provider>) -> Result<Self, OpenError> {
        setup.shrink_slots();
        check(&setup, provider.as_ref())?;
        let mut io = register(&setup, provider)?;
        let mut opening = Maker {
            setup: &setup,
            owners: Vec::new(),
            receives: Vec::new(),
        };
        let connections = (0..setup.peers.len())
            .map(|at| opening.connection(at, &mut io))
            .collect::<Result<Vec<_>, _>>()?;
        let Maker { owners, receives, .. } = opening;
        Ok(Self {
            io,
            connections,
            owners,
            receives,
            setup,
        })
    }

    fn invitation(&self, at: usize) -> Invitation {
        let layout = layout(&self.setup, at);
        let within = |memory: Memory, offset: u64| Remote {
            address: memory.address + offset,
            key: memory.remote_key,
        };
        let queues = self.connections[at].queues().iter();
        Invitation {
            queues: queues.map(|q| self.io.provider.address(q.pair)).collect(),
            ring: within(self.io.memories.rings, layout.ring),
            source: within(self.io.memories.source, layout.source),
            slots: self.setup.options.slots,
            slot_bytes: self.setup.options.slot_bytes.0 as u32,
            credits: self.setup.options.credits,
        }
    }
}

impl Opening for RdmaOpening {
    fn endpoint(&self) -> Endpoint {
        let peers = self.setup.peers.iter().enumerate();
        Endpoint::Rdma(RdmaEndpoint {
            device: self.io.provider.device().name.clone(),
            peers: peers.map(|(at, peer)| (*peer, self.invitation(at))).collect(),
        })
    }

    fn connect(mut self: Box<Self>, book: &[Endpoint]) -> Result<Box<dyn Transport>, OpenError> {
        for (connection, &peer) in self.connections.iter_mut().zip(&self.setup.peers) {
            let invitation = match book.get(peer as usize) {
                Some(Endpoint::Rdma(endpoint)) => {
                    endpoint.peers.iter().find(|(rank, _)| *rank == self.setup.rank)
                }
                _ => None,
            };
            let (_, invitation) = invitation.ok_or(ConnectError::NotInvited(peer))?;
            let same = invitation.queues.len() == connection.queues().len()
                && invitation.slots == self.setup.options.slots
                && invitation.slot_bytes > 0;
            if !same {
                return Err(ConnectError::Different(peer).into());
            }
            for (index, (queue, address)) in connection.queues().iter().zip(&invitation.queues).enumerate() {
                let path = self.setup.path(index);
                self.io.provider.connect(queue.pair, address, &path)?;
            }
            connection.accept(invitation.clone());
        }
        let Self {
            setup,
            io,
            connections,
            owners,
            receives,
        } = *self;
        Ok(Box::new(RdmaTransport::new(
            setup,
            io,
            connections,
            owners,
            receives,
        )))
    }
}

/// Makes connections one after another.
struct Maker<'a> {
    setup: &'a Setup,
    owners: Vec<Owner>,
    receives: Vec<Span>,
}

impl Maker<'_> {
    fn connection(&mut self, at: usize, io: &mut Io) -> Result<Connection, ProviderError> {
        let options = &self.setup.options;
        let count = options.channels * options.queue_pairs;
        let queues = (0..count)
            .map(|index| self.queue(at, index, io))
            .collect::<Result<Vec<_>, _>>()?;
        let pace = self.setup.pacing.map(Pace::new);
        let layout = layout(self.setup, at);
        Ok(Connection::new(self.setup.peers[at], queues, layout, pace, io))
    }

    fn queue(&mut self, at: usize, index: u32, io: &mut Io) -> Result<Queue, ProviderError> {
        let options = &self.setup.options;
        let receives = self.setup.receives(index);
        let pair = create(self.setup, receives, io)?;
        self.owners.push(Owner {
            connection: at,
            queue: index as usize,
        });
        let bytes = self.setup.buffer();
        for _ in 0..receives {
            let number = self.receives.len() as u64;
            let buffer = Span {
                memory: io.memories.receives,
                offset: number * bytes,
                bytes: bytes as u32,
            };
            io.provider.post_receive(pair, RECEIVE | number, Some(buffer))?;
            self.receives.push(buffer);
        }
        Ok(Queue::new(
            pair,
            options.depth,
            options.signal_every,
            options.post_list,
        ))
    }
}

/// Makes a queue pair; the first finds out how much inline payload the device takes.
fn create(setup: &Setup, receives: u32, io: &mut Io) -> Result<QueuePair, ProviderError> {
    let options = |inline| QueueOptions {
        service: setup.options.service,
        sends: setup.options.depth,
        receives,
        inline,
    };
    let mut tries = match (io.inline, setup.options.inline) {
        (0, None) => INLINE.to_vec(),
        (0, Some(wanted)) => vec![wanted],
        (known, _) => vec![known],
    };
    let last = tries.pop().unwrap_or(INLINE[2]);
    for inline in tries {
        if let Ok(pair) = io.provider.create(&options(inline)) {
            io.inline = inline;
            return Ok(pair);
        }
    }
    io.inline = last;
    io.provider.create(&options(last))
}

/// What the device cannot hold is said before anything is made.
fn check(setup: &Setup, provider: &dyn Provider) -> Result<(), ConnectError> {
    let (device, peers) = (provider.device(), setup.peers.len());
    let refuse = |what, most: u32, wanted: u64, key| {
        let device = device.name.clone();
        let error = ConnectError::TooMany {
            device,
            what,
            most,
            wanted,
            peers,
            key,
        };
        (wanted > u64::from(most)).then_some(error).map_or(Ok(()), Err)
    };
    let options = &setup.options;
    refuse(
        "requests in a send queue",
        device.most_requests,
        options.depth.into(),
        "depth",
    )?;
    refuse(
        "receives of a queue pair",
        device.most_requests,
        setup.receives(0).into(),
        "credits and rdma.slots",
    )?;
    refuse(
        "completions",
        device.most_completions,
        setup.completions(),
        "depth, rdma.credits or rdma.queue_pairs",
    )
}

/// Distance between two slots; constant payload has one slot for all.
fn stride(setup: &Setup) -> u64 {
    if setup.real_payload {
        setup.options.slot_bytes.0
    } else {
        0
    }
}

/// Where the pieces of connection `at` begin.
fn layout(setup: &Setup, at: usize) -> Layout {
    let (at, slots) = (at as u64, u64::from(setup.options.slots) + 1);
    Layout {
        landing: at * slots * stride(setup),
        source: at * slots * stride(setup),
        ring: at * slots * GRANT as u64,
        staging: at * staging(setup),
        stride: stride(setup),
    }
}

/// Staging memory of a connection.
fn staging(setup: &Setup) -> u64 {
    let options = &setup.options;
    u64::from(options.channels * options.credits) * (HEADER as u64 + options.small.0)
}

/// Registers all memory that the transport will ever use.
fn register(setup: &Setup, mut provider: Box<dyn Provider>) -> Result<Io, ProviderError> {
    let options = &setup.options;
    let (peers, slots) = (setup.peers.len().max(1) as u64, u64::from(options.slots) + 1);
    let slot = options.slot_bytes.0;
    let pieces = if setup.real_payload {
        peers * slots * slot
    } else {
        slot
    };
    let read = if options.verb == RdmaVerb::Read {
        Access::RemoteRead
    } else {
        Access::Local
    };
    let receives = peers * u64::from(setup.connection_receives()) * setup.buffer();
    let memories = Memories {
        landing: provider.register(pieces, Access::RemoteWrite)?,
        source: provider.register(pieces, read)?,
        source_slot: slot,
        rings: provider.register(peers * slots * GRANT as u64, Access::RemoteWrite)?,
        receives: provider.register(receives, Access::Local)?,
        staging: provider.register(peers * staging(setup), Access::Local)?,
    };
    Ok(Io {
        provider,
        memories,
        options: options.clone(),
        inline: 0,
        real_payload: setup.real_payload,
        flows: FlowTable::default(),
        completions: VecDeque::new(),
        totals: Totals::default(),
        now: Duration::ZERO,
    })
}
