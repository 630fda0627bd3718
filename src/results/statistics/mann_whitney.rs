//! Mann and Whitney's U test, two-sided: whether values of one sample tend to be larger than those
//! of another. Exact for samples of the sizes for which benchstat's is (golang.org/x/perf benchmath),
//! ties included; above, the normal approximation with tie and continuity correction, as in scipy's
//! `mannwhitneyu`.

use serde::Serialize;

use super::normal;

/// Largest samples whose distribution is counted when all values differ.
const EXACT: usize = 50;
/// Largest samples whose distribution is counted when values are equal.
const EXACT_TIES: usize = 25;

/// The result of a test.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Test {
    /// Pairs (a, b) with a > b, and half of those with a = b.
    pub u: f64,
    /// Probability of a U at least as far from its middle, if both samples are from one population.
    pub p: f64,
    /// How p was found.
    pub method: Method,
}

/// How a p value is found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Method {
    /// All arrangements of different values, counted.
    Exact,
    /// All arrangements of the values at hand, equal ones among them, counted.
    ExactWithTies,
    /// The normal approximation with corrections for ties and continuity.
    Normal,
}

/// Tests `a` against `b`. `None` if one of them is empty or has a value that is not a number.
pub fn mann_whitney(a: &[f64], b: &[f64]) -> Option<Test> {
    if a.is_empty() || b.is_empty() || a.iter().chain(b).any(|value| value.is_nan()) {
        return None;
    }
    let ranks = Ranks::of(a, b);
    let (n, m) = (a.len(), b.len());
    let twice_u = ranks.twice_sum_a - n * (n + 1);
    let ties = ranks.groups.iter().any(|size| *size > 1);
    let u = twice_u as f64 / 2.0;
    let method = match n.max(m) {
        larger if !ties && larger <= EXACT => Method::Exact,
        larger if ties && larger <= EXACT_TIES => Method::ExactWithTies,
        _ => Method::Normal,
    };
    let p = match method {
        // All values are equal.
        _ if ranks.groups.len() == 1 => 1.0,
        Method::Exact => exact(n, m, twice_u / 2),
        Method::ExactWithTies => exact_with_ties(n, &ranks),
        Method::Normal => approximated(n, m, u, &ranks.groups),
    };
    Some(Test { u, p, method })
}

/// The smallest p that samples of these sizes can give: 2 / C(n + m, n).
pub fn smallest_p(n: usize, m: usize) -> f64 {
    (2.0 / choose(n + m, n.min(m))).min(1.0)
}

/// C(n, k).
pub fn choose(n: usize, k: usize) -> f64 {
    (0..k).fold(1.0, |product, i| product * (n - i) as f64 / (i + 1) as f64)
}

/// Mid-ranks of both samples together.
struct Ranks {
    /// Twice the sum of the ranks of the first sample: mid-ranks are multiples of a half.
    twice_sum_a: usize,
    /// Sizes of the groups of equal values, in ascending order of value.
    groups: Vec<usize>,
}

impl Ranks {
    fn of(a: &[f64], b: &[f64]) -> Ranks {
        let mut all: Vec<(f64, bool)> = a.iter().map(|value| (*value, true)).collect();
        all.extend(b.iter().map(|value| (*value, false)));
        all.sort_by(|x, y| x.0.partial_cmp(&y.0).unwrap_or(std::cmp::Ordering::Equal));
        let mut ranks = Ranks {
            twice_sum_a: 0,
            groups: Vec::new(),
        };
        let mut before = 0;
        for group in all.chunk_by(|x, y| x.0 == y.0) {
            let of_a = group.iter().filter(|(_, first)| *first).count();
            ranks.twice_sum_a += of_a * twice_rank(before, group.len());
            ranks.groups.push(group.len());
            before += group.len();
        }
        ranks
    }
}

/// Twice the mid-rank of `size` equal values that have `before` values below them.
fn twice_rank(before: usize, size: usize) -> usize {
    2 * before + size + 1
}

/// Twice the smaller tail, counted.
fn exact(n: usize, m: usize, u: usize) -> f64 {
    let lower = u.min(n * m - u);
    if 2 * lower == n * m {
        return 1.0;
    }
    let tail: i128 = arrangements(n, m, lower).iter().sum();
    (2.0 * tail as f64 / choose(n + m, n)).min(1.0)
}

