//! Operations that run now, and where the time of a collective goes while it does.

use std::collections::HashMap;

use super::Split;
use super::busy::Busy;
use crate::network::message::Rank;

/// A node that runs.
#[derive(Debug)]
pub(super) struct Live {
    pub place: u32,
    pub start: u64,
    pub what: What,
}

/// What it does.
#[derive(Debug)]
pub(super) enum What {
    Collective(Box<LiveCollective>),
    /// A message: where its pair is kept, and its turn there.
    Message {
        pair: u32,
        turn: u32,
        sends: bool,
    },
    Other,
}

/// A collective over the same members, the same time.
#[derive(Debug, Clone, Copy)]
pub struct Instance {
    /// Members that have not come yet.
    pub missing: u32,
    /// The member that came last so far: when, whose and which node.
    pub last: (u64, Rank, u32),
}

impl Instance {
    /// When the last member came.
    pub fn complete(&self) -> Option<u64> {
        (self.missing == 0).then_some(self.last.0)
    }
}

/// A rank's part in a collective.
#[derive(Debug, Default)]
pub(super) struct LiveCollective {
    pub sequence: u64,
    pub instance: u32,
    /// Up to when it is accounted for.
    pub since: u64,
    /// Until when something passes through the endpoint.
    pub settles_until: u64,
    pub split: Split,
    pub exposed: Split,
    pub dimensions: Vec<Dimension>,
    /// Since when each chunk is in its queue, and since when in its phase.
    pub chunks: HashMap<u32, (u64, u64)>,
}

/// Phases of a collective in one dimension.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Dimension {
    running: u32,
    since: u64,
    pub busy: u64,
    pub seen: bool,
}

impl LiveCollective {
    /// Accounts for the time up to `now`.
    pub fn integrate(&mut self, now: u64, complete: Option<u64>, busy: &Busy) {
        while self.since < now {
            let from = self.since;
            let (split, exposed) = (&mut self.split, &mut self.exposed);
            let (until, part, bare) = if from < self.settles_until {
                (self.settles_until, &mut split.endpoint, &mut exposed.endpoint)
            } else {
                match complete {
                    Some(at) if at <= from => (now, &mut split.network, &mut exposed.network),
                    at => (at.unwrap_or(now), &mut split.peers, &mut exposed.peers),
                }
            };
            let until = until.min(now);
            *part += until - from;
            *bare += until - from - busy.covered(from, until);
            self.since = until;
        }
    }

    /// Something passes through the endpoint from `now` on.
    pub fn settle(&mut self, now: u64, delay: u64) {
        self.settles_until = self.settles_until.max(now.saturating_add(delay));
    }

    pub fn phase_begins(&mut self, dimension: u32, now: u64) {
        let dimension = self.dimension(dimension);
        if dimension.running == 0 {
            dimension.since = now;
        }
        dimension.running += 1;
        dimension.seen = true;
    }

    pub fn phase_ends(&mut self, dimension: u32, now: u64) {
        let dimension = self.dimension(dimension);
        dimension.running = dimension.running.saturating_sub(1);
        if dimension.running == 0 {
            dimension.busy += now - dimension.since;
        }
    }

    fn dimension(&mut self, dimension: u32) -> &mut Dimension {
        let place = dimension as usize;
        if self.dimensions.len() <= place {
            self.dimensions.resize(place + 1, Dimension::default());
        }
        &mut self.dimensions[place]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_endpoint_goes_before_members_that_are_missing_and_both_before_the_network() {
        let mut busy = Busy::default();
        busy.add(5, 45);
        let mut live = LiveCollective::default();
        live.settle(0, 10);
        live.integrate(30, None, &busy);
        live.settle(30, 5);
        live.integrate(60, Some(40), &busy);
        let split = |endpoint, peers, network| Split {
            endpoint,
            peers,
            network,
        };
        assert_eq!(live.split, split(15, 25, 20), "10 + 5; 10..30 and 35..40; 40..60");
        assert_eq!(live.exposed, split(5, 0, 15), "compute hides 5..45");
    }
}
