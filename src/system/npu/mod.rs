//! The machine of one NPU: takes what happened, says what to do next. No I/O, no clock, no threads;
//! the same inputs in the same order give the same actions.
//!
//! An operation is cut into chunks. One of genie's own runs its schedule (`scheduled.rs`); a task of an
//! execution graph goes through phases, queues and delays as in ASTRA-sim (`phased.rs`).

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use thiserror::Error;

use crate::network::message::{CommunicatorId, MessageKey, Rank};

use super::action::{Action, Input, MessageId, Nanos, NodeId, TimerId};
use super::chunk::Step;
use super::collective::{self, OpError, Schedule};
use super::communicator::{Communicator, CommunicatorError};
use super::op::{Collective, Op};
use super::phase::Move;
use super::setup::Setup;
use super::slab::Slab;

mod message;
mod phased;
mod scheduled;
pub mod watch;

use message::Posted;
use phased::{PhasedState, TimerKind};
use scheduled::{Chunk, Member, Running};

/// Where an operation's schedules come from: [`collective::schedules`] unless told otherwise.
pub type ScheduleSource = Arc<dyn Fn(&Op, u32) -> Result<Vec<Arc<dyn Schedule>>, OpError> + Send + Sync>;

/// An input that the machine cannot take. It is unchanged then.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum HandleError {
    /// No such communicator was added.
    #[error("rank {rank} is in no communicator {communicator}")]
    UnknownCommunicator {
        /// This rank.
        rank: Rank,
        /// The communicator of the operation.
        communicator: CommunicatorId,
    },
    /// Two operations of the same name.
    #[error("node {0} is in flight already")]
    NodeInFlight(NodeId),
    /// The communicator cannot carry out the operation.
    #[error(transparent)]
    Op(#[from] OpError),
    /// Not a message whose completion is awaited, or not of that side.
    #[error("message {0} is not awaited")]
    UnknownMessage(MessageId),
    /// Not a timer that runs.
    #[error("timer {0} does not run")]
    UnknownTimer(TimerId),
    /// Not a task that waits for memory.
    #[error("node {0} does not wait for memory")]
    UnknownMemory(NodeId),
    /// The configuration has no implementation of the collective.
    #[error("no implementation of {0} is configured")]
    NoImplementation(Collective),
    /// The implementation does not know the collective.
    #[error("halvingDoubling has no {0}")]
    NoSuchPattern(Collective),
    /// The implementation works among powers of two only.
    #[error("{pattern} needs a power of two of ranks; here are {ranks}")]
    PowerOfTwo {
        /// Its name.
        pattern: &'static str,
        /// Ranks of the dimension or group.
        ranks: u32,
    },
    /// A custom collective has no algorithm for this rank.
    #[error("the custom algorithm of {collective} has no file for position {position}")]
    CustomMissing {
        /// The collective.
        collective: Collective,
        /// This rank's position in its group.
        position: u32,
    },
    /// A custom collective goes beyond its group.
    #[error("the custom algorithm of {collective} names position {position}, but there are only {ranks}")]
    CustomPosition {
        /// The collective.
        collective: Collective,
        /// What is named.
        position: u32,
        /// Positions of the group.
        ranks: u32,
    },
    /// Sizes beyond what can be counted.
    #[error("its `comm_size` of {0} bytes makes messages of 2^64 bytes or more")]
    TooManyBytes(u64),
    /// Later than can be counted.
    #[error(
        "it would end more than 2^64 ns after the beginning: is its size or duration right, are latency and bandwidth?"
    )]
    EndOfTime,
    /// More chunks than can be told apart.
    #[error("{0} chunks are too many")]
    TooManyChunks(u64),
}

/// A message that is not complete on this rank.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Awaited {
    /// Whether this rank waits for it to come or for its buffer to be free.
    pub direction: Direction,
    /// The other rank (world rank).
    pub peer: Rank,
    /// Communicator and tag.
    pub key: MessageKey,
    /// Payload length.
    pub bytes: u64,
    /// The operation it belongs to.
    pub node: NodeId,
}

/// Which way a message goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// From this rank.
    Send,
    /// To this rank.
    Receive,
}

