//! A trace played in thought: every rank's lanes with times of compute and the plan's times of
//! collectives, each by itself. Finds out who would wait for ever, and how long an iteration must take.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, VecDeque};
use std::sync::Arc;

use crate::network::message::{CommunicatorId, Rank};
use crate::system::op::Op;
use crate::workload::lanes::Lanes;
use crate::workload::trace::{LaneRule, Part, Step};

/// So many nodes that wait for ever are named.
const NAMED: usize = 4;

/// How long things take, ns.
pub trait Times {
    /// A collective once all members have come.
    fn collective(&self, op: &Op) -> u64;
    /// A message between two ranks.
    fn message(&self, from: Rank, to: Rank, bytes: u64) -> u64;
    /// Ranks of a communicator.
    fn members(&self, communicator: CommunicatorId) -> usize;
}

/// Plays one iteration; gives its time in ns.
///
/// # Errors
/// Names nodes that wait for ever.
pub fn rehearse(parts: &[Arc<Part>], rule: LaneRule, times: &dyn Times) -> Result<u64, String> {
    let mut stage = Stage {
        parts,
        times,
        lanes: parts
            .iter()
            .map(|part| Lanes::new(Arc::clone(part), rule))
            .collect(),
        begun: parts.iter().map(|part| vec![false; part.steps.len()]).collect(),
        ends: BinaryHeap::new(),
        meetings: HashMap::new(),
        turns: HashMap::new(),
        sent: HashMap::new(),
        awaited: HashMap::new(),
    };
    for rank in 0..parts.len() as Rank {
        stage.issue(rank, 0);
    }
    let mut now = 0;
    while let Some(Reverse((at, rank, node))) = stage.ends.pop() {
        now = at;
        stage.begun[rank as usize][node as usize] = false;
        stage.lanes[rank as usize].finish(node);
        stage.issue(rank, now);
    }
    match stage.lanes.iter().all(Lanes::is_over) {
        true => Ok(now),
        false => Err(stage.stuck()),
    }
}

/// One end of a message: source, destination, tag.
type Pair = (Rank, Rank, u32);

struct Stage<'a> {
    parts: &'a [Arc<Part>],
    times: &'a dyn Times,
    lanes: Vec<Lanes>,
    /// Nodes that have begun and are not over.
    begun: Vec<Vec<bool>>,
    ends: BinaryHeap<Reverse<(u64, Rank, u32)>>,
    /// Who has come to the how many-th collective of a communicator.
    meetings: HashMap<(CommunicatorId, u64), Vec<(Rank, u32)>>,
    /// How many collectives of a communicator a rank has come to.
    turns: HashMap<(CommunicatorId, Rank), u64>,
    /// When messages arrive that nobody has asked for yet.
    sent: HashMap<Pair, VecDeque<u64>>,
    /// Receives without a message.
    awaited: HashMap<Pair, VecDeque<u32>>,
}

impl Stage<'_> {
    fn issue(&mut self, rank: Rank, now: u64) {
        let mut begin = Vec::new();
        self.lanes[rank as usize].issue(&mut begin);
        for node in begin {
            self.begun[rank as usize][node as usize] = true;
            self.begin(rank, node, now);
        }
    }

    fn begin(&mut self, rank: Rank, node: u32, now: u64) {
        let parts = self.parts;
        match &parts[rank as usize].steps[node as usize] {
            Step::Delay(ns) | Step::Modelled(_, ns) => self.end(now.saturating_add(*ns), rank, node),
            Step::Skip => self.end(now, rank, node),
            Step::Collective(op) => self.meet(op, rank, node, now),
            Step::Send(peer) => {
                let arrives = now.saturating_add(self.times.message(rank, peer.rank, peer.bytes));
                self.end(arrives, rank, node);
                let pair = (rank, peer.rank, peer.tag);
                match self.awaited.get_mut(&pair).and_then(VecDeque::pop_front) {
                    Some(receive) => self.end(arrives, peer.rank, receive),
                    None => self.sent.entry(pair).or_default().push_back(arrives),
                }
            }
            Step::Receive(peer) => {
                let pair = (peer.rank, rank, peer.tag);
                match self.sent.get_mut(&pair).and_then(VecDeque::pop_front) {
                    Some(arrives) => self.end(arrives.max(now), rank, node),
                    None => self.awaited.entry(pair).or_default().push_back(node),
                }
            }
        }
    }

    fn meet(&mut self, op: &Op, rank: Rank, node: u32, now: u64) {
        let turn = self.turns.entry((op.communicator, rank)).or_default();
        let key = (op.communicator, *turn);
        *turn += 1;
        let present = self.meetings.entry(key).or_default();
        present.push((rank, node));
        if present.len() == self.times.members(op.communicator) {
            let members = self.meetings.remove(&key).unwrap_or_default();
            let end = now.saturating_add(self.times.collective(op));
            for (rank, node) in members {
                self.end(end, rank, node);
            }
        }
    }

    fn end(&mut self, at: u64, rank: Rank, node: u32) {
        self.ends.push(Reverse((at, rank, node)));
    }

    fn stuck(&self) -> String {
        let mut names = Vec::new();
        for (rank, begun) in self.begun.iter().enumerate() {
            let nodes = begun.iter().enumerate().filter(|(_, begun)| **begun);
            names.extend(nodes.take(1).map(|(node, _)| {
                let part = &self.parts[rank];
                let graph_node = &part.graph.nodes()[node];
                let what = match &part.steps[node] {
                    Step::Collective(op) => format!("the other members of its {}", op.collective),
                    Step::Receive(peer) => format!("a send of rank {}, tag {}", peer.rank, peer.tag),
                    _ => "something that never ends".into(),
                };
                let name = graph_node.name.escape_debug();
                format!("rank {rank}, node {} `{name}`: {what}", graph_node.id)
            }));
        }
        let idle = "no node may begin: collectives of a group go in the order of their numbers, and one waits for a later one";
        match names.is_empty() {
            true => idle.into(),
            false => {
                let more = names.len() > NAMED;
                names.truncate(NAMED);
                names.join("; ") + if more { "; ..." } else { "" }
            }
        }
    }
}
