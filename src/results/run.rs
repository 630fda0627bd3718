//! A run in memory: its manifest, rows, ranks and links. The same type is built from events while
//! the run goes on and by the reader from its folder, so live and stored reports cannot differ.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::cautions;
use super::digest::Digest;
use super::environment::Environment;
use super::run_id::RunId;
use super::summary::Row;
use super::trace::{Gathered, TraceReport};
use crate::event::{
    Calibration, Event, LinkCount, NeighboursFound, RankLoss, RankSummary, Reconfiguration, Status,
    TraceModel,
};
use crate::network::message::Rank;
use crate::network::transport::DeviceUse;
use crate::scenario::plan::Plan;

/// The format of run folders that this genie writes; it reads all up to this.
pub const FORMAT: u32 = 1;

/// Everything that is known of a run.
#[derive(Debug, Clone, PartialEq)]
pub struct Run {
    /// What `manifest.json` holds.
    pub manifest: Manifest,
    /// One row per operation that was begun and ended, in order.
    pub rows: Vec<Row>,
    /// Summaries of ranks that ended well, in order of arrival.
    pub ranks: Vec<RankSummary>,
    /// Counted bytes per link over the whole run; empty when the fabric does not count.
    pub links: Vec<LinkCount>,
    /// Cautions that events carried; [`Manifest::cautions`] has all.
    said: Vec<String>,
    /// What ranks have said of the trace that is being played.
    gathered: Gathered,
    /// What the model said of it.
    model: Option<(usize, Result<TraceModel, String>)>,
}

/// What `manifest.json` holds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    /// Version of the folder's format.
    pub format: u32,
    /// Run id.
    pub run_id: RunId,
    /// Name of the scenario.
    pub scenario: String,
    /// When it began, RFC 3339.
    pub started_at: String,
    /// Seconds from start to end.
    pub duration_s: Option<f64>,
    /// Running, or how it ended.
    pub status: State,
    /// Why it did not complete.
    pub reason: Option<String>,
    /// Exit code of the process.
    pub exit_code: Option<i32>,
    /// What the reader must know.
    pub cautions: Vec<String>,
    /// Seed of everything random.
    pub seed: u64,
    /// The process that recorded it.
    pub process: Process,
    /// Stages of bring-up and tear-down.
    pub stages: Vec<Stage>,
    /// What the emulated links were found to be.
    pub calibration: Option<Calibration>,
    /// Ranks that ended before their time.
    pub lost_ranks: Vec<RankLoss>,
    /// Links that vanished.
    pub lost_links: Vec<String>,
    /// RDMA devices that ranks used, and what they counted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub devices: Vec<RankDevice>,
    /// The machine.
    pub environment: Environment,
    /// Which of several repetitions this is; `None` for a run that was not repeated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repetition: Option<Repetition>,
    /// Traces that were played, measured beside modelled.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub traces: Vec<TraceReport>,
    /// Changes of circuits.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub reconfigurations: Vec<Reconfiguration>,
    /// Neighbours of jobs, as packets found them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub neighbours: Vec<NeighboursFound>,
    /// Messages of recorded iterations for which there was no room, both ends counted.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub messages_left_out: u64,
    /// Digests of the other files, once the run is over and all of it is stored.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub digests: BTreeMap<String, Digest>,
    /// The manifest's own digest, taken with zeros in its place.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub manifest_sha256: Option<String>,
    /// Files of the folder and the columns of those that are tables.
    pub files: Vec<super::columns::FileEntry>,
    /// What was to be played.
    pub plan: Plan,
}

/// A run's place among the repetitions of `genie run --repeat`: each is a run of its own, with fresh
/// connections, and may be looked at alone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Repetition {
    /// Id of the first of them, which names them all.
    pub group: RunId,
    /// Its number, from 1.
    pub number: u32,
    /// How many were to be played.
    pub of: u32,
}

fn is_zero(count: &u64) -> bool {
    *count == 0
}

/// Running, or how a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// Not over.
    Running,
    /// Its process ended without saying so. Never stored; found out by the reader.
    Interrupted,
    /// Everything planned was played.
    Completed,
    /// Some operations have results.
    Partial,
    /// None has.
    Failed,
}

/// The process that records a run, by which a reader knows whether it still does.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Process {
    /// Process id.
    pub pid: u32,
    /// Clock ticks from boot to the start of the process (proc_pid_stat(5), field 22).
    pub start_ticks: u64,
    /// `/proc/sys/kernel/random/boot_id`.
    pub boot_id: String,
    /// Name of its host; empty where that was not kept yet.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub host: String,
}

