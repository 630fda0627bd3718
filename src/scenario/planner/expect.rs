//! Bytes per link and the time that an operation must take at least. Modelled, never measured.
//!
//! time = max over links of payload bytes / (rate x payload limit)
//!        + rounds x max over flows of the sum over the path of (delay + one frame / rate),
//! where the payload limit at MTU m is (m - 52) / (m + 14): IPv4 and TCP headers with timestamps
//! take 52 bytes of a packet, Ethernet 14 around it; and a frame is one segment of a message.

use std::collections::{BTreeMap, HashMap};
use std::net::{IpAddr, Ipv4Addr};

use crate::scenario::plan::{
    Communicator, ETHERNET_HEADER, Expected, IP_TCP_HEADERS, RankPlace, payload_limit,
};
use crate::system::collective::{Flow, Traffic};

use super::network::{Seen, Wired};

/// What operations are laid on.
pub struct Ground<'a> {
    /// The network.
    pub wired: &'a Wired,
    /// As packets see it now.
    pub seen: &'a Seen,
    /// Where ranks are.
    pub ranks: &'a [RankPlace],
    /// The communicators.
    pub communicators: &'a [Communicator],
    /// Connections between two ranks; bytes are taken to spread evenly over them.
    pub channels: u32,
    /// Real over nominal time.
    pub dilation: f64,
    /// By what factor software is slower than on this machine itself.
    pub slowdown: f64,
}

/// Payload bytes of one operation on each link, by direction.
pub type LinkBytes = Vec<[f64; 2]>;

