//! A run as one JSON object: the contract with other programs (issue 2; docs/results.md). Fields
//! may be added, never renamed or removed.

use serde::Serialize;

use crate::event::{Calibration, NeighboursFound, RankLoss, RankSummary, Reconfiguration};
use crate::results::diff::facts;
use crate::results::run::Stage;
use crate::results::statistics::Times;
use crate::results::summary::{Row, name_of};
use crate::results::trace::TraceReport;
use crate::results::{Environment, Run, RunId, State, tables};

/// The whole object.
#[derive(Debug, Serialize)]
struct Report<'a> {
    run_id: &'a str,
    scenario: &'a str,
    fabric: String,
    transport: String,
    clock: &'static str,
    measured: bool,
    ranks: usize,
    status: &'static str,
    state: String,
    reason: Option<&'a str>,
    exit_code: Option<i32>,
    cautions: &'a [String],
    ops: Vec<Op<'a>>,
    dilation: f64,
    verified: bool,
    out_of_bounds: Option<u64>,
    mean_busbw_gbps: Option<f64>,
    cpu_s_per_gb: Option<f64>,
    seed: u64,
    started_at: &'a str,
    duration_s: Option<f64>,
    results_dir: Option<String>,
    genie_version: &'a str,
    scenario_sha256: String,
    topology_sha256: String,
    calibration: Option<&'a Calibration>,
    stages: &'a [Stage],
    links: Vec<Link>,
    rank_summaries: &'a [RankSummary],
    lost_ranks: &'a [RankLoss],
    lost_links: &'a [String],
    #[serde(skip_serializing_if = "<[Reconfiguration]>::is_empty")]
    reconfigurations: &'a [Reconfiguration],
    #[serde(skip_serializing_if = "<[NeighboursFound]>::is_empty")]
    neighbours: &'a [NeighboursFound],
    environment: &'a Environment,
}

#[derive(Debug, Serialize)]
struct Op<'a> {
    op: String,
    algorithm: String,
    ranks: u32,
    bytes: u64,
    iterations: u32,
    time_us: NullableTimes,
    algbw_gbps: Option<f64>,
    busbw_gbps: Option<f64>,
    link_share: Option<f64>,
    cpu_s_per_gb: Option<f64>,
    index: usize,
    communicator: &'a str,
    count: u64,
    dtype: String,
    redop: Option<String>,
    root: Option<u32>,
    warmup: u32,
    planned_iterations: u32,
    complete: bool,
    link_overhead: Option<f64>,
    cpu_s: f64,
    cpu_use: Option<f64>,
    sent_bytes: u64,
    stolen_share: Option<f64>,
    others_share: Option<f64>,
    wrong: Option<u64>,
    expected_us: Option<f64>,
    cautions: Vec<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    trace: Option<&'a TraceReport>,
    #[serde(skip_serializing_if = "Option::is_none")]
    step: Option<&'a str>,
}

/// Always an object, so that programs need no case for operations that no rank finished.
#[derive(Debug, Serialize)]
struct NullableTimes {
    min: Option<f64>,
    p50: Option<f64>,
    p99: Option<f64>,
    mean: Option<f64>,
}

#[derive(Debug, Serialize)]
struct Link {
    link: String,
    direction: String,
    counted_bytes: u64,
    payload_bytes: Option<f64>,
    drops: u64,
}

/// The object as text, indented, with its line end. `results_dir`: the run's folder, if it is stored.
pub fn text(run: &Run, results_dir: Option<&std::path::Path>) -> String {
    let report = report(run, results_dir);
    serde_json::to_string_pretty(&report).expect("plain data has a JSON form") + "\n"
}

/// One object for the repetitions of a run, of which each has its own.
pub fn repetitions(group: &RunId, objects: &[String]) -> String {
    let objects: Vec<&str> = objects.iter().map(|object| object.trim_end()).collect();
    format!(
        "{{\n\"group\": \"{group}\",\n\"repetitions\": [\n{}\n]\n}}\n",
        objects.join(",\n")
    )
}

