//! ASTRA-sim's system file: how collectives are split, ordered and carried out. JSON, or the
//! `key: value` text of ASTRA-sim 1.0.
//!
//! * [`implementation`]: names of algorithms. [`custom`]: the YAML of custom algorithms by node.

pub mod custom;
pub mod implementation;
mod read;

use std::fmt;

pub use implementation::{Implementation, Implementations};

/// Everything that ASTRA-sim reads from a system file. What is missing and has no usable default
/// there is `None`: who plays it decides.
#[derive(Debug, Clone, PartialEq)]
pub struct SystemConfig {
    /// `scheduling-policy`: which of the waiting chunks runs first.
    pub scheduling_policy: Option<SchedulingPolicy>,
    /// `collective-optimization`: how an all-reduce goes over several dimensions.
    pub collective_optimization: Option<CollectiveOptimization>,
    /// `preferred-dataset-splits`: chunks of a collective; ASTRA-sim divides by 0 without it.
    pub preferred_dataset_splits: Option<u32>,
    /// `active-chunks-per-dimension`: chunks that run at once in the queues of a dimension.
    pub active_chunks_per_dimension: u32,
    /// `endpoint-delay`, ns: paid before the first send and after each receive. Missing: 10, which
    /// `--injection-scale` does not scale.
    pub endpoint_delay_ns: Option<u64>,
    /// `local-mem-bw`, bytes per second (the file has 10^9 bytes per second); 0 if missing.
    pub local_mem_bytes_per_s: f64,
    /// `local-reduction-delay`, ns; with a shared bus only.
    pub local_reduction_delay_ns: u64,
    /// `model-shared-bus`: the bus to memory, in place of the endpoint delay.
    pub shared_bus: Option<LogGp>,
    /// `peak-perf`, flop/s (the file has 10^12); 0 if missing.
    pub peak_flops: f64,
    /// `roofline-enabled`: compute nodes take the time of their flops and bytes.
    pub roofline_enabled: bool,
    /// `trace-enabled`: debug lines in ASTRA-sim's log.
    pub trace_enabled: bool,
    /// `replay-only`: every node takes its recorded duration.
    pub replay_only: bool,
    /// `track-local-mem`: peak memory from `inputs` and `outputs` of nodes.
    pub track_local_mem: bool,
    /// `local-mem-trace-filename`: where the memory's timeline goes.
    pub local_mem_trace_filename: String,
    /// `all-reduce-implementation`.
    pub all_reduce: Implementations,
    /// `all-gather-implementation`.
    pub all_gather: Implementations,
    /// `reduce-scatter-implementation`.
    pub reduce_scatter: Implementations,
    /// `all-to-all-implementation`.
    pub all_to_all: Implementations,
    /// `per-node-custom-implementation`: path of a file that [`custom::PerNode`] reads; its
    /// algorithms come before all others.
    pub per_node_custom: Option<String>,
}

/// Which of the waiting chunks runs first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SchedulingPolicy {
    /// That of the collective issued last.
    Lifo,
    /// That of the collective issued first.
    Fifo,
    /// That with the largest `comm_priority`.
    Explicit,
}

/// How an all-reduce goes over several dimensions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CollectiveOptimization {
    /// An all-reduce in each dimension in turn.
    Baseline,
    /// Reduce-scatter upwards, all-reduce in the last dimension, all-gather downwards.
    LocalBwAware,
}

/// Parameters of the shared bus, named as in the LogGP model (Alexandrov et al. 1995). 32-bit, as
/// ASTRA-sim keeps them.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LogGp {
    /// `L`: latency, ns.
    pub latency_ns: f32,
    /// `o`: overhead of a message, ns.
    pub overhead_ns: f32,
    /// `g`: gap between messages, ns.
    pub gap_ns: f32,
    /// `G`: gap per byte, ns.
    pub gap_per_byte_ns: f32,
}

/// A list of implementations that does not fit the network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Misfit {
    /// The key of the list.
    pub key: &'static str,
    /// Its length.
    pub given: usize,
    /// The network's dimensions.
    pub dims: usize,
    /// What does not fit.
    pub kind: MisfitKind,
}

/// Why a list does not fit the network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MisfitKind {
    /// Longer than the network has dimensions: ASTRA-sim aborts.
    TooLong,
    /// Shorter: ASTRA-sim silently communicates over the first dimensions only.
    TooShort,
    /// An implementation that flattens all dimensions, beside others.
    Flat,
}

impl Default for SystemConfig {
    /// ASTRA-sim's defaults: those of an empty file.
    fn default() -> Self {
        SystemConfig {
            scheduling_policy: None,
            collective_optimization: None,
            preferred_dataset_splits: None,
            active_chunks_per_dimension: 1,
            endpoint_delay_ns: None,
            local_mem_bytes_per_s: 0.0,
            local_reduction_delay_ns: 1,
            shared_bus: None,
            peak_flops: 0.0,
            roofline_enabled: false,
            trace_enabled: false,
            replay_only: false,
            track_local_mem: false,
            local_mem_trace_filename: "local_mem_trace".into(),
            all_reduce: Implementations::default(),
            all_gather: Implementations::default(),
            reduce_scatter: Implementations::default(),
            all_to_all: Implementations::default(),
            per_node_custom: None,
        }
    }
}

impl SystemConfig {
    /// What of the lists of implementations does not fit a network of so many dimensions. Missing
    /// lists fit: they matter only to collectives that need them.
    pub fn misfits(&self, dims: usize) -> Vec<Misfit> {
        let lists = [
            (read::ALL_REDUCE, &self.all_reduce),
            (read::ALL_GATHER, &self.all_gather),
            (read::REDUCE_SCATTER, &self.reduce_scatter),
            (read::ALL_TO_ALL, &self.all_to_all),
        ];
        let misfit = |(key, list): (&'static str, &Implementations)| {
            let kind = misfit(&list.native, dims)?;
            Some(Misfit {
                key,
                given: list.native.len(),
                dims,
                kind,
            })
        };
        lists.into_iter().filter_map(misfit).collect()
    }
}

fn misfit(list: &[Implementation], dims: usize) -> Option<MisfitKind> {
    if list.iter().any(|implementation| implementation.is_flat()) {
        return (list.len() > 1).then_some(MisfitKind::Flat);
    }
    match list.len() {
        0 => None,
        given if given > dims => Some(MisfitKind::TooLong),
        given if given < dims => Some(MisfitKind::TooShort),
        _ => None,
    }
}

impl fmt::Display for Misfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Misfit { key, given, dims, .. } = self;
        match self.kind {
            MisfitKind::TooLong => write!(
                f,
                "`{key}` lists {given} implementations for a network of {dims} dimensions"
            ),
            MisfitKind::TooShort => write!(
                f,
                "`{key}` lists {given} of {dims} dimensions: the others do not take part"
            ),
            MisfitKind::Flat => write!(
                f,
                "`{key}` lists {given} implementations, one of which flattens all dimensions and stands alone"
            ),
        }
    }
}
