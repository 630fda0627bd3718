//! The topology section to the plan's nodes, links, addresses and routes.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;

use crate::scenario::plan::{FabricKind, Link, Network, Node, NodeKind, PortRef, Route};
use crate::scenario::section::Scenario;
use crate::scenario::units::{Duration, Share};
use crate::topology;
use crate::topology::graph::{Graph, Kind};
use crate::topology::optical::{Joint, Lit, optical_end};
use crate::topology::routes::{Address, Routing, addresses, route_to};

use super::findings::Findings;

/// The network of a plan, with the graph that it came from.
pub struct Wired {
    /// As the plan has it.
    pub network: Network,
    /// The graph with all its links, lit and dark; empty on the host fabric.
    pub graph: Graph,
    /// As packets see it while no circuit stands.
    pub seen: Seen,
    /// Node of the management network; `None` where there are no optical switches.
    pub management: Option<usize>,
    /// Hosts of the topology section, for the number of ranks.
    pub hosts: usize,
}

/// A network as packets see it while certain circuits stand.
#[derive(Debug, Clone)]
pub struct Seen {
    /// What is linked.
    pub lit: Lit,
    /// Addresses and routes.
    pub routing: Routing,
}

impl Seen {
    /// The network with these circuits.
    fn new(graph: &Graph, circuits: &[Joint], addresses: Vec<Address>) -> Self {
        let lit = Lit::new(graph, circuits);
        let routing = route_to(&lit.graph, addresses);
        Seen { lit, routing }
    }
}

impl Wired {
    /// As packets see it while these circuits stand.
    pub fn with(&self, circuits: &[Joint]) -> Seen {
        Seen::new(&self.graph, circuits, self.seen.routing.addresses.clone())
    }

    /// The routes of all nodes while these circuits stand.
    pub fn routes(&self, seen: &Seen) -> Vec<Vec<Route>> {
        let Some(management) = self.management else {
            let nodes = 0..self.network.nodes.len();
            return nodes.map(|node| routes(&self.graph, seen, node)).collect();
        };
        let nodes = 0..management;
        let mut all: Vec<Vec<Route>> = nodes.map(|node| reached(&self.graph, seen, node)).collect();
        let ends = |link: &Link| link.ends.iter().any(|end| end.node == management);
        let links = self
            .network
            .links
            .iter()
            .enumerate()
            .filter(|(_, link)| ends(link));
        let mut back = Vec::new();
        for (number, link) in links {
            let host = link.ends[0].node;
            all[host].push(Route {
                to: None,
                via: vec![number],
            });
            let to = self.network.nodes[host].addresses.iter();
            back.extend(to.map(|address| Route {
                to: Some(*address),
                via: vec![number],
            }));
        }
        all.push(back);
        all
    }

    /// Whether there is an optical switch.
    pub fn is_optical(&self) -> bool {
        self.graph.nodes.iter().any(|node| node.kind == Kind::Ocs)
    }

    /// The number of an address among those that are routed.
    pub fn address_number(&self, ip: Ipv4Addr) -> Option<usize> {
        self.seen
            .routing
            .addresses
            .iter()
            .position(|address| address.ip == ip)
    }
}

/// Builds the network; `None` only after something was found wrong.
pub fn wire(scenario: &Scenario, findings: &mut Findings<'_>) -> Option<Wired> {
    let host_fabric = scenario.testbed.fabric == FabricKind::Host;
    let Some(spec) = &scenario.topology else {
        if host_fabric {
            return Some(on_host(0));
        }
        let wrong = findings.wrong("testbed.fabric", "an emulated fabric needs a topology");
        wrong
            .help
            .push("add for example `[topology.star]` with `hosts = 4` and `rate = \"1 Gbit/s\"`".into());
        wrong
            .help
            .push("or use existing interfaces: fabric = \"host\" in `[testbed]`".into());
        return None;
    };
    let graph = match topology::build(spec) {
        Ok(graph) => graph,
        Err(problems) => {
            problems
                .into_iter()
                .for_each(|problem| findings.topology(problem));
            return None;
        }
    };
    if host_fabric {
        return Some(on_host(graph.host_numbers().len()));
    }
    check_dilated(scenario, &graph, findings);
    check_soft_roce(scenario, &graph, findings);
    let seen = Seen::new(&graph, &[], addresses(&graph));
    let mut network = network(&graph, &seen.routing, spec.mtu);
    let optical = graph.nodes.iter().any(|node| node.kind == Kind::Ocs);
    let management = optical.then(|| add_management(&mut network));
    let mut wired = Wired {
        network,
        hosts: graph.host_numbers().len(),
        graph,
        seen,
        management,
    };
    wired.network.routes = wired.routes(&wired.seen);
    Some(wired)
}

/// A network beside the fabric that links all hosts, unshaped: what joins hosts between which no circuit
/// stands. Clusters have one as well.
fn add_management(network: &mut Network) -> usize {
    let node_names: BTreeSet<&str> = network.nodes.iter().map(|node| node.name.as_str()).collect();
    let link_names: BTreeSet<&str> = network.links.iter().map(|link| link.name.as_str()).collect();
    let (management, name) = (network.nodes.len(), unused("management", &node_names));
    let hosts = (0..management).filter(|node| network.nodes[*node].kind == NodeKind::Host);
    let links = hosts.enumerate().map(|(number, host)| Link {
        name: unused(&format!("{}-{name}", network.nodes[host].name), &link_names),
        ends: [
            PortRef {
                node: host,
                interface: "mgmt0".into(),
            },
            PortRef {
                node: management,
                interface: format!("p{number}"),
            },
        ],
        rate: None,
        delay: Duration(0),
        loss: Share::default(),
    });
    let links: Vec<Link> = links.collect();
    network.links.extend(links);
    network.nodes.push(Node {
        name,
        kind: NodeKind::Management,
        addresses: Vec::new(),
    });
    management
}

