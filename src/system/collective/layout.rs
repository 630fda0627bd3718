//! Where the cells that messages name lie in an operation's buffer, and how large they are.
//!
//! A buffer is up to three areas of cells, one after another: what is given (and, in place, what is
//! promised), what arrives (all-to-all, send-recv), and what passes through (all-to-all on a ring).
//! Chunk c of C is the c-th of C equal parts of *every* cell, so chunks never share a byte.

use std::ops::Range;

use crate::system::op::{Algorithm, Collective, Op};

use super::area::{Area, Transit, part};
use super::schedule::Cells;

/// Most chunks of one operation; what would need more has larger ones.
pub const MAX_CHUNKS: u32 = crate::system::tag::MAX_CHUNKS;

/// Cells of one rank's buffer for one operation.
#[derive(Debug, PartialEq)]
pub struct Layout {
    /// Bytes of an element.
    element: u64,
    /// Parts of every cell.
    chunks: u32,
    given: Area,
    arriving: Area,
    transit: Transit,
}

/// How many equal parts an operation is cut into: as few as keep a part at `chunk_bytes` (up to the
/// rounding of its blocks to whole elements), at most one per element of the longest block.
fn chunks(op: &Op, longest: u64) -> u32 {
    let size = match &op.matrix {
        Some(matrix) => {
            let row = matrix
                .iter()
                .map(|row| row.iter().sum::<u64>())
                .max()
                .unwrap_or(0);
            let column = (0..matrix.len())
                .map(|d| matrix.iter().map(|row| row[d]).sum::<u64>())
                .max()
                .unwrap_or(0);
            row.max(column)
        }
        None => op.bytes,
    };
    let wanted = if op.chunk_bytes == 0 {
        1
    } else {
        size.div_ceil(op.chunk_bytes)
    };
    wanted.min(longest).clamp(1, u64::from(MAX_CHUNKS)) as u32
}

impl Layout {
    /// The layout of `op` at `position` of `n`. `op` must have passed [`super::check`].
    pub fn new(op: &Op, n: u32, position: u32) -> Self {
        let element = op.dtype.bytes();
        let elements = op.bytes / element;
        let one_area = |blocks| (Area::even(elements, blocks), Area::EMPTY);
        let algorithm = super::algorithm(op, n);
        let (given, arriving) = match (op.collective, algorithm) {
            (Collective::Barrier, _) => {
                return Self::bytes_only(1);
            }
            (Collective::AllReduce, Algorithm::RecursiveDoubling | Algorithm::DoubleBinaryTree)
            | (Collective::Broadcast | Collective::Reduce, _) => one_area(1),
            (Collective::AllReduce, Algorithm::HalvingDoubling) => one_area(1 << n.ilog2()),
            (Collective::SendRecv, _) => (Area::even(elements, 1), Area::even(elements, 1)),
            (Collective::AllToAll, _) => match &op.matrix {
                Some(matrix) => (
                    Area::listed(matrix[position as usize].iter().map(|bytes| bytes / element)),
                    Area::listed(matrix.iter().map(|row| row[position as usize] / element)),
                ),
                None => {
                    let (_, own) = part(elements, position, n);
                    (Area::even(elements, n), Area::even(own * u64::from(n), n))
                }
            },
            _ => one_area(n),
        };
        let transit = match (op.collective, algorithm) {
            (Collective::AllToAll, Algorithm::Ring) => Transit::of(op, n, position, element),
            _ => Transit::None,
        };
        let longest = match &op.matrix {
            Some(matrix) => matrix.iter().flatten().copied().max().unwrap_or(0) / element,
            None => given.longest(),
        };
        Layout {
            element,
            chunks: chunks(op, longest),
            given,
            arriving,
            transit,
        }
    }

    /// One cell of so many bytes.
    pub(super) fn bytes_only(bytes: u64) -> Self {
        let given = Area::even(bytes, 1);
        Layout {
            element: 1,
            chunks: 1,
            given,
            arriving: Area::EMPTY,
            transit: Transit::None,
        }
    }

    /// How many cells there are.
    pub fn cells(&self) -> u32 {
        self.given.count() + self.arriving.count() + self.transit.count()
    }

    /// How many chunks the operation is cut into; every position cuts alike.
    pub fn chunks(&self) -> u32 {
        self.chunks
    }

    /// Bytes of the whole buffer.
    pub fn buffer_bytes(&self) -> u64 {
        let transit = u64::from(self.transit.count()) * self.transit.slot();
        (self.given.total() + self.arriving.total() + transit) * self.element
    }

    /// Start and length of a cell, elements.
    fn block(&self, cell: u32) -> (u64, u64) {
        let (given, arriving) = (self.given.count(), self.arriving.count());
        if cell < given {
            return self.given.block(cell);
        }
        if cell < given + arriving {
            let (start, length) = self.arriving.block(cell - given);
            return (self.given.total() + start, length);
        }
        let (start, length) = self.transit.block(cell - given - arriving);
        (self.given.total() + self.arriving.total() + start, length)
    }

    /// Where a cell lies in the buffer, bytes.
    pub fn cell(&self, cell: u32) -> Range<u64> {
        let (start, length) = self.block(cell);
        start * self.element..(start + length) * self.element
    }

    /// Where a chunk's part of a cell lies in the buffer, bytes; empty if it has none.
    pub fn piece(&self, cell: u32, chunk: u32) -> Range<u64> {
        let (start, length) = self.block(cell);
        let (from, length) = part(length, chunk, self.chunks);
        let start = (start + from) * self.element;
        start..start + length * self.element
    }

