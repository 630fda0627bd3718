//! What a generated job amounts to, stage by stage, for people and for checks.

use std::collections::BTreeMap;

use serde::Serialize;

use super::graph::{Op, OpKind};
use super::job::Job;
use super::memory::Memory;
use super::step::stage_params;

/// Totals of one rank of a stage.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct StageSummary {
    /// The stage.
    pub stage: u32,
    /// Nodes of each rank.
    pub nodes: u64,
    /// Parameters of each rank, before ZeRO shares them.
    pub parameters: u64,
    /// Flops of products.
    pub flops: u128,
    /// Time of all computes, ns.
    pub compute_ns: u64,
    /// Bytes by collective and kind of group, in ASTRA-sim's convention: `ALL_GATHER dp`.
    pub collective_bytes: BTreeMap<String, u64>,
    /// Bytes that are sent to other stages.
    pub sent_bytes: u64,
    /// Bytes on the device, estimated.
    pub memory_bytes: u64,
}

impl StageSummary {
    /// Of a stage with these operations.
    pub fn of(job: &Job, stage: u32, ops: &[Op]) -> Self {
        let mut summary = StageSummary {
            stage,
            nodes: ops.len() as u64,
            parameters: stage_params(job, stage).total(),
            flops: 0,
            compute_ns: 0,
            collective_bytes: BTreeMap::new(),
            sent_bytes: 0,
            memory_bytes: Memory::of(job, stage).total(),
        };
        for op in ops {
            summary.add(&op.kind);
        }
        summary
    }

    fn add(&mut self, kind: &OpKind) {
        match kind {
            OpKind::Compute { work, ns } => {
                self.flops += work.flops;
                self.compute_ns += ns;
            }
            OpKind::Collective {
                collective,
                group,
                bytes,
            } => {
                let key = format!("{collective} {}", group.name());
                *self.collective_bytes.entry(key).or_default() += bytes;
            }
            OpKind::Send(message) => self.sent_bytes += message.bytes,
            OpKind::Receive(_) => {}
        }
    }
}
