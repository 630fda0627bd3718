//! What a simulation is made of: the network, and the jobs that share it.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::network::analytical::{Network, Topology};
use crate::network::message::{CommunicatorId, Rank};
use crate::system::setup::Setup;
use crate::workload::graph::{Graph, Work};
use crate::workload::memory::RemoteMemory;

/// How messages get in each other's way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Backend {
    /// Not at all.
    Unaware,
    /// They wait for links.
    Aware,
}

/// The network before anything happens.
#[derive(Debug, Clone)]
pub struct Wiring {
    /// Its links.
    pub topology: Topology,
    /// How messages get in each other's way.
    pub backend: Backend,
}

impl Wiring {
    pub(super) fn network(&self) -> Network {
        let topology = self.topology.clone();
        match self.backend {
            Backend::Unaware => Network::unaware(topology),
            Backend::Aware => Network::aware(topology),
        }
    }
}

/// A rank of a job.
#[derive(Debug, Clone)]
pub struct Member {
    /// What it executes.
    pub graph: Arc<Graph>,
    /// How its machine works.
    pub setup: Arc<Setup>,
    /// Nanoseconds after its job's start until it begins.
    pub begins: u64,
}

/// Ranks of communicator groups, by number.
pub type Groups = BTreeMap<CommunicatorId, Arc<[Rank]>>;

/// The ranks of a group that a graph names: the trace's own come before those of the file.
pub(super) fn group<'a>(graph: &'a Graph, of_file: &'a Groups, id: CommunicatorId) -> Option<&'a [Rank]> {
    let own = graph.groups.get(&id).map(|ranks| &ranks[..]);
    own.or_else(|| of_file.get(&id).map(|ranks| &ranks[..]))
}

/// A job: its ranks, and where they are.
#[derive(Debug, Clone)]
pub struct Job {
    /// For people; empty: the only one.
    pub name: Box<str>,
    /// Its ranks, in order.
    pub members: Vec<Member>,
    /// The NPU of each rank; `None`: every rank is on the NPU of its number, and there is no other job.
    pub npus: Option<Arc<[Rank]>>,
    /// Groups that all its ranks know.
    pub groups: Groups,
    /// Every node takes its recorded time.
    pub replay_only: bool,
    /// Compute takes the time of its flops and bytes.
    pub roofline: bool,
    /// When it starts, ns.
    pub start: u64,
}

impl Job {
    /// A job alone in its network, whose ranks all begin at once and work alike.
    pub fn alone(graphs: Vec<Arc<Graph>>, setup: &Arc<Setup>) -> Self {
        let member = |graph| Member {
            graph,
            setup: Arc::clone(setup),
            begins: 0,
        };
        Job {
            name: "".into(),
            members: graphs.into_iter().map(member).collect(),
            npus: None,
            groups: Groups::new(),
            replay_only: false,
            roofline: false,
            start: 0,
        }
    }

    /// Ranks.
    pub fn ranks(&self) -> u32 {
        self.members.len() as u32
    }

    /// The NPU of a rank.
    pub fn npu(&self, rank: Rank) -> Rank {
        self.npus.as_ref().map_or(rank, |npus| npus[rank as usize])
    }

    /// Groups that a rank knows, as [`group`] finds them.
    pub(super) fn groups_of(&self, graph: &Graph) -> Vec<(CommunicatorId, Arc<[Rank]>)> {
        let own = graph.groups.iter();
        let own = own.map(|(&id, ranks)| (id, Arc::from(&ranks[..])));
        let others = self.groups.iter();
        let others = others.filter(|(id, _)| !graph.groups.contains_key(id));
        own.chain(others.map(|(&id, ranks)| (id, Arc::clone(ranks))))
            .collect()
    }

    /// How many ranks a node speaks to.
    pub(super) fn members_of(&self, graph: &Graph, work: &Work) -> u32 {
        let Work::Collective(work) = work else {
            return self.ranks();
        };
        group(graph, &self.groups, work.group).map_or(self.ranks(), |ranks| ranks.len() as u32)
    }
}

/// What a simulation is made of, besides its network.
#[derive(Debug, Clone)]
pub struct Parts {
    /// At least one; no NPU is in two.
    pub jobs: Vec<Arc<Job>>,
    /// Remote memory.
    pub memory: RemoteMemory,
    /// One rank may stand for all where that changes nothing.
    pub symmetry: bool,
}
