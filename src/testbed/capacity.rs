//! Whether this machine can hold a plan: open files and, where real data is carried, memory. Asked
//! before anything is started, so that too little of either is one clear sentence.

use nix::sys::resource::{Resource, getrlimit, setrlimit};

use super::peers::peers;
use crate::network::tcp::transport::LANES_PER_CHANNEL;
use crate::scenario::plan::Plan;
use crate::scenario::units::Bytes;
use crate::system::payload;

/// Files that a process has open whatever it plays.
const FILES: u64 = 64;
/// Files of the controller for each rank and each node: connection, stderr, process; namespaces.
const FILES_PER_MEMBER: u64 = 8;
/// Copies of a buffer that a verifying rank holds at its worst: what is reduced into, and what
/// waits to be sent and has come too early.
const COPIES: u64 = 3;

/// The machine is too small for the plan.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TooSmall {
    /// Not enough files may be open.
    #[error(
        "this scenario needs {needed} open files in one process; at most {limit} are allowed\nhelp: raise the hard limit (`ulimit -Hn {needed}`), or play fewer ranks or channels"
    )]
    Files {
        /// Of the process that needs most.
        needed: u64,
        /// The hard limit.
        limit: u64,
    },
    /// Real data would not fit.
    #[error(
        "with `testbed.verify`, the ranks of this scenario hold {needed} of real data; {available} of memory are available\nhelp: smaller sizes, fewer ranks, or no `verify`"
    )]
    Memory {
        /// All ranks together.
        needed: Bytes,
        /// What the kernel could give without swapping.
        available: Bytes,
    },
}

/// Raises the soft limit of open files as far as the plan needs; child processes inherit it.
///
/// # Errors
/// If the hard limit is too low, or memory for `verify` too small.
pub fn settle(plan: &Plan) -> Result<(), TooSmall> {
    let needed = files(plan);
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap_or((u64::MAX, u64::MAX));
    if needed > hard || (needed > soft && setrlimit(Resource::RLIMIT_NOFILE, needed, hard).is_err()) {
        return Err(TooSmall::Files { needed, limit: hard });
    }
    match available() {
        Some(available) if plan.testbed.verify && memory(plan) > available => Err(TooSmall::Memory {
            needed: Bytes(memory(plan)),
            available: Bytes(available),
        }),
        _ => Ok(()),
    }
}

/// Open files of the process that needs most: the controller, or the rank with most peers.
fn files(plan: &Plan) -> u64 {
    let members = (plan.ranks.len() + plan.network.nodes.len()) as u64;
    let lanes = u64::from(plan.testbed.tcp.channels * LANES_PER_CHANNEL);
    let most = peers(plan).iter().map(Vec::len).max().unwrap_or(0) as u64;
    FILES + (FILES_PER_MEMBER * members).max(most * lanes)
}

/// Bytes of real data that all ranks hold at once, in the operation with most of it.
fn memory(plan: &Plan) -> u64 {
    let held = |op: &crate::scenario::plan::OpPlan| {
        let members = plan.communicators.iter().find(|c| c.id == op.op.communicator);
        let n = members.map_or(0, |c| c.ranks.len() as u32);
        let buffers = (0..n).map(|position| payload::buffer_bytes(&op.op, n, position));
        buffers.fold(0, u64::saturating_add).saturating_mul(COPIES)
    };
    plan.ops.iter().map(held).max().unwrap_or(0)
}

/// Memory that the kernel could give without swapping, bytes.
fn available() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    let kib: u64 = line.split_whitespace().next()?.parse().ok()?;
    Some(kib * 1024)
}
