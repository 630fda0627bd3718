//! A comparison: the same jobs under each policy, for many seeds and loads, on as many threads as are given.
//! The answer does not depend on their number.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde::Serialize;

use super::machine::{Failures, Machine, MachineError};
use super::policy::Kind;
use super::policy::public::{Census, Public, PublicRfold};
use super::published::{self, Published};
use super::replay::{Outcome, Rules, replay};
use super::shape::Dims;
use super::trace::generate::{Arrivals, Mix, jobs};
use super::trace::{Job, Rows};

/// A policy of the comparison.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry {
    /// Policy.
    pub policy: Kind,
    /// Side of its cubes.
    pub cube: u32,
    /// Jobs that may be tried behind the head of the queue.
    pub backfill: u32,
}

/// Where jobs come from.
#[derive(Debug, Clone, PartialEq)]
pub enum Source {
    /// The paper's mix, a trace for each seed.
    Generated(Arrivals),
    /// The first so many jobs of one trace; shapes it does not have are drawn for each seed.
    Trace(Rows, usize),
}

/// What is compared.
#[derive(Debug, Clone, PartialEq)]
pub struct Study {
    /// Nodes along each axis.
    pub torus: Dims,
    /// First seed and how many.
    pub seeds: (u64, u32),
    /// Jobs.
    pub source: Source,
    /// Factors by which arrivals are pressed together, one comparison for each.
    pub loads: Vec<f64>,
    /// Policies.
    pub entries: Vec<Entry>,
    /// How jobs are played; backfilling is each entry's own.
    pub rules: Rules,
    /// What has failed.
    pub failures: Failures,
}

/// Percentiles, hours.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Percentiles {
    /// Median.
    pub p50: Option<f64>,
    /// 90th percentile.
    pub p90: Option<f64>,
    /// 99th percentile.
    pub p99: Option<f64>,
}

/// Hours that a job waited in the mean, by why the head of the queue could not start.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Waiting {
    /// Not enough nodes.
    pub resource: f64,
    /// Not in the shape.
    pub shape: f64,
    /// Not so that circuits can join them.
    pub wiring: f64,
}

/// One policy under one load: means over seeds of each seed's figure.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Row {
    /// Policy.
    pub policy: Kind,
    /// Side of its cubes; the whole torus' where circuits stand still and its axes are equal.
    pub cube: Option<u32>,
    /// Jobs that may be tried behind the head.
    pub backfill: u32,
    /// Factor by which arrivals are pressed together.
    pub load: f64,
    /// Jobs of all seeds.
    pub jobs: u64,
    /// Share of them that completed.
    pub completion_rate: f64,
    /// JCT of those that completed, and of no others.
    pub jct_h: Percentiles,
    /// Share of nodes in use over time.
    pub utilisation_time: f64,
    /// Share of nodes in use over events.
    pub utilisation_event: f64,
    /// Mean waiting of a job.
    pub waiting_h: Waiting,
    /// Circuits made that did not stand already, all seeds.
    pub cross_connects_changed: u64,
    /// Mean factor by which jobs ran longer for sharing links.
    pub slowdown: f64,
    /// Placements that the checker verified.
    pub verified: u64,
    /// Seeds.
    pub seeds: u32,
    /// Whether a switch with enough ports is known; a comparison on others is a what-if.
    pub buildable: bool,
    /// What the paper has.
    pub published: Option<&'static Published>,
}

/// What the public simulator's rules would have reached on cubes of 4, had every placement of theirs wires.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Unwired {
    /// The policy whose rule it is.
    pub policy: Kind,
    /// Factor by which arrivals are pressed together.
    pub load: f64,
    /// Share of jobs that completed.
    pub completion_rate: f64,
    /// JCT of those.
    pub jct_h: Percentiles,
    /// Share of nodes in use over time.
    pub utilisation_time: f64,
    /// Share of nodes in use over events.
    pub utilisation_event: f64,
}

/// What came of a study.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Report {
    /// By load, then by policy.
    pub rows: Vec<Row>,
    /// What the public simulator's rule admits on cubes of 4, over all loads and seeds; `None` where the torus
    /// has no such cubes.
    pub public_rule: Option<Census>,
    /// How far its rules get if nobody asks for wires.
    pub unwired: Vec<Unwired>,
    /// Jobs of a trace that are larger than the machine.
    pub left_out: usize,
    /// The first placement that was found wrong: a bug.
    pub fault: Option<String>,
}

