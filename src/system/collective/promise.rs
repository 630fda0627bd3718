//! What the cells of a rank's buffer hold before an operation and must hold after it. The verifier
//! proves it with symbols, [`crate::system::payload`] checks it with numbers.

use crate::system::op::{Collective, Op};

use super::schedule::behind;

/// What a cell holds, or must.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Holds {
    /// Before: nothing of use. After: anything.
    Anything,
    /// Block `block` that `position` gave.
    One {
        /// Who gave it.
        position: u32,
        /// Which of its blocks.
        block: u32,
    },
    /// The reduction of block `block` of all positions.
    All {
        /// Which of their blocks.
        block: u32,
    },
}

/// What `cell` of `position`'s buffer holds before `op`.
pub fn before(op: &Op, n: u32, position: u32, cell: u32) -> Holds {
    let own = |block| Holds::One { position, block };
    match op.collective {
        Collective::AllReduce | Collective::ReduceScatter | Collective::Reduce | Collective::Barrier => {
            own(cell)
        }
        Collective::AllGather | Collective::Gather if cell == position => own(0),
        Collective::AllToAll if cell < n => own(cell),
        // What a rank sends to itself is in place, as after a local copy.
        Collective::AllToAll if cell == n + position => own(position),
        Collective::Broadcast | Collective::Scatter if position == op.root => own(cell),
        Collective::SendRecv if cell == 0 => own(0),
        _ => Holds::Anything,
    }
}

/// What `cell` of `position`'s buffer must hold after `op`.
pub fn after(op: &Op, n: u32, position: u32, cell: u32) -> Holds {
    let one = |position, block| Holds::One { position, block };
    match op.collective {
        Collective::AllReduce | Collective::Barrier => Holds::All { block: cell },
        Collective::Reduce if position == op.root => Holds::All { block: cell },
        Collective::ReduceScatter if cell == position => Holds::All { block: cell },
        Collective::AllGather => one(cell, 0),
        Collective::Gather if position == op.root => one(cell, 0),
        Collective::AllToAll if (n..2 * n).contains(&cell) => one(cell - n, position),
        Collective::Broadcast => one(op.root, cell),
        Collective::Scatter if cell == position => one(op.root, cell),
        Collective::SendRecv if cell == 1 && n > 1 => one(behind(position, 1, n), 0),
        _ => Holds::Anything,
    }
}
