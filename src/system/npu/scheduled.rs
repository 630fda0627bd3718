//! Operations of genie's own: chunks that run their schedules by themselves, so many at a time.

use std::sync::Arc;

use crate::network::message::MessageKey;

use super::message::{Envelope, Owner, PostedSide};
use super::phased::PhasedChunk;
use super::{HandleError, Npu};
use crate::system::action::NodeId;
use crate::system::chunk::{ChunkRun, Side, Step};
use crate::system::collective::{Layout, Region, Schedule};
use crate::system::communicator::Communicator;
use crate::system::op::Op;
use crate::system::tag::tag;

/// A communicator and how many operations it has carried.
#[derive(Debug)]
pub(super) struct Member {
    communicator: Arc<Communicator>,
    operations: u64,
}

impl Member {
    pub(super) fn new(communicator: Arc<Communicator>) -> Self {
        Member {
            communicator,
            operations: 0,
        }
    }

    pub(super) fn communicator(&self) -> &Communicator {
        &self.communicator
    }
}

/// An operation in flight.
#[derive(Debug)]
pub(super) struct Running {
    pub node: NodeId,
    pub work: Work,
}

/// What an operation in flight is made of.
#[derive(Debug)]
pub(super) enum Work {
    /// Chunks that run schedules.
    Scheduled(Box<Scheduled>),
    /// Chunks that go through phases.
    Phased(super::phased::Phased),
    /// A message or a delay.
    Single,
    /// A transfer from or to remote memory.
    Memory,
}

/// Chunks that run schedules.
#[derive(Debug)]
pub(super) struct Scheduled {
    communicator: Arc<Communicator>,
    sequence: u64,
    schedules: Vec<Arc<dyn Schedule>>,
    layout: Arc<Layout>,
    chunks_in_flight: usize,
    sends_in_flight: u32,
    next_chunk: u32,
    in_flight: usize,
}

/// A chunk in flight.
#[derive(Debug)]
pub(super) enum Chunk {
    /// Of which operation, which one, and its run.
    Scheduled(u64, u32, Box<ChunkRun>),
    Phased(PhasedChunk),
}

const KEPT: &str = "an operation and its chunks stay until all their messages are complete";

impl Npu {
    pub(super) fn issue(&mut self, node: NodeId, op: &Op) -> Result<(), HandleError> {
        let unknown = HandleError::UnknownCommunicator {
            rank: self.rank,
            communicator: op.communicator,
        };
        let member = self.communicators.get_mut(&op.communicator).ok_or(unknown)?;
        if self.nodes.contains_key(&node) {
            return Err(HandleError::NodeInFlight(node));
        }
        let (n, position) = (member.communicator.size(), member.communicator.position());
        let scheduled = Scheduled {
            communicator: Arc::clone(&member.communicator),
            sequence: member.operations,
            schedules: (self.source)(op, n)?,
            layout: Arc::new(Layout::new(op, n, position)),
            chunks_in_flight: op.chunks_in_flight.max(1) as usize,
            sends_in_flight: op.sends_in_flight.max(1),
            next_chunk: 0,
            in_flight: 0,
        };
        member.operations += 1;
        let work = Work::Scheduled(Box::new(scheduled));
        let operation = self.admit(node, Running { node, work })?;
        self.start_chunks(operation);
        Ok(())
    }

    /// A send of a chunk is over.
    pub(super) fn chunk_sent(&mut self, chunk: u64, round: u32, bytes: u64) {
        match self.chunks.get_mut(chunk) {
            Some(Chunk::Scheduled(_, _, run)) => {
                run.sent(bytes);
                self.advance(chunk);
            }
            Some(Chunk::Phased(_)) => self.phase_over(chunk, round),
            None => {}
        }
    }

    /// A receive of a chunk is over.
    pub(super) fn chunk_received(&mut self, chunk: u64, round: u32) {
        match self.chunks.get_mut(chunk) {
            Some(Chunk::Scheduled(_, _, run)) => {
                run.received(round);
                self.advance(chunk);
            }
            Some(Chunk::Phased(_)) => self.phase_over(chunk, round),
            None => {}
        }
    }

    fn scheduled(&mut self, operation: u64) -> &mut Scheduled {
        match self.running.get_mut(operation).map(|running| &mut running.work) {
            Some(Work::Scheduled(scheduled)) => scheduled,
            _ => unreachable!("{KEPT}"),
        }
    }

    /// Does what a chunk may do now; when it is complete, starts others or ends the operation.
    fn advance(&mut self, chunk: u64) {
        if let Some(operation) = self.advance_chunk(chunk) {
            self.start_chunks(operation);
        }
    }

    /// Fills the operation's places in flight; ends it when no chunk is left.
    fn start_chunks(&mut self, operation: u64) {
        loop {
            let scheduled = self.scheduled(operation);
            let chunk = scheduled.next_chunk;
            if chunk == scheduled.layout.chunks() {
                break;
            }
            if scheduled.in_flight == scheduled.chunks_in_flight {
                return;
            }
            scheduled.next_chunk += 1;
            scheduled.in_flight += 1;
            let schedule = &scheduled.schedules[chunk as usize % scheduled.schedules.len()];
            let position = scheduled.communicator.position();
            let run = ChunkRun::new(
                Arc::clone(schedule),
                Arc::clone(&scheduled.layout),
                chunk,
                position,
                scheduled.sends_in_flight,
            );
            let key = self
                .chunks
                .insert(Chunk::Scheduled(operation, chunk, Box::new(run)));
            self.advance_chunk(key);
        }
        if self.scheduled(operation).in_flight == 0 {
            self.done(operation);
        }
    }

    /// Does what a chunk may do now; its operation, if it is complete (and gone).
    fn advance_chunk(&mut self, key: u64) -> Option<u64> {
        let mut steps = std::mem::take(&mut self.buffers.steps);
        let Some(Chunk::Scheduled(operation, chunk, run)) = self.chunks.get_mut(key) else {
            unreachable!("{KEPT}")
        };
        let (operation, chunk) = (*operation, *chunk);
        run.advance(&mut steps);
        let complete = run.is_complete();
        for step in steps.drain(..) {
            self.post_step(operation, (key, chunk), step);
        }
        self.buffers.steps = steps;
        if complete {
            self.chunks.remove(key);
            self.scheduled(operation).in_flight -= 1;
        }
        complete.then_some(operation)
    }

    /// Hands a message of a chunk (its key and number) to the backend.
    fn post_step(&mut self, operation: u64, (key, chunk): (u64, u32), step: Step) {
        let node = self.running.get(operation).map_or(0, |running| running.node);
        let scheduled = self.scheduled(operation);
        let communicator = &scheduled.communicator;
        let envelope = Envelope {
            peer: communicator.rank(step.peer),
            key: MessageKey {
                communicator: communicator.id(),
                tag: tag(scheduled.sequence, chunk, step.turn),
            },
            bytes: step.bytes,
            node,
        };
        let region = Region::new(Arc::clone(&scheduled.layout), step.cells, chunk);
        let owner = Owner::Chunk(key, step.round);
        let side = match step.side {
            Side::Send => PostedSide::Send(owner),
            Side::Receive(combine) => PostedSide::Receive(combine, owner),
        };
        self.post(envelope, chunk, region, side);
    }
}
