//! One reconfiguration: routes, then all switches side by side, then links; and what traffic saw of it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, Instant};

use genie_drivers::ocs::{Applied, Circuit};

use super::bench::Bench;
use super::observe::Seen;
use super::{Optics, joined, lock};
use crate::event::{LinkDark, Reconfiguration, SwitchChange};
use crate::scenario::plan::optical::{Joint, Wiring};
use crate::testbed::fabric::emulated;

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
        let watch = self.watch(&before, &wiring.circuits)?;
        let at_s = started.elapsed().as_secs_f64();
        let routes = emulated::routes(self.fabric.spec(), &wiring.routes)?;
        self.fabric.reroute(&routes).map_err(|e| e.to_string())?;
        let changed = self.program(&before, &wiring.circuits);
        lock(&self.standing).clone_from(&wiring.circuits);
        let mut switches = changed?;
        let seen = self.see(watch);
        if let Some(failure) = self.benches.iter().find_map(Bench::failure) {
            return Err(failure);
        }
        let links = self.dark_times(&seen);
        switches.iter_mut().for_each(|switch| longest(switch, &links));
        Ok(Reconfiguration {
            number: self.changes.fetch_add(1, Ordering::Relaxed),
            at_s,
            switches,
            links,
            ..report(moment, &seen)
        })
    }

    /// All switches whose circuits change side by side, each with its links.
    fn program(&self, before: &[Joint], after: &[Joint]) -> Result<Vec<SwitchChange>, String> {
        let (old, new) = (by_switch(before), by_switch(after));
        let changes = (0..self.benches.len()).filter(|number| old.get(number) != new.get(number));
        let none = BTreeSet::new();
        let changed: Vec<Result<SwitchChange, String>> = thread::scope(|scope| {
            let threads = changes.map(|number| {
                let wanted = new.get(&number).unwrap_or(&none);
                scope.spawn(move || self.program_one(number, wanted))
            });
            let threads: Vec<_> = threads.collect();
            threads.into_iter().map(joined).collect()
        });
        changed.into_iter().collect()
    }

    fn program_one(&self, number: usize, wanted: &BTreeSet<Joint>) -> Result<SwitchChange, String> {
        let circuits = wanted.iter().flat_map(|joint| {
            let [a, b] = joint.ports;
            [Circuit::new(a, b), Circuit::new(b, a)]
        });
        let applied = self.benches[number].apply(&circuits.collect())?;
        let settled = Instant::now();
        let links: Vec<usize> = wanted.iter().flat_map(|joint| joint.links).collect();
        let down = self.fabric.wait_up(&links, CARRIER).map_err(|e| e.to_string())?;
        if let Some(link) = down.first() {
            let name = &self.names.links[*link].0;
            let ocs = self.benches[number].name();
            let dark = || format!("its mirrors have settled, and link {name} has no carrier");
            let why = self.benches[number].failure().unwrap_or_else(dark);
            return Err(format!("optical switch {ocs}: {why}"));
        }
        Ok(self.switch_change(number, &applied, settled.elapsed()))
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
}

fn by_switch(circuits: &[Joint]) -> BTreeMap<usize, BTreeSet<Joint>> {
    let mut found: BTreeMap<usize, BTreeSet<Joint>> = BTreeMap::new();
    for joint in circuits {
        found.entry(joint.switch).or_default().insert(*joint);
    }
    found
}

/// The longest dark times of a switch's links.
fn longest(switch: &mut SwitchChange, links: &[LinkDark]) {
    let most = |time: fn(&LinkDark) -> Option<f64>| {
        let own = links.iter().filter(|link| link.ocs == switch.ocs);
        own.filter_map(time).reduce(f64::max)
    };
    let (light, traffic) = (most(|link| link.dark_light_s), most(|link| link.dark_traffic_s));
    (switch.dark_light_s, switch.dark_traffic_s) = (light, traffic);
}

/// What is reported of a change as a whole.
fn report(moment: &Moment, seen: &Seen) -> Reconfiguration {
    Reconfiguration {
        number: 0,
        step: moment.step.clone(),
        op: moment.op,
        during: moment.during,
        at_s: 0.0,
        switches: Vec::new(),
        links: Vec::new(),
        lost_frames: seen.lost_frames,
        probes_lost: seen.probes_lost,
        probe_every_s: seen.every.map(|every| every.as_secs_f64()),
        probe_pause_s: seen.heard.as_ref().map(|heard| heard.longest_pause.as_secs_f64()),
        retransmits: None, // known when the next change comes, or the operation is over
    }
}
