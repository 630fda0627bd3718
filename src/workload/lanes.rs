//! What of a rank's part may begin now, when it is played in real time. No clock and no I/O. Unlike
//! [`super::feeder`], collectives of a communicator begin in the order of their numbers, on every rank
//! the same, and nodes without work hold nothing up.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use super::graph::Lane;
use super::trace::{LaneRule, Part, Step};
use crate::network::message::CommunicatorId;

/// A communicator's collectives, in order.
#[derive(Debug, Default)]
struct Stream {
    nodes: Vec<u32>,
    /// How many are over.
    over: usize,
}

/// Says what of a part may begin now.
#[derive(Debug)]
pub struct Lanes {
    part: Arc<Part>,
    rule: LaneRule,
    /// Parents that are not over, by node.
    open: Vec<u32>,
    /// Ready compute on the CPU and on the GPU, by turn.
    ready: [BTreeSet<(u64, u32)>; 2],
    busy: [bool; 2],
    turns: u64,
    streams: Vec<Stream>,
    /// Of each collective, its stream.
    stream_of: HashMap<u32, usize>,
    /// Ready sends, and ready collectives whose turn it is.
    comm: BTreeSet<u32>,
    comm_busy: bool,
    free: Vec<u32>,
    left: usize,
}

impl Lanes {
    /// At the start of a part.
    pub fn new(part: Arc<Part>, rule: LaneRule) -> Self {
        let mut streams: Vec<Stream> = Vec::new();
        let mut places: HashMap<CommunicatorId, usize> = HashMap::new();
        let mut stream_of = HashMap::new();
        for (node, step) in (0..).zip(&part.steps) {
            if let Step::Collective(op) | Step::Modelled(op, _) = step {
                let place = *places.entry(op.communicator).or_insert_with(|| {
                    streams.push(Stream::default());
                    streams.len() - 1
                });
                streams[place].nodes.push(node);
                stream_of.insert(node, place);
            }
        }
        let mut lanes = Lanes {
            open: part.graph.parents().to_vec(),
            left: part.steps.len(),
            part,
            rule,
            ready: Default::default(),
            busy: [false; 2],
            turns: 0,
            streams,
            stream_of,
            comm: BTreeSet::new(),
            comm_busy: false,
            free: Vec::new(),
        };
        for node in 0..lanes.open.len() as u32 {
            if lanes.part.graph.parents()[node as usize] == 0 {
                lanes.add(node);
            }
        }
        lanes
    }

    /// Whether every node is over.
    pub fn is_over(&self) -> bool {
        self.left == 0
    }

    /// Adds the nodes that begin now, in order. Those without work ([`Step::Skip`]) never begin: they
    /// are over as soon as they are ready.
    pub fn issue(&mut self, begin: &mut Vec<u32>) {
        begin.append(&mut self.free);
        for slot in 0..2 {
            if !self.busy[slot]
                && let Some((_, node)) = self.ready[slot].pop_first()
            {
                self.busy[slot] = true;
                begin.push(node);
            }
        }
        match self.rule {
            LaneRule::Streams => begin.extend(std::mem::take(&mut self.comm)),
            LaneRule::Astra if !self.comm_busy => {
                if let Some(node) = self.comm.pop_first() {
                    self.comm_busy = true;
                    begin.push(node);
                }
            }
            LaneRule::Astra => {}
        }
    }

    /// A node that had begun is over.
    pub fn finish(&mut self, node: u32) {
        match self.slot(node) {
            Slot::Compute(slot) => self.busy[slot] = false,
            Slot::Comm => self.comm_busy = false,
            Slot::Free => {}
        }
        if let Some(&place) = self.stream_of.get(&node) {
            let stream = &mut self.streams[place];
            stream.over += 1;
            if let Some(&next) = stream.nodes.get(stream.over)
                && self.open[next as usize] == 0
            {
                self.comm.insert(next);
            }
        }
        self.over(node);
    }

    /// Nodes that are over set their children free.
    fn over(&mut self, node: u32) {
        let part = Arc::clone(&self.part);
        self.left -= 1;
        for &child in part.graph.children(node) {
            self.open[child as usize] -= 1;
            if self.open[child as usize] == 0 {
                self.add(child);
            }
        }
    }

    /// A node is ready. Chains of nodes without work are followed by a list, not by the stack.
    fn add(&mut self, node: u32) {
        let part = Arc::clone(&self.part);
        let mut ready = vec![node];
        while let Some(node) = ready.pop() {
            if part.steps[node as usize] != Step::Skip {
                self.enqueue(node);
                continue;
            }
            self.left -= 1;
            for &child in part.graph.children(node) {
                self.open[child as usize] -= 1;
                if self.open[child as usize] == 0 {
                    ready.push(child);
                }
            }
        }
    }

    fn enqueue(&mut self, node: u32) {
        match self.slot(node) {
            Slot::Compute(slot) => {
                let turn = match self.rule {
                    LaneRule::Streams => self.turns,
                    LaneRule::Astra => 0,
                };
                self.turns += 1;
                self.ready[slot].insert((turn, node));
            }
            Slot::Comm => match self.stream_of.get(&node) {
                Some(&place) => {
                    let stream = &self.streams[place];
                    if stream.nodes[stream.over] == node {
                        self.comm.insert(node);
                    }
                }
                None => {
                    self.comm.insert(node);
                }
            },
            Slot::Free => self.free.push(node),
        }
    }

