//! What a rank executes: Chakra nodes as typed work, by the rules of ASTRA-sim's workload layer
//! (`Workload.cc`), with dependencies checked.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};

use thiserror::Error;

use crate::network::message::{CommunicatorId, Rank};
use crate::system::op::Collective;

use super::chakra::attributes::{
    AttributeError, COMM_DST, COMM_PRIORITY, COMM_SIZE, COMM_SRC, COMM_TAG, NUM_OPS, TENSOR_SIZE,
};
use super::chakra::{CollectiveType, Node, NodeKind};
use super::compute::{Estimate, Roofline};

/// Most bytes of a node: an exbibyte.
const MOST_BYTES: u64 = 1 << 60;

/// The dimensions that take part in a collective without `involved_dim`: ASTRA-sim names four, whatever
/// the network has, and reads zeros for the others (`Workload::issue_coll_comm`).
pub const FIRST_FOUR: u64 = 0b1111;

/// What a node does.
#[derive(Debug, Clone, PartialEq)]
pub enum Work {
    /// Takes so many nanoseconds.
    Delay(u64),
    /// Computes by the roofline.
    Compute(Estimate),
    /// Takes part in a collective.
    Collective(CollectiveWork),
    /// Sends to a rank.
    Send(PeerWork),
    /// Receives from a rank.
    Receive(PeerWork),
    /// Moves so many bytes from or to remote memory.
    Memory(u64),
    /// Nothing; those that wait for it go on when something else is over.
    Skip,
}

/// A collective.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CollectiveWork {
    /// Which.
    pub collective: Collective,
    /// Over whom; 0: all ranks.
    pub group: CommunicatorId,
    /// Bytes, in ASTRA-sim's convention (an all-gather's are one rank's contribution).
    pub bytes: u64,
    /// Bit d: dimension d takes part.
    pub dimensions: u64,
    /// Higher first, under the policy EXPLICIT.
    pub priority: u32,
    /// Position of the root, for collectives that have one.
    pub root: u32,
}

/// A message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PeerWork {
    /// The other rank.
    pub rank: Rank,
    /// Tag.
    pub tag: u32,
    /// Payload length.
    pub bytes: u64,
}

/// What a node occupies while it runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lane {
    /// The CPU.
    Cpu,
    /// The GPU's compute.
    Gpu,
    /// The GPU's communication (memory and nodes without work, too).
    Comm,
    /// Nothing: receives.
    Free,
}

/// What a node counts as in statistics.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Class {
    /// Compute on the CPU.
    Cpu,
    /// Compute on the GPU.
    Gpu,
    /// Communication.
    Comm,
    /// Remote memory.
    Memory,
    /// Nothing that anyone knows.
    Other,
}

/// A node.
#[derive(Debug, Clone, PartialEq)]
pub struct GraphNode {
    /// Its number in the trace.
    pub id: u64,
    /// Its name there.
    pub name: Box<str>,
    /// What it does.
    pub work: Work,
    /// What it occupies.
    pub lane: Lane,
    /// What it counts as.
    pub class: Class,
}

/// How nodes are read.
#[derive(Debug, Clone, Default)]
pub struct Rules {
    /// Every node takes its recorded duration, and nothing else.
    pub replay_only: bool,
    /// Compute on the GPU takes the time of its flops and bytes.
    pub roofline: Option<Roofline>,
    /// Ranks of the system.
    pub npus: u32,
    /// Collectives that ASTRA-sim refuses are carried out, and broadcasts have messages.
    pub extended: bool,
    /// Compute takes so many times as long.
    pub slowdown: Option<f64>,
}

impl Rules {
    /// How long compute of `ns` takes.
    fn slowed(&self, ns: u64) -> u64 {
        self.slowdown.map_or(ns, |slowdown| (ns as f64 * slowdown) as u64)
    }
}

/// Something in a graph that a user may not expect.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Doubt {
    /// A broadcast is its duration, or 1 ns.
    Broadcast,
    /// A collective that ASTRA-sim refuses.
    Unsupported,
    /// A node of process groups, at which ASTRA-sim aborts.
    Metadata,
    /// A collective of no bytes: ASTRA-sim's never ends (all-gather), or has bytes (others).
    EmptyCollective,
    /// A message to oneself, at which ASTRA-sim aborts.
    Oneself,
    /// A message without bytes, at which ASTRA-sim aborts.
    EmptyMessage,
    /// `involved_dim` that does not name every dimension.
    ShortInvolvedDim,
    /// Roofline without flops or bytes.
    EmptyCompute,
    /// A group that is named "0".
    GroupZero,
}

