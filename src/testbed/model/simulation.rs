//! All ranks in virtual time: each rank's feeder says what is ready, its machine turns that into
//! messages and timers, the network says when they are over. The network knows NPUs; machines know the
//! ranks of their job.

use std::sync::Arc;

use super::insight::explain::Explanation;
use super::insight::watch::Watch;
use super::insight::{Seen, WatchOptions};
use super::memory::{Memory, Transaction};
use super::outcome::{Finished, JobOutcome, Outcome, RooflineUse, Stuck, union};
use super::parts::{Backend, Job, Parts, Wiring};
use super::symmetry;
use crate::network::analytical::world::NOBODY;
use crate::network::analytical::{Machine, Network};
use crate::network::message::Rank;
use crate::system::action::{Action, Input, UNTRACKED};
use crate::system::npu::{Buffers, Direction, HandleError, Npu};
use crate::system::task::{Peer, Request, Task};
use crate::workload::feeder::{Feeder, Slots};
use crate::workload::graph::{Class, CollectiveWork, Graph, GraphNode, Lane, PeerWork, Work};

const _: () = assert!(
    NOBODY == UNTRACKED,
    "a number that nobody asks for is passed on as it is"
);

/// Timers of a rank that begins late, and of remote memory; the machine's are below.
const BEGIN: u64 = 13 << 60;
const MEMORY_DONE: u64 = 14 << 60;
const MEMORY_FREE: u64 = 15 << 60;

/// So many stuck nodes of a rank are named.
const STUCK_PER_RANK: usize = 4;

/// Everything that is simulated.
#[derive(Debug)]
pub struct Simulation {
    network: Network,
    ranks: Ranks,
    started: bool,
    /// While rank 0 stands for all: what all ranks are made of.
    all: Option<Box<(Wiring, Parts)>>,
}

/// What an NPU executes: a rank of a job.
#[derive(Debug)]
struct State {
    job: u32,
    /// The NPU.
    on: Rank,
    /// When it begins, ns.
    begins: u64,
    npu: Npu,
    feeder: Feeder<Slots>,
    /// When each node began and ended; never: [`u64::MAX`].
    times: Vec<(u64, u64)>,
    /// Nanoseconds that the GPU computes.
    gpu: u64,
    finished: bool,
}

/// An NPU that executes something, and the place of its state.
#[derive(Debug, Clone, Copy)]
struct Seat {
    npu: Rank,
    at: usize,
}

#[derive(Debug)]
struct Ranks {
    /// Of NPUs that execute something, in their order.
    states: Vec<State>,
    /// By NPU, 1 more than the place of its state, 0: it is idle; empty: each has the state of its number. (Zeros cost
    /// no memory until they are written, and most of a large network may be idle.)
    seats: Vec<u32>,
    jobs: Vec<Arc<Job>>,
    /// The NPUs of the ranks of each state's job; empty: every rank is on the NPU of its number.
    placements: Vec<Arc<[Rank]>>,
    memory: Memory,
    outcome: Outcome,
    error: Option<RankError>,
    begin: Vec<u32>,
    skipped: Vec<u32>,
    watch: Option<Box<Watch>>,
    /// Shared by all machines, each while it is asked.
    buffers: Box<Buffers>,
}

/// A rank whose machine refuses a node.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{who}, node {node} `{name}`: {error}")]
pub struct RankError {
    /// Which rank, in words.
    pub who: String,
    /// The node.
    pub node: u64,
    /// Its name.
    pub name: String,
    /// Why.
    pub error: HandleError,
}

impl Simulation {
    /// All ranks before they begin.
    pub fn new(wiring: Wiring, parts: Parts) -> Self {
        if !symmetry::applies(&wiring, &parts) {
            return Self::of_npus(wiring.network(), &parts, wiring.topology.npus());
        }
        let network = Network::symmetric(wiring.topology.clone(), wiring.backend == Backend::Aware);
        Simulation {
            all: Some(Box::new((wiring, parts.clone()))),
            ..Self::of_npus(network, &parts, 1)
        }
    }

