//! Traces: a pass through a rank's graph is one iteration, and passes follow each other without a
//! barrier. Collectives, messages and timers are the machine's; lanes say what may begin.

use std::sync::Arc;

use super::{PlayError, Player, npu_error};
use crate::event::{NodeLabel, NodeTime};
use crate::network::message::Rank;
use crate::system::action::{Input, NodeId};
use crate::system::npu::{Awaited, Direction};
use crate::system::task::{Peer, Task};
use crate::testbed::clock::monotonic_ns;
use crate::workload::graph::{Lane, PeerWork};
use crate::workload::lanes::Lanes;
use crate::workload::trace::{Part, Recipe, Step};

/// Bits of a tag below the number of the iteration.
const TAG_BITS: u32 = 32;

/// One rank's part of a trace, and when its nodes were played.
#[derive(Debug)]
pub struct Played {
    recipe: Recipe,
    part: Arc<Part>,
    /// Iterations begun, warm-up included: names messages, so that no iteration takes another's.
    begun: u64,
    /// Of so many iterations, times are kept.
    recorded: u32,
    /// (iteration, start and end of each node).
    times: Vec<(u32, Vec<(u64, u64)>)>,
}

/// An iteration that is being played.
#[derive(Debug)]
pub struct Pass {
    part: Arc<Part>,
    first: NodeId,
}

impl Pass {
    /// What a rank that waits for these messages is doing, in words.
    pub fn describe(&self, awaited: &[Awaited]) -> Option<String> {
        let first = awaited.first()?;
        let node = self
            .part
            .graph
            .nodes()
            .get(first.node.checked_sub(self.first)? as usize)?;
        let way = match first.direction {
            Direction::Send => "to",
            Direction::Receive => "from",
        };
        let name = node.name.escape_debug();
        Some(format!(
            "node {} `{name}` ({} bytes {way} rank {})",
            node.id, first.bytes, first.peer
        ))
    }
}

impl Played {
    /// The nodes and, for each iteration that was recorded, their times since `origin_ns`.
    pub fn records(self, origin_ns: u64) -> (Vec<NodeLabel>, Vec<NodeTime>) {
        let mut times = Vec::new();
        for (iteration, nodes) in &self.times {
            times.extend(node_times(&self.part, u64::from(*iteration), nodes, origin_ns));
        }
        (labels(&self.part, &self.recipe), times)
    }
}

/// Times of one iteration's nodes; how long each had been ready follows from the ends of its parents.
pub fn node_times(part: &Part, iteration: u64, nodes: &[(u64, u64)], origin_ns: u64) -> Vec<NodeTime> {
    let begun = nodes.iter().map(|(start, _)| *start).filter(|start| *start > 0);
    let mut ready = vec![begun.min().unwrap_or(0); nodes.len()];
    for (node, (_, end)) in (0..).zip(nodes) {
        for &child in part.graph.children(node) {
            let ready = &mut ready[child as usize];
            *ready = (*ready).max(*end);
        }
    }
    let played = nodes.iter().zip(ready).enumerate();
    let played = played.filter(|(node, _)| part.steps[*node] != Step::Skip);
    let since = |at: u64| at.saturating_sub(origin_ns);
    played
        .map(|(node, ((start, end), ready))| {
            let wait = start.saturating_sub(ready);
            [iteration, node as u64, since(*start), since(*end), wait]
        })
        .collect()
}

/// Nodes for people.
fn labels(part: &Part, recipe: &Recipe) -> Vec<NodeLabel> {
    let members = |communicator| {
        let group = recipe
            .groups
            .iter()
            .find(|group| group.communicator == communicator);
        group.map_or(0, |group| group.ranks.len() as u32)
    };
    let nodes = part.graph.nodes().iter().zip(&part.steps);
    let label = nodes.map(|(node, step)| {
        let (kind, ranks, bytes) = match step {
            Step::Delay(_) => ("compute".into(), 1, 0),
            Step::Skip => ("none".into(), 1, 0),
            Step::Send(peer) => ("send".into(), 2, peer.bytes),
            Step::Receive(peer) => ("receive".into(), 2, peer.bytes),
            Step::Collective(op) => (op.collective.to_string(), members(op.communicator), op.bytes),
            Step::Modelled(op, _) => {
                let kind = format!("{} (scale-up)", op.collective);
                (kind, members(op.communicator), op.bytes)
            }
        };
        NodeLabel {
            id: node.id,
            name: node.name.to_string(),
            kind,
            lane: lane(node.lane).into(),
            ranks,
            bytes,
        }
    });
    label.collect()
}

