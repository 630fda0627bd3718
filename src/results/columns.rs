//! The files of a run folder, and for each table its columns with type, unit and meaning. Writers,
//! the manifest and `docs/results.md` all follow these lists.

use serde::{Deserialize, Serialize};

use crate::scenario::plan::Plan;

/// A column: name, type (`integer`, `number`, `text`, `boolean`), unit or "", meaning.
pub type Column = (&'static str, &'static str, &'static str, &'static str);

/// `ops.csv`: one row per operation.
pub const OPS: &[Column] = &[
    (
        "index",
        "integer",
        "",
        "place of the operation in the plan, from 0",
    ),
    ("op", "text", "", "collective"),
    ("algorithm", "text", "", "algorithm"),
    ("communicator", "text", "", "name of the communicator"),
    ("ranks", "integer", "", "ranks of the communicator"),
    ("bytes", "integer", "B", "size as nccl-tests counts it"),
    ("count", "integer", "", "count argument of the call, elements"),
    ("dtype", "text", "", "element type"),
    (
        "redop",
        "text",
        "",
        "reduction operator; empty where nothing is reduced",
    ),
    (
        "root",
        "integer",
        "",
        "position of the root; empty where there is none",
    ),
    ("warmup", "integer", "", "iterations before the measured ones"),
    (
        "planned_iterations",
        "integer",
        "",
        "iterations that were to be measured",
    ),
    ("iterations", "integer", "", "iterations that all ranks finished"),
    (
        "complete",
        "boolean",
        "",
        "false: the run ended within the operation",
    ),
    ("time_min_us", "number", "us, nominal", "shortest iteration"),
    (
        "time_p50_us",
        "number",
        "us, nominal",
        "median iteration, nearest rank",
    ),
    (
        "time_p99_us",
        "number",
        "us, nominal",
        "99th percentile, nearest rank",
    ),
    ("time_mean_us", "number", "us, nominal", "mean iteration"),
    ("algbw_gbps", "number", "Gbit/s, nominal", "bytes / p50"),
    (
        "busbw_gbps",
        "number",
        "Gbit/s, nominal",
        "algbw x nccl-tests' factor",
    ),
    (
        "link_share",
        "number",
        "0 to 1",
        "payload rate of the busiest link / its payload limit",
    ),
    (
        "link_overhead",
        "number",
        "share",
        "largest (counted - payload) / payload of a link direction",
    ),
    ("cpu_s", "number", "s", "CPU time of all ranks, user and system"),
    ("sent_bytes", "integer", "B", "payload that all ranks sent"),
    (
        "cpu_s_per_gb",
        "number",
        "s/GB",
        "CPU time per 10^9 payload bytes sent",
    ),
    (
        "cpu_use",
        "number",
        "share",
        "CPU time / (wall time x cores that the ranks can use)",
    ),
    (
        "stolen_share",
        "number",
        "share",
        "CPU time that the hypervisor gave to others meanwhile / all CPU time",
    ),
    (
        "others_share",
        "number",
        "share",
        "CPU time that programs used meanwhile that are not the run's / all CPU time",
    ),
    (
        "wrong",
        "integer",
        "",
        "elements found wrong; empty when not verified",
    ),
    (
        "expected_us",
        "number",
        "us, nominal",
        "the plan's expectation: modelled, not measured",
    ),
    ("cautions", "text", "", "names of cautions, separated by spaces"),
    (
        "trace",
        "text",
        "",
        "name of a trace, whose `op` is `trace`; empty for collectives",
    ),
    (
        "step",
        "text",
        "",
        "name of the step whose circuits it was played over; empty without optical switches",
    ),
];

/// `iterations.csv`: one row per operation, iteration and rank.
pub const ITERATIONS: &[Column] = &[
    ("op", "integer", "", "`index` of ops.csv"),
    ("iteration", "integer", "", "measured iteration, from 0"),
    ("rank", "integer", "", "rank"),
    (
        "start_ns",
        "integer",
        "ns, real",
        "start since the common start of all ranks",
    ),
    ("end_ns", "integer", "ns, real", "end, likewise"),
    ("time_us", "number", "us, nominal", "(end - start) / dilation"),
];