    /// The first `count` NPUs.
    fn of_npus(network: Network, parts: &Parts, count: u32) -> Self {
        let (states, seats, placements) = match &parts.jobs[..] {
            [job] if job.npus.is_none() => {
                let ranks = (0..).zip(&job.members[..count as usize]);
                let states = ranks.map(|(rank, _)| State::new(parts, 0, rank));
                (states.collect(), Vec::new(), Vec::new())
            }
            _ => place(parts, count),
        };
        Simulation {
            network,
            ranks: Ranks {
                states,
                seats,
                jobs: parts.jobs.clone(),
                placements,
                memory: Memory::new(parts.memory, count),
                outcome: Outcome::default(),
                error: None,
                begin: Vec::new(),
                skipped: Vec::new(),
                watch: None,
                buffers: Box::default(),
            },
            started: false,
            all: None,
        }
    }

    /// From now on every rank stands for itself; from the beginning.
    fn unfold(&mut self) {
        if let Some(all) = self.all.take() {
            let (wiring, parts) = *all;
            *self = Self::of_npus(wiring.network(), &parts, wiring.topology.npus());
        }
    }

    /// Ranks for each one that is simulated.
    fn ranks_per_state(&self) -> u32 {
        self.all.as_ref().map_or(1, |all| all.0.topology.npus())
    }

    /// Follows what happens, from before the first event on. Of a job that is not placed only.
    pub fn watch(&mut self, options: WatchOptions) {
        debug_assert!(
            self.ranks.seats.is_empty(),
            "who watches knows NPUs by their ranks"
        );
        self.unfold();
        let rank = |state: &State| (state.graph(), state.begins);
        let ranks: Vec<(Arc<Graph>, u64)> = self.ranks.states.iter().map(rank).collect();
        for state in &mut self.ranks.states {
            state.npu.watch_phases();
        }
        let setup = Arc::clone(&self.ranks.jobs[0].members[0].setup);
        self.ranks.watch = Some(Box::new(Watch::new(options, setup, &ranks, &self.network)));
    }

    /// What was seen since the last time.
    pub fn seen(&mut self) -> Vec<Seen> {
        self.ranks
            .watch
            .as_mut()
            .map(|watch| watch.take())
            .unwrap_or_default()
    }

    /// What each rank executes.
    pub fn graph(&self, rank: Rank) -> &Graph {
        let at = if self.all.is_some() {
            0
        } else {
            self.ranks.seat(rank).at
        };
        self.ranks.states[at].feeder.graph()
    }

    /// What the ranks that are through spent their time on, if that was watched.
    pub fn explain(&self) -> Option<Explanation> {
        let watch = self.ranks.watch.as_ref()?;
        let graphs: Vec<Arc<Graph>> = self.ranks.states.iter().map(State::graph).collect();
        Some(Explanation::new(
            watch,
            &graphs,
            &self.ranks.outcome.finished,
            &self.network,
        ))
    }

    /// Nanoseconds since the start.
    pub fn now(&self) -> u64 {
        self.network.now()
    }

    /// Events so far.
    pub fn events(&self) -> u64 {
        self.network.events() * u64::from(self.ranks_per_state())
    }

    /// Ranks that are through.
    pub fn finished(&self) -> usize {
        self.ranks.outcome.finished.len() * self.ranks_per_state() as usize
    }

    /// Lets up to so many events happen; `false` when nothing is left to happen.
    ///
    /// # Errors
    /// If a rank's machine refuses a node.
    pub fn run(&mut self, events: u64) -> Result<bool, RankError> {
        if !self.started {
            self.started = true;
            let npus = self.ranks.states.len().max(self.ranks.seats.len());
            self.network.start(&mut self.ranks, npus as u32);
        }
        let more = self.ranks.error.is_none() && self.network.run(&mut self.ranks, events);
        if self.all.is_some() && !more && !self.one_was_enough() {
            self.unfold();
            return Ok(true);
        }
        match self.ranks.error.take() {
            Some(error) => Err(error),
            None if self.now() == u64::MAX => self.ranks.end_of_time().map_or(Ok(more), Err),
            None => Ok(more),
        }
    }