/// What a study would replay.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Outlook {
    /// Replays, those by the public simulator's rules too.
    pub replays: usize,
    /// Jobs of all seeds, under one load and policy.
    pub jobs: u64,
    /// Jobs of a trace that are larger than the machine.
    pub left_out: usize,
    /// Mean nodes of a job.
    pub mean_nodes: f64,
    /// Mean hours of a job.
    pub mean_hours: f64,
    /// Share of the jobs with one, two and three dimensions.
    pub dimensions: [f64; 3],
    /// By load: factor, and node-hours that are asked for over those that there are until the last arrival, mean
    /// over seeds; more than 1 cannot be served in time.
    pub offered: Vec<(f64, f64)>,
    /// By policy: what its cubes are wired to.
    pub wiring: Vec<Wiring>,
}

/// The switches of a machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Wiring {
    /// Policy.
    pub policy: Kind,
    /// Side of its cubes.
    pub cube: u32,
    /// Jobs that may be tried behind the head.
    pub backfill: u32,
    /// Optical switches.
    pub switches: u32,
    /// Ports of each in use.
    pub ports: u32,
    /// Whether a switch with enough ports is known.
    pub buildable: bool,
}

/// What would be replayed, without replaying it.
pub fn outlook(study: &Study) -> Result<Outlook, MachineError> {
    let wiring = study.entries.iter().map(|entry| {
        let ports = Machine::new(study.torus, entry.cube, &study.failures)?.ports();
        Ok(Wiring {
            policy: entry.policy,
            cube: entry.cube,
            backfill: entry.backfill,
            switches: ports.switches(),
            ports: ports.used(),
            buildable: ports.buildable(),
        })
    });
    let wiring: Vec<Wiring> = wiring.collect::<Result<_, MachineError>>()?;
    let public = Machine::new(study.torus, PUBLIC_SIDE, &study.failures).is_ok();
    let traces = Traces::new(study);
    let all = || traces.by_seed.iter().flatten();
    let jobs = all().count();
    let mean = |of: &dyn Fn(&Job) -> f64| all().map(of).sum::<f64>() / jobs.max(1) as f64;
    let order = |n: usize| mean(&|job| f64::from(u8::from(job.shape.order().max(1) == n)));
    let offered = |load: f64| {
        let seeds = (0..traces.by_seed.len()).map(|seed| traces.offered(seed, load, study.torus));
        (load, seeds.sum::<f64>() / traces.by_seed.len().max(1) as f64)
    };
    Ok(Outlook {
        replays: columns(study, public) * study.loads.len() * study.seeds.1 as usize,
        jobs: jobs as u64,
        left_out: traces.left_out,
        mean_nodes: mean(&|job| job.shape.size() as f64),
        mean_hours: mean(&|job| job.duration as f64 / 3.6e9),
        dimensions: [order(1), order(2), order(3)],
        offered: study.loads.iter().map(|load| offered(*load)).collect(),
        wiring,
    })
}

/// A piece of work.
enum Piece {
    Replay(Outcome),
    Census(Census, Outcome),
}

/// The public simulator's policies, behind the study's own.
const PUBLIC: [Kind; 2] = [Kind::Reconfiguration, Kind::Rfold];

/// Side of the cubes on which the public rule is counted.
const PUBLIC_SIDE: u32 = 4;

/// Replays of a seed under a load: the study's own, and those by the public rules where the machine has such cubes.
fn columns(study: &Study, public: bool) -> usize {
    study.entries.len() + if public { PUBLIC.len() } else { 0 }
}

