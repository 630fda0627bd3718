//! Iterations of one run follow each other and depend on each other: what disturbs one disturbs the
//! next. Taken as independent samples they prove too much. Here the run is cut into blocks, longer
//! than the dependence lasts, and the medians of the blocks are the samples (batch means; Law,
//! Simulation Modeling and Analysis, section 9.5).

use super::median::median;

/// Blocks at most: more would only be shorter.
const BLOCKS: usize = 20;
/// Of fewer samples the dependence cannot be told.
const FEW: usize = 20;
/// Longest lag that is looked at.
const LAGS: usize = 2000;

/// The medians of blocks of consecutive samples. As many blocks as the dependence allows, 20 at most.
pub fn block_medians(samples: &[f64]) -> Vec<f64> {
    // Independent samples are their own blocks; others need about twice the time of their dependence.
    let length = (2.0 * dependence(samples) - 1.0).ceil().max(1.0) as usize;
    let blocks = (samples.len() / length).clamp(usize::from(!samples.is_empty()), BLOCKS);
    let cut = |block: usize| block * samples.len() / blocks;
    (0..blocks)
        .filter_map(|block| median(&samples[cut(block)..cut(block + 1)]))
        .collect()
}

/// The integrated autocorrelation time: how many samples in a row say as much as one independent
/// sample; 1 for independent ones and for fewer than 20. Sums autocorrelations in pairs while a pair is positive (Geyer,
/// Statistical Science 7, 1992), of ranks, so that a single slow iteration does not hide the rest.
pub fn dependence(samples: &[f64]) -> f64 {
    let n = samples.len();
    if n < FEW {
        return 1.0;
    }
    let ranks = centred_ranks(samples);
    let variance: f64 = ranks.iter().map(|rank| rank * rank).sum();
    if variance <= 0.0 {
        return 1.0;
    }
    let correlation = |lag: usize| {
        let pairs = ranks.iter().zip(&ranks[lag..]);
        pairs.map(|(a, b)| a * b).sum::<f64>() / variance
    };
    let mut time = -1.0;
    for lag in (0..(n / 2).min(LAGS)).step_by(2) {
        let pair = correlation(lag) + correlation(lag + 1);
        if pair <= 0.0 {
            break;
        }
        time += 2.0 * pair;
    }
    time.max(1.0)
}

fn centred_ranks(samples: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..samples.len()).collect();
    order.sort_by(|i, j| samples[*i].total_cmp(&samples[*j]));
    let mut ranks = vec![0.0; samples.len()];
    let mut before = 0;
    for group in order.chunk_by(|i, j| samples[*i] == samples[*j]) {
        let rank = before as f64 + (group.len() as f64 - samples.len() as f64) / 2.0;
        group.iter().for_each(|index| ranks[*index] = rank);
        before += group.len();
    }
    ranks
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Numbers that look independent: splitmix64.
    fn noise(n: u64) -> Vec<f64> {
        let mix = |i: u64| {
            let z = i.wrapping_mul(0x9e37_79b9_7f4a_7c15);
            let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb) >> 11
        };
        (1..=n).map(|i| mix(i) as f64).collect()
    }

    #[test]
    fn few_samples_are_their_own_blocks() {
        assert_eq!(block_medians(&[3.0, 1.0, 2.0]), [3.0, 1.0, 2.0]);
        assert_eq!(block_medians(&[]), [0.0; 0]);
        assert_eq!(block_medians(&[5.0; 40]).len(), 20);
    }

    #[test]
    fn a_slow_drift_leaves_few_blocks() {
        let drift: Vec<f64> = (0..1000).map(|i| 100.0 + (f64::from(i) / 160.0).sin()).collect();
        assert!(dependence(&drift) > 50.0);
        assert!(block_medians(&drift).len() < 8);
        assert!(dependence(&noise(1000)) < 4.0, "{}", dependence(&noise(1000)));
        assert_eq!(block_medians(&noise(1000)).len(), BLOCKS);
    }
}
