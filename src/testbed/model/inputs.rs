//! ASTRA-sim's files, read and put together: what each rank executes, how its machine works, and the
//! network between them. What ASTRA-sim would do silently wrong, or not at all, becomes a caution.

use std::collections::BTreeMap;
use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use thiserror::Error;

use super::custom::CustomFiles;
use super::simulation::{Parts, Simulation};
use crate::document::{Diagnostics, MAX_BYTES, Parsed};
use crate::network::analytical::Network;
use crate::network::analytical::aware::count_links;
use crate::network::analytical::config::NetworkConfig;
use crate::network::analytical::topology::{TooLarge, Topology};
use crate::network::message::{CommunicatorId, Rank};
use crate::system::bus::BusConfig;
use crate::system::config::custom::PerNode;
use crate::system::config::{
    CollectiveOptimization, Implementation as Named, Implementations, MisfitKind, SchedulingPolicy,
    SystemConfig,
};
use crate::system::setup::{CustomSource, Implementation, Pattern, Policy, Setup};
use crate::workload::chakra::{self, ReadError};
use crate::workload::compute::Roofline;
use crate::workload::graph::{Doubt, FIRST_FOUR, Graph, Rules, Work};
use crate::workload::groups::CommGroups;
use crate::workload::memory::RemoteMemory;

/// Longest trace that is read, bytes.
const LARGEST_TRACE: u64 = 8 << 30;

/// Most links of a congestion-aware network: 12 bytes each are kept.
const MAX_LINKS: u64 = 1 << 30;

/// Nanoseconds, where a system file says nothing.
const DEFAULT_ENDPOINT_DELAY: u64 = 10;

/// How messages get in each other's way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Backend {
    /// Not at all.
    Unaware,
    /// They wait for links.
    Aware,
}

/// What is to be simulated.
#[derive(Debug, Clone)]
pub struct Options {
    /// Prefix of the traces: `<prefix>.<rank>.et`.
    pub workload: PathBuf,
    /// System file.
    pub system: PathBuf,
    /// Network file.
    pub network: PathBuf,
    /// Remote memory file; `None`: there is no remote memory.
    pub memory: Option<PathBuf>,
    /// Comm group file.
    pub groups: Option<PathBuf>,
    /// Network model.
    pub backend: Backend,
    /// Queues of each dimension.
    pub queues: u32,
    /// Factor on the endpoint delay.
    pub injection_scale: f64,
    /// Receivers ask for each message first.
    pub rendezvous: bool,
    /// Carry out what ASTRA-sim refuses.
    pub extended: bool,
}

/// Why nothing can be simulated.
#[derive(Debug, Error)]
pub enum ModelError {
    /// A file cannot be read.
    #[error("`{}`: {error}", file.display())]
    Read {
        /// Which.
        file: PathBuf,
        /// Why.
        error: std::io::Error,
    },
    /// A configuration file is wrong.
    #[error("{0}")]
    Config(Box<Diagnostics>),
    /// A trace cannot be read.
    #[error(transparent)]
    Chakra(#[from] ReadError),
    /// A trace makes no sense.
    #[error("`{file}`: {what}")]
    Trace {
        /// Which.
        file: String,
        /// What is wrong.
        what: String,
    },
    /// A trace is missing.
    #[error("workload file `{file}` does not exist: {npus} NPUs need one trace each, ranks 0 to {}", npus - 1)]
    MissingTrace {
        /// Which.
        file: String,
        /// NPUs of the network.
        npus: u32,
    },
    /// The network is too large.
    #[error(transparent)]
    TooLarge(#[from] TooLarge),
    /// So many links cannot be kept.
    #[error("the congestion-aware network would have {0} links; use the congestion-unaware one")]
    TooManyLinks(u64),
    /// The files do not fit each other.
    #[error("{0}")]
    Misfit(String),
    /// A custom algorithm without files.
    #[error(
        "no file `{prefix}.<position>.et` of a custom algorithm exists (paths are relative to the working directory)"
    )]
    NoAlgorithm {
        /// Its prefix.
        prefix: String,
    },
}

impl From<Diagnostics> for ModelError {
    fn from(diagnostics: Diagnostics) -> Self {
        ModelError::Config(Box::new(diagnostics))
    }
}

/// A simulation ready to run, and what is to be said before.
#[derive(Debug)]
pub struct Inputs {
    /// Ranks.
    pub npus: u32,
    /// The simulation.
    pub simulation: Simulation,
    /// What a user may not expect, one sentence each.
    pub cautions: Vec<String>,
}

/// Configuration as read.
struct Files {
    network: NetworkConfig,
    system: SystemConfig,
    memory: RemoteMemory,
    groups: BTreeMap<CommunicatorId, Arc<[Rank]>>,
    per_node: BTreeMap<u64, String>,
}

