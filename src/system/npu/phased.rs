//! Tasks of execution graphs, in ASTRA-sim's order: chunks go through phases, wait in the queues of
//! their dimension, and settle each message for the endpoint's delay and the cost of reduction.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use crate::network::message::{CommunicatorId, MessageKey, Rank};

use super::message::{Envelope, Owner};
use super::scheduled::{Chunk, Running, Work};
use super::watch::PhaseEvent;
use super::{HandleError, Npu};
use crate::system::action::{Action, Nanos, NodeId, TimerId};
use crate::system::bus::Bus;
use crate::system::collective::Layout;
use crate::system::communicator::CommunicatorError;
use crate::system::op::Algorithm::Auto;
use crate::system::op::{Collective, DataType, Op};
use crate::system::phase::graph::{AlgorithmGraph, StepKind};
use crate::system::phase::own;
use crate::system::phase::plan::{self, Cut, Scope};
use crate::system::phase::{Algorithm, Happening, Label, Move, Phase, PhaseRun, Pick, Settle};
use crate::system::setup::{COLLECTIVES, CustomAlgorithm, Pattern, Policy, Ring, Setup};
use crate::system::slab::KEY_BITS;
use crate::system::tag::{MAX_CHUNKS, tag};
use crate::system::task::{Request, Task};

/// Delay of messages in groups smaller than all ranks, whatever is configured (ASTRA-sim, `MemBus.cc`).
const FAST_DELAY: Nanos = 10;

/// What a timer is for; its key says whose.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TimerKind {
    /// A message of a chunk is settled.
    Settled,
    /// A message of a chunk is settled but for its reduction.
    SettledUnreduced,
    /// A delay is over.
    Delay,
    /// A step of a custom algorithm is over.
    Step,
    /// The bus's.
    Bus,
}

impl TimerKind {
    const ALL: [TimerKind; 5] = [
        TimerKind::Settled,
        TimerKind::SettledUnreduced,
        TimerKind::Delay,
        TimerKind::Step,
        TimerKind::Bus,
    ];

    fn id(self, key: u64) -> TimerId {
        (self as u64) << KEY_BITS | key
    }

    pub(super) fn split(timer: TimerId) -> Option<(TimerKind, u64)> {
        let kind = TimerKind::ALL.get((timer >> KEY_BITS) as usize)?;
        Some((*kind, timer & ((1 << KEY_BITS) - 1)))
    }
}

/// A collective in phases.
#[derive(Debug)]
pub(super) struct Phased {
    phases: Vec<Phase>,
    priority: i64,
    left: u64,
}

/// A chunk on its way through phases.
#[derive(Debug)]
pub(super) struct PhasedChunk {
    operation: u64,
    number: u32,
    phase: u32,
    queue: u32,
    anticlockwise: bool,
    run: Option<PhaseRun>,
    /// The outside of its messages, but for peer and size.
    envelope: Envelope,
}

impl PhasedChunk {
    pub(super) fn operation(&self) -> u64 {
        self.operation
    }

    /// What is told to those who watch.
    pub(super) fn event(&self, node: NodeId, work: &Phased, begins: bool, at: Nanos) -> PhaseEvent {
        let phase = &work.phases[self.phase as usize];
        PhaseEvent {
            node,
            chunk: self.number,
            phase: self.phase,
            dimension: phase.level,
            queue: self.queue,
            collective: phase.collective,
            bytes: phase.bytes,
            begins,
            at,
        }
    }
}

/// Chunks of one queue of a dimension.
#[derive(Debug, Default)]
struct Queue {
    running: u32,
    /// Priority and chunk: the highest priority first, then the oldest.
    waiting: VecDeque<(i64, u64)>,
}

/// Turns in which chunks are dealt out to a dimension's queues.
#[derive(Debug, Clone, Copy, Default)]
struct Turns {
    any: u32,
    first_half: u32,
    second_half: u32,
}

