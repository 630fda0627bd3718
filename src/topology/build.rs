//! Checks a spec and makes its graph.

use super::builders;
use super::cubes;
use super::explicit::explicit;
use super::graph::{Graph, Kind};
use super::ports;
use super::spec::{ExplicitNode, Rate, Topology};
use crate::scenario::units::{Duration, Share};

/// Most nodes (hosts and switches) of an emulated fabric; each becomes a network namespace.
pub const MAX_NODES: u64 = 1024;

/// Most links of an emulated fabric.
pub const MAX_LINKS: u64 = 16384;

/// Something wrong with a topology; paths are relative to the `[topology]` table, "" for itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// What is at fault: `star.hosts`, `link[3].ends[0]`.
    pub path: String,
    /// What is wrong.
    pub message: String,
    /// Another place, and what is there.
    pub related: Option<(String, String)>,
    /// A name that is not known, and those that are.
    pub candidates: Option<(String, Vec<String>)>,
    /// What to do.
    pub help: Option<String>,
}

impl Problem {
    /// A problem at a path.
    pub fn new(path: impl Into<String>, message: impl Into<String>) -> Self {
        Problem {
            path: path.into(),
            message: message.into(),
            related: None,
            candidates: None,
            help: None,
        }
    }

    /// Also points at another place.
    pub fn related(mut self, path: &str, label: &str) -> Self {
        self.related = Some((path.into(), label.into()));
        self
    }

    /// Says which names would do.
    pub fn candidates(mut self, given: &str, known: &[String]) -> Self {
        self.candidates = Some((given.into(), known.to_vec()));
        self
    }

    /// Says what to do.
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }
}

/// Most network cards of a host on switches.
pub const MAX_CARDS: usize = 64;

/// Longest propagation delay of a link.
const MAX_DELAY: Duration = Duration(10_000_000_000);

/// With more no transport gets anywhere.
const MAX_LOSS: Share = Share(500_000);

const BUILDERS: &str = "star, ring, full-mesh, torus, leaf-spine, rail, cubes, or [[topology.host]], [[topology.switch]] and [[topology.link]]";

/// The graph that a spec describes: connected, within the limits, all names unique.
pub fn build(spec: &Topology) -> Result<Graph, Vec<Problem>> {
    let shapes = shapes(spec);
    let (first, more) = match shapes.split_first() {
        Some((first, more)) => (*first, more),
        None => {
            let problem = Problem::new("", "a topology without hosts");
            return Err(vec![problem.help(format!("give one of {BUILDERS}"))]);
        }
    };
    if let Some(second) = more.first() {
        let problem = Problem::new(*second, format!("two topologies: `{first}` and `{second}`"));
        return Err(vec![problem.related(first, "the other").help("keep one of them")]);
    }
    let mut problems = check_numbers(spec);
    if !problems.is_empty() {
        return Err(problems);
    }
    let graph = match first {
        "star" => spec.star.as_ref().map(builders::star),
        "ring" => spec.ring.as_ref().map(builders::ring),
        "full-mesh" => spec.full_mesh.as_ref().map(builders::full_mesh),
        "torus" => spec.torus.as_ref().map(builders::torus),
        "leaf-spine" => spec.leaf_spine.as_ref().map(builders::leaf_spine),
        "rail" => spec.rail.as_ref().map(builders::rail),
        "cubes" => match spec.cubes.as_ref().map(|spec| (spec, spec.machine())) {
            Some((spec, Ok(machine))) => Some(cubes::cubes(spec, &machine)),
            Some((_, Err(error))) => return Err(vec![Problem::new("cubes.torus", error.to_string())]),
            None => None,
        },
        _ => Some(explicit(spec)?),
    }
    .expect("the shape was found in the spec");
    problems.extend(disconnected(spec, &graph));
    problems.extend(too_many_cards(&graph));
    if problems.is_empty() {
        Ok(graph)
    } else {
        Err(problems)
    }
}

/// Names of the shapes that are given.
fn shapes(spec: &Topology) -> Vec<&'static str> {
    let given = [
        ("star", spec.star.is_some()),
        ("ring", spec.ring.is_some()),
        ("full-mesh", spec.full_mesh.is_some()),
        ("torus", spec.torus.is_some()),
        ("leaf-spine", spec.leaf_spine.is_some()),
        ("rail", spec.rail.is_some()),
        ("cubes", spec.cubes.is_some()),
        ("host", !spec.host.is_empty()),
        ("switch", !spec.switch.is_empty() && spec.host.is_empty()),
        (
            "ocs",
            !spec.ocs.is_empty() && spec.host.is_empty() && spec.switch.is_empty(),
        ),
        (
            "link",
            !spec.link.is_empty() && spec.host.is_empty() && spec.switch.is_empty() && spec.ocs.is_empty(),
        ),
    ];
    given
        .into_iter()
        .filter(|(_, given)| *given)
        .map(|(name, _)| name)
        .collect()
}

