//! What is to be built: nodes, links, routes, and how links are shaped. Real (dilated) figures.

use std::net::Ipv4Addr;
use std::time::Duration;

/// A whole fabric.
#[derive(Debug, Clone, PartialEq)]
pub struct FabricSpec {
    /// Short id of the run, `[a-z0-9]{1,10}`; names of everything made begin with `genie-<run>-`.
    pub run: String,
    /// Hosts and switches; each becomes a network namespace. A node's number is its index.
    pub nodes: Vec<NodeSpec>,
    /// Links; a link's number is its index.
    pub links: Vec<LinkSpec>,
    /// Largest packet without link header, bytes.
    pub mtu: u32,
    /// Congestion control made the default of every namespace.
    pub congestion_control: String,
}

/// A host or a switch.
#[derive(Debug, Clone, PartialEq)]
pub struct NodeSpec {
    /// Name, unique in the fabric.
    pub name: String,
    /// Its interfaces are made in the caller's network namespace, beside those of other such nodes and
    /// whatever is there, instead of in one of its own. For drivers that know no namespaces. Such a node
    /// forwards nothing, has one address for each interface, and routes with destinations only.
    pub shared: bool,
    /// Addresses put on its loopback interface, each /32; switches have none. A shared node's are put on
    /// its interfaces, in the order of links.
    pub addresses: Vec<Ipv4Addr>,
    /// Forwards packets of others.
    pub forwards: bool,
    /// Routes.
    pub routes: Vec<RouteSpec>,
    /// What it is besides.
    pub role: Role,
}

/// What a node does with packets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Role {
    /// Sends, receives and forwards them as its routes say.
    #[default]
    Ordinary,
    /// An optical circuit switch: sees light, no packets. What comes in at a port leaves at the one that
    /// [`crate::fabric::Crossbar`] has joined it with; a port that is joined with none is dark, and so is
    /// the other end of its link.
    Optical,
    /// The switch of a management network: forwards what its neighbours send themselves, nothing that they
    /// forward for others. It never makes up for a link that is dark.
    Management,
}

/// One route of a node.
#[derive(Debug, Clone, PartialEq)]
pub struct RouteSpec {
    /// Destination /32; `None`: default route.
    pub to: Option<Ipv4Addr>,
    /// Interfaces of this node by which packets leave; several are equal-cost paths, hashed by flow.
    pub interfaces: Vec<String>,
}

/// A full-duplex link.
#[derive(Debug, Clone, PartialEq)]
pub struct LinkSpec {
    /// Name, unique in the fabric.
    pub name: String,
    /// The two ends: node number and interface name (at most 15 bytes, unique in its node).
    pub ends: [(usize, String); 2],
    /// Rate of each direction in bits per second, counted on Ethernet frames without preamble and
    /// gap; `None`: unshaped.
    pub rate_bps: Option<u64>,
    /// Wanted one-way propagation delay. Kernels without netem cannot give it; see `Capabilities`.
    pub delay: Duration,
    /// Share of packets that each direction loses at random, 0 to 1. Needs netem as well.
    pub loss: f64,
}
