//! The plan: a scenario checked against its topology and resolved to the last address, rank and
//! byte. Pure data; `genie plan` prints it, the testbed carries it out, the run folder keeps it.
//! All times and rates are nominal; the testbed applies [`Plan::dilation`].

pub mod optical;
pub mod rdma;
pub mod roce;

use std::net::{IpAddr, Ipv4Addr};

use serde::{Deserialize, Serialize};

use crate::network::message::{CommunicatorId, Rank};
use crate::scenario::units::{Bandwidth, Bytes, Duration, Share};
use crate::system::op::Op;
use crate::workload::trace::Recipe;

/// Everything that a run needs to know.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// The scenario's name.
    pub name: String,
    /// The scenario as resolved (defaults filled in, overrides applied), TOML text.
    pub scenario: String,
    /// Seed of everything that is random.
    pub seed: u64,
    /// Real time is this many times slower than nominal; 1 for none.
    pub dilation: f64,
    /// Where and how ranks run.
    pub testbed: Testbed,
    /// Hosts, switches and links.
    pub network: Network,
    /// Ranks in order; `ranks[i]` is rank i.
    pub ranks: Vec<RankPlace>,
    /// Communicators by id; 0 holds all ranks.
    pub communicators: Vec<Communicator>,
    /// What is played, in order.
    pub ops: Vec<OpPlan>,
    /// What the planner wants the user to know before and after the run.
    pub cautions: Vec<String>,
    /// Optical switches and steps; `None` where the network stands still.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub optical: Option<optical::Optical>,
}

/// Which fabric carries the traffic.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum FabricKind {
    /// Network namespaces joined by shaped veth links.
    Emulated,
    /// The machine's existing interfaces (loopback unless told otherwise).
    Host,
    /// As emulated, with a soft-RoCE device (Linux's `rdma_rxe`) for every rank; in a small virtual
    /// machine where this kernel has none.
    SoftRoce,
}

/// Which transport carries messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum TransportKind {
    /// TCP sockets.
    Tcp,
    /// RDMA verbs of a device: hardware, or the kernel's soft-RoCE.
    Rdma,
    /// RoCE v2 spoken by this program itself, over UDP.
    RoceUser,
}

/// How a rank waits for the network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Wait {
    /// Spins while waits have lately been short, blocks otherwise.
    #[default]
    Auto,
    /// Always blocks in the kernel.
    Block,
    /// Always polls.
    Spin,
}

/// Where and how ranks run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Testbed {
    /// Which fabric.
    pub fabric: FabricKind,
    /// Which transport.
    pub transport: TransportKind,
    /// Carry, reduce and check real data.
    pub verify: bool,
    /// How ranks wait.
    pub wait: Wait,
    /// Pin ranks to cores when there are enough (`None`: when ranks <= cores).
    pub pin: Option<bool>,
    /// An operation without progress for so long ends the run.
    pub deadline: Duration,
    /// Bring-up (fabric, ranks, connections) that takes longer ends the run.
    pub setup_deadline: Duration,
    /// Measure rate and one-way time of the emulated links at bring-up.
    pub calibrate: bool,
    /// Of so many measured iterations of each operation, times of messages are kept.
    #[serde(default)]
    pub record_messages: u32,
    /// TCP options.
    pub tcp: TcpOptions,
    /// Options of verbs.
    #[serde(default)]
    pub rdma: rdma::RdmaOptions,
    /// Options of the RoCE v2 endpoint in userspace.
    #[serde(default)]
    pub roce: roce::RoceOptions,
}

/// Options of the TCP transport.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TcpOptions {
    /// Parallel connections per pair of ranks.
    pub channels: u32,
    /// Congestion control by its kernel name; never the system's default unseen.
    pub congestion_control: String,
    /// SO_SNDBUF; `None`: chosen by the transport.
    pub send_buffer: Option<Bytes>,
    /// SO_RCVBUF; `None`: kernel autotuning.
    pub receive_buffer: Option<Bytes>,
    /// Differentiated services code point, 0 to 63.
    pub dscp: u8,
    /// SO_MAX_PACING_RATE per connection, nominal; `None`: see [`OpPlan::shares_links`].
    pub pacing: Option<Bandwidth>,
    /// Largest slice of a message that one credit covers.
    pub slot_bytes: Bytes,
    /// Slots per flow: receiver credit is `slots x slot_bytes`.
    pub slots: u32,
}

/// Nodes and links, resolved.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Network {
    /// Hosts and switches; a node's number is its index.
    pub nodes: Vec<Node>,
    /// Links; a link's number is its index.
    pub links: Vec<Link>,
    /// `routes[node]`: where that node sends packets to each address not its own.
    pub routes: Vec<Vec<Route>>,
    /// Largest packet without link header, bytes.
    pub mtu: u32,
}

/// What a node is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum NodeKind {
    /// Runs ranks.
    Host,
    /// Only forwards.
    Switch,
    /// Joins links by light.
    Ocs,
    /// Forwards between hosts that no path of the fabric joins: set-up and barriers only.
    Management,
}

/// A host or a switch.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Node {
    /// Name, unique in the topology.
    pub name: String,
    /// What it is.
    pub kind: NodeKind,
    /// Addresses (hosts only): one for the host, or one per network card if it has several on switches.
    pub addresses: Vec<Ipv4Addr>,
}

