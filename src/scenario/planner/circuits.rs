//! What scenarios call ports of optical switches, and lists of circuits between them: each pair of names to
//! two links at one switch, checked against the rest of its list.

use std::collections::BTreeMap;

use super::findings::Findings;
use super::network::Wired;
use crate::scenario::plan::optical::{Joint, Switch};
use crate::scenario::suggest;
use crate::topology::graph::{Graph, Kind};
use crate::topology::optical::optical_end;

/// A link at an optical switch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Port {
    /// Number of the switch's node.
    node: usize,
    port: u16,
    link: usize,
}

/// All circuits of the list at `path`; those that are wrong are left out.
pub fn resolve(
    list: &[[String; 2]],
    path: &str,
    wired: &Wired,
    switches: &[Switch],
    findings: &mut Findings<'_>,
) -> Vec<Joint> {
    let mut taken: BTreeMap<usize, String> = BTreeMap::new();
    let mut joints = Vec::new();
    for (number, pair) in list.iter().enumerate() {
        let at = format!("{path}[{number}]");
        let Some([a, b]) = ends(pair, &at, &wired.graph, findings) else {
            continue;
        };
        let switch = switches.iter().position(|switch| switch.node == a.node);
        let mut free = true;
        for (side, port) in [a, b].iter().enumerate() {
            if let Some(first) = taken.get(&port.link) {
                let other = findings.span(first);
                let message = format!("`{}` is in a second circuit", pair[side]);
                let wrong = findings.wrong(&format!("{at}[{side}]"), message);
                wrong.related.push((other, "the first".into()));
                free = false;
            }
        }
        if !free {
            continue;
        }
        for port in [a, b] {
            taken.insert(port.link, at.clone());
        }
        check_rates(pair, [a, b], &at, &wired.graph, findings);
        joints.extend(switch.map(|switch| Joint {
            switch,
            ports: [a.port, b.port],
            links: [a.link, b.link],
        }));
    }
    joints
}

/// Light has the rate of the transceiver that sends it; the other must be made for it.
fn check_rates(pair: &[String; 2], ends: [Port; 2], at: &str, graph: &Graph, findings: &mut Findings<'_>) {
    let [one, other] = ends.map(|end| graph.links[end.link].wire.rate);
    if one != other {
        let words = |rate: Option<crate::scenario::units::Bandwidth>| {
            rate.map_or("unlimited".into(), |rate| rate.to_string())
        };
        let message = format!(
            "`{}` is {} and `{}` is {}: a circuit joins transceivers of one rate",
            pair[0],
            words(one),
            pair[1],
            words(other)
        );
        findings.wrong(at, message);
    }
}

/// The two ends of a circuit, on one switch; `None` only after something was found wrong.
fn ends(pair: &[String; 2], at: &str, graph: &Graph, findings: &mut Findings<'_>) -> Option<[Port; 2]> {
    let [a, b] = [0, 1].map(|side| named(&pair[side], &format!("{at}[{side}]"), graph, findings));
    let (a, b) = (a?, b?);
    let pairs = || a.iter().flat_map(|a| b.iter().map(move |b| (*a, *b)));
    let together: Vec<(Port, Port)> = pairs().filter(|(a, b)| a.node == b.node && a != b).collect();
    let station = |port: &Port| {
        let link = &graph.links[port.link];
        link.ends[1 - optical_end(graph, port.link).unwrap_or(0)].node
    };
    let node = |number: usize| &graph.nodes[number].name;
    match together[..] {
        [(a, b)] if station(&a) == station(&b) => {
            let message = format!("a circuit that joins `{}` with itself", node(station(&a)));
            findings.wrong(at, message);
            None
        }
        [(a, b)] => Some([a, b]),
        [] if pair[0] == pair[1] => {
            findings.wrong(at, format!("a circuit that joins `{}` with itself", pair[0]));
            None
        }
        [] => {
            let on = |ports: &[Port]| {
                let mut names: Vec<String> = ports
                    .iter()
                    .map(|port| format!("`{}`", node(port.node)))
                    .collect();
                names.dedup();
                names.join(" and ")
            };
            let message = format!(
                "`{}` is on {}, `{}` is on {}: a circuit joins two ports of one optical switch",
                pair[0],
                on(&a),
                pair[1],
                on(&b)
            );
            findings.wrong(at, message);
            None
        }
        _ => {
            let side = usize::from(a.len() < 2);
            let several = if side == 0 { &a } else { &b };
            let message = format!("`{}` has {} links at optical switches", pair[side], several.len());
            let names: Vec<String> = several
                .iter()
                .map(|port| format!("`{}`", graph.links[port.link].name))
                .collect();
            let wrong = findings.wrong(&format!("{at}[{side}]"), message);
            wrong.help.push(format!("name the link: {}", names.join(", ")));
            None
        }
    }
}

