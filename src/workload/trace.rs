//! Traces that are played in real time: where each rank's comes from, and what of it is played: a
//! graph whose collectives are operations of genie's own, times and sizes scaled as asked for.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::chakra::{self, Node};
use super::generate::emit::Emitter;
use super::generate::spec::Spec;
use super::generate::step;
use super::graph::{CollectiveWork, Graph, PeerWork, Rules, Work};
use crate::network::message::{CommunicatorId, Rank};
use crate::scenario::units::{Bandwidth, Duration};
use crate::system::collective;
use crate::system::op::{Algorithm, Collective, Op};

/// Bytes of an element: sizes are rounded up to whole ones.
const ELEMENT: u64 = 4;

/// Where the traces of all ranks come from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Source {
    /// `PREFIX.<rank>.et`.
    Files(PathBuf),
    /// Made by every rank for itself.
    Generated(Box<Spec>),
}

/// Which nodes may run side by side.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum LaneRule {
    /// As on a GPU: one compute at a time in the order of readiness; one collective of each
    /// communicator at a time, different communicators side by side; messages freely.
    #[default]
    Streams,
    /// As ASTRA-sim: one CPU operation, one compute, one collective or send at a time, the smallest
    /// ready number first; receives freely.
    Astra,
}

/// Neighbours that communicate by other means than the network (NVLink and the like).
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ScaleUp {
    /// Ranks of a domain, which are consecutive: the first so many ranks, the next so many, ...
    pub ranks: u32,
    /// What a rank can send into its domain.
    pub bandwidth: Bandwidth,
    /// Of each of an algorithm's rounds.
    #[serde(default = "no_time")]
    pub latency: Duration,
}

fn no_time() -> Duration {
    Duration(0)
}

impl ScaleUp {
    /// Whether ranks are all in one domain.
    pub fn holds(&self, ranks: &[Rank]) -> bool {
        let domain = |rank: &Rank| rank / self.ranks.max(1);
        ranks.windows(2).all(|pair| domain(&pair[0]) == domain(&pair[1]))
    }

    /// How long an operation among `n` ranks takes, ns: rounds x latency + bytes of the rank that sends
    /// the most / bandwidth (the alpha-beta model: Hockney, Parallel Computing 20, 1994).
    pub fn time_ns(&self, op: &Op, n: u32) -> u64 {
        let Ok(traffic) = collective::traffic(op, n) else {
            return 0;
        };
        let mut sent = vec![0u64; n as usize];
        for flow in &traffic.flows {
            sent[flow.from as usize] += flow.bytes;
        }
        let most = sent.into_iter().max().unwrap_or(0) as f64;
        let wire = most / self.bandwidth.bytes_per_second() * 1e9;
        (f64::from(traffic.rounds) * self.latency.0 as f64 + wire) as u64
    }
}

/// A group of a trace as a communicator of the run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Group {
    /// Its number in the trace; 0: all ranks.
    pub id: CommunicatorId,
    /// Its number in the run.
    pub communicator: CommunicatorId,
    /// World ranks in order of position.
    pub ranks: Vec<Rank>,
}

/// An algorithm in place of the one that genie would choose.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Choice {
    /// For this collective.
    pub collective: Collective,
    /// This one.
    pub algorithm: Algorithm,
}

/// All that a rank needs to play its part of a trace.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Recipe {
    /// Where traces come from.
    pub source: Source,
    /// Which nodes run side by side.
    pub lanes: LaneRule,
    /// Factor on times of compute.
    pub compute_scale: f64,
    /// Factor on bytes of communication.
    pub comm_scale: f64,
    /// Groups that are not put on the wire.
    pub scale_up: Option<ScaleUp>,
    /// Largest piece of a collective, bytes; 0: one piece.
    pub chunk_bytes: u64,
    /// Pieces in flight.
    pub chunks_in_flight: u32,
    /// Algorithms that were asked for.
    pub algorithms: Vec<Choice>,
    /// Groups of the trace.
    pub groups: Vec<Group>,
}

