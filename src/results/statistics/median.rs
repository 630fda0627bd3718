//! The median of a sample and the interval that its order statistics give for the median of what
//! was sampled, whatever its distribution: as benchstat defines it (golang.org/x/perf benchmath,
//! `AssumeNothing`; go-moremath `stats.QuantileCI`).

use super::normal;

/// Up to this many samples the binomial distribution is summed; above, its normal approximation.
const EXACT: usize = 30;

/// The median; between the middle two of an even number. `None` for no samples.
pub fn median(samples: &[f64]) -> Option<f64> {
    median_of_sorted(&sorted(samples))
}

/// The median of ascending samples.
pub fn median_of_sorted(sorted: &[f64]) -> Option<f64> {
    let half = sorted.len() / 2;
    let upper = *sorted.get(half)?;
    match sorted.len() % 2 {
        1 => Some(upper),
        _ => Some(0.5 * (sorted[half - 1] + upper)),
    }
}

/// The samples in ascending order.
pub fn sorted(samples: &[f64]) -> Vec<f64> {
    let mut sorted = samples.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted
}

/// Which order statistics bound the median of what was sampled.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Orders {
    /// Number of the lower bound, from 1; 0: too few samples, there is none.
    pub low: usize,
    /// Number of the upper bound; one more than there are samples: there is none.
    pub high: usize,
    /// The confidence that these bounds have: at least what was asked for.
    pub confidence: f64,
}

/// Bounds of the median at a confidence (0 to 1); a side without a bound is `None`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Interval {
    /// Lower bound.
    pub low: Option<f64>,
    /// Upper bound.
    pub high: Option<f64>,
}

/// The interval of the median of ascending samples.
pub fn interval(sorted: &[f64], confidence: f64) -> Interval {
    let orders = orders(sorted.len(), confidence);
    Interval {
        low: orders.low.checked_sub(1).and_then(|i| sorted.get(i).copied()),
        high: orders.high.checked_sub(1).and_then(|i| sorted.get(i).copied()),
    }
}

/// The order statistics for `n` samples.
pub fn orders(n: usize, confidence: f64) -> Orders {
    if n == 0 || confidence >= 1.0 {
        return Orders {
            low: 0,
            high: n + 1,
            confidence: 1.0,
        };
    }
    if n <= EXACT {
        summed(n, confidence)
    } else {
        approximated(n, confidence)
    }
}

/// The number of samples below the median is binomial(n, 1/2). Takes its values from the most
/// probable outwards, the lower first where two are equal, until their sum reaches the confidence.
fn summed(n: usize, confidence: f64) -> Orders {
    let mut masses = vec![0.5f64.powi(n as i32)];
    for k in 1..=n {
        masses.push(masses[k - 1] * (n - k + 1) as f64 / k as f64);
    }
    let mass = |k: Option<usize>| k.and_then(|k| masses.get(k)).copied().unwrap_or(0.0);
    // ceil((n + 1) / 2) - 1: the lower of two modes.
    let mode = (n + 1).div_ceil(2) - 1;
    let (mut low, mut high) = (mode, mode + 1);
    let mut sum = mass(Some(mode));
    while sum < confidence {
        let (left, right) = (mass(low.checked_sub(1)), mass(Some(high)));
        if left <= 0.0 && right <= 0.0 {
            break;
        }
        // Masses that are equal differ in the last bits.
        if left >= right * (1.0 - 1e-12) {
            sum += left;
            low -= 1;
        } else {
            sum += right;
            high += 1;
        }
    }
    Orders {
        low,
        high,
        confidence: sum,
    }
}

/// Normal with mean n/2 and variance n/4, and a continuity correction of 1/2.
fn approximated(n: usize, confidence: f64) -> Orders {
    let (mean, deviation) = (n as f64 / 2.0, (n as f64).sqrt() / 2.0);
    let left = mean + deviation * normal::quantile((1.0 - confidence) / 2.0);
    let right = 2.0 * mean - left;
    let low = (left - 0.5).floor() + 1.0;
    let mut high = (right - 0.5).ceil() + 1.0;
    let below = |k: f64| normal::cdf((k - 0.5 - mean) / deviation);
    let mut reached = below(high) - below(low);
    // One step less on the right may still be enough.
    let shorter = below(high - 1.0) - below(low);
    if shorter >= confidence && shorter < reached {
        (high, reached) = (high - 1.0, shorter);
    }
    let (low, high) = (low.max(0.0) as usize, (high as usize).min(n + 1));
    let whole = low == 0 && high == n + 1;
    Orders {
        low,
        high,
        confidence: if whole { 1.0 } else { reached },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians() {
        assert_eq!(median(&[]), None);
        assert_eq!(median(&[3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(&[4.0, 1.0, 2.0, 3.0]), Some(2.5));
    }

    #[test]
    fn five_samples_cannot_bound_a_median_at_95_per_cent_and_six_can() {
        // All five on one side of the median: 2 x (1/2)^5 = 6.25 %.
        let five = interval(&[1.0, 2.0, 3.0, 4.0, 5.0], 0.95);
        assert!(five.low.is_none() || five.high.is_none());
        let six = interval(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0], 0.95);
        assert_eq!((six.low, six.high), (Some(1.0), Some(6.0)));
        assert_eq!(
            interval(&[], 0.95),
            Interval {
                low: None,
                high: None
            }
        );
    }
}
