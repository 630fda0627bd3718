//! From what every rank measured in an operation to the row that people read. All figures are
//! nominal: real times are divided by the plan's dilation, rates are those of the plan.

use serde::{Deserialize, Serialize};

use super::cautions::RowCaution;
use super::statistics::Times;
use crate::event::OpRecord;
use crate::network::message::Rank;
pub use crate::scenario::plan::payload_limit;
use crate::scenario::plan::{Network, OpPlan, Plan};
use crate::system::op::{Algorithm, Collective, DataType, ReduceOp};

/// What stands in place of a collective's name in the row of a trace.
pub const TRACE: &str = "trace";

/// One operation at one size, measured.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    /// Index into the plan's operations.
    pub index: usize,
    /// Which collective; of a trace, a barrier stands here: see [`Row::title`].
    pub op: Collective,
    /// By which algorithm.
    pub algorithm: Algorithm,
    /// Name of the communicator.
    pub communicator: String,
    /// Ranks of the communicator.
    pub ranks: u32,
    /// Size as nccl-tests counts it, bytes; of a trace, payload that all ranks send in an iteration.
    pub bytes: u64,
    /// The count argument of the call, elements: of one block for collectives made of blocks.
    pub count: u64,
    /// Element type.
    pub dtype: DataType,
    /// Reduction operator; `None` for collectives that do not reduce.
    pub redop: Option<ReduceOp>,
    /// Root's position; `None` for collectives that have none.
    pub root: Option<Rank>,
    /// Iterations before the measured ones.
    pub warmup: u32,
    /// Iterations that were to be measured.
    pub planned_iterations: u32,
    /// Iterations that all ranks finished.
    pub iterations: u32,
    /// The run did not end within this operation.
    pub complete: bool,
    /// Time of an iteration: the slowest rank's. Nominal microseconds; `None` when none was finished.
    pub time: Option<Times>,
    /// bytes / p50, Gbit/s (decimal); `None` for barriers and without times.
    pub algbw_gbps: Option<f64>,
    /// algbw x nccl-tests' factor, Gbit/s (decimal).
    pub busbw_gbps: Option<f64>,
    /// Payload rate of the busiest link / its payload limit; `None` where no shaped link is used.
    pub link_share: Option<f64>,
    /// Largest (counted - payload) / payload over the link directions that carry payload.
    pub link_overhead: Option<f64>,
    /// CPU seconds (user and system, real) of all ranks in the measured iterations.
    pub cpu_s: f64,
    /// Payload bytes that all ranks sent in the measured iterations.
    pub sent_bytes: u64,
    /// CPU seconds per 10^9 payload bytes sent; `None` when nothing was sent.
    pub cpu_s_per_gb: Option<f64>,
    /// Share of the cores that the ranks can use at most (one each) that they did use.
    pub cpu_use: Option<f64>,
    /// Share of the machine's CPU time that its hypervisor gave to others meanwhile.
    pub stolen_share: Option<f64>,
    /// Share of the machine's CPU time that other programs used meanwhile.
    pub others_share: Option<f64>,
    /// Elements found wrong by all ranks; `None` when not verified.
    pub wrong: Option<u64>,
    /// The plan's expectation, nominal microseconds. Modelled, not measured.
    pub expected_us: Option<f64>,
    /// Why the row is to be read with care.
    pub cautions: Vec<RowCaution>,
    /// Name of the trace that was played in place of a collective.
    pub trace: Option<String>,
    /// Name of the step whose circuits it was played over.
    pub step: Option<String>,
}

impl Row {
    /// The collective's name; `trace` for a trace.
    pub fn title(&self) -> String {
        match self.trace {
            Some(_) => TRACE.into(),
            None => name_of(&self.op),
        }
    }

    /// What `record` says of its operation on a machine with `cores` usable cores. `None` when the
    /// plan has no such operation.
    pub fn of(plan: &Plan, cores: u32, record: &OpRecord) -> Option<Row> {
        let planned = plan.ops.get(record.op)?;
        let op = &planned.op;
        let communicator = plan.communicators.iter().find(|c| c.id == op.communicator)?;
        let members: Vec<usize> = communicator.ranks.iter().map(|rank| *rank as usize).collect();
        let samples = iteration_us(record, &members, plan.dilation);
        let time = Times::of(&samples);
        let ranks = members.len() as u32;
        let algbw_gbps = time
            .filter(|_| op.collective != Collective::Barrier)
            .and_then(|time| gbps(op.bytes, time.p50));
        let cpu_s = record.cpu_s.iter().sum();
        let sent_bytes = record.sent_bytes.iter().sum();
        let mut row = Row {
            index: record.op,
            op: op.collective,
            algorithm: op.algorithm,
            communicator: communicator.name.clone(),
            ranks,
            bytes: planned
                .trace
                .as_ref()
                .map_or(op.bytes, |trace| trace.payload_bytes),
            count: count(op.collective, op.bytes, op.dtype, ranks),
            dtype: op.dtype,
            redop: reduces(op.collective).then_some(op.redop),
            root: has_root(op.collective).then_some(op.root),
            warmup: planned.warmup,
            planned_iterations: planned.iterations,
            iterations: samples.len() as u32,
            complete: record.complete,
            time,
            algbw_gbps,
            busbw_gbps: algbw_gbps.map(|algbw| algbw * op.collective.busbw_factor(ranks)),
            link_share: time.and_then(|time| link_share(&plan.network, planned, time.p50)),
            link_overhead: link_overhead(planned, record),
            cpu_s,
            sent_bytes,
            cpu_s_per_gb: (sent_bytes > 0).then(|| cpu_s / (sent_bytes as f64 / 1e9)),
            cpu_use: cpu_use(record, cpu_s, cores.min(ranks)),
            stolen_share: record.stolen_share,
            others_share: record.others_share,
            wrong: (!record.wrong.is_empty()).then(|| record.wrong.iter().sum()),
            expected_us: planned.expected.seconds.map(|seconds| seconds * 1e6),
            cautions: Vec::new(),
            trace: planned.trace.as_ref().map(|trace| trace.name.clone()),
            step: plan
                .optical
                .as_ref()
                .and_then(|optical| optical.step_of(record.op))
                .map(|step| step.name.clone()),
        };
        row.cautions = RowCaution::of(&row, plan, cores);
        Some(row)
    }
}

