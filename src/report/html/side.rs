//! What a report reads of one of its runs: the run, its repetitions, and when every rank was busy.

use std::path::PathBuf;

use crate::results::links::LinkOp;
use crate::results::nodes::Node;
use crate::results::reader::{self, Damage};
use crate::results::summary::Row;
use crate::results::{Run, iterations, links, nodes};
use crate::scenario::units::Bytes;

/// Nodes of traces that are kept for the timeline.
const NODES: usize = 20_000;

/// A run, or the repetitions of one.
#[derive(Debug)]
pub struct Side {
    /// What it was called on the command line.
    pub label: String,
    /// The run; of repetitions all, in order.
    pub runs: Vec<Run>,
    /// `[repetition][operation][iteration]`: nominal microseconds.
    pub times: Vec<Vec<Vec<f64>>>,
    /// `[operation][rank][iteration]` of the first repetition: start and end, real ns.
    pub played: Vec<Vec<Vec<(u64, u64)>>>,
    /// Bytes counted on links during each operation of the first repetition.
    pub links: Vec<LinkOp>,
    /// Nodes of the first measured iteration of traces, of the first repetition.
    pub nodes: Vec<Node>,
    /// What could not be read.
    pub damage: Vec<String>,
}

impl Side {
    /// Reads the repetitions of a run, at least one. What cannot be read within a folder is told.
    ///
    /// # Errors
    /// The folder whose manifest cannot be read, and why.
    pub fn read(label: &str, folders: &[PathBuf]) -> Result<Side, (PathBuf, Damage)> {
        let mut side = Side {
            label: label.into(),
            runs: Vec::new(),
            times: Vec::new(),
            played: Vec::new(),
            links: Vec::new(),
            nodes: Vec::new(),
            damage: Vec::new(),
        };
        for folder in folders {
            let run = reader::open(folder).map_err(|damage| (folder.clone(), damage))?;
            let damage = &mut side.damage;
            side.times.push(iterations::read(folder, &run, damage));
            if side.runs.is_empty() {
                let plan = &run.manifest.plan;
                let mut played = vec![vec![Vec::new(); plan.ranks.len()]; plan.ops.len()];
                // Told once already.
                let mut told = Vec::new();
                iterations::each(folder, &run, &mut told, |it| {
                    played[it.op][it.rank as usize].push((it.start_ns, it.end_ns));
                });
                side.played = played;
                side.links = links::read(folder, &run, damage);
                let kept = &mut side.nodes;
                nodes::each(folder, &run, damage, |node| {
                    if node.iteration == 0 && kept.len() < NODES {
                        kept.push(node);
                    }
                });
            }
            side.runs.push(run);
        }
        side.damage.sort();
        side.damage.dedup();
        Ok(side)
    }

    /// The run; of repetitions the first.
    pub fn run(&self) -> &Run {
        &self.runs[0]
    }

    /// The times of an operation in all repetitions, nominal microseconds.
    pub fn times_of(&self, op: usize) -> Vec<f64> {
        let of_op = |times: &'_ Vec<Vec<f64>>| times.get(op).cloned().unwrap_or_default();
        self.times.iter().flat_map(of_op).collect()
    }

    /// The medians of an operation in each repetition that has it, nominal microseconds.
    pub fn medians_of(&self, op: usize) -> Vec<f64> {
        let rows = self.runs.iter().flat_map(|run| &run.rows);
        let of_op = rows.filter(|row| row.index == op);
        of_op.filter_map(|row| Some(row.time?.p50)).collect()
    }

    /// `run k3v9x`, and of how many repetitions it is the first.
    pub fn name(&self) -> String {
        let id = &self.run().manifest.run_id;
        match self.runs.len() {
            1 => format!("run {id}"),
            n => format!("run {id}, {n} repetitions"),
        }
    }
}

/// A row in words: `all-reduce ring 64 MiB`, with its communicator where that is not the world's.
pub fn words(row: &Row) -> String {
    let mut words = what(row);
    if row.trace.is_none() && row.bytes > 0 {
        words += &format!(" {}", Bytes(row.bytes));
    }
    words
}

/// A row in words, without its size.
pub fn what(row: &Row) -> String {
    let mut words = match &row.trace {
        Some(name) => format!("trace {name}"),
        None => format!("{} {}", row.op, row.algorithm),
    };
    if row.communicator != "world" {
        words += &format!(" ({})", row.communicator);
    }
    words
}

/// Names of rows for the columns of a figure: what all have in common, and what is each one's own.
pub fn columns(rows: &[&Row]) -> (String, Vec<String>) {
    let same = rows.windows(2).all(|pair| what(pair[0]) == what(pair[1]));
    match rows {
        [first, _, ..] if same && rows.iter().all(|row| row.trace.is_none() && row.bytes > 0) => {
            let sizes = rows.iter().map(|row| Bytes(row.bytes).to_string());
            (format!("{}, size", what(first)), sizes.collect())
        }
        _ => (
            "operation, in the order played".into(),
            rows.iter().map(|row| words(row)).collect(),
        ),
    }
}

/// Each once, in the order in which they were met.
pub fn distinct<'a>(names: &[&'a str]) -> Vec<&'a str> {
    let mut distinct: Vec<&str> = Vec::new();
    for name in names {
        if !distinct.contains(name) {
            distinct.push(name);
        }
    }
    distinct
}
