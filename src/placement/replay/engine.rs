//! The event loop: arrivals, completions, and after each the queue, first come first served. Time is in
//! microseconds and virtual; all figures follow from the jobs, the machine, the policy and the rules.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, HashSet, VecDeque};

use super::backfill::{self, Running};
use super::contention::{Loads, slowdown};
use super::outcome::{Outcome, column};
use crate::placement::checker::{Claim, Ledger};
use crate::placement::circuit::Standing;
use crate::placement::machine::Machine;
use crate::placement::policy::{Placement, Policy, Refusal};
use crate::placement::shape::{Closing, Shape};
use crate::placement::state::State;
use crate::placement::trace::Job;

/// How jobs are played.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rules {
    /// How long a job waits on its nodes while circuits are changed for it, microseconds.
    pub reconfiguration: u64,
    /// Jobs behind the head that may be tried; 0 is strictly first come, first served.
    pub backfill: u32,
    /// Share of a job's time that it spends on its links, from 0 to 1.
    pub communication: f64,
    /// Whether each placement is verified.
    pub check: bool,
}

/// Microseconds of an hour.
const HOUR: f64 = 3.6e9;

/// Plays jobs, which are in the order of arrival, to the end of the last.
pub fn replay(policy: &mut dyn Policy, machine: &Machine, jobs: &[Job], rules: Rules) -> Outcome {
    let mut engine = Engine::new(policy, machine, jobs, rules);
    let mut next = 0;
    loop {
        let arrival = jobs.get(next).map(|job| job.arrival);
        let end = engine.ends.peek().map(|Reverse((end, _))| *end);
        match (arrival, end) {
            (Some(arrival), end) if end.is_none_or(|end| arrival < end) => {
                engine.advance(arrival);
                engine.arrive(next);
                next += 1;
            }
            (_, Some(end)) => {
                engine.advance(end);
                engine.complete();
            }
            _ => break,
        }
        engine.sample();
    }
    engine.finish()
}

struct Engine<'a> {
    policy: &'a mut dyn Policy,
    jobs: &'a [Job],
    rules: Rules,
    closing: Closing,
    state: State<'a>,
    /// The machine with nothing on it.
    empty: State<'a>,
    standing: Option<Standing>,
    ledger: Option<Ledger>,
    loads: Option<Loads<'a>>,
    now: u64,
    queue: VecDeque<usize>,
    /// Why the head could not start in the present state.
    blocked: Option<Refusal>,
    shadow: Option<u64>,
    running: HashMap<usize, (u64, Placement)>,
    ends: BinaryHeap<Reverse<(u64, usize)>>,
    /// Whether the empty machine has room, by shape.
    ever: HashMap<Shape, bool>,
    busy: u64,
    nodes: f64,
    /// Node-microseconds in use: until now, and until the last start.
    used: f64,
    used_at_last_start: (f64, u64),
    samples: (f64, u64),
    slowdowns: f64,
    outcome: Outcome,
}

impl<'a> Engine<'a> {
    fn new(policy: &'a mut dyn Policy, machine: &'a Machine, jobs: &'a [Job], rules: Rules) -> Self {
        let (fixed, one_hop) = (policy.fixed(), policy.one_hop());
        let state = State::new(machine);
        Engine {
            closing: policy.closing(machine),
            standing: (!fixed).then(|| Standing::dark(machine.ports())),
            ledger: rules.check.then(|| ledger(machine, fixed)),
            loads: (fixed && !one_hop).then(|| Loads::new(machine)),
            nodes: f64::from(state.free().max(1)),
            policy,
            jobs,
            rules,
            empty: state.clone(),
            state,
            now: jobs.first().map_or(0, |job| job.arrival),
            queue: VecDeque::new(),
            blocked: None,
            shadow: None,
            running: HashMap::new(),
            ends: BinaryHeap::new(),
            ever: HashMap::new(),
            busy: 0,
            used: 0.0,
            used_at_last_start: (0.0, 0),
            samples: (0.0, 0),
            slowdowns: 0.0,
            outcome: Outcome {
                jobs: jobs.len() as u64,
                starts: vec![None; jobs.len()],
                ..Outcome::default()
            },
        }
    }

    /// Lets time pass.
    fn advance(&mut self, to: u64) {
        let span = (to - self.now) as f64;
        self.used += span * self.busy as f64;
        if let Some(refusal) = self.blocked {
            self.outcome.waiting[column(refusal)] += span / HOUR * self.queue.len() as f64;
        }
        self.now = to;
    }

    fn arrive(&mut self, job: usize) {
        let shape = self.jobs[job].shape;
        if !self.ever_fits(&shape) {
            return;
        }
        self.queue.push_back(job);
        match self.blocked {
            None => self.serve(),
            // Nothing was freed: only the newcomer can be new to the machine.
            Some(_) if self.queue.len() <= self.rules.backfill as usize + 1 => {
                self.overtake(self.queue.len() - 1);
            }
            Some(_) => {}
        }
    }

    fn ever_fits(&mut self, shape: &Shape) -> bool {
        if let Some(known) = self.ever.get(shape) {
            return *known;
        }
        let fits = self.policy.place(shape, &self.empty).is_ok();
        self.ever.insert(*shape, fits);
        fits
    }

