//! The files of one job, read and put together: what each rank executes, and how its machine works.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::custom::CustomFiles;
use super::inputs::{ModelError, Options, config};
use super::parts::{Backend, Groups, Job, Member, group};
use super::traces::{KnownTraces, Traces};
use crate::network::analytical::config::NetworkConfig;
use crate::network::message::{CommunicatorId, Rank};
use crate::system::bus::BusConfig;
use crate::system::config::custom::PerNode;
use crate::system::config::{
    CollectiveOptimization, Implementation as Named, Implementations, MisfitKind, SchedulingPolicy,
    SystemConfig,
};
use crate::system::setup::{CustomSource, Implementation, Pattern, Policy, Setup};
use crate::workload::chakra;
use crate::workload::compute::Roofline;
use crate::workload::graph::{Doubt, FIRST_FOUR, Graph, Rules, Work};
use crate::workload::groups::CommGroups;
use crate::workload::jobs::JobEntry;
use crate::workload::memory::RemoteMemory;
use crate::workload::npus::{NpuKind, NpuKinds};

/// Nanoseconds, where a system file says nothing.
const DEFAULT_ENDPOINT_DELAY: u64 = 10;

/// What all jobs have in common.
#[derive(Debug)]
pub(super) struct Shared<'a> {
    pub options: &'a Options,
    pub network: &'a NetworkConfig,
    pub memory: RemoteMemory,
    pub kinds: NpuKinds,
}

/// A job's configuration as read.
#[derive(Debug)]
pub(super) struct JobFiles {
    /// Empty: the only job, on the whole network.
    name: String,
    workload: PathBuf,
    /// Members of each dimension in which its ranks see each other.
    dimensions: Vec<u32>,
    /// The NPU of each rank; `None`: that of its number.
    npus: Option<Arc<[Rank]>>,
    start: u64,
    system: SystemConfig,
    groups: Groups,
    per_node: BTreeMap<u64, String>,
}

impl JobFiles {
    /// Of the only job, on the whole network.
    pub(super) fn alone(shared: &Shared<'_>, cautions: &mut Vec<String>) -> Result<Self, ModelError> {
        let options = shared.options;
        let entry = JobEntry {
            name: String::new(),
            workload: options.workload.clone(),
            npus: Vec::new(),
            dimensions: Some(dimensions(shared.network)),
            system: None,
            comm_groups: options.groups.clone(),
            start_ns: 0,
        };
        let placed = Self::placed(shared, entry, cautions)?;
        Ok(JobFiles { npus: None, ..placed })
    }

    /// Of a job that the jobs file places. On all NPUs in order it sees the network's dimensions, else one,
    /// unless it says otherwise.
    pub(super) fn placed(
        shared: &Shared<'_>,
        entry: JobEntry,
        cautions: &mut Vec<String>,
    ) -> Result<Self, ModelError> {
        let whole = entry.npus.iter().copied().eq(0..shared.network.npus());
        let dimensions = entry.dimensions.unwrap_or_else(|| match whole {
            true => dimensions(shared.network),
            false => vec![entry.npus.len() as u32],
        });
        let Some(system) = entry.system.as_ref().or(shared.options.system.as_ref()) else {
            return Err(ModelError::Misfit(format!(
                "job `{}` has no `system`\nhelp: give it one, or all that have none by --system-configuration FILE",
                entry.name.escape_debug()
            )));
        };
        let system = config(system, cautions, SystemConfig::parse)?;
        let ranks = Some(dimensions.iter().product());
        let groups = match &entry.comm_groups {
            Some(path) => config(path, cautions, |name, text| CommGroups::parse(name, text, ranks))?,
            None => CommGroups::default(),
        };
        let per_node = match &system.per_node_custom {
            Some(path) => config(Path::new(path), cautions, PerNode::parse)?.0,
            None => BTreeMap::new(),
        };
        let groups = groups.groups.into_iter().map(|(id, ranks)| (id, ranks.into()));
        Ok(JobFiles {
            name: entry.name,
            workload: entry.workload,
            dimensions,
            npus: Some(entry.npus.into()),
            start: entry.start_ns,
            system,
            groups: groups.collect(),
            per_node,
        })
    }

