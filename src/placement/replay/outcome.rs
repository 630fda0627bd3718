//! What came of a replay, as figures.

use crate::placement::checker::Fault;
use crate::placement::policy::Refusal;

/// Figures of one replay.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Outcome {
    /// Jobs that arrived.
    pub jobs: u64,
    /// Completion minus arrival of jobs that completed, hours, ascending. The others were refused on
    /// arrival, because even the empty machine has no room for them.
    pub jct: Vec<f64>,
    /// Share of nodes in use, over the time from the first arrival to the last start.
    pub utilisation_time: f64,
    /// The same, as the mean over all arrivals and completions.
    pub utilisation_event: f64,
    /// Hours that jobs waited in the queue, all together, by why its head could not start: resource, shape, wiring.
    pub waiting: [f64; 3],
    /// Circuits made that did not stand already.
    pub changed: u64,
    /// Placements that were verified.
    pub verified: u64,
    /// The first that was found wrong.
    pub fault: Option<Fault>,
    /// Mean factor by which jobs ran longer for sharing links.
    pub slowdown: f64,
    /// Times at which jobs started, microseconds, by job; `None` if it was refused.
    pub starts: Vec<Option<u64>>,
}

impl Outcome {
    /// Share of jobs that completed.
    pub fn completion_rate(&self) -> f64 {
        self.jct.len() as f64 / self.jobs.max(1) as f64
    }

    /// The JCT below which a share of the completed jobs stays (nearest rank), hours; `None` without any.
    pub fn jct_at(&self, share: f64) -> Option<f64> {
        let rank = (share * self.jct.len() as f64).ceil() as usize;
        self.jct.get(rank.clamp(1, self.jct.len().max(1)) - 1).copied()
    }
}

/// Where a refusal's waiting is counted.
pub fn column(refusal: Refusal) -> usize {
    match refusal {
        Refusal::Resource => 0,
        Refusal::Shape => 1,
        Refusal::Wiring => 2,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_of_nearest_rank_and_of_nothing_there_is_none() {
        let outcome = Outcome {
            jobs: 4,
            jct: vec![1.0, 2.0, 10.0],
            ..Outcome::default()
        };
        assert_eq!(
            (outcome.jct_at(0.5), outcome.jct_at(0.99)),
            (Some(2.0), Some(10.0))
        );
        assert_eq!(outcome.completion_rate(), 0.75);
        assert_eq!(Outcome::default().jct_at(0.5), None);
    }
}