impl Inputs {
    /// Reads everything.
    ///
    /// # Errors
    /// Says which file is wrong, and where.
    pub fn read(options: &Options) -> Result<Self, ModelError> {
        let mut cautions = Vec::new();
        let files = Files::read(options, &mut cautions)?;
        let topology = Topology::new(&files.network)?;
        let npus = topology.npus();
        let setup = files.setup(options, &mut cautions)?;
        let graphs = files.graphs(options, npus, &mut cautions)?;
        files.look_at(options, &graphs, &mut cautions)?;
        let network = match options.backend {
            Backend::Unaware => Network::unaware(topology),
            Backend::Aware => {
                let links = count_links(&topology);
                if links > MAX_LINKS {
                    return Err(ModelError::TooManyLinks(links));
                }
                Network::aware(topology)
            }
        };
        let parts = Parts {
            graphs,
            groups: files.groups.into_iter().collect(),
            setup: Arc::new(setup),
            memory: files.memory,
            replay_only: files.system.replay_only,
            roofline: files.system.roofline_enabled,
        };
        Ok(Inputs {
            npus,
            simulation: Simulation::new(network, parts),
            cautions,
        })
    }
}

/// A configuration file's text; of endless ones only so much that they are seen to be too large.
fn text(path: &Path) -> Result<String, ModelError> {
    let mut text = String::new();
    let read =
        fs::File::open(path).and_then(|file| file.take(MAX_BYTES as u64 + 1).read_to_string(&mut text));
    read.map(|_| text).map_err(|error| ModelError::Read {
        file: path.to_owned(),
        error,
    })
}

/// Reads a configuration file; keeps what its reader has to say.
fn config<T>(
    path: &Path,
    cautions: &mut Vec<String>,
    parse: impl FnOnce(&str, &str) -> Result<Parsed<T>, Diagnostics>,
) -> Result<T, ModelError> {
    let parsed = parse(&path.display().to_string(), &text(path)?)?;
    cautions.extend(parsed.notices.iter().map(ToString::to_string));
    Ok(parsed.value)
}

