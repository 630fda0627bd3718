//! The lines above the table: which run, over what network, on which machine, and what its links
//! were found to be.

use std::collections::BTreeSet;

use super::columns::figures;
use crate::event::LinkCalibration;
use crate::results::summary::name_of;
use crate::results::{Environment, Run};
use crate::scenario::plan::{FabricKind, NodeKind, Plan, TransportKind};

/// One line each, not yet wrapped.
pub fn facts(run: &Run) -> Vec<String> {
    let manifest = &run.manifest;
    let (plan, machine) = (&manifest.plan, &manifest.environment);
    let (version, id, seed) = (&machine.genie_version, &manifest.run_id, manifest.seed);
    let mut facts = vec![
        format!(
            "genie {version}, run {id}, scenario {}, seed {seed}",
            manifest.scenario
        ),
        means(plan),
        network(plan),
        computer(machine),
    ];
    if plan.dilation != 1.0 {
        facts.push(format!(
            "time dilated {} times: all figures below are nominal",
            plan.dilation
        ));
    }
    facts.extend(manifest.calibration.iter().flat_map(|c| &c.links).map(link));
    facts
}

fn means(plan: &Plan) -> String {
    let (fabric, transport) = (name_of(&plan.testbed.fabric), name_of(&plan.testbed.transport));
    let (how, channels) = match plan.testbed.transport {
        TransportKind::Tcp => (
            plan.testbed.tcp.congestion_control.clone(),
            plan.testbed.tcp.channels,
        ),
        TransportKind::Rdma | TransportKind::RoceUser => {
            let rdma = &plan.testbed.rdma;
            let (service, verb, pairs) = (name_of(&rdma.service), name_of(&rdma.verb), rdma.queue_pairs);
            let s = plural(pairs as usize);
            (format!("{service}, {verb}, {pairs} queue pair{s}"), rdma.channels)
        }
    };
    let s = plural(channels as usize);
    format!("measured (clock wall), fabric {fabric}, transport {transport} ({how}, {channels} channel{s})")
}

fn network(plan: &Plan) -> String {
    let ranks = format!("{} rank{}", plan.ranks.len(), plural(plan.ranks.len()));
    if plan.testbed.fabric == FabricKind::Host {
        return format!("{ranks} on this host's own interfaces, not shaped");
    }
    let count = |kind| plan.network.nodes.iter().filter(|node| node.kind == kind).count();
    let (hosts, switches) = (count(NodeKind::Host), count(NodeKind::Switch));
    let optical = match count(NodeKind::Ocs) {
        0 => String::new(),
        1 => ", 1 optical switch".into(),
        n => format!(", {n} optical switches"),
    };
    let rates: BTreeSet<_> = plan.network.links.iter().map(|link| link.rate).collect();
    let rates = rates
        .into_iter()
        .map(|rate| rate.map_or("unshaped".into(), |rate| rate.to_string()));
    format!(
        "{ranks} on {hosts} host{}, {switches} switch{}{optical}, {} link{} ({}), mtu {}",
        plural(hosts),
        if switches == 1 { "" } else { "es" },
        plan.network.links.len(),
        plural(plan.network.links.len()),
        rates.collect::<Vec<String>>().join(", "),
        plan.network.mtu
    )
}

fn computer(machine: &Environment) -> String {
    let cpu = machine.cpu.as_deref().unwrap_or("unknown CPU");
    let cores = machine.usable_cores;
    let kind = machine
        .virtualisation
        .as_ref()
        .map(|kind| format!(", {kind}"))
        .unwrap_or_default();
    format!(
        "kernel {}, {cores} core{} of {cpu}{kind}",
        machine.kernel,
        plural(cores as usize)
    )
}

fn link(link: &LinkCalibration) -> String {
    let error = |measured: f64, wanted: Option<f64>| {
        let error = wanted
            .filter(|wanted| *wanted > 0.0)
            .map(|wanted| (measured / wanted - 1.0) * 100.0);
        error.map(|error| format!(" ({error:+.2} %)")).unwrap_or_default()
    };
    let one_way = link.measured_one_way_us.map(|measured| {
        let hops = format!("{} hop{}", link.hops, plural(link.hops as usize));
        format!(
            ", 64 KiB one way over {hops} {measured:.1} us{}",
            error(measured, link.wanted_one_way_us)
        )
    });
    format!(
        "links by {}: {} Gbit/s{}{}",
        link.shaper,
        figures(link.measured_bps / 1e9),
        error(link.measured_bps, link.wanted_bps),
        one_way.unwrap_or_default()
    )
}

fn plural(count: usize) -> &'static str {
    if count == 1 { "" } else { "s" }
}
