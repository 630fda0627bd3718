//! What of a graph may begin now. No clock and no I/O: it is told what is over and says what is ready.
//! Which ready nodes may run side by side is a policy; [`Slots`] is ASTRA-sim's.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::Arc;

use super::graph::{Graph, Lane, Work};

/// Which ready nodes may run side by side.
pub trait Policy {
    /// Whether a node of this lane may begin.
    fn has_room(&self, lane: Lane) -> bool;
    /// One begins.
    fn occupy(&mut self, lane: Lane);
    /// One is over.
    fn release(&mut self, lane: Lane);
}

/// One node each on the CPU, the GPU's compute and its communication; receives as many as are ready
/// (ASTRA-sim, `HardwareResource.cc`).
#[derive(Debug, Clone, Copy, Default)]
pub struct Slots {
    taken: [bool; 3],
}

fn slot(lane: Lane) -> Option<usize> {
    match lane {
        Lane::Cpu => Some(0),
        Lane::Gpu => Some(1),
        Lane::Comm => Some(2),
        Lane::Free => None,
    }
}

impl Policy for Slots {
    fn has_room(&self, lane: Lane) -> bool {
        slot(lane).is_none_or(|slot| !self.taken[slot])
    }

    fn occupy(&mut self, lane: Lane) {
        if let Some(slot) = slot(lane) {
            self.taken[slot] = true;
        }
    }

    fn release(&mut self, lane: Lane) {
        if let Some(slot) = slot(lane) {
            self.taken[slot] = false;
        }
    }
}

/// Says what of a graph may begin now.
#[derive(Debug)]
pub struct Feeder<P = Slots> {
    graph: Arc<Graph>,
    policy: P,
    /// Parents that are not over, by node.
    open: Vec<u32>,
    /// Ready nodes by lane, the smallest number first.
    ready: [BinaryHeap<Reverse<u32>>; 4],
    running: usize,
    left: usize,
    /// Nodes without work whose children had to wait for nothing else (ASTRA-sim hangs there).
    pub stalls: u64,
}

impl<P: Policy> Feeder<P> {
    /// At the start of a graph.
    pub fn new(graph: Arc<Graph>, policy: P) -> Self {
        let mut feeder = Feeder {
            open: graph.parents().to_vec(),
            ready: Default::default(),
            running: 0,
            left: graph.nodes().len(),
            stalls: 0,
            policy,
            graph,
        };
        for node in 0..feeder.open.len() as u32 {
            if feeder.open[node as usize] == 0 {
                feeder.add(node);
            }
        }
        feeder
    }

    /// The graph.
    pub fn graph(&self) -> &Graph {
        &self.graph
    }

    /// The graph, for others to keep.
    pub fn shared_graph(&self) -> Arc<Graph> {
        Arc::clone(&self.graph)
    }

    /// Whether every node is over.
    pub fn is_over(&self) -> bool {
        self.left == 0
    }

    /// Adds to `begin` the nodes that begin now, in order, and to `skipped` those that are over at once.
    ///
    /// As in ASTRA-sim, what a node without work sets free is not looked at until something else is
    /// over; if nothing else runs, it begins at once.
    pub fn issue(&mut self, begin: &mut Vec<u32>, skipped: &mut Vec<u32>) {
        loop {
            let mut freed = Vec::new();
            while let Some(node) = self.take() {
                let lane = self.lane(node);
                if self.graph.nodes()[node as usize].work == Work::Skip {
                    self.left -= 1;
                    skipped.push(node);
                    self.free_children(node, &mut freed);
                } else {
                    self.policy.occupy(lane);
                    self.running += 1;
                    begin.push(node);
                }
            }
            let stalled = self.running == 0 && !freed.is_empty();
            freed.into_iter().for_each(|node| self.add(node));
            if !stalled {
                return;
            }
            self.stalls += 1;
        }
    }

    /// A node that had begun is over.
    pub fn finish(&mut self, node: u32) {
        self.policy.release(self.lane(node));
        self.running -= 1;
        self.left -= 1;
        let mut freed = Vec::new();
        self.free_children(node, &mut freed);
        freed.into_iter().for_each(|node| self.add(node));
    }

    /// The ready node with the smallest number that has room.
    fn take(&mut self) -> Option<u32> {
        let lanes = [Lane::Cpu, Lane::Gpu, Lane::Comm, Lane::Free];
        let first = |lane: Lane| self.ready[lane as usize].peek().map(|node| (node.0, lane));
        let open = lanes.into_iter().filter(|&lane| self.policy.has_room(lane));
        let (_, lane) = open.filter_map(first).min_by_key(|&(node, _)| node)?;
        self.ready[lane as usize].pop().map(|node| node.0)
    }

    fn lane(&self, node: u32) -> Lane {
        self.graph.nodes()[node as usize].lane
    }

    fn add(&mut self, node: u32) {
        let lane = self.lane(node);
        self.ready[lane as usize].push(Reverse(node));
    }

    fn free_children(&mut self, node: u32, freed: &mut Vec<u32>) {
        for &child in self.graph.children(node) {
            self.open[child as usize] -= 1;
            if self.open[child as usize] == 0 {
                freed.push(child);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workload::chakra::{Node, NodeKind};
    use crate::workload::graph::Rules;

    fn feeder(nodes: Vec<Node>) -> Feeder {
        let rules = Rules {
            npus: 2,
            replay_only: true,
            ..Rules::default()
        };
        Feeder::new(Arc::new(Graph::new(0, nodes, &rules).unwrap()), Slots::default())
    }

    fn issue(feeder: &mut Feeder) -> Vec<u32> {
        let mut begin = Vec::new();
        feeder.issue(&mut begin, &mut Vec::new());
        begin
    }

    #[test]
    fn one_of_each_kind_runs_and_receives_run_freely() {
        let kinds = [
            NodeKind::CommColl,
            NodeKind::Comp,
            NodeKind::CommSend,
            NodeKind::CommRecv,
            NodeKind::Comp,
            NodeKind::CommRecv,
        ];
        let nodes = (0..)
            .zip(kinds)
            .map(|(id, kind)| Node::new(id, "n", kind))
            .collect();
        let mut feeder = feeder(nodes);
        assert_eq!(issue(&mut feeder), [0, 1, 3, 5]);
        feeder.finish(3);
        assert_eq!(issue(&mut feeder), [0; 0]);
        feeder.finish(1);
        feeder.finish(0);
        assert_eq!(issue(&mut feeder), [2, 4]);
        for node in [2, 4, 5] {
            feeder.finish(node);
        }
        assert!(feeder.is_over());
    }

    #[test]
    fn children_of_nothing_wait_for_something_else_to_end() {
        let mut child = Node::new(2, "child", NodeKind::Comp);
        child.data_deps = vec![0];
        let nothing = Node::new(0, "nothing", NodeKind::Invalid);
        let rules = Rules {
            npus: 2,
            ..Rules::default()
        };
        let send = Node::new(1, "other", NodeKind::MemLoad).with("tensor_size", 8);
        let graph = |nodes| Arc::new(Graph::new(0, nodes, &rules).unwrap());
        let mut waits = Feeder::new(
            graph(vec![nothing.clone(), send, child.clone()]),
            Slots::default(),
        );
        assert_eq!(issue(&mut waits), [1]);
        waits.finish(1);
        assert_eq!(issue(&mut waits), [2]);
        let mut alone = Feeder::new(graph(vec![nothing, child]), Slots::default());
        assert_eq!(issue(&mut alone), [1], "ASTRA-sim would wait for ever");
        assert_eq!(alone.stalls, 1);
    }
}
