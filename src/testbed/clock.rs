//! Hybrid timers: a wait sleeps in the kernel until shortly before its time and then polls, and
//! every timer's lateness is measured.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Duration;

use nix::time::{ClockId, clock_gettime};

use crate::system::action::{Nanos, TimerId};

/// A timer is polled for in this last part of its wait.
const POLLED: Nanos = 60_000;

/// Nanoseconds of CLOCK_MONOTONIC, which all processes of a machine share.
pub fn monotonic_ns() -> Nanos {
    clock_gettime(ClockId::CLOCK_MONOTONIC)
        .map(|t| t.tv_sec() as u64 * 1_000_000_000 + t.tv_nsec() as u64)
        .expect("CLOCK_MONOTONIC exists on every Linux")
}

/// Pending timers of one rank, in real time.
#[derive(Debug, Default)]
pub struct Timers {
    heap: BinaryHeap<Reverse<(Nanos, TimerId)>>,
    late_ns: Vec<u32>,
    fired: u64,
}

impl Timers {
    /// Fires `timer` at `at`.
    pub fn set(&mut self, timer: TimerId, at: Nanos) {
        self.heap.push(Reverse((at, timer)));
    }

    /// How long a wait for other things may block; zero when a timer is due or almost due.
    pub fn may_block(&self, now: Nanos, longest: Duration) -> Duration {
        let Some(Reverse((at, _))) = self.heap.peek() else {
            return longest;
        };
        Duration::from_nanos(at.saturating_sub(now).saturating_sub(POLLED)).min(longest)
    }

    /// The next timer that is due, its lateness recorded.
    pub fn due(&mut self, now: Nanos) -> Option<TimerId> {
        let Reverse((at, timer)) = *self.heap.peek().filter(|Reverse((at, _))| *at <= now)?;
        self.heap.pop();
        self.fired += 1;
        if self.late_ns.len() < 1 << 20 {
            self.late_ns.push((now - at).min(u64::from(u32::MAX)) as u32);
        }
        Some(timer)
    }

    /// Whether any timer runs.
    pub fn pending(&self) -> bool {
        !self.heap.is_empty()
    }

    /// Timers fired so far.
    pub fn fired(&self) -> u64 {
        self.fired
    }

    /// 99th percentile of lateness, microseconds; 0 when no timer fired.
    pub fn late_p99_us(&self) -> f64 {
        let mut sorted = self.late_ns.clone();
        sorted.sort_unstable();
        let rank = (sorted.len() * 99).div_ceil(100);
        sorted
            .get(rank.saturating_sub(1))
            .map_or(0.0, |&ns| f64::from(ns) / 1e3)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timers_fire_in_order_and_never_early() {
        let mut timers = Timers::default();
        timers.set(1, 300);
        timers.set(2, 100);
        assert_eq!(timers.due(99), None);
        assert_eq!(timers.due(150), Some(2));
        assert_eq!(timers.due(150), None);
        assert_eq!(timers.due(300), Some(1));
        assert_eq!(timers.fired(), 2);
        assert_eq!(timers.late_p99_us(), 0.05);
    }

    #[test]
    fn the_last_part_of_a_wait_does_not_block() {
        let mut timers = Timers::default();
        timers.set(1, 1_000_000);
        let longest = Duration::from_millis(50);
        assert_eq!(
            timers.may_block(0, longest),
            Duration::from_nanos(1_000_000 - POLLED)
        );
        assert_eq!(timers.may_block(1_000_000 - POLLED, longest), Duration::ZERO);
        assert_eq!(Timers::default().may_block(0, longest), longest);
    }
}