impl Ground<'_> {
    /// Bytes per link and the expected time of an operation with this traffic in this communicator.
    pub fn expect(&self, traffic: &Traffic, communicator: &Communicator) -> (LinkBytes, Expected) {
        let loads = self.loads(traffic, communicator);
        let mut link_bytes = vec![[0.0; 2]; self.wired.network.links.len()];
        let mut latency: f64 = 0.0;
        for (address, sources) in &loads {
            latency = latency.max(self.carry(*address, sources, &mut link_bytes));
        }
        let expected = self.expected(&link_bytes, latency, traffic.rounds);
        (link_bytes, expected)
    }

    /// Two ranks that exchange messages of this traffic and between whose hosts there is no path, if any.
    pub fn apart(&self, traffic: &Traffic, communicator: &Communicator) -> Option<(u32, u32)> {
        self.wired.management?; // everything has a path where nothing is optical
        let rank = |position: u32| communicator.ranks[position as usize];
        let flows = traffic.flows.iter().map(|flow| (rank(flow.from), rank(flow.to)));
        flows.into_iter().find(|&(from, to)| !self.joined(from, to))
    }

    /// Whether there is a path from the host of one rank to that of another, over every channel.
    pub fn joined(&self, from: u32, to: u32) -> bool {
        let (from, to) = (&self.ranks[from as usize], &self.ranks[to as usize]);
        let reached = |address: &IpAddr| match address {
            IpAddr::V4(ip) => self.wired.address_number(*ip),
            IpAddr::V6(_) => None,
        };
        let mut numbers = to.addresses.iter().filter_map(reached);
        from.host == to.host || numbers.all(|number| self.seen.routing.reaches(from.host, number))
    }

    /// What each node injects for each address.
    fn loads(
        &self,
        traffic: &Traffic,
        communicator: &Communicator,
    ) -> BTreeMap<usize, BTreeMap<usize, Load>> {
        let routed = &self.seen.routing.addresses;
        let numbers: HashMap<Ipv4Addr, usize> = routed.iter().enumerate().map(|(n, a)| (a.ip, n)).collect();
        let place = |position: u32| &self.ranks[communicator.ranks[position as usize] as usize];
        let mut loads: BTreeMap<usize, BTreeMap<usize, Load>> = BTreeMap::new();
        for flow in &traffic.flows {
            let (from, to) = (place(flow.from), place(flow.to));
            if from.host == to.host {
                continue;
            }
            for (address, share) in shares(&to.addresses, self.channels) {
                if let IpAddr::V4(ip) = address
                    && let Some(number) = numbers.get(&ip)
                {
                    let load = loads.entry(*number).or_default().entry(from.host).or_default();
                    load.add(flow, share);
                }
            }
        }
        loads
    }

    /// Carries what nodes inject for one address along its equal-cost paths, in equal parts, the
    /// farthest nodes first. Gives the longest one-way time of a small message to it, seconds.
    fn carry(&self, address: usize, sources: &BTreeMap<usize, Load>, link_bytes: &mut LinkBytes) -> f64 {
        let (graph, routing) = (&self.seen.lit.graph, &self.seen.routing);
        let mut waiting: Vec<Option<f64>> = vec![None; graph.nodes.len()];
        for (node, load) in sources {
            waiting[*node] = Some(load.bytes);
        }
        let mut crossed = Vec::new();
        for node in routing.farthest_first(address) {
            let Some(bytes) = waiting[node] else {
                continue;
            };
            let next = routing.next(graph, node, address);
            for link in &next {
                let part = bytes / next.len() as f64;
                for (leg, direction) in self.seen.lit.legs(&self.wired.graph, node, *link) {
                    link_bytes[leg][direction] += part;
                }
                *waiting[graph.links[*link].far(node)].get_or_insert(0.0) += part;
            }
            crossed.extend(next.first().map(|link| (node, *link)));
        }
        let message = sources
            .values()
            .map(|load| load.largest_message)
            .fold(0.0, f64::max);
        let mut latency = vec![0.0; graph.nodes.len()];
        for (node, link) in crossed.into_iter().rev() {
            latency[node] = self.hop_seconds(link, message) + latency[graph.links[link].far(node)];
        }
        sources.keys().map(|node| latency[*node]).fold(0.0, f64::max)
    }

    /// One-way time of a small message over a link: its delay and one frame.
    fn hop_seconds(&self, link: usize, message: f64) -> f64 {
        let segment = message.min(f64::from(self.wired.network.mtu) - IP_TCP_HEADERS);
        let frame = segment + IP_TCP_HEADERS + ETHERNET_HEADER;
        let wire = self.seen.lit.graph.links[link].wire;
        wire.delay.seconds() + wire.rate.map_or(0.0, |rate| frame / rate.bytes_per_second())
    }

    /// The time of these bytes per link and so many rounds of this latency (seconds).
    pub fn expected(&self, link_bytes: &LinkBytes, latency: f64, rounds: u32) -> Expected {
        let mut busiest = None;
        let mut wire = 0.0;
        for (number, (link, bytes)) in self.wired.network.links.iter().zip(link_bytes).enumerate() {
            let Some(rate) = link.rate else {
                continue;
            };
            for (direction, bytes) in (0u8..).zip(bytes) {
                let seconds = bytes / payload_limit(rate.0 as f64, self.wired.network.mtu);
                if seconds > wire * (1.0 + 1e-9) {
                    (wire, busiest) = (seconds, Some((number, direction)));
                }
            }
        }
        let seconds = wire + f64::from(rounds) * latency;
        let limited = seconds > 0.0;
        Expected {
            seconds: limited.then_some(seconds),
            wire_share: limited.then(|| wire / seconds),
            busiest,
            rounds,
        }
    }
}

/// What a node sends to an address.
#[derive(Debug, Default, Clone, Copy)]
struct Load {
    bytes: f64,
    largest_message: f64,
}

impl Load {
    fn add(&mut self, flow: &Flow, share: f64) {
        self.bytes += flow.bytes as f64 * share;
        let message = flow.bytes as f64 / flow.messages.max(1) as f64;
        self.largest_message = self.largest_message.max(message);
    }
}

/// The addresses that channels use and the share of the channels on each.
fn shares(addresses: &[IpAddr], channels: u32) -> Vec<(IpAddr, f64)> {
    let count = addresses.len().max(1);
    let used = addresses.iter().take(channels as usize).enumerate();
    let channels = channels as usize;
    let on = |number: usize| (channels - number).div_ceil(count);
    used.map(|(number, address)| (*address, on(number) as f64 / channels as f64))
        .collect()
}