/// Groups, queues and counters of a rank.
#[derive(Debug)]
pub(super) struct PhasedState {
    pub(super) setup: Arc<Setup>,
    groups: BTreeMap<CommunicatorId, (Ring, u64)>,
    sequence: u64,
    /// The node for which each group settled on its algorithm of each collective.
    plans: BTreeMap<(CommunicatorId, Collective), NodeId>,
    priority: i64,
    queues: Vec<Queue>,
    turns: Vec<Turns>,
    /// Turns among the trees, by collective and dimension.
    trees: Vec<u32>,
    /// Queues that a chunk leaves when all that follows from its collective's end is done.
    leaving: Vec<u32>,
    /// Steps of custom algorithms that wait: chunk and number.
    steps: crate::system::slab::Slab<(u64, u32)>,
    bus: Option<Box<Bus>>,
    /// The size reduced last and what that cost, ns: most are alike.
    reduction: (u64, Nanos),
    /// Phases that nobody has taken, if somebody watches.
    pub(super) watched: Option<Vec<PhaseEvent>>,
}

impl PhasedState {
    pub(super) fn new(setup: Arc<Setup>) -> Self {
        let levels = setup.dimensions.len();
        PhasedState {
            groups: BTreeMap::new(),
            sequence: 0,
            plans: BTreeMap::new(),
            priority: 0,
            queues: (0..levels * setup.queues as usize)
                .map(|_| Queue::default())
                .collect(),
            turns: vec![Turns::default(); levels],
            trees: vec![0; 4 * levels],
            leaving: Vec::new(),
            steps: Default::default(),
            bus: setup.bus.map(|config| Box::new(Bus::new(config))),
            reduction: (0, 0),
            watched: None,
            setup,
        }
    }

    pub(super) fn add_group(
        &mut self,
        id: CommunicatorId,
        rank: Rank,
        ranks: &Arc<[Rank]>,
    ) -> Result<(), CommunicatorError> {
        if id == 0 || self.groups.contains_key(&id) {
            return Err(CommunicatorError::Exists(id));
        }
        let ring = Ring::of_group(rank, ranks).ok_or(CommunicatorError::NotMember { id, rank })?;
        self.groups.insert(id, (ring, 0));
        Ok(())
    }

    pub(super) fn rendezvous(&self) -> bool {
        self.setup.rendezvous
    }

    /// The chunk whose step a timer ends.
    pub(super) fn chunk_of_step(&self, step: u64) -> Option<u64> {
        self.steps.get(step).map(|&(chunk, _)| chunk)
    }

    pub(super) fn is_leaving(&self) -> bool {
        !self.leaving.is_empty()
    }

    /// The next priority of a collective.
    fn priority(&mut self, explicit: i64) -> i64 {
        let now = self.priority;
        match self.setup.policy {
            Policy::Lifo => self.priority += 1,
            Policy::Fifo => self.priority -= 1,
            Policy::Explicit => return explicit,
        }
        now
    }

    /// The node whose custom algorithm a node takes: groups settle on one for each collective when it
    /// is first asked for (ASTRA-sim, `CommunicatorGroup::get_collective_plan`).
    fn plan(&mut self, node: NodeId, request: &Request) -> NodeId {
        let planned = self.planned(node, request.group, request.collective);
        if request.group != 0 {
            self.plans.insert((request.group, request.collective), planned);
        }
        planned
    }

    /// What [`PhasedState::plan`] would say.
    pub(super) fn planned(&self, node: NodeId, group: CommunicatorId, collective: Collective) -> NodeId {
        self.plans.get(&(group, collective)).copied().unwrap_or(node)
    }

    /// Deals out the queues and trees of `chunks` chunks.
    fn deal(&mut self, phases: &mut [Phase], collective: Collective, chunks: u32) {
        let levels = self.setup.dimensions.len();
        let list = self.setup.logical(collective).map_or(0, |(list, _)| list);
        let mut trees: BTreeMap<usize, u32> = BTreeMap::new();
        for phase in phases.iter_mut() {
            if matches!(phase.algorithm, Algorithm::Custom(_)) {
                continue;
            }
            let level = phase.level as usize;
            let turns = &mut self.turns[level];
            let turn = match phase.pick {
                Pick::Any => &mut turns.any,
                Pick::FirstHalf => &mut turns.first_half,
                Pick::SecondHalf => &mut turns.second_half,
            };
            phase.turn = *turn;
            *turn = wrapped(*turn, chunks, self.setup.queues);
            if matches!(phase.algorithm, Algorithm::Pattern(Pattern::DoubleBinaryTree)) {
                let seen = trees.entry(list * levels + level).or_default();
                phase.trees.0 = self.trees[list * levels + level].wrapping_add(*seen);
                *seen += 1;
            }
        }
        for phase in phases.iter_mut() {
            let per_chunk = trees.get(&(list * levels + phase.level as usize));
            phase.trees.1 = per_chunk.copied().unwrap_or(0);
        }
        for (at, per_chunk) in trees {
            self.trees[at] = self.trees[at].wrapping_add(chunks.wrapping_mul(per_chunk));
        }
    }
}

