//! What is seen of a change: probes go out of every port that moves from shortly before the first command until each
//! is heard at its new far end; the imitations say when light went and came; the kernel counts what hosts could not
//! send.

use std::collections::{BTreeMap, BTreeSet};
use std::thread;
use std::time::{Duration, Instant};

use genie_emu::fabric::probe::{Heard, Probe};
use genie_emu::ocs::light::Flash;

use super::Optics;
use super::bench::Bench;
use crate::event::LinkDark;
use crate::scenario::plan::optical::Joint;

/// Between two probes out of one port.
const EVERY: Duration = Duration::from_micros(500);
/// Probes of all ports together: no more than one in so long.
const SPACING: Duration = Duration::from_micros(40);
/// Probes take no more than this share of the slowest link.
const SHARE: f64 = 0.01;
/// Bits of a probe's frame on the wire: Ethernet, IPv4, UDP and 20 bytes.
const PROBE_BITS: f64 = 8.0 * (14.0 + 20.0 + 8.0 + 20.0);
/// Most ends of links that are probed; of more, the first.
const MOST_ENDS: usize = 256;
/// So long is waited for probes to be heard.
const PATIENCE: Duration = Duration::from_millis(500);

/// An end of a link whose circuit changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Moved {
    switch: usize,
    link: usize,
    side: usize,
    /// The link at the other port of its circuit, before and after.
    before: Option<usize>,
    after: Option<usize>,
}

/// What is looked at from before a change until after it.
#[derive(Debug)]
pub(super) struct Watch {
    ends: Vec<Moved>,
    probe: Option<Probe>,
    /// Links that are in circuits before or afterwards.
    links: BTreeSet<usize>,
    /// Frames that could not be sent into each of them before; `None`: the kernel does not say.
    unsent: Option<BTreeMap<usize, u64>>,
}

/// What was seen of a change.
#[derive(Debug)]
pub(super) struct Seen {
    ends: Vec<Moved>,
    flashes: Vec<Flash>,
    /// The probes, if any port moved.
    pub heard: Option<Heard>,
    /// Between two of them.
    pub every: Option<Duration>,
    /// Those that did not arrive.
    pub probes_lost: u64,
    /// Other frames that dark ports have lost, at least; `None`: the kernel does not say.
    pub lost_frames: Option<u64>,
}

impl Optics {
    /// Begins to watch a change of circuits.
    pub(super) fn watch(&self, before: &[Joint], after: &[Joint]) -> Result<Watch, String> {
        let ends = self.moved(before, after);
        for bench in &self.benches {
            bench.flashes(); // what happened before is no part of this
        }
        let links: BTreeSet<usize> = before.iter().chain(after).flat_map(|joint| joint.links).collect();
        Ok(Watch {
            unsent: self.fabric.unsent(&links).ok(),
            probe: self.probe(&ends)?,
            ends,
            links,
        })
    }

    /// Waits until probes are heard over the new circuits, and ends the watch.
    pub(super) fn see(&self, watch: Watch) -> Seen {
        let Watch {
            ends,
            probe,
            links,
            unsent,
        } = watch;
        let heard = probe.map(|probe| self.listen(probe, &ends));
        let lost_of = |(end, moved): (usize, &Moved)| {
            let lost = heard.as_ref().map_or(0, |heard| heard.lost(end));
            (moved.link, lost)
        };
        let probes: BTreeMap<usize, u64> = ends.iter().enumerate().map(lost_of).collect();
        let unsent = unsent.zip(self.fabric.unsent(&links).ok());
        Seen {
            flashes: self.benches.iter().flat_map(Bench::flashes).collect(),
            every: heard.as_ref().map(|_| self.every(ends.len())),
            probes_lost: probes.values().sum(),
            lost_frames: unsent.map(|(before, after)| lost_frames(&before, &after, &probes)),
            heard,
            ends,
        }
    }

    /// How long each end that moved was dark.
    pub(super) fn dark_times(&self, seen: &Seen) -> Vec<LinkDark> {
        let ends = seen.ends.iter().enumerate();
        ends.map(|(number, end)| self.dark(number, end, seen)).collect()
    }

    /// The ends of links, away from the switch, whose circuit is another one afterwards.
    fn moved(&self, before: &[Joint], after: &[Joint]) -> Vec<Moved> {
        let (old, new) = (far_links(before), far_links(after));
        let all: BTreeSet<usize> = old.keys().chain(new.keys()).copied().collect();
        let changed = all.into_iter().filter(|link| old.get(link) != new.get(link));
        let end = |link: usize| {
            let switch = self
                .plan
                .switches
                .iter()
                .position(|s| s.links.iter().any(|(_, l)| *l == link))?;
            let node = self.plan.switches[switch].node;
            let side = self.names.links[link].1.iter().position(|n| *n != node)?;
            Some(Moved {
                switch,
                link,
                side,
                before: old.get(&link).copied(),
                after: new.get(&link).copied(),
            })
        };
        changed.filter_map(end).collect()
    }

    fn every(&self, ends: usize) -> Duration {
        let polite = self
            .slowest_bps
            .map_or(0.0, |rate| PROBE_BITS / (rate as f64 * SHARE));
        EVERY
            .max(SPACING * ends.min(MOST_ENDS) as u32)
            .max(Duration::from_secs_f64(polite))
    }

