//! A stored run as a timeline: a process for each rank with its iterations, of traces what it computed and
//! communicated, and the messages of each channel; one for the operations, the rates of links and the ranks that were
//! lost. Arrows lead from sends to receives, and from the rank that begins an iteration last to the one that had waited
//! longest for it. Times are real, from the common start of all ranks.

use std::collections::BTreeMap;

use super::flights::Flights;
use super::perfetto::{Argument, Slice, Trace, Track};
use crate::results::Run;
use crate::results::iterations::Iteration;
use crate::results::links::LinkOp;
use crate::results::messages::Message;
use crate::results::nodes::Node;

/// Link directions that have a counter: the first.
const COUNTERS: usize = 256;

/// A stored run's timeline being written.
#[derive(Debug)]
pub struct Timeline<'a> {
    run: &'a Run,
    trace: Trace,
    /// First start and last end of each operation.
    spans: BTreeMap<usize, (u64, u64)>,
    /// The iteration whose ranks are being shown.
    group: Vec<Iteration>,
    /// Messages that were kept.
    messages: Vec<Message>,
    /// Numbers of arrows and of nodes so far.
    arrows: u64,
    nodes: u64,
}

impl<'a> Timeline<'a> {
    /// Of a run, without its iterations.
    pub fn new(run: &'a Run) -> Self {
        let mut trace = Trace::default();
        let operations = run.manifest.plan.ranks.len() as u32;
        trace.process(operations, "operations", 0);
        for rank in 0..operations {
            trace.process(rank, &format!("rank {rank} ({})", run.host_of(rank)), rank + 1);
            trace.thread(track(rank), "iterations", 0);
        }
        Timeline {
            run,
            trace,
            spans: BTreeMap::new(),
            group: Vec::new(),
            messages: Vec::new(),
            arrows: 0,
            nodes: 0,
        }
    }

    /// Shows an iteration of a rank; all ranks of an iteration follow each other.
    pub fn show(&mut self, iteration: &Iteration) {
        let of = |it: &Iteration| (it.op, it.iteration);
        if self.group.first().is_some_and(|first| of(first) != of(iteration)) {
            self.arrow();
        }
        self.group.push(*iteration);
        let span = self.spans.entry(iteration.op).or_insert((u64::MAX, 0));
        *span = (span.0.min(iteration.start_ns), span.1.max(iteration.end_ns));
        let name = format!("{} #{}", self.name(iteration.op), iteration.iteration);
        let slice = Slice {
            name: &name,
            category: "iteration",
            from: iteration.start_ns,
            to: iteration.end_ns,
            arguments: &[("operation", Argument::Number(iteration.op as u64))],
        };
        self.trace.slice(track(iteration.rank), &slice);
    }

    /// Shows a node of a trace.
    pub fn show_node(&mut self, node: &Node) {
        let slice = Slice {
            name: &node.name,
            // Nodes of a resource may overlap: each resource is a group of rows of its rank.
            category: &node.lane,
            from: node.start_ns,
            to: node.end_ns,
            arguments: &[
                ("kind", Argument::Text(&node.kind)),
                ("bytes", Argument::Number(node.bytes)),
                ("node", Argument::Number(node.node)),
                ("iteration", Argument::Number(node.iteration)),
                ("waited_ns", Argument::Number(node.wait_ns)),
            ],
        };
        self.trace.span(node.rank, self.nodes, &slice);
        self.nodes += 1;
    }

    /// Keeps a message, to be shown at the end.
    pub fn keep_message(&mut self, message: Message) {
        self.messages.push(message);
    }

    /// The text since the last time.
    pub fn take(&mut self) -> String {
        self.trace.take()
    }

    /// The rest of the text. `links`: what they carried in each operation.
    pub fn finish(mut self, links: &[LinkOp]) -> String {
        self.arrow();
        let process = self.run.manifest.plan.ranks.len() as u32;
        let spans = std::mem::take(&mut self.spans);
        for (op, (from, to)) in &spans {
            let name = self.name(*op);
            let slice = Slice {
                name: &name,
                category: "operation",
                from: *from,
                to: *to,
                arguments: &[],
            };
            // Ranks may begin the next operation while others still end this one.
            self.trace.span(process, *op as u64, &slice);
        }
        self.rates(process, &spans, links);
        self.losses(process);
        let messages = std::mem::take(&mut self.messages);
        Flights::of(messages, self.run, self.arrows).show(&mut self.trace);
        let manifest = &self.run.manifest;
        let (id, left_out) = (manifest.run_id.to_string(), manifest.messages_left_out);
        self.trace.finish_with(&[
            ("run", Argument::Text(&id)),
            ("scenario", Argument::Text(&manifest.scenario)),
            (
                "iterations_with_messages",
                Argument::Number(u64::from(manifest.plan.testbed.record_messages)),
            ),
            ("messages_left_out", Argument::Number(left_out)),
        ])
    }

    /// From the last rank to begin the iteration to the first, which has waited for it, if it has.
    fn arrow(&mut self) {
        let group = std::mem::take(&mut self.group);
        let first = group.iter().min_by_key(|it| (it.start_ns, it.rank));
        let last = group.iter().max_by_key(|it| (it.start_ns, it.rank));
        let (Some(first), Some(last)) = (first, last) else {
            return;
        };
        // An arrow begins and ends within slices.
        let at = last.start_ns;
        if first.rank != last.rank && at < last.end_ns && at < first.end_ns && at > first.start_ns {
            self.trace
                .arrow_from(track(last.rank), "waited for", self.arrows, at);
            self.trace.arrow_to(
                track(first.rank),
                "waited for",
                self.arrows,
                first.end_ns.min(last.end_ns) - 1,
            );
            self.arrows += 1;
        }
    }

    /// Mean rates of link directions during each operation, Mbit/s, real.
    fn rates(&mut self, process: u32, spans: &BTreeMap<usize, (u64, u64)>, links: &[LinkOp]) {
        let mut directions: Vec<&str> = Vec::new();
        for counted in links {
            let (Some((from, to)), Some(planned)) =
                (spans.get(&counted.op), self.run.manifest.plan.ops.get(counted.op))
            else {
                continue;
            };
            if !directions.contains(&counted.direction.as_str()) {
                directions.push(&counted.direction);
            }
            let known = directions.iter().position(|way| *way == counted.direction);
            if known.is_none_or(|place| place >= COUNTERS) || to <= from {
                continue;
            }
            // Counted with warm-up, which lies before the span.
            let measured = f64::from(planned.iterations) / f64::from(planned.warmup + planned.iterations);
            let rate = counted.counted_bytes as f64 * measured * 8.0 / ((to - from) as f64 / 1e3);
            let name = format!("{} (Mbit/s)", counted.direction);
            self.trace.counter(process, &name, *from, rate.round() as u64);
            self.trace.counter(process, &name, *to, 0);
        }
    }

    fn losses(&mut self, process: u32) {
        let manifest = &self.run.manifest;
        let Some(started) = manifest.stages.iter().find(|stage| stage.stage == "started") else {
            return;
        };
        for loss in &manifest.lost_ranks {
            let at = ((loss.at_s - started.at_s).max(0.0) * 1e9) as u64;
            let name = format!("rank {} lost: {}", loss.rank, loss.what);
            self.trace.moment(process, &name, at);
        }
    }

    fn name(&self, op: usize) -> String {
        self.run.manifest.plan.ops[op].label()
    }
}

/// Where a rank's iterations are.
fn track(rank: u32) -> Track {
    Track {
        process: rank,
        thread: 0,
    }
}