    /// Whether the rank that stands for all is through, and did stand for all.
    fn one_was_enough(&self) -> bool {
        self.network.is_symmetric() && self.ranks.error.is_none() && self.ranks.states[0].finished
    }

    /// How it ended.
    pub fn outcome(mut self) -> Outcome {
        let per_state = self.ranks_per_state();
        let events = self.events();
        let Ranks {
            states,
            jobs,
            placements,
            outcome,
            ..
        } = &mut self.ranks;
        outcome.messages = self.network.messages_sent() * u64::from(per_state);
        outcome.events = events;
        let stalled = states.iter().filter(|state| state.feeder.stalls > 0).count() as u64;
        outcome.stalled_ranks = stalled * u64::from(per_state);
        let ranks: u64 = jobs.iter().map(|job| u64::from(job.ranks())).sum();
        outcome.simulated_ranks = ranks / u64::from(per_state);
        outcome.repeat(per_state);
        let stuck = states
            .iter()
            .flat_map(|state| state.stuck(&jobs[state.job as usize]));
        outcome.stuck = stuck.collect();
        if !placements.is_empty() {
            let jobs = (0..).zip(jobs.iter());
            let of_job = |(at, job): (u32, &Arc<Job>)| JobOutcome::new(at, job, &outcome.finished);
            outcome.jobs = jobs.map(of_job).collect();
        }
        std::mem::take(outcome)
    }
}

/// What NPUs execute where jobs are placed, where each NPU's state is, and the NPUs of its job's ranks.
fn place(parts: &Parts, count: u32) -> (Vec<State>, Vec<u32>, Vec<Arc<[Rank]>>) {
    let mut placed: Vec<(Rank, u32, Rank)> = Vec::new();
    for (number, job) in (0..).zip(&parts.jobs) {
        placed.extend((0..job.ranks()).map(|rank| (job.npu(rank), number, rank)));
    }
    placed.sort_unstable();
    let mut seats = vec![0; count as usize];
    for (place, &(npu, ..)) in (1..).zip(&placed) {
        seats[npu as usize] = place;
    }
    let nobody: Arc<[Rank]> = Arc::from([]);
    let placement = |job: u32| Arc::clone(parts.jobs[job as usize].npus.as_ref().unwrap_or(&nobody));
    (
        placed
            .iter()
            .map(|&(_, job, rank)| State::new(parts, job, rank))
            .collect(),
        seats,
        placed.iter().map(|&(_, job, _)| placement(job)).collect(),
    )
}

impl State {
    /// A rank of a job before it begins.
    fn new(parts: &Parts, job: u32, rank: Rank) -> Self {
        let of_job = &parts.jobs[job as usize];
        let member = &of_job.members[rank as usize];
        let mut npu = Npu::with_setup(rank, Arc::clone(&member.setup));
        for (id, ranks) in of_job.groups_of(&member.graph) {
            // Of groups in which the rank is not, its graph cannot speak without an error.
            let _ = npu.add_group(id, &ranks);
        }
        State {
            job,
            on: of_job.npu(rank),
            begins: of_job.start.saturating_add(member.begins),
            npu,
            times: vec![(u64::MAX, u64::MAX); member.graph.nodes().len()],
            feeder: Feeder::new(Arc::clone(&member.graph), Slots::default()),
            gpu: 0,
            finished: false,
        }
    }

    fn graph(&self) -> Arc<Graph> {
        self.feeder.shared_graph()
    }

    fn node(&self, place: u32) -> &GraphNode {
        &self.feeder.graph().nodes()[place as usize]
    }

    fn place(&self, id: u64) -> Option<u32> {
        self.feeder.graph().place(id)
    }

