//! Optical switches of a plan, and the steps in which their circuits change.

use std::collections::HashMap;
use std::net::Ipv4Addr;

use serde::{Deserialize, Serialize};

use super::{Network, NodeKind, Route};
use crate::scenario::units::Duration;
use crate::topology::optical::{Dialect, Trouble};

/// All that is optical.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Optical {
    /// The switches.
    pub switches: Vec<Switch>,
    /// What happens, in order.
    pub steps: Vec<Step>,
    /// Node that switches the management network, over which hosts reach each other where no path of the
    /// fabric joins them: for set-up and barriers, never for what operations move.
    pub management: usize,
}

/// An optical circuit switch.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Switch {
    /// Node number.
    pub node: usize,
    /// Language in which it is programmed.
    pub dialect: Dialect,
    /// Ports on each side.
    pub ports: u16,
    /// How long mirrors take, nominal.
    pub settle: Duration,
    /// Each circuit takes so much more or less at most, nominal.
    pub jitter: Duration,
    /// Seed of the jitter.
    pub seed: u64,
    /// What goes wrong.
    pub trouble: Trouble,
    /// Port and number of each link that ends here.
    pub links: Vec<(u16, usize)>,
}

/// A part of the run with its circuits and operations.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Step {
    /// Its name.
    pub name: String,
    /// How the network is when it begins.
    pub wiring: Wiring,
    /// Number of its first operation.
    pub first_op: usize,
    /// How many it has.
    pub ops: usize,
    /// Changes while they are played, in order of time.
    pub changes: Vec<Change>,
    /// Pairs of ranks that must be one hop apart, by measurement.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub neighbours: Vec<Neighbours>,
}

/// A change while operations are played.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Change {
    /// When: nominal time since the step's first operation began.
    pub at: Duration,
    /// How the network is from then on.
    pub wiring: Wiring,
}

/// Which circuits stand, and where packets go.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Wiring {
    /// All circuits.
    pub circuits: Vec<Joint>,
    /// `routes[node]`: as [`super::Network::routes`].
    pub routes: Vec<Vec<Route>>,
}

/// A duplex circuit: light passes both ways between two ports of a switch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Joint {
    /// Number of the switch among [`Optical::switches`].
    pub switch: usize,
    /// Its two ports.
    pub ports: [u16; 2],
    /// Numbers of the links at these ports.
    pub links: [usize; 2],
}

/// Pairs of ranks along one dimension of a job.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Neighbours {
    /// The job.
    pub job: String,
    /// Its dimension, from 0.
    pub dimension: usize,
    /// From rank to rank.
    pub pairs: Vec<(u32, u32)>,
}

impl Optical {
    /// The step that an operation belongs to.
    pub fn step_of(&self, op: usize) -> Option<&Step> {
        let mut steps = self.steps.iter();
        steps.find(|step| (step.first_op..step.first_op + step.ops).contains(&op))
    }
}

/// The way of a packet between two hosts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Path {
    /// Links on the way; a circuit counts as its two.
    pub links: Vec<usize>,
    /// Hops: nodes that it reaches on the way, the far host included, optical switches not.
    pub hops: usize,
}

/// The way from a host to another by these routes and circuits, the first of equal-cost ones; `None`: there
/// is none in the fabric, only the management network.
pub fn path(
    network: &Network,
    routes: &[Vec<Route>],
    circuits: &[Joint],
    (from, to): (usize, usize),
) -> Option<Path> {
    let address = *network.nodes[to].addresses.first()?;
    let far = |link: usize, node: usize| {
        let mut ends = network.links.get(link)?.ends.iter().map(|end| end.node);
        ends.find(|other| *other != node)
    };
    let mut path = Path {
        links: Vec::new(),
        hops: 0,
    };
    let mut node = from;
    while node != to {
        let exact = routes[node].iter().find(|route| route.to == Some(address));
        let route = exact.or_else(|| routes[node].iter().find(|route| route.to.is_none()))?;
        let link = *route.via.first()?;
        path.links.push(link);
        let mut next = far(link, node)?;
        if network.nodes[next].kind == NodeKind::Ocs {
            let joint = circuits.iter().find(|joint| joint.links.contains(&link))?;
            let other = joint.links.into_iter().find(|other| *other != link)?;
            path.links.push(other);
            next = far(other, next)?;
        }
        path.hops += 1;
        if network.nodes[next].kind == NodeKind::Management || path.hops > network.nodes.len() {
            return None;
        }
        node = next;
    }
    Some(path)
}

/// The ways between all nodes by a wiring's routes and circuits, for whoever asks for many: [`path`] for all pairs
/// of n hosts would look at n^3 routes.
#[derive(Debug)]
pub struct Ways<'a> {
    network: &'a Network,
    /// By node, the first link to each address; `None`: to all others.
    next: Vec<HashMap<Option<Ipv4Addr>, usize>>,
    /// The link at the other end of a link's circuit.
    joined: HashMap<usize, usize>,
}

impl<'a> Ways<'a> {
    /// The ways of this wiring.
    pub fn new(network: &'a Network, wiring: &Wiring) -> Self {
        let first = |routes: &Vec<Route>| {
            let links = routes.iter().rev(); // of several to one address the first counts
            links
                .filter_map(|route| Some((route.to, *route.via.first()?)))
                .collect()
        };
        let both = |joint: &Joint| {
            let [a, b] = joint.links;
            [(a, b), (b, a)]
        };
        Ways {
            network,
            next: wiring.routes.iter().map(first).collect(),
            joined: wiring.circuits.iter().flat_map(both).collect(),
        }
    }

    /// Hops from each of these nodes to a host, as [`path`] has them; `None`: only the management network leads
    /// there.
    pub fn hops(&self, from: &[usize], to: usize) -> Vec<Option<usize>> {
        let mut known: Vec<Option<Option<usize>>> = vec![None; self.network.nodes.len()];
        known[to] = Some(Some(0));
        for &start in from {
            let (mut node, mut passed) = (Some(start), Vec::new());
            // Until it joins a way that is known, ends, or is longer than any that does not go in a circle.
            while let Some(here) = node.filter(|here| known[*here].is_none()) {
                if passed.len() > known.len() {
                    node = None;
                    break;
                }
                passed.push(here);
                node = self.after(here, to);
            }
            let mut hops = node.and_then(|node| known[node].flatten());
            for node in passed.into_iter().rev() {
                hops = hops.map(|hops| hops + 1);
                known[node] = Some(hops);
            }
        }
        from.iter().map(|node| known[*node].flatten()).collect()
    }

    /// The node to which one hands packets for a host.
    fn after(&self, node: usize, to: usize) -> Option<usize> {
        let address = *self.network.nodes[to].addresses.first()?;
        let routes = &self.next[node];
        let link = *routes.get(&Some(address)).or_else(|| routes.get(&None))?;
        let far = |link: usize, node: usize| {
            let mut ends = self.network.links.get(link)?.ends.iter().map(|end| end.node);
            ends.find(|other| *other != node)
        };
        let next = far(link, node)?;
        let next = match self.network.nodes[next].kind {
            NodeKind::Ocs => far(*self.joined.get(&link)?, next)?,
            _ => next,
        };
        (self.network.nodes[next].kind != NodeKind::Management).then_some(next)
    }
}