fn lane(lane: Lane) -> &'static str {
    match lane {
        Lane::Cpu => "cpu",
        Lane::Gpu => "gpu",
        Lane::Comm => "comm",
        Lane::Free => "none",
    }
}

/// What the machine is told when a node begins.
pub fn input(node: NodeId, step: &Step, iteration: u64) -> Input {
    let peer = |work: &PeerWork| Peer {
        rank: work.rank,
        tag: u64::from(work.tag) | iteration << TAG_BITS,
        bytes: work.bytes,
    };
    let task = match step {
        Step::Collective(op) => {
            return Input::Issue { node, op: op.clone() };
        }
        Step::Delay(ns) | Step::Modelled(_, ns) => Task::Delay(*ns),
        Step::Skip => Task::Delay(0),
        Step::Send(work) => Task::Send(peer(work)),
        Step::Receive(work) => Task::Receive(peer(work)),
    };
    Input::Start { node, task }
}

impl Player {
    /// This rank's part of a row that is a trace.
    pub(super) fn load(&self, row: usize) -> Result<Option<Played>, PlayError> {
        let assignment = &self.assignment;
        let Some(trace) = &assignment.rows[row].trace else {
            return Ok(None);
        };
        let (rank, ranks): (Rank, u32) = (assignment.rank, assignment.ranks);
        Ok(Some(Played {
            part: Arc::new(trace.recipe.part(rank, ranks)?),
            recipe: trace.recipe.clone(),
            begun: 0,
            recorded: trace.recorded,
            times: Vec::new(),
        }))
    }

    /// Plays one iteration; `measured`: its number among those that are measured. Nothing is checked, so
    /// nothing is found wrong.
    pub(super) fn run_trace(&mut self, trace: &mut Played, measured: Option<u32>) -> Result<u64, PlayError> {
        let first = self.next_node;
        self.next_node += trace.part.steps.len() as u64;
        self.pass = Some(Pass {
            part: Arc::clone(&trace.part),
            first,
        });
        let mut times = vec![(0, 0); trace.part.steps.len()];
        let played = self.run_pass(trace, first, &mut times);
        if played.is_err() {
            self.publish_waiting();
        }
        trace.begun += 1;
        if let Some(iteration) = measured.filter(|iteration| *iteration < trace.recorded) {
            trace.times.push((iteration, times));
        }
        played.map(|()| 0)
    }

    fn run_pass(&mut self, trace: &Played, first: NodeId, times: &mut [(u64, u64)]) -> Result<(), PlayError> {
        let mut lanes = Lanes::new(Arc::clone(&trace.part), trace.recipe.lanes);
        let mut begin = Vec::new();
        loop {
            lanes.issue(&mut begin);
            for place in begin.drain(..) {
                let now = monotonic_ns();
                times[place as usize].0 = now;
                let step = &trace.part.steps[place as usize];
                let input = input(first + u64::from(place), step, trace.begun);
                self.npu.handle(input, now).map_err(npu_error)?;
            }
            self.act()?;
            let now = monotonic_ns();
            let mut moved = false;
            for done in std::mem::take(&mut self.done) {
                if let Some(place) = done.checked_sub(first) {
                    times[place as usize].1 = now;
                    lanes.finish(place as u32);
                    moved = true;
                }
            }
            if lanes.is_over() {
                return Ok(());
            }
            if !moved {
                self.wait()?;
            }
        }
    }
}