/// Nominal microseconds of each iteration: from the moment when the last member had finished the one
/// before (for the first: when the last member had started) to the moment when the last member has
/// finished it. Iterations follow each other without a pause, so their times add up to the wall time
/// of the row. Of a row cut short, members that are gone and handed nothing in are left out.
fn iteration_us(record: &OpRecord, members: &[usize], dilation: f64) -> Vec<f64> {
    let lists = |rank: &usize| {
        let lists = record.start_ns.get(*rank).zip(record.end_ns.get(*rank));
        lists.filter(|(_, end)| record.complete || !end.is_empty())
    };
    let lists: Vec<_> = members.iter().filter_map(lists).collect();
    let finished = lists
        .iter()
        .map(|(start, end)| start.len().min(end.len()))
        .min()
        .unwrap_or(0);
    let mut before = lists
        .iter()
        .filter_map(|(start, _)| start.first())
        .max()
        .copied()
        .unwrap_or(0);
    let mut since_last = |i: usize| {
        let last = lists.iter().map(|(_, end)| end[i]).max().unwrap_or(0);
        let took = last.saturating_sub(before);
        before = before.max(last);
        took as f64 / 1e3 / dilation
    };
    (0..finished).map(&mut since_last).collect()
}

/// Gbit/s of `bytes` in `us` microseconds; `None` for no time at all.
fn gbps(bytes: u64, us: f64) -> Option<f64> {
    (us > 0.0).then(|| bytes as f64 * 8.0 / 1e3 / us)
}

/// nccl-tests prints the call's count argument: of one rank's block where the operation is made of
/// blocks (nccl-tests, `*GetCollByteCount` in each `src/*.cu`).
fn count(collective: Collective, bytes: u64, dtype: DataType, ranks: u32) -> u64 {
    let elements = bytes / dtype.bytes();
    match collective {
        Collective::AllGather
        | Collective::ReduceScatter
        | Collective::AllToAll
        | Collective::Gather
        | Collective::Scatter => elements / u64::from(ranks.max(1)),
        _ => elements,
    }
}

/// Whether a collective has a reduction operator.
pub fn reduces(collective: Collective) -> bool {
    matches!(
        collective,
        Collective::AllReduce | Collective::ReduceScatter | Collective::Reduce
    )
}

/// Whether a collective has a root.
pub fn has_root(collective: Collective) -> bool {
    matches!(
        collective,
        Collective::Broadcast | Collective::Reduce | Collective::Gather | Collective::Scatter
    )
}

/// Of the shaped link directions, the largest share of its payload limit. All nominal.
fn link_share(network: &Network, planned: &OpPlan, p50_us: f64) -> Option<f64> {
    let shares = network
        .links
        .iter()
        .zip(&planned.link_bytes)
        .filter_map(|(link, bytes)| {
            let limit = payload_limit(link.rate?.0 as f64, network.mtu);
            Some(bytes[0].max(bytes[1]) / (p50_us / 1e6) / limit)
        });
    shares
        .filter(|share| share.is_finite() && *share > 0.0)
        .reduce(f64::max)
}

/// Counted bytes against planned payload (warm-up included in both). Only for complete operations:
/// of others it is not known how much was sent.
fn link_overhead(planned: &OpPlan, record: &OpRecord) -> Option<f64> {
    let iterations = f64::from(planned.warmup + planned.iterations);
    let pairs = record
        .link_bytes
        .iter()
        .zip(&planned.link_bytes)
        .filter(|_| record.complete);
    let directions = pairs.flat_map(|(counted, payload)| counted.iter().zip(payload));
    directions
        .filter(|(_, payload)| **payload > 0.0)
        .map(|(counted, payload)| *counted as f64 / (payload * iterations) - 1.0)
        .reduce(f64::max)
}

/// CPU seconds over what `cores` cores had to give from the first start to the last end.
fn cpu_use(record: &OpRecord, cpu_s: f64, cores: u32) -> Option<f64> {
    let first = record.start_ns.iter().flatten().min()?;
    let last = record.end_ns.iter().flatten().max()?;
    let span_s = last.saturating_sub(*first) as f64 / 1e9;
    (span_s > 0.0 && cores > 0).then(|| cpu_s / (span_s * f64::from(cores)))
}

/// The name that serde gives to a unit variant: `all-reduce`, `float32`.
pub fn name_of<T: Serialize>(value: &T) -> String {
    match serde_json::to_value(value) {
        Ok(serde_json::Value::String(name)) => name,
        _ => String::new(),
    }
}

/// The variant of a name that [`name_of`] gave.
pub fn named<'a, T: Deserialize<'a>>(name: &'a str) -> Option<T> {
    let name: serde::de::value::StrDeserializer<'a, serde::de::value::Error> =
        serde::de::IntoDeserializer::into_deserializer(name);
    T::deserialize(name).ok()
}
