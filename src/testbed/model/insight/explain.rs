//! What the ranks of a simulation spent their time on: exposed communication in parts that add up to
//! ASTRA-sim's, what cost most, who was slowest and why, how full the network was.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Serialize;

use super::busy::Busy;
use super::path::{self, Step};
use super::watch::Watch;
use super::{OpRecord, Split};
use crate::network::analytical::Network;
use crate::network::message::Rank;
use crate::testbed::model::outcome::Finished;
use crate::workload::graph::{Class, Graph, GraphNode, Work};

/// So many operations are said to cost most.
const COSTLY: usize = 10;

/// What the ranks that are through spent their time on.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Explanation {
    /// Each of them, by rank.
    pub npus: Vec<NpuTime>,
    /// The critical path to the end of the slowest, latest first.
    pub critical_path: Vec<NamedStep>,
    /// The slowest.
    pub slowest: Option<Slowest>,
    /// The operations that cost most, the worst first.
    pub costly: Vec<Costly>,
    /// The busiest link of each dimension that carries anything.
    pub dimensions: Vec<DimensionUse>,
}

/// A rank's time, ns.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct NpuTime {
    /// Which.
    pub rank: Rank,
    /// From 0 to its end.
    pub cycles: u64,
    /// ASTRA-sim's exposed communication: `parts` together, less `counted_twice` (modulo 2^64, as there).
    pub exposed: u64,
    /// Genie's: `exposed` without memory, CPU and the time before the rank begins.
    pub exposed_communication: u64,
    /// The GPU computes.
    pub compute: u64,
    /// Computing that ASTRA-sim counts again where nodes that it takes for computing overlap.
    pub counted_twice: u64,
    /// Communication that compute hides.
    pub overlap: u64,
    /// Where the rest went.
    pub parts: Parts,
}

/// Parts of the time in which the GPU does not compute, ns; each nanosecond counts once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Parts {
    /// The NPU has not begun.
    pub not_begun: u64,
    /// Serialisation: a ready node waits for its slot.
    pub slot: u64,
    /// A collective waits for members, or a message for its other side.
    pub peers: u64,
    /// Messages are under way.
    pub network: u64,
    /// Delays and reductions at this NPU's endpoint.
    pub endpoint: u64,
    /// Remote memory.
    pub memory: u64,
    /// The CPU.
    pub cpu: u64,
}

impl Parts {
    /// Name and nanoseconds of each.
    pub fn each(&self) -> [(&'static str, u64); 7] {
        [
            ("not begun", self.not_begun),
            ("waiting for peers", self.peers),
            ("network", self.network),
            ("endpoint", self.endpoint),
            ("serialisation", self.slot),
            ("memory", self.memory),
            ("CPU", self.cpu),
        ]
    }

    /// All of them, ns.
    pub fn total(&self) -> u64 {
        self.each().iter().map(|(_, time)| time).sum()
    }

    fn add(&mut self, op: &OpRecord, node: &GraphNode) {
        self.slot += op.exposed_slot;
        match (&node.work, node.class) {
            (Work::Collective(_) | Work::Send(_) | Work::Receive(_), _) => {
                let Split {
                    endpoint,
                    peers,
                    network,
                } = op.exposed;
                self.endpoint += endpoint;
                self.peers += peers;
                self.network += network;
            }
            (_, Class::Memory) => self.memory += op.exposed_running,
            (_, Class::Comm) => self.network += op.exposed_running,
            _ => self.cpu += op.exposed_running,
        }
    }
}

/// A step of the critical path with its name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct NamedStep {
    /// Where and when.
    #[serde(flatten)]
    pub step: Step,
    /// The node's number.
    pub node: u64,
    /// Its name.
    pub name: Box<str>,
    /// What it is.
    pub kind: &'static str,
}

/// The rank that ends last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Slowest {
    /// The first of them.
    pub rank: Rank,
    /// When, ns.
    pub cycles: u64,
    /// Nanoseconds behind the median rank.
    pub behind: u64,
    /// Of what it has most more than the median rank, and how much, ns.
    pub most: Option<(&'static str, u64)>,
}

/// An operation, on all ranks that have it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Costly {
    /// Its number.
    pub node: u64,
    /// Its name.
    pub name: Box<str>,
    /// What it is.
    pub kind: &'static str,
    /// Nanoseconds for which ranks' own paths go through it, its slot included, all ranks together.
    pub time: u64,
    /// As much of that as no compute hides.
    pub exposed: u64,
    /// On so many ranks' paths.
    pub npus: u32,
}

/// What goes over a dimension.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct DimensionUse {
    /// Which.
    pub dimension: usize,
    /// Bytes, once for each link that they go over.
    pub bytes: u64,
    /// The link that is taken longest.
    pub busiest: String,
    /// For how long, ns.
    pub taken: u64,
    /// That as a share of the whole time; above 1 where messages share links without waiting.
    pub utilisation: f64,
}