/// A trace that cannot be executed.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum GraphError {
    /// An attribute is missing or wrong.
    #[error(transparent)]
    Attribute(#[from] AttributeError),
    /// Two nodes of one number.
    #[error("node {0} stands twice")]
    Repeated(u64),
    /// A dependency on nothing.
    #[error("node {node} `{name}` depends on node {missing}, which is not in the trace")]
    Missing {
        /// The node.
        node: u64,
        /// Its name.
        name: String,
        /// On what it depends.
        missing: u64,
    },
    /// Nodes that wait for each other.
    #[error("these nodes wait for each other for ever: {0}")]
    Cyclic(String),
    /// Anything else about a node.
    #[error("node {node} `{name}`: {what}")]
    Node {
        /// The node.
        node: u64,
        /// Its name.
        name: String,
        /// What is wrong.
        what: String,
    },
}

/// What a rank executes; nodes by ascending number.
#[derive(Debug, Default)]
pub struct Graph {
    nodes: Vec<GraphNode>,
    /// Children of node i: `children[first[i]..first[i + 1]]`.
    first: Vec<u32>,
    children: Vec<u32>,
    parents: Vec<u32>,
    /// Groups that the trace itself declares.
    pub groups: BTreeMap<CommunicatorId, Vec<Rank>>,
    /// What a user may not expect, and the first node where it is.
    pub doubts: BTreeMap<Doubt, u64>,
}

impl Graph {
    /// The graph of rank `rank`.
    ///
    /// # Errors
    /// Names the node and what is wrong with it.
    pub fn new(rank: Rank, mut nodes: Vec<Node>, rules: &Rules) -> Result<Self, GraphError> {
        nodes.sort_by_key(|node| node.id);
        if let Some(pair) = nodes.windows(2).find(|pair| pair[0].id == pair[1].id) {
            return Err(GraphError::Repeated(pair[0].id));
        }
        let mut graph = Graph::default();
        graph.link(&nodes)?;
        let mut lowering = Lowering {
            rank,
            rules,
            groups: BTreeMap::new(),
            doubts: BTreeMap::new(),
        };
        for node in &nodes {
            let lowered = lowering.node(node)?;
            graph.nodes.push(lowered);
        }
        (graph.groups, graph.doubts) = (lowering.groups, lowering.doubts);
        match graph.cycle() {
            Some(names) => Err(GraphError::Cyclic(names)),
            None => Ok(graph),
        }
    }

    /// Its nodes.
    pub fn nodes(&self) -> &[GraphNode] {
        &self.nodes
    }

    /// The place of a node by its number.
    pub fn place(&self, id: u64) -> Option<u32> {
        self.nodes
            .binary_search_by_key(&id, |node| node.id)
            .ok()
            .map(|at| at as u32)
    }

    /// Nodes that wait for a node.
    pub fn children(&self, node: u32) -> &[u32] {
        let (from, to) = (self.first[node as usize], self.first[node as usize + 1]);
        &self.children[from as usize..to as usize]
    }

    /// How many nodes each waits for.
    pub fn parents(&self) -> &[u32] {
        &self.parents
    }

    /// Dependencies as places, each once.
    fn link(&mut self, nodes: &[Node]) -> Result<(), GraphError> {
        let mut edges = Vec::new();
        self.parents = vec![0; nodes.len()];
        for (at, node) in nodes.iter().enumerate() {
            let mut deps: Vec<u64> = node.deps().collect();
            deps.sort_unstable();
            deps.dedup();
            for dep in deps {
                let parent = nodes.binary_search_by_key(&dep, |node| node.id);
                let missing = |_| GraphError::Missing {
                    node: node.id,
                    name: node.name.escape_debug().to_string(),
                    missing: dep,
                };
                edges.push((parent.map_err(missing)? as u32, at as u32));
                self.parents[at] += 1;
            }
        }
        edges.sort_unstable();
        self.first = vec![0; nodes.len() + 1];
        for &(parent, _) in &edges {
            self.first[parent as usize + 1] += 1;
        }
        for at in 0..nodes.len() {
            self.first[at + 1] += self.first[at];
        }
        self.children = edges.into_iter().map(|(_, child)| child).collect();
        Ok(())
    }

