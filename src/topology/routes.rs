//! Addresses and routes. Every host has one address, or one for each of its network cards on
//! switches if it has several; a card's address is reached through that card. Routes are all
//! equal-cost shortest paths to each address, found breadth first from the address.
//!
//! Hosts forward packets of others only where some address could not be reached otherwise.

use std::collections::VecDeque;
use std::net::Ipv4Addr;

use super::graph::{Graph, Kind};

/// An address and where it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    /// The address.
    pub ip: Ipv4Addr,
    /// The host that has it.
    pub node: usize,
    /// The only link by which it is reached; `None`: by any.
    pub card: Option<usize>,
}

/// Distance of a node from which an address cannot be reached.
const UNREACHED: u16 = u16::MAX;

/// Addresses and the way to them from everywhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Routing {
    /// All addresses, by host, then by card.
    pub addresses: Vec<Address>,
    /// Whether hosts forward packets of others.
    pub hosts_forward: bool,
    /// `hops[address][node]`: links from the node to the address.
    hops: Vec<Vec<u16>>,
}

/// Addresses all hosts and finds the routes of a connected graph.
pub fn route(graph: &Graph) -> Routing {
    let addresses = addresses(graph);
    let all = |hosts_forward| -> Vec<Vec<u16>> {
        let hops = |address: &Address| hops(graph, address, hosts_forward);
        addresses.iter().map(hops).collect()
    };
    let reached = |hops: &Vec<Vec<u16>>| hops.iter().flatten().all(|hops| *hops != UNREACHED);
    let direct = all(false);
    let hosts_forward = !reached(&direct);
    let hops = if hosts_forward { all(true) } else { direct };
    Routing {
        addresses,
        hosts_forward,
        hops,
    }
}

/// Card k of the i-th host is `10.k.(i / 250).(i % 250 + 1)`; a host with one address has card 0.
fn addresses(graph: &Graph) -> Vec<Address> {
    let mut addresses = Vec::new();
    for (number, node) in graph.host_numbers().into_iter().enumerate() {
        let on_switch = |link: &&usize| graph.nodes[graph.links[**link].far(node)].kind == Kind::Switch;
        let cards: Vec<usize> = graph.nodes[node]
            .links
            .iter()
            .filter(on_switch)
            .copied()
            .collect();
        let ip = |card: usize| Ipv4Addr::new(10, card as u8, (number / 250) as u8, (number % 250 + 1) as u8);
        if cards.len() < 2 {
            addresses.push(Address {
                ip: ip(0),
                node,
                card: None,
            });
            continue;
        }
        addresses.extend(cards.iter().enumerate().map(|(card, link)| Address {
            ip: ip(card),
            node,
            card: Some(*link),
        }));
    }
    addresses
}

/// Breadth first from the address.
fn hops(graph: &Graph, to: &Address, hosts_forward: bool) -> Vec<u16> {
    let mut hops = vec![UNREACHED; graph.nodes.len()];
    hops[to.node] = 0;
    let mut queue = VecDeque::from([to.node]);
    while let Some(node) = queue.pop_front() {
        let forwards = hosts_forward || graph.nodes[node].kind == Kind::Switch || node == to.node;
        if !forwards {
            continue;
        }
        for &link in &graph.nodes[node].links {
            let far = graph.links[link].far(node);
            let entered = node != to.node || to.card.is_none_or(|card| card == link);
            if entered && hops[far] == UNREACHED {
                hops[far] = hops[node] + 1;
                queue.push_back(far);
            }
        }
    }
    hops
}

impl Routing {
    /// Links from a node to an address.
    pub fn hops(&self, node: usize, address: usize) -> u16 {
        self.hops[address][node]
    }

    /// The links by which `node` sends packets to an address, all on shortest paths; empty at the address.
    pub fn next(&self, graph: &Graph, node: usize, address: usize) -> Vec<usize> {
        let to = &self.addresses[address];
        let hops = &self.hops[address];
        let forwards = |node: usize| self.hosts_forward || graph.nodes[node].kind == Kind::Switch;
        let on_path = |link: &usize| {
            let far = graph.links[*link].far(node);
            let nearer = hops[far] < hops[node] && hops[far] + 1 == hops[node];
            nearer
                && (if far == to.node {
                    to.card.is_none_or(|card| card == *link)
                } else {
                    forwards(far)
                })
        };
        graph.nodes[node].links.iter().copied().filter(on_path).collect()
    }
}