impl Explanation {
    /// Of ranks that are through.
    pub fn new(watch: &Watch, graphs: &[Arc<Graph>], finished: &[Finished], network: &Network) -> Self {
        let mut finished: Vec<&Finished> = finished.iter().collect();
        finished.sort_by_key(|finished| finished.rank);
        let mut costs = BTreeMap::new();
        let npu = |finished: &&Finished| {
            let graph = &graphs[finished.rank as usize];
            npu(watch, graph, finished, &mut costs)
        };
        let npus: Vec<NpuTime> = finished.iter().map(npu).collect();
        let slowest = slowest(&npus);
        let path = slowest.map(|slowest| path::critical(watch, graphs, slowest.rank));
        let named = |step: Step| {
            let node = &graphs[step.rank as usize].nodes()[step.place as usize];
            NamedStep {
                node: node.id,
                name: node.name.clone(),
                kind: kind(node),
                step,
            }
        };
        let end = slowest.map_or(0, |slowest| slowest.cycles);
        Explanation {
            critical_path: path.unwrap_or_default().into_iter().map(named).collect(),
            costly: costliest(costs),
            dimensions: dimensions(watch, network, end),
            npus,
            slowest,
        }
    }
}

/// What a node is, in a word.
pub fn kind(node: &GraphNode) -> &'static str {
    match (&node.work, node.class) {
        (Work::Collective(_), _) => "collective",
        (Work::Send(_), _) => "send",
        (Work::Receive(_), _) => "receive",
        (Work::Memory(_), _) | (_, Class::Memory) => "memory",
        (Work::Skip, _) => "nothing",
        (_, Class::Cpu) => "cpu",
        (_, Class::Gpu) => "compute",
        (_, Class::Comm) => "recorded communication",
        (_, Class::Other) => "other",
    }
}

fn npu(watch: &Watch, graph: &Graph, finished: &Finished, costs: &mut Costs) -> NpuTime {
    let (kept, busy) = (watch.kept(finished.rank), watch.busy(finished.rank));
    let mut parts = Parts {
        not_begun: watch.beginning(finished.rank),
        ..Parts::default()
    };
    for op in path::own(kept) {
        let node = &graph.nodes()[op.place as usize];
        parts.add(op, node);
        let cost = costs.entry((node.id, node.name.clone(), kind(node))).or_default();
        cost.0 += op.end - op.ready;
        cost.1 += op.exposed_slot + op.exposed_running;
        cost.2 += 1;
    }
    let compute = busy.covered(0, finished.cycles);
    let counted_twice = busy.added().wrapping_sub(compute);
    NpuTime {
        rank: finished.rank,
        cycles: finished.cycles,
        exposed: finished.exposed,
        exposed_communication: parts.slot + parts.peers + parts.network + parts.endpoint,
        compute,
        counted_twice,
        overlap: communication(kept, graph).overlap(busy),
        parts,
    }
}

/// When any communication of a rank ran.
fn communication(kept: &[Option<Box<OpRecord>>], graph: &Graph) -> Busy {
    let ops = kept.iter().flatten();
    let ours = ops.filter(|op| graph.nodes()[op.place as usize].class == Class::Comm);
    let mut spans: Vec<(u64, u64)> = ours.map(|op| (op.start, op.end)).collect();
    spans.sort_unstable();
    let mut busy = Busy::default();
    spans.into_iter().for_each(|(start, end)| busy.add(start, end));
    busy
}

fn slowest(npus: &[NpuTime]) -> Option<Slowest> {
    let slowest = npus.iter().rev().max_by_key(|npu| npu.cycles)?;
    let median = |figure: &dyn Fn(&NpuTime) -> u64| {
        let mut figures: Vec<u64> = npus.iter().map(figure).collect();
        figures.sort_unstable();
        figures[(figures.len() - 1) / 2]
    };
    let compute = (
        "compute",
        slowest.compute.saturating_sub(median(&|npu| npu.compute)),
    );
    let parts = slowest
        .parts
        .each()
        .into_iter()
        .enumerate()
        .map(|(place, (name, time))| {
            (
                name,
                time.saturating_sub(median(&|npu| npu.parts.each()[place].1)),
            )
        });
    let most = std::iter::once(compute)
        .chain(parts)
        .reduce(|best, next| if next.1 > best.1 { next } else { best });
    let behind = slowest.cycles - median(&|npu| npu.cycles);
    Some(Slowest {
        rank: slowest.rank,
        cycles: slowest.cycles,
        behind,
        most: most.filter(|&(_, time)| behind > 0 && time > 0),
    })
}

/// Time, exposed time and ranks of each node.
type Costs = BTreeMap<(u64, Box<str>, &'static str), (u64, u64, u32)>;

fn costliest(costs: Costs) -> Vec<Costly> {
    let costly = |((node, name, kind), (time, exposed, npus))| Costly {
        node,
        name,
        kind,
        time,
        exposed,
        npus,
    };
    let mut all: Vec<Costly> = costs.into_iter().map(costly).collect();
    all.sort_by_key(|costly| std::cmp::Reverse(costly.time));
    all.truncate(COSTLY);
    all
}

fn dimensions(watch: &Watch, network: &Network, end: u64) -> Vec<DimensionUse> {
    let Some(usage) = watch.usage() else {
        return Vec::new();
    };
    let used = usage
        .dimensions()
        .iter()
        .enumerate()
        .filter(|(_, used)| used.bytes > 0);
    used.map(|(dimension, used)| {
        let (link, taken) = used.busiest;
        DimensionUse {
            dimension,
            bytes: used.bytes,
            busiest: network.describe(link),
            taken,
            utilisation: taken as f64 / end.max(1) as f64,
        }
    })
    .collect()
}
