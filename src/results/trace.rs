//! Traces: what was measured of their nodes beside what the model says of the same ones. Both are
//! summed up by the same code and never mixed.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::statistics::Times;
use crate::event::{NodeLabel, NodeTime, TraceModel, TracePlayed};

/// A trace, measured and modelled. Times are nominal microseconds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TraceReport {
    /// Index into the plan's operations.
    pub op: usize,
    /// Its name.
    pub name: String,
    /// Nodes of all ranks in one iteration.
    pub nodes: u64,
    /// From the run.
    pub measured: TraceFigures,
    /// From virtual time over the network as calibrated.
    pub modelled: Option<TraceFigures>,
    /// Why nothing is modelled, in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_modelled: Option<String>,
    /// What the model takes the network to be.
    pub modelled_network: Option<String>,
    /// Measured over modelled iteration.
    pub ratio: Option<f64>,
    /// Nodes alike in kind, size and number of ranks.
    pub kinds: Vec<KindReport>,
}

/// An iteration.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct TraceFigures {
    /// From the end of an iteration to that of the next (measured: median).
    pub iteration_us: f64,
    /// Time in which a rank computes, CPU or GPU, overlapping ones once; mean of ranks and iterations.
    pub compute_us: f64,
    /// The rest: communication that compute does not hide, and waiting.
    pub exposed_us: f64,
}

/// Nodes that are alike.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct KindReport {
    /// `compute`, `send`, `receive`, or the collective; ` (scale-up)` behind one that is only timed.
    pub kind: String,
    /// Ranks that take part.
    pub ranks: u32,
    /// Bytes of a message, or as nccl-tests counts a collective.
    pub bytes: u64,
    /// Nodes of all ranks in one iteration.
    pub nodes: u64,
    /// From start to end on a rank, waiting for others included.
    pub measured_us: Option<Times>,
    /// Likewise in the model.
    pub modelled_us: Option<Times>,
    /// Measured over modelled median.
    pub ratio: Option<f64>,
}

/// What ranks have said of a trace that is being played.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Gathered {
    ranks: Vec<TracePlayed>,
}

type Kind = (String, u32, u64);

impl Gathered {
    /// Takes in one rank's.
    pub fn add(&mut self, played: &TracePlayed) {
        self.ranks.push(played.clone());
    }

    /// Sums it up. `iterations_us`: measured times of iterations; `dilation`: real over nominal time.
    pub fn report(
        &self,
        op: usize,
        name: &str,
        median_us: f64,
        dilation: f64,
        model: Result<&TraceModel, &str>,
    ) -> TraceReport {
        let (model, not_modelled) = (model.ok(), model.err().map(str::to_owned));
        let real = |played: &'_ TracePlayed| played.times.clone();
        let measured = Summed::of(&self.ranks, real, dilation);
        let modelled = model.map(|model| {
            let of_rank =
                |played: &TracePlayed| model.times.get(played.rank as usize).cloned().unwrap_or_default();
            Summed::of(&self.ranks, of_rank, 1.0)
        });
        let model_us = model.map(|model| model.iteration_ns as f64 / 1e3);
        let figures = |iteration_us: f64, compute_us: f64| TraceFigures {
            iteration_us,
            compute_us,
            exposed_us: (iteration_us - compute_us).max(0.0),
        };
        TraceReport {
            op,
            name: name.to_owned(),
            nodes: measured.counts.values().sum(),
            ratio: model_us.filter(|us| *us > 0.0).map(|us| median_us / us),
            kinds: kinds(&measured, modelled.as_ref()),
            measured: figures(median_us, measured.compute_us),
            modelled: modelled.zip(model_us).map(|(m, us)| figures(us, m.compute_us)),
            not_modelled,
            modelled_network: model.map(|model| model.network.clone()),
        }
    }
}

fn kinds(measured: &Summed, modelled: Option<&Summed>) -> Vec<KindReport> {
    let report = |(kind, nodes): (&Kind, &u64)| {
        let of = |summed: &Summed| summed.samples.get(kind).and_then(|samples| Times::of(samples));
        let (measured_us, modelled_us) = (of(measured), modelled.and_then(of));
        let ratio = measured_us
            .zip(modelled_us)
            .filter(|(_, modelled)| modelled.p50 > 0.0);
        KindReport {
            kind: kind.0.clone(),
            ranks: kind.1,
            bytes: kind.2,
            nodes: *nodes,
            measured_us,
            modelled_us,
            ratio: ratio.map(|(measured, modelled)| measured.p50 / modelled.p50),
        }
    };
    measured.counts.iter().map(report).collect()
}

/// Durations by kind, nominal microseconds.
struct Summed {
    samples: BTreeMap<Kind, Vec<f64>>,
    counts: BTreeMap<Kind, u64>,
    compute_us: f64,
}

impl Summed {
    fn of(ranks: &[TracePlayed], times: impl Fn(&TracePlayed) -> Vec<NodeTime>, dilation: f64) -> Self {
        let mut summed = Summed {
            samples: BTreeMap::new(),
            counts: BTreeMap::new(),
            compute_us: 0.0,
        };
        let (mut busy, mut iterations) = (0.0, 0u64);
        for rank in ranks {
            let times = times(rank);
            for label in rank.labels.iter().filter(|label| label.kind != "none") {
                *summed.counts.entry(kind_of(label)).or_default() += 1;
            }
            let mut computes: BTreeMap<u64, Vec<(u64, u64)>> = BTreeMap::new();
            for [iteration, node, start, end, _] in times {
                let Some(label) = rank.labels.get(node as usize) else {
                    continue;
                };
                let us = end.saturating_sub(start) as f64 / 1e3 / dilation;
                summed.samples.entry(kind_of(label)).or_default().push(us);
                let computes = computes.entry(iteration).or_default();
                if label.kind == "compute" {
                    computes.push((start, end));
                }
            }
            iterations += computes.len() as u64;
            busy += computes.into_values().map(union).sum::<u64>() as f64;
        }
        summed.compute_us = busy / 1e3 / dilation / iterations.max(1) as f64;
        summed
    }
}

/// Computes are one kind, whatever they take.
fn kind_of(label: &NodeLabel) -> Kind {
    (label.kind.clone(), label.ranks, label.bytes)
}

/// Length of the union of intervals.
fn union(mut intervals: Vec<(u64, u64)>) -> u64 {
    intervals.sort_unstable();
    let (mut total, mut until) = (0, 0);
    for (start, end) in intervals {
        total += end.max(until) - start.max(until);
        until = until.max(end);
    }
    total
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn overlapping_computes_count_once() {
        assert_eq!(union(vec![(5, 9), (0, 3), (2, 4), (6, 7)]), 4 + 4);
        assert_eq!(union(Vec::new()), 0);
    }
}
