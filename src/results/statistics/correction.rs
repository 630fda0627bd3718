//! Many rows are many questions: of twenty, one would look proven by chance. Holm's correction
//! (Scandinavian Journal of Statistics 6, 1979) holds whatever the rows have to do with each other.
//! With few repetitions it can prove nothing; then Westfall and Young's (Resampling-Based Multiple
//! Testing, 1993, algorithm 4.1: step-down maxT) asks how often the repetitions, dealt out anew to
//! the two sides with all rows together, give a difference as clear as the one found.

use super::mann_whitney::choose;

/// Arrangements that are tried one by one; of more, that many at random.
const ALL: f64 = 20_000.0;
/// Arrangements tried at random when there are more.
const SOME: usize = 10_000;

/// Holm's adjusted p values, in the order of `p`.
pub fn holm(p: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..p.len()).collect();
    order.sort_by(|i, j| p[*i].total_cmp(&p[*j]));
    let mut adjusted = vec![0.0; p.len()];
    let mut largest = 0.0f64;
    for (done, index) in order.into_iter().enumerate() {
        largest = largest.max((p[index] * (p.len() - done) as f64).min(1.0));
        adjusted[index] = largest;
    }
    adjusted
}

/// Adjusted p values of rows that were measured together: `rows[r]` has a figure of each repetition,
/// first the `first` of one side, then those of the other. Figures are compared by their logarithms,
/// so they must be positive.
pub fn joint(rows: &[Vec<f64>], first: usize) -> Vec<f64> {
    let Some(all) = rows.first().map(Vec::len).filter(|all| first > 0 && first < *all) else {
        return vec![1.0; rows.len()];
    };
    let logs: Vec<Vec<f64>> = rows
        .iter()
        .map(|row| row.iter().map(|value| value.ln()).collect())
        .collect();
    let sides: Vec<bool> = (0..all).map(|place| place < first).collect();
    let observed: Vec<f64> = logs.iter().map(|row| clearness(row, &sides)).collect();
    // From the least clear to the clearest.
    let mut order: Vec<usize> = (0..rows.len()).collect();
    order.sort_by(|i, j| observed[*i].total_cmp(&observed[*j]));
    let mut reached = vec![0usize; rows.len()];
    let mut tried = 0usize;
    deal(all, first, |sides| {
        tried += 1;
        let mut clearest = 0.0f64;
        for &row in &order {
            clearest = clearest.max(clearness(&logs[row], sides));
            // What is equal but for rounding is equal.
            reached[row] += usize::from(clearest >= observed[row] * (1.0 - 1e-9));
        }
    });
    let mut largest = 0.0f64;
    let mut adjusted = vec![1.0; rows.len()];
    for &row in order.iter().rev() {
        largest = largest.max(reached[row] as f64 / tried.max(1) as f64);
        adjusted[row] = largest;
    }
    adjusted
}

/// The absolute value of Student's t of one side against the other.
fn clearness(values: &[f64], sides: &[bool]) -> f64 {
    let mut sums = [(0.0, 0.0f64); 2];
    for (value, side) in values.iter().zip(sides) {
        let sum = &mut sums[usize::from(*side)];
        *sum = (sum.0 + value, sum.1 + 1.0);
    }
    let means = sums.map(|(sum, count)| sum / count);
    let squares: f64 = values
        .iter()
        .zip(sides)
        .map(|(value, side)| (value - means[usize::from(*side)]).powi(2))
        .sum();
    let spread = (squares * (1.0 / sums[0].1 + 1.0 / sums[1].1)).sqrt();
    // Equal figures on each side: as clear as can be, if they differ at all.
    (means[0] - means[1]).abs() / spread.max(1e-12)
}

/// Calls `each` with every way to choose `first` of `all`, the given one among them; with many
/// random ways and the given one if there are too many.
fn deal(all: usize, first: usize, mut each: impl FnMut(&[bool])) {
    let mut sides: Vec<bool> = (0..all).map(|place| place < first).collect();
    if choose(all, first.min(all - first)) > ALL {
        each(&sides);
        let mut state = 0x9e37_79b9_7f4a_7c15u64;
        for _ in 0..SOME {
            shuffle(&mut sides, &mut state);
            each(&sides);
        }
        return;
    }
    loop {
        each(&sides);
        if !next(&mut sides) {
            return;
        }
    }
}

/// The next arrangement in descending order; false after the last.
fn next(sides: &mut [bool]) -> bool {
    // The last `true` that is followed by a `false` moves one place on, and those after it follow.
    let Some(place) = sides.windows(2).rposition(|pair| pair[0] && !pair[1]) else {
        return false;
    };
    sides.swap(place, place + 1);
    sides[place + 2..].sort_by(|a, b| b.cmp(a));
    true
}

/// Fisher and Yates' shuffle with numbers of splitmix64 (Steele, Lea, Flood 2014).
fn shuffle(sides: &mut [bool], state: &mut u64) {
    for place in (1..sides.len()).rev() {
        *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = *state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^= z >> 31;
        sides.swap(place, (z % (place as u64 + 1)) as usize);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn holm_by_hand() {
        let adjusted = holm(&[0.01, 0.04, 0.03, 0.005]);
        for (found, expected) in adjusted.iter().zip([0.03, 0.06, 0.06, 0.02]) {
            assert!((found - expected).abs() < 1e-12, "{adjusted:?}");
        }
        assert_eq!(holm(&[]), [0.0; 0]);
        assert_eq!(holm(&[0.6, 0.7]), [1.0, 1.0]);
    }

    #[test]
    fn all_arrangements_once() {
        let mut seen = std::collections::BTreeSet::new();
        deal(10, 5, |sides| {
            assert_eq!(sides.iter().filter(|side| **side).count(), 5);
            assert!(seen.insert(sides.to_vec()));
        });
        assert_eq!(seen.len(), 252);
    }

    #[test]
    fn five_repetitions_find_a_clear_row_among_noisy_ones() {
        let clear = vec![100.0, 100.3, 99.8, 100.1, 99.9, 105.0, 105.2, 104.9, 105.3, 104.8];
        let mut rows = vec![clear];
        for seed in 1..=16u64 {
            let noise = |i: u64| 100.0 + ((seed * 7919 + i * 104_729) % 97) as f64 / 5.0;
            rows.push((0..10).map(noise).collect());
        }
        let adjusted = joint(&rows, 5);
        assert!((adjusted[0] - 2.0 / 252.0).abs() < 1e-12, "{adjusted:?}");
        assert!(holm(&[2.0 / 252.0; 17])[0] > 0.05, "Holm cannot");
        assert!(adjusted[1..].iter().all(|p| *p > 0.05), "{adjusted:?}");
    }

    #[test]
    fn random_arrangements_say_the_same_as_all() {
        let row: Vec<f64> = (0..24).map(|i| 100.0 + f64::from(i * 37 % 24)).collect();
        let p = joint(&[row], 12)[0];
        assert!(p > 0.2 && p <= 1.0, "{p}");
    }

    #[test]
    fn sides_without_repetitions_prove_nothing() {
        assert_eq!(joint(&[vec![1.0, 2.0]], 0), [1.0]);
        assert_eq!(joint(&[vec![1.0, 1.0, 1.0, 1.0]], 2), [1.0]);
    }
}
