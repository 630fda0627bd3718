//! A running fabric: namespaces, links, routes and shapers, made together and removed together.
//!
//! * [`watch`]: hears of links that somebody else deletes or sets down. [`path`]: which links are used.
//! * `build`: the steps of bringing one up. `routing`: routes, then and later.
//! * [`counters`]: bytes and packets per link and direction. [`crossbar`]: ports of optical switches.
//! * [`probe`]: what traffic sees of circuits that move. [`hops`]: how many hops apart hosts are.

mod build;
pub mod counters;
pub mod crossbar;
pub mod hops;
pub mod path;
pub mod probe;
mod routing;
mod steering;
pub mod watch;

pub use crossbar::Crossbar;

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, Weak};

use crate::check::SpecError;
use crate::journal::Journal;
use crate::namespace::Namespace;
use crate::netlink::{Netlink, NetlinkError, link};
use crate::privilege::NeedsPrivilege;
use crate::spec::{FabricSpec, RouteSpec};
use crate::state;

/// Why a fabric could not be brought up. Whatever had been made by then has been removed.
#[derive(Debug, thiserror::Error)]
pub enum FabricError {
    /// It makes no sense.
    #[error(transparent)]
    Spec(#[from] SpecError),
    /// This process may not.
    #[error(transparent)]
    Privilege(#[from] NeedsPrivilege),
    /// A namespace could not be made or named.
    #[error("cannot make the network namespace of {node}: {source}{}", limit_hint(.source))]
    Namespace {
        /// Host or switch.
        node: String,
        /// Why.
        source: io::Error,
    },
    /// A kernel parameter could not be set.
    #[error("cannot set {parameter} in {node}: {source}")]
    Parameter {
        /// Host or switch.
        node: String,
        /// Below `/proc/sys/net`.
        parameter: String,
        /// Why.
        source: io::Error,
    },
    /// The kernel refused a link, address, route or shaper.
    #[error("in {node}: {source}")]
    Netlink {
        /// Host or switch.
        node: String,
        /// What, and why.
        source: NetlinkError,
    },
    /// A route by an interface that is not there.
    #[error("{node} has no interface {interface:?} for a route to leave by")]
    NoInterface {
        /// Host or switch.
        node: String,
        /// The interface.
        interface: String,
    },
    /// The namespace that is shared with the fabric cannot be looked at.
    #[error("cannot use this process's network namespace: {0}")]
    Home(io::Error),
    /// A soft-RoCE device could not be made.
    #[error(transparent)]
    SoftRoce(#[from] crate::soft_roce::DeviceError),
    /// This kernel cannot lose packets on purpose.
    #[error(
        "link {0} is to lose packets, and this kernel has no netem\nhelp: fabric = \"soft-roce\" is played in a guest whose kernel has it"
    )]
    NoLoss(String),
    /// A link does not come up.
    #[error("link {0} does not become ready")]
    NotReady(String),
    /// Frames cannot be led from port to port.
    #[error(
        "in {node}: circuits need one of the kernel's modules act_mirred (with cls_u32 or cls_matchall) and bridge, and none works: {source}"
    )]
    NoCircuits {
        /// The optical switch.
        node: String,
        /// What the kernel said of the first.
        source: NetlinkError,
    },
    /// An optical switch cannot be served or programmed.
    #[error("{0}")]
    Optical(String),
    /// Probes cannot be sent.
    #[error("cannot send probes over links: {0}")]
    Probe(io::Error),
    /// Link events cannot be had.
    #[error("cannot watch links: {0}")]
    Watch(io::Error),
}

fn limit_hint(error: &io::Error) -> &'static str {
    match error.raw_os_error() {
        Some(libc::ENOSPC) => "\nhelp: raise user.max_net_namespaces",
        Some(libc::EMFILE | libc::ENFILE) => "\nhelp: raise the limit of open files (`ulimit -n`)",
        Some(libc::EEXIST) => "\nhelp: /run/netns has something of that name that is not this run's",
        _ => "",
    }
}

/// One host or switch.
#[derive(Debug)]
struct Node {
    namespace: Namespace,
    netlink: Mutex<Netlink>,
}

impl Node {
    fn netlink(&self) -> MutexGuard<'_, Netlink> {
        self.netlink
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

/// A fabric that is up. Dropping it takes it down.
#[derive(Debug)]
pub struct Fabric {
    spec: FabricSpec,
    nodes: Vec<Node>,
    /// Interface index of both ends of each link.
    ports: Vec<[u32; 2]>,
    cautions: Vec<String>,
    /// The routes that all nodes have now.
    current: Mutex<Vec<Vec<RouteSpec>>>,
    watches: Mutex<Vec<Weak<watch::Shared>>>,
    state: PathBuf,
}

impl Fabric {
    /// Brings a fabric up. Names are written to the journal before they are made; if anything fails,
    /// everything is removed again.
    pub fn up(spec: &FabricSpec, journal: &Journal) -> Result<Self, FabricError> {
        build::up(spec, journal)
    }

    /// What was built.
    pub fn spec(&self) -> &FabricSpec {
        &self.spec
    }

    /// The namespace of a node, to be handed to [`crate::namespace::enter`] in a child.
    ///
    /// # Panics
    /// If there is no such node, or the fabric is down.
    pub fn namespace(&self, node: usize) -> BorrowedFd<'_> {
        self.nodes[node].namespace.as_fd()
    }

    /// The name of a node's namespace for `ip netns exec`, where it has one.
    pub fn namespace_name(&self, node: usize) -> Option<&str> {
        self.nodes.get(node)?.namespace.path()?.file_name()?.to_str()
    }

    /// Ways in which the fabric is not what was asked for, one sentence each.
    pub fn cautions(&self) -> &[String] {
        &self.cautions
    }

    /// Deletes the interfaces in the shared namespace; others go with their namespaces. What is not
    /// there any more, or bears another name, is not ours.
    fn remove_shared(&self) -> Vec<String> {
        let mut left = Vec::new();
        for ((number, node), ends) in self.nodes.iter().enumerate().zip(self.ends_by_node()) {
            if !self.spec.nodes[number].shared {
                continue;
            }
            let there = node.netlink().links().unwrap_or_default();
            for (link, side) in ends {
                let (index, name) = (self.ports[link][side], &self.spec.links[link].ends[side].1);
                if there
                    .iter()
                    .any(|found| found.index == index && found.name == *name)
                    && let Err(e) = node.netlink().apply(&[link::delete(index, name)])
                {
                    left.push(e.to_string());
                }
            }
        }
        left
    }

    /// Takes the fabric down; a second call does nothing. Returns what could not be removed. Processes
    /// in the namespaces should have ended before: a namespace lives on, nameless, while one is in it.
    pub fn down(&mut self) -> Vec<String> {
        self.close_watches();
        let mut left = self.remove_shared();
        for mut node in self.nodes.drain(..) {
            let path = node.namespace.path().map(|path| path.display().to_string());
            if let Err(e) = node.namespace.remove_name() {
                left.push(format!("{}: {e}", path.unwrap_or_default()));
            }
        }
        state::remove_names_folder(&self.state);
        left
    }
}

impl Drop for Fabric {
    fn drop(&mut self) {
        // What is left is in the journal.
        let _ = self.down();
    }
}
