//! The data thread of a rank: a loop around the NPU machine that carries its sends and receives
//! out on the transport, in wall time.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike;

use super::clock::{Timers, monotonic_ns};
use super::control::{Assignment, Heartbeat, Row, RowDone};
use crate::event::MessageSeen;
use crate::network::message::{Channel, Rank};
use crate::network::transport::{Completion, Transport, TransportError};
use crate::scenario::plan::Communicator;
use crate::system::action::{Action, Combine, Input, MessageId, NodeId, Transfer};
use crate::system::npu::{Direction, Npu};
use crate::system::op::{Algorithm, Collective, Op};
use crate::system::payload;

mod messages;
pub(super) mod pass;
mod shares;

use messages::Messages;
use pass::Pass;

/// A wait longer than this is published, for "who waits for whom".
const PATIENCE: Duration = Duration::from_millis(50);

/// Where the data thread is, readable by the control thread.
#[derive(Debug, Default)]
pub struct Status {
    row: AtomicU64,
    iterations: AtomicU64,
    moved: AtomicU64,
    timed: AtomicU64,
    waiting: Mutex<Vec<Rank>>,
    node: Mutex<Option<String>>,
    /// What is measured of the current row.
    record: Mutex<RowDone>,
    /// Messages without an end, of a rank that has been waiting for a while. Taken after `record`.
    open: Mutex<Vec<MessageSeen>>,
    /// The run is over: the data thread returns at its next chance.
    pub ended: AtomicBool,
}

impl Status {
    /// As a heartbeat.
    pub fn heartbeat(&self) -> Heartbeat {
        Heartbeat {
            row: self
                .row
                .load(Ordering::Relaxed)
                .checked_sub(1)
                .map(|row| row as usize),
            iterations: self.iterations.load(Ordering::Relaxed),
            moved_bytes: self.moved.load(Ordering::Relaxed),
            waiting: self.waiting.lock().map(|w| w.clone()).unwrap_or_default(),
            node: self.node.lock().map(|node| node.clone()).unwrap_or_default(),
            timed: self.timed.load(Ordering::Relaxed),
        }
    }

    /// What is measured of the current row so far; messages that a rank waits for have no end.
    pub fn part(&self) -> RowDone {
        let Ok(record) = self.record.lock() else {
            return RowDone::default();
        };
        let mut part = record.clone();
        if let Ok(open) = self.open.lock() {
            part.messages.seen.extend(open.iter().cloned());
        }
        part
    }

    fn publish_open(&self, messages: Vec<MessageSeen>) {
        if let Ok(mut open) = self.open.lock() {
            *open = messages;
        }
    }

    fn publish_waiting(&self, ranks: Vec<Rank>, node: Option<String>) {
        if let Ok(mut waiting) = self.waiting.lock() {
            *waiting = ranks;
        }
        if let Ok(mut place) = self.node.lock() {
            *place = node;
        }
    }
}