/// `ranks.csv`: one row per rank.
pub const RANKS: &[Column] = &[
    ("rank", "integer", "", "rank"),
    ("host", "text", "", "name of its host"),
    (
        "pid",
        "integer",
        "",
        "process id; empty, like all that follow, for a rank that gave no summary",
    ),
    ("core", "integer", "", "core it was pinned to"),
    ("user_s", "number", "s", "user CPU time"),
    ("system_s", "number", "s", "system CPU time"),
    ("sent_bytes", "integer", "B", "payload sent"),
    ("received_bytes", "integer", "B", "payload received"),
    ("messages", "integer", "", "messages sent"),
    (
        "retransmits",
        "integer",
        "",
        "TCP segments, or requests of verbs, sent again",
    ),
    ("timers", "integer", "", "timers fired"),
    (
        "timer_late_p99_us",
        "number",
        "us, real",
        "lateness of timers, 99th percentile",
    ),
    ("max_rss_bytes", "integer", "B", "largest resident set"),
    ("voluntary_switches", "integer", "", "voluntary context switches"),
    (
        "involuntary_switches",
        "integer",
        "",
        "involuntary context switches",
    ),
    ("lost", "text", "", "what happened, when it ended before its time"),
];

/// `links.csv`: one row per link direction and operation, and one for the whole run.
pub const LINKS: &[Column] = &[
    ("link", "text", "", "name of the link"),
    ("direction", "text", "", "`from->to`, names of nodes"),
    (
        "op",
        "integer",
        "",
        "`index` of ops.csv; empty: the whole run, set-up included",
    ),
    (
        "counted_bytes",
        "integer",
        "B",
        "bytes of frames counted, warm-up included",
    ),
    (
        "payload_bytes",
        "number",
        "B",
        "payload expected by the plan, warm-up included; empty where an operation did not complete",
    ),
    (
        "drops",
        "integer",
        "",
        "packets that the shaper dropped; whole run only",
    ),
];

/// `nodes.csv`: one row per node, measured iteration and rank of a trace; only where one is played.
pub const NODES: &[Column] = &[
    ("op", "integer", "", "`index` of ops.csv"),
    ("rank", "integer", "", "rank"),
    ("iteration", "integer", "", "measured iteration, from 0"),
    ("node", "integer", "", "number of the node in its trace"),
    ("name", "text", "", "its name there"),
    (
        "kind",
        "text",
        "",
        "compute, send, receive or the collective; (scale-up) where it is only timed",
    ),
    ("lane", "text", "", "what it occupies: cpu, gpu, comm or none"),
    (
        "start_ns",
        "integer",
        "ns, real",
        "start since the common start of all ranks",
    ),
    ("end_ns", "integer", "ns, real", "end, likewise"),
    (
        "bytes",
        "integer",
        "B",
        "bytes of a message, or as nccl-tests counts a collective",
    ),
    (
        "wait_ns",
        "integer",
        "ns, real",
        "from the moment when nothing held it up any more to its start",
    ),
];

/// `reconfigurations.csv`: one row per change of circuits and optical switch; only where there are any.
pub const RECONFIGURATIONS: &[Column] = &[
    ("reconfiguration", "integer", "", "number of the change, from 0"),
    ("step", "text", "", "name of the step"),
    (
        "op",
        "integer",
        "",
        "`index` of ops.csv: what was played meanwhile, or came next",
    ),
    ("during", "boolean", "", "it was played meanwhile"),
    (
        "at_s",
        "number",
        "s, real",
        "first command, from the start of the run",
    ),
    ("ocs", "text", "", "name of the optical switch"),
    ("dialect", "text", "", "language in which it was programmed"),
    ("removed", "text", "", "circuits removed, separated by spaces"),
    ("made", "text", "", "circuits made, separated by spaces"),
    (
        "command_s",
        "number",
        "s, real",
        "first command to its last answer",
    ),
    (
        "settle_s",
        "number",
        "s, real",
        "from there to the proof that mirrors had settled",
    ),
    (
        "link_up_s",
        "number",
        "s, real",
        "from there to all its links being up; empty where none was made",
    ),
    (
        "device_settle_s",
        "number",
        "s, real",
        "how long its mirrors take: the scenario's figure, not measured",
    ),
    (
        "device_jitter_s",
        "number",
        "s, real",
        "more or less at most, likewise",
    ),
    (
        "dark_light_s",
        "number",
        "s, real",
        "end of light to link up again, the longest of its links",
    ),
    (
        "dark_traffic_s",
        "number",
        "s, real",
        "last probe heard before to first probe heard after, the longest of its links",
    ),
    (
        "probe_pause_s",
        "number",
        "s, real",
        "longest time between two probes: dark_traffic_s is no finer",
    ),
    ("probes_lost", "integer", "", "probes that did not arrive"),
    (
        "lost_frames",
        "integer",
        "",
        "frames lost at dark ports, at least: of each port's all probes are left out that did not arrive; empty: the kernel could not be asked",
    ),
    (
        "retransmits",
        "integer",
        "",
        "TCP segments sent again until the next change or the end of the operation; empty: the kernel could not be asked",
    ),
    (
        "retries",
        "integer",
        "",
        "attempts of the driver beyond the first",
    ),
];

