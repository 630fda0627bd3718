//! Explicit hosts, switches and links.

use std::collections::HashMap;

use super::build::Problem;
use super::graph::{Graph, Kind, Wire};
use super::ports;
use super::spec::Topology;

/// The graph of the spec's explicit nodes and links.
pub fn explicit(spec: &Topology) -> Result<Graph, Vec<Problem>> {
    let mut graph = Graph::default();
    let mut problems = Vec::new();
    let mut seen: HashMap<&str, (usize, String)> = HashMap::new();
    for (path, name, kind) in named_nodes(spec) {
        problems.extend(bad_name(&path, name));
        if let Some((_, first)) = seen.get(name) {
            problems.push(
                Problem::new(path, format!("a second node named `{name}`")).related(first, "the first"),
            );
            continue;
        }
        let number = match kind {
            Kind::Host => graph.host(name),
            Kind::Switch => graph.switch(name),
            Kind::Ocs => graph.ocs(name),
        };
        seen.insert(name, (number, path));
    }
    let names: Vec<String> = graph.nodes.iter().map(|node| node.name.clone()).collect();
    let mut links: HashMap<String, usize> = HashMap::new();
    for (number, link) in spec.link.iter().enumerate() {
        let mut find = |end: usize| {
            let name = &link.ends[end];
            let found = seen.get(name.as_str()).map(|(node, _)| *node);
            if found.is_none() {
                let message = match spec.ocs.is_empty() {
                    true => format!("there is no host or switch named `{name}`"),
                    false => format!("there is no host, switch or optical switch named `{name}`"),
                };
                let problem = Problem::new(format!("link[{number}].ends[{end}]"), message);
                problems.push(problem.candidates(name, &names));
            }
            found
        };
        let (Some(a), Some(b)) = (find(0), find(1)) else {
            continue;
        };
        if a == b {
            let message = format!("a link of `{}` with itself", link.ends[0]);
            problems.push(Problem::new(format!("link[{number}].ends"), message));
            continue;
        }
        let name = link.name.clone().unwrap_or_else(|| unused(&links, &link.ends));
        if let Some(name) = &link.name {
            problems.extend(bad_name(&format!("link[{number}].name"), name));
        }
        if let Some(first) = links.insert(name.clone(), number) {
            let problem = Problem::new(
                format!("link[{number}].name"),
                format!("a second link named `{name}`"),
            );
            problems.push(problem.related(&format!("link[{first}]"), "the first"));
        }
        let wire = Wire {
            rate: link.rate.0,
            delay: link.delay,
            loss: link.loss,
        };
        graph.named_link(name, a, b, wire);
    }
    problems.extend(ports::assign(spec, &mut graph).err().unwrap_or_default());
    if problems.is_empty() {
        Ok(graph)
    } else {
        Err(problems)
    }
}

/// Path, name and kind of all explicit nodes.
fn named_nodes(spec: &Topology) -> Vec<(String, &str, Kind)> {
    let mut all: Vec<(String, &str, Kind)> = Vec::new();
    for (key, nodes, kind) in [
        ("host", &spec.host, Kind::Host),
        ("switch", &spec.switch, Kind::Switch),
    ] {
        let named = nodes.iter().enumerate();
        all.extend(named.map(|(i, node)| (format!("{key}[{i}].name"), node.name.as_str(), kind)));
    }
    let optical = spec.ocs.iter().enumerate();
    all.extend(optical.map(|(i, ocs)| (format!("ocs[{i}].name"), ocs.name.as_str(), Kind::Ocs)));
    all
}

/// `a-b`, and for parallel links `a-b.2`, `a-b.3`, ...
fn unused(links: &HashMap<String, usize>, ends: &[String; 2]) -> String {
    let plain = format!("{}-{}", ends[0], ends[1]);
    let numbered = (2..).map(|number| format!("{plain}.{number}"));
    let mut names = std::iter::once(plain.clone()).chain(numbered);
    names.find(|name| !links.contains_key(name)).unwrap_or(plain)
}

fn bad_name(path: &str, name: &str) -> Option<Problem> {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    let good = (1..=32).contains(&name.len())
        && name.chars().all(plain)
        && name.starts_with(|c: char| c.is_ascii_alphanumeric());
    let message =
        format!("`{name}` is no name: up to 32 letters, digits, `-`, `_` and `.`, a letter or digit first");
    (!good).then(|| Problem::new(path, message))
}
