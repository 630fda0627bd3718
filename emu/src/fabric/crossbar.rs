//! The ports of an optical switch: joined two by two, frames go from one to the other and both links are up;
//! otherwise they are dark, and so are the far ends of their links: no carrier, and what is sent is lost.

use std::collections::BTreeMap;
use std::os::fd::AsFd;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use super::{Fabric, FabricError};
use crate::namespace::enter;
use crate::netlink::redirect::{self, Classifier};
use crate::netlink::{Netlink, NetlinkError, Request, link};
use crate::spec::Role;

/// The kernel changes links one by one, whatever their namespaces (its RTNL lock). Switches that change at once
/// would wait for each other at every port, so that each were dark as long as all of them take: one goes after the
/// other instead.
static TURN: Mutex<()> = Mutex::new(());

/// How frames get from one port to the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// A filter at ingress sends them out at the other port.
    Redirect(Classifier),
    /// A bridge of two ports.
    Bridge,
}

impl Way {
    /// From the one that costs least to the one that every kernel has.
    pub const ALL: [Way; 3] = [
        Way::Redirect(Classifier::U32),
        Way::Redirect(Classifier::Matchall),
        Way::Bridge,
    ];
}

/// Joins and parts the ports of one optical switch. Ports are named by their links' numbers.
#[derive(Debug)]
pub struct Crossbar {
    node: String,
    netlink: Netlink,
    way: Way,
    /// Interface by link.
    ports: BTreeMap<usize, u32>,
    joined: BTreeMap<usize, usize>,
}

impl Fabric {
    /// The crossbar of an optical node: the first way that this kernel has. All ports are dark.
    pub fn crossbar(&self, node: usize) -> Result<Crossbar, FabricError> {
        let mut refused = None;
        for way in Way::ALL {
            match self.crossbar_by(node, way) {
                Err(FabricError::NoCircuits { source, .. }) => refused = refused.or(Some(source)),
                other => return other,
            }
        }
        Err(self.no_circuits(
            node,
            refused.unwrap_or_else(|| std::io::Error::from(std::io::ErrorKind::Unsupported).into()),
        ))
    }

    /// The same in this way only.
    pub fn crossbar_by(&self, node: usize, way: Way) -> Result<Crossbar, FabricError> {
        let failed = |source| FabricError::Namespace {
            node: self.spec.nodes[node].name.clone(),
            source,
        };
        let open = || {
            enter(self.nodes[node].namespace.as_fd())?;
            Netlink::open()
        };
        // A socket belongs to the namespace of the thread that opens it.
        let opened = std::thread::scope(|scope| scope.spawn(open).join());
        let opened = opened.unwrap_or_else(|_| Err(std::io::Error::other("the opening thread panicked")));
        let ends = self.ends_by_node().swap_remove(node);
        let mut crossbar = Crossbar {
            node: self.spec.nodes[node].name.clone(),
            netlink: opened.map_err(failed)?,
            way,
            ports: ends
                .into_iter()
                .map(|(link, side)| (link, self.ports[link][side]))
                .collect(),
            joined: BTreeMap::new(),
        };
        crossbar
            .try_out()
            .map_err(|source| self.no_circuits(node, source))?;
        Ok(crossbar)
    }

    fn no_circuits(&self, node: usize, source: NetlinkError) -> FabricError {
        FabricError::NoCircuits {
            node: self.spec.nodes[node].name.clone(),
            source,
        }
    }

    /// Whether an end of the link is at an optical switch.
    pub(super) fn is_optical(&self, link: usize) -> bool {
        let ends = self.spec.links[link].ends.iter();
        ends.into_iter()
            .any(|(node, _)| self.spec.nodes[*node].role == Role::Optical)
    }
}

impl Crossbar {
    /// From now on the ports of `parted` links are dark, and those with which they were joined; then light
    /// passes between the ports of each pair of `joined` links. Gives when the kernel began with it.
    ///
    /// # Errors
    /// What the kernel refused. Ports are then taken to be as they were, so that asking again tries all of it.
    pub fn change(&mut self, parted: &[usize], joined: &[(usize, usize)]) -> Result<Instant, FabricError> {
        let mut after = self.joined.clone();
        let mut requests = Vec::new();
        let both = joined.iter().flat_map(|&(a, b)| [a, b]);
        for link in parted.iter().copied().chain(both) {
            if let Some(other) = after.remove(&link) {
                after.remove(&other);
                requests.extend(self.dark([self.ports[&link], self.ports[&other]]));
            }
        }
        for &(a, b) in joined {
            after.extend([(a, b), (b, a)]);
            requests.extend(self.lit([self.ports[&a], self.ports[&b]]));
        }
        let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
        let begun = Instant::now();
        let applied = self.netlink.apply(&requests);
        drop(turn);
        applied.map_err(|source| FabricError::Netlink {
            node: self.node.clone(),
            source,
        })?;
        self.joined = after;
        Ok(begun)
    }

    fn lit(&self, ports: [u32; 2]) -> Vec<Request> {
        let mut requests = self.passage(ports);
        requests.extend(ports.map(|port| link::set_up(port, "a port", true)));
        requests
    }

    /// Down first: a port without a passage would take frames.
    fn dark(&self, ports: [u32; 2]) -> Vec<Request> {
        let mut requests: Vec<Request> = ports.map(|port| link::set_up(port, "a port", false)).into();
        requests.extend(self.no_passage(ports));
        requests
    }

    fn passage(&self, [a, b]: [u32; 2]) -> Vec<Request> {
        match self.way {
            Way::Redirect(by) => vec![redirect::add_redirect(by, a, b), redirect::add_redirect(by, b, a)],
            Way::Bridge => {
                let named_after = a.min(b);
                redirect::add_bridge(bridge(named_after), &format!("c{named_after}"), [a, b])
            }
        }
    }

    fn no_passage(&self, [a, b]: [u32; 2]) -> Vec<Request> {
        match self.way {
            Way::Redirect(_) => vec![redirect::delete_redirect(a), redirect::delete_redirect(b)],
            Way::Bridge => vec![link::delete(bridge(a.min(b)), "a bridge")],
        }
    }

    /// Makes a passage and removes it again, while ports are down.
    fn try_out(&mut self) -> Result<(), NetlinkError> {
        let ends = [self.ports.values().next(), self.ports.values().next_back()];
        let [Some(&a), Some(&b)] = ends else {
            return Ok(());
        };
        if a == b {
            return Ok(());
        }
        let (make, remove) = (self.passage([a, b]), self.no_passage([a, b]));
        let made = self.netlink.apply(&make);
        let removed = self.netlink.apply(&remove);
        made.and(removed)
    }
}

/// Interface number of the bridge named after a port; far beyond those of ports.
fn bridge(port: u32) -> u32 {
    (1 << 28) + port
}
