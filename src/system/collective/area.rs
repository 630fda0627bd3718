//! Cells one after another: how long they are and where they start, in elements.

use crate::system::op::Op;

use super::schedule;

/// Cells one after another; lengths in elements.
#[derive(Debug, PartialEq)]
pub(super) enum Area {
    /// So many elements in so many blocks, whose sizes differ by at most one, larger ones first.
    Even { elements: u64, blocks: u32 },
    /// Ends of blocks.
    Listed { ends: Vec<u64> },
}

/// Blocks that a position of a ring all-to-all passes on, each in a slot of its own.
#[derive(Debug, PartialEq)]
pub(super) enum Transit {
    None,
    /// Block sizes are those of `outgoing`, by destination.
    Even {
        n: u32,
        position: u32,
        outgoing: Area,
        slot: u64,
    },
    /// Block sizes by transit cell.
    Listed {
        lengths: Vec<u64>,
        slot: u64,
    },
}

/// The `part`-th of `parts` parts of `length`: its start and its length. Parts differ by at most one.
pub(super) fn part(length: u64, part: u32, parts: u32) -> (u64, u64) {
    let (part, parts) = (u64::from(part), u64::from(parts.max(1)));
    let (whole, rest) = (length / parts, length % parts);
    (part * whole + part.min(rest), whole + u64::from(part < rest))
}

impl Area {
    pub(super) const EMPTY: Area = Area::Even {
        elements: 0,
        blocks: 0,
    };

    pub(super) fn even(elements: u64, blocks: u32) -> Self {
        Area::Even { elements, blocks }
    }

    pub(super) fn listed(lengths: impl Iterator<Item = u64>) -> Self {
        let ends = lengths
            .scan(0, |end, length| {
                *end += length;
                Some(*end)
            })
            .collect();
        Area::Listed { ends }
    }

    pub(super) fn count(&self) -> u32 {
        match self {
            Area::Even { blocks, .. } => *blocks,
            Area::Listed { ends } => ends.len() as u32,
        }
    }

    pub(super) fn total(&self) -> u64 {
        match self {
            Area::Even { elements, .. } => *elements,
            Area::Listed { ends } => ends.last().copied().unwrap_or(0),
        }
    }

    /// Start and length of a block.
    pub(super) fn block(&self, i: u32) -> (u64, u64) {
        match self {
            Area::Even { elements, blocks } => part(*elements, i, *blocks),
            Area::Listed { ends } => {
                let start = i.checked_sub(1).map_or(0, |before| ends[before as usize]);
                (start, ends[i as usize] - start)
            }
        }
    }

    pub(super) fn longest(&self) -> u64 {
        match self {
            Area::Even { elements, blocks } => elements.div_ceil(u64::from((*blocks).max(1))),
            Area::Listed { .. } => (0..self.count()).map(|i| self.block(i).1).max().unwrap_or(0),
        }
    }
}

/// The cell in which a position of a ring all-to-all among `n` keeps the block whose source lies
/// `behind` hops back and whose destination `ahead` hops on; both at least 1, their sum below `n`.
pub(super) fn transit_cell(n: u32, behind: u32, ahead: u32) -> u32 {
    2 * n + transit_row(n, behind) + ahead - 1
}

/// Transit cells of sources nearer than `behind`.
fn transit_row(n: u32, behind: u32) -> u32 {
    let before = u64::from(behind - 1);
    (before * u64::from(n - 1) - before * u64::from(behind) / 2) as u32
}

/// The (behind, ahead) of a transit cell, counted from the first of them.
fn transit_hops(n: u32, index: u32) -> (u32, u32) {
    let (mut low, mut high) = (1, n.saturating_sub(1));
    while high - low > 1 {
        let middle = low.midpoint(high);
        if transit_row(n, middle) <= index {
            low = middle
        } else {
            high = middle
        }
    }
    (low, index - transit_row(n, low) + 1)
}

/// Transit cells of a position.
fn transit_count(n: u32) -> u32 {
    (u64::from(n.saturating_sub(1)) * u64::from(n.saturating_sub(2)) / 2) as u32
}

impl Transit {
    pub(super) fn count(&self) -> u32 {
        match self {
            Transit::None => 0,
            Transit::Even { n, .. } => transit_count(*n),
            Transit::Listed { lengths, .. } => lengths.len() as u32,
        }
    }

    pub(super) fn slot(&self) -> u64 {
        match self {
            Transit::None => 0,
            Transit::Even { slot, .. } | Transit::Listed { slot, .. } => *slot,
        }
    }

    /// Start and length of a block.
    pub(super) fn block(&self, i: u32) -> (u64, u64) {
        let start = u64::from(i) * self.slot();
        match self {
            Transit::None => (0, 0),
            Transit::Listed { lengths, .. } => (start, lengths[i as usize]),
            Transit::Even {
                n,
                position,
                outgoing,
                ..
            } => {
                let (_, ahead) = transit_hops(*n, i);
                (start, outgoing.block(schedule::ahead(*position, ahead, *n)).1)
            }
        }
    }

    /// The transit cells of `op` at `position`.
    pub(super) fn of(op: &Op, n: u32, position: u32, element: u64) -> Self {
        if n < 3 {
            return Transit::None;
        }
        let Some(matrix) = &op.matrix else {
            let outgoing = Area::even(op.bytes / element, n);
            return Transit::Even {
                n,
                position,
                slot: outgoing.longest(),
                outgoing,
            };
        };
        let lengths: Vec<u64> = (0..transit_count(n))
            .map(|index| {
                let (behind, ahead) = transit_hops(n, index);
                let source = schedule::behind(position, behind, n);
                let destination = schedule::ahead(position, ahead, n);
                matrix[source as usize][destination as usize] / element
            })
            .collect();
        let slot = lengths.iter().copied().max().unwrap_or(0);
        Transit::Listed { lengths, slot }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn transit_cells_are_numbered_without_gaps() {
        for n in 3..20 {
            let mut expected = 2 * n;
            for behind in 1..n - 1 {
                for ahead in 1..n - behind {
                    assert_eq!(transit_cell(n, behind, ahead), expected);
                    assert_eq!(transit_hops(n, expected - 2 * n), (behind, ahead));
                    expected += 1;
                }
            }
            assert_eq!(expected - 2 * n, transit_count(n));
        }
    }
}