/// One end of a link.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PortRef {
    /// Node number.
    pub node: usize,
    /// Interface name, unique in its node, at most 15 bytes.
    pub interface: String,
}

/// A full-duplex link between two nodes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Link {
    /// Name, e.g. `h0-s0`.
    pub name: String,
    /// The two ends.
    pub ends: [PortRef; 2],
    /// Nominal rate of each direction, counted on Ethernet frames without preamble and gap;
    /// `None`: unshaped.
    pub rate: Option<Bandwidth>,
    /// Nominal one-way propagation delay.
    pub delay: Duration,
    /// Packets lost at random in each direction.
    #[serde(default, skip_serializing_if = "Share::is_zero")]
    pub loss: Share,
}

/// A route of one node.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Route {
    /// Destination address; `None`: default route.
    pub to: Option<Ipv4Addr>,
    /// Links by which packets leave; several are equal-cost paths.
    pub via: Vec<usize>,
}

/// Where a rank runs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RankPlace {
    /// Node number of its host (index into [`Network::nodes`]; 0 when the fabric is the host's).
    pub host: usize,
    /// Addresses that the rank listens on and dials from; channel c uses `addresses[c % len]`.
    pub addresses: Vec<IpAddr>,
}

/// A group of ranks.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Communicator {
    /// Its number.
    pub id: CommunicatorId,
    /// Its name in the scenario ("world" for 0).
    pub name: String,
    /// World ranks in order of position.
    pub ranks: Vec<Rank>,
}

/// One operation at one size: what is warmed up, repeated and reported as a row.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct OpPlan {
    /// The operation.
    pub op: Op,
    /// Iterations that are not measured.
    pub warmup: u32,
    /// Iterations that are measured.
    pub iterations: u32,
    /// Computed expectation, nominal time.
    pub expected: Expected,
    /// Payload bytes that one iteration puts on each link: `[link][direction]`, direction 0 from
    /// `ends[0]` to `ends[1]`. Equal-cost paths are charged in equal parts.
    pub link_bytes: Vec<[f64; 2]>,
    /// Not a collective but a trace: `op` is then a barrier of all ranks that stands in its place.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trace: Option<Box<TracePlan>>,
}

impl OpPlan {
    /// Whether each of its flows keeps to its share of the busiest link.
    pub fn shares_links(&self) -> bool {
        self.trace.is_none() && self.op.shares_links(self.wire_seconds().is_some())
    }

    /// Nominal seconds for which the busiest link is busy; `None` where no link limits.
    pub fn wire_seconds(&self) -> Option<f64> {
        let Expected {
            seconds, wire_share, ..
        } = self.expected;
        Some(seconds? * wire_share?)
    }

    /// In words, as messages to people name it.
    pub fn label(&self) -> String {
        match &self.trace {
            Some(trace) => format!("trace {}", trace.name),
            None => self.op.label(),
        }
    }
}

/// A trace to be played, and what it amounts to in one iteration. Times are nominal.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TracePlan {
    /// Its name.
    pub name: String,
    /// How each rank comes by its part.
    pub recipe: Recipe,
    /// Pairs of ranks that exchange messages, the smaller first.
    pub pairs: Vec<(Rank, Rank)>,
    /// Nodes of all ranks.
    pub nodes: u64,
    /// Nodes of the rank that has the most.
    pub most_nodes: u64,
    /// Seconds of compute of the rank that computes longest.
    pub compute_s: f64,
    /// Collectives that go over the network: each counted once.
    pub collectives: u64,
    /// Collectives within scale-up domains, likewise: modelled, not played.
    pub modelled_collectives: u64,
    /// Messages between two ranks that no collective asked for.
    pub messages: u64,
    /// Payload bytes that all ranks send over the network.
    pub payload_bytes: u64,
    /// The longest of the repeated node records of a rank that is kept: iterations.
    pub recorded_iterations: u32,
}

/// What an operation must take at least, by the plan's arithmetic. Modelled, never measured.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Expected {
    /// Seconds for the busiest link to carry its payload at its payload limit plus the path delays
    /// of the algorithm's rounds; `None` when nothing limits (no shaped link).
    pub seconds: Option<f64>,
    /// Share of `seconds` that is serialisation on the busiest link (0 to 1).
    pub wire_share: Option<f64>,
    /// The busiest link and direction.
    pub busiest: Option<(usize, u8)>,
    /// Rounds (message latencies one after another) of the algorithm.
    pub rounds: u32,
}

/// Bytes of an Ethernet header; the frame check sequence, preamble and gap are not shaped.
pub const ETHERNET_HEADER: f64 = 14.0;
/// Bytes of IPv4 (20) and TCP with timestamps (32).
pub const IP_TCP_HEADERS: f64 = 52.0;

/// Payload bytes per second that a link of `bits_per_second` can carry: full-size segments, of
/// whose frames `mtu + 14` bytes are shaped and `mtu - 52` are payload.
pub fn payload_limit(bits_per_second: f64, mtu: u32) -> f64 {
    bits_per_second / 8.0 * (f64::from(mtu) - IP_TCP_HEADERS) / (f64::from(mtu) + ETHERNET_HEADER)
}
