//! Nodes of traces as they were played, back from `nodes.csv`; a file of millions of lines is shown line by line.

use std::path::Path;

use super::run::Run;
use super::{csv, reader, tables};

/// When a rank played a node of a trace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// The operation's place in the plan.
    pub op: usize,
    /// Whose.
    pub rank: u32,
    /// Measured iteration, from 0.
    pub iteration: u64,
    /// Its number in the trace.
    pub node: u64,
    /// Its name there.
    pub name: String,
    /// `compute`, `send`, `receive` or the collective.
    pub kind: String,
    /// What it occupied: `cpu`, `gpu`, `comm`, `none`.
    pub lane: String,
    /// Start since the common start of all ranks, real ns.
    pub start_ns: u64,
    /// End, likewise.
    pub end_ns: u64,
    /// Bytes of a message, or as nccl-tests counts a collective.
    pub bytes: u64,
    /// From the moment when nothing held it up any more to its start, real ns.
    pub wait_ns: u64,
}

/// Shows every node of a run that played traces, in the order of the file; what cannot be read is left out
/// and told in `found`.
pub fn each(folder: &Path, run: &Run, found: &mut Vec<String>, mut show: impl FnMut(Node)) {
    let plan = &run.manifest.plan;
    if !plan.ops.iter().any(|op| op.trace.is_some()) {
        return;
    }
    let Some(text) = reader::file(folder, "nodes.csv", &run.manifest, found) else {
        return;
    };
    let (mut header, mut wrong) = (None, 0);
    csv::each(&text, |record| match &header {
        None => header = Some(record.to_vec()),
        Some(header) => match tables::node(header, record) {
            Ok(node) if node.op < plan.ops.len() && (node.rank as usize) < plan.ranks.len() => show(node),
            _ => wrong += 1,
        },
    });
    if wrong > 0 {
        found.push(format!(
            "{wrong} lines of nodes.csv are left out: not a node of the plan"
        ));
    }
}