/// A count with its path, its smallest value, and how many nodes and links it makes.
fn check_numbers(spec: &Topology) -> Vec<Problem> {
    let mut check = Numbers::default();
    if !(576..=65535).contains(&spec.mtu) {
        check.wrong(
            "mtu",
            format!("an MTU of {} is out of range: 576 to 65535 bytes", spec.mtu),
        );
    }
    if let Some(star) = &spec.star {
        check.count("star.hosts", star.hosts, 1);
        check.rate("star.rate", Some(star.rate));
        check.delay("star.delay", star.delay);
        check.loss("star.loss", star.loss);
        check.size("star.hosts", u64::from(star.hosts) + 1, star.hosts.into());
    }
    if let Some(ring) = &spec.ring {
        check.count("ring.hosts", ring.hosts, 2);
        check.rate("ring.rate", Some(ring.rate));
        check.delay("ring.delay", ring.delay);
        check.loss("ring.loss", ring.loss);
        check.size("ring.hosts", ring.hosts.into(), ring.hosts.into());
    }
    if let Some(mesh) = &spec.full_mesh {
        let hosts = u64::from(mesh.hosts);
        check.count("full-mesh.hosts", mesh.hosts, 2);
        check.rate("full-mesh.rate", Some(mesh.rate));
        check.delay("full-mesh.delay", mesh.delay);
        check.loss("full-mesh.loss", mesh.loss);
        check.size("full-mesh.hosts", hosts, hosts * hosts.saturating_sub(1) / 2);
    }
    if let Some(torus) = &spec.torus {
        if !(2..=3).contains(&torus.dims.len()) {
            check.wrong(
                "torus.dims",
                format!("{} dimensions; a torus has 2 or 3", torus.dims.len()),
            );
        }
        for (number, dim) in torus.dims.iter().enumerate() {
            check.count(&format!("torus.dims[{number}]"), *dim, 1);
        }
        let hosts = torus
            .dims
            .iter()
            .fold(1u64, |product, dim| product.saturating_mul((*dim).into()));
        check.rate("torus.rate", Some(torus.rate));
        check.delay("torus.delay", torus.delay);
        check.loss("torus.loss", torus.loss);
        check.size("torus.dims", hosts, hosts.saturating_mul(torus.dims.len() as u64));
    }
    if let Some(clos) = &spec.leaf_spine {
        let [leaves, spines, per_leaf] = [clos.leaves, clos.spines, clos.hosts_per_leaf].map(u64::from);
        check.count("leaf-spine.leaves", clos.leaves, 1);
        check.count("leaf-spine.spines", clos.spines, 1);
        check.count("leaf-spine.hosts_per_leaf", clos.hosts_per_leaf, 1);
        check.rate("leaf-spine.rate", Some(clos.rate));
        check.delay("leaf-spine.delay", clos.delay);
        check.loss("leaf-spine.loss", clos.loss);
        check.rate("leaf-spine.uplink_rate", clos.uplink_rate);
        let hosts = leaves.saturating_mul(per_leaf);
        let nodes = hosts.saturating_add(leaves + spines);
        check.size(
            "leaf-spine",
            nodes,
            hosts.saturating_add(leaves.saturating_mul(spines)),
        );
    }
    if let Some(rail) = &spec.rail {
        let [hosts, rails, spines] = [rail.hosts, rail.rails, rail.spines].map(u64::from);
        check.count("rail.hosts", rail.hosts, 1);
        check.count("rail.rails", rail.rails, 1);
        check.rate("rail.rate", Some(rail.rate));
        check.delay("rail.delay", rail.delay);
        check.loss("rail.loss", rail.loss);
        check.rate("rail.uplink_rate", rail.uplink_rate);
        if rail.rails as usize > MAX_CARDS {
            check.wrong(
                "rail.rails",
                format!("{} rails; a host has at most {MAX_CARDS}", rail.rails),
            );
        }
        check.size(
            "rail",
            hosts + rails + spines,
            rails.saturating_mul(hosts + spines),
        );
    }
    if let Some(cubes) = &spec.cubes {
        check_cubes(cubes, &mut check);
    }
    let nodes = (spec.host.len() + spec.switch.len() + spec.ocs.len()) as u64;
    for (number, link) in spec.link.iter().enumerate() {
        check.rate(&format!("link[{number}].rate"), Some(link.rate));
        check.delay(&format!("link[{number}].delay"), link.delay);
        check.loss(&format!("link[{number}].loss"), link.loss);
    }
    check.size("host", nodes, spec.link.len() as u64);
    check.problems
}