/// How many of the arrangements of n and m different values have each U from 0 to `largest`: the
/// coefficients of the Gaussian binomial, product of (1 - q^(m+i)) / (1 - q^i) for i = 1..n. `i128`
/// holds them for samples of up to 50.
pub(super) fn arrangements(n: usize, m: usize, largest: usize) -> Vec<i128> {
    let mut counts = vec![0i128; largest + 1];
    counts[0] = 1;
    for i in 1..=n {
        for degree in (m + i..=largest).rev() {
            counts[degree] -= counts[degree - m - i];
        }
        for degree in i..=largest {
            counts[degree] += counts[degree - i];
        }
    }
    counts
}

/// Twice the smaller tail of the distribution of rank sums over all ways to choose the first sample
/// from the values at hand. With ties it need not be symmetric.
fn exact_with_ties(n: usize, ranks: &Ranks) -> f64 {
    let total: usize = ranks.groups.iter().sum();
    let largest = total * (total + 1);
    // ways[k][s]: ways to choose k values whose doubled ranks add up to s.
    let mut ways = vec![vec![0.0f64; largest + 1]; n + 1];
    ways[0][0] = 1.0;
    let mut before = 0;
    for &size in &ranks.groups {
        let rank = twice_rank(before, size);
        for k in (0..=n.min(before)).rev() {
            for taken in 1..=size.min(n - k) {
                let factor = choose(size, taken);
                let (from, to) = ways.split_at_mut(k + taken);
                let (from, to) = (&from[k], &mut to[0]);
                for (sum, count) in from[..=largest - taken * rank].iter().enumerate() {
                    to[sum + taken * rank] += factor * count;
                }
            }
        }
        before += size;
    }
    let tail = |sums: &[f64]| sums.iter().sum::<f64>();
    let observed = ranks.twice_sum_a;
    let smaller = tail(&ways[n][..=observed]).min(tail(&ways[n][observed..]));
    (2.0 * smaller / choose(total, n.min(total - n))).min(1.0)
}

fn approximated(n: usize, m: usize, u: f64, groups: &[usize]) -> f64 {
    let (n, m) = (n as f64, m as f64);
    let all = n + m;
    let ties: f64 = groups
        .iter()
        .map(|size| (*size as f64).powi(3) - *size as f64)
        .sum();
    let deviation = (n * m / 12.0 * (all + 1.0 - ties / (all * (all - 1.0)))).sqrt();
    let above = (u - n * m / 2.0).abs() - 0.5;
    (2.0 * normal::cdf(-above / deviation)).min(1.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn p(a: &[f64], b: &[f64]) -> f64 {
        mann_whitney(a, b).unwrap().p
    }

    #[test]
    fn five_against_five_apart_is_two_of_252() {
        let (a, b) = ([1.0, 2.0, 3.0, 4.0, 5.0], [6.0, 7.0, 8.0, 9.0, 10.0]);
        assert!((p(&a, &b) - 2.0 / 252.0).abs() < 1e-15);
        assert_eq!(smallest_p(5, 5), 2.0 / 252.0);
        assert_eq!(mann_whitney(&a, &b).unwrap().u, 0.0);
        assert_eq!(mann_whitney(&b, &a).unwrap().u, 25.0);
    }

    #[test]
    fn nothing_and_equals_prove_nothing() {
        assert_eq!(mann_whitney(&[], &[1.0]), None);
        assert_eq!(mann_whitney(&[f64::NAN], &[1.0]), None);
        assert_eq!(p(&[1.0; 9], &[1.0; 7]), 1.0);
        assert_eq!(p(&[1.0; 90], &[1.0; 70]), 1.0);
        assert_eq!(p(&[1.0], &[2.0]), 1.0);
    }

    proptest! {
        #[test]
        fn both_ways_of_counting_agree_without_ties(
            n in 1..12usize, m in 1..12usize, order in Just((0..24u32).collect::<Vec<_>>()).prop_shuffle(),
        ) {
            let values: Vec<f64> = order.iter().map(|v| f64::from(*v)).collect();
            let (a, b) = (&values[..n], &values[n..n + m]);
            let counted = exact_with_ties(n, &Ranks::of(a, b));
            let expected = p(a, b);
            prop_assert!((counted - expected).abs() < 1e-12 * expected, "{} {}", counted, expected);
        }

        #[test]
        fn neither_order_nor_scale_matter(
            a in prop::collection::vec(0..30u32, 1..40), b in prop::collection::vec(0..30u32, 1..40),
        ) {
            let scaled = |v: &[u32], by: f64| v.iter().map(|v| f64::from(*v) * by).collect::<Vec<_>>();
            let (x, y) = (p(&scaled(&a, 1.0), &scaled(&b, 1.0)), p(&scaled(&b, 3.5), &scaled(&a, 3.5)));
            prop_assert!((0.0..=1.0).contains(&x));
            prop_assert!((x - y).abs() < 1e-12);
        }
    }
}
