//! Paths back through what has run: a rank's own, from its end to its start, and the critical one
//! across ranks. These follow the times of a run; `workload::inspect` finds the longest chain of a
//! trace that has not run.

use std::collections::HashMap;

use serde::Serialize;

use super::OpRecord;
use super::watch::Watch;
use crate::network::message::Rank;
use crate::workload::graph::Graph;

/// A node's share of the critical path.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Step {
    /// Whose.
    pub rank: Rank,
    /// Its place in the rank's graph.
    #[serde(skip)]
    pub place: u32,
    /// It waits for nothing that could be named, rather than running.
    pub waits: bool,
    /// From when on the path goes through it, ns.
    pub from: u64,
    /// Until when.
    pub to: u64,
}

/// A rank's nodes from the one that ended last back to one that waited for nothing: each was ready
/// when the next one was over.
pub fn own(kept: &[Option<Box<OpRecord>>]) -> Vec<&OpRecord> {
    let mut path = Vec::new();
    let over = kept.iter().flatten();
    let mut at = over.max_by_key(|op| op.end).map(|op| &**op);
    while let Some(op) = at {
        path.push(op);
        at = op.parent.and_then(|parent| kept[parent as usize].as_deref());
    }
    path
}

/// Nodes of one rank by slot and end.
type Ends = HashMap<(u8, u64), u32>;

/// The critical path to the end of `rank`, latest first. From a collective it goes on with the member
/// that came last, from a receive with its send, from a node that waited for its slot with the node
/// that had it, and otherwise with the last dependency.
pub fn critical(watch: &Watch, graphs: &[impl AsRef<Graph>], rank: Rank) -> Vec<Step> {
    let mut walk = Walk {
        watch,
        graphs,
        ends: HashMap::new(),
        steps: Vec::new(),
    };
    let last = watch.kept(rank).iter().flatten().max_by_key(|op| op.end);
    let mut at = last.map(|op| &**op);
    while let Some(op) = at {
        at = walk.back(op);
    }
    walk.steps
}

struct Walk<'a, G> {
    watch: &'a Watch,
    graphs: &'a [G],
    ends: HashMap<Rank, Ends>,
    steps: Vec<Step>,
}

impl<'a, G: AsRef<Graph>> Walk<'a, G> {
    /// Adds the way from the end of a node to the end of the one that it goes back to.
    fn back(&mut self, op: &'a OpRecord) -> Option<&'a OpRecord> {
        let began = match self.awaited(op) {
            Some(last) => {
                self.step(op, false, last.start, op.end);
                last
            }
            None => {
                self.step(op, false, op.start, op.end);
                op
            }
        };
        if began.start > began.ready {
            if let Some(before) = self.before(began) {
                return Some(before);
            }
            self.step(began, true, began.ready, began.start);
        }
        let Some(parent) = began.parent else {
            // Before that its rank had not begun.
            self.step(began, true, 0, began.ready);
            return None;
        };
        self.op(began.rank, parent)
    }

    fn op(&self, rank: Rank, place: u32) -> Option<&'a OpRecord> {
        self.watch.kept(rank)[place as usize].as_deref()
    }

    /// The node of another rank for which one waits after it has begun.
    fn awaited(&self, op: &OpRecord) -> Option<&'a OpRecord> {
        let (rank, place) = match (op.collective, op.other) {
            (Some((_, instance)), _) => {
                let (_, rank, place) = self.watch.instance(instance).last;
                (rank, place)
            }
            (None, Some(other)) if op.split.peers > 0 => (other.rank, other.place),
            _ => return None,
        };
        let other = self.op(rank, place)?;
        (rank != op.rank && other.start > op.start && other.start < op.end).then_some(other)
    }

    /// The node that had the slot of one that waited for it.
    fn before(&mut self, op: &OpRecord) -> Option<&'a OpRecord> {
        let kept = self.watch.kept(op.rank);
        let nodes = self.graphs[op.rank as usize].as_ref().nodes();
        let lane = |op: &OpRecord| nodes[op.place as usize].lane as u8;
        let ends = self.ends.entry(op.rank).or_insert_with(|| {
            let lasting = kept.iter().flatten().filter(|op| op.end > op.start);
            lasting.map(|op| ((lane(op), op.end), op.place)).collect()
        });
        let place = *ends.get(&(lane(op), op.start))?;
        self.op(op.rank, place)
    }

    fn step(&mut self, op: &OpRecord, waits: bool, from: u64, to: u64) {
        if to > from {
            self.steps.push(Step {
                rank: op.rank,
                place: op.place,
                waits,
                from,
                to,
            });
        }
    }
}
