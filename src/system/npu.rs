//! The machine of one NPU: takes what happened, says what to do next. No I/O, no clock, no threads;
//! the same inputs in the same order give the same actions.
//!
//! An operation is cut into chunks, so many of which are in flight; each runs its schedule by itself
//! (`chunk.rs`). Delays between a receive and what follows from it (ASTRA-sim's endpoint delay and
//! cost of reduction) have their place in `Npu::complete_receive`, queues per dimension and phases in
//! `Npu::start_chunks`.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::sync::Arc;

use thiserror::Error;

use crate::network::message::{CommunicatorId, MessageKey, Rank};

use super::action::{Action, Input, MessageId, Nanos, NodeId, TimerId, Transfer};
use super::chunk::{ChunkRun, Side, Step};
use super::collective::{self, Layout, OpError, Region, Schedule};
use super::communicator::{Communicator, CommunicatorError};
use super::op::Op;
use super::tag::tag;

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
    source: ScheduleSource,
    communicators: BTreeMap<CommunicatorId, Member>,
    running: BTreeMap<NodeId, Running>,
    messages: BTreeMap<MessageId, Posted>,
    next_message: MessageId,
    actions: VecDeque<Action>,
    steps: Vec<Step>,
}

/// A communicator and how many operations it has carried.
#[derive(Debug)]
struct Member {
    communicator: Arc<Communicator>,
    operations: u64,
}

/// An operation in flight.
#[derive(Debug)]
struct Running {
    communicator: Arc<Communicator>,
    sequence: u64,
    schedules: Vec<Arc<dyn Schedule>>,
    layout: Arc<Layout>,
    chunks_in_flight: usize,
    next_chunk: u32,
    chunks: BTreeMap<u32, ChunkRun>,
}

/// A message handed to the backend.
#[derive(Debug)]
struct Posted {
    awaited: Awaited,
    chunk: u32,
    round: u32,
}

impl fmt::Debug for Npu {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Npu")
            .field("rank", &self.rank)
            .field("running", &self.running.keys())
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
        Npu {
            rank,
            source,
            communicators: BTreeMap::new(),
            running: BTreeMap::new(),
            messages: BTreeMap::new(),
            next_message: 0,
            actions: VecDeque::new(),
            steps: Vec::new(),
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
        self.communicators.insert(
            id,
            Member {
                communicator,
                operations: 0,
            },
        );
        Ok(())
    }

    /// Takes what happened at `now`.
    ///
    /// # Errors
    /// If it cannot have happened; nothing is changed then.
    pub fn handle(&mut self, input: Input, _now: Nanos) -> Result<(), HandleError> {
        match input {
            Input::Issue { node, op } => self.issue(node, &op),
            Input::Sent(message) => {
                let posted = self.take(message, Direction::Send)?;
                let run = self.chunk(posted.awaited.node, posted.chunk);
                run.sent(posted.awaited.bytes);
                self.advance(posted.awaited.node, posted.chunk);
                Ok(())
            }
            Input::Received(message) => {
                let posted = self.take(message, Direction::Receive)?;
                self.complete_receive(&posted);
                Ok(())
            }
            Input::TimerFired(timer) => Err(HandleError::UnknownTimer(timer)),
        }
    }

