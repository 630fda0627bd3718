//! `[[step]]` to the plan's steps: which circuits stand when, the routes that go with them, and the operations
//! that are played meanwhile.

use std::collections::BTreeSet;

use super::circuits::{resolve, switches};
use super::findings::Findings;
use super::jobs::{Jobs, Placed};
use super::network::{Seen, Wired};
use super::{Base, Played, Sections};
use crate::placement::CrossConnect;
use crate::scenario::plan::optical::{Change, Joint, Optical, Step, Switch, Wiring};
use crate::scenario::plan::{FabricKind, OpPlan, Route};
use crate::scenario::section::Scenario;
use crate::scenario::section::collective::Collective;
use crate::scenario::section::step;
use crate::scenario::units::Duration;
use crate::system::collective::traffic;
use crate::system::op::SENDS_IN_FLIGHT;

/// Most steps of a scenario, and most changes of a step.
const MOST: usize = 1000;

/// Whether the scenario has steps; `None` only after something was found wrong.
pub fn wanted(scenario: &Scenario, wired: &Wired, findings: &mut Findings<'_>) -> Option<bool> {
    let optical = wired.is_optical();
    match (scenario.step.is_empty(), optical) {
        (true, false) => Some(false),
        (false, true) => Some(true),
        (true, true) => {
            let wrong = findings.wrong("topology", "optical switches whose circuits nobody makes");
            wrong
                .help
                .push("say which ports are joined: `[[step]]` with `circuits = [[\"h0\", \"h1\"]]`".into());
            None
        }
        (false, false) if scenario.testbed.fabric == FabricKind::Host => {
            let wrong = findings.wrong("testbed.fabric", "the machine's own interfaces have no circuits");
            wrong.help.push("steps need fabric = \"emulated\"".into());
            None
        }
        (false, false) => {
            let help = "add `[[topology.ocs]]` and links to it, or play `traffic` instead of steps";
            findings.unwanted(
                "step",
                "steps change circuits, and the topology has no optical switch",
                help,
            );
            None
        }
    }
}

/// Plans all steps; `None` only after something was found wrong.
pub(super) fn plan(
    base: &Base<'_>,
    jobs: &Jobs,
    played: &mut Played,
    findings: &mut Findings<'_>,
) -> Option<Optical> {
    let scenario = &base.loaded.scenario;
    let topology = scenario.topology.as_ref()?;
    let planner = Planner {
        base,
        switches: switches(base.wired, topology),
    };
    if scenario.step.len() > MOST {
        findings.wrong("step", format!("more than {MOST} steps"));
        return None;
    }
    let mut steps: Vec<Step> = Vec::new();
    for (number, section) in scenario.step.iter().enumerate() {
        let before = steps
            .last()
            .map(|step| step.changes.last().map_or(&step.wiring, |change| &change.wiring));
        let standing = before.map_or(Vec::new(), |wiring| wiring.circuits.clone());
        let running = jobs.running.get(number).map_or(&[][..], Vec::as_slice);
        let step = planner.step(number, (section, running), standing, played, findings);
        steps.push(step);
    }
    check_names(&steps, scenario, findings);
    Some(Optical {
        switches: planner.switches,
        steps,
        management: base.wired.management?,
    })
}

fn check_names(steps: &[Step], scenario: &Scenario, findings: &mut Findings<'_>) {
    for (number, step) in steps.iter().enumerate() {
        let path = format!("step[{number}].name");
        let printable =
            !step.name.is_empty() && step.name.len() <= 64 && !step.name.chars().any(char::is_control);
        if !printable {
            findings.wrong(&path, "a step's name is 1 to 64 printable characters");
        }
        if let Some(first) = steps[..number].iter().position(|other| other.name == step.name) {
            let at = match scenario.step[first].name {
                Some(_) => format!("step[{first}].name"),
                None => format!("step[{first}]"),
            };
            let other = findings.span(&at);
            let wrong = findings.wrong(&path, format!("a second step named `{}`", step.name));
            wrong.related.push((other, "the first".into()));
        }
    }
}

