//! The RDMA transport of one rank: sends and receives are posted, completions are polled. One thread,
//! one completion queue; waiting is polling, blocking on its events, or adaptive between the two.

use std::collections::BTreeMap;
use std::io;
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, ppoll};
use nix::sys::time::TimeSpec;

use super::connection::Connection;
use super::counters;
use super::departure::Outgoing;
use super::failure::{Failed, RdmaError};
use super::io::Io;
use super::opening::Setup;
use super::provider::{Completed, Span, Status};
use super::queue::RECEIVE;
use crate::network::flows::{FlowName, Flows};
use crate::network::message::{Channel, MessageKey, Rank};
use crate::network::transport::{Completion, DeviceUse, Totals, Transport, TransportError};
use crate::network::waiting::{self, Spin};

/// Messages up to this size are small: worth polling for.
const LATENCY_BOUND: u64 = 64 * 1024;
/// Completions taken in one look.
const BATCH: usize = 64;

/// Whose a queue pair is.
#[derive(Debug, Clone, Copy)]
pub struct Owner {
    /// Index of the connection.
    pub connection: usize,
    /// Index of the queue pair in it.
    pub queue: usize,
}

/// The RDMA transport of one rank.
#[derive(Debug)]
pub struct RdmaTransport {
    setup: Setup,
    io: Io,
    connections: Vec<Connection>,
    peers: BTreeMap<Rank, usize>,
    owners: Vec<Owner>,
    /// Buffers of receives, by the number in their ids.
    receives: Vec<Span>,
    completed: Vec<Completed>,
    touched: Vec<usize>,
    spin: Spin,
    /// The receive posted last is of a message that takes longer than polling for it is worth.
    bulk: bool,
    counters_before: Vec<(String, u64)>,
    made: Instant,
}

impl RdmaTransport {
    /// A transport over connected queue pairs; `owners` is by the provider's numbers of them.
    pub fn new(
        setup: Setup,
        io: Io,
        connections: Vec<Connection>,
        owners: Vec<Owner>,
        receives: Vec<Span>,
    ) -> Self {
        let peers = connections.iter().enumerate().map(|(at, c)| (c.peer, at));
        Self {
            peers: peers.collect(),
            spin: Spin::new(setup.wait),
            counters_before: io.provider.counters(),
            made: Instant::now(),
            setup,
            io,
            connections,
            owners,
            receives,
            completed: Vec::new(),
            touched: Vec::new(),
            bulk: false,
        }
    }

    fn connection(&self, peer: Rank) -> Result<usize, TransportError> {
        self.peers
            .get(&peer)
            .copied()
            .ok_or(TransportError::NotConnected(peer))
    }

    /// Keeps the time where it matters; gives when the first piece that is held back may leave.
    fn look_at_clock(&mut self) -> Option<Duration> {
        self.setup.pacing?;
        self.io.now = self.made.elapsed();
        self.connections.iter().filter_map(Connection::held_until).min()
    }

    /// Has those connections go on whose pieces were held back long enough.
    fn release(&mut self) {
        if self.look_at_clock().is_some_and(|time| time <= self.io.now) {
            let now = self.io.now;
            let due = |(_, connection): &(usize, &Connection)| {
                connection.held_until().is_some_and(|time| time <= now)
            };
            let due = self.connections.iter().enumerate().filter(due).map(|(at, _)| at);
            self.touched.extend(due);
        }
    }

    /// Takes completions and posts what they set free; whether there were any.
    fn turn(&mut self) -> Result<bool, RdmaError> {
        self.release();
        let mut completed = std::mem::take(&mut self.completed);
        completed.clear();
        self.io.provider.poll(&mut completed, BATCH)?;
        if let Some(failed) = first_failure(&completed) {
            return Err(self.failure(failed).into());
        }
        for completion in &completed {
            self.digest(completion)?;
        }
        for at in std::mem::take(&mut self.touched) {
            self.connections[at].advance(&mut self.io)?;
        }
        let any = !completed.is_empty();
        self.completed = completed;
        Ok(any)
    }

    fn digest(&mut self, completion: &Completed) -> Result<(), RdmaError> {
        let Owner { connection, queue } = self.owners[completion.queue];
        if !self.touched.contains(&connection) {
            self.touched.push(connection);
        }
        let connection = &mut self.connections[connection];
        if completion.id & RECEIVE == 0 {
            return connection.completed(queue, completion.id, &mut self.io);
        }
        let buffer = self.receives[(completion.id & !RECEIVE) as usize];
        connection.received(queue, completion.what, buffer, &mut self.io)?;
        let provider = &mut self.io.provider;
        provider.post_receive(completion.queue, completion.id, Some(buffer))?;
        Ok(())
    }

    fn failure(&self, completion: &Completed) -> Failed {
        let Owner { connection, queue } = self.owners[completion.queue];
        let connection = &self.connections[connection];
        let queue = &connection.queues()[queue];
        let receive = completion.id & RECEIVE != 0;
        Failed {
            peer: connection.peer,
            device: self.io.provider.device().name.clone(),
            queue_pairs: (
                self.io.provider.address(completion.queue).number,
                queue.remote_number,
            ),
            purpose: (!receive).then(|| queue.purpose(completion.id)).flatten(),
            status: completion.status,
            vendor: completion.vendor,
            budget: self.budget(),
        }
    }

