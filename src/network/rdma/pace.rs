//! The largest rate of a connection: a piece leaves when those before it would have left a wire of that rate
//! (the virtual scheduling algorithm of ITU-T I.371). Knows no clock.

use std::time::Duration;

/// A piece may leave so much before its time: timers are no more exact.
const EARLY: Duration = Duration::from_micros(100);

/// Times are since any origin.
#[derive(Debug, Clone, PartialEq)]
pub struct Pace {
    bytes_per_second: f64,
    /// The wire is free again at.
    free_at: Duration,
}

impl Pace {
    /// So many bytes a second.
    pub fn new(bytes_per_second: u64) -> Self {
        Self {
            bytes_per_second: bytes_per_second.max(1) as f64,
            free_at: Duration::ZERO,
        }
    }

    /// Whether a piece may leave now; it is counted if so.
    pub fn admits(&mut self, now: Duration, bytes: u64) -> bool {
        if now < self.next() {
            return false;
        }
        let takes = Duration::from_secs_f64(bytes as f64 / self.bytes_per_second);
        self.free_at = self.free_at.max(now) + takes;
        true
    }

    /// When the next piece may leave.
    pub fn next(&self) -> Duration {
        self.free_at.saturating_sub(EARLY)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 1,000 pieces of 1 KB at 1 MB/s are a second, whatever the turns in which they are asked for.
    #[test]
    fn the_rate_is_kept_and_nothing_is_saved_up() {
        for step in [1, 7, 990, 2_500] {
            let (mut pace, mut left, mut now) = (Pace::new(1_000_000), 1_000, Duration::from_secs(5));
            let begun = now;
            while left > 0 {
                while left > 0 && pace.admits(now, 1_000) {
                    left -= 1;
                }
                now += Duration::from_micros(step);
            }
            let took = now - begun;
            assert!(
                took >= Duration::from_millis(999) - EARLY,
                "{took:?} in steps of {step} us"
            );
            // Each piece leaves at the first turn after its time: at most a step late.
            let at_worst = 1.0 + step as f64 / 1e3;
            assert!(
                took.as_secs_f64() <= at_worst + 0.01,
                "{took:?} in steps of {step} us"
            );
        }
    }
}