/// A folder in which nothing was written for longer than this is nobody's any more, unless its process is seen.
const LEFT_BEHIND: Duration = Duration::from_secs(3600);

/// The RDMA device of a rank.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RankDevice {
    /// The rank.
    pub rank: Rank,
    /// Its device.
    #[serde(flatten)]
    pub device: DeviceUse,
}

/// A stage of a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Stage {
    /// Its name, as [`Event::Stage`] has it.
    pub stage: String,
    /// Seconds from the start of `genie run` to its end.
    pub at_s: f64,
    /// What there was to say.
    pub detail: String,
}

impl Run {
    /// A run that begins now.
    pub fn new(id: RunId, plan: Plan, environment: Environment) -> Run {
        let manifest = Manifest {
            format: FORMAT,
            run_id: id,
            scenario: plan.name.clone(),
            started_at: format!("{:.3}", jiff::Timestamp::now()),
            duration_s: None,
            status: State::Running,
            reason: None,
            exit_code: None,
            cautions: plan.cautions.clone(),
            seed: plan.seed,
            process: Process::this(),
            stages: Vec::new(),
            calibration: None,
            lost_ranks: Vec::new(),
            lost_links: Vec::new(),
            devices: Vec::new(),
            environment,
            repetition: None,
            traces: Vec::new(),
            reconfigurations: Vec::new(),
            neighbours: Vec::new(),
            messages_left_out: 0,
            digests: BTreeMap::new(),
            manifest_sha256: None,
            files: super::columns::files(&plan),
            plan,
        };
        Run::read(manifest)
    }

    /// A run of which only the manifest is known yet.
    pub(super) fn read(manifest: Manifest) -> Run {
        Run {
            manifest,
            rows: Vec::new(),
            ranks: Vec::new(),
            links: Vec::new(),
            said: Vec::new(),
            gathered: Gathered::default(),
            model: None,
        }
    }

    /// Takes in one event.
    pub fn apply(&mut self, event: &Event) {
        let manifest = &mut self.manifest;
        match event {
            Event::RunStarted { at, .. } => manifest.started_at.clone_from(at),
            Event::Stage { stage, at_s, detail } => {
                let (stage, detail) = (stage.clone(), detail.clone());
                manifest.stages.push(Stage {
                    stage,
                    at_s: *at_s,
                    detail,
                });
            }
            Event::Calibrated(calibration) => manifest.calibration = Some(calibration.clone()),
            Event::OpStarted { .. } | Event::Progress { .. } | Event::Pulse(_) => {}
            Event::OpFinished(record) => {
                let cores = manifest.environment.usable_cores;
                self.rows.extend(Row::of(&manifest.plan, cores, record));
                self.report_trace(record.op);
            }
            Event::TracePlayed(played) => self.gathered.add(played),
            Event::MessagesSeen { ranks, .. } => {
                manifest.messages_left_out += ranks.iter().map(|rank| rank.left_out).sum::<u64>();
            }
            Event::TraceModelled { op, model } => self.model = Some((*op, model.clone())),
            Event::RankLost(loss) => manifest.lost_ranks.push(loss.clone()),
            Event::LinkLost { link, .. } => manifest.lost_links.push(link.clone()),
            Event::Reconfigured(change) => manifest.reconfigurations.push(change.clone()),
            Event::NeighboursFound(found) => manifest.neighbours.push(found.clone()),
            Event::Caution { text } => self.said.push(text.clone()),
            Event::RankFinished(summary) => self.ranks.push(summary.clone()),
            Event::DeviceUsed { rank, device } => manifest.devices.push(RankDevice {
                rank: *rank,
                device: device.clone(),
            }),
            Event::EquipmentSeen { name, facts } => {
                let equipment = &mut manifest.environment.equipment;
                equipment.insert(name.clone(), facts.clone());
            }
            Event::LinkCounters(links) => self.links.clone_from(links),
            Event::RunFinished {
                status,
                reason,
                at_s,
                exit_code,
            } => {
                manifest.status = (*status).into();
                manifest.reason.clone_from(reason);
                manifest.duration_s = Some(*at_s);
                manifest.exit_code = Some(*exit_code);
                self.draw_cautions();
            }
        }
    }

