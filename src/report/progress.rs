//! What stderr gets of a run that goes on: the bar, how far it is and how long it will take. Each iteration weighs what the
//! plan expects it to take, so that the remaining time does not jump when sizes grow.

use std::io::{self, Write};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::watch::Watch;
use crate::event::Event;
use crate::results::summary::name_of;
use crate::scenario::plan::{OpPlan, Plan};
use crate::scenario::units::Bytes;

/// What goes to stderr. Nothing is drawn where that is no terminal, so that logs stay short.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Said {
    /// Errors only.
    Nothing,
    /// The bar.
    Bar,
    /// The bar, and a line for every stage and operation, wherever stderr leads.
    Stages,
    /// The bar, and below it every rank and the busiest links.
    Live,
}

/// A progress bar over all iterations of all operations, warm-up included.
#[derive(Debug)]
pub struct Progress {
    bar: ProgressBar,
    /// Of each operation: its words, expected microseconds per iteration, iterations.
    ops: Vec<(String, u64, u64)>,
    said: Said,
    watch: Watch,
}

impl Progress {
    /// A bar for `plan`.
    pub fn new(plan: &Plan, said: Said) -> Progress {
        let ops: Vec<_> = plan
            .ops
            .iter()
            .map(|op| (words(op), weight(op), iterations(op)))
            .collect();
        let total = ops
            .iter()
            .map(|(_, weight, iterations)| weight * iterations)
            .sum();
        let target = if said > Said::Nothing {
            ProgressDrawTarget::stderr()
        } else {
            ProgressDrawTarget::hidden()
        };
        let bar = ProgressBar::with_draw_target(Some(total), target);
        let style = ProgressStyle::with_template(
            "{spinner} {msg:40!} [{bar:24}] {percent:>3} % {eta:>4} left{prefix}",
        );
        bar.set_style(
            style
                .unwrap_or_else(|_| ProgressStyle::default_bar())
                .progress_chars("=> "),
        );
        bar.set_message("starting");
        bar.enable_steady_tick(Duration::from_millis(200));
        Progress {
            bar,
            ops,
            said,
            watch: Watch::default(),
        }
    }

    /// Follows one event.
    pub fn event(&mut self, plan: &Plan, event: &Event) {
        if self.said == Said::Stages
            && let Some(line) = self.line(event)
        {
            // A closed stderr is no reason to stop.
            let _ = self
                .bar
                .suspend(|| io::stderr().lock().write_all(line.as_bytes()));
        }
        match event {
            Event::Stage { stage, .. } => self.bar.set_message(stage.replace('-', " ")),
            Event::OpStarted { op, .. } => self.at(*op, 0),
            Event::Pulse(pulse) if self.said == Said::Live => {
                let lines = self.watch.lines(plan, pulse);
                let below: String = lines.iter().map(|line| format!("\n{line}")).collect();
                self.bar.set_prefix(below);
            }
            Event::Progress { op, iterations } => self.at(*op, *iterations),
            Event::OpFinished(record) => self.at(record.op, u64::MAX),
            Event::RunFinished { .. } => self.bar.finish_and_clear(),
            _ => {}
        }
    }

    /// What is said of an event where every stage is told.
    fn line(&self, event: &Event) -> Option<String> {
        match event {
            Event::Stage { stage, at_s, detail } => {
                let words = format!("{at_s:8.3} s  {} {detail}", stage.replace('-', " "));
                Some(format!("{}\n", words.trim_end()))
            }
            Event::OpStarted { op, at_s } => {
                let (words, _, iterations) = self.ops.get(*op)?;
                let (number, all) = (op + 1, self.ops.len());
                Some(format!(
                    "{at_s:8.3} s  operation {number} of {all}: {words}, {iterations} iterations\n"
                ))
            }
            Event::RankLost(loss) => Some(format!(
                "{:8.3} s  rank {} lost: {}\n",
                loss.at_s, loss.rank, loss.what
            )),
            _ => None,
        }
    }

    /// Lets `print` write to the terminal without the bar in its way.
    pub fn aside<T>(&self, print: impl FnOnce() -> T) -> T {
        self.bar.suspend(print)
    }

    fn at(&self, op: usize, done: u64) {
        let Some((words, weight, iterations)) = self.ops.get(op) else {
            return;
        };
        let before: u64 = self.ops[..op]
            .iter()
            .map(|(_, weight, iterations)| weight * iterations)
            .sum();
        let done = done.min(*iterations);
        self.bar.set_position(before + done * weight);
        self.bar.set_message(format!("{words}, {done} of {iterations}"));
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

fn iterations(op: &OpPlan) -> u64 {
    u64::from(op.warmup) + u64::from(op.iterations)
}

/// Nominal microseconds; without a planned time, that of 1 GB/s. Small messages take at least 50 us.
fn weight(op: &OpPlan) -> u64 {
    let seconds = op.expected.seconds.unwrap_or(op.op.bytes as f64 / 1e9);
    ((seconds * 1e6) as u64).max(50)
}

/// `all-reduce ring 64 MiB`.
fn words(op: &OpPlan) -> String {
    if op.trace.is_some() {
        return op.label();
    }
    let (collective, algorithm) = (name_of(&op.op.collective), name_of(&op.op.algorithm));
    format!("{collective} {algorithm} {}", Bytes(op.op.bytes))
}
