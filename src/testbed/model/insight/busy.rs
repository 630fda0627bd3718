//! When an NPU computes: a growing union of intervals that says how much of any span it covers.

/// A union of intervals, added by ascending start.
#[derive(Debug, Clone, Default)]
pub struct Busy {
    spans: Vec<Span>,
    added: u64,
}

#[derive(Debug, Clone, Copy)]
struct Span {
    start: u64,
    end: u64,
    /// Length of all spans before.
    before: u64,
}

impl Busy {
    /// Adds an interval that begins no earlier than those before.
    pub fn add(&mut self, start: u64, end: u64) {
        self.added = self.added.wrapping_add(end.saturating_sub(start));
        if end <= start {
            return;
        }
        match self.spans.last_mut() {
            Some(last) if start <= last.end => last.end = last.end.max(end),
            last => {
                let before = last.map_or(0, |last| last.before + (last.end - last.start));
                self.spans.push(Span { start, end, before });
            }
        }
    }

    /// Nanoseconds of `from..to` that are covered.
    pub fn covered(&self, from: u64, to: u64) -> u64 {
        if to <= from {
            return 0;
        }
        self.until(to) - self.until(from)
    }

    /// Nanoseconds that both cover.
    pub fn overlap(&self, other: &Busy) -> u64 {
        let spans = self.spans.iter();
        spans.map(|span| other.covered(span.start, span.end)).sum()
    }

    /// Sum of the intervals' lengths, where overlapping ones count as often as they are added.
    pub fn added(&self) -> u64 {
        self.added
    }

    /// Nanoseconds covered before `at`.
    fn until(&self, at: u64) -> u64 {
        let after = self.spans.partition_point(|span| span.start < at);
        let last = after.checked_sub(1).map(|place| self.spans[place]);
        last.map_or(0, |span| span.before + (span.end.min(at) - span.start))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn every_nanosecond_counts_once(lengths in prop::collection::vec((0u64..5, 0u64..8), 0..12), from in 0u64..50, length in 0u64..50) {
            let (mut busy, mut start, mut covered) = (Busy::default(), 0, [false; 128]);
            for (gap, length) in lengths {
                start += gap;
                busy.add(start, start + length);
                covered[start as usize..(start + length) as usize].fill(true);
            }
            let expected = covered[from as usize..(from + length) as usize].iter().filter(|&&on| on).count();
            prop_assert_eq!(busy.covered(from, from + length), expected as u64);
        }
    }
}