/// `circuits.csv`: one row per end of a link whose circuit changed; only where there are any.
pub const CIRCUITS: &[Column] = &[
    (
        "reconfiguration",
        "integer",
        "",
        "`reconfiguration` of reconfigurations.csv",
    ),
    ("ocs", "text", "", "name of the optical switch"),
    ("link", "text", "", "name of the link"),
    ("node", "text", "", "host or switch at this end"),
    (
        "before",
        "text",
        "",
        "host or switch that it was joined with; empty: dark",
    ),
    ("after", "text", "", "and is now; empty: dark"),
    (
        "dark_light_s",
        "number",
        "s, real",
        "end of light to link up again; empty where dark before or after",
    ),
    (
        "dark_traffic_s",
        "number",
        "s, real",
        "last probe heard before to first probe heard after, by the kernel's stamps",
    ),
];

/// `neighbours.csv`: one row per step and pair of neighbours of a job; only where jobs are placed.
pub const NEIGHBOURS: &[Column] = &[
    ("step", "text", "", "name of the step"),
    ("job", "text", "", "name of the job"),
    ("dimension", "integer", "", "dimension of the job, from 0"),
    ("from", "integer", "", "rank that sent"),
    ("to", "integer", "", "rank that is its neighbour in the job"),
    (
        "hops",
        "integer",
        "",
        "by what was left of the packets' time to live; 1: nothing between; empty: none arrived",
    ),
    (
        "one_way_us",
        "number",
        "us, real",
        "one-way time of a packet of 8 bytes, median of 5",
    ),
];

/// `messages.csv`: one row per message of the first measured iterations; only where messages are recorded.
pub const MESSAGES: &[Column] = &[
    ("op", "integer", "", "`index` of ops.csv"),
    ("iteration", "integer", "", "measured iteration, from 0"),
    ("sender", "integer", "", "rank that sent it"),
    ("receiver", "integer", "", "rank that received it"),
    ("channel", "integer", "", "connection of the pair that it took"),
    ("communicator", "integer", "", "number of its communicator"),
    ("tag", "integer", "", "its tag, the same at both ends"),
    ("bytes", "integer", "B", "payload"),
    (
        "send_posted_ns",
        "integer",
        "ns, real",
        "send posted, since the common start of all ranks; empty: the sender had no room to record it",
    ),
    (
        "send_done_ns",
        "integer",
        "ns, real",
        "its buffer was free: taken by the kernel (TCP) or acknowledged (RDMA)",
    ),
    (
        "receive_posted_ns",
        "integer",
        "ns, real",
        "receive posted; empty: the receiver had no room to record it",
    ),
    (
        "receive_done_ns",
        "integer",
        "ns, real",
        "all of it was there and asked for",
    ),
];

/// A table of a run folder.
#[derive(Debug, Clone, Copy)]
pub struct Table {
    /// Its name; the file's ends with `.csv`.
    pub name: &'static str,
    /// What a row is.
    pub what: &'static str,
    /// Its columns.
    pub columns: &'static [Column],
    /// Which runs have it.
    pub of: Runs,
}

/// Which runs have a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Runs {
    /// All.
    Every,
    /// Those that play traces.
    WithTraces,
    /// Those whose network has optical switches.
    WithCircuits,
    /// Those that record messages.
    WithMessages,
}