/// Why a rank's trace cannot be played.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what}")]
pub struct TraceError {
    /// What is wrong, and where.
    pub what: String,
    /// What may help.
    pub help: Option<String>,
}

impl TraceError {
    pub(crate) fn new(what: impl Into<String>) -> Self {
        TraceError {
            what: what.into(),
            help: None,
        }
    }
}

/// What a node does when it is played.
#[derive(Debug, Clone, PartialEq)]
pub enum Step {
    /// Takes so many nanoseconds, nominal.
    Delay(u64),
    /// An operation of a communicator.
    Collective(Op),
    /// An operation within a scale-up domain: takes so many nanoseconds, nominal, and no network.
    Modelled(Op, u64),
    /// Sends to a rank.
    Send(PeerWork),
    /// Receives from a rank.
    Receive(PeerWork),
    /// Nothing.
    Skip,
}

/// One rank's part.
#[derive(Debug)]
pub struct Part {
    /// Nodes and dependencies.
    pub graph: Graph,
    /// What each node does.
    pub steps: Vec<Step>,
}

impl Source {
    /// The nodes of a rank's trace, and the name that errors call it by.
    ///
    /// # Errors
    /// The file cannot be read; the job is not possible.
    pub fn nodes(&self, rank: Rank, ranks: u32) -> Result<(String, Vec<Node>), TraceError> {
        match self {
            Source::Files(prefix) => {
                let path = file_of(prefix, rank);
                let trace = chakra::open(&path).and_then(chakra::Reader::trace);
                let trace = trace.map_err(|error| TraceError {
                    what: error.to_string(),
                    help: error.help.map(str::to_owned),
                })?;
                Ok((path.display().to_string(), trace.nodes))
            }
            Source::Generated(spec) => {
                let job = spec.job(ranks).map_err(|error| TraceError {
                    what: error.message,
                    help: Some(error.help),
                })?;
                let emitter = Emitter::new(&job);
                let ops = step::stage(&job, job.layout.stage(rank));
                let node = |(id, op)| emitter.node(rank, id, op);
                let nodes = (0..).zip(&ops).map(node).collect();
                Ok((format!("generated {}, rank {rank}", spec.model), nodes))
            }
        }
    }

    /// A rank's trace as a graph.
    ///
    /// # Errors
    /// As [`Source::nodes`], and what [`Graph::new`] refuses.
    pub fn graph(&self, rank: Rank, ranks: u32) -> Result<(String, Graph), TraceError> {
        let (name, nodes) = self.nodes(rank, ranks)?;
        let rules = Rules {
            npus: ranks,
            extended: true,
            ..Rules::default()
        };
        let graph = Graph::new(rank, nodes, &rules);
        let graph = graph.map_err(|error| TraceError::new(format!("`{name}`: {error}")))?;
        Ok((name, graph))
    }
}

/// The file of a rank.
pub fn file_of(prefix: &Path, rank: Rank) -> PathBuf {
    let mut path = prefix.as_os_str().to_owned();
    path.push(format!(".{rank}.et"));
    path.into()
}

impl Recipe {
    /// What a rank plays.
    ///
    /// # Errors
    /// The trace cannot be read, or has nodes that cannot be played.
    pub fn part(&self, rank: Rank, ranks: u32) -> Result<Part, TraceError> {
        let (name, graph) = self.source.graph(rank, ranks)?;
        let mut modelled = BTreeMap::new();
        let steps: Result<Vec<Step>, TraceError> = graph
            .nodes()
            .iter()
            .map(|node| {
                self.step(rank, &node.work, &mut modelled).map_err(|what| {
                    let node_name = node.name.escape_debug();
                    TraceError::new(format!("`{name}`, node {} `{node_name}`: {what}", node.id))
                })
            })
            .collect();
        Ok(Part { steps: steps?, graph })
    }

