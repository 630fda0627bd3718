//! The lines of ASTRA-sim's stdout, so that scripts that read them work unchanged; the same as JSON; and
//! who waits for whom where a simulation does not end.

use std::fmt::Write;
use std::time::Duration;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde::Serialize;

use crate::testbed::model::insight::explain::Explanation;
use crate::testbed::model::outcome::{Finished, JobOutcome, Outcome, Stuck};
use crate::workload::graph::Class;

/// So many stuck nodes are listed.
const MOST_STUCK: usize = 32;

/// Prefix of a line as spdlog writes it: time, logger, level.
fn prefix(now: &str, logger: &str) -> String {
    format!("[{now}] [{logger}] [info] ")
}

/// What ASTRA-sim prints, in the order of finishing.
pub fn text(outcome: &Outcome) -> String {
    let now = Timestamp::now().to_zoned(TimeZone::system());
    let now = now.strftime("%Y-%m-%d %H:%M:%S%.3f").to_string();
    let (workload, statistics) = (prefix(&now, "workload"), prefix(&now, "statistics"));
    let mut text = String::new();
    for job in &outcome.jobs {
        let _ = writeln!(text, "{workload}{}", words(job));
    }
    for finished in &outcome.finished {
        let (rank, cycles, exposed) = (finished.rank, finished.cycles, finished.exposed);
        let _ = writeln!(
            text,
            "{workload}sys[{rank}] finished, {cycles} cycles, exposed communication {exposed} cycles."
        );
        for line in statistics_of(finished) {
            let _ = writeln!(text, "{statistics}sys[{rank}]{line}");
        }
    }
    text
}

/// What came of a job, in the words of ASTRA-sim's line for an NPU.
fn words(job: &JobOutcome) -> String {
    let (name, exposed, start) = (job.name.escape_debug(), job.exposed, job.start);
    match job.cycles {
        Some(cycles) => format!(
            "job[{name}] finished, {cycles} cycles after its start at {start}, exposed communication at most {exposed} cycles."
        ),
        None => format!(
            "job[{name}] never finishes: {} of its {} ranks do.",
            job.finished, job.ranks
        ),
    }
}

fn class_name(class: Class) -> &'static str {
    match class {
        Class::Cpu => "CPU time",
        Class::Gpu => "GPU time",
        Class::Comm => "Comm time",
        Class::Memory => "Remote mem time",
        Class::Other => "Invalid time",
    }
}

/// The `[statistics]` lines of a rank behind `sys[R]`.
fn statistics_of(finished: &Finished) -> Vec<String> {
    let mut lines = vec![
        ". Post statistics processing start.".to_owned(),
        ". Post statistics processing end.".to_owned(),
        format!(", Wall time: {}", finished.cycles),
    ];
    for (class, time) in &finished.classes {
        lines.push(format!(", {}: {time}", class_name(*class)));
    }
    if let Some(overlap) = finished.overlap().filter(|&overlap| overlap > 0) {
        lines.push(format!(", Total compute-communication overlap: {overlap}"));
    }
    if let Some(roofline) = &finished.roofline {
        lines.extend([
            format!(
                ", Compute bound percentage: {:.3}%",
                100.0 * roofline.compute_bound
            ),
            format!(", Average compute utilization: {:.3}%", 100.0 * roofline.compute),
            format!(", Average memory utilization: {:.3}%", 100.0 * roofline.memory),
            format!(", Average operation intensity: {:.3}", roofline.intensity),
        ]);
    }
    lines
}

#[derive(Serialize)]
struct Json<'a> {
    npus: u32,
    clock: &'static str,
    finished: Vec<JsonRank<'a>>,
    stuck: Vec<JsonStuck>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    jobs: Vec<JsonJob<'a>>,
    messages: u64,
    events: u64,
    simulated_npus: u64,
    warnings: &'a [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    explanation: Option<&'a Explanation>,
}

