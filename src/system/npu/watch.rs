//! What a machine tells of its inside when somebody watches: phases of chunks as they begin and end,
//! and what its timers settle. Nothing is kept, and nothing else changes, when nobody does.

use super::phased::TimerKind;
use super::scheduled::{Chunk, Work};
use super::{Nanos, NodeId, Npu, TimerId};
use crate::network::message::CommunicatorId;
use crate::system::op::Collective;

/// A chunk begins or ends a phase.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PhaseEvent {
    /// The node of the collective.
    pub node: NodeId,
    /// Which of its chunks.
    pub chunk: u32,
    /// Which of its phases, from 0.
    pub phase: u32,
    /// The dimension in whose queues it waits (0 for groups smaller than all ranks).
    pub dimension: u32,
    /// Which queue of the dimension.
    pub queue: u32,
    /// What the phase carries out.
    pub collective: Collective,
    /// Bytes of the chunk that enter it; 0: a custom algorithm's, unknown.
    pub bytes: u64,
    /// It begins (true) or ends.
    pub begins: bool,
    /// When, ns.
    pub at: Nanos,
}

/// What passes through an endpoint while a timer runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Settling {
    /// A message or step of this node's.
    Node(NodeId),
    /// Any of the rank's: they share a bus.
    Bus,
}

impl Npu {
    /// Keeps phases from now on, for [`Npu::take_phases`].
    pub fn watch_phases(&mut self) {
        self.phased.watched.get_or_insert_default();
    }

    /// Phases that have begun or ended since the last time, in order.
    pub fn take_phases(&mut self, into: &mut Vec<PhaseEvent>) {
        if let Some(watched) = &mut self.phased.watched {
            into.append(watched);
        }
    }

    /// The node whose custom algorithm a node's collective of a group takes, if it begins now.
    pub fn planned(&self, node: NodeId, group: CommunicatorId, collective: Collective) -> NodeId {
        self.phased.planned(node, group, collective)
    }

    /// What a timer settles; `None` if it is no endpoint's.
    pub fn settling(&self, timer: TimerId) -> Option<Settling> {
        let (kind, key) = TimerKind::split(timer)?;
        let chunk = match kind {
            TimerKind::Bus => return Some(Settling::Bus),
            TimerKind::Delay => return None,
            TimerKind::Step => self.phased.chunk_of_step(key)?,
            TimerKind::Settled | TimerKind::SettledUnreduced => key,
        };
        let Chunk::Phased(chunk) = self.chunks.get(chunk)? else {
            return None;
        };
        let running = self.running.get(chunk.operation())?;
        Some(Settling::Node(running.node))
    }

    /// Keeps that a chunk begins or ends its phase.
    pub(super) fn note_phase(&mut self, key: u64, begins: bool) {
        let Some(watched) = &mut self.phased.watched else {
            return;
        };
        let Some(Chunk::Phased(chunk)) = self.chunks.get(key) else {
            return;
        };
        let Some(running) = self.running.get(chunk.operation()) else {
            return;
        };
        let Work::Phased(work) = &running.work else { return };
        let mut event = chunk.event(running.node, work, begins, self.now);
        event.queue -= event.dimension * self.phased.setup.queues;
        watched.push(event);
    }
}
