//! Steps of a plan: their circuits by switch, and which hosts they join by how many hops.

use super::{SHOWN, section, table, time};
use crate::scenario::plan::optical::{Optical, Ways, Wiring, path};
use crate::scenario::plan::{NodeKind, Plan};

/// Hosts of which all pairs are listed; of more, a summary.
const LISTED: usize = 12;

/// The sections; nothing where there are no optical switches.
pub fn text(plan: &Plan) -> String {
    let Some(optical) = &plan.optical else {
        return String::new();
    };
    let mut switches = table(
        &["optical switch", "dialect", "ports", "settle", "jitter"],
        &[2, 3, 4],
    );
    for switch in optical.switches.iter().take(SHOWN) {
        switches.add_row([
            plan.network.nodes[switch.node].name.clone(),
            switch.dialect.name().into(),
            format!("{0}x{0}", switch.ports),
            switch.settle.to_string(),
            switch.jitter.to_string(),
        ]);
    }
    let mut circuits = table(&["step", "when", "operations", "switch", "circuits"], &[]);
    let mut routes = table(&["step", "when", "from", "to"], &[]);
    for (name, when, ops, wiring) in wirings(optical) {
        circuit_rows(plan, optical, [&name, &when, &ops], wiring, &mut circuits);
        route_rows(plan, [&name, &when], wiring, &mut routes);
    }
    let mut out = section("optical switches", &switches);
    out += &section("circuits by step", &circuits);
    out += &section(
        "routes by step (hops, first link); other hosts only by the management network, which carries no operation",
        &routes,
    );
    out
}

/// Name of the step, when, its operations, and what stands then.
fn wirings(optical: &Optical) -> Vec<(String, String, String, &Wiring)> {
    let mut all = Vec::new();
    for step in &optical.steps {
        let ops = match step.ops {
            0 => "none".to_owned(),
            1 => step.first_op.to_string(),
            n => format!("{}-{}", step.first_op, step.first_op + n - 1),
        };
        all.push((step.name.clone(), "before".to_owned(), ops.clone(), &step.wiring));
        all.extend(step.changes.iter().map(|change| {
            let when = format!("after {}", time(change.at.seconds()));
            (step.name.clone(), when, ops.clone(), &change.wiring)
        }));
    }
    all
}

fn circuit_rows(
    plan: &Plan,
    optical: &Optical,
    lead: [&String; 3],
    wiring: &Wiring,
    table: &mut comfy_table::Table,
) {
    let name = |link: usize, switch: usize| {
        let ends = &plan.network.links[link].ends;
        let far = ends.iter().find(|end| end.node != switch).unwrap_or(&ends[0]);
        plan.network.nodes[far.node].name.as_str()
    };
    let lead = lead.map(String::clone);
    for (number, switch) in optical.switches.iter().enumerate() {
        let own = wiring.circuits.iter().filter(|joint| joint.switch == number);
        let words = own.map(|joint| {
            let [a, b] = joint.links.map(|link| name(link, switch.node));
            format!("{a}-{b} ({}-{})", joint.ports[0], joint.ports[1])
        });
        let words: Vec<String> = words.collect();
        if words.is_empty() && optical.switches.len() > 1 {
            continue;
        }
        let ocs = plan.network.nodes[switch.node].name.clone();
        let text = match words.len() {
            0 => "none".to_owned(),
            _ => words.join(" "),
        };
        table.add_row([&lead[0], &lead[1], &lead[2], &ocs, &text]);
    }
}

fn route_rows(plan: &Plan, lead: [&String; 2], wiring: &Wiring, table: &mut comfy_table::Table) {
    let nodes = &plan.network.nodes;
    let hosts: Vec<usize> = (0..nodes.len())
        .filter(|node| nodes[*node].kind == NodeKind::Host)
        .collect();
    if hosts.len() > LISTED {
        let ways = Ways::new(&plan.network, wiring);
        let hops = hosts.iter().flat_map(|&to| {
            let hops = ways.hops(&hosts, to);
            hops.into_iter().flatten().filter(|hops| *hops > 0)
        });
        let (joined, longest) = hops.fold((0, 0), |(joined, longest), hops| (joined + 1, hops.max(longest)));
        let text = format!(
            "{joined} of {} pairs are joined, by {longest} hops at most",
            hosts.len() * (hosts.len() - 1)
        );
        table.add_row([lead[0].as_str(), lead[1].as_str(), "all hosts", &text]);
        return;
    }
    let way = |from: usize, to: usize| path(&plan.network, &wiring.routes, &wiring.circuits, (from, to));
    for &from in &hosts {
        let others = hosts.iter().filter(|to| **to != from);
        let words = others.filter_map(|&to| {
            let path = way(from, to)?;
            let link = &plan.network.links[*path.links.first()?].name;
            Some(format!("{} ({}, {link})", nodes[to].name, path.hops))
        });
        let words: Vec<String> = words.collect();
        let text = match words.len() {
            0 => "none".to_owned(),
            _ => words.join(" "),
        };
        table.add_row([
            lead[0].as_str(),
            lead[1].as_str(),
            nodes[from].name.as_str(),
            &text,
        ]);
    }
}
