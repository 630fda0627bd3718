//! By how much one sample lies above another, as a factor, with an interval that assumes no
//! distribution: Hodges and Lehmann's, the Mann-Whitney test turned round (Hollander and Wolfe,
//! Nonparametric Statistical Methods, section 4.3), on logarithms.

use super::mann_whitney::{arrangements, choose};
use super::normal;

/// Above this many values in a sample, the number of ratios to leave out is approximated.
const EXACT: usize = 25;
/// Pairs that are compared at most; larger samples get no interval.
const PAIRS: usize = 250_000;

/// The interval of the factor b / a at a confidence; a side without a bound is `None`.
pub fn interval(a: &[f64], b: &[f64], confidence: f64) -> (Option<f64>, Option<f64>) {
    let positive = |values: &[f64]| values.iter().all(|value| *value > 0.0 && value.is_finite());
    if a.is_empty() || b.is_empty() || !positive(a) || !positive(b) || a.len() * b.len() > PAIRS {
        return (None, None);
    }
    let mut ratios: Vec<f64> = a.iter().flat_map(|x| b.iter().map(move |y| y / x)).collect();
    ratios.sort_by(f64::total_cmp);
    match left_out(a.len(), b.len(), 1.0 - confidence) {
        Some(out) => (
            ratios.get(out).copied(),
            ratios.len().checked_sub(1 + out).map(|i| ratios[i]),
        ),
        None => (None, None),
    }
}

/// How many ratios on each side are outside the interval: the largest k with 2 P(U < k) <= alpha;
/// `None` when even the outermost ratios are not wide enough.
fn left_out(n: usize, m: usize, alpha: f64) -> Option<usize> {
    if n.max(m) > EXACT {
        let (n, m) = (n as f64, m as f64);
        let deviation = (n * m * (n + m + 1.0) / 12.0).sqrt();
        let below = n * m / 2.0 + normal::quantile(alpha / 2.0) * deviation - 0.5;
        return (below >= 1.0).then_some(below.floor() as usize - 1);
    }
    let (mut tail, all) = (0.0, choose(n + m, n.min(m)));
    let counts = arrangements(n, m, n * m / 2);
    let enough = counts.iter().take_while(|count| {
        tail += **count as f64;
        2.0 * tail / all <= alpha
    });
    enough.count().checked_sub(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn five_repetitions_bound_a_shift_and_three_do_not() {
        // Hollander and Wolfe, table of the rank sum: n = m = 5, two-sided 5 %: U <= 2.
        assert_eq!(left_out(5, 5, 0.05), Some(2));
        assert_eq!(left_out(3, 3, 0.05), None);
        let (a, b) = (
            [100.0, 101.0, 102.0, 99.0, 98.0],
            [105.0, 106.0, 107.0, 104.0, 103.0],
        );
        let (low, high) = interval(&a, &b, 0.95);
        let (low, high) = (low.unwrap(), high.unwrap());
        assert!(
            low > 1.0 && low < 1.05 && high > 1.05 && high < 1.10,
            "{low} {high}"
        );
        assert_eq!(interval(&[0.0], &[1.0], 0.95), (None, None));
    }

    #[test]
    fn many_samples_give_a_narrow_interval() {
        let a: Vec<f64> = (0..100).map(|i| 100.0 + f64::from(i % 10) * 0.1).collect();
        let b: Vec<f64> = a.iter().map(|value| value * 1.02).collect();
        let (low, high) = interval(&a, &b, 0.95);
        assert!(low.unwrap() > 1.017 && low.unwrap() < 1.02);
        assert!(high.unwrap() > 1.02 && high.unwrap() < 1.023);
    }
}
