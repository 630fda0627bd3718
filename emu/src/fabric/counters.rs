//! Bytes, packets and drops of every link in both directions, as the kernel counts them.

use std::collections::{BTreeMap, BTreeSet};
use std::os::fd::AsFd;
use std::{fs, io, thread};

use super::{Fabric, FabricError};
use crate::namespace::enter;
use crate::spec::Role;

/// What one direction of a link has carried since it was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct DirectionCount {
    /// Bytes of Ethernet frames (without preamble, frame check and gap).
    pub bytes: u64,
    /// Frames.
    pub packets: u64,
    /// Packets dropped at the sending port.
    pub drops: u64,
}

/// Both directions of a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LinkCount {
    /// Index: from the first end to the second, and back.
    pub directions: [DirectionCount; 2],
    /// Whether every segment's headers are in `bytes` and every segment in `packets`. On unshaped links
    /// TCP hands over up to 64 KiB at once, which the interface counts as one packet with one header.
    pub exact: bool,
}

impl Fabric {
    /// The counters of all links, in the order of the specification. One question to each namespace,
    /// some tens of microseconds each.
    pub fn counters(&self) -> Result<Vec<LinkCount>, FabricError> {
        let none = LinkCount {
            directions: Default::default(),
            exact: false,
        };
        let mut counts: Vec<LinkCount> = self
            .spec
            .links
            .iter()
            .map(|link| LinkCount {
                exact: link.rate_bps.is_some(),
                ..none
            })
            .collect();
        let ends = self.ends_by_node();
        for (number, ends) in ends.iter().enumerate() {
            let exact = |&&(link, _): &&(usize, usize)| counts[link].exact;
            let (shaped, unshaped): (Vec<_>, Vec<_>) = ends.iter().partition(exact);
            for ((link, side), count) in self.read_shaped(number, &shaped)? {
                counts[link].directions[side] = count;
            }
            for ((link, side), count) in self.read_unshaped(number, &unshaped)? {
                counts[link].directions[side] = count;
            }
        }
        Ok(counts)
    }

    /// Frames that could not be sent into each of these links at ends that are not an optical switch's: no carrier.
    pub fn unsent(&self, links: &BTreeSet<usize>) -> Result<BTreeMap<usize, u64>, FabricError> {
        let mut unsent = BTreeMap::new();
        for (number, ends) in self.ends_by_node().iter().enumerate() {
            let mut own = ends.iter().filter(|(link, _)| links.contains(link)).peekable();
            if own.peek().is_none() || self.spec.nodes[number].role == Role::Optical {
                continue;
            }
            let found = self.nodes[number].netlink().links();
            let found = found.map_err(|source| self.refused(number, source))?;
            for &(link, side) in own {
                let mut there = found.iter();
                if let Some(port) = there.find(|status| status.index == self.ports[link][side]) {
                    *unsent.entry(link).or_insert(0) += port.tx_dropped;
                }
            }
        }
        Ok(unsent)
    }

    /// TCP segments that all nodes together have sent again since the fabric was made.
    pub fn retransmits(&self) -> io::Result<u64> {
        let count = || {
            let mut sum = 0;
            for node in &self.nodes {
                enter(node.namespace.as_fd())?;
                sum += resent(&fs::read_to_string("/proc/thread-self/net/snmp")?).unwrap_or(0);
            }
            Ok(sum)
        };
        // Entering a namespace is for good.
        thread::scope(|scope| scope.spawn(count).join())
            .unwrap_or_else(|_| Err(io::Error::other("the counting thread panicked")))
    }

    /// The link and side of every port of every node.
    pub(super) fn ends_by_node(&self) -> Vec<Vec<(usize, usize)>> {
        let mut ends = vec![Vec::new(); self.nodes.len()];
        for (number, link) in self.spec.links.iter().enumerate() {
            for (side, (node, _)) in link.ends.iter().enumerate() {
                // Empty once the fabric is down.
                if let Some(ends) = ends.get_mut(*node) {
                    ends.push((number, side));
                }
            }
        }
        ends
    }

    fn read_shaped(&self, number: usize, ends: &[(usize, usize)]) -> Result<Counted, FabricError> {
        if ends.is_empty() {
            return Ok(Vec::new());
        }
        let found = self.nodes[number].netlink().qdisc_counts();
        let found = found.map_err(|source| self.refused(number, source))?;
        let count = |&(link, side): &(usize, usize)| {
            let of = found.iter().find(|count| count.index == self.ports[link][side])?;
            let count = DirectionCount {
                bytes: of.bytes,
                packets: of.packets,
                drops: of.drops,
            };
            Some(((link, side), count))
        };
        Ok(ends.iter().filter_map(count).collect())
    }

    fn read_unshaped(&self, number: usize, ends: &[(usize, usize)]) -> Result<Counted, FabricError> {
        if ends.is_empty() {
            return Ok(Vec::new());
        }
        let found = self.nodes[number].netlink().links();
        let found = found.map_err(|source| self.refused(number, source))?;
        let count = |&(link, side): &(usize, usize)| {
            let of = found
                .iter()
                .find(|status| status.index == self.ports[link][side])?;
            let count = DirectionCount {
                bytes: of.tx_bytes,
                packets: of.tx_packets,
                drops: of.tx_dropped,
            };
            Some(((link, side), count))
        };
        Ok(ends.iter().filter_map(count).collect())
    }

    fn refused(&self, number: usize, source: crate::netlink::NetlinkError) -> FabricError {
        FabricError::Netlink {
            node: self.spec.nodes[number].name.clone(),
            source,
        }
    }
}

/// `RetransSegs` of `/proc/net/snmp`: a line of names and a line of values.
fn resent(snmp: &str) -> Option<u64> {
    let mut lines = snmp.lines().filter_map(|line| line.strip_prefix("Tcp: "));
    let (names, values) = (lines.next()?, lines.next()?);
    let place = names.split_whitespace().position(|name| name == "RetransSegs")?;
    values.split_whitespace().nth(place)?.parse().ok()
}

type Counted = Vec<((usize, usize), DirectionCount)>;

#[cfg(test)]
mod tests {
    use super::resent;

    #[test]
    fn retransmissions_are_found_by_name() {
        let snmp = "Ip: A B\nIp: 1 2\nTcp: RtoAlgorithm RetransSegs InErrs\nTcp: 1 42 7\n";
        assert_eq!(resent(snmp), Some(42));
        assert_eq!(resent("Udp: A\nUdp: 1\n"), None);
    }
}
