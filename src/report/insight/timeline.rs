//! A simulation as a timeline: a process for each NPU; threads for its slots, its receives and its
//! queues; arrows for messages; counters. Only what runs is kept.

use std::collections::HashMap;

use crate::network::message::Rank;
use crate::report::perfetto::{Argument, Slice, Trace, Track};
use crate::testbed::model::insight::explain::kind;
use crate::testbed::model::insight::{MessageSeen, OpRecord, PhaseRecord, Seen};
use crate::workload::graph::{Class, Graph, GraphNode, Lane, Work};

/// The counter of bytes under way gets a value at most once in so many nanoseconds.
const SAMPLE_NS: u64 = 1000;

/// What a thread shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Row {
    Compute,
    Communication,
    Cpu,
    Memory,
    Receive,
    Queue { dimension: u32, queue: u32 },
}

impl Row {
    /// Where a node is shown.
    fn of(node: &GraphNode) -> Row {
        match (node.lane, node.class) {
            (_, Class::Memory) => Row::Memory,
            (Lane::Cpu, _) => Row::Cpu,
            (Lane::Gpu, _) => Row::Compute,
            (Lane::Comm, _) => Row::Communication,
            (Lane::Free, _) => Row::Receive,
        }
    }

    fn name(self) -> String {
        match self {
            Row::Compute => "compute".into(),
            Row::Communication => "communication".into(),
            Row::Cpu => "cpu".into(),
            Row::Memory => "memory".into(),
            Row::Receive => "receive".into(),
            Row::Queue { dimension, queue } => format!("dimension {dimension} queue {queue}"),
        }
    }

    fn place(self) -> u32 {
        match self {
            Row::Compute => 0,
            Row::Communication => 1,
            Row::Cpu => 2,
            Row::Memory => 3,
            Row::Receive => 4,
            Row::Queue { dimension, queue } => 5 + dimension.saturating_mul(1024).saturating_add(queue),
        }
    }
}

/// A timeline of a simulation.
#[derive(Debug)]
pub struct Timeline {
    trace: Trace,
    npus: u32,
    /// Threads of each row: side by side where several things run at once.
    rows: HashMap<(Rank, Row), Vec<(u32, bool)>>,
    /// Threads of each NPU.
    threads: Vec<u32>,
    /// Start and thread of nodes that run.
    open: HashMap<(Rank, u32), (u64, Option<u32>)>,
    /// Threads of phases that run.
    phases: HashMap<(Rank, u32, u32), (Row, u32)>,
    arrows: u64,
    spans: u64,
    /// Bytes under way, and when their counter was told last.
    under_way: (u64, Option<u64>),
}

impl Timeline {
    /// Of so many NPUs.
    pub fn new(npus: u32) -> Self {
        let mut timeline = Timeline {
            trace: Trace::default(),
            npus,
            rows: HashMap::new(),
            threads: vec![0; npus as usize],
            open: HashMap::new(),
            phases: HashMap::new(),
            arrows: 0,
            spans: 0,
            under_way: (0, None),
        };
        for rank in 0..npus {
            timeline.trace.process(rank, &format!("NPU {rank}"), rank);
            timeline.trace.counter(rank, "exposed communication", 0, 1);
        }
        timeline.trace.process(npus, "network", npus);
        timeline
    }

    /// Shows what happened; `graph` is its rank's.
    pub fn show(&mut self, seen: &Seen, graph: &Graph) {
        match seen {
            Seen::Begin { rank, place, at } => {
                self.begin(*rank, *place, *at, &graph.nodes()[*place as usize])
            }
            Seen::Op(op) => self.operation(op, &graph.nodes()[op.place as usize]),
            Seen::PhaseBegin { rank, place, phase } => {
                let (dimension, queue) = (phase.dimension, phase.queue);
                let row = Row::Queue { dimension, queue };
                let thread = self.take_row(*rank, row);
                self.phases.insert((*rank, *place, phase.chunk), (row, thread));
            }
            Seen::Phase(record) => self.phase(record, &graph.nodes()[record.place as usize]),
            Seen::Sent(message) => self.message(message, true),
            Seen::Received(message) => self.message(message, false),
        }
    }

