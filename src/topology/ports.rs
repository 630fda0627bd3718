//! Explicit links to optical switches: which port each takes, and what light cannot do.

use std::collections::BTreeMap;

use super::build::Problem;
use super::graph::{Graph, Kind};
use super::optical::{MOST_PORTS, Ocs, simplex};
use super::spec::Topology;

/// Gives every link at an optical switch a port: the one it asks for, else the first that is free. The k-th
/// link of the graph is that of the spec.
pub fn assign(spec: &Topology, graph: &mut Graph) -> Result<(), Vec<Problem>> {
    let mut problems: Vec<Problem> = spec.ocs.iter().enumerate().flat_map(check).collect();
    if graph.links.len() != spec.link.len() {
        return if problems.is_empty() {
            Ok(())
        } else {
            Err(problems)
        };
    }
    let mut taken: BTreeMap<usize, BTreeMap<u16, usize>> = BTreeMap::new();
    for asked in [true, false] {
        for number in (0..spec.link.len()).filter(|number| spec.link[*number].port.is_some() == asked) {
            match place(spec, graph, number, &mut taken) {
                Ok(()) => {}
                Err(problem) => problems.push(*problem),
            }
        }
    }
    if problems.is_empty() {
        Ok(())
    } else {
        Err(problems)
    }
}

fn place(
    spec: &Topology,
    graph: &mut Graph,
    number: usize,
    taken: &mut BTreeMap<usize, BTreeMap<u16, usize>>,
) -> Result<(), Box<Problem>> {
    let at = |key: &str| format!("link[{number}].{key}");
    let link = &spec.link[number];
    let optical = |side: usize| graph.nodes[graph.links[number].ends[side].node].kind == Kind::Ocs;
    let side = match (optical(0), optical(1)) {
        (true, true) => {
            let problem = Problem::new(at("ends"), "a link between two optical switches");
            return Err(Box::new(problem.help(
                "light crosses one switch at most: link hosts and switches with it",
            )));
        }
        (false, false) if link.port.is_some() => {
            let problem = Problem::new(at("port"), "neither end is an optical switch");
            return Err(Box::new(
                problem.help("leave `port` away: only optical switches have numbered ports"),
            ));
        }
        (false, false) => return Ok(()),
        (first, _) => usize::from(!first),
    };
    let node = graph.links[number].ends[side].node;
    let ocs = spec.ocs.iter().find(|ocs| ocs.name == graph.nodes[node].name);
    let (name, most) = ocs.map_or(("", MOST_PORTS), |ocs| {
        (ocs.name.as_str(), ocs.ports.unwrap_or(MOST_PORTS))
    });
    let ports = taken.entry(node).or_default();
    let wanted = match link.port {
        Some(port) => port,
        None => (1..=most)
            .find(|port| !ports.contains_key(&(*port as u16)))
            .unwrap_or(most + 1),
    };
    if !(1..=most).contains(&wanted) {
        let (path, message) = match link.port {
            Some(port) => (
                at("port"),
                format!("`{name}` has no port {port}; it has 1 to {most}"),
            ),
            None => (
                at("ends"),
                format!("`{name}` has {most} ports, and all are taken"),
            ),
        };
        return Err(Box::new(Problem::new(path, message)));
    }
    let port = wanted as u16;
    if let Some(first) = ports.insert(port, number) {
        let problem = Problem::new(at("port"), format!("a second link at port {port} of `{name}`"));
        return Err(Box::new(problem.related(&format!("link[{first}]"), "the first")));
    }
    graph.set_port(number, side, port);
    Ok(())
}

/// Longest settle time: slower ones are no switch's.
const SLOWEST_S: f64 = 3600.0;

/// What is wrong with a switch's numbers; paths are relative to the table that holds `[[ocs]]`.
fn check((number, ocs): (usize, &Ocs)) -> Vec<Problem> {
    check_device(&format!("ocs[{number}]"), ocs)
}

/// The same for a switch at this path.
pub fn check_device(path: &str, ocs: &Ocs) -> Vec<Problem> {
    let at = |key: &str| format!("{path}.{key}");
    let mut problems = Vec::new();
    if let Some(ports) = ocs.ports.filter(|ports| !(1..=MOST_PORTS).contains(ports)) {
        problems.push(Problem::new(
            at("ports"),
            format!("{ports} ports; 1 to {MOST_PORTS} are possible"),
        ));
    }
    if ocs.settle.seconds() > SLOWEST_S {
        problems.push(Problem::new(
            at("settle"),
            format!("mirrors that take {}; an hour at most", ocs.settle),
        ));
    }
    if ocs.jitter > ocs.settle {
        let message = format!(
            "a jitter of {}, more than the settle time of {}",
            ocs.jitter, ocs.settle
        );
        problems.push(Problem::new(at("jitter"), message));
    }
    let most = ocs.ports.unwrap_or(MOST_PORTS);
    let lists = [
        ("stuck-port", &ocs.trouble.stuck_port, true),
        ("no-light", &ocs.trouble.no_light, false),
    ];
    for (key, list, both) in lists {
        for (number, text) in list.iter().enumerate() {
            let good =
                simplex(text).is_some_and(|(port, side)| u32::from(port) <= most && (both || side == 'A'));
            if !good {
                let path = at(&format!("trouble.{key}[{number}]"));
                let help = match both {
                    true => "write for example 3A (where light enters) or 3B (where it leaves)",
                    false => "write for example 3A: light enters at A ports",
                };
                problems.push(Problem::new(path, format!("`{text}` is not such a port")).help(help));
            }
        }
    }
    if ocs.trouble.slow_reply.seconds() > 600.0 {
        problems.push(Problem::new(
            at("trouble.slow-reply"),
            "an answer that comes more than 10 minutes later",
        ));
    }
    problems
}