/// A name that nobody has: this one, else the first that is free of this one with a number.
fn unused(stem: &str, taken: &BTreeSet<&str>) -> String {
    let numbered = (2..).map(|number| format!("{stem}{number}"));
    let mut names = std::iter::once(stem.to_owned()).chain(numbered);
    let free = |name: &String| !taken.contains(name.as_str());
    names.find(free).unwrap_or_else(|| stem.to_owned())
}

/// The machine itself: one node, no links.
fn on_host(hosts: usize) -> Wired {
    let graph = Graph::default();
    let node = Node {
        name: "localhost".into(),
        kind: NodeKind::Host,
        addresses: Vec::new(),
    };
    Wired {
        network: Network {
            nodes: vec![node],
            links: Vec::new(),
            routes: vec![Vec::new()],
            mtu: 65535,
        },
        seen: Seen::new(&graph, &[], Vec::new()),
        graph,
        management: None,
        hosts,
    }
}

/// Soft-RoCE's hosts share a network namespace: what one sends must cross a switch to leave it, and
/// none can forward for others.
fn check_soft_roce(scenario: &Scenario, graph: &Graph, findings: &mut Findings<'_>) {
    let is_host = |node: usize| graph.nodes[node].kind == Kind::Host;
    let direct = |link: &&topology::graph::Link| link.ends.iter().all(|end| is_host(end.node));
    if scenario.testbed.fabric == FabricKind::SoftRoce
        && (0..graph.links.len()).any(|link| optical_end(graph, link).is_some())
    {
        let wrong = findings.wrong("testbed.fabric", "soft-RoCE knows no optical switches");
        wrong
            .help
            .push("fabric = \"emulated\" has them, with the transports `tcp` and `roce-user`".into());
        return;
    }
    if scenario.testbed.fabric == FabricKind::SoftRoce
        && let Some(link) = graph.links.iter().find(direct)
    {
        let message = format!(
            "link `{}` joins two hosts; soft-RoCE needs a switch between them",
            link.name
        );
        let wrong = findings.wrong("testbed.fabric", message);
        wrong
            .help
            .push("`[topology.star]`, `[topology.leaf-spine]` and `[topology.rail]` have switches".into());
    }
}

/// Links must be possible after dilation, too.
fn check_dilated(scenario: &Scenario, graph: &Graph, findings: &mut Findings<'_>) {
    let dilation = scenario.time.dilation;
    if dilation.is_nan() || dilation <= 0.0 {
        return; // found wrong before
    }
    let real = |rate: u64| rate as f64 / dilation;
    let slowest = graph.links.iter().filter_map(|link| link.wire.rate).min();
    if let Some(rate) = slowest.filter(|rate| real(rate.0) < 1000.0) {
        let message = format!("a dilation of {dilation} slows {rate} to below 1 kbit/s");
        findings.wrong("time.dilation", message);
    }
    let longest = graph
        .links
        .iter()
        .map(|link| link.wire.delay)
        .max()
        .unwrap_or(Duration(0));
    if longest.seconds() * dilation > 60.0 {
        let message = format!("a delay of {longest} at a dilation of {dilation} is more than a minute");
        findings.wrong("time.dilation", message);
    }
}

fn network(graph: &Graph, routing: &Routing, mtu: u32) -> Network {
    let mut nodes: Vec<Node> = graph.nodes.iter().map(plain_node).collect();
    for address in &routing.addresses {
        nodes[address.node].addresses.push(address.ip);
    }
    let links = graph.links.iter().map(|link| Link {
        name: link.name.clone(),
        ends: link.ends.clone().map(|end| PortRef {
            node: end.node,
            interface: end.interface,
        }),
        rate: link.wire.rate,
        delay: link.wire.delay,
        loss: link.wire.loss,
    });
    Network {
        links: links.collect(),
        routes: Vec::new(),
        nodes,
        mtu,
    }
}

fn plain_node(node: &crate::topology::graph::Node) -> Node {
    Node {
        name: node.name.clone(),
        kind: match node.kind {
            Kind::Host => NodeKind::Host,
            Kind::Switch => NodeKind::Switch,
            Kind::Ocs => NodeKind::Ocs,
        },
        addresses: Vec::new(),
    }
}

/// A node with one link needs only a default route.
fn routes(graph: &Graph, seen: &Seen, node: usize) -> Vec<Route> {
    match graph.nodes[node].links[..] {
        [only] => vec![Route {
            to: None,
            via: vec![only],
        }],
        _ => reached(graph, seen, node),
    }
}

/// A route to each address of others that has a path.
fn reached(graph: &Graph, seen: &Seen, node: usize) -> Vec<Route> {
    let others = seen
        .routing
        .addresses
        .iter()
        .enumerate()
        .filter(|(_, address)| address.node != node);
    let route = |(number, address): (usize, &Address)| {
        let via = seen.routing.next(&seen.lit.graph, node, number);
        Route {
            to: Some(address.ip),
            via: via
                .into_iter()
                .map(|link| seen.lit.interface(graph, node, link))
                .collect(),
        }
    };
    others.map(route).filter(|route| !route.via.is_empty()).collect()
}