    /// Nodes that have begun and never end, with what they wait for.
    fn stuck(&self, job: &Job) -> Vec<Stuck> {
        if self.finished {
            return Vec::new();
        }
        let awaited = self.npu.waiting();
        let begun = self.times.iter().zip(self.feeder.graph().nodes());
        let begun = begun.filter(|((begun, ended), _)| *begun != u64::MAX && *ended == u64::MAX);
        let stuck = begun.map(|(_, node)| {
            let of_node = awaited.iter().filter(|awaited| awaited.node == node.id);
            let first = of_node.clone().next().map(|awaited| {
                let tag = awaited.key.tag;
                match awaited.direction {
                    Direction::Send => {
                        format!("rank {} to take {} bytes, tag {tag}", awaited.peer, awaited.bytes)
                    }
                    Direction::Receive => {
                        format!("{} bytes from rank {}, tag {tag}", awaited.bytes, awaited.peer)
                    }
                }
            });
            let more = of_node.count().saturating_sub(1);
            let more = if more > 0 {
                format!(" (and {more} more messages)")
            } else {
                String::new()
            };
            Stuck {
                npu: self.on,
                who: who(job, self.npu.rank()),
                node: node.id,
                name: node.name.to_string(),
                waits_for: first.unwrap_or_else(|| "the other members of its group".into()) + &more,
            }
        });
        stuck.take(STUCK_PER_RANK).collect()
    }
}

/// A rank in words.
fn who(job: &Job, rank: Rank) -> String {
    match &*job.name {
        "" => format!("rank {rank}"),
        name => format!(
            "job `{}`, rank {rank} on NPU {}",
            name.escape_debug(),
            job.npu(rank)
        ),
    }
}

impl Machine for Ranks {
    fn start(&mut self, npu: Rank, network: &mut Network) {
        if self.seats.get(npu as usize) == Some(&0) {
            return;
        }
        let seat = self.seat(npu);
        match self.states[seat.at].begins {
            0 => self.begin(seat, network),
            begins => network.timer(npu, begins, BEGIN),
        }
    }

    fn sent(&mut self, npu: Rank, token: u64, network: &mut Network) {
        self.tell(self.seat(npu), network, |npu, now| npu.sent(token, now));
    }

    fn received(&mut self, npu: Rank, token: u64, network: &mut Network) {
        let seat = self.seat(npu);
        if self.watch.is_some() {
            self.watch_received(seat, token, network.now());
        }
        self.tell(seat, network, |npu, now| npu.received(token, now));
    }

    fn timer(&mut self, npu: Rank, token: u64, network: &mut Network) {
        match token {
            BEGIN => self.begin(self.seat(npu), network),
            MEMORY_FREE.. => {
                let next = self.memory.next((token - MEMORY_FREE) as usize);
                begin_transaction(network, next);
            }
            MEMORY_DONE.. => {
                let seat = self.seat(npu);
                let node = self.states[seat.at].node((token - MEMORY_DONE) as u32).id;
                self.tell(seat, network, |npu, now| npu.handle(Input::MemoryDone(node), now));
            }
            _ => self.tell(self.seat(npu), network, |npu, now| npu.timer_fired(token, now)),
        }
    }
}

fn begin_transaction(network: &mut Network, transaction: Option<Transaction>) {
    if let Some(begun) = transaction {
        network.timer(begun.rank, begun.time, MEMORY_DONE + begun.token);
        if let Some(place) = begun.place {
            network.timer(begun.rank, begun.time, MEMORY_FREE + place as u64);
        }
    }
}

impl Ranks {
    /// The state of an NPU that executes something.
    #[inline]
    fn seat(&self, npu: Rank) -> Seat {
        let at = match self.seats.get(npu as usize) {
            Some(place) => *place as usize - 1,
            None => npu as usize,
        };
        Seat { npu, at }
    }

    fn begin(&mut self, seat: Seat, network: &mut Network) {
        self.issue(seat, network);
        self.drain(seat, network);
    }

    /// The NPU of a rank of the job of a seat.
    #[inline]
    fn npu_of(&self, seat: Seat, rank: Rank) -> Rank {
        if self.placements.is_empty() {
            return rank;
        }
        self.placements[seat.at][rank as usize]
    }

    /// The first node that would end when time has come to its end.
    fn end_of_time(&self) -> Option<RankError> {
        self.states.iter().find_map(|state| {
            let runs = |&(begun, ended): &(u64, u64)| begun != u64::MAX && ended == u64::MAX;
            let node = state.node(state.times.iter().position(runs)? as u32);
            Some(RankError {
                who: who(&self.jobs[state.job as usize], state.npu.rank()),
                node: node.id,
                name: node.name.escape_debug().to_string(),
                error: HandleError::EndOfTime,
            })
        })
    }