    fn complete(&mut self) {
        let Some(Reverse((_, job))) = self.ends.pop() else {
            return;
        };
        let (_, placement) = self.running.remove(&job).expect("what ends is running");
        self.state.release(&placement.nodes);
        self.busy -= placement.nodes.len() as u64;
        if let Some(ledger) = &mut self.ledger {
            ledger.release(&placement.nodes, &placement.circuits);
        }
        if let Some(loads) = &mut self.loads {
            loads.remove(&self.jobs[job].shape.grid(self.closing), &placement.nodes);
        }
        let jct = self.now - self.jobs[job].arrival;
        self.outcome.jct.push(jct as f64 / HOUR);
        (self.blocked, self.shadow) = (None, None);
        self.serve();
    }

    /// Starts jobs from the head of the queue until one cannot start, then those that may overtake it.
    fn serve(&mut self) {
        while let Some(&job) = self.queue.front() {
            match self.policy.place(&self.jobs[job].shape, &self.state) {
                Ok(placement) => {
                    self.queue.pop_front();
                    self.start(job, placement);
                }
                Err(refusal) => {
                    self.blocked = Some(refusal);
                    self.overtake(1);
                    return;
                }
            }
        }
    }

    /// Tries the jobs from the `from`-th in the queue on.
    fn overtake(&mut self, from: usize) {
        let depth = self.rules.backfill as usize;
        if depth == 0 || self.queue.len() <= from {
            return;
        }
        let Some(shadow) = self.head_start() else { return };
        let mut refused = HashSet::new();
        let mut at = from;
        while at < self.queue.len().min(depth + 1) {
            let job = self.queue[at];
            let Job { shape, duration, .. } = self.jobs[job];
            let through = self.now + self.rules.reconfiguration + duration <= shadow;
            // Scattered jobs may take longer than they say, and so hold the head up.
            let honest = self.loads.is_none();
            if through && honest && !refused.contains(&shape) {
                match self.policy.place(&shape, &self.state) {
                    Ok(placement) => {
                        self.queue.remove(at);
                        self.start(job, placement);
                        continue;
                    }
                    Err(_) => _ = refused.insert(shape),
                }
            }
            at += 1;
        }
    }

    /// When the head can start at the latest.
    fn head_start(&mut self) -> Option<u64> {
        if self.shadow.is_none() {
            let head = self.jobs[*self.queue.front()?].shape;
            let mut running: Vec<(u64, usize, &[u32])> = self
                .running
                .iter()
                .map(|(job, (end, placement))| (*end, *job, placement.nodes.as_slice()))
                .collect();
            running.sort_unstable_by_key(|(end, job, _)| (*end, *job));
            let running: Vec<Running<'_>> = running
                .into_iter()
                .map(|(end, _, nodes)| Running { end, nodes })
                .collect();
            self.shadow = backfill::shadow(&head, self.policy, &self.state, &running);
        }
        self.shadow
    }

    fn start(&mut self, job: usize, placement: Placement) {
        let Job { shape, duration, .. } = self.jobs[job];
        self.verify(&shape, &placement);
        self.state.take(&placement.nodes);
        self.busy += placement.nodes.len() as u64;
        let changed = self
            .standing
            .as_mut()
            .map_or(0, |standing| standing.make(&placement.circuits));
        let load = self.loads.as_mut().map_or(1.0, |loads| {
            loads.add(&shape.grid(self.closing), &placement.nodes)
        });
        let factor = slowdown(self.rules.communication, load);
        let wiring = if changed > 0 {
            self.rules.reconfiguration
        } else {
            0
        };
        let end = self.now + wiring + (duration as f64 * factor) as u64;
        self.slowdowns += factor;
        self.outcome.changed += changed;
        self.outcome.starts[job] = Some(self.now);
        self.used_at_last_start = (self.used, self.now);
        self.ends.push(Reverse((end, job)));
        self.running.insert(job, (end, placement));
    }

    fn verify(&mut self, shape: &Shape, placement: &Placement) {
        let Some(ledger) = &mut self.ledger else { return };
        let claim = Claim {
            shape: *shape,
            nodes: &placement.nodes,
            circuits: &placement.circuits,
            one_hop: self.policy.one_hop(),
        };
        self.outcome.verified += 1;
        if let Err(fault) = ledger.admit(&claim) {
            self.outcome.fault.get_or_insert(fault);
        }
    }

    fn sample(&mut self) {
        self.samples.0 += self.busy as f64 / self.nodes;
        self.samples.1 += 1;
    }

    fn finish(mut self) -> Outcome {
        let begun = self.jobs.first().map_or(0, |job| job.arrival);
        let (used, last) = self.used_at_last_start;
        let span = last.saturating_sub(begun) as f64 * self.nodes;
        self.outcome.utilisation_time = if span > 0.0 { used / span } else { 0.0 };
        self.outcome.utilisation_event = self.samples.0 / self.samples.1.max(1) as f64;
        self.outcome.slowdown = self.slowdowns / self.outcome.jct.len().max(1) as f64;
        self.outcome.jct.sort_unstable_by(f64::total_cmp);
        self.outcome
    }
}

fn ledger(machine: &Machine, fixed: bool) -> Ledger {
    let map = machine.ports();
    let all = (0..map.switches()).flat_map(|switch| (0..map.used()).map(move |port| (switch, port)));
    let dark = all.filter(|(switch, port)| !machine.alive(*switch, *port));
    let ledger = Ledger::new(machine.side, machine.cubes(), machine.failed(), dark);
    if fixed {
        ledger.standing(machine.grid)
    } else {
        ledger
    }
}