    fn slot(&self, node: u32) -> Slot {
        match (
            &self.part.steps[node as usize],
            self.part.graph.nodes()[node as usize].lane,
        ) {
            (Step::Collective(_) | Step::Modelled(..) | Step::Send(_), _) => Slot::Comm,
            (_, Lane::Cpu) => Slot::Compute(0),
            (_, Lane::Gpu) => Slot::Compute(1),
            _ => Slot::Free,
        }
    }
}

enum Slot {
    Compute(usize),
    Comm,
    Free,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::system::op::{Algorithm, Collective, Op};
    use crate::workload::chakra::{Node, NodeKind};
    use crate::workload::graph::{Graph, PeerWork, Rules};

    /// Nodes numbered from 0: what they do, of what lane, after which others.
    fn part(nodes: &[(Step, NodeKind, &[u64])]) -> Arc<Part> {
        let rules = Rules {
            npus: 4,
            replay_only: true,
            ..Rules::default()
        };
        let chakra = nodes.iter().zip(0..).map(|((_, kind, deps), id)| {
            let mut node = Node::new(id, format!("n{id}"), *kind);
            node.data_deps = deps.to_vec();
            node
        });
        Arc::new(Part {
            graph: Graph::new(0, chakra.collect(), &rules).unwrap(),
            steps: nodes.iter().map(|(step, ..)| step.clone()).collect(),
        })
    }

    fn compute(deps: &[u64]) -> (Step, NodeKind, &[u64]) {
        (Step::Delay(1), NodeKind::Comp, deps)
    }

    fn collective(communicator: u32, deps: &[u64]) -> (Step, NodeKind, &[u64]) {
        let op = Op {
            communicator,
            ..Op::new(Collective::AllReduce, Algorithm::Ring, 8)
        };
        (Step::Collective(op), NodeKind::CommColl, deps)
    }

    fn send(deps: &[u64]) -> (Step, NodeKind, &[u64]) {
        let peer = PeerWork {
            rank: 1,
            tag: 0,
            bytes: 8,
        };
        (Step::Send(peer), NodeKind::CommSend, deps)
    }

    fn issue(lanes: &mut Lanes) -> Vec<u32> {
        let mut begin = Vec::new();
        lanes.issue(&mut begin);
        begin.sort_unstable();
        begin
    }

    #[test]
    fn communicators_run_side_by_side_and_each_in_order() {
        // Node 1 is of the same communicator as node 0; node 2 of another.
        let nodes = [collective(1, &[]), collective(1, &[]), collective(2, &[])];
        let mut lanes = Lanes::new(part(&nodes), LaneRule::Streams);
        assert_eq!(issue(&mut lanes), [0, 2]);
        lanes.finish(2);
        assert_eq!(issue(&mut lanes), [0; 0]);
        lanes.finish(0);
        assert_eq!(issue(&mut lanes), [1]);
    }

    #[test]
    fn a_later_collective_that_is_ready_first_waits_for_its_turn() {
        // Node 1 waits for the compute of node 0, node 2 for nothing: other ranks may see it the other
        // way round, so both go in the order of their numbers.
        let nodes = [compute(&[]), collective(1, &[0]), collective(1, &[])];
        for rule in [LaneRule::Streams, LaneRule::Astra] {
            let mut lanes = Lanes::new(part(&nodes), rule);
            assert_eq!(issue(&mut lanes), [0], "{rule:?}");
            lanes.finish(0);
            assert_eq!(issue(&mut lanes), [1]);
            lanes.finish(1);
            assert_eq!(issue(&mut lanes), [2]);
            lanes.finish(2);
            assert!(lanes.is_over());
        }
    }

    #[test]
    fn computes_go_one_at_a_time_as_they_become_ready_or_by_number() {
        // After node 0, node 3 is ready before node 2, which waits for node 1 as well.
        let nodes = [compute(&[]), send(&[]), compute(&[1]), compute(&[]), compute(&[])];
        let mut lanes = Lanes::new(part(&nodes), LaneRule::Streams);
        assert_eq!(issue(&mut lanes), [0, 1]);
        lanes.finish(1);
        lanes.finish(0);
        assert_eq!(issue(&mut lanes), [3], "ready since the beginning");
        lanes.finish(3);
        assert_eq!(issue(&mut lanes), [4]);
        lanes.finish(4);
        assert_eq!(issue(&mut lanes), [2]);
        let mut lanes = Lanes::new(part(&nodes), LaneRule::Astra);
        assert_eq!(issue(&mut lanes), [0, 1]);
        lanes.finish(1);
        lanes.finish(0);
        assert_eq!(issue(&mut lanes), [2], "the smallest number");
    }

    #[test]
    fn astra_has_one_slot_for_collectives_and_sends() {
        let nodes = [send(&[]), collective(1, &[]), collective(2, &[]), send(&[])];
        let mut lanes = Lanes::new(part(&nodes), LaneRule::Astra);
        for node in 0..4 {
            assert_eq!(issue(&mut lanes), [node]);
            lanes.finish(node);
        }
        let mut lanes = Lanes::new(part(&nodes), LaneRule::Streams);
        assert_eq!(issue(&mut lanes), [0, 1, 2, 3]);
    }

    #[test]
    fn nodes_without_work_hold_nothing_up() {
        fn skip(deps: &[u64]) -> (Step, NodeKind, &[u64]) {
            (Step::Skip, NodeKind::Invalid, deps)
        }
        let nodes = [skip(&[]), skip(&[0]), compute(&[1]), skip(&[2])];
        let mut lanes = Lanes::new(part(&nodes), LaneRule::Streams);
        assert_eq!(issue(&mut lanes), [2]);
        lanes.finish(2);
        assert!(lanes.is_over());
    }
}