impl Files {
    fn read(options: &Options, cautions: &mut Vec<String>) -> Result<Self, ModelError> {
        let network = config(&options.network, cautions, NetworkConfig::parse)?;
        let system = config(&options.system, cautions, SystemConfig::parse)?;
        let memory = match &options.memory {
            Some(path) => config(path, cautions, RemoteMemory::parse)?,
            None => RemoteMemory::None,
        };
        let npus = network
            .dims
            .iter()
            .try_fold(1u32, |npus, dim| npus.checked_mul(dim.npus));
        let groups = match &options.groups {
            Some(path) => config(path, cautions, |name, text| CommGroups::parse(name, text, npus))?,
            None => CommGroups::default(),
        };
        let per_node = match &system.per_node_custom {
            Some(path) => config(Path::new(path), cautions, PerNode::parse)?.0,
            None => BTreeMap::new(),
        };
        let groups = groups.groups.into_iter().map(|(id, ranks)| (id, ranks.into()));
        Ok(Files {
            network,
            system,
            memory,
            groups: groups.collect(),
            per_node,
        })
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
        let npus = self.network.npus();
        let custom = CustomFiles::read(system, &self.per_node, npus)?;
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
            dimensions: self.network.dims.iter().map(|dim| dim.npus).collect(),
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
            endpoint_delay: system.endpoint_delay_ns.map_or(DEFAULT_ENDPOINT_DELAY, |ns| {
                (ns as f64 * options.injection_scale) as u64
            }),
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

    /// Whether the lists of implementations fit the network.
    fn fit(&self, cautions: &mut Vec<String>) -> Result<(), ModelError> {
        for misfit in self.system.misfits(self.network.dims()) {
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

    fn graphs(
        &self,
        options: &Options,
        npus: u32,
        cautions: &mut Vec<String>,
    ) -> Result<Vec<Arc<Graph>>, ModelError> {
        let rules = Rules {
            replay_only: self.system.replay_only,
            roofline: self.system.roofline_enabled.then_some(Roofline {
                peak_flops: self.system.peak_flops,
                bytes_per_s: self.system.local_mem_bytes_per_s,
            }),
            npus,
            extended: options.extended,
        };
        let mut unknown = BTreeMap::new();
        let mut last: Option<(Vec<u8>, Arc<Graph>)> = None;
        let mut graphs = Vec::with_capacity(npus as usize);
        for rank in 0..npus {
            let (file, bytes) = trace(&options.workload, rank, npus)?;
            // Most ranks of a job execute the same graph: it is kept once.
            if let Some((known, graph)) = &last
                && *known == bytes
                && is_the_same_everywhere(graph)
            {
                graphs.push(Arc::clone(graph));
                continue;
            }
            let trace = chakra::read(&bytes, &file)?;
            for (name, count) in trace.unknown_attributes() {
                *unknown.entry(name).or_insert(0) += count;
            }
            let graph = Graph::new(rank, trace.nodes, &rules).map_err(|error| ModelError::Trace {
                file,
                what: error.to_string(),
            })?;
            let graph = Arc::new(graph);
            graphs.push(Arc::clone(&graph));
            last = Some((bytes, graph));
        }
        if !unknown.is_empty() {
            let names: Vec<String> = unknown.keys().take(8).map(|name| format!("`{name}`")).collect();
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
        options: &Options,
        graphs: &[Arc<Graph>],
        cautions: &mut Vec<String>,
    ) -> Result<(), ModelError> {
        let mut doubts: BTreeMap<Doubt, u64> = BTreeMap::new();
        let (mut gathers, mut small_groups, mut four) = (false, false, false);
        let mut previous: Option<&Arc<Graph>> = None;
        for (rank, graph) in graphs.iter().enumerate() {
            if previous.is_some_and(|previous| Arc::ptr_eq(previous, graph)) && self.groups.is_empty() {
                continue;
            }
            previous = Some(graph);
            for (&doubt, &node) in &graph.doubts {
                doubts.entry(doubt).or_insert(node);
            }
            for node in graph.nodes() {
                match &node.work {
                    Work::Memory(_) if self.memory == RemoteMemory::None => {
                        return Err(ModelError::Misfit(format!(
                            "rank {rank}, node {} `{}`: remote memory access, but the memory type is NO_MEMORY_EXPANSION",
                            node.id,
                            node.name.escape_debug()
                        )));
                    }
                    Work::Collective(work) => {
                        gathers |= work.collective == crate::system::op::Collective::AllGather;
                        small_groups |= work.group != 0;
                        four |= work.group == 0 && work.dimensions == FIRST_FOUR;
                        self.check_group(rank as u32, graph, node.id, work.group)?;
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
        if four && self.network.dims() > 4 {
            cautions.push(
                "only the first four dimensions take part in collectives whose `involved_dim` names no more"
                    .into(),
            );
        }
        if small_groups
            && self
                .system
                .endpoint_delay_ns
                .is_some_and(|ns| ns != DEFAULT_ENDPOINT_DELAY)
        {
            cautions
                .push("groups smaller than all NPUs have an endpoint delay of 10 ns, whatever is set".into());
        }
        if options.backend == Backend::Unaware && self.system.active_chunks_per_dimension > 1 {
            cautions.push(
                "active-chunks-per-dimension > 1 without congestion: each active chunk has the links for itself"
                    .into(),
            );
        }
        if options.backend == Backend::Aware && self.network.dims() > 1 {
            cautions.push(
                "congestion on several dimensions is an extension; ASTRA-sim's backend knows one dimension only"
                    .into(),
            );
        }
        Ok(())
    }

    fn check_group(
        &self,
        rank: Rank,
        graph: &Graph,
        node: u64,
        group: CommunicatorId,
    ) -> Result<(), ModelError> {
        if group == 0 {
            return Ok(());
        }
        let own = graph.groups.get(&group).map(|ranks| &ranks[..]);
        let Some(ranks) = own.or(self.groups.get(&group).map(|ranks| &ranks[..])) else {
            let what = format!("rank {rank}, node {node}: communicator group {group} is not defined");
            return Err(ModelError::Misfit(what));
        };
        if !ranks.contains(&rank) {
            let what = format!("rank {rank}, node {node}: the rank is not in communicator group {group}");
            return Err(ModelError::Misfit(what));
        }
        Ok(())
    }
}

/// Whether no node depends on the rank whose graph it is.
fn is_the_same_everywhere(graph: &Graph) -> bool {
    let alike = |work: &Work| !matches!(work, Work::Send(_) | Work::Receive(_));
    graph.nodes().iter().all(|node| alike(&node.work))
}

/// The bytes of a rank's trace, and its name.
fn trace(prefix: &Path, rank: Rank, npus: u32) -> Result<(String, Vec<u8>), ModelError> {
    let mut path = prefix.as_os_str().to_owned();
    path.push(format!(".{rank}.et"));
    let path = PathBuf::from(path);
    let name = path.display().to_string();
    if let Ok(what) = fs::metadata(&path)
        && let Some(what) = unreadable(&what)
    {
        return Err(ModelError::Trace { file: name, what });
    }
    match fs::read(&path) {
        Ok(bytes) => Ok((name, bytes)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            Err(ModelError::MissingTrace { file: name, npus })
        }
        Err(error) => Err(ModelError::Read { file: path, error }),
    }
}

/// Why a file cannot be read as a whole, if it cannot.
fn unreadable(file: &fs::Metadata) -> Option<String> {
    if !file.is_file() && !file.is_dir() {
        return Some("it is no regular file: traces are read as a whole".into());
    }
    (file.len() > LARGEST_TRACE).then(|| format!("{} bytes are too many: at most 8 GiB are read", file.len()))
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