    fn step(
        &self,
        rank: Rank,
        work: &Work,
        modelled: &mut BTreeMap<(CommunicatorId, u64, Collective), u64>,
    ) -> Result<Step, String> {
        Ok(match work {
            Work::Delay(ns) => Step::Delay(scale(*ns, self.compute_scale)),
            Work::Compute(estimate) => Step::Delay(scale(estimate.ns, self.compute_scale)),
            Work::Skip => Step::Skip,
            Work::Send(peer) => Step::Send(self.peer(rank, peer)?),
            Work::Receive(peer) => Step::Receive(self.peer(rank, peer)?),
            Work::Memory(_) => return Err("remote memory cannot be played in real time".into()),
            Work::Collective(work) => {
                let (op, group) = self.op(rank, work)?;
                let n = group.ranks.len() as u32;
                let op = Op {
                    algorithm: collective::algorithm(&op, n),
                    ..op
                };
                collective::supports(op.collective, op.algorithm).map_err(|error| error.to_string())?;
                match self.scale_up.filter(|domain| domain.holds(&group.ranks)) {
                    Some(domain) => {
                        let key = (op.communicator, op.bytes, op.collective);
                        let ns = *modelled.entry(key).or_insert_with(|| domain.time_ns(&op, n));
                        Step::Modelled(op, ns)
                    }
                    None => Step::Collective(op),
                }
            }
        })
    }

    /// A collective as genie counts it: an all-gather's bytes are those of the result.
    fn op(&self, rank: Rank, work: &CollectiveWork) -> Result<(Op, &Group), String> {
        let group = self.groups.iter().find(|group| group.id == work.group);
        let group = group.ok_or_else(|| format!("communicator group {} is not defined", work.group))?;
        if !group.ranks.contains(&rank) {
            return Err(format!("rank {rank} is not in communicator group {}", work.group));
        }
        let n = group.ranks.len() as u64;
        if work.root as usize >= group.ranks.len() {
            return Err(format!("root {} is outside its group of {n} ranks", work.root));
        }
        let barrier = work.collective == Collective::Barrier;
        if work.bytes == 0 && !barrier {
            return Err(format!("{} of 0 bytes (`comm_size`)", work.collective));
        }
        let whole = match work.collective {
            Collective::AllGather => work.bytes.saturating_mul(n),
            _ => work.bytes,
        };
        let choice = self
            .algorithms
            .iter()
            .find(|choice| choice.collective == work.collective);
        let op = Op {
            communicator: group.communicator,
            root: work.root,
            chunk_bytes: self.chunk_bytes,
            chunks_in_flight: self.chunks_in_flight,
            ..Op::new(
                work.collective,
                choice.map_or(Algorithm::Auto, |choice| choice.algorithm),
                if barrier { 0 } else { self.bytes(whole)? },
            )
        };
        Ok((op, group))
    }

    fn peer(&self, rank: Rank, peer: &PeerWork) -> Result<PeerWork, String> {
        if peer.rank == rank {
            return Err("a message to the rank itself".into());
        }
        if peer.bytes == 0 {
            return Err("a message of 0 bytes (`comm_size`)".into());
        }
        Ok(PeerWork {
            bytes: self.bytes(peer.bytes)?,
            ..*peer
        })
    }

    fn bytes(&self, bytes: u64) -> Result<u64, String> {
        let scaled = scale(bytes, self.comm_scale)
            .max(1)
            .div_ceil(ELEMENT)
            .saturating_mul(ELEMENT);
        match scaled <= 1 << 40 {
            true => Ok(scaled),
            false => Err(format!(
                "{bytes} bytes (`comm_size`); at most 1 TiB can be played"
            )),
        }
    }
}

fn scale(value: u64, factor: f64) -> u64 {
    if factor == 1.0 {
        value
    } else {
        (value as f64 * factor).round() as u64
    }
}