    fn watch_received(&mut self, seat: Seat, token: u64, now: u64) {
        if let Some(watch) = self.watch.as_mut().filter(|watch| watch.wants_messages()) {
            let state = &self.states[seat.at];
            watch.received(seat.npu, state.npu.awaited(token), state.feeder.graph(), now);
        }
    }

    /// Shows the next action to whoever watches.
    fn watch_action(&mut self, seat: Seat, network: &Network) {
        let State { npu, feeder, .. } = &mut self.states[seat.at];
        if let (Some(watch), Some(action)) = (&mut self.watch, npu.peek_action().cloned()) {
            watch.action(seat.npu, npu, &action, feeder.graph(), network);
        }
    }

    /// Tells a rank's machine something and carries out what it wants then.
    fn tell(
        &mut self,
        seat: Seat,
        network: &mut Network,
        told: impl FnOnce(&mut Npu, u64) -> Result<(), HandleError>,
    ) {
        let npu = &mut self.states[seat.at].npu;
        npu.exchange(&mut self.buffers);
        let told = told(npu, network.now());
        debug_assert_eq!(told, Ok(()), "the machine knows what it has asked for");
        self.drain(seat, network);
        self.states[seat.at].npu.exchange(&mut self.buffers);
    }

    /// Carries out what a rank's machine wants.
    fn drain(&mut self, seat: Seat, network: &mut Network) {
        loop {
            if self.watch.is_some() {
                self.watch_action(seat, network);
            }
            let Some(action) = self.states[seat.at].npu.peek_action() else {
                return;
            };
            // Field by field: most messages' time goes into moving their description about.
            match *action {
                Action::Send(ref t) => {
                    let (to, key, bytes, message) = (t.peer, t.key, t.bytes, t.message);
                    network.send(seat.npu, self.npu_of(seat, to), key, bytes, message);
                }
                Action::Receive(ref t, _) => {
                    let (from, key, bytes, message) = (t.peer, t.key, t.bytes, t.message);
                    network.receive(seat.npu, self.npu_of(seat, from), key, bytes, message);
                }
                Action::Timer(timer, delay) => network.timer(seat.npu, delay, timer),
                Action::Done(node) => {
                    self.states[seat.at].npu.pass_action();
                    self.done(seat, node, network);
                    continue;
                }
                Action::Memory { node, bytes } => {
                    let place = self.states[seat.at].place(node).unwrap_or(0);
                    let begun = self.memory.ask(seat.npu, u64::from(place), bytes);
                    begin_transaction(network, begun);
                }
            }
            self.states[seat.at].npu.pass_action();
        }
    }

    fn done(&mut self, seat: Seat, node: u64, network: &mut Network) {
        let state = &mut self.states[seat.at];
        if let Some(place) = state.place(node) {
            state.times[place as usize].1 = network.now();
            if let Some(watch) = &mut self.watch {
                watch.ends(
                    seat.npu,
                    place,
                    &mut state.npu,
                    state.feeder.graph(),
                    network.now(),
                );
            }
            state.feeder.finish(place);
            self.issue(seat, network);
        }
    }