/// A turn that only matters modulo every possible number of queues in use.
fn wrapped(turn: u32, chunks: u32, queues: u32) -> u32 {
    let half = (queues / 2).max(1);
    let period = u64::from(queues) * u64::from(half) * u64::from(queues - queues / 2);
    ((u64::from(turn) + u64::from(chunks)) % period) as u32
}

impl Npu {
    pub(super) fn start(&mut self, node: NodeId, task: &Task) -> Result<(), HandleError> {
        match task {
            Task::Collective(request) => self.start_collective(node, request),
            Task::Send(peer) | Task::Receive(peer) => {
                let operation = self.admit(
                    node,
                    Running {
                        node,
                        work: Work::Single,
                    },
                )?;
                let envelope = Envelope {
                    peer: peer.rank,
                    key: peer.key(),
                    bytes: peer.bytes,
                    node,
                };
                match task {
                    Task::Send(_) => self.send(envelope, Owner::Operation(operation), true),
                    _ => self.receive(envelope, Owner::Operation(operation)),
                }
                Ok(())
            }
            Task::Delay(delay) => {
                let operation = self.admit(
                    node,
                    Running {
                        node,
                        work: Work::Single,
                    },
                )?;
                self.set_timer(TimerKind::Delay, operation, *delay);
                Ok(())
            }
            Task::Memory(bytes) => {
                self.admit(
                    node,
                    Running {
                        node,
                        work: Work::Memory,
                    },
                )?;
                self.buffers.actions.push(Action::Memory { node, bytes: *bytes });
                Ok(())
            }
        }
    }

    pub(super) fn memory_done(&mut self, node: NodeId) -> Result<(), HandleError> {
        self.flush();
        let operation = self.nodes.get(&node).copied();
        let running = operation.and_then(|operation| self.running.get(operation));
        match (operation, running.map(|running| &running.work)) {
            (Some(operation), Some(Work::Memory)) => self.done(operation),
            _ => return Err(HandleError::UnknownMemory(node)),
        }
        Ok(())
    }

    /// Chunks whose collective is over leave their queues before anything else happens.
    pub(super) fn flush(&mut self) {
        if self.phased.is_leaving() {
            self.leave_queues();
        }
    }

    pub(super) fn leave_queues(&mut self) {
        for queue in std::mem::take(&mut self.phased.leaving) {
            self.phased.queues[queue as usize].running -= 1;
            self.refill(queue);
        }
    }

    /// A timer fires; `None` if there is none such.
    pub(super) fn fire(&mut self, kind: TimerKind, key: u64) -> Option<()> {
        match kind {
            TimerKind::Settled | TimerKind::SettledUnreduced => self.settled(kind, key),
            TimerKind::Delay => {
                self.running.get(key)?;
                self.done(key);
                Some(())
            }
            TimerKind::Step => {
                let (chunk, step) = self.phased.steps.remove(key)?;
                self.phase_over(chunk, step);
                Some(())
            }
            TimerKind::Bus => {
                let known = self.phased.bus.as_mut()?.fire(key, self.now);
                self.follow_bus();
                known.then_some(())
            }
        }
    }

    /// A message has passed the endpoint; its reduction may be left to wait for.
    fn settled(&mut self, kind: TimerKind, chunk: u64) -> Option<()> {
        let Some(Chunk::Phased(PhasedChunk { run: Some(run), .. })) = self.chunks.get(chunk) else {
            return None;
        };
        if kind == TimerKind::SettledUnreduced {
            let bytes = run.bytes();
            if self.phased.reduction.0 != bytes {
                self.phased.reduction = (bytes, self.phased.setup.reduction_delay(bytes));
            }
            let delay = self.phased.reduction.1;
            self.set_timer(TimerKind::Settled, chunk, delay);
        } else {
            self.drive(chunk, Happening::Settled);
        }
        Some(())
    }

    /// A message or step of a chunk is over.
    pub(super) fn phase_over(&mut self, chunk: u64, mark: u32) {
        self.drive(chunk, Happening::Over(mark));
    }