    /// How long a request is retransmitted before it fails.
    fn budget(&self) -> String {
        let options = &self.setup.options;
        let attempts = u32::from(options.retry_count) + 1;
        let seconds = 4.096e-6 * f64::from(1u32 << options.timeout.min(31)) * f64::from(attempts);
        format!("{seconds:.3} s or more ({attempts} attempts)")
    }

    /// Polls for a while; whether something completed.
    fn spin(&mut self, budget: Duration) -> Result<bool, RdmaError> {
        let start = Instant::now();
        loop {
            self.turn()?;
            if !self.io.completions.is_empty() {
                return Ok(true);
            }
            if start.elapsed() >= budget {
                return Ok(false);
            }
            waiting::pause(self.setup.oversubscribed);
        }
    }

    /// Waits for the device's next event, but not longer than `timeout`.
    fn block(&mut self, timeout: Duration) -> Result<(), RdmaError> {
        self.io.provider.arm()?;
        // What came before the device was armed raises no event.
        if self.turn()? {
            return Ok(());
        }
        let own = self.io.provider.must_poll_within().unwrap_or(Duration::MAX);
        let held = self.look_at_clock().map(|time| time.saturating_sub(self.io.now));
        wait(
            self.io.provider.as_ref(),
            timeout.min(own).min(held.unwrap_or(Duration::MAX)),
        );
        self.io.provider.disarm()?;
        self.turn()?;
        Ok(())
    }

    fn drive(&mut self, timeout: Duration) -> Result<(), RdmaError> {
        let start = Instant::now();
        if self.spin(self.spin.budget(self.bulk).min(timeout))? {
            return Ok(());
        }
        while self.io.completions.is_empty() && start.elapsed() < timeout {
            self.block(timeout.saturating_sub(start.elapsed()))?;
        }
        self.spin.blocked(start.elapsed());
        Ok(())
    }
}

impl Transport for RdmaTransport {
    fn post_send(
        &mut self,
        id: u64,
        peer: Rank,
        channel: Channel,
        key: MessageKey,
        bytes: u64,
        data: Option<Vec<u8>>,
    ) -> Result<(), TransportError> {
        let at = self.connection(peer)?;
        self.look_at_clock();
        let name = FlowName {
            communicator: key.communicator,
            peer,
            channel,
        };
        let flow = self.io.flows.announce(name, bytes);
        self.io.totals.messages += 1;
        let message = Outgoing {
            id,
            key,
            bytes,
            data,
            flow,
            channel,
        };
        Ok(self.connections[at].send(message, &mut self.io)?)
    }

    fn post_receive(
        &mut self,
        id: u64,
        peer: Rank,
        _channel: Channel,
        key: MessageKey,
        bytes: u64,
    ) -> Result<(), TransportError> {
        self.bulk = bytes > LATENCY_BOUND;
        let at = self.connection(peer)?;
        Ok(self.connections[at].expect(id, key, bytes, &mut self.io)?)
    }

    fn next_completion(&mut self) -> Option<Completion> {
        self.io.completions.pop_front()
    }

    fn poll(&mut self, timeout: Duration) -> Result<(), TransportError> {
        if self.io.completions.is_empty() {
            self.drive(timeout)?;
        }
        Ok(())
    }

    fn totals(&self) -> Totals {
        self.io.totals
    }

    fn retransmits(&self) -> u64 {
        counters::retransmissions(&self.device_counters())
    }

    fn flows(&self) -> Flows {
        self.io.flows.shared()
    }

    /// Counters follow completions; there is nothing to ask for.
    fn sample_now(&mut self) {}

    fn device(&self) -> Option<DeviceUse> {
        let facts = self.io.provider.device();
        Some(DeviceUse {
            name: facts.name.clone(),
            port: facts.port,
            gid_index: facts.gid_index,
            gid: facts.gid.to_string(),
            mtu: facts.mtu,
            queue_pairs: self.owners.len() as u32,
            registered_bytes: self.io.memories.bytes(),
            slot_bytes: self.setup.options.slot_bytes.0,
            inline: self.io.inline,
            counters: self.device_counters().into_iter().collect(),
        })
    }
}

impl RdmaTransport {
    /// What the device counted since the ranks were connected.
    fn device_counters(&self) -> Vec<(String, u64)> {
        counters::since(&self.counters_before, self.io.provider.counters())
    }
}

/// The failure with most to say: requests flushed after it only say that there was one.
fn first_failure(completed: &[Completed]) -> Option<&Completed> {
    let mut failed = completed.iter().filter(|c| c.status != Status::Success);
    let first = failed.clone().next()?;
    Some(failed.find(|c| c.status != Status::Flushed).unwrap_or(first))
}

/// Waits for the provider's descriptor. Being interrupted, or told early, only costs another look.
fn wait(provider: &dyn super::provider::Provider, timeout: Duration) {
    let mut fds = [PollFd::new(provider.event(), PollFlags::POLLIN)];
    let _ = ppoll(&mut fds, Some(TimeSpec::from_duration(timeout)), None);
}

impl From<RdmaError> for TransportError {
    fn from(error: RdmaError) -> Self {
        match error {
            RdmaError::Length(mismatch) => TransportError::Length(mismatch),
            RdmaError::Provider(error) => TransportError::Io(io::Error::other(error)),
            RdmaError::Completion(failed) => TransportError::peer(failed.peer, failed),
            RdmaError::Protocol { peer, what } => TransportError::peer(peer, what),
        }
    }
}