/// The machine of one NPU.
pub struct Npu {
    rank: Rank,
    now: Nanos,
    source: ScheduleSource,
    communicators: BTreeMap<CommunicatorId, Member>,
    nodes: BTreeMap<NodeId, u64>,
    running: Slab<Running>,
    chunks: Slab<Chunk>,
    messages: Slab<Posted>,
    posted: u64,
    buffers: Box<Buffers>,
    phased: PhasedState,
}

/// What a machine needs only while it is being asked: many machines may share one, so that it stays in
/// the processor's nearest cache ([`Npu::exchange`]).
#[derive(Debug, Default)]
pub struct Buffers {
    actions: Vec<Action>,
    /// How many of them are taken care of.
    passed: usize,
    steps: Vec<Step>,
    moves: Vec<Move>,
}

impl fmt::Debug for Npu {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Npu")
            .field("rank", &self.rank)
            .field("running", &self.nodes.keys())
            .field("waiting", &self.waiting())
            .finish_non_exhaustive()
    }
}

impl Npu {
    /// The machine of `rank`, a member of no communicator yet.
    pub fn new(rank: Rank) -> Self {
        Self::with_schedules(rank, Arc::new(collective::schedules))
    }

    /// A machine that runs other schedules than genie's own.
    pub fn with_schedules(rank: Rank, source: ScheduleSource) -> Self {
        Self::build(rank, source, Arc::default())
    }

    /// A machine that carries out tasks as ASTRA-sim's system layer would, so configured.
    pub fn with_setup(rank: Rank, setup: Arc<Setup>) -> Self {
        Self::build(rank, Arc::new(collective::schedules), setup)
    }

    fn build(rank: Rank, source: ScheduleSource, setup: Arc<Setup>) -> Self {
        Npu {
            rank,
            now: 0,
            source,
            communicators: BTreeMap::new(),
            nodes: BTreeMap::new(),
            running: Slab::default(),
            chunks: Slab::default(),
            messages: Slab::default(),
            posted: 0,
            buffers: Box::default(),
            phased: PhasedState::new(setup),
        }
    }

    /// Makes this rank a member of the group `ranks`, given in order of position.
    ///
    /// # Errors
    /// If the number is taken, this rank is not in the group or a rank is in it twice.
    pub fn add_communicator(
        &mut self,
        id: CommunicatorId,
        ranks: Vec<Rank>,
    ) -> Result<(), CommunicatorError> {
        if self.communicators.contains_key(&id) {
            return Err(CommunicatorError::Exists(id));
        }
        let communicator = Arc::new(Communicator::new(id, ranks, self.rank)?);
        self.communicators.insert(id, Member::new(communicator));
        Ok(())
    }

    /// Makes this rank a member of a group of tasks' collectives. The list is shared by its members,
    /// who have checked that none is in it twice.
    ///
    /// # Errors
    /// If the number is taken (0 always is) or this rank is not in the group.
    pub fn add_group(&mut self, id: CommunicatorId, ranks: &Arc<[Rank]>) -> Result<(), CommunicatorError> {
        self.phased.add_group(id, self.rank, ranks)
    }

    /// Takes what happened at `now`.
    ///
    /// # Errors
    /// If it cannot have happened; nothing is changed then.
    pub fn handle(&mut self, input: Input, now: Nanos) -> Result<(), HandleError> {
        self.now = now;
        match input {
            Input::Issue { node, op } => self.issue(node, &op),
            Input::Start { node, task } => self.start(node, &task),
            Input::Sent(message) => self.sent(message, now),
            Input::Received(message) => self.received(message, now),
            Input::TimerFired(timer) => self.timer_fired(timer, now),
            Input::MemoryDone(node) => self.memory_done(node),
        }
    }

    /// [`Input::Sent`], for backends that move millions of messages.
    ///
    /// # Errors
    /// As [`Npu::handle`].
    pub fn sent(&mut self, message: MessageId, now: Nanos) -> Result<(), HandleError> {
        self.now = now;
        if message == super::action::UNTRACKED {
            return Ok(());
        }
        self.take_sent(message)
    }

    /// [`Input::Received`], likewise.
    ///
    /// # Errors
    /// As [`Npu::handle`].
    pub fn received(&mut self, message: MessageId, now: Nanos) -> Result<(), HandleError> {
        self.now = now;
        self.take_received(message)
    }