#[derive(Serialize)]
struct JsonJob<'a> {
    name: &'a str,
    ranks: u32,
    finished_ranks: u32,
    start_cycles: u64,
    cycles: Option<u64>,
    exposed_cycles: u64,
}

#[derive(Serialize)]
struct JsonRank<'a> {
    rank: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    job: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rank_in_job: Option<u32>,
    cycles: u64,
    exposed_cycles: u64,
    cpu_ns: u64,
    gpu_ns: u64,
    communication_ns: u64,
    remote_memory_ns: u64,
}

#[derive(Serialize)]
struct JsonStuck {
    rank: u32,
    node: u64,
    name: String,
    waits_for: String,
}

impl<'a> JsonJob<'a> {
    fn new(job: &'a JobOutcome) -> Self {
        JsonJob {
            name: &job.name,
            ranks: job.ranks,
            finished_ranks: job.finished,
            start_cycles: job.start,
            cycles: job.cycles,
            exposed_cycles: job.exposed,
        }
    }
}

/// Everything as one JSON object.
pub fn json(npus: u32, outcome: &Outcome, warnings: &[String], explanation: Option<&Explanation>) -> String {
    let rank = |finished: &Finished| {
        let job = outcome.jobs.get(finished.job as usize);
        let of = |class| {
            finished
                .classes
                .iter()
                .find(|(c, _)| *c == class)
                .map_or(0, |(_, time)| *time)
        };
        JsonRank {
            rank: finished.rank,
            job: job.map(|job| &*job.name),
            rank_in_job: job.map(|_| finished.rank_in_job),
            cycles: finished.cycles,
            exposed_cycles: finished.exposed,
            cpu_ns: of(Class::Cpu),
            gpu_ns: of(Class::Gpu),
            communication_ns: of(Class::Comm),
            remote_memory_ns: of(Class::Memory),
        }
    };
    let stuck = |stuck: &Stuck| JsonStuck {
        rank: stuck.npu,
        node: stuck.node,
        name: stuck.name.clone(),
        waits_for: stuck.waits_for.clone(),
    };
    let json = Json {
        npus,
        clock: "virtual, 1 cycle = 1 ns",
        finished: outcome.finished.iter().map(rank).collect(),
        stuck: outcome.stuck.iter().map(stuck).collect(),
        jobs: outcome.jobs.iter().map(JsonJob::new).collect(),
        messages: outcome.messages,
        events: outcome.events,
        simulated_npus: outcome.simulated_ranks,
        warnings,
        explanation,
    };
    serde_json::to_string(&json).expect("numbers and texts are JSON") + "\n"
}

/// Who waits for whom, where ranks are not through.
pub fn stuck(npus: u32, outcome: &Outcome) -> String {
    let left = npus as usize - outcome.finished.len();
    let mut text = format!("{left} of {npus} ranks never finish; ASTRA-sim would exit without an answer");
    for stuck in outcome.stuck.iter().take(MOST_STUCK) {
        let (who, node, name) = (&stuck.who, stuck.node, stuck.name.escape_debug());
        let _ = write!(
            text,
            "\n  {who}: node {node} `{name}` waits for {}",
            stuck.waits_for
        );
    }
    if outcome.stuck.len() > MOST_STUCK {
        let _ = write!(text, "\n  and {} more", outcome.stuck.len() - MOST_STUCK);
    }
    text + "\nhelp: a RECV is met by a SEND of the same tag, ranks and size; members of a group issue the same collectives in the same order"
}

/// How far a simulation is.
pub fn progress(npus: u32, finished: usize, now: u64, events: u64, elapsed: Duration) -> String {
    let rate = events as f64 / elapsed.as_secs_f64().max(1e-9) / 1e6;
    format!(
        "{:.1} s: {finished} of {npus} ranks through, at {:.3} ms of virtual time, {rate:.1} M events/s\n",
        elapsed.as_secs_f64(),
        now as f64 / 1e6
    )
}
