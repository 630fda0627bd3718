//! Where the cells that messages name lie in an operation's buffer, and how large they are.
//!
//! A buffer is up to three areas of cells, one after another: what is given (and, in place, what is
//! promised), what arrives (all-to-all, send-recv), and what passes through (all-to-all on a ring).
//! Chunk c of C is the c-th of C equal parts of *every* cell, so chunks never share a byte.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use crate::system::op::{Algorithm, Collective, Op};

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

/// Cells one after another; lengths in elements.
#[derive(Debug, PartialEq)]
enum Area {
    /// So many elements in so many blocks, whose sizes differ by at most one, larger ones first.
    Even { elements: u64, blocks: u32 },
    /// Ends of blocks.
    Listed { ends: Vec<u64> },
}

/// Blocks that a position of a ring all-to-all passes on, each in a slot of its own.
#[derive(Debug, PartialEq)]
enum Transit {
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
fn part(length: u64, part: u32, parts: u32) -> (u64, u64) {
    let (part, parts) = (u64::from(part), u64::from(parts.max(1)));
    let (whole, rest) = (length / parts, length % parts);
    (part * whole + part.min(rest), whole + u64::from(part < rest))
}

impl Area {
    const EMPTY: Area = Area::Even {
        elements: 0,
        blocks: 0,
    };

    fn even(elements: u64, blocks: u32) -> Self {
        Area::Even { elements, blocks }
    }

    fn listed(lengths: impl Iterator<Item = u64>) -> Self {
        let ends = lengths
            .scan(0, |end, length| {
                *end += length;
                Some(*end)
            })
            .collect();
        Area::Listed { ends }
    }

    fn count(&self) -> u32 {
        match self {
            Area::Even { blocks, .. } => *blocks,
            Area::Listed { ends } => ends.len() as u32,
        }
    }

    fn total(&self) -> u64 {
        match self {
            Area::Even { elements, .. } => *elements,
            Area::Listed { ends } => ends.last().copied().unwrap_or(0),
        }
    }

    /// Start and length of a block.
    fn block(&self, i: u32) -> (u64, u64) {
        match self {
            Area::Even { elements, blocks } => part(*elements, i, *blocks),
            Area::Listed { ends } => {
                let start = i.checked_sub(1).map_or(0, |before| ends[before as usize]);
                (start, ends[i as usize] - start)
            }
        }
    }

    fn longest(&self) -> u64 {
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
    fn count(&self) -> u32 {
        match self {
            Transit::None => 0,
            Transit::Even { n, .. } => transit_count(*n),
            Transit::Listed { lengths, .. } => lengths.len() as u32,
        }
    }

    fn slot(&self) -> u64 {
        match self {
            Transit::None => 0,
            Transit::Even { slot, .. } | Transit::Listed { slot, .. } => *slot,
        }
    }

    /// Start and length of a block.
    fn block(&self, i: u32) -> (u64, u64) {
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
                (
                    start,
                    outgoing.block(super::schedule::ahead(*position, ahead, *n)).1,
                )
            }
        }
    }

    /// The transit cells of `op` at `position`.
    fn of(op: &Op, n: u32, position: u32, element: u64) -> Self {
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
                let source = super::schedule::behind(position, behind, n);
                let destination = super::schedule::ahead(position, ahead, n);
                matrix[source as usize][destination as usize] / element
            })
            .collect();
        let slot = lengths.iter().copied().max().unwrap_or(0);
        Transit::Listed { lengths, slot }
    }
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
                return Layout {
                    element: 1,
                    chunks: 1,
                    given: Area::even(1, 1),
                    arriving: Area::EMPTY,
                    transit: Transit::None,
                };
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

/// Where in an operation's buffer the payload of a message lies.
#[derive(Clone, PartialEq)]
pub struct Region {
    layout: Arc<Layout>,
    cells: Cells,
    chunk: u32,
}

impl Region {
    /// A chunk's parts of some cells.
    pub fn new(layout: Arc<Layout>, cells: Cells, chunk: u32) -> Self {
        Region { layout, cells, chunk }
    }

    /// The first `bytes` bytes of a buffer: what a backend's tests need.
    pub fn whole(bytes: u64) -> Self {
        let given = Area::even(bytes, 1);
        let layout = Layout {
            element: 1,
            chunks: 1,
            given,
            arriving: Area::EMPTY,
            transit: Transit::None,
        };
        Region {
            layout: Arc::new(layout),
            cells: Cells::one(0),
            chunk: 0,
        }
    }

    /// Byte ranges of the buffer in the order in which their bytes travel; adjacent ones are merged
    /// and empty ones left out. Their lengths add up to the message's bytes.
    pub fn ranges(&self) -> Ranges<'_> {
        Ranges {
            region: self,
            next: 0,
            held: None,
        }
    }

    /// The cells of which the chunk's parts are meant.
    pub fn cells(&self) -> Cells {
        self.cells
    }

    /// The chunk.
    pub fn chunk(&self) -> u32 {
        self.chunk
    }

    /// Payload bytes.
    pub fn bytes(&self) -> u64 {
        self.layout.bytes(self.cells, self.chunk)
    }
}

impl Default for Region {
    /// No bytes.
    fn default() -> Self {
        Region::whole(0)
    }
}

impl fmt::Debug for Region {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Cells { first, stride, count } = self.cells;
        write!(
            f,
            "Region({count} cells from {first} step {stride}, chunk {})",
            self.chunk
        )
    }
}

/// Iterator of [`Region::ranges`].
#[derive(Debug)]
pub struct Ranges<'a> {
    region: &'a Region,
    next: u32,
    held: Option<Range<u64>>,
}

impl Iterator for Ranges<'_> {
    type Item = Range<u64>;

    fn next(&mut self) -> Option<Range<u64>> {
        let Region { layout, cells, chunk } = self.region;
        while self.next < cells.count {
            let piece = layout.piece(cells.first + self.next * cells.stride, *chunk);
            self.next += 1;
            match &mut self.held {
                _ if piece.is_empty() => {}
                Some(held) if held.end == piece.start => held.end = piece.end,
                held => {
                    if let Some(before) = held.replace(piece) {
                        return Some(before);
                    }
                }
            }
        }
        self.held.take()
    }
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

    #[test]
    fn sizes_beyond_4_gib_are_exact() {
        let bytes = (1_u64 << 42) + 4;
        let layout = layout(Collective::AllGather, Algorithm::Ring, bytes, 0, 1024);
        let total: u64 = (0..1024).map(|c| layout.cell(c).end - layout.cell(c).start).sum();
        assert_eq!((total, layout.cell(1023).end), (bytes, bytes));
    }

    #[test]
    fn neighbouring_ranges_merge() {
        let op = Op::new(Collective::AllGather, Algorithm::HalvingDoubling, 64);
        let region = |cells| Region::new(Arc::new(Layout::new(&op, 4, 0)), cells, 0);
        assert_eq!(region(Cells::range(1, 4)).ranges().collect::<Vec<_>>(), [16..64]);
        assert_eq!(
            region(Cells::congruent(1, 2, 4)).ranges().collect::<Vec<_>>(),
            [16..32, 48..64]
        );
    }
}