fn report<'a>(run: &'a Run, results_dir: Option<&std::path::Path>) -> Report<'a> {
    let manifest = &run.manifest;
    let plan = &manifest.plan;
    Report {
        run_id: manifest.run_id.as_str(),
        scenario: &manifest.scenario,
        fabric: name_of(&plan.testbed.fabric),
        transport: name_of(&plan.testbed.transport),
        clock: "wall",
        measured: true,
        ranks: plan.ranks.len(),
        status: status(run),
        state: name_of(&manifest.status),
        reason: manifest.reason.as_deref(),
        exit_code: manifest.exit_code,
        cautions: &manifest.cautions,
        ops: run.rows.iter().map(|row| op(run, row)).collect(),
        dilation: plan.dilation,
        verified: plan.testbed.verify,
        out_of_bounds: run.wrong(),
        mean_busbw_gbps: run.mean_busbw_gbps(),
        cpu_s_per_gb: run.cpu_s_per_gb(),
        seed: manifest.seed,
        started_at: &manifest.started_at,
        duration_s: manifest.duration_s,
        results_dir: results_dir.map(|folder| folder.display().to_string()),
        genie_version: &manifest.environment.genie_version,
        scenario_sha256: facts::scenario_sha256(plan),
        topology_sha256: facts::topology_sha256(plan),
        calibration: manifest.calibration.as_ref(),
        stages: &manifest.stages,
        links: links(run),
        rank_summaries: &run.ranks,
        lost_ranks: &manifest.lost_ranks,
        lost_links: &manifest.lost_links,
        reconfigurations: &manifest.reconfigurations,
        neighbours: &manifest.neighbours,
        environment: &manifest.environment,
    }
}

/// The contract knows three; a run that is not over is what it would be if it ended now.
fn status(run: &Run) -> &'static str {
    match run.manifest.status {
        State::Completed => "completed",
        State::Partial => "partial",
        State::Failed => "failed",
        State::Running | State::Interrupted if run.rows.is_empty() => "failed",
        State::Running | State::Interrupted => "partial",
    }
}

fn op<'a>(run: &'a Run, row: &'a Row) -> Op<'a> {
    let time = |pick: fn(Times) -> f64| row.time.map(pick);
    Op {
        op: row.title(),
        algorithm: name_of(&row.algorithm),
        ranks: row.ranks,
        bytes: row.bytes,
        iterations: row.iterations,
        time_us: NullableTimes {
            min: time(|time| time.min),
            p50: time(|time| time.p50),
            p99: time(|time| time.p99),
            mean: time(|time| time.mean),
        },
        algbw_gbps: row.algbw_gbps,
        busbw_gbps: row.busbw_gbps,
        link_share: row.link_share,
        cpu_s_per_gb: row.cpu_s_per_gb,
        index: row.index,
        communicator: &row.communicator,
        count: row.count,
        dtype: name_of(&row.dtype),
        redop: row.redop.as_ref().map(name_of),
        root: row.root,
        warmup: row.warmup,
        planned_iterations: row.planned_iterations,
        complete: row.complete,
        link_overhead: row.link_overhead,
        cpu_s: row.cpu_s,
        cpu_use: row.cpu_use,
        sent_bytes: row.sent_bytes,
        stolen_share: row.stolen_share,
        others_share: row.others_share,
        wrong: row.wrong,
        expected_us: row.expected_us,
        cautions: row.cautions.iter().map(|caution| caution.text()).collect(),
        name: row.trace.as_deref(),
        trace: run.manifest.traces.iter().find(|trace| trace.op == row.index),
        step: row.step.as_deref(),
    }
}

fn links(run: &Run) -> Vec<Link> {
    let plan = &run.manifest.plan;
    let mut links = Vec::new();
    for count in &run.links {
        let Some(number) = plan.network.links.iter().position(|link| link.name == count.link) else {
            continue;
        };
        links.extend((0..2).map(|direction| Link {
            link: count.link.clone(),
            direction: tables::way(plan, &plan.network.links[number], direction),
            counted_bytes: count.bytes[direction],
            payload_bytes: tables::planned_payload(run, number, direction),
            drops: count.drops[direction],
        }));
    }
    links
}
