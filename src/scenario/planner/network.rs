//! The topology section to the plan's nodes, links, addresses and routes.

use crate::scenario::plan::{FabricKind, Link, Network, Node, NodeKind, PortRef, Route};
use crate::scenario::section::Scenario;
use crate::scenario::units::Duration;
use crate::topology;
use crate::topology::graph::{Graph, Kind};
use crate::topology::routes::{Routing, route};

use super::findings::Findings;

/// The network of a plan, with the graph and routing that it came from.
pub struct Wired {
    /// As the plan has it.
    pub network: Network,
    /// The graph; empty on the host fabric.
    pub graph: Graph,
    /// Addresses and routes; empty on the host fabric.
    pub routing: Routing,
    /// Hosts of the topology section, for the number of ranks.
    pub hosts: usize,
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
    let routing = route(&graph);
    let network = network(&graph, &routing, spec.mtu);
    Some(Wired {
        network,
        hosts: graph.host_numbers().len(),
        graph,
        routing,
    })
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
        routing: route(&graph),
        graph,
        hosts,
    }
}

/// Soft-RoCE's hosts share a network namespace: what one sends must cross a switch to leave it, and
/// none can forward for others.
fn check_soft_roce(scenario: &Scenario, graph: &Graph, findings: &mut Findings<'_>) {
    let is_host = |node: usize| graph.nodes[node].kind == Kind::Host;
    let direct = |link: &&topology::graph::Link| link.ends.iter().all(|end| is_host(end.node));
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
        routes: (0..nodes.len())
            .map(|node| routes(graph, routing, node))
            .collect(),
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
        },
        addresses: Vec::new(),
    }
}

/// A node with one link needs only a default route.
fn routes(graph: &Graph, routing: &Routing, node: usize) -> Vec<Route> {
    if let [only] = graph.nodes[node].links[..] {
        return vec![Route {
            to: None,
            via: vec![only],
        }];
    }
    let others = routing
        .addresses
        .iter()
        .enumerate()
        .filter(|(_, address)| address.node != node);
    let route = |(number, address): (usize, &crate::topology::routes::Address)| Route {
        to: Some(address.ip),
        via: routing.next(graph, node, number),
    };
    others.map(route).filter(|route| !route.via.is_empty()).collect()
}