    /// The text since the last time.
    pub fn take(&mut self) -> String {
        self.trace.take()
    }

    /// The rest of the text; what still runs ends `now` and says that it does not.
    pub fn finish<'a>(mut self, now: u64, graph: impl Fn(Rank) -> &'a Graph) -> String {
        let mut open: Vec<_> = std::mem::take(&mut self.open).into_iter().collect();
        open.sort_unstable();
        for ((rank, place), (start, thread)) in open {
            let node = &graph(rank).nodes()[place as usize];
            let row = Row::of(node);
            let thread = thread.unwrap_or_else(|| self.take_row(rank, row));
            let name = format!("{} (never ends)", node.name);
            let slice = Slice {
                name: &name,
                category: kind(node),
                from: start,
                to: now,
                arguments: &[("node", Argument::Number(node.id))],
            };
            self.trace.slice(
                Track {
                    process: rank,
                    thread,
                },
                &slice,
            );
        }
        if self.under_way.1.is_some() {
            self.trace
                .counter(self.npus, "bytes in flight", now, self.under_way.0);
        }
        self.trace.finish()
    }

    fn begin(&mut self, rank: Rank, place: u32, at: u64, node: &GraphNode) {
        // Receives may overlap; each keeps a thread while it runs.
        let row = Row::of(node);
        let thread = (row == Row::Receive).then(|| self.take_row(rank, row));
        self.open.insert((rank, place), (at, thread));
    }

    fn operation(&mut self, op: &OpRecord, node: &GraphNode) {
        let open = self.open.remove(&(op.rank, op.place));
        let row = Row::of(node);
        let kept = open.and_then(|(_, thread)| thread);
        let thread = kept.unwrap_or_else(|| self.take_row(op.rank, row));
        self.free_row(op.rank, row, thread);
        let track = Track {
            process: op.rank,
            thread,
        };
        self.trace.slice(
            track,
            &Slice {
                name: &node.name,
                category: kind(node),
                from: op.start,
                to: op.end,
                arguments: &arguments(op, node),
            },
        );
        if op.met > op.start {
            let waits = Slice {
                name: "waits for peers",
                category: "waiting",
                from: op.start,
                to: op.met,
                arguments: &[],
            };
            self.trace.slice(track, &waits);
        }
        if op.start > op.ready {
            let name = format!("{} waits for its slot", node.name);
            let waits = Slice {
                name: &name,
                category: "waiting",
                from: op.ready,
                to: op.start,
                arguments: &[("node", Argument::Number(node.id))],
            };
            self.spans += 1;
            self.trace.span(op.rank, self.spans, &waits);
        }
        if row == Row::Compute && op.end > op.start {
            self.trace.counter(op.rank, "exposed communication", op.start, 0);
            self.trace.counter(op.rank, "exposed communication", op.end, 1);
        }
        if let (Work::Receive(_), Some(other)) = (&node.work, op.other) {
            let thread = self.take_row(other.rank, Row::Communication);
            self.free_row(other.rank, Row::Communication, thread);
            let from = Track {
                process: other.rank,
                thread,
            };
            self.arrow(from, other.start, track, within(op.start, op.end));
        }
    }

    fn phase(&mut self, record: &PhaseRecord, node: &GraphNode) {
        let key = (record.rank, record.place, record.phase.chunk);
        let Some((row, thread)) = self.phases.remove(&key) else {
            return;
        };
        self.free_row(record.rank, row, thread);
        let phase = &record.phase;
        let name = format!("{}: {} chunk {}", node.name, phase.collective, phase.chunk);
        let slice = Slice {
            name: &name,
            category: "phase",
            from: record.start,
            to: phase.at,
            arguments: &[
                ("node", Argument::Number(phase.node)),
                ("bytes", Argument::Number(phase.bytes)),
                (
                    "waited_in_queue_ns",
                    Argument::Number(record.start - record.queued),
                ),
            ],
        };
        self.trace.slice(
            Track {
                process: record.rank,
                thread,
            },
            &slice,
        );
    }

    fn message(&mut self, message: &MessageSeen, sent: bool) {
        let (bytes, told) = &mut self.under_way;
        *bytes = if sent {
            bytes.saturating_add(message.bytes)
        } else {
            bytes.saturating_sub(message.bytes)
        };
        if told.is_none_or(|told| message.at >= told + SAMPLE_NS) {
            *told = Some(message.at);
            self.trace
                .counter(self.npus, "bytes in flight", message.at, *bytes);
        }
        let Some(&(_, thread)) = self.phases.get(&(message.rank, message.place, message.chunk)) else {
            return;
        };
        let track = Track {
            process: message.rank,
            thread,
        };
        // Numbers of point-to-point arrows are odd.
        let id = 2 * message.id;
        match sent {
            true => self.trace.arrow_from(track, "message", id, message.at),
            false => self.trace.arrow_to(track, "message", id, message.at),
        }
    }

    fn arrow(&mut self, from: Track, sent: u64, to: Track, received: u64) {
        let id = 2 * self.arrows + 1;
        self.arrows += 1;
        self.trace.arrow_from(from, "message", id, sent);
        self.trace.arrow_to(to, "message", id, received);
    }

    /// The first thread of a row on which nothing runs.
    fn take_row(&mut self, rank: Rank, row: Row) -> u32 {
        let threads = self.rows.entry((rank, row)).or_default();
        if let Some((thread, taken)) = threads.iter_mut().find(|(_, taken)| !*taken) {
            *taken = true;
            return *thread;
        }
        let thread = self.threads[rank as usize];
        self.threads[rank as usize] += 1;
        threads.push((thread, true));
        let name = match threads.len() {
            1 => row.name(),
            several => format!("{} ({several})", row.name()),
        };
        self.trace.thread(
            Track {
                process: rank,
                thread,
            },
            &name,
            row.place(),
        );
        thread
    }

    fn free_row(&mut self, rank: Rank, row: Row, thread: u32) {
        let threads = self.rows.get_mut(&(rank, row));
        let place = threads.and_then(|threads| threads.iter_mut().find(|(own, _)| *own == thread));
        if let Some((_, taken)) = place {
            *taken = false;
        }
    }
}

