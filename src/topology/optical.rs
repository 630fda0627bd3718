//! Optical circuit switches of a topology, and the network that their circuits make: where light joins two
//! links, hosts and switches see one.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::graph::{Graph, Kind};
use crate::scenario::units::Duration;

/// Most ports on a side of a switch, as of drivers and imitations.
pub const MOST_PORTS: u32 = 1024;

/// An optical circuit switch: an imitation that speaks a real switch's language, programmed over a socket.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Ocs {
    /// Name, unique among hosts and switches: letters, digits, `-`, `_` and `.`, at most 32.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// Language in which it is programmed.
    pub dialect: Dialect,
    /// Ports on each side; as many as links need unless given, up to 1024.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ports: Option<u32>,
    /// How long mirrors take to settle.
    pub settle: Duration,
    /// Each circuit takes so much more or less at most.
    pub jitter: Duration,
    /// Seed of the jitter.
    pub seed: u64,
    /// What goes wrong, as of `genie ocs serve --trouble`.
    #[serde(skip_serializing_if = "Trouble::is_none")]
    pub trouble: Trouble,
}

impl Default for Ocs {
    fn default() -> Self {
        Ocs {
            name: String::new(),
            dialect: Dialect::Scpi,
            ports: None,
            settle: Duration(25_000_000),
            jitter: Duration(0),
            seed: 1,
            trouble: Trouble::default(),
        }
    }
}

/// A language that optical switches speak.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Dialect {
    /// Polatis SCPI.
    #[default]
    Scpi,
    /// Polatis TL1.
    Tl1Polatis,
    /// Calient TL1.
    Tl1Calient,
    /// Polatis RESTCONF.
    Restconf,
    /// Polatis NETCONF.
    Netconf,
    /// SONiC-OCS by its command line and JSON patch.
    Sonic,
    /// SONiC-OCS over gNMI.
    Gnmi,
}

impl Dialect {
    /// Its name in files, and to drivers and imitations.
    pub fn name(self) -> &'static str {
        match self {
            Dialect::Scpi => "scpi",
            Dialect::Tl1Polatis => "tl1-polatis",
            Dialect::Tl1Calient => "tl1-calient",
            Dialect::Restconf => "restconf",
            Dialect::Netconf => "netconf",
            Dialect::Sonic => "sonic",
            Dialect::Gnmi => "gnmi",
        }
    }
}

/// What goes wrong at a switch, on purpose and repeatably; docs/ocs.md says what each means.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Trouble {
    /// Every Nth answer is not sent, though the request was carried out; 0: never.
    pub drop_reply: u32,
    /// Every answer comes so much later.
    pub slow_reply: Duration,
    /// Every Nth change is refused; 0: never.
    pub deny: u32,
    /// Every Nth request is carried out and the session ended; 0: never.
    pub lose_session: u32,
    /// Of a change of several circuits the first N are done and success is reported; 0: never.
    pub half_bulk: u32,
    /// Nonsense comes before the first answer.
    pub garbage_banner: bool,
    /// Ports whose mirrors never settle, for example "2A".
    pub stuck_port: Vec<String>,
    /// A ports that no light enters, for example "2A".
    pub no_light: Vec<String>,
}

impl Trouble {
    /// Nothing goes wrong.
    pub fn is_none(&self) -> bool {
        *self == Trouble::default()
    }
}

/// A simplex port as people write it: `2A` is where light enters, `2B` where it leaves.
pub fn simplex(text: &str) -> Option<(u16, char)> {
    let side = text
        .chars()
        .next_back()
        .filter(|side| matches!(side, 'A' | 'B'))?;
    let digits = &text[..text.len() - 1];
    let plain = digits.bytes().all(|byte| byte.is_ascii_digit()) && !digits.starts_with('0');
    let number: u16 = digits.parse().ok().filter(|_| plain)?;
    Some((number, side))
}

/// Two links at one optical switch between which light passes, by their numbers.
pub type Joint = (usize, usize);

/// The network while certain circuits stand. Links keep their numbers: two that are joined are the one
/// with the smaller number, the other is in nobody's list, and neither are links that are dark.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lit {
    /// Hosts and switches with the links that they see.
    pub graph: Graph,
    /// By the smaller number of two joined links, the other.
    pub joined: BTreeMap<usize, usize>,
}