/// Plays it all.
pub fn run(study: &Study, threads: usize) -> Result<Report, MachineError> {
    let machine = |side| Machine::new(study.torus, side, &study.failures);
    let machines: Vec<Machine> = study
        .entries
        .iter()
        .map(|e| machine(e.cube))
        .collect::<Result<_, _>>()?;
    let public = machine(PUBLIC_SIDE).ok();
    let traces = Traces::new(study);
    let columns = columns(study, public.is_some());
    let seeds = study.seeds.1 as usize;
    let play = |work: usize| {
        let (seed, rest) = (work % seeds, work / seeds);
        let (load, column) = (rest / columns, rest % columns);
        let jobs = traces.pressed(seed, study.loads[load]);
        match (study.entries.get(column), &public) {
            (Some(entry), _) => {
                let mut policy = entry.policy.build(&machines[column]);
                let rules = Rules {
                    backfill: entry.backfill,
                    ..study.rules
                };
                Piece::Replay(replay(policy.as_mut(), &machines[column], &jobs, rules))
            }
            (None, Some(machine)) => {
                unwired(PUBLIC[column - study.entries.len()], machine, &jobs, study.rules)
            }
            (None, None) => unreachable!("there are columns without an entry only with a public machine"),
        }
    };
    let pieces = in_parallel(seeds * columns * study.loads.len(), threads, play);
    Ok(gather(study, &pieces, columns, public.is_some(), traces.left_out))
}

/// A rule of the public simulator over the jobs of a seed.
fn unwired(rule: Kind, machine: &Machine, jobs: &[Job], rules: Rules) -> Piece {
    let rules = Rules {
        backfill: 0,
        check: false,
        ..rules
    };
    if rule == Kind::Rfold {
        let outcome = replay(&mut PublicRfold::default(), machine, jobs, rules);
        return Piece::Census(Census::default(), outcome);
    }
    let mut policy = Public::default();
    let outcome = replay(&mut policy, machine, jobs, rules);
    // Each shape was also tried once on the empty machine, which is no admission.
    let mut shapes: Vec<_> = jobs.iter().map(|job| job.shape).collect();
    shapes.sort_unstable();
    shapes.dedup();
    let mut tried = Public::default();
    let empty = super::State::new(machine);
    for shape in &shapes {
        let _ = super::Policy::place(&mut tried, shape, &empty);
    }
    Piece::Census(policy.census.without(&tried.census), outcome)
}

fn in_parallel<T: Send>(count: usize, threads: usize, play: impl Fn(usize) -> T + Sync) -> Vec<T> {
    let next = AtomicUsize::new(0);
    let done = Mutex::new(Vec::with_capacity(count));
    std::thread::scope(|scope| {
        for _ in 0..threads.clamp(1, count.max(1)) {
            scope.spawn(|| {
                loop {
                    let work = next.fetch_add(1, Ordering::Relaxed);
                    if work >= count {
                        break;
                    }
                    let piece = play(work);
                    done.lock().unwrap_or_else(|e| e.into_inner()).push((work, piece));
                }
            });
        }
    });
    let mut done = done.into_inner().unwrap_or_else(|e| e.into_inner());
    done.sort_by_key(|(work, _)| *work);
    done.into_iter().map(|(_, piece)| piece).collect()
}

/// The jobs of all seeds.
struct Traces {
    by_seed: Vec<Vec<Job>>,
    left_out: usize,
}

impl Traces {
    fn new(study: &Study) -> Self {
        let mix = Mix::new(study.torus.iter().product());
        let (first, count) = study.seeds;
        let mut left_out = 0;
        let seeds = (0..u64::from(count)).map(|n| first.wrapping_add(n));
        let of = |seed| match &study.source {
            Source::Generated(arrivals) => jobs(&mix, *arrivals, seed),
            Source::Trace(rows, most) => {
                let (jobs, out) = rows.jobs(&mix, *most, seed);
                left_out = out;
                jobs
            }
        };
        let by_seed = seeds.map(of).collect();
        Traces { by_seed, left_out }
    }

    /// Node-time that the jobs of a seed ask for, over what there is from the first arrival to the last.
    fn offered(&self, seed: usize, load: f64, torus: Dims) -> f64 {
        let jobs = &self.by_seed[seed];
        let asked: f64 = jobs
            .iter()
            .map(|job| job.shape.size() as f64 * job.duration as f64)
            .sum();
        let span = jobs.last().map_or(0, |last| last.arrival - jobs[0].arrival);
        let there = torus.iter().map(|d| f64::from(*d)).product::<f64>() * span as f64 / load;
        if there > 0.0 { asked / there } else { 0.0 }
    }

    fn pressed(&self, seed: usize, by: f64) -> Vec<Job> {
        let press = |job: &Job| Job {
            arrival: (job.arrival as f64 / by) as u64,
            ..*job
        };
        self.by_seed[seed].iter().map(press).collect()
    }
}

