//! Addresses and routes. Every host has one address, or one for each of its network cards on
//! switches if it has several; who has a path to the card reaches its address only through it.
//! Routes are all equal-cost shortest paths, found breadth first from each address. Hosts forward
//! packets of others only where some host could not reach some address otherwise.

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
    /// The link by which it is reached, where a path leads there; `None`: by any.
    pub card: Option<usize>,
}

/// Distance of a node from which an address cannot be reached.
const UNREACHED: u16 = u16::MAX;
/// Added to the distance of nodes from which an address can only be reached by another card.
const DETOUR: u16 = 1 << 14;

/// Addresses and the way to them from everywhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Routing {
    /// All addresses, by host, then by card.
    pub addresses: Vec<Address>,
    /// Whether hosts forward packets of others.
    pub hosts_forward: bool,
    /// `hops[address][node]`: links from the node to the address, plus [`DETOUR`] if by another card.
    hops: Vec<Vec<u16>>,
}

/// Finds the routes to these addresses, whose cards are links of the graph. Parts of it may have no path to
/// each other.
pub fn route_to(graph: &Graph, addresses: Vec<Address>) -> Routing {
    let all = |hosts_forward| -> Vec<Vec<u16>> {
        let hops = |address: &Address| hops(graph, address, hosts_forward);
        addresses.iter().map(hops).collect()
    };
    let hosts = graph.host_numbers();
    let reached = |all: &[Vec<u16>]| -> usize {
        let by = |hops: &Vec<u16>| hosts.iter().filter(|host| hops[**host] != UNREACHED).count();
        all.iter().map(by).sum()
    };
    let direct = all(false);
    let most = addresses.len() * hosts.len();
    let (hosts_forward, hops) = match reached(&direct) {
        enough if enough == most => (false, direct),
        some => {
            let more = all(true);
            match reached(&more) > some {
                true => (true, more),
                false => (false, direct),
            }
        }
    };
    Routing {
        addresses,
        hosts_forward,
        hops,
    }
}

/// Card k of the i-th host is `10.k.(i / 250).(i % 250 + 1)`; a host with one address has card 0.
pub fn addresses(graph: &Graph) -> Vec<Address> {
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

/// Breadth first from the address, through its card; then through the host's other links to what
/// has no path to the card.
fn hops(graph: &Graph, to: &Address, hosts_forward: bool) -> Vec<u16> {
    let mut hops = vec![UNREACHED; graph.nodes.len()];
    hops[to.node] = 0;
    let links = &graph.nodes[to.node].links;
    let card = to.card.as_ref().map_or(&links[..], std::slice::from_ref);
    for (links, distance) in [(card, 1), (links, DETOUR + 1)] {
        let firsts = links
            .iter()
            .map(|link| (graph.links[*link].far(to.node), distance));
        spread(graph, firsts.collect(), hosts_forward, &mut hops);
    }
    hops
}

/// Breadth first over what was not reached before; the queue holds nodes with their distance.
fn spread(graph: &Graph, mut queue: VecDeque<(usize, u16)>, hosts_forward: bool, hops: &mut [u16]) {
    while let Some((node, distance)) = queue.pop_front() {
        if hops[node] != UNREACHED {
            continue;
        }
        hops[node] = distance;
        if hosts_forward || graph.nodes[node].kind == Kind::Switch {
            let links = graph.nodes[node].links.iter();
            queue.extend(links.map(|link| (graph.links[*link].far(node), distance + 1)));
        }
    }
}

impl Routing {
    /// Whether a node has a path to an address.
    pub fn reaches(&self, node: usize, address: usize) -> bool {
        self.hops[address][node] != UNREACHED
    }

    /// Nodes from which an address is reached, those that packets cross first before all others.
    pub fn farthest_first(&self, address: usize) -> Vec<usize> {
        let hops = &self.hops[address];
        let mut nodes: Vec<usize> = (0..hops.len()).filter(|node| hops[*node] != UNREACHED).collect();
        nodes.sort_by_key(|node| std::cmp::Reverse(hops[*node]));
        nodes
    }

    /// The links by which `node` sends packets to an address, all on shortest paths; empty at the
    /// address, and on switches that no path to it crosses.
    pub fn next(&self, graph: &Graph, node: usize, address: usize) -> Vec<usize> {
        let to = &self.addresses[address];
        let hops = &self.hops[address];
        let forwards = |node: usize| self.hosts_forward || graph.nodes[node].kind == Kind::Switch;
        let on_path = |link: &usize| match graph.links[*link].far(node) {
            far if far != to.node => hops[far] != UNREACHED && hops[far] + 1 == hops[node] && forwards(far),
            _ if hops[node] == 1 => to.card.is_none_or(|card| card == *link),
            _ => hops[node] == DETOUR + 1,
        };
        graph.nodes[node].links.iter().copied().filter(on_path).collect()
    }
}