    /// Reads the traces.
    pub(super) fn job(self, shared: &Shared<'_>, cautions: &mut Vec<String>) -> Result<Job, ModelError> {
        let mut said = Vec::new();
        let setups = self.setups(shared, &mut said)?;
        let graphs = self.graphs(shared, &mut said)?;
        self.look_at(shared, &graphs, &mut said)?;
        cautions.extend(said.into_iter().map(|caution| match self.name.as_str() {
            "" => caution,
            name => format!("job `{name}`: {caution}"),
        }));
        let kinds = &shared.kinds;
        let member = |(rank, graph): (Rank, Arc<Graph>)| {
            let kind = kinds.of(self.npu(rank));
            Member {
                graph,
                setup: Arc::clone(&setups[kind]),
                begins: kinds.kinds[kind].start_ns,
            }
        };
        Ok(Job {
            members: (0..).zip(graphs).map(member).collect(),
            name: self.name.into(),
            npus: self.npus,
            groups: self.groups,
            replay_only: self.system.replay_only,
            roofline: self.system.roofline_enabled,
            start: self.start,
        })
    }

    fn ranks(&self) -> u32 {
        self.dimensions.iter().product()
    }

    fn npu(&self, rank: Rank) -> Rank {
        self.npus.as_ref().map_or(rank, |npus| npus[rank as usize])
    }

    /// How the machine of each kind of NPU works.
    fn setups(&self, shared: &Shared<'_>, cautions: &mut Vec<String>) -> Result<Vec<Arc<Setup>>, ModelError> {
        let usual = self.setup(shared.options, cautions)?;
        let scale = shared.options.injection_scale;
        let of_kind = |kind: &NpuKind| {
            let mut setup = usual.clone();
            if let Some(delay) = kind.endpoint_delay_ns {
                setup.endpoint_delay = (delay as f64 * scale) as u64;
            }
            setup.local_mem_bandwidth = kind.local_mem_bytes_per_s.unwrap_or(usual.local_mem_bandwidth);
            Arc::new(setup)
        };
        if !self.system.roofline_enabled && shared.kinds.kinds.iter().any(|kind| kind.peak_flops.is_some()) {
            cautions.push("`peak-perf` of an NPU has no effect without `roofline-enabled`".into());
        }
        Ok(shared.kinds.kinds.iter().map(of_kind).collect())
    }

    /// How every rank's machine works.
    fn setup(&self, options: &Options, cautions: &mut Vec<String>) -> Result<Setup, ModelError> {
        let system = &self.system;
        self.fit(cautions)?;
        let splits = system.preferred_dataset_splits.unwrap_or(0);
        if splits == 0 {
            cautions.push("no `preferred-dataset-splits`: ASTRA-sim divides by 0; 1 is taken".into());
        }
        let policy = system.scheduling_policy.unwrap_or_else(|| {
            cautions.push("no `scheduling-policy`: undefined in ASTRA-sim; LIFO is taken".into());
            SchedulingPolicy::Lifo
        });
        let optimisation = system.collective_optimization.unwrap_or_else(|| {
            cautions
                .push("no `collective-optimization`: undefined in ASTRA-sim; localBWAware is taken".into());
            CollectiveOptimization::LocalBwAware
        });
        let custom = CustomFiles::read(system, &self.per_node, self.ranks())?;
        if custom.is_some() && splits > 1 {
            cautions.push(
                "a custom algorithm is carried out once; with `preferred-dataset-splits` above 1 ASTRA-sim waits for ever"
                    .into(),
            );
        }
        let lists = [
            &system.all_reduce,
            &system.all_gather,
            &system.reduce_scatter,
            &system.all_to_all,
        ];
        Ok(Setup {
            dimensions: self.dimensions.clone(),
            implementations: lists.map(implementations),
            custom: custom.map(|files| Arc::new(files) as Arc<dyn CustomSource>),
            splits: u64::from(splits.max(1)),
            queues: options.queues.max(1),
            active_chunks: system.active_chunks_per_dimension.max(1),
            policy: match policy {
                SchedulingPolicy::Lifo => Policy::Lifo,
                SchedulingPolicy::Fifo => Policy::Fifo,
                SchedulingPolicy::Explicit => Policy::Explicit,
            },
            baseline: optimisation == CollectiveOptimization::Baseline,
            endpoint_delay: self.endpoint_delay(options),
            local_mem_bandwidth: system.local_mem_bytes_per_s,
            rendezvous: options.rendezvous,
            bus: system.shared_bus.map(|bus| BusConfig {
                latency: bus.latency_ns as u64,
                overhead: bus.overhead_ns as u64,
                gap: bus.gap_ns as u64,
                gap_per_byte: f64::from(bus.gap_per_byte_ns),
                reduction_delay: system.local_reduction_delay_ns,
            }),
        })
    }

    /// Nanoseconds; the default is not scaled, as in ASTRA-sim.
    fn endpoint_delay(&self, options: &Options) -> u64 {
        let scaled = |ns: u64| (ns as f64 * options.injection_scale) as u64;
        self.system
            .endpoint_delay_ns
            .map_or(DEFAULT_ENDPOINT_DELAY, scaled)
    }