    fn start_collective(&mut self, node: NodeId, request: &Request) -> Result<(), HandleError> {
        if self.nodes.contains_key(&node) {
            return Err(HandleError::NodeInFlight(node));
        }
        let (scope, ring) = self.scope(request)?;
        let setup = Arc::clone(&self.phased.setup);
        let custom = setup.custom.as_ref();
        let algorithm = custom.map_or(CustomAlgorithm::Native, |source| {
            let planned = self.phased.plan(node, request);
            source.algorithm(planned, request.collective, ring.place_by_rank())
        });
        let (mut phases, chunks) = match algorithm {
            CustomAlgorithm::Graph(graph) => {
                check_positions(&graph, request.collective, ring.size)?;
                (vec![plan::custom(graph, request.collective, ring)], 1)
            }
            CustomAlgorithm::Missing => {
                return Err(HandleError::CustomMissing {
                    collective: request.collective,
                    position: ring.place_by_rank(),
                });
            }
            CustomAlgorithm::Native if !COLLECTIVES.contains(&request.collective) => {
                let graph = self.own_algorithm(request, &ring)?;
                (vec![plan::custom(graph, request.collective, ring)], 1)
            }
            CustomAlgorithm::Native => {
                let cut = Cut::new(request.collective, request.bytes, setup.splits, setup.npus());
                let phases = plan::phases(&setup, request.collective, cut.chunk, &scope);
                check(&setup, request.collective, &phases)?;
                if phases.iter().any(|phase| phase.output() == u64::MAX) {
                    return Err(HandleError::TooManyBytes(request.bytes));
                }
                (phases, cut.chunks)
            }
        };
        if chunks > u64::from(MAX_CHUNKS) {
            return Err(HandleError::TooManyChunks(chunks));
        }
        let chunks = if phases.is_empty() { 0 } else { chunks as u32 };
        self.phased.deal(&mut phases, request.collective, chunks);
        let sequence = self.next_sequence(request.group);
        let phased = Phased {
            phases,
            priority: self.phased.priority(request.priority),
            left: u64::from(chunks),
        };
        let work = Work::Phased(phased);
        let operation = self.admit(node, Running { node, work })?;
        if chunks == 0 {
            self.done(operation);
        }
        for number in 0..chunks {
            let envelope = Envelope {
                peer: 0,
                key: MessageKey {
                    communicator: request.group,
                    tag: tag(sequence, number, 0),
                },
                bytes: 0,
                node,
            };
            let chunk = self.chunks.insert(Chunk::Phased(PhasedChunk {
                operation,
                number,
                phase: 0,
                queue: 0,
                anticlockwise: false,
                run: None,
                envelope,
            }));
            if let Some(queue) = self.enqueue(chunk, 0) {
                self.refill(queue);
            }
        }
        Ok(())
    }

    /// Genie's own algorithm of a collective that has no implementation in ASTRA-sim. Sizes are as
    /// there: what a rank contributes to a gather, the whole of anything else.
    fn own_algorithm(&self, request: &Request, ring: &Ring) -> Result<Arc<AlgorithmGraph>, HandleError> {
        let n = u64::from(ring.size);
        let op = Op {
            root: request.root,
            bytes: match request.collective {
                Collective::Gather => request.bytes.saturating_mul(n),
                _ => request.bytes,
            },
            dtype: DataType::Int8,
            ..Op::new(request.collective, Auto, request.bytes)
        };
        let schedules = (self.source)(&op, ring.size)?;
        let layout = Layout::new(&op, ring.size, ring.position);
        let setup = &self.phased.setup;
        let settle =
            |bytes, reduced| setup.endpoint_delay + if reduced { setup.reduction_delay(bytes) } else { 0 };
        let graph = own::graph(&*schedules[0], &layout, ring.position, settle);
        Ok(Arc::new(graph.expect("steps only wait for earlier ones")))
    }

    /// Whom a collective runs over, and as one ring.
    fn scope(&self, request: &Request) -> Result<(Scope, Ring), HandleError> {
        let npus = self.phased.setup.npus();
        let all = |involved| Scope::Dimensions {
            rank: self.rank,
            involved,
        };
        if request.group == 0 {
            return Ok((all(request.dimensions), Ring::of_dimension(self.rank, npus, 1)));
        }
        let unknown = HandleError::UnknownCommunicator {
            rank: self.rank,
            communicator: request.group,
        };
        let (ring, _) = self.phased.groups.get(&request.group).ok_or(unknown)?;
        let scope = if ring.size == npus {
            all(u64::MAX)
        } else {
            Scope::Group(ring.clone())
        };
        Ok((scope, ring.clone()))
    }

