//! How long a run will take, roughly: for the user's patience and for `"auto"` iterations.

use crate::scenario::plan::{FabricKind, OpPlan, Plan};
use crate::system::collective::{Flow, Traffic, traffic};

/// Real seconds of the whole run with bring-up and tear-down.
pub fn expected(plan: &Plan) -> f64 {
    let emulated = plan.testbed.fabric == FabricKind::Emulated;
    let calibration = if emulated && plan.testbed.calibrate {
        1.0
    } else {
        0.0
    };
    let setup = 0.5 + 0.02 * (plan.network.nodes.len() + plan.ranks.len()) as f64;
    let ops: f64 = plan.ops.iter().map(|op| op_seconds(plan, op)).sum();
    let guest = if plan.testbed.fabric == FabricKind::SoftRoce {
        6.0
    } else {
        0.0
    };
    setup + calibration + guest + ops + circuits(plan)
}

/// Real seconds in which mirrors move and nothing is played.
fn circuits(plan: &Plan) -> f64 {
    let Some(optical) = &plan.optical else {
        return 0.0;
    };
    let settle = optical
        .switches
        .iter()
        .map(|switch| (switch.settle.0 + switch.jitter.0) as f64 / 1e9);
    let slowest = settle.fold(0.0, f64::max) * plan.dilation;
    optical.steps.len() as f64 * (slowest + 0.05)
}

/// By what factor software is slower where the fabric has it played: soft-RoCE commonly in a guest on an
/// emulated processor (measured: 30 to 100 times).
pub fn slowdown(fabric: FabricKind) -> f64 {
    match fabric {
        FabricKind::SoftRoce => 50.0,
        FabricKind::Emulated | FabricKind::Host => 1.0,
    }
}

fn op_seconds(plan: &Plan, op: &OpPlan) -> f64 {
    let n = plan.communicators[op.op.communicator as usize].ranks.len() as u32;
    let software =
        traffic(&op.op, n).map_or(0.0, |traffic| software_seconds(&traffic)) * slowdown(plan.testbed.fabric);
    let one = software.max(op.expected.seconds.unwrap_or(0.0) * plan.dilation);
    one * (f64::from(op.warmup) + f64::from(op.iterations))
}

/// Real seconds that the software of one small machine takes for an operation, a rough guess:
/// 20 us for each message latency, or 5 us for each message and 0.2 ns for each byte of all ranks
/// together, whichever is more.
pub fn software_seconds(traffic: &Traffic) -> f64 {
    let sum = |(messages, bytes), flow: &Flow| (messages + flow.messages, bytes + flow.bytes);
    let (messages, bytes) = traffic.flows.iter().fold((0, 0), sum);
    let work = messages as f64 * 5e-6 + bytes as f64 * 0.2e-9;
    work.max(f64::from(traffic.rounds) * 20e-6)
}