    /// Whether the lists of implementations fit the network.
    fn fit(&self, cautions: &mut Vec<String>) -> Result<(), ModelError> {
        for misfit in self.system.misfits(self.dimensions.len()) {
            match misfit.kind {
                MisfitKind::TooLong => return Err(ModelError::Misfit(misfit.to_string())),
                MisfitKind::TooShort | MisfitKind::Flat => cautions.push(misfit.to_string()),
            }
        }
        if self.system.roofline_enabled {
            for (key, value) in [
                ("peak-perf", self.system.peak_flops),
                ("local-mem-bw", self.system.local_mem_bytes_per_s),
            ] {
                if value <= 0.0 {
                    let what = format!("`roofline-enabled` needs a `{key}` above 0");
                    return Err(ModelError::Misfit(what));
                }
            }
        }
        if self.system.track_local_mem {
            cautions.push(
                "`track-local-mem` has no effect; ASTRA-sim exits without an answer if a node lacks `inputs` or `outputs`"
                    .into(),
            );
        }
        if self.system.local_mem_bytes_per_s == 0.0 {
            cautions.push("no `local-mem-bw`: reductions cost nothing".into());
        }
        Ok(())
    }

    /// How the nodes of a kind of NPU are read.
    fn rules(&self, options: &Options, kind: &NpuKind) -> Rules {
        let memory = kind.local_mem_bytes_per_s;
        Rules {
            replay_only: self.system.replay_only,
            roofline: self.system.roofline_enabled.then_some(Roofline {
                peak_flops: kind.peak_flops.unwrap_or(self.system.peak_flops),
                bytes_per_s: memory.unwrap_or(self.system.local_mem_bytes_per_s),
            }),
            npus: self.ranks(),
            extended: options.extended,
            slowdown: kind.compute_slowdown,
        }
    }

    fn graphs(&self, shared: &Shared<'_>, cautions: &mut Vec<String>) -> Result<Vec<Arc<Graph>>, ModelError> {
        let kinds = shared.kinds.kinds.iter();
        let rules: Vec<Rules> = kinds.map(|kind| self.rules(shared.options, kind)).collect();
        let mut unknown: BTreeSet<String> = BTreeSet::new();
        let mut known = KnownTraces::default();
        let (mut traces, ranks) = (Traces::new(&self.workload), self.ranks());
        let mut graphs = Vec::with_capacity(ranks as usize);
        for rank in 0..ranks {
            let kind = shared.kinds.of(self.npu(rank));
            traces.read(rank, ranks)?;
            // Most ranks of a job execute the same graph: it is kept once.
            if let Some(graph) = known.find(kind, traces.bytes()) {
                graphs.push(graph);
                continue;
            }
            let file = traces.name(rank);
            let trace = chakra::read(traces.bytes(), &file)?;
            unknown.extend(trace.unknown_attributes().into_keys());
            let graph = Graph::new(rank, trace.nodes, &rules[kind]).map_err(|error| ModelError::Trace {
                file,
                what: error.to_string(),
            })?;
            let graph = Arc::new(graph);
            if is_the_same_everywhere(&graph) {
                known.keep(kind, traces.bytes(), &graph);
            }
            graphs.push(graph);
        }
        if !unknown.is_empty() {
            let names: Vec<String> = unknown.iter().take(8).map(|name| format!("`{name}`")).collect();
            cautions.push(format!(
                "attributes that nothing is done with: {}",
                names.join(", ")
            ));
        }
        Ok(graphs)
    }