struct Planner<'a> {
    base: &'a Base<'a>,
    switches: Vec<Switch>,
}

impl Planner<'_> {
    /// A step; `standing`: the circuits when it begins.
    fn step(
        &self,
        number: usize,
        (section, running): (&step::Step, &[Placed]),
        standing: Vec<Joint>,
        played: &mut Played,
        findings: &mut Findings<'_>,
    ) -> Step {
        let path = format!("step[{number}]");
        let circuits = match &section.circuits {
            Some(list) => self.circuits(list, &format!("{path}.circuits"), findings),
            None if !running.is_empty() || !section.ended.is_empty() => self.placed(running),
            None => standing,
        };
        let (seen, wiring) = self.wire(circuits);
        let first_op = played.ops.len();
        let mut rings: Vec<Vec<Collective>> = Vec::new();
        for ring in &section.ring {
            let jobs = running.iter().filter(|placed| placed.rings_by(ring));
            rings.push(jobs.flat_map(|placed| placed.rings(ring)).collect());
        }
        let mut all: Vec<Sections<'_>> = Vec::new();
        for (place, rings) in rings.iter().enumerate() {
            all.push(Sections {
                collective: rings,
                trace: &[],
                path: format!("{path}.ring[{place}]"),
            });
        }
        all.push(Sections {
            collective: &section.collective,
            trace: &section.trace,
            path: path.clone(),
        });
        for sections in &all {
            self.base.play(sections, &seen, played, findings);
        }
        let mut changes = self.changes(&path, section, findings);
        if !changes.is_empty() {
            let used = self.used(&played.ops[first_op..]);
            let mut before = &wiring.routes;
            for change in &mut changes {
                self.keep(&used, before, &mut change.wiring.routes);
                before = &change.wiring.routes;
            }
            self.check_afterwards(&all, &changes, findings);
            // Which links carry how much depends on when the change comes: nothing is expected, so that flows
            // have no share to keep to and do not all send at once either.
            for op in &mut played.ops[first_op..] {
                op.op.sends_in_flight = SENDS_IN_FLIGHT;
                op.expected.seconds = None;
                (op.expected.wire_share, op.expected.busiest) = (None, None);
                op.link_bytes.iter_mut().for_each(|bytes| *bytes = [0.0; 2]);
            }
        }
        Step {
            name: section
                .name
                .clone()
                .unwrap_or_else(|| format!("step {}", number + 1)),
            wiring,
            first_op,
            ops: played.ops.len() - first_op,
            changes,
            neighbours: running.iter().flat_map(Placed::neighbours).collect(),
        }
    }

    /// The circuits of jobs' placements, by the numbers of links at the ports.
    fn placed(&self, running: &[Placed]) -> Vec<Joint> {
        let joint = |circuit: &CrossConnect| {
            let switch = circuit.switch as usize;
            let ports = [circuit.north, circuit.south].map(|port| port as u16 + 1);
            let link = |port: u16| {
                let mut links = self.switches.get(switch)?.links.iter();
                links.find(|(own, _)| *own == port).map(|(_, link)| *link)
            };
            Some(Joint {
                switch,
                ports,
                links: [link(ports[0])?, link(ports[1])?],
            })
        };
        let circuits = running.iter().flat_map(|placed| &placed.circuits);
        let mut joints: Vec<Joint> = circuits.filter_map(joint).collect();
        joints.sort_unstable();
        joints.dedup();
        joints
    }

    fn circuits(&self, list: &[[String; 2]], path: &str, findings: &mut Findings<'_>) -> Vec<Joint> {
        let mut joints = resolve(list, path, self.base.wired, &self.switches, findings);
        joints.sort_unstable();
        joints
    }

    /// The network with these circuits, as packets see it and as the plan has it.
    fn wire(&self, circuits: Vec<Joint>) -> (Seen, Wiring) {
        let links: Vec<(usize, usize)> = circuits
            .iter()
            .map(|joint| (joint.links[0], joint.links[1]))
            .collect();
        let seen = self.base.wired.with(&links);
        let routes = self.base.wired.routes(&seen);
        (seen, Wiring { circuits, routes })
    }

    fn changes(&self, path: &str, section: &step::Step, findings: &mut Findings<'_>) -> Vec<Change> {
        let idle = !section.plays();
        if idle && !section.change.is_empty() {
            let help = "nothing is played in this step: give the circuits to a step of their own";
            findings.unwanted(
                &format!("{path}.change"),
                "a change while nothing is played",
                help,
            );
        }
        if section.change.len() > MOST {
            findings.wrong(&format!("{path}.change"), format!("more than {MOST} changes"));
            return Vec::new();
        }
        let scenario = &self.base.loaded.scenario;
        let deadline = scenario.testbed.deadline;
        // Real time, as the deadline is.
        let settle = |switch: &Switch| (switch.settle.0 + switch.jitter.0) as f64 * scenario.time.dilation;
        let slowest = Duration(self.switches.iter().map(settle).fold(0.0, f64::max) as u64);
        let mut last = Duration(0);
        let mut changes = Vec::new();
        for (number, change) in section.change.iter().enumerate() {
            let at = format!("{path}.change[{number}]");
            if change.at <= last {
                let message = match number {
                    0 => "a change at the beginning; the step's own `circuits` stand then".to_owned(),
                    _ => format!("a change at {}, not after the one before at {last}", change.at),
                };
                findings.wrong(&format!("{at}.at"), message);
            }
            if slowest >= deadline {
                let message = format!(
                    "mirrors take {slowest}, and traffic that stands still ends the run after {deadline}"
                );
                let wrong = findings.wrong(&at, message);
                wrong.help.push("a longer `deadline` in `[testbed]`".into());
            }
            last = change.at;
            let circuits = self.circuits(&change.circuits, &format!("{at}.circuits"), findings);
            changes.push(Change {
                at: change.at,
                wiring: self.wire(circuits).1,
            });
        }
        changes
    }

    /// Pairs of hosts between which these operations move data.
    fn used(&self, ops: &[OpPlan]) -> BTreeSet<(usize, usize)> {
        let host = |rank: u32| self.base.ranks[rank as usize].host;
        let mut used = BTreeSet::new();
        for op in ops {
            let members = self.base.communicators.get(op.op.communicator as usize);
            let ranks = members.map_or(&[][..], |communicator| communicator.ranks.as_slice());
            let flows = traffic(&op.op, ranks.len() as u32).map_or(Vec::new(), |traffic| traffic.flows);
            used.extend(flows.iter().map(|flow| {
                let [from, to] = [flow.from, flow.to].map(|position| host(ranks[position as usize]));
                (from, to)
            }));
            let pairs = op.trace.iter().flat_map(|trace| &trace.pairs);
            used.extend(pairs.flat_map(|&(a, b)| [(host(a), host(b)), (host(b), host(a))]));
        }
        used
    }

    /// What operations move between hosts that nothing joins for a while goes where it went before, to a dark
    /// port, and is lost; never over the management network.
    fn keep(&self, used: &BTreeSet<(usize, usize)>, before: &[Vec<Route>], routes: &mut [Vec<Route>]) {
        for &(from, to) in used {
            for address in &self.base.wired.network.nodes[to].addresses {
                let there = |route: &&Route| route.to == Some(*address);
                if routes[from].iter().any(|route| there(&route)) {
                    continue;
                }
                routes[from].extend(before[from].iter().find(there).cloned());
            }
        }
    }

    /// What is played must have its paths after the last change as well, or it would never end.
    fn check_afterwards(&self, all: &[Sections<'_>], changes: &[Change], findings: &mut Findings<'_>) {
        let Some(last) = changes.last().filter(|_| findings.wrong.is_empty()) else {
            return;
        };
        let (seen, _) = self.wire(last.wiring.circuits.clone());
        for sections in all {
            self.base.play(sections, &seen, &mut Played::default(), findings);
        }
    }
}