    /// [`Input::TimerFired`], likewise.
    ///
    /// # Errors
    /// As [`Npu::handle`].
    pub fn timer_fired(&mut self, timer: TimerId, now: Nanos) -> Result<(), HandleError> {
        self.now = now;
        let (kind, key) = TimerKind::split(timer).ok_or(HandleError::UnknownTimer(timer))?;
        self.flush();
        self.fire(kind, key).ok_or(HandleError::UnknownTimer(timer))
    }

    /// What is to be done next; `None` until something else happens.
    pub fn poll_action(&mut self) -> Option<Action> {
        self.peek_action()?;
        let passed = self.buffers.passed;
        self.buffers.passed += 1;
        let action = self.buffers.actions.get_mut(passed)?;
        Some(std::mem::replace(action, Action::Done(0)))
    }

    /// What is to be done next, where it lies: to be followed by [`Npu::pass_action`].
    #[inline]
    pub fn peek_action(&mut self) -> Option<&Action> {
        if self.buffers.passed == self.buffers.actions.len() {
            self.buffers.actions.clear();
            self.buffers.passed = 0;
            if self.phased.is_leaving() {
                self.leave_queues();
            }
        }
        self.buffers.actions.get(self.buffers.passed)
    }

    /// The action that was peeked at is taken care of.
    #[inline]
    pub fn pass_action(&mut self) {
        self.buffers.passed += 1;
        debug_assert!(self.buffers.passed <= self.buffers.actions.len());
    }

    /// Exchanges the buffers for others. Neither may hold actions: they belong to one machine.
    pub fn exchange(&mut self, buffers: &mut Box<Buffers>) {
        debug_assert!(self.buffers.actions.is_empty() && buffers.actions.is_empty());
        std::mem::swap(&mut self.buffers, buffers);
    }

    /// This rank.
    pub fn rank(&self) -> Rank {
        self.rank
    }

    /// A communicator of which this rank is a member.
    pub fn communicator(&self, id: CommunicatorId) -> Option<&Communicator> {
        self.communicators.get(&id).map(Member::communicator)
    }

    /// Whether nothing is in flight.
    pub fn is_idle(&self) -> bool {
        self.nodes.is_empty()
    }

    /// Messages that are not complete, oldest first: who waits for whom.
    pub fn waiting(&self) -> Vec<Awaited> {
        let mut posted: Vec<&Posted> = self.messages.iter().collect();
        posted.sort_unstable_by_key(|posted| posted.number);
        posted.into_iter().map(Posted::awaited).collect()
    }

    /// What a message that is not complete belongs to.
    pub fn awaited(&self, message: MessageId) -> Option<Awaited> {
        self.messages.get(message).map(Posted::awaited)
    }

    /// A name for a new operation.
    fn admit(&mut self, node: NodeId, running: Running) -> Result<u64, HandleError> {
        if self.nodes.contains_key(&node) {
            return Err(HandleError::NodeInFlight(node));
        }
        let key = self.running.insert(running);
        self.nodes.insert(node, key);
        Ok(key)
    }