    fn next_sequence(&mut self, group: CommunicatorId) -> u64 {
        let sequence = match self.phased.groups.get_mut(&group) {
            Some((_, sequence)) => sequence,
            None => &mut self.phased.sequence,
        };
        *sequence += 1;
        *sequence - 1
    }

    /// Puts a chunk into the queue of a phase, behind those that are as important.
    fn enqueue(&mut self, key: u64, phase: usize) -> Option<u32> {
        let Chunk::Phased(chunk) = self.chunks.get_mut(key)? else {
            return None;
        };
        let Work::Phased(work) = &self.running.get(chunk.operation)?.work else {
            return None;
        };
        let spec = &work.phases[phase];
        let queues = self.phased.setup.queues;
        let (queue, anticlockwise) = spec.pick.queue(spec.turn.wrapping_add(chunk.number), queues);
        chunk.phase = phase as u32;
        chunk.queue = spec.level * queues + queue;
        chunk.anticlockwise = anticlockwise;
        chunk.run = None;
        let waiting = &mut self.phased.queues[chunk.queue as usize].waiting;
        let priority = work.priority;
        match waiting.back() {
            Some(&(last, _)) if last < priority => {
                let place = waiting.partition_point(|&(other, _)| other >= priority);
                waiting.insert(place, (priority, key));
            }
            _ => waiting.push_back((priority, key)),
        }
        Some(chunk.queue)
    }

    /// Starts waiting chunks while the queue has room.
    fn refill(&mut self, queue: u32) {
        let limit = self.phased.setup.running_per_queue();
        loop {
            let state = &mut self.phased.queues[queue as usize];
            if state.running >= limit {
                return;
            }
            let Some((_, chunk)) = state.waiting.pop_front() else {
                return;
            };
            state.running += 1;
            self.begin(chunk);
        }
    }

    /// A chunk's turn has come.
    fn begin(&mut self, key: u64) {
        let Some(Chunk::Phased(chunk)) = self.chunks.get_mut(key) else {
            return;
        };
        let Some(Work::Phased(work)) = self.running.get(chunk.operation).map(|r| &r.work) else {
            return;
        };
        let phase = &work.phases[chunk.phase as usize];
        chunk.run = Some(phase.start(chunk.number, chunk.anticlockwise));
        if self.phased.watched.is_some() {
            self.note_phase(key, true);
        }
        self.drive(key, Happening::Start);
    }

    /// Tells a chunk's phase what happened and carries out what it wants.
    fn drive(&mut self, key: u64, happening: Happening) {
        let Some(Chunk::Phased(chunk)) = self.chunks.get_mut(key) else {
            return;
        };
        let Some(run) = &mut chunk.run else { return };
        let mut moves = std::mem::take(&mut self.buffers.moves);
        run.on(happening, &mut moves);
        let envelope = chunk.envelope;
        let mut ended = false;
        for next in &moves {
            match *next {
                Move::Settle(settle) => self.settle(key, settle),
                Move::Wait { delay, mark } => {
                    let step = self.phased.steps.insert((key, mark));
                    self.set_timer(TimerKind::Step, step, delay);
                }
                Move::Send { to, bytes, label } => {
                    let envelope = envelope.addressed(to, bytes, label);
                    self.send(envelope, owner(key, label), label != Label::Plain);
                }
                Move::Receive { from, bytes, label } => {
                    self.receive(envelope.addressed(from, bytes, label), owner(key, label));
                }
                Move::End => ended = true,
            }
        }
        moves.clear();
        self.buffers.moves = moves;
        if ended {
            self.end_phase(key);
        }
    }

