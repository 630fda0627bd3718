//! Where in an operation's buffer the payload of a message lies.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use super::layout::Layout;
use super::schedule::Cells;

/// Where in an operation's buffer the payload of a message lies.
#[derive(Clone, PartialEq)]
pub struct Region {
    /// None: no buffer, and no bytes of it.
    layout: Option<Arc<Layout>>,
    cells: Cells,
    chunk: u32,
}

impl Region {
    /// A chunk's parts of some cells.
    pub fn new(layout: Arc<Layout>, cells: Cells, chunk: u32) -> Self {
        Region {
            layout: Some(layout),
            cells,
            chunk,
        }
    }

    /// The first `bytes` bytes of a buffer: what a backend's tests need.
    pub fn whole(bytes: u64) -> Self {
        Region {
            layout: Some(Arc::new(Layout::bytes_only(bytes))),
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
        let layout = self.layout.as_ref();
        layout.map_or(0, |layout| layout.bytes(self.cells, self.chunk))
    }
}

impl Default for Region {
    /// No buffer.
    fn default() -> Self {
        Region {
            layout: None,
            cells: Cells::range(0, 0),
            chunk: 0,
        }
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
        let layout = layout.as_ref()?;
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
    use crate::system::op::{Algorithm, Collective, Op};

    #[test]
    fn neighbouring_ranges_merge() {
        let op = Op::new(Collective::AllGather, Algorithm::HalvingDoubling, 64);
        let region = |cells| Region::new(Arc::new(Layout::new(&op, 4, 0)), cells, 0);
        assert_eq!(region(Cells::range(1, 4)).ranges().next(), Some(16..64));
        assert_eq!(
            region(Cells::congruent(1, 2, 4)).ranges().collect::<Vec<_>>(),
            [16..32, 48..64]
        );
    }
}
