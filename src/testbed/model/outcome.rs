//! What came of a simulation: when each rank finished and what it did meanwhile, or what it waits for.

use crate::network::message::Rank;
use crate::workload::graph::Class;

/// A rank that is through.
#[derive(Debug, Clone, PartialEq)]
pub struct Finished {
    /// Which.
    pub rank: Rank,
    /// When, ns.
    pub cycles: u64,
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
    /// Whose.
    pub rank: Rank,
    /// Its number.
    pub node: u64,
    /// Its name.
    pub name: String,
    /// What it waits for.
    pub waits_for: String,
}

/// How a simulation ended.
#[derive(Debug, Clone, Default)]
pub struct Outcome {
    /// In the order of finishing.
    pub finished: Vec<Finished>,
    /// Nodes that never end; of each rank that is not through, some.
    pub stuck: Vec<Stuck>,
    /// Messages sent.
    pub messages: u64,
    /// Events in virtual time.
    pub events: u64,
    /// Ranks whose graph went on from a node without work though nothing else ran.
    pub stalled_ranks: u64,
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
