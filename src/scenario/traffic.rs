//! What the planner asks the collectives: who sends how much to whom. The one place where planning
//! touches [`crate::system`].

use crate::system::op::{Algorithm, Collective, Op};

/// All messages from one position to another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Flow {
    /// Position of the sender.
    pub from: u32,
    /// Position of the receiver.
    pub to: u32,
    /// Payload bytes.
    pub bytes: u64,
    /// Number of messages.
    pub messages: u64,
}

/// What one operation sends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Traffic {
    /// Pairs that exchange anything.
    pub flows: Vec<Flow>,
    /// Message latencies one after another.
    pub rounds: u32,
}

/// What `op` sends among `n` ranks.
pub fn traffic(op: &Op, n: u32) -> Result<Traffic, String> {
    if op.collective != Collective::AllReduce || n < 2 {
        return Ok(Traffic { flows: Vec::new(), rounds: 1 });
    }
    let block = |position: u32| op.bytes / u64::from(n) + u64::from(u64::from(position) < op.bytes % u64::from(n));
    let sent = |from: u32| 2 * op.bytes - block((from + 1) % n) - block((from + 2) % n);
    let flow = |from: u32| Flow {
        from,
        to: (from + 1) % n,
        bytes: sent(from),
        messages: u64::from(2 * (n - 1)),
    };
    Ok(Traffic { flows: (0..n).map(flow).collect(), rounds: 2 * (n - 1) })
}

/// The algorithm of `op` among `n` ranks, with `auto` resolved.
pub fn algorithm(op: &Op, _n: u32) -> Algorithm {
    match op.algorithm {
        Algorithm::Auto => Algorithm::Ring,
        chosen => chosen,
    }
}