    /// Names some nodes that wait for each other, if there are any.
    fn cycle(&self) -> Option<String> {
        let mut open = self.parents.clone();
        let mut ready: BinaryHeap<Reverse<u32>> = (0..open.len() as u32)
            .filter(|&at| open[at as usize] == 0)
            .map(Reverse)
            .collect();
        while let Some(Reverse(at)) = ready.pop() {
            for &child in self.children(at) {
                open[child as usize] -= 1;
                if open[child as usize] == 0 {
                    ready.push(Reverse(child));
                }
            }
        }
        let start = open.iter().position(|&parents| parents > 0)?;
        Some(self.walk(start as u32, &open))
    }

    /// Follows waiting nodes from one to the next until one comes again.
    fn walk(&self, start: u32, open: &[u32]) -> String {
        let mut parents_of = BTreeMap::new();
        for at in 0..self.nodes.len() as u32 {
            for &child in self.children(at) {
                if open[at as usize] > 0 && open[child as usize] > 0 {
                    parents_of.entry(child).or_insert(at);
                }
            }
        }
        let (mut at, mut path) = (start, Vec::new());
        while !path.contains(&at) && path.len() < 1000 {
            path.push(at);
            match parents_of.get(&at) {
                Some(&parent) => at = parent,
                None => break,
            }
        }
        let from = path.iter().position(|&seen| seen == at).unwrap_or(0);
        let name = |&at: &u32| {
            let node = &self.nodes[at as usize];
            format!("{} `{}`", node.id, node.name.escape_debug())
        };
        let shown: Vec<String> = path[from..].iter().rev().take(8).map(name).collect();
        let more = path.len() - from > shown.len();
        shown.join(" -> ") + if more { " -> ..." } else { "" }
    }
}

/// One rank's nodes being read.
struct Lowering<'a> {
    rank: Rank,
    rules: &'a Rules,
    groups: BTreeMap<CommunicatorId, Vec<Rank>>,
    doubts: BTreeMap<Doubt, u64>,
}