/// Why a rank cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum PlayError {
    /// The transport failed.
    #[error(transparent)]
    Transport(#[from] TransportError),
    /// The machine refused an operation.
    #[error("{0}")]
    Npu(String),
    /// The rank's trace cannot be played.
    #[error(transparent)]
    Trace(#[from] crate::workload::trace::TraceError),
    /// The controller ended the run.
    #[error("the run was ended")]
    Ended,
}

impl PlayError {
    /// A refusal of the kernel that no peer is to blame for.
    pub fn from_io(error: std::io::Error) -> Self {
        PlayError::Transport(TransportError::Io(error))
    }

    /// The rank to blame, if it is a peer.
    pub fn peer(&self) -> Option<Rank> {
        match self {
            PlayError::Transport(TransportError::Peer { peer, .. }) => Some(*peer),
            _ => None,
        }
    }
}

/// One rank's data thread.
#[derive(Debug)]
pub struct Player {
    assignment: Arc<Assignment>,
    npu: Npu,
    transport: Box<dyn Transport>,
    timers: Timers,
    status: Arc<Status>,
    waiting_published: bool,
    next_node: NodeId,
    /// Operations that have ended since somebody looked.
    done: Vec<NodeId>,
    /// The iteration of a trace that is being played.
    pass: Option<Pass>,
    /// Messages whose times are kept.
    messages: Messages,
    /// Real data of the operation in flight, and where its pending receives belong.
    buffers: HashMap<NodeId, Real>,
    receives: HashMap<MessageId, (Transfer, Combine)>,
}

#[derive(Debug)]
struct Real {
    op: Op,
    bytes: Vec<u8>,
}

impl Player {
    /// A player over a connected transport.
    pub fn new(
        assignment: Arc<Assignment>,
        transport: Box<dyn Transport>,
        status: Arc<Status>,
    ) -> Result<Self, PlayError> {
        let mut npu = Npu::new(assignment.rank);
        let mine = |c: &&Communicator| c.ranks.contains(&assignment.rank);
        for communicator in assignment.communicators.iter().filter(mine) {
            npu.add_communicator(communicator.id, communicator.ranks.clone())
                .map_err(npu_error)?;
        }
        Ok(Self {
            messages: Messages::new(&assignment),
            assignment,
            npu,
            transport,
            timers: Timers::default(),
            status,
            waiting_published: false,
            next_node: 0,
            done: Vec::new(),
            pass: None,
            buffers: HashMap::new(),
            receives: HashMap::new(),
        })
    }

    /// The transport, for its totals.
    pub fn transport(&self) -> &dyn Transport {
        self.transport.as_ref()
    }

    /// The timers, for their lateness.
    pub fn timers(&self) -> &Timers {
        &self.timers
    }

    /// Plays a row: a barrier of all ranks, warm-up, measured iterations back to back. After an error, too,
    /// the record has all messages: those without an end say what was waited for.
    pub fn play(&mut self, row: usize) -> Result<RowDone, PlayError> {
        let played = self.play_iterations(row);
        self.messages.end_row();
        self.hand_in_messages(Vec::new());
        played?;
        self.transport.sample_now();
        Ok(self.status.part())
    }

    fn play_iterations(&mut self, row: usize) -> Result<(), PlayError> {
        let assignment = self.assignment.clone();
        let entry = &assignment.rows[row];
        self.status.row.store(row as u64 + 1, Ordering::Relaxed);
        self.status.iterations.store(0, Ordering::Relaxed);
        let mut trace = self.load(row)?;
        let rates = self.shares(entry);
        self.transport.pace(&rates)?;
        self.run(&barrier(), 0)?;
        let member = assignment
            .communicators
            .iter()
            .find(|c| c.id == entry.op.communicator);
        let position = member.and_then(|c| c.ranks.iter().position(|&r| r == assignment.rank));
        let fresh = RowDone {
            row,
            wrong: assignment.verify.then_some(0),
            ..RowDone::default()
        };
        self.record(|record| *record = fresh);
        let iterations = if position.is_some() {
            entry.warmup + entry.iterations
        } else {
            0
        };
        let (mut cpu, mut sent) = (0.0, 0);
        for iteration in 0..iterations {
            if iteration == entry.warmup {
                (cpu, sent) = (cpu_seconds(), self.transport.totals().sent_bytes);
            }
            self.messages.begin(iteration.checked_sub(entry.warmup));
            let start = monotonic_ns();
            let wrong = match &mut trace {
                Some(trace) => self.run_trace(trace, iteration.checked_sub(entry.warmup))?,
                None => self.run(&entry.op, u64::from(iteration))?,
            };
            let end = monotonic_ns();
            self.record(|record| {
                if iteration >= entry.warmup {
                    record.start_ns.push(start.saturating_sub(assignment.origin_ns));
                    record.end_ns.push(end.saturating_sub(assignment.origin_ns));
                }
                record.wrong = record.wrong.map(|sum| sum + wrong);
            });
            self.hand_in_messages(Vec::new());
            self.status
                .iterations
                .store(u64::from(iteration) + 1, Ordering::Relaxed);
        }
        let sent_bytes = self.transport.totals().sent_bytes - sent;
        self.record(|record| {
            if iterations > 0 {
                (record.cpu_s, record.sent_bytes) = (cpu_seconds() - cpu, sent_bytes);
            }
        });
        if let Some(trace) = trace {
            let (labels, times) = trace.records(assignment.origin_ns);
            self.record(|record| (record.labels, record.times) = (labels, times));
        }
        Ok(())
    }

    /// What each channel of a peer is to carry at most in a row whose flows keep to their shares of the busiest
    /// link, payload bytes per second.
    fn shares(&self, row: &Row) -> BTreeMap<(Rank, Channel), u64> {
        let (Some(seconds), Some((_, position))) = (row.wire_s, self.place(&row.op)) else {
            return BTreeMap::new();
        };
        let mut communicators = self.assignment.communicators.iter();
        let own = communicators.find(|c| c.id == row.op.communicator);
        let ranks = own.map_or(&[][..], |c| &c.ranks);
        shares::shares(&row.op, ranks, position, self.assignment.tcp.channels, seconds)
    }

    fn record(&self, change: impl FnOnce(&mut RowDone)) {
        if let Ok(mut record) = self.status.record.lock() {
            change(&mut record);
        }
    }

    /// Adds to the record what messages have come to an end, and shows those that are `open`, in one step: no message
    /// is in both, or in neither.
    fn hand_in_messages(&mut self, open: Vec<MessageSeen>) {
        let ended = self.messages.take();
        if ended.is_none() && !self.waiting_published {
            return;
        }
        let mut ended = ended.unwrap_or_default();
        self.record(|record| {
            self.status.publish_open(open);
            record.messages.seen.append(&mut ended.seen);
            record.messages.left_out += ended.left_out;
        });
    }

    /// Runs one operation to its end; gives the number of wrong elements (0 when not verified).
    fn run(&mut self, op: &Op, iteration: u64) -> Result<u64, PlayError> {
        let result = self.run_to_end(op, iteration);
        if result.is_err() {
            self.publish_waiting();
        }
        result
    }

    fn run_to_end(&mut self, op: &Op, iteration: u64) -> Result<u64, PlayError> {
        let node = self.next_node;
        self.next_node += 1;
        if self.assignment.verify {
            self.prepare(node, op, iteration);
        }
        self.npu
            .handle(Input::Issue { node, op: op.clone() }, monotonic_ns())
            .map_err(npu_error)?;
        loop {
            self.act()?;
            if self.done.drain(..).any(|done| done == node) {
                return Ok(self.check(node, op, iteration));
            }
            self.wait()?;
        }
    }

    /// Waits until something happens, or for a while; tells the machine.
    fn wait(&mut self) -> Result<(), PlayError> {
        let blocked = self.timers.may_block(monotonic_ns(), PATIENCE);
        self.transport.poll(blocked)?;
        let mut idle = true;
        while let Some(completion) = self.transport.next_completion() {
            idle = false;
            self.complete(completion)?;
        }
        while let Some(timer) = self.timers.due(monotonic_ns()) {
            idle = false;
            self.npu
                .handle(Input::TimerFired(timer), monotonic_ns())
                .map_err(npu_error)?;
        }
        self.account(idle && blocked == PATIENCE)
    }

    /// Publishes progress; after a long wait also who is waited for.
    fn account(&mut self, waited_long: bool) -> Result<(), PlayError> {
        let totals = self.transport.totals();
        self.status
            .moved
            .store(totals.sent_bytes + totals.received_bytes, Ordering::Relaxed);
        if waited_long {
            if self.timers.pending() {
                self.status.timed.fetch_add(1, Ordering::Relaxed);
            }
            self.publish_waiting();
        } else if std::mem::take(&mut self.waiting_published) {
            self.status.publish_waiting(Vec::new(), None);
            self.status.publish_open(Vec::new());
        }
        if self.status.ended.load(Ordering::Relaxed) {
            Err(PlayError::Ended)
        } else {
            Ok(())
        }
    }

    /// Says whom this rank waits for: those whose messages have not come, else those who have not
    /// taken ours; and which messages these are.
    fn publish_waiting(&mut self) {
        self.waiting_published = true;
        self.hand_in_messages(self.messages.open());
        let awaited = self.npu.waiting();
        let of = |direction: Direction| -> BTreeSet<Rank> {
            awaited
                .iter()
                .filter(|a| a.direction == direction)
                .map(|a| a.peer)
                .collect()
        };
        let (from, to) = (of(Direction::Receive), of(Direction::Send));
        let ranks = if from.is_empty() { to } else { from };
        let node = self.pass.as_ref().and_then(|pass| pass.describe(&awaited));
        self.status.publish_waiting(ranks.into_iter().collect(), node);
    }

    /// Carries out what the machine wants; `done` has the operations that are over.
    fn act(&mut self) -> Result<(), PlayError> {
        while let Some(action) = self.npu.poll_action() {
            match action {
                Action::Send(t) => {
                    let data = self
                        .buffers
                        .get(&t.node)
                        .map(|real| payload::gather(&t.region, &real.bytes));
                    self.messages.posted(&t, true);
                    self.transport
                        .post_send(t.message, t.peer, t.channel, t.key, t.bytes, data)?;
                }
                Action::Receive(t, combine) => {
                    self.messages.posted(&t, false);
                    self.transport
                        .post_receive(t.message, t.peer, t.channel, t.key, t.bytes)?;
                    if self.assignment.verify {
                        self.receives.insert(t.message, (t, combine));
                    }
                }
                Action::Timer(timer, delay) => {
                    let real = (delay as f64 * self.assignment.dilation) as u64;
                    self.timers.set(timer, monotonic_ns() + real);
                }
                Action::Done(done) => self.done.push(done),
                Action::Memory { node, .. } => {
                    let why = format!("node {node} asks for remote memory, which only the model has");
                    return Err(PlayError::Npu(why));
                }
            }
            while let Some(completion) = self.transport.next_completion() {
                self.complete(completion)?;
            }
        }
        Ok(())
    }

    fn complete(&mut self, completion: Completion) -> Result<(), PlayError> {
        let now = monotonic_ns();
        let input = match completion {
            Completion::Sent(id) => {
                self.messages.done(id, now);
                Input::Sent(id)
            }
            Completion::Received(id, data) => {
                self.messages.done(id, now);
                if let Some((transfer, combine)) = self.receives.remove(&id)
                    && let Some(real) = self.buffers.get_mut(&transfer.node)
                {
                    payload::scatter(&real.op, combine, &transfer.region, &data, &mut real.bytes);
                }
                Input::Received(id)
            }
        };
        self.npu.handle(input, now).map_err(npu_error)
    }

    fn prepare(&mut self, node: NodeId, op: &Op, iteration: u64) {
        let Some((n, position)) = self.place(op) else {
            return;
        };
        let mut bytes = vec![0; payload::buffer_bytes(op, n, position) as usize];
        payload::fill(op, n, position, iteration, &mut bytes);
        self.buffers.insert(
            node,
            Real {
                op: op.clone(),
                bytes,
            },
        );
    }

    fn check(&mut self, node: NodeId, op: &Op, iteration: u64) -> u64 {
        let (Some(real), Some((n, position))) = (self.buffers.remove(&node), self.place(op)) else {
            return 0;
        };
        payload::wrong(op, n, position, iteration, &real.bytes)
    }

    fn place(&self, op: &Op) -> Option<(u32, u32)> {
        let communicator = self
            .assignment
            .communicators
            .iter()
            .find(|c| c.id == op.communicator)?;
        let position = communicator
            .ranks
            .iter()
            .position(|&r| r == self.assignment.rank)?;
        Some((communicator.ranks.len() as u32, position as u32))
    }
}

fn npu_error(error: impl std::fmt::Display) -> PlayError {
    PlayError::Npu(error.to_string())
}

/// The barrier that aligns the ranks before each row.
pub fn barrier() -> Op {
    Op::new(Collective::Barrier, Algorithm::RecursiveDoubling, 0)
}

/// User and system CPU seconds of this process.
pub fn cpu_seconds() -> f64 {
    let Ok(usage) = getrusage(UsageWho::RUSAGE_SELF) else {
        return 0.0;
    };
    (usage.user_time().num_microseconds() + usage.system_time().num_microseconds()) as f64 / 1e6
}