    /// Starts what is ready on a rank; it may be through.
    fn issue(&mut self, seat: Seat, network: &Network) {
        let now = network.now();
        let (mut begin, mut skipped) = (std::mem::take(&mut self.begin), std::mem::take(&mut self.skipped));
        let state = &mut self.states[seat.at];
        let job = &self.jobs[state.job as usize];
        state.feeder.issue(&mut begin, &mut skipped);
        for place in skipped.drain(..) {
            state.times[place as usize] = (now, now);
            if let Some(watch) = &mut self.watch {
                watch.skips(seat.npu, place, state.feeder.graph(), now);
            }
        }
        for place in begin.drain(..) {
            state.times[place as usize].0 = now;
            let node = &state.feeder.graph().nodes()[place as usize];
            let on_gpu = node.lane == Lane::Gpu || job.replay_only && node.lane != Lane::Cpu;
            if let Work::Delay(time) | Work::Compute(crate::workload::compute::Estimate { ns: time, .. }) =
                node.work
                && on_gpu
            {
                state.gpu = state.gpu.wrapping_add(time);
                if let Some(watch) = &mut self.watch {
                    watch.computes(seat.npu, now, time);
                }
            }
            if let Some(watch) = &mut self.watch {
                let members = job.members_of(state.feeder.graph(), &node.work);
                watch.begins(seat.npu, place, node, (&state.npu, members), now);
            }
            let input = Input::Start {
                node: node.id,
                task: task(&node.work),
            };
            if let Err(error) = state.npu.handle(input, now)
                && self.error.is_none()
            {
                self.error = Some(RankError {
                    who: who(job, state.npu.rank()),
                    node: node.id,
                    name: node.name.escape_debug().to_string(),
                    error,
                });
            }
        }
        (self.begin, self.skipped) = (begin, skipped);
        let state = &mut self.states[seat.at];
        if !state.finished && state.feeder.is_over() {
            state.finished = true;
            let finished = self.finish(seat, now);
            self.outcome.finished.push(finished);
        }
    }

    fn finish(&self, seat: Seat, now: u64) -> Finished {
        let state = &self.states[seat.at];
        let job = &self.jobs[state.job as usize];
        let mut classes = Vec::new();
        for class in [Class::Cpu, Class::Gpu, Class::Comm, Class::Memory, Class::Other] {
            let nodes = state.feeder.graph().nodes().iter().zip(&state.times);
            let of_class = nodes.filter(|(node, _)| node.class == class);
            let intervals: Vec<(u64, u64)> = of_class.map(|(_, &times)| times).collect();
            if !intervals.is_empty() {
                classes.push((class, union(intervals)));
            }
        }
        let cycles = now - job.start;
        Finished {
            rank: seat.npu,
            job: state.job,
            rank_in_job: state.npu.rank(),
            cycles,
            end: now,
            exposed: cycles.wrapping_sub(state.gpu),
            classes,
            roofline: job.roofline.then(|| roofline_use(state)),
        }
    }
}

/// Averages over compute nodes; ASTRA-sim adds 1 ns to their time so as not to divide by 0.
fn roofline_use(state: &State) -> RooflineUse {
    let mut sum = RooflineUse::default();
    let mut time = 1.0;
    for (node, &(begun, ended)) in state.feeder.graph().nodes().iter().zip(&state.times) {
        if !matches!(node.class, Class::Cpu | Class::Gpu) {
            continue;
        }
        let duration = (ended - begun) as f64;
        time += duration;
        if let Work::Compute(estimate) = &node.work {
            sum.compute += estimate.compute_utilisation * duration;
            sum.memory += estimate.memory_utilisation * duration;
            sum.intensity += estimate.intensity * duration;
            if estimate.compute_utilisation >= 1.0 {
                sum.compute_bound += duration;
            }
        }
    }
    RooflineUse {
        compute_bound: sum.compute_bound / time,
        compute: sum.compute / time,
        memory: sum.memory / time,
        intensity: sum.intensity / time,
    }
}

/// A node's work as the machine's task.
fn task(work: &Work) -> Task {
    let peer = |work: &PeerWork| Peer {
        rank: work.rank,
        tag: u64::from(work.tag),
        bytes: work.bytes,
    };
    match work {
        Work::Delay(time) => Task::Delay(*time),
        Work::Compute(estimate) => Task::Delay(estimate.ns),
        Work::Send(to) => Task::Send(peer(to)),
        Work::Receive(from) => Task::Receive(peer(from)),
        Work::Memory(bytes) => Task::Memory(*bytes),
        Work::Skip => Task::Delay(0),
        Work::Collective(work) => Task::Collective(request(work)),
    }
}

fn request(work: &CollectiveWork) -> Request {
    Request {
        collective: work.collective,
        group: work.group,
        bytes: work.bytes,
        dimensions: work.dimensions,
        priority: i64::from(work.priority),
        root: work.root,
    }
}