    /// Traps of ASTRA-sim that these inputs step into.
    fn look_at(
        &self,
        shared: &Shared<'_>,
        graphs: &[Arc<Graph>],
        cautions: &mut Vec<String>,
    ) -> Result<(), ModelError> {
        let options = shared.options;
        let mut doubts: BTreeMap<Doubt, u64> = BTreeMap::new();
        let (mut gathers, mut small_groups, mut four) = (false, false, false);
        let mut previous: Option<&Arc<Graph>> = None;
        for (rank, graph) in graphs.iter().enumerate() {
            let again = previous.is_some_and(|previous| Arc::ptr_eq(previous, graph));
            if again && self.groups.is_empty() && graph.groups.is_empty() {
                continue;
            }
            previous = Some(graph);
            let mut groups = BTreeSet::new();
            for (&doubt, &node) in &graph.doubts {
                doubts.entry(doubt).or_insert(node);
            }
            for node in graph.nodes() {
                match &node.work {
                    Work::Memory(_) if shared.memory == RemoteMemory::None => {
                        return Err(ModelError::Misfit(format!(
                            "rank {rank}, node {} `{}`: remote memory access, but the memory type is NO_MEMORY_EXPANSION",
                            node.id,
                            node.name.escape_debug()
                        )));
                    }
                    Work::Collective(work) => {
                        gathers |= work.collective == crate::system::op::Collective::AllGather;
                        four |= work.group == 0 && work.dimensions == FIRST_FOUR;
                        if groups.insert(work.group) {
                            let members = self.members(rank as u32, graph, node.id, work.group)?;
                            small_groups |= members < self.ranks();
                        }
                    }
                    _ => {}
                }
            }
        }
        cautions.extend(doubts.into_iter().map(|(doubt, node)| words(doubt, node)));
        if gathers {
            cautions.push(
                "comm_size of an ALL_GATHER is what each rank contributes (nccl-tests counts the result)"
                    .into(),
            );
        }
        if four && self.dimensions.len() > 4 {
            cautions.push(
                "only the first four dimensions take part in collectives whose `involved_dim` names no more"
                    .into(),
            );
        }
        if small_groups && self.endpoint_delay(options) != DEFAULT_ENDPOINT_DELAY {
            cautions
                .push("groups smaller than all NPUs have an endpoint delay of 10 ns, whatever is set".into());
        }
        if options.backend == Backend::Unaware && self.system.active_chunks_per_dimension > 1 {
            cautions.push(
                "active-chunks-per-dimension > 1 without congestion: each active chunk has the links for itself"
                    .into(),
            );
        }
        Ok(())
    }

    /// How many ranks the group of a rank's node has; the rank must be one of them.
    fn members(&self, rank: Rank, graph: &Graph, node: u64, id: CommunicatorId) -> Result<u32, ModelError> {
        if id == 0 {
            return Ok(self.ranks());
        }
        let Some(ranks) = group(graph, &self.groups, id) else {
            let what = format!("rank {rank}, node {node}: communicator group {id} is not defined");
            return Err(ModelError::Misfit(what));
        };
        if !ranks.contains(&rank) {
            let what = format!("rank {rank}, node {node}: the rank is not in communicator group {id}");
            return Err(ModelError::Misfit(what));
        }
        Ok(ranks.len() as u32)
    }
}

/// Whether no node depends on the rank whose graph it is.
fn is_the_same_everywhere(graph: &Graph) -> bool {
    let alike = |work: &Work| !matches!(work, Work::Send(_) | Work::Receive(_));
    graph.nodes().iter().all(|node| alike(&node.work))
}

fn dimensions(network: &NetworkConfig) -> Vec<u32> {
    network.dims.iter().map(|dim| dim.npus).collect()
}

fn implementations(list: &Implementations) -> Vec<Implementation> {
    let implementation = |named: &Named| Implementation {
        flat: named.is_flat(),
        pattern: match *named {
            Named::Ring | Named::OneRing => Pattern::Ring,
            Named::Direct { window } | Named::OneDirect { window } => {
                Pattern::Direct(window.map(std::num::NonZero::get))
            }
            Named::HalvingDoubling | Named::OneHalvingDoubling => Pattern::HalvingDoubling,
            Named::DoubleBinaryTree => Pattern::DoubleBinaryTree,
        },
    };
    list.native.iter().map(implementation).collect()
}

/// A doubt in words; `node` is the first that raises it.
fn words(doubt: Doubt, node: u64) -> String {
    let what = match doubt {
        Doubt::Broadcast => "a BROADCAST takes its recorded duration, or 1 ns; it has no messages",
        Doubt::Unsupported => "a collective that ASTRA-sim refuses",
        Doubt::Metadata => "a METADATA node: ASTRA-sim aborts at it; genie reads its process groups",
        Doubt::EmptyCollective => {
            "a collective of 0 bytes: an ALL_GATHER never ends in ASTRA-sim, others have a byte per NPU and chunk"
        }
        Doubt::Oneself => "a message to the rank itself: ASTRA-sim aborts; genie delivers it at once",
        Doubt::EmptyMessage => "a message of 0 bytes: ASTRA-sim aborts; genie charges the latency",
        Doubt::ShortInvolvedDim => {
            "`involved_dim` names fewer than 4 dimensions: those that it does not name take no part"
        }
        Doubt::EmptyCompute => {
            "a compute node without flops or bytes under a roofline: without bytes it is skipped, without flops it takes the memory's time"
        }
        Doubt::GroupZero => "`pg_name` \"0\" means all NPUs",
    };
    format!("node {node}: {what}")
}