impl Lowering<'_> {
    fn node(&mut self, node: &Node) -> Result<GraphNode, GraphError> {
        let on_cpu = node.is_cpu_op()?;
        let work = if self.rules.replay_only {
            let time = recorded(node)?;
            Work::Delay(match node.kind {
                NodeKind::Comp => self.rules.slowed(time),
                _ => time,
            })
        } else {
            self.work(node, on_cpu)?
        };
        let lane = match node.kind {
            _ if on_cpu => Lane::Cpu,
            NodeKind::Comp => Lane::Gpu,
            NodeKind::CommRecv => Lane::Free,
            _ => Lane::Comm,
        };
        let class = match node.kind {
            NodeKind::Comp if on_cpu => Class::Cpu,
            NodeKind::Comp => Class::Gpu,
            NodeKind::CommSend | NodeKind::CommRecv | NodeKind::CommColl => Class::Comm,
            NodeKind::MemLoad | NodeKind::MemStore => Class::Memory,
            NodeKind::Invalid | NodeKind::Metadata => Class::Other,
        };
        Ok(GraphNode {
            id: node.id,
            name: node.name.as_str().into(),
            work,
            lane,
            class,
        })
    }

    fn work(&mut self, node: &Node, on_cpu: bool) -> Result<Work, GraphError> {
        let comm = matches!(
            node.kind,
            NodeKind::CommSend | NodeKind::CommRecv | NodeKind::CommColl
        );
        if comm && on_cpu {
            return Err(wrong(
                node,
                "communication cannot be a CPU operation (`is_cpu_op`)",
            ));
        }
        Ok(match node.kind {
            NodeKind::Invalid => Work::Skip,
            NodeKind::Metadata => {
                self.doubt(Doubt::Metadata, node);
                self.declare(node)?;
                Work::Skip
            }
            NodeKind::MemLoad | NodeKind::MemStore => Work::Memory(sane(node, TENSOR_SIZE)?),
            NodeKind::Comp => self.compute(node, on_cpu)?,
            NodeKind::CommColl => self.collective(node)?,
            NodeKind::CommSend => Work::Send(self.peer(node, COMM_SRC, COMM_DST)?),
            NodeKind::CommRecv => Work::Receive(self.peer(node, COMM_DST, COMM_SRC)?),
        })
    }

    fn compute(&mut self, node: &Node, on_cpu: bool) -> Result<Work, GraphError> {
        let Some(roofline) = self.rules.roofline.filter(|_| !on_cpu) else {
            return Ok(Work::Delay(self.rules.slowed(recorded(node)?)));
        };
        let (flops, bytes) = (node.required_u64(NUM_OPS)?, node.required_u64(TENSOR_SIZE)?);
        if flops == 0 || bytes == 0 {
            self.doubt(Doubt::EmptyCompute, node);
        }
        if bytes == 0 {
            return Ok(Work::Skip);
        }
        let mut estimate = roofline.estimate(flops, bytes);
        estimate.ns = self.rules.slowed(estimate.ns);
        Ok(Work::Compute(estimate))
    }

    fn collective(&mut self, node: &Node) -> Result<Work, GraphError> {
        let kind = node.collective()?;
        let collective = match kind {
            CollectiveType::AllReduce => Collective::AllReduce,
            CollectiveType::AllGather => Collective::AllGather,
            CollectiveType::ReduceScatter | CollectiveType::ReduceScatterBlock => Collective::ReduceScatter,
            CollectiveType::AllToAll => Collective::AllToAll,
            CollectiveType::Broadcast => Collective::Broadcast,
            CollectiveType::Reduce => Collective::Reduce,
            CollectiveType::Gather => Collective::Gather,
            CollectiveType::Scatter => Collective::Scatter,
            CollectiveType::Barrier => Collective::Barrier,
        };
        match kind {
            CollectiveType::Broadcast if !self.rules.extended => {
                self.doubt(Doubt::Broadcast, node);
                return Ok(Work::Delay(recorded(node)?));
            }
            CollectiveType::Reduce
            | CollectiveType::Gather
            | CollectiveType::Scatter
            | CollectiveType::Barrier
            | CollectiveType::ReduceScatterBlock => {
                self.doubt(Doubt::Unsupported, node);
                if !self.rules.extended {
                    let what = format!(
                        "ASTRA-sim has no {kind}; `--extended` carries it out by genie's own algorithm"
                    );
                    return Err(wrong(node, &what));
                }
            }
            _ => {}
        }
        let bytes = match kind {
            CollectiveType::Barrier => node.u64(COMM_SIZE)?.unwrap_or(0),
            _ => sane(node, COMM_SIZE)?,
        };
        if bytes == 0 && kind != CollectiveType::Barrier {
            self.doubt(Doubt::EmptyCollective, node);
        }
        Ok(Work::Collective(CollectiveWork {
            collective,
            group: self.group(node)?,
            bytes,
            dimensions: self.dimensions(node)?,
            priority: node.u32(COMM_PRIORITY)?.unwrap_or(0),
            root: node.u32(super::chakra::attributes::ROOT)?.unwrap_or(0),
        }))
    }

    fn group(&mut self, node: &Node) -> Result<CommunicatorId, GraphError> {
        let text = node.group()?;
        if text == "0" {
            self.doubt(Doubt::GroupZero, node);
        }
        if text.is_empty() {
            return Ok(0);
        }
        let id = text.parse().ok().filter(|&id: &u32| id < 1 << 31);
        id.ok_or_else(|| {
            wrong(
                node,
                &format!("`pg_name` \"{}\" is no decimal number", text.escape_debug()),
            )
        })
    }

    fn dimensions(&mut self, node: &Node) -> Result<u64, GraphError> {
        let Some(involved) = node.involved_dim()? else {
            return Ok(FIRST_FOUR);
        };
        let bits = involved.iter().take(64).enumerate();
        let mask = bits.fold(0, |mask, (d, &involved)| mask | u64::from(involved) << d);
        if involved.len() < 4 {
            self.doubts.entry(Doubt::ShortInvolvedDim).or_insert(node.id);
        }
        Ok(mask)
    }

    /// The other side of a message; `own` names this rank, if it is given.
    fn peer(&mut self, node: &Node, own: &'static str, other: &'static str) -> Result<PeerWork, GraphError> {
        if let Some(named) = node.u32(own)?
            && named != self.rank
        {
            let what = format!("`{own}` is {named}, but this is the trace of rank {}", self.rank);
            return Err(wrong(node, &what));
        }
        let rank = node.required_u32(other)?;
        if rank >= self.rules.npus {
            let what = format!(
                "`{other}` is {rank}, but there are only {} ranks",
                self.rules.npus
            );
            return Err(wrong(node, &what));
        }
        let bytes = sane(node, COMM_SIZE)?;
        if rank == self.rank {
            self.doubt(Doubt::Oneself, node);
        }
        if bytes == 0 {
            self.doubt(Doubt::EmptyMessage, node);
        }
        Ok(PeerWork {
            rank,
            tag: node.required_u32(COMM_TAG)?,
            bytes,
        })
    }

    /// Process groups, as PyTorch's observer writes them: a list in JSON, with two characters around.
    fn declare(&mut self, node: &Node) -> Result<(), GraphError> {
        #[derive(serde::Deserialize)]
        struct Declared {
            pg_name: String,
            ranks: Vec<Rank>,
        }
        let text = &node.inputs.values;
        if text.is_empty() {
            return Ok(());
        }
        let inner = text.get(2..text.len().saturating_sub(2)).unwrap_or("");
        let declared: Vec<Declared> = serde_json::from_str(inner)
            .map_err(|e| wrong(node, &format!("process groups that are no list in JSON: {e}")))?;
        for Declared { pg_name, mut ranks } in declared {
            let id = pg_name.parse().ok().filter(|&id: &u32| id < 1 << 31);
            let id = id.ok_or_else(|| {
                wrong(
                    node,
                    &format!(
                        "process group \"{}\" is no decimal number",
                        pg_name.escape_debug()
                    ),
                )
            })?;
            if ranks.is_empty() {
                ranks = (0..self.rules.npus).collect();
            }
            let mut sorted = ranks.clone();
            sorted.sort_unstable();
            let repeated = sorted.windows(2).any(|pair| pair[0] == pair[1]);
            if repeated || sorted.last().is_some_and(|&last| last >= self.rules.npus) {
                return Err(wrong(
                    node,
                    &format!("process group {id} has ranks that repeat or are not there"),
                ));
            }
            if id != 0 {
                self.groups.insert(id, ranks);
            }
        }
        Ok(())
    }

    fn doubt(&mut self, doubt: Doubt, node: &Node) {
        self.doubts.entry(doubt).or_insert(node.id);
    }
}

