//! Every event of a run, with its fields and units. The testbed emits them; the recorder, the
//! terminal, JSON and all later reports only consume them. Times are seconds on the run's real
//! clock since the start of `genie run`, unless a field says nominal.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::network::message::{Channel, CommunicatorId, Rank};
use crate::network::transport::DeviceUse;

/// Something that happened in a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum Event {
    /// The run has an id and is about to touch the machine.
    RunStarted {
        /// Run id.
        run_id: String,
        /// Wall-clock time, RFC 3339.
        at: String,
    },
    /// A stage of bring-up or tear-down is complete.
    Stage {
        /// `fabric-up`, `calibrated`, `ranks-started`, `connected`, `started`, `played`, `fabric-down`.
        stage: String,
        /// Seconds since the start of `genie run`.
        at_s: f64,
        /// What there is to say of it, for humans.
        detail: String,
    },
    /// The emulated links were measured at bring-up.
    Calibrated(Calibration),
    /// An operation (one row) is about to start.
    OpStarted {
        /// Index into the plan's operations.
        op: usize,
        /// Seconds since the start of `genie run`.
        at_s: f64,
    },
    /// Progress within an operation: how many iterations (warm-up included) the slowest rank has finished.
    Progress {
        /// Index into the plan's operations.
        op: usize,
        /// Iterations finished.
        iterations: u64,
    },
    /// How far ranks are and what links have carried, about twice a second, for those who watch. Never stored.
    Pulse(Pulse),
    /// All ranks finished an operation (or ended early, with what there is).
    OpFinished(OpRecord),
    /// When one rank's nodes of a trace were played. Not in `events.jsonl`: `nodes.csv` has them.
    TracePlayed(TracePlayed),
    /// All that is known of a trace's nodes was said; and what the model makes of the same trace.
    TraceModelled {
        /// Index into the plan's operations.
        op: usize,
        /// Or why it makes nothing of it, in words.
        model: Result<TraceModel, String>,
    },
    /// Messages of an operation's first measured iterations, as each rank saw them. In `events.jsonl` only how many
    /// were left out: `messages.csv` has them.
    MessagesSeen {
        /// Index into the plan's operations.
        op: usize,
        /// Every rank.
        ranks: Vec<RankMessages>,
    },
    /// A rank is gone, stopped, or said that it failed.
    RankLost(RankLoss),
    /// The run's fabric changed under it.
    LinkLost {
        /// Link name.
        link: String,
        /// Seconds since the start of `genie run`.
        at_s: f64,
    },
    /// Circuits were changed.
    Reconfigured(Reconfiguration),
    /// Whether neighbours in a job are neighbours in the network.
    NeighboursFound(NeighboursFound),
    /// Something the reader of the results must know.
    Caution {
        /// One sentence.
        text: String,
    },
    /// Per-rank summary at its end.
    RankFinished(RankSummary),
    /// The RDMA device that a rank used, and what it counted.
    DeviceUsed {
        /// The rank.
        rank: Rank,
        /// Its device.
        device: DeviceUse,
    },
    /// What a driver found of a piece of equipment outside this machine (a switch, an optical circuit switch)
    /// that the run uses. Of the same name the last one stands in the run's environment.
    EquipmentSeen {
        /// What it is called in the scenario or topology.
        name: String,
        /// Facts by name: model, firmware, circuits, ...; no secrets.
        facts: BTreeMap<String, String>,
    },
    /// Bytes counted on the emulated links from the start of the first rank on (calibration is over then).
    LinkCounters(#[serde(with = "link_counts")] Vec<LinkCount>),
    /// The run is over; always the last event.
    RunFinished {
        /// How it ended.
        status: Status,
        /// Why, when not completed: one or more sentences.
        reason: Option<String>,
        /// Seconds since the start of `genie run`.
        at_s: f64,
        /// The process's exit code.
        exit_code: i32,
    },
}

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// Everything planned was played.
    Completed,
    /// Some operations have results, the rest has none.
    Partial,
    /// No operation has results.
    Failed,
}