fn check_cubes(cubes: &cubes::Cubes, check: &mut Numbers) {
    if !(2..=8).contains(&cubes.side) {
        check.wrong(
            "cubes.side",
            format!("cubes of {} hosts a side; 2 to 8 are possible", cubes.side),
        );
    }
    for (number, dim) in cubes.torus.iter().enumerate() {
        check.count(&format!("cubes.torus[{number}]"), *dim, 1);
    }
    check.rate("cubes.rate", Some(cubes.rate));
    check.delay("cubes.delay", cubes.delay);
    check.loss("cubes.loss", cubes.loss);
    if !cubes.ocs.name.is_empty() || cubes.ocs.ports.is_some() {
        check.wrong(
            "cubes.ocs",
            "the switches of cubes are named and sized by their wiring".into(),
        );
    }
    check
        .problems
        .extend(ports::check_device("cubes.ocs", &cubes.ocs));
    let (hosts, switches, links) = cubes.size();
    check.size("cubes.torus", hosts.saturating_add(switches), links);
}

#[derive(Default)]
struct Numbers {
    problems: Vec<Problem>,
}

impl Numbers {
    fn wrong(&mut self, path: &str, message: String) {
        self.problems.push(Problem::new(path, message));
    }

    fn count(&mut self, path: &str, count: u32, least: u32) {
        if count < least {
            let name = path.rsplit('.').next().unwrap_or(path);
            self.wrong(path, format!("{count} {name}; at least {least} needed"));
        }
    }

    fn rate(&mut self, path: &str, rate: Option<Rate>) {
        if rate.is_some_and(|rate| rate.0.is_some_and(|rate| rate.0 < 1000)) {
            let problem = Problem::new(path, "a rate below 1 kbit/s");
            self.problems
                .push(problem.help("\"unlimited\" is a link that is not shaped"));
        }
    }

    fn delay(&mut self, path: &str, delay: Duration) {
        if delay > MAX_DELAY {
            self.wrong(path, format!("a delay of {delay}; at most {MAX_DELAY}"));
        }
    }

    fn loss(&mut self, path: &str, loss: Share) {
        if loss > MAX_LOSS {
            self.wrong(path, format!("a loss of {loss}; at most {MAX_LOSS}"));
        }
    }

    fn size(&mut self, path: &str, nodes: u64, links: u64) {
        let help = "each node is a network namespace of this machine; divide the hosts by a factor that keeps the shape";
        if nodes > MAX_NODES {
            let message = format!("{nodes} hosts and switches; an emulated fabric has at most {MAX_NODES}");
            self.problems.push(Problem::new(path, message).help(help));
        } else if links > MAX_LINKS {
            let message = format!("{links} links; an emulated fabric has at most {MAX_LINKS}");
            self.problems.push(Problem::new(path, message).help(help));
        }
    }
}

/// With optical switches, hosts have a management network besides: parts may stand alone.
fn disconnected(spec: &Topology, graph: &Graph) -> Option<Problem> {
    let parts = graph.parts();
    let optical = graph.nodes.iter().any(|node| node.kind == Kind::Ocs);
    if parts.len() < 2 || optical {
        return None;
    }
    let name = |part: &Vec<usize>| {
        let names: Vec<&str> = part
            .iter()
            .take(6)
            .map(|node| graph.nodes[*node].name.as_str())
            .collect();
        let more = if part.len() > 6 {
            format!(" and {} more", part.len() - 6)
        } else {
            String::new()
        };
        format!("({}{more})", names.join(", "))
    };
    let shown: Vec<String> = parts.iter().take(6).map(name).collect();
    let more = if parts.len() > 6 { ", ..." } else { "" };
    let message = format!(
        "the topology falls into {} parts: {}{more}",
        parts.len(),
        shown.join(", ")
    );
    let smallest = parts
        .iter()
        .rev()
        .min_by_key(|part| part.len())
        .and_then(|part| part.first());
    let name = smallest.map_or("", |node| graph.nodes[*node].name.as_str());
    let number = |nodes: &[ExplicitNode]| nodes.iter().position(|node| node.name == name);
    let host = number(&spec.host).map(|number| format!("host[{number}].name"));
    let switch = || number(&spec.switch).map(|number| format!("switch[{number}].name"));
    let ocs = || spec.ocs.iter().position(|ocs| ocs.name == name);
    let path = host
        .or_else(switch)
        .or_else(|| ocs().map(|number| format!("ocs[{number}].name")));
    Some(Problem::new(path.unwrap_or_default(), message).help(format!("link `{name}` with the rest")))
}

/// Each card of a host on a switch has an address of its own, numbered by one byte.
fn too_many_cards(graph: &Graph) -> Option<Problem> {
    let on_switch =
        |node: usize, link: &usize| graph.nodes[graph.links[*link].far(node)].kind == Kind::Switch;
    let cards = |node: usize| {
        graph.nodes[node]
            .links
            .iter()
            .filter(|link| on_switch(node, link))
            .count()
    };
    let host = graph
        .host_numbers()
        .into_iter()
        .find(|host| cards(*host) > MAX_CARDS)?;
    let message = format!(
        "`{}` has {} links to switches; at most {MAX_CARDS}",
        graph.nodes[host].name,
        cards(host)
    );
    Some(Problem::new("link", message))
}
