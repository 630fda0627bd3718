//! One reconfiguration: routes, then all switches side by side, then links; and what traffic saw of it. Probes
//! go out of every port that moves from shortly before the first command until each is heard at its new far
//! end.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, Instant};

use genie_drivers::ocs::{Applied, Circuit};
use genie_emu::fabric::probe::{Heard, Probe};
use genie_emu::ocs::light::Flash;

use super::bench::Bench;
use super::{Optics, lock};
use crate::event::{LinkDark, Reconfiguration, SwitchChange};
use crate::scenario::plan::optical::{Joint, Wiring};
use crate::testbed::fabric::emulated;

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
/// So long is waited for probes to be heard, and for links to come up once mirrors have settled.
const PATIENCE: Duration = Duration::from_millis(500);
/// Carriers follow the light within milliseconds unless the machine is overwhelmed.
const CARRIER: Duration = Duration::from_secs(5);

/// When a change is made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Moment {
    /// Name of the step.
    pub step: String,
    /// The operation that is played meanwhile, or that is next.
    pub op: usize,
    /// It is played meanwhile.
    pub during: bool,
}

impl Optics {
    /// Makes the circuits and routes of `wiring` the ones that stand.
    pub fn reconfigure(
        &self,
        wiring: &Wiring,
        moment: &Moment,
        started: Instant,
    ) -> Result<Reconfiguration, String> {
        let before = lock(&self.standing).clone();
        let ends = self.moved(&before, &wiring.circuits);
        for bench in &self.benches {
            bench.flashes(); // what happened before is no part of this
        }
        let unsent = self.unsent(&before, &wiring.circuits);
        let probe = self.probe(&ends)?;
        let at_s = started.elapsed().as_secs_f64();
        let routes = emulated::routes(self.fabric.spec(), &wiring.routes)?;
        self.fabric.reroute(&routes).map_err(|e| e.to_string())?;
        let changed = self.program(wiring);
        lock(&self.standing).clone_from(&wiring.circuits);
        let mut changed = changed?;
        let heard = probe.map(|probe| self.listen(probe, &ends));
        if let Some(failure) = self.benches.iter().find_map(Bench::failure) {
            return Err(failure);
        }
        let number = self.changes.fetch_add(1, Ordering::Relaxed);
        let flashes: Vec<Flash> = self.benches.iter().flat_map(Bench::flashes).collect();
        let links = ends.iter().enumerate();
        let links: Vec<LinkDark> = links
            .map(|(end, moved)| self.dark(end, moved, heard.as_ref(), &flashes))
            .collect();
        for switch in &mut changed {
            let own = || links.iter().filter(|link| link.ocs == switch.ocs);
            let longest = |times: Vec<f64>| times.into_iter().reduce(f64::max);
            switch.dark_light_s = longest(own().filter_map(|link| link.dark_light_s).collect());
            switch.dark_traffic_s = longest(own().filter_map(|link| link.dark_traffic_s).collect());
        }
        let lost: Vec<u64> = (0..ends.len())
            .map(|end| heard.as_ref().map_or(0, |heard| heard.lost(end)))
            .collect();
        let after = self.unsent(&before, &wiring.circuits);
        let frames = unsent.zip(after).map(|(before, after)| {
            let lost = ends.iter().map(|end| end.link).zip(lost.iter().copied());
            lost_frames(&before, &after, &lost.collect())
        });
        Ok(Reconfiguration {
            number,
            step: moment.step.clone(),
            op: moment.op,
            during: moment.during,
            at_s,
            switches: changed,
            links,
            lost_frames: frames,
            probes_lost: lost.iter().sum(),
            probe_every_s: heard.as_ref().map(|_| self.every(ends.len()).as_secs_f64()),
            probe_pause_s: heard.as_ref().map(|heard| heard.longest_pause.as_secs_f64()),
            retransmits: None, // known when the next change comes, or the operation is over
        })
    }

