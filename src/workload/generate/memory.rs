//! Bytes that a job needs on each device: states as in ZeRO (arXiv 1910.02054, sections 3 and 5),
//! activations as in Korthikanti et al. (arXiv 2205.05198, equations 1 to 6), with their sums taken
//! apart so that they hold for grouped queries, gated blocks and experts too.

use super::job::{Job, Recompute, Zero};
use super::parallel::Group;
use super::schedule::Pass;
use super::step::stage_params;

/// Master copy and two moments of Adam, bytes for each parameter.
const OPTIMIZER: u64 = 12;
/// A parameter, bytes.
const PARAMETER: u64 = 2;

/// Bytes on a device of one stage.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Memory {
    /// Parameters.
    pub parameters: u64,
    /// Gradients.
    pub gradients: u64,
    /// States of the optimizer.
    pub optimizer: u64,
    /// What forward passes keep for backward passes, at its largest.
    pub activations: u64,
}

impl Memory {
    /// Of a stage of a job.
    pub fn of(job: &Job, stage: u32) -> Memory {
        let params = stage_params(job, stage);
        let bytes = |each: u64, from: Zero| {
            let share = |group| {
                if job.zero >= from {
                    u64::from(job.layout.size(group))
                } else {
                    1
                }
            };
            (params.dense * each).div_ceil(share(Group::Data))
                + (params.expert * each).div_ceil(share(Group::ExpertData))
        };
        Memory {
            parameters: bytes(PARAMETER, Zero::Parameters),
            gradients: bytes(job.gradient_bytes, Zero::Gradients),
            optimizer: bytes(OPTIMIZER, Zero::Optimizer),
            activations: activations(job, stage),
        }
    }

    /// All of them.
    pub fn total(&self) -> u64 {
        self.parameters + self.gradients + self.optimizer + self.activations
    }
}

/// The most that is held at once, by the order of passes.
fn activations(job: &Job, stage: u32) -> u64 {
    let chunk = |chunk: u32| -> u64 {
        let layers = job.layers(chunk * job.layout.pp + stage);
        layers
            .map(|layer| layer_activations(job, layer))
            .fold(0, u64::saturating_add)
    };
    let chunks: Vec<u64> = (0..job.chunks).map(chunk).collect();
    let (mut held, mut most) = (0u128, 0);
    for slot in job.pipeline().order(stage) {
        let bytes = u128::from(chunks[slot.chunk as usize]);
        match slot.pass {
            Pass::Forward => held += bytes,
            Pass::Backward => held -= bytes,
        }
        most = most.max(held);
    }
    u64::try_from(most).unwrap_or(u64::MAX)
}

/// Of one micro-batch in one layer on one rank.
pub fn layer_activations(job: &Job, layer: u32) -> u64 {
    let (model, tp, tokens) = (&job.model, u64::from(job.layout.tp), job.tokens());
    let share = if job.shares_sequence() { tp } else { 1 };
    if job.recompute == Recompute::Full {
        return 2 * tokens * model.hidden / share;
    }
    let (routed, inner) = match model.experts_of(layer) {
        None => (0, model.ffn),
        Some(moe) => (moe.top_k, (moe.top_k + moe.shared) * moe.ffn),
    };
    // Inputs of two norms and two blocks, two dropout masks; copies of routed tokens.
    let between = (10 + 2 * routed) * model.hidden;
    // Queries, keys, values, their outcome; what the block's matrices make and read.
    let attention = 2 * (2 * model.heads + 2 * model.kv_heads) * model.head_dim;
    let block = if model.gated { 6 * inner } else { 4 * inner };
    let scores = match job.recompute {
        Recompute::None => 5 * model.heads * model.sequence,
        _ => 0,
    };
    tokens * between / share + tokens * (attention + block + scores) / tp
}
