//! From a loaded scenario to a checked [`Plan`]: every value checked, every name resolved, every
//! byte counted. Touches nothing of the machine.
//!
//! * [`findings`]: what is wrong, at which path.
//! * [`testbed`], [`network`], [`ranks`], [`ops`]: the parts of the plan.
//! * [`steps`]: circuits that change, and what is played meanwhile. [`circuits`]: what they join;
//!   [`jobs`]: those that are placed on cubes.
//! * [`trace`]: traces, checked and counted; [`rehearsal`]: whether they can be played to their end.
//! * [`placement`]: the study of a placement, which has no plan.
//! * [`expect`]: bytes per link and the time that an operation must take; [`duration`]: that of the run.

pub mod circuits;
pub mod duration;
pub mod expect;
pub mod findings;
pub mod jobs;
pub mod network;
pub mod ops;
pub mod placement;
pub mod ranks;
pub mod rdma;
pub mod rehearsal;
pub mod roce;
pub mod steps;
pub mod testbed;
pub mod trace;

use super::diagnostic::Diagnostics;
use super::load::Loaded;
use super::plan::{Communicator, FabricKind, OpPlan, Plan, RankPlace, TransportKind};
use super::section::Scenario;
use super::section::collective::Collective;
use super::section::trace::Trace;
use findings::Findings;

/// Checks a scenario and resolves it.
pub fn build(loaded: &Loaded) -> Result<Plan, Diagnostics> {
    let mut findings = Findings::new(loaded);
    if loaded.scenario.placement.is_some() {
        placement::study(loaded)?;
        let help = "play it: `genie run`; check it: `genie check`";
        findings.unwanted("placement", "a placement is replayed, not planned", help);
        return Err(Diagnostics::new(loaded.sources.clone(), findings.wrong));
    }
    let plan = resolve(loaded, &mut findings);
    match plan {
        Some(plan) if findings.wrong.is_empty() => Ok(plan),
        _ => Err(Diagnostics::new(loaded.sources.clone(), findings.wrong)),
    }
}

/// `None` only after something was found wrong.
fn resolve(loaded: &Loaded, findings: &mut Findings<'_>) -> Option<Plan> {
    let scenario = &loaded.scenario;
    testbed::check(scenario, findings);
    let wired = network::wire(scenario, findings)?;
    let ranks = ranks::place(scenario, &wired, findings)?;
    let mut communicators = ranks::communicators(scenario, ranks.len() as u32, findings)?;
    let jobs = jobs::place(scenario, &ranks, &communicators, findings)?;
    communicators.extend(jobs.communicators.iter().cloned());
    let base = Base {
        loaded,
        wired: &wired,
        ranks: &ranks,
        communicators: &communicators,
    };
    check_traffic(scenario, findings);
    let mut played = Played::default();
    let optical = match steps::wanted(scenario, &wired, findings)? {
        true => Some(steps::plan(&base, &jobs, &mut played, findings)?),
        false => {
            let sections = Sections {
                collective: &scenario.traffic.collective,
                trace: &scenario.traffic.trace,
                path: "traffic".into(),
            };
            base.play(&sections, &wired.seen, &mut played, findings);
            None
        }
    };
    communicators.extend(played.groups);
    let cautions = cautions(loaded, &wired, findings);
    let mut network = wired.network;
    if let Some(first) = optical.as_ref().and_then(|optical| optical.steps.first()) {
        network.routes.clone_from(&first.wiring.routes);
    }
    let mut testbed = testbed::resolve(scenario);
    if !findings.written("rdma.slot") {
        rdma::shorten_slots(&mut testbed, &network);
    }
    Some(Plan {
        name: scenario.name.clone(),
        scenario: toml::to_string_pretty(scenario).expect("a scenario is plain TOML"),
        seed: scenario.testbed.seed,
        dilation: scenario.time.dilation,
        testbed,
        network,
        ranks,
        communicators,
        ops: played.ops,
        cautions,
        optical,
    })
}