    /// Bytes of a chunk's parts of some cells.
    pub fn bytes(&self, cells: Cells, chunk: u32) -> u64 {
        self.sum(cells, |length| part(length, chunk, self.chunks).1)
    }

    /// Bytes of some cells in the chunks `variant`, `variant + variants`, ...
    pub(super) fn bytes_of_chunks(&self, cells: Cells, variant: u32, variants: u32) -> u64 {
        let chunks = u64::from(count_congruent(self.chunks, variant, variants));
        self.sum(cells, |length| {
            let parts = u64::from(self.chunks);
            let longer = count_congruent((length % parts) as u32, variant, variants);
            length / parts * chunks + u64::from(longer)
        })
    }

    /// How many of the chunks `variant`, `variant + variants`, ... have any byte of some cells.
    pub(super) fn chunks_with_bytes(&self, cells: Cells, variant: u32, variants: u32) -> u32 {
        let longest = match self.even_lengths(cells) {
            Some((longer, shorter)) => {
                if longer.1 > 0 {
                    longer.0
                } else {
                    shorter.0
                }
            }
            None => cells.iter().map(|cell| self.block(cell).1).max().unwrap_or(0),
        };
        let with_bytes = longest.min(u64::from(self.chunks)) as u32;
        count_congruent(with_bytes, variant, variants)
    }

    /// Sum of a function of cell lengths, bytes.
    fn sum(&self, cells: Cells, of: impl Fn(u64) -> u64) -> u64 {
        let elements = match self.even_lengths(cells) {
            Some((longer, shorter)) => of(longer.0) * longer.1 + of(shorter.0) * shorter.1,
            None => cells.iter().map(|cell| of(self.block(cell).1)).sum(),
        };
        elements * self.element
    }

    /// The two lengths of cells of an even area, and how many of `cells` have each.
    fn even_lengths(&self, cells: Cells) -> Option<((u64, u64), (u64, u64))> {
        let Area::Even { elements, blocks } = self.given else {
            return None;
        };
        let last = cells.first + cells.count.saturating_sub(1) * cells.stride;
        if last >= blocks {
            return None;
        }
        let (whole, rest) = (
            elements / u64::from(blocks),
            (elements % u64::from(blocks)) as u32,
        );
        let longer = rest
            .saturating_sub(cells.first)
            .div_ceil(cells.stride.max(1))
            .min(cells.count);
        Some((
            (whole + 1, u64::from(longer)),
            (whole, u64::from(cells.count - longer)),
        ))
    }
}

/// How many numbers below `end` are `residue` modulo `modulus`.
fn count_congruent(end: u32, residue: u32, modulus: u32) -> u32 {
    end.saturating_sub(residue).div_ceil(modulus)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layout(collective: Collective, algorithm: Algorithm, bytes: u64, chunk_bytes: u64, n: u32) -> Layout {
        Layout::new(
            &Op {
                chunk_bytes,
                ..Op::new(collective, algorithm, bytes)
            },
            n,
            0,
        )
    }

    #[test]
    fn chunks_of_cells_tile_the_buffer() {
        let layout = layout(Collective::AllGather, Algorithm::Ring, 4 * 1003, 512, 7);
        assert_eq!(layout.chunks(), 8);
        let mut pieces: Vec<_> = (0..7).flatten_pieces(&layout);
        pieces.sort_by_key(|r| r.start);
        assert_eq!(pieces.first().map(|r| r.start), Some(0));
        assert!(
            pieces.windows(2).all(|w| w[0].end == w[1].start),
            "neither gap nor overlap"
        );
        assert_eq!(pieces.last().map(|r| r.end), Some(4 * 1003));
    }

    trait FlattenPieces {
        fn flatten_pieces(self, layout: &Layout) -> Vec<Range<u64>>;
    }

    impl<I: Iterator<Item = u32>> FlattenPieces for I {
        fn flatten_pieces(self, layout: &Layout) -> Vec<Range<u64>> {
            self.flat_map(|cell| (0..layout.chunks()).map(move |c| layout.piece(cell, c)))
                .collect()
        }
    }

    #[test]
    fn blocks_differ_by_at_most_one_element() {
        let layout = layout(Collective::ReduceScatter, Algorithm::Ring, 4 * 10, 0, 7);
        let lengths: Vec<u64> = (0..7)
            .map(|c| layout.cell(c).end - layout.cell(c).start)
            .collect();
        assert_eq!(lengths, [8, 8, 8, 4, 4, 4, 4]);
    }

    #[test]
    fn closed_forms_equal_sums_over_cells_and_chunks() {
        let layout = layout(Collective::AllReduce, Algorithm::Ring, 4 * 1009, 700, 13);
        let cells = Cells {
            first: 2,
            stride: 3,
            count: 4,
        };
        for chunk in 0..layout.chunks() {
            let sum: u64 = cells
                .iter()
                .map(|c| layout.piece(c, chunk))
                .map(|r| r.end - r.start)
                .sum();
            assert_eq!(layout.bytes(cells, chunk), sum);
        }
        for variant in 0..2 {
            let chunks = (variant..layout.chunks()).step_by(2);
            let sum: u64 = chunks.map(|chunk| layout.bytes(cells, chunk)).sum();
            assert_eq!(layout.bytes_of_chunks(cells, variant, 2), sum);
        }
    }

    #[test]
    fn sizes_beyond_4_gib_are_exact() {
        let bytes = (1_u64 << 42) + 4;
        let layout = layout(Collective::AllGather, Algorithm::Ring, bytes, 0, 1024);
        let total: u64 = (0..1024).map(|c| layout.cell(c).end - layout.cell(c).start).sum();
        assert_eq!((total, layout.cell(1023).end), (bytes, bytes));
    }
}