impl Lit {
    /// The network with these circuits; links that end at an optical switch and are in none are dark.
    /// No link joins two optical switches, and both links of a circuit have one rate.
    pub fn new(physical: &Graph, circuits: &[Joint]) -> Self {
        let mut graph = physical.clone();
        for node in &mut graph.nodes {
            node.links.retain(|&link| optical_end(physical, link).is_none());
        }
        let mut joined = BTreeMap::new();
        for &(a, b) in circuits {
            let (first, second) = (a.min(b), a.max(b));
            let far = |link: usize| {
                let link = &physical.links[link];
                let side = link
                    .ends
                    .iter()
                    .position(|end| physical.nodes[end.node].kind != Kind::Ocs);
                side.map(|side| link.ends[side].clone())
            };
            let (Some(one), Some(other)) = (far(first), far(second)) else {
                continue;
            };
            for end in [&one, &other] {
                graph.nodes[end.node].links.push(first);
            }
            let more = physical.links[second].wire.delay;
            let link = &mut graph.links[first];
            link.ends = [one, other];
            link.wire.delay = Duration(link.wire.delay.0 + more.0);
            joined.insert(first, second);
        }
        for node in &mut graph.nodes {
            node.links.sort_unstable();
        }
        Lit { graph, joined }
    }

    /// The link by whose interface a node sends what goes over `link`.
    pub fn interface(&self, physical: &Graph, node: usize, link: usize) -> usize {
        let there = |link: &usize| physical.links[*link].ends.iter().any(|end| end.node == node);
        let second = self.joined.get(&link).copied();
        [Some(link), second]
            .into_iter()
            .flatten()
            .find(there)
            .unwrap_or(link)
    }

    /// The links that what crosses `link` from `node` goes over, each with its direction there.
    pub fn legs(&self, physical: &Graph, node: usize, link: usize) -> Vec<(usize, usize)> {
        let Some(&second) = self.joined.get(&link) else {
            return vec![(link, physical.links[link].direction_from(node))];
        };
        let near = self.interface(physical, node, link);
        let far = if near == link { second } else { link };
        let toward_light = |link: usize| 1 - optical_end(physical, link).unwrap_or(0);
        vec![(near, toward_light(near)), (far, 1 - toward_light(far))]
    }
}

/// Which end of a link is at an optical switch.
pub fn optical_end(graph: &Graph, link: usize) -> Option<usize> {
    let ends = graph.links[link].ends.iter();
    ends.into_iter()
        .position(|end| graph.nodes[end.node].kind == Kind::Ocs)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::topology::graph::Wire;

    /// h0, h1, h2 on an optical switch, h1 and h2 linked beside it.
    fn graph() -> Graph {
        let wire = Wire {
            rate: None,
            delay: Duration(10),
            loss: Default::default(),
        };
        let mut graph = Graph::default();
        let hosts = graph.hosts(3);
        let ocs = graph.ocs("o");
        graph.link(hosts[0], ocs, wire);
        graph.link(ocs, hosts[1], wire);
        graph.link(hosts[2], ocs, wire);
        graph.link(hosts[1], hosts[2], wire);
        graph
    }

    #[test]
    fn two_links_that_are_joined_are_one_and_dark_ones_are_none() {
        let graph = graph();
        let lit = Lit::new(&graph, &[(1, 0)]);
        let of = |node: usize| lit.graph.nodes[node].links.clone();
        assert_eq!(
            (of(0), of(1), of(2), of(3)),
            (vec![0], vec![0, 3], vec![3], vec![])
        );
        assert_eq!(lit.graph.links[0].far(0), 1);
        assert_eq!(lit.graph.links[0].wire.delay, Duration(20));
    }

    #[test]
    fn what_crosses_a_circuit_goes_over_both_links() {
        let graph = graph();
        let lit = Lit::new(&graph, &[(0, 1)]);
        // Link 0 is h0 -> o, link 1 is o -> h1.
        assert_eq!(lit.legs(&graph, 0, 0), [(0, 0), (1, 0)]);
        assert_eq!(lit.legs(&graph, 1, 0), [(1, 1), (0, 1)]);
        assert_eq!(lit.legs(&graph, 1, 3), [(3, 0)]);
        assert_eq!(lit.interface(&graph, 1, 0), 1);
        assert_eq!(lit.interface(&graph, 0, 0), 0);
    }

    #[test]
    fn ports_are_read_as_drivers_write_them() {
        assert_eq!(simplex("12A"), Some((12, 'A')));
        for wrong in ["", "A", "0A", "01A", "-1A", "1C", "1a", "99999A", "é"] {
            assert_eq!(simplex(wrong), None, "{wrong}");
        }
    }
}