/// What is the same in all steps.
struct Base<'a> {
    loaded: &'a Loaded,
    wired: &'a network::Wired,
    ranks: &'a [RankPlace],
    communicators: &'a [Communicator],
}

/// Sections of traffic, and the table that they are in.
struct Sections<'a> {
    collective: &'a [Collective],
    trace: &'a [Trace],
    path: String,
}

/// Operations, and the communicators that they have added.
#[derive(Default)]
struct Played {
    ops: Vec<OpPlan>,
    groups: Vec<Communicator>,
}

impl Base<'_> {
    /// The network as it is seen, with ranks on it.
    fn ground<'g>(&'g self, seen: &'g network::Seen) -> expect::Ground<'g> {
        let scenario = &self.loaded.scenario;
        expect::Ground {
            wired: self.wired,
            seen,
            ranks: self.ranks,
            communicators: self.communicators,
            channels: channels(scenario).max(1),
            dilation: scenario.time.dilation,
            slowdown: duration::slowdown(scenario.testbed.fabric),
        }
    }

    /// Plans sections of traffic after those that have `played` already.
    fn play(
        &self,
        sections: &Sections<'_>,
        seen: &network::Seen,
        played: &mut Played,
        findings: &mut Findings<'_>,
    ) {
        let ground = self.ground(seen);
        let at = |kind: &str| format!("{}.{kind}", sections.path);
        played.ops.extend(ops::plan(
            sections.collective,
            &at("collective"),
            &ground,
            findings,
        ));
        let first = (self.communicators.len() + played.groups.len()) as u32;
        let traces = (sections.trace, at("trace"));
        let (ops, groups) = trace::plan(self.loaded, traces, first, &ground, findings);
        played.ops.extend(ops);
        played.groups.extend(groups);
    }
}

/// Something is played, and in one place.
fn check_traffic(scenario: &Scenario, findings: &mut Findings<'_>) {
    let traffic = &scenario.traffic;
    let plain = !traffic.collective.is_empty() || !traffic.trace.is_empty();
    let mut steps = scenario.step.iter();
    if plain && !scenario.step.is_empty() {
        let help = "write `[[step.collective]]` below the step in which it is played";
        findings.unwanted("traffic", "both `traffic` and steps", help);
    } else if !plain && steps.all(|step| !step.plays()) {
        let (path, help) = match scenario.step.is_empty() {
            true if findings.written("traffic") => ("traffic", "[[traffic.collective]]"),
            true => ("name", "[[traffic.collective]]"),
            false => ("step", "[[step.collective]]"),
        };
        let wrong = findings.wrong(path, "a scenario without traffic");
        wrong.help.push(format!(
            "add `{help}` with `op = \"all-reduce\"` and `sizes = [\"1 MiB\"]`"
        ));
    }
}

/// Channels between two ranks.
fn channels(scenario: &Scenario) -> u32 {
    match scenario.testbed.transport {
        TransportKind::Tcp => scenario.tcp.channels,
        TransportKind::Rdma | TransportKind::RoceUser => scenario.rdma.channels,
    }
}

/// What the user ought to know of the plan.
fn cautions(loaded: &Loaded, wired: &network::Wired, findings: &Findings<'_>) -> Vec<String> {
    let scenario = &loaded.scenario;
    let mut cautions = findings.cautions.clone();
    if scenario.testbed.fabric == FabricKind::Host && scenario.topology.is_some() {
        cautions.push(
            "fabric = \"host\": the topology only gives the number of ranks; its links are not played".into(),
        );
    }
    let cards = wired
        .network
        .nodes
        .iter()
        .map(|node| node.addresses.len())
        .max()
        .unwrap_or(0);
    let channels = scenario.tcp.channels;
    if scenario.testbed.transport == TransportKind::Tcp && cards > channels as usize {
        cautions.push(format!(
            "hosts have {cards} network cards but tcp.channels = {channels} uses only {channels} of them"
        ));
    }
    cautions
}