fn gather(study: &Study, pieces: &[Piece], columns: usize, public: bool, left_out: usize) -> Report {
    let seeds = study.seeds.1 as usize;
    let (mut rows, mut census, mut fault) = (Vec::new(), Census::default(), None);
    let mut unwired = Vec::new();
    for (group, pieces) in pieces.chunks(seeds).enumerate() {
        let mut outcomes = Vec::new();
        for piece in pieces {
            match piece {
                Piece::Replay(outcome) => outcomes.push(outcome),
                Piece::Census(counts, outcome) => {
                    census.add(counts);
                    outcomes.push(outcome);
                }
            }
        }
        let (load, column) = (study.loads[group / columns], group % columns);
        if let Some(rule) = column.checked_sub(study.entries.len()) {
            unwired.push(Unwired::of(PUBLIC[rule], load, &outcomes));
        } else if let Some(entry) = study.entries.get(column) {
            let wrong = outcomes.iter().find_map(|outcome| outcome.fault.as_ref());
            fault =
                fault.or_else(|| Some(format!("{} on cubes of {}: {}", entry.policy, entry.cube, wrong?)));
            rows.push(row(study, entry, load, &outcomes));
        }
    }
    Report {
        rows,
        public_rule: public.then_some(census),
        unwired,
        left_out,
        fault,
    }
}

/// The mean over seeds.
fn mean(outcomes: &[&Outcome], of: impl Fn(&Outcome) -> f64) -> f64 {
    outcomes.iter().map(|outcome| of(outcome)).sum::<f64>() / outcomes.len() as f64
}

impl Percentiles {
    /// The mean over the seeds in which some job completed.
    fn of(outcomes: &[&Outcome]) -> Self {
        let percentile = |share| {
            let all: Vec<f64> = outcomes.iter().filter_map(|o| o.jct_at(share)).collect();
            (!all.is_empty()).then(|| all.iter().sum::<f64>() / all.len() as f64)
        };
        Percentiles {
            p50: percentile(0.5),
            p90: percentile(0.9),
            p99: percentile(0.99),
        }
    }
}

impl Unwired {
    fn of(policy: Kind, load: f64, outcomes: &[&Outcome]) -> Self {
        Unwired {
            policy,
            load,
            completion_rate: mean(outcomes, Outcome::completion_rate),
            jct_h: Percentiles::of(outcomes),
            utilisation_time: mean(outcomes, |o| o.utilisation_time),
            utilisation_event: mean(outcomes, |o| o.utilisation_event),
        }
    }
}

fn row(study: &Study, entry: &Entry, load: f64, outcomes: &[&Outcome]) -> Row {
    let mean = |of: &dyn Fn(&Outcome) -> f64| mean(outcomes, of);
    let waiting = |column: usize| mean(&|o| o.waiting[column] / o.jobs.max(1) as f64);
    let cube = match entry.policy.fixed() {
        false => Some(entry.cube),
        true => study
            .torus
            .iter()
            .all(|d| *d == study.torus[0])
            .then_some(study.torus[0]),
    };
    let published = cube.filter(|_| entry.backfill == 0);
    let cubes = study.torus.map(|d| d / entry.cube).iter().product();
    Row {
        policy: entry.policy,
        cube,
        backfill: entry.backfill,
        load,
        jobs: outcomes.iter().map(|o| o.jobs).sum(),
        completion_rate: mean(&Outcome::completion_rate),
        jct_h: Percentiles::of(outcomes),
        utilisation_time: mean(&|o| o.utilisation_time),
        utilisation_event: mean(&|o| o.utilisation_event),
        waiting_h: Waiting {
            resource: waiting(0),
            shape: waiting(1),
            wiring: waiting(2),
        },
        cross_connects_changed: outcomes.iter().map(|o| o.changed).sum(),
        slowdown: mean(&|o| o.slowdown),
        verified: outcomes.iter().map(|o| o.verified).sum(),
        seeds: study.seeds.1,
        buildable: super::circuit::PortMap {
            cubes,
            side: entry.cube,
        }
        .buildable(),
        published: published.and_then(|cube| published::of(entry.policy, cube)),
    }
}