/// A run at a moment of an operation.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Pulse {
    /// Index into the plan's operations.
    pub op: usize,
    /// Seconds since the start of `genie run`.
    pub at_s: f64,
    /// Every rank.
    pub ranks: Vec<RankPulse>,
    /// Bytes counted on each link since it was made: `[link][direction]`; empty when the fabric does not count.
    pub links: Vec<[u64; 2]>,
}

/// A rank at a moment.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct RankPulse {
    /// Iterations of the operation that it has finished, warm-up included.
    pub iterations: u64,
    /// Payload bytes that it has sent and received since its start.
    pub moved_bytes: u64,
    /// Ranks that it has been waiting for for a while.
    pub waiting: Vec<Rank>,
}

/// What every rank measured in one operation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct OpRecord {
    /// Index into the plan's operations.
    pub op: usize,
    /// `false`: the run ended within this operation; the records hold what was finished.
    pub complete: bool,
    /// `[rank][iteration]`: start in real nanoseconds since the run's common start; measured
    /// iterations only. Ranks outside the communicator have empty lists.
    pub start_ns: Vec<Vec<u64>>,
    /// `[rank][iteration]`: end, likewise.
    pub end_ns: Vec<Vec<u64>>,
    /// User and system CPU seconds that each rank spent in the measured iterations.
    pub cpu_s: Vec<f64>,
    /// Payload bytes that each rank sent in the measured iterations.
    pub sent_bytes: Vec<u64>,
    /// `verify = true`: elements found wrong, per rank; empty when not verified.
    pub wrong: Vec<u64>,
    /// Bytes counted on each link during the operation, warm-up included: `[link][direction]`,
    /// headers included; empty when the fabric does not count.
    pub link_bytes: Vec<[u64; 2]>,
    /// Share of the machine's CPU time that its hypervisor gave to others during the operation,
    /// warm-up included; `None` where the kernel does not say.
    pub stolen_share: Option<f64>,
    /// The same of what programs used that are not the run's.
    pub others_share: Option<f64>,
}

/// A node of a trace, for people.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct NodeLabel {
    /// Its number in the trace.
    pub id: u64,
    /// Its name there.
    pub name: String,
    /// `compute`, `send`, `receive`, or the collective; ` (scale-up)` behind one that is modelled.
    pub kind: String,
    /// What it occupied: `cpu`, `gpu`, `comm`; `none` for receives.
    pub lane: String,
    /// Ranks that take part.
    pub ranks: u32,
    /// Bytes as played: of a message, or as nccl-tests counts a collective.
    pub bytes: u64,
}

/// When a node was played: iteration, place among the labels, start, end, and how long it had been
/// ready before it started; nanoseconds.
pub type NodeTime = [u64; 5];

/// One rank's nodes of a trace.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TracePlayed {
    /// Index into the plan's operations.
    pub op: usize,
    /// Which rank.
    pub rank: Rank,
    /// Its nodes.
    pub labels: Vec<NodeLabel>,
    /// Times since the common start, real nanoseconds; of the first measured iterations only, if all
    /// would be too many.
    pub times: Vec<NodeTime>,
}

/// The same trace in virtual time: modelled, not measured; nominal nanoseconds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TraceModel {
    /// From the end of an iteration to that of the next.
    pub iteration_ns: u64,
    /// `[rank]`: when each node of one iteration was played.
    pub times: Vec<Vec<NodeTime>>,
    /// What the network was taken to be, in words.
    pub network: String,
}

/// The messages of one rank in an operation, as far as they were recorded.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct RankMessages {
    /// In the order in which they ended.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub seen: Vec<MessageSeen>,
    /// Messages of the same iterations for which there was no room.
    pub left_out: u64,
}