    /// All switches side by side, each with its links.
    fn program(&self, wiring: &Wiring) -> Result<Vec<SwitchChange>, String> {
        let wanted = |number: usize| -> BTreeSet<Circuit> {
            let own = wiring.circuits.iter().filter(|joint| joint.switch == number);
            own.flat_map(|joint| {
                let [a, b] = joint.ports;
                [Circuit::new(a, b), Circuit::new(b, a)]
            })
            .collect()
        };
        let links = |number: usize| -> Vec<usize> {
            let own = wiring.circuits.iter().filter(|joint| joint.switch == number);
            own.flat_map(|joint| joint.links).collect()
        };
        let same = |number: usize| {
            let of = |circuits: &[Joint]| -> BTreeSet<Joint> {
                circuits
                    .iter()
                    .filter(|joint| joint.switch == number)
                    .copied()
                    .collect()
            };
            of(&lock(&self.standing)) == of(&wiring.circuits)
        };
        let concerned: Vec<usize> = (0..self.benches.len()).filter(|number| !same(*number)).collect();
        let one = |number: usize| -> Result<SwitchChange, String> {
            let applied = self.benches[number].apply(&wanted(number))?;
            let settled = Instant::now();
            let down = self
                .fabric
                .wait_up(&links(number), CARRIER)
                .map_err(|e| e.to_string())?;
            if let Some(link) = down.first() {
                let name = &self.names.links[*link].0;
                let ocs = self.benches[number].name();
                let dark = || format!("its mirrors have settled, and link {name} has no carrier");
                let why = self.benches[number].failure().unwrap_or_else(dark);
                return Err(format!("optical switch {ocs}: {why}"));
            }
            Ok(self.switch_change(number, &applied, settled.elapsed()))
        };
        let results: Vec<Result<SwitchChange, String>> = thread::scope(|scope| {
            let threads: Vec<_> = concerned
                .iter()
                .map(|&number| scope.spawn(move || one(number)))
                .collect();
            let joined = threads.into_iter().map(|thread| {
                let panicked = |_| Err("a thread that programs an optical switch panicked".to_owned());
                thread.join().unwrap_or_else(panicked)
            });
            joined.collect()
        });
        results.into_iter().collect()
    }

    fn switch_change(&self, number: usize, applied: &Applied, link_up: Duration) -> SwitchChange {
        let plan = &self.plan.switches[number];
        let text = |circuits: &BTreeSet<Circuit>| circuits.iter().map(Circuit::to_string).collect();
        SwitchChange {
            ocs: self.names.nodes[plan.node].clone(),
            dialect: plan.dialect.name().into(),
            removed: text(&applied.change.remove),
            made: text(&applied.change.add),
            command_s: applied.times.command_s,
            settle_s: applied.times.settle_s,
            link_up_s: (!applied.change.add.is_empty()).then_some(link_up.as_secs_f64()),
            device_settle_s: plan.settle.seconds() * self.dilation,
            device_jitter_s: plan.jitter.seconds() * self.dilation,
            dark_light_s: None, // known once links were looked at
            dark_traffic_s: None,
            retries: applied.retries,
            notes: applied.notes.clone(),
        }
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
    fn dark(&self, number: usize, end: &Moved, heard: Option<&Heard>, flashes: &[Flash]) -> LinkDark {
        let at = |lit: bool| {
            flashes
                .iter()
                .find(|flash| flash.link == end.link && flash.lit == lit)
        };
        let by_light = at(false)
            .zip(at(true))
            .map(|(gone, come)| come.followed.saturating_duration_since(gone.at));
        let moves = end.before.is_some() && end.after.is_some();
        let silence = heard.filter(|_| moves).and_then(|heard| heard.silence(number));
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

    /// Frames that could not be sent so far into each link of these circuits; `None`: the kernel does not say.
    fn unsent(&self, before: &[Joint], after: &[Joint]) -> Option<BTreeMap<usize, u64>> {
        let links: BTreeSet<usize> = before.iter().chain(after).flat_map(|joint| joint.links).collect();
        self.fabric.unsent(&links).ok()
    }
}

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