/// The last nanosecond of a slice: at its very end an arrow would miss it.
fn within(start: u64, end: u64) -> u64 {
    end.saturating_sub(1).max(start)
}

fn arguments<'a>(op: &OpRecord, node: &GraphNode) -> Vec<(&'a str, Argument<'a>)> {
    let mut arguments = vec![("node", Argument::Number(node.id))];
    let bytes = match &node.work {
        Work::Collective(work) => {
            arguments.push(("group", Argument::Number(u64::from(work.group))));
            Some(work.bytes)
        }
        Work::Send(peer) | Work::Receive(peer) => {
            arguments.push(("peer", Argument::Number(u64::from(peer.rank))));
            Some(peer.bytes)
        }
        Work::Memory(bytes) => Some(*bytes),
        Work::Delay(_) | Work::Compute(_) | Work::Skip => None,
    };
    arguments.extend(bytes.map(|bytes| ("bytes", Argument::Number(bytes))));
    let times = [
        ("slot_ns", op.start - op.ready),
        ("endpoint_ns", op.split.endpoint),
        ("peers_ns", op.split.peers),
        ("network_ns", op.split.network),
        ("exposed_ns", op.exposed_slot + op.exposed_running),
    ];
    arguments.extend(times.map(|(name, time)| (name, Argument::Number(time))));
    arguments
}