/// One side of a message. Times are real nanoseconds since the common start.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MessageSeen {
    /// Measured iteration, from 0.
    pub iteration: u32,
    /// Sent by the rank that saw it; otherwise received.
    pub sent: bool,
    /// The rank at the other end.
    pub peer: Rank,
    /// The connection of the pair that it took.
    pub channel: Channel,
    /// Its communicator.
    pub communicator: CommunicatorId,
    /// Its tag.
    pub tag: u64,
    /// Payload bytes.
    pub bytes: u64,
    /// When the send or receive was posted.
    pub posted_ns: u64,
    /// When the send's buffer was free, or all of the message was there; `None`: not within the operation.
    pub done_ns: Option<u64>,
}

/// A rank that ended before its time.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RankLoss {
    /// Which rank.
    pub rank: Rank,
    /// Its host's name.
    pub host: String,
    /// What happened: `killed by signal 9`, `no heartbeat for 10 s`, its own error text.
    pub what: String,
    /// In which operation, in words: `all-reduce ring 64 MiB, iteration 3 of 20`.
    pub operation: String,
    /// Who waits for whom: (waiting rank, for rank).
    pub waiting: Vec<(Rank, Rank)>,
    /// Seconds since the start of `genie run` when it was found out.
    pub at_s: f64,
}

/// What a rank says of itself at its end.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct RankSummary {
    /// Which rank.
    pub rank: Rank,
    /// Process id.
    pub pid: u32,
    /// Core it was pinned to.
    pub core: Option<u32>,
    /// User CPU seconds.
    pub user_s: f64,
    /// System CPU seconds.
    pub system_s: f64,
    /// Payload bytes sent.
    pub sent_bytes: u64,
    /// Payload bytes received.
    pub received_bytes: u64,
    /// Messages sent.
    pub messages: u64,
    /// TCP segments that all of its connections, or requests that its RDMA device, sent again.
    pub retransmits: u64,
    /// Timers fired.
    pub timers: u64,
    /// Timer lateness, 99th percentile, microseconds (real clock).
    pub timer_late_p99_us: f64,
    /// Largest resident set, bytes.
    pub max_rss_bytes: u64,
    /// Voluntary and involuntary context switches.
    pub context_switches: [u64; 2],
}

/// What the emulated links were found to be at bring-up (real, not nominal, unless it says so).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Calibration {
    /// One entry for each kind of link (rate and delay) in the topology.
    pub links: Vec<LinkCalibration>,
}

/// One kind of link, measured.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LinkCalibration {
    /// How the kernel was told to shape it, in words.
    pub shaper: String,
    /// Wanted rate in real bits per second on Ethernet frames; `None`: unshaped.
    pub wanted_bps: Option<f64>,
    /// Measured rate, bits per second on Ethernet frames.
    pub measured_bps: f64,
    /// Hops (links) on the measured path.
    pub hops: u32,
    /// One-way time of 64 KiB that the wire would take on this path, microseconds.
    pub wanted_one_way_us: Option<f64>,
    /// Measured one-way time of 64 KiB after idle, microseconds, median; `None`: too slow a link to
    /// be worth the wait.
    pub measured_one_way_us: Option<f64>,
}

/// Bytes counted on a link.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LinkCount {
    /// Link name.
    pub link: String,
    /// Frames' bytes counted in each direction.
    pub bytes: [u64; 2],
    /// Packets dropped by the shaper in each direction.
    pub drops: [u64; 2],
}