/// A size that may be meant.
fn sane(node: &Node, attribute: &'static str) -> Result<u64, GraphError> {
    let bytes = node.required_u64(attribute)?;
    if bytes > MOST_BYTES {
        let what = format!("`{attribute}` is {bytes} bytes; more than 2^60 are not moved");
        return Err(wrong(node, &what));
    }
    Ok(bytes)
}

/// The recorded duration, ns; 1 where none is given.
fn recorded(node: &Node) -> Result<u64, GraphError> {
    Ok(node.duration_ns()?.max(1))
}

fn wrong(node: &Node, what: &str) -> GraphError {
    GraphError::Node {
        node: node.id,
        name: node.name.escape_debug().to_string(),
        what: what.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn comp(id: u64, deps: &[u64]) -> Node {
        let mut node = Node::new(id, format!("n{id}"), NodeKind::Comp);
        node.data_deps = deps.to_vec();
        node
    }

    fn rules() -> Rules {
        Rules {
            npus: 4,
            ..Rules::default()
        }
    }

    fn refused(nodes: Vec<Node>) -> String {
        Graph::new(0, nodes, &rules()).unwrap_err().to_string()
    }

    #[test]
    fn dependencies_are_places_in_order_of_numbers() {
        let mut both = comp(9, &[5]);
        both.ctrl_deps = vec![5, 2];
        let graph = Graph::new(0, vec![both, comp(5, &[2]), comp(2, &[])], &rules()).unwrap();
        assert_eq!(graph.nodes().iter().map(|n| n.id).collect::<Vec<_>>(), [2, 5, 9]);
        assert_eq!((graph.children(0), graph.children(1)), (&[1, 2][..], &[2][..]));
        assert_eq!(graph.parents(), [0, 1, 2], "named twice, waited for once");
    }

    #[test]
    fn what_cannot_be_executed_is_named() {
        assert_eq!(
            refused(vec![comp(1, &[2]), comp(2, &[3]), comp(3, &[1]), comp(4, &[3])]),
            "these nodes wait for each other for ever: 3 `n3` -> 2 `n2` -> 1 `n1`"
        );
        assert!(refused(vec![comp(1, &[7])]).contains("node 1 `n1` depends on node 7"));
        assert!(refused(vec![comp(1, &[]), comp(1, &[])]).contains("stands twice"));
        let send = Node::new(3, "s", NodeKind::CommSend)
            .with(COMM_DST, 4)
            .with(COMM_SIZE, 8);
        assert!(refused(vec![send.with(COMM_TAG, 0)]).contains("`comm_dst` is 4, but there are only 4"));
        let load = Node::new(3, "l", NodeKind::MemLoad).with(TENSOR_SIZE, 1u64 << 61);
        assert!(refused(vec![load]).contains("node 3 `l`: `tensor_size` is 2305843009213693952 bytes"));
    }
}
