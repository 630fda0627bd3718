//! What came of a simulation: when each rank finished and what it did meanwhile, or what it waits for.

use super::parts::Job;
use crate::network::message::Rank;
use crate::workload::graph::Class;

/// A rank that is through.
#[derive(Debug, Clone, PartialEq)]
pub struct Finished {
    /// The NPU that it is on; its own number, if there is one job.
    pub rank: Rank,
    /// Its job, by place.
    pub job: u32,
    /// Its number there.
    pub rank_in_job: Rank,
    /// Nanoseconds from the start of its job.
    pub cycles: u64,
    /// When it was through, ns from the start of all.
    pub end: u64,
    /// Nanoseconds in which the GPU did not compute: all of them, if it waited for memory or CPU, too.
    pub exposed: u64,
    /// Time of each class of nodes, where overlapping ones count once, ns.
    pub classes: Vec<(Class, u64)>,
    /// Averages over compute nodes under a roofline.
    pub roofline: Option<RooflineUse>,
}

/// How compute nodes used the device, weighted by their time.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct RooflineUse {
    /// Share of the compute time that the peak limits.
    pub compute_bound: f64,
    /// Share of the peak.
    pub compute: f64,
    /// Share of the memory's bandwidth.
    pub memory: f64,
    /// Flops per byte.
    pub intensity: f64,
}

/// A node that never ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stuck {
    /// The NPU of its rank.
    pub npu: Rank,
    /// Its rank, in words.
    pub who: String,
    /// Its number.
    pub node: u64,
    /// Its name.
    pub name: String,
    /// What it waits for.
    pub waits_for: String,
}

/// What came of a job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JobOutcome {
    /// Its name.
    pub name: Box<str>,
    /// Ranks.
    pub ranks: u32,
    /// Those that are through.
    pub finished: u32,
    /// When it started, ns.
    pub start: u64,
    /// Nanoseconds from there until its last rank was through; `None`: one never is.
    pub cycles: Option<u64>,
    /// The most exposed cycles of a rank.
    pub exposed: u64,
}

impl JobOutcome {
    pub(super) fn new(number: u32, job: &Job, finished: &[Finished]) -> Self {
        let of_job: Vec<&Finished> = finished.iter().filter(|rank| rank.job == number).collect();
        let last = of_job.iter().map(|rank| rank.cycles).max().unwrap_or(0);
        JobOutcome {
            name: job.name.clone(),
            ranks: job.ranks(),
            finished: of_job.len() as u32,
            start: job.start,
            cycles: (of_job.len() as u32 == job.ranks()).then_some(last),
            exposed: of_job.iter().map(|rank| rank.exposed).max().unwrap_or(0),
        }
    }
}

/// How a simulation ended.
#[derive(Debug, Clone, Default)]
pub struct Outcome {
    /// In the order of finishing; those of one time by NPU.
    pub finished: Vec<Finished>,
    /// Nodes that never end; of each rank that is not through, some.
    pub stuck: Vec<Stuck>,
    /// Each job, if they are placed.
    pub jobs: Vec<JobOutcome>,
    /// Messages sent.
    pub messages: u64,
    /// Events in virtual time.
    pub events: u64,
    /// Ranks whose graph went on from a node without work though nothing else ran.
    pub stalled_ranks: u64,
    /// Ranks that were simulated: all, or one that stood for all.
    pub simulated_ranks: u64,
}

impl Outcome {
    /// Lets rank 0 stand for `ranks` if that is more than one, and puts them in order.
    pub(super) fn repeat(&mut self, ranks: u32) {
        if let [one] = &self.finished[..]
            && ranks > 1
        {
            let all = (0..ranks).map(|rank| Finished {
                rank,
                rank_in_job: rank,
                ..one.clone()
            });
            self.finished = all.collect();
        }
        self.finished
            .sort_by_key(|finished| (finished.end, finished.rank));
    }
}

impl Finished {
    /// Nanoseconds in which compute and communication overlapped; `None` where ASTRA-sim cannot say,
    /// because there are nodes of other classes.
    pub fn overlap(&self) -> Option<u64> {
        let time = |class| self.classes.iter().find(|(c, _)| *c == class).map(|(_, t)| *t);
        if self
            .classes
            .iter()
            .any(|(class, _)| !matches!(class, Class::Gpu | Class::Comm))
        {
            return None;
        }
        match (time(Class::Gpu), time(Class::Comm)) {
            (Some(gpu), Some(comm)) => Some((gpu + comm).saturating_sub(self.cycles)),
            _ => Some(0),
        }
    }
}

/// Length of the union of intervals.
pub(super) fn union(mut intervals: Vec<(u64, u64)>) -> u64 {
    intervals.sort_unstable();
    let (mut total, mut open): (u64, Option<(u64, u64)>) = (0, None);
    for (start, end) in intervals {
        match &mut open {
            Some((_, until)) if start <= *until => *until = end.max(*until),
            _ => {
                total += open.map_or(0, |(from, until)| until - from);
                open = Some((start, end));
            }
        }
    }
    total + open.map_or(0, |(from, until)| until - from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_overlaps_counts_once() {
        assert_eq!(union(vec![(5, 9), (0, 3), (2, 4), (9, 10)]), 4 + 5);
        assert_eq!(union(vec![]), 0);
    }
}