/// The links at optical switches that a name may mean: `ocs:3` a port, `h0-ocs` a link, `h0` all of a node's.
fn named(name: &str, at: &str, graph: &Graph, findings: &mut Findings<'_>) -> Option<Vec<Port>> {
    let all = ports(graph);
    if let Some((ocs, port)) = name.split_once(':') {
        return numbered(ocs, port, &all, at, graph, findings).map(|port| vec![port]);
    }
    let link = all.iter().find(|port| graph.links[port.link].name == name);
    if let Some(port) = link {
        return Some(vec![*port]);
    }
    let ends_at = |port: &&Port| {
        let link = &graph.links[port.link];
        link.ends
            .iter()
            .any(|end| graph.nodes[end.node].name == name && end.node != port.node)
    };
    let found: Vec<Port> = all.iter().filter(ends_at).copied().collect();
    if !found.is_empty() {
        return Some(found);
    }
    let message = match graph.find(name) {
        Some(node) if graph.nodes[node].kind == Kind::Ocs => {
            format!("`{name}` is an optical switch; a circuit joins two of its ports")
        }
        Some(_) => format!("`{name}` has no link at an optical switch"),
        None => format!("no host, switch or link at an optical switch is named `{name}`"),
    };
    let mut known: Vec<&str> = Vec::new();
    for port in &all {
        let link = &graph.links[port.link];
        let nodes = link.ends.iter().filter(|end| end.node != port.node);
        known.extend(nodes.map(|end| graph.nodes[end.node].name.as_str()));
    }
    known.extend(all.iter().map(|port| graph.links[port.link].name.as_str()));
    let mut seen = std::collections::BTreeSet::new();
    known.retain(|name| seen.insert(*name));
    let wrong = findings.wrong(at, message);
    wrong
        .help
        .extend(suggest::help(name, "a circuit may join", &known));
    None
}

fn numbered(
    ocs: &str,
    port: &str,
    all: &[Port],
    at: &str,
    graph: &Graph,
    findings: &mut Findings<'_>,
) -> Option<Port> {
    let of = |port: &&Port| graph.nodes[port.node].name == ocs;
    let number = port.parse::<u16>().ok();
    if let Some(found) = all.iter().filter(of).find(|port| Some(port.port) == number) {
        return Some(*found);
    }
    let names: Vec<&str> = graph
        .nodes
        .iter()
        .filter(|node| node.kind == Kind::Ocs)
        .map(|node| node.name.as_str())
        .collect();
    if !names.contains(&ocs) {
        let wrong = findings.wrong(at, format!("there is no optical switch `{ocs}`"));
        wrong
            .help
            .extend(suggest::help(ocs, "optical switches are", &names));
        return None;
    }
    let mut there: Vec<u16> = all.iter().filter(of).map(|port| port.port).collect();
    there.sort_unstable();
    let there: Vec<String> = there.iter().map(u16::to_string).collect();
    let wrong = findings.wrong(at, format!("no link ends at port {port} of `{ocs}`"));
    wrong
        .help
        .push(format!("links end at its ports {}", there.join(", ")));
    None
}

/// All links at optical switches.
fn ports(graph: &Graph) -> Vec<Port> {
    let port = |link: usize| {
        let side = optical_end(graph, link)?;
        Some(Port {
            node: graph.links[link].ends[side].node,
            port: graph.port(link, side)?,
            link,
        })
    };
    (0..graph.links.len()).filter_map(port).collect()
}

/// The plan's optical switches, in the order of nodes.
pub fn switches(wired: &Wired, spec: &crate::topology::spec::Topology) -> Vec<Switch> {
    let graph = &wired.graph;
    let all = ports(graph);
    let optical = (0..graph.nodes.len()).filter(|node| graph.nodes[*node].kind == Kind::Ocs);
    let switch = |node: usize| {
        let links: Vec<(u16, usize)> = all
            .iter()
            .filter(|port| port.node == node)
            .map(|port| (port.port, port.link))
            .collect();
        let ocs = spec.ocs_named(&graph.nodes[node].name);
        let used = links.iter().map(|(port, _)| *port).max().unwrap_or(1);
        Switch {
            node,
            dialect: ocs.dialect,
            ports: ocs.ports.map_or(used, |ports| ports as u16),
            settle: ocs.settle,
            jitter: ocs.jitter,
            seed: ocs.seed.wrapping_add(node as u64),
            trouble: ocs.trouble.clone(),
            links,
        }
    };
    optical.map(switch).collect()
}