    /// Probes out of the ends that move; every end that is lit is heard before this returns.
    fn probe(&self, ends: &[Moved]) -> Result<Option<Probe>, String> {
        if ends.is_empty() {
            return Ok(None);
        }
        let probed: Vec<(usize, usize)> = ends
            .iter()
            .take(MOST_ENDS)
            .map(|end| (end.link, end.side))
            .collect();
        let probe = self
            .fabric
            .probe(&probed, self.every(ends.len()))
            .map_err(|e| e.to_string())?;
        wait_for(self.every(ends.len()), || {
            let latest = probe.latest();
            let heard = |(end, moved): (usize, &Moved)| moved.before.is_none() || latest[end].is_some();
            ends.iter().take(MOST_ENDS).enumerate().all(heard)
        });
        Ok(Some(probe))
    }

    /// Waits until every end that is lit now hears its new far end, then ends the stream.
    fn listen(&self, probe: Probe, ends: &[Moved]) -> Heard {
        let number_of = |link: usize| ends.iter().position(|end| end.link == link);
        wait_for(self.every(ends.len()), || {
            let latest = probe.latest();
            let heard = |(end, moved): (usize, &Moved)| {
                let far = moved.after.and_then(number_of).filter(|far| *far < MOST_ENDS);
                far.is_none() || latest[end].map(|arrival| arrival.from) == far
            };
            ends.iter().take(MOST_ENDS).enumerate().all(heard)
        });
        probe.finish()
    }

    /// How long an end was dark, by light and by traffic.
    fn dark(&self, number: usize, end: &Moved, seen: &Seen) -> LinkDark {
        let at = |lit: bool| {
            let mut flashes = seen.flashes.iter();
            flashes.find(|flash| flash.link == end.link && flash.lit == lit)
        };
        let by_light = at(false)
            .zip(at(true))
            .map(|(gone, come)| come.followed.saturating_duration_since(gone.at));
        let moves = end.before.is_some() && end.after.is_some();
        let heard = seen.heard.as_ref().filter(|_| moves);
        let silence = heard.and_then(|heard| heard.silence(number));
        let far = |link: Option<usize>| link.map(|link| self.far_name(link));
        let (name, nodes) = &self.names.links[end.link];
        LinkDark {
            ocs: self.names.nodes[self.plan.switches[end.switch].node].clone(),
            link: name.clone(),
            node: self.names.nodes[nodes[end.side]].clone(),
            before: far(end.before),
            after: far(end.after),
            dark_light_s: by_light.filter(|_| moves).map(|time| time.as_secs_f64()),
            dark_traffic_s: silence.map(|time| time.as_secs_f64()),
        }
    }

    /// The node at the far end of a link from its switch.
    fn far_name(&self, link: usize) -> String {
        let optical = |node: &usize| self.plan.switches.iter().any(|switch| switch.node == *node);
        let nodes = &self.names.links[link].1;
        let node = nodes.iter().find(|node| !optical(node)).unwrap_or(&nodes[0]);
        self.names.nodes[*node].clone()
    }
}

/// By link, that at the other port of its circuit.
fn far_links(circuits: &[Joint]) -> BTreeMap<usize, usize> {
    let both = |joint: &Joint| {
        let [a, b] = joint.links;
        [(a, b), (b, a)]
    };
    circuits.iter().flat_map(both).collect()
}

/// Frames that were lost at dark ports, at least, by what could not be sent into each link before and after and how
/// many of its probes did not arrive. The kernel counts a probe at a dark port like any frame; one that was under
/// way when light went, or that the far end could not take yet, it does not.
fn lost_frames(
    before: &BTreeMap<usize, u64>,
    after: &BTreeMap<usize, u64>,
    probes: &BTreeMap<usize, u64>,
) -> u64 {
    let of = |counts: &BTreeMap<usize, u64>, link: &usize| counts.get(link).copied().unwrap_or(0);
    let lost = |(link, after): (&usize, &u64)| {
        let unsent = after.saturating_sub(of(before, link));
        unsent.saturating_sub(of(probes, link))
    };
    after.iter().map(lost).sum()
}

/// Looks until it is so, or patience ends.
fn wait_for(every: Duration, so: impl Fn() -> bool) {
    let end = Instant::now() + PATIENCE.max(8 * every);
    while !so() && Instant::now() < end {
        thread::sleep(Duration::from_millis(1));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Link 1 is idle and lost 40 probes, of which the kernel has counted 38; link 2 could not send 100 frames and
    /// 40 probes; link 3 is beyond those that are probed. What link 1's two were is not taken from link 2.
    #[test]
    fn probes_that_the_kernel_did_not_count_are_not_taken_from_frames_of_other_ports() {
        let before = BTreeMap::from([(1, 5), (2, 0), (3, 7)]);
        let after = BTreeMap::from([(1, 43), (2, 140), (3, 10)]);
        let probes = BTreeMap::from([(1, 40), (2, 40)]);
        assert_eq!(lost_frames(&before, &after, &probes), 100 + 3);
    }
}