    /// What is to be done next; `None` until something else happens.
    pub fn poll_action(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    /// This rank.
    pub fn rank(&self) -> Rank {
        self.rank
    }

    /// A communicator of which this rank is a member.
    pub fn communicator(&self, id: CommunicatorId) -> Option<&Communicator> {
        self.communicators.get(&id).map(|member| &*member.communicator)
    }

    /// Whether nothing is in flight.
    pub fn is_idle(&self) -> bool {
        self.running.is_empty()
    }

    /// Messages that are not complete, oldest first: who waits for whom.
    pub fn waiting(&self) -> Vec<Awaited> {
        self.messages.values().map(|posted| posted.awaited).collect()
    }

    fn issue(&mut self, node: NodeId, op: &Op) -> Result<(), HandleError> {
        let unknown = HandleError::UnknownCommunicator {
            rank: self.rank,
            communicator: op.communicator,
        };
        let member = self.communicators.get_mut(&op.communicator).ok_or(unknown)?;
        if self.running.contains_key(&node) {
            return Err(HandleError::NodeInFlight(node));
        }
        let (n, position) = (member.communicator.size(), member.communicator.position());
        let running = Running {
            communicator: Arc::clone(&member.communicator),
            sequence: member.operations,
            schedules: (self.source)(op, n)?,
            layout: Arc::new(Layout::new(op, n, position)),
            chunks_in_flight: op.chunks_in_flight.max(1) as usize,
            next_chunk: 0,
            chunks: BTreeMap::new(),
        };
        member.operations += 1;
        self.running.insert(node, running);
        self.start_chunks(node);
        Ok(())
    }

    /// Removes a message that is complete.
    fn take(&mut self, message: MessageId, direction: Direction) -> Result<Posted, HandleError> {
        match self.messages.get(&message) {
            Some(posted) if posted.awaited.direction == direction => {}
            _ => return Err(HandleError::UnknownMessage(message)),
        }
        self.messages
            .remove(&message)
            .ok_or(HandleError::UnknownMessage(message))
    }

    fn complete_receive(&mut self, posted: &Posted) {
        self.chunk(posted.awaited.node, posted.chunk)
            .received(posted.round);
        self.advance(posted.awaited.node, posted.chunk);
    }

    fn running(&mut self, node: NodeId) -> &mut Running {
        self.running
            .get_mut(&node)
            .expect("an operation stays until all its messages are complete")
    }

    fn chunk(&mut self, node: NodeId, chunk: u32) -> &mut ChunkRun {
        let run = self.running(node).chunks.get_mut(&chunk);
        run.expect("a chunk stays until all its messages are complete")
    }

    /// Does what a chunk may do now; when it is complete, starts others or ends the operation.
    fn advance(&mut self, node: NodeId, chunk: u32) {
        if self.advance_chunk(node, chunk) {
            self.start_chunks(node);
        }
    }

    /// Fills the operation's places in flight; ends it when no chunk is left.
    fn start_chunks(&mut self, node: NodeId) {
        loop {
            let running = self.running(node);
            let chunk = running.next_chunk;
            if chunk == running.layout.chunks() {
                break;
            }
            if running.chunks.len() == running.chunks_in_flight {
                return;
            }
            running.next_chunk += 1;
            let schedule = &running.schedules[chunk as usize % running.schedules.len()];
            let position = running.communicator.position();
            let run = ChunkRun::new(Arc::clone(schedule), Arc::clone(&running.layout), chunk, position);
            running.chunks.insert(chunk, run);
            self.advance_chunk(node, chunk);
        }
        if self.running(node).chunks.is_empty() {
            self.running.remove(&node);
            self.actions.push_back(Action::Done(node));
        }
    }

    /// Does what a chunk may do now; true if it is complete (and gone).
    fn advance_chunk(&mut self, node: NodeId, chunk: u32) -> bool {
        let mut steps = std::mem::take(&mut self.steps);
        let run = self.chunk(node, chunk);
        run.advance(&mut steps);
        let complete = run.is_complete();
        for step in steps.drain(..) {
            self.post(node, chunk, step);
        }
        self.steps = steps;
        if complete {
            self.running(node).chunks.remove(&chunk);
        }
        complete
    }

    /// Hands a message to the backend.
    fn post(&mut self, node: NodeId, chunk: u32, step: Step) {
        let running = self.running(node);
        let communicator = &running.communicator;
        let key = MessageKey {
            communicator: communicator.id(),
            tag: tag(running.sequence, chunk, step.turn),
        };
        let peer = communicator.rank(step.peer);
        let region = Region::new(Arc::clone(&running.layout), step.cells, chunk);
        let message = self.next_message;
        self.next_message += 1;
        let transfer = Transfer {
            message,
            peer,
            key,
            channel: chunk,
            bytes: step.bytes,
            node,
            region,
        };
        let (direction, action) = match step.side {
            Side::Send => (Direction::Send, Action::Send(transfer)),
            Side::Receive(combine) => (Direction::Receive, Action::Receive(transfer, combine)),
        };
        let awaited = Awaited {
            direction,
            peer,
            key,
            bytes: step.bytes,
            node,
        };
        self.messages.insert(
            message,
            Posted {
                awaited,
                chunk,
                round: step.round,
            },
        );
        self.actions.push_back(action);
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