    /// A chunk is through a phase: it goes on to the next one, or its collective may be over.
    fn end_phase(&mut self, key: u64) {
        if self.phased.watched.is_some() {
            self.note_phase(key, false);
        }
        let Some(Chunk::Phased(chunk)) = self.chunks.get(key) else {
            return;
        };
        let (operation, old) = (chunk.operation, chunk.queue);
        let next = chunk.phase as usize + 1;
        let Some(Work::Phased(work)) = self.running.get_mut(operation).map(|r| &mut r.work) else {
            return;
        };
        if next < work.phases.len() {
            let queue = self.enqueue(key, next);
            self.phased.queues[old as usize].running -= 1;
            self.refill(old);
            if let Some(queue) = queue {
                self.refill(queue);
            }
            return;
        }
        work.left -= 1;
        let over = work.left == 0;
        self.chunks.remove(key);
        self.phased.leaving.push(old);
        if over {
            self.done(operation);
        } else {
            self.leave_queues();
        }
    }

    fn settle(&mut self, chunk: u64, settle: Settle) {
        let kind = if settle.reduced {
            TimerKind::SettledUnreduced
        } else {
            TimerKind::Settled
        };
        if let (Some(bus), false) = (&mut self.phased.bus, settle.fast) {
            bus.request(settle, kind.id(chunk), self.now);
            self.set_bus_timers();
            return;
        }
        let delay = if settle.fast {
            FAST_DELAY
        } else {
            self.phased.setup.endpoint_delay
        };
        self.set_timer(kind, chunk, delay);
    }

    /// Goes on with what the bus has carried, before the bus itself goes on.
    fn follow_bus(&mut self) {
        loop {
            let now = self.now;
            let over = self.phased.bus.as_mut().and_then(|bus| bus.next(now));
            self.set_bus_timers();
            let Some(timer) = over else { return };
            if let Some((kind, chunk)) = TimerKind::split(timer) {
                self.settled(kind, chunk);
            }
        }
    }

    /// Sets the timers that the bus wants.
    fn set_bus_timers(&mut self) {
        let Some(bus) = &mut self.phased.bus else { return };
        for (timer, delay) in std::mem::take(&mut bus.timers) {
            self.set_timer(TimerKind::Bus, timer, delay);
        }
    }

    #[inline]
    fn set_timer(&mut self, kind: TimerKind, key: u64, delay: Nanos) {
        self.buffers.actions.push(Action::Timer(kind.id(key), delay));
    }
}

impl Envelope {
    /// The outside of one of a chunk's messages; a custom algorithm's has its own tag in it.
    #[inline]
    fn addressed(mut self, peer: Rank, bytes: u64, label: Label) -> Self {
        (self.peer, self.bytes) = (peer, bytes);
        if let Label::Step { tag, .. } = label {
            self.key.tag |= u64::from(tag);
        }
        self
    }
}

fn owner(chunk: u64, label: Label) -> Owner {
    match label {
        Label::Plain => Owner::Chunk(chunk, 0),
        Label::Step { mark, .. } => Owner::Chunk(chunk, mark),
    }
}

/// Whether a custom algorithm stays among the positions that there are.
fn check_positions(graph: &AlgorithmGraph, collective: Collective, ranks: u32) -> Result<(), HandleError> {
    let outside = graph.steps().iter().find_map(|step| match *step {
        StepKind::Send { to, .. } if to >= ranks => Some(to),
        StepKind::Receive { from, .. } if from >= ranks => Some(from),
        _ => None,
    });
    match outside {
        Some(position) => Err(HandleError::CustomPosition {
            collective,
            position,
            ranks,
        }),
        None => Ok(()),
    }
}

/// Whether every phase can be carried out.
fn check(setup: &Setup, collective: Collective, phases: &[Phase]) -> Result<(), HandleError> {
    let configured = setup
        .logical(collective)
        .is_some_and(|(list, _)| !setup.implementations[list].is_empty());
    if !configured {
        return Err(HandleError::NoImplementation(collective));
    }
    for phase in phases {
        let Algorithm::Pattern(pattern) = phase.algorithm else {
            continue;
        };
        let ranks = phase.ring.size;
        let pattern = match pattern {
            Pattern::HalvingDoubling if collective == Collective::AllToAll => {
                return Err(HandleError::NoSuchPattern(collective));
            }
            Pattern::HalvingDoubling => "halvingDoubling",
            Pattern::DoubleBinaryTree => "doubleBinaryTree",
            Pattern::Ring | Pattern::Direct(_) => continue,
        };
        if !ranks.is_power_of_two() {
            return Err(HandleError::PowerOfTwo { pattern, ranks });
        }
    }
    Ok(())
}
