//! A stored run as a timeline: a process for each rank with its iterations, one for the operations.
//! Times are real, from the common start of all ranks.

use std::collections::BTreeMap;

use super::perfetto::{Argument, Slice, Trace, Track};
use crate::results::Run;
use crate::results::iterations::Iteration;
use crate::scenario::units::Bytes;

/// A stored run's timeline being written.
#[derive(Debug)]
pub struct Timeline<'a> {
    run: &'a Run,
    trace: Trace,
    /// First start and last end of each operation.
    spans: BTreeMap<usize, (u64, u64)>,
}

impl<'a> Timeline<'a> {
    /// Of a run, without its iterations.
    pub fn new(run: &'a Run) -> Self {
        let mut trace = Trace::default();
        let operations = run.manifest.plan.ranks.len() as u32;
        trace.process(operations, "operations", 0);
        for rank in 0..operations {
            trace.process(rank, &format!("rank {rank}"), rank + 1);
            let track = Track {
                process: rank,
                thread: 0,
            };
            trace.thread(track, "iterations", 0);
        }
        Timeline {
            run,
            trace,
            spans: BTreeMap::new(),
        }
    }

    /// Shows an iteration of a rank.
    pub fn show(&mut self, iteration: &Iteration) {
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
        self.trace.slice(
            Track {
                process: iteration.rank,
                thread: 0,
            },
            &slice,
        );
    }

    /// The text since the last time.
    pub fn take(&mut self) -> String {
        self.trace.take()
    }

    /// The rest of the text.
    pub fn finish(mut self) -> String {
        let process = self.run.manifest.plan.ranks.len() as u32;
        for (op, (from, to)) in std::mem::take(&mut self.spans) {
            let name = self.name(op);
            let slice = Slice {
                name: &name,
                category: "operation",
                from,
                to,
                arguments: &[],
            };
            // Ranks may begin the next operation while others still end this one.
            self.trace.span(process, op as u64, &slice);
        }
        self.trace.finish()
    }

    fn name(&self, op: usize) -> String {
        let planned = &self.run.manifest.plan.ops[op].op;
        format!(
            "{} {} {}",
            planned.collective,
            planned.algorithm,
            Bytes(planned.bytes)
        )
    }
}