/// A change of circuits, and what was measured of it. All times are real seconds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Reconfiguration {
    /// Its number in the run, from 0.
    pub number: usize,
    /// Name of the step.
    pub step: String,
    /// The operation that was played meanwhile, or that came next.
    pub op: usize,
    /// It was played meanwhile.
    pub during: bool,
    /// Seconds from the start of `genie run` to the first command.
    pub at_s: f64,
    /// The switches whose circuits changed.
    pub switches: Vec<SwitchChange>,
    /// The ends of links whose circuit changed.
    pub links: Vec<LinkDark>,
    /// Frames that hosts and switches could not send because their port was dark: at least so many, because of
    /// each port's all probes are left out that did not arrive. `None`: the kernel could not be asked.
    pub lost_frames: Option<u64>,
    /// Probes that did not arrive.
    pub probes_lost: u64,
    /// Time between two probes out of a port; `None`: no port moved.
    pub probe_every_s: Option<f64>,
    /// The longest time between two of them: what traffic measured is no finer.
    pub probe_pause_s: Option<f64>,
    /// TCP segments that all hosts sent again from the first command to the next change or the end of the
    /// operation; 0 when nothing was played. `None`: the kernel could not be asked.
    pub retransmits: Option<u64>,
}

/// A change of one switch's circuits.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SwitchChange {
    /// Name of the switch.
    pub ocs: String,
    /// Language in which it was programmed.
    pub dialect: String,
    /// Circuits removed.
    pub removed: Vec<String>,
    /// Circuits made.
    pub made: Vec<String>,
    /// From the first command to its last answer.
    pub command_s: f64,
    /// From there to the proof that mirrors had settled.
    pub settle_s: f64,
    /// From there to all its links being up; `None`: none was made.
    pub link_up_s: Option<f64>,
    /// How long its mirrors take, as the scenario says.
    pub device_settle_s: f64,
    /// More or less at most, likewise.
    pub device_jitter_s: f64,
    /// The longest [`LinkDark::dark_light_s`] of its links.
    pub dark_light_s: Option<f64>,
    /// The longest [`LinkDark::dark_traffic_s`] of its links.
    pub dark_traffic_s: Option<f64>,
    /// Attempts beyond the first.
    pub retries: u32,
    /// What went wrong on the way.
    pub notes: Vec<String>,
}

/// An end of a link whose circuit changed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LinkDark {
    /// Name of the switch.
    pub ocs: String,
    /// Name of the link.
    pub link: String,
    /// The node at this end.
    pub node: String,
    /// The node that light joined it with before.
    pub before: Option<String>,
    /// And afterwards.
    pub after: Option<String>,
    /// From the link beginning to follow the end of light to its being up again; `None`: dark before or afterwards.
    pub dark_light_s: Option<f64>,
    /// From the last probe heard from the old far end to the first from the new, by the kernel's stamps.
    pub dark_traffic_s: Option<f64>,
}

/// The neighbours of a job along one dimension, as packets found them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct NeighboursFound {
    /// Name of the step.
    pub step: String,
    /// The operation that came next.
    pub op: usize,
    /// The job.
    pub job: String,
    /// Its dimension, from 0.
    pub dimension: usize,
    /// All of its neighbours.
    pub pairs: Vec<NeighbourFound>,
}

/// Two ranks that are neighbours in their job.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct NeighbourFound {
    /// The one that sent.
    pub from: Rank,
    /// The other.
    pub to: Rank,
    /// Hops, by what was left of the packets' time to live; 1: nothing between. `None`: none arrived.
    pub hops: Option<u32>,
    /// One-way time of a packet of 8 bytes, median, microseconds (real).
    pub one_way_us: Option<f64>,
}

/// A tagged event cannot hold a bare list: it is written as `{"event":"link-counters","links":[...]}`.
mod link_counts {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    use super::LinkCount;

    #[derive(Serialize, Deserialize)]
    struct Named<T> {
        links: T,
    }

    pub(super) fn serialize<S: Serializer>(links: &[LinkCount], serializer: S) -> Result<S::Ok, S::Error> {
        Named { links }.serialize(serializer)
    }

    pub(super) fn deserialize<'a, D: Deserializer<'a>>(deserializer: D) -> Result<Vec<LinkCount>, D::Error> {
        Named::deserialize(deserializer).map(|named| named.links)
    }
}
