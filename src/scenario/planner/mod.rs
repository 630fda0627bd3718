//! From a loaded scenario to a checked [`Plan`]: every value checked, every name resolved, every
//! byte counted. Touches nothing of the machine.
//!
//! * [`findings`]: what is wrong, at which path.
//! * [`testbed`], [`network`], [`ranks`], [`ops`]: the parts of the plan.
//! * [`trace`]: traces, checked and counted; [`rehearsal`]: whether they can be played to their end.
//! * [`placement`]: the study of a placement, which has no plan.
//! * [`expect`]: bytes per link and the time that an operation must take; [`duration`]: that of the run.

pub mod duration;
pub mod expect;
pub mod findings;
pub mod network;
pub mod ops;
pub mod placement;
pub mod ranks;
pub mod rdma;
pub mod rehearsal;
pub mod roce;
pub mod testbed;
pub mod trace;

use super::diagnostic::Diagnostics;
use super::load::Loaded;
use super::plan::{FabricKind, Plan, TransportKind};
use super::section::Scenario;
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
    let wired = network::wire(scenario, findings);
    let wired = wired?;
    let ranks = ranks::place(scenario, &wired, findings)?;
    let communicators = ranks::communicators(scenario, ranks.len() as u32, findings)?;
    let ground = expect::Ground {
        wired: &wired,
        ranks: &ranks,
        communicators: &communicators,
        channels: channels(scenario).max(1),
        dilation: scenario.time.dilation,
        slowdown: duration::slowdown(scenario.testbed.fabric),
    };
    let mut ops = ops::plan(scenario, &ground, findings);
    let (traces, groups) = trace::plan(loaded, &ground, findings);
    ops.extend(traces);
    let mut communicators = communicators;
    communicators.extend(groups);
    let cautions = cautions(loaded, &wired, findings);
    Some(Plan {
        name: scenario.name.clone(),
        scenario: toml::to_string_pretty(scenario).expect("a scenario is plain TOML"),
        seed: scenario.testbed.seed,
        dilation: scenario.time.dilation,
        testbed: testbed::resolve(scenario),
        network: wired.network,
        ranks,
        communicators,
        ops,
        cautions,
    })
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
