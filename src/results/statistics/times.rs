//! Order statistics of times. Percentiles are nearest-rank (the smallest sample that at least p of
//! all samples do not exceed), so every figure is a time that was measured, not an interpolation.

use serde::{Deserialize, Serialize};

/// Times of one operation over its iterations, nominal microseconds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Times {
    /// Fastest.
    pub min: f64,
    /// Median.
    pub p50: f64,
    /// 99th percentile; the slowest when there are fewer than 100.
    pub p99: f64,
    /// Arithmetic mean.
    pub mean: f64,
}

impl Times {
    /// `None` for no samples.
    pub fn of(samples: &[f64]) -> Option<Times> {
        let mut sorted = samples.to_vec();
        sorted.sort_by(f64::total_cmp);
        Some(Times {
            min: *sorted.first()?,
            p50: nearest_rank(&sorted, 0.50)?,
            p99: nearest_rank(&sorted, 0.99)?,
            mean: sorted.iter().sum::<f64>() / sorted.len() as f64,
        })
    }
}

/// The nearest-rank percentile `p` (0 to 1) of ascending samples: sample number `ceil(p n)`.
pub fn nearest_rank(sorted: &[f64], p: f64) -> Option<f64> {
    let rank = (p * sorted.len() as f64).ceil() as usize;
    sorted.get(rank.clamp(1, sorted.len().max(1)) - 1).copied()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn known_percentiles() {
        let hundred: Vec<f64> = (1..=100).map(f64::from).collect();
        assert_eq!(nearest_rank(&hundred, 0.50), Some(50.0));
        assert_eq!(nearest_rank(&hundred, 0.99), Some(99.0));
        assert_eq!(nearest_rank(&hundred, 1.0), Some(100.0));
        assert_eq!(nearest_rank(&[1.0, 2.0, 3.0, 4.0], 0.5), Some(2.0));
        assert_eq!(nearest_rank(&[7.0], 0.99), Some(7.0));
        assert_eq!(nearest_rank(&[], 0.5), None);
        assert_eq!(Times::of(&[]), None);
    }

    proptest! {
        #[test]
        fn a_percentile_is_a_sample_that_enough_others_do_not_exceed(
            samples in prop::collection::vec(0.0..1e9f64, 1..300), p in 0.0..=1.0f64,
        ) {
            let mut sorted = samples.clone();
            sorted.sort_by(f64::total_cmp);
            let value = nearest_rank(&sorted, p).unwrap();
            prop_assert!(samples.contains(&value));
            let not_above = samples.iter().filter(|sample| **sample <= value).count() as f64;
            let below = samples.iter().filter(|sample| **sample < value).count() as f64;
            prop_assert!(not_above >= p * samples.len() as f64 - 1e-9);
            prop_assert!(below <= p * samples.len() as f64);
        }

        #[test]
        fn times_are_in_order_whatever_the_order_of_samples(mut samples in prop::collection::vec(0.0..1e9f64, 1..300)) {
            let times = Times::of(&samples).unwrap();
            prop_assert!(times.min <= times.p50 && times.p50 <= times.p99);
            prop_assert!(times.min <= times.mean * (1.0 + 1e-12));
            samples.reverse();
            prop_assert_eq!(Times::of(&samples).unwrap().p50, times.p50);
        }
    }
}