    /// An operation is complete.
    fn done(&mut self, operation: u64) {
        if let Some(running) = self.running.remove(operation) {
            self.nodes.remove(&running.node);
            self.buffers.actions.push(Action::Done(running.node));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::system::op::{Algorithm, Collective};

    fn npu(rank: Rank, ranks: &[Rank]) -> Npu {
        let mut npu = Npu::new(rank);
        npu.add_communicator(0, ranks.to_vec()).unwrap();
        npu
    }

    fn issue(npu: &mut Npu, node: NodeId, op: Op) -> Result<Vec<Action>, HandleError> {
        npu.handle(Input::Issue { node, op }, 0)?;
        Ok(std::iter::from_fn(|| npu.poll_action()).collect())
    }

    #[test]
    fn alone_a_rank_is_done_at_once() {
        for collective in Collective::ALL {
            let op = Op::new(collective, Algorithm::Auto, 1 << 20);
            assert_eq!(
                issue(&mut npu(4, &[4]), 1, op).unwrap(),
                [Action::Done(1)],
                "{collective}"
            );
        }
    }

    #[test]
    fn an_operation_without_bytes_sends_nothing_but_a_barrier_does() {
        let actions =
            |collective| issue(&mut npu(0, &[0, 1]), 1, Op::new(collective, Algorithm::Auto, 0)).unwrap();
        assert_eq!(actions(Collective::AllReduce), [Action::Done(1)]);
        assert!(
            matches!(&actions(Collective::Barrier)[..], [Action::Send(t), Action::Receive(..)] if t.bytes == 1)
        );
    }

    #[test]
    fn what_cannot_have_happened_is_refused_and_changes_nothing() {
        let mut npu = npu(0, &[0, 1]);
        let op = Op::new(Collective::SendRecv, Algorithm::Ring, 8);
        let stranger = Op {
            communicator: 3,
            ..op.clone()
        };
        assert_eq!(
            issue(&mut npu, 1, stranger),
            Err(HandleError::UnknownCommunicator {
                rank: 0,
                communicator: 3
            })
        );
        let unsupported = Op {
            algorithm: Algorithm::HalvingDoubling,
            ..op.clone()
        };
        assert!(matches!(
            issue(&mut npu, 1, unsupported),
            Err(HandleError::Op(OpError::Unsupported(_)))
        ));
        let actions = issue(&mut npu, 1, op.clone()).unwrap();
        assert_eq!(issue(&mut npu, 1, op), Err(HandleError::NodeInFlight(1)));
        let [Action::Send(send), Action::Receive(receive, _)] = &actions[..] else {
            panic!("{actions:?}")
        };
        assert_eq!(
            send.key.tag >> 44,
            0,
            "refused operations take no sequence number"
        );
        for refused in [
            Input::Received(send.message),
            Input::Sent(receive.message),
            Input::Sent(99),
        ] {
            assert!(matches!(
                npu.handle(refused, 0),
                Err(HandleError::UnknownMessage(_))
            ));
        }
        npu.handle(Input::Sent(send.message), 0).unwrap();
        assert!(
            npu.handle(Input::Sent(send.message), 0).is_err(),
            "complete only once"
        );
        npu.handle(Input::Received(receive.message), 0).unwrap();
        assert_eq!(npu.poll_action(), Some(Action::Done(1)));
        assert!(npu.is_idle());
    }

    #[test]
    fn a_rank_says_whom_it_waits_for() {
        let mut npu = npu(20, &[10, 20, 30]);
        issue(&mut npu, 1, Op::new(Collective::SendRecv, Algorithm::Ring, 8)).unwrap();
        let waiting: Vec<_> = npu
            .waiting()
            .iter()
            .map(|a| (a.direction, a.peer, a.bytes))
            .collect();
        assert_eq!(waiting, [(Direction::Send, 30, 8), (Direction::Receive, 10, 8)]);
    }

    #[test]
    fn chunks_beyond_those_in_flight_wait() {
        let op = Op {
            chunk_bytes: 8,
            chunks_in_flight: 2,
            ..Op::new(Collective::SendRecv, Algorithm::Ring, 80)
        };
        let mut npu = npu(0, &[0, 1]);
        let actions = issue(&mut npu, 1, op).unwrap();
        let chunks = |actions: &[Action]| -> Vec<u32> {
            let sends = actions.iter().filter_map(|a| {
                if let Action::Send(t) = a {
                    Some(t.channel)
                } else {
                    None
                }
            });
            sends.collect()
        };
        assert_eq!(chunks(&actions), [0, 1]);
        let [Action::Send(send), Action::Receive(receive, _), ..] = &actions[..] else {
            panic!()
        };
        npu.handle(Input::Received(receive.message), 0).unwrap();
        assert_eq!(npu.poll_action(), None, "chunk 0 still sends");
        npu.handle(Input::Sent(send.message), 0).unwrap();
        assert_eq!(
            chunks(&std::iter::from_fn(|| npu.poll_action()).collect::<Vec<_>>()),
            [2]
        );
    }

    #[test]
    fn operations_of_a_communicator_differ_in_their_tags() {
        let mut npu = npu(0, &[0, 1]);
        let tags: Vec<u64> = (0..3)
            .flat_map(|node| issue(&mut npu, node, Op::new(Collective::Barrier, Algorithm::Auto, 0)).unwrap())
            .filter_map(|action| {
                if let Action::Send(t) = action {
                    Some(t.key.tag)
                } else {
                    None
                }
            })
            .collect();
        assert_eq!(tags, [0, 1 << 44, 2 << 44]);
    }
}