impl Runs {
    /// Whether a run of this plan is one of them.
    pub fn have(self, plan: &Plan) -> bool {
        match self {
            Runs::Every => true,
            Runs::WithTraces => plan.ops.iter().any(|op| op.trace.is_some()),
            Runs::WithCircuits => plan.optical.is_some(),
            Runs::WithMessages => plan.testbed.record_messages > 0,
        }
    }
}

impl Table {
    /// The file's name.
    pub fn file(&self) -> String {
        format!("{}.csv", self.name)
    }
}

/// All tables.
pub static TABLES: [Table; 9] = [
    Table {
        name: "ops",
        what: "one row per operation",
        columns: OPS,
        of: Runs::Every,
    },
    Table {
        name: "iterations",
        what: "one row per operation, iteration and rank",
        columns: ITERATIONS,
        of: Runs::Every,
    },
    Table {
        name: "ranks",
        what: "one row per rank",
        columns: RANKS,
        of: Runs::Every,
    },
    Table {
        name: "links",
        what: "one row per link direction and operation, and for the whole run",
        columns: LINKS,
        of: Runs::Every,
    },
    Table {
        name: "nodes",
        what: "one row per node, iteration and rank of a trace",
        columns: NODES,
        of: Runs::WithTraces,
    },
    Table {
        name: "reconfigurations",
        what: "one row per change of circuits and optical switch",
        columns: RECONFIGURATIONS,
        of: Runs::WithCircuits,
    },
    Table {
        name: "circuits",
        what: "one row per end of a link whose circuit changed",
        columns: CIRCUITS,
        of: Runs::WithCircuits,
    },
    Table {
        name: "neighbours",
        what: "one row per step and pair of neighbours of a job",
        columns: NEIGHBOURS,
        of: Runs::WithCircuits,
    },
    Table {
        name: "messages",
        what: "one row per message of the first measured iterations",
        columns: MESSAGES,
        of: Runs::WithMessages,
    },
];

/// The tables of a run of this plan.
pub fn tables(plan: &Plan) -> impl Iterator<Item = &'static Table> {
    TABLES.iter().filter(|table| table.of.have(plan))
}

/// A file of a run folder.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileEntry {
    /// File name.
    pub name: String,
    /// What it holds.
    pub what: String,
    /// Columns, for tables.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub columns: Vec<ColumnEntry>,
}

/// A column as the manifest lists it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ColumnEntry {
    /// Name in the header line.
    pub name: String,
    /// `integer`, `number`, `text`, `boolean`; an empty field is null.
    pub r#type: String,
    /// Unit, empty for none.
    pub unit: String,
    /// Meaning.
    pub what: String,
}

/// All files of the folder of a run of this plan.
pub fn files(plan: &Plan) -> Vec<FileEntry> {
    let other = |name: &str, what: &str| FileEntry {
        name: name.into(),
        what: what.into(),
        columns: Vec::new(),
    };
    let table = |table: &Table| FileEntry {
        name: table.file(),
        what: table.what.into(),
        columns: table.columns.iter().map(entry).collect(),
    };
    let (every, further): (Vec<&Table>, Vec<&Table>) =
        tables(plan).partition(|table| table.of == Runs::Every);
    let mut files = vec![
        other("manifest.json", "what was run, where, and how it ended"),
        other("scenario.toml", "the scenario as resolved"),
    ];
    files.extend(every.into_iter().map(table));
    files.push(other(
        "events.jsonl",
        "every event but progress, one JSON object per line",
    ));
    files.extend(further.into_iter().map(table));
    files
}

/// A column as the manifest lists it.
pub fn entry(column: &Column) -> ColumnEntry {
    let (name, r#type, unit, what) = *column;
    ColumnEntry {
        name: name.into(),
        r#type: r#type.into(),
        unit: unit.into(),
        what: what.into(),
    }
}

/// The header line of a table.
pub fn header(columns: &[Column]) -> String {
    super::csv::line(columns.iter().map(|column| column.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_docs_list_every_column_as_it_is_here() {
        let docs = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/results.md")).unwrap();
        for (name, kind, unit, what) in TABLES.iter().flat_map(|table| table.columns) {
            let line = format!("| `{name}` | {kind} | {unit} | {what} |");
            assert!(docs.contains(&line), "docs/results.md should have: {line}");
        }
    }
}