    /// A trace is over: its nodes are summed up and let go.
    fn report_trace(&mut self, op: usize) {
        let gathered = std::mem::take(&mut self.gathered);
        let model = self.model.take().filter(|(of, _)| *of == op);
        let plan = &self.manifest.plan;
        let trace = plan.ops.get(op).and_then(|planned| planned.trace.as_ref());
        let time = self
            .rows
            .last()
            .filter(|row| row.index == op)
            .and_then(|row| row.time);
        if let (Some(trace), Some(time), Some((_, model))) = (trace, time, model) {
            let model = model.as_ref().map_err(String::as_str);
            let report = gathered.report(op, &trace.name, time.p50, plan.dilation, model);
            self.manifest.traces.push(report);
        }
    }

    /// Makes the manifest's cautions from all that is known now.
    pub(super) fn draw_cautions(&mut self) {
        self.manifest.cautions = cautions::of_run(self, &self.said);
    }

    /// Adds a caution that is not an event's.
    pub fn add_caution(&mut self, text: String) {
        if !self.manifest.cautions.contains(&text) {
            self.manifest.cautions.push(text.clone());
            self.said.push(text);
        }
    }

    /// Name of the host of a rank.
    pub fn host_of(&self, rank: u32) -> &str {
        let plan = &self.manifest.plan;
        let place = plan.ranks.get(rank as usize);
        place
            .and_then(|place| plan.network.nodes.get(place.host))
            .map_or("", |node| node.name.as_str())
    }

    /// Mean bus bandwidth over the rows that have one, Gbit/s, as nccl-tests ends its tables.
    pub fn mean_busbw_gbps(&self) -> Option<f64> {
        let bandwidths: Vec<f64> = self.rows.iter().filter_map(|row| row.busbw_gbps).collect();
        (!bandwidths.is_empty()).then(|| bandwidths.iter().sum::<f64>() / bandwidths.len() as f64)
    }

    /// CPU seconds of all ranks per 10^9 payload bytes sent, over all rows.
    pub fn cpu_s_per_gb(&self) -> Option<f64> {
        let sent: u64 = self.rows.iter().map(|row| row.sent_bytes).sum();
        let cpu_s: f64 = self.rows.iter().map(|row| row.cpu_s).sum();
        (sent > 0).then(|| cpu_s / (sent as f64 / 1e9))
    }

    /// Elements found wrong in all rows; `None` when nothing was verified.
    pub fn wrong(&self) -> Option<u64> {
        self.rows.iter().filter_map(|row| row.wrong).reduce(|a, b| a + b)
    }
}

impl From<Status> for State {
    fn from(status: Status) -> State {
        match status {
            Status::Completed => State::Completed,
            Status::Partial => State::Partial,
            Status::Failed => State::Failed,
        }
    }
}

impl Process {
    /// This process.
    pub fn this() -> Process {
        let pid = std::process::id();
        Process {
            pid,
            start_ticks: start_ticks(pid).unwrap_or(0),
            boot_id: boot_id(),
            host: host(),
        }
    }

    /// Whether it still records the run in `folder`. Processes of another host (of a shared results folder) cannot be
    /// seen: they count as running until the folder is [left behind](is_left_behind).
    pub fn is_alive(&self, folder: &Path) -> bool {
        let seen = self.boot_id == boot_id() && start_ticks(self.pid) == Some(self.start_ticks);
        let elsewhere = !self.host.is_empty() && self.host != host();
        seen || elsewhere && !is_left_behind(folder)
    }
}

/// Whether nothing was written to a folder of a run, or its files, for an hour.
pub fn is_left_behind(folder: &Path) -> bool {
    let files = fs::read_dir(folder).into_iter().flatten().flatten();
    let written = files.filter_map(|file| file.metadata().ok()?.modified().ok());
    let own = fs::metadata(folder).and_then(|data| data.modified());
    let last = written.chain(own).max();
    // What was written in the future (another host's clock) was not written long ago.
    last.is_some_and(|last| last.elapsed().is_ok_and(|age| age > LEFT_BEHIND))
}

fn boot_id() -> String {
    of_kernel("random/boot_id")
}

fn host() -> String {
    of_kernel("hostname")
}

fn of_kernel(name: &str) -> String {
    let text = fs::read_to_string(Path::new("/proc/sys/kernel").join(name)).unwrap_or_default();
    text.trim().to_owned()
}

/// proc_pid_stat(5): field 22; the second field is in brackets and may hold anything. A zombie is
/// as good as gone.
fn start_ticks(pid: u32) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_whitespace();
    let state = fields.next()?;
    if matches!(state, "Z" | "X") {
        return None;
    }
    fields.nth(18)?.parse().ok()
}
