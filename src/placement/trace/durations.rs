//! How long jobs run: the quantiles of the Philly trace as the public RFold simulator bundles it (111,549 jobs,
//! mean 9.89 h), between them on a logarithmic scale.

/// Share of jobs and their longest duration, seconds.
const PHILLY: &[(f64, f64)] = &[
    (0.0, 10.0),
    (0.05, 35.0),
    (0.10, 56.0),
    (0.25, 140.0),
    (0.50, 1_321.0),
    (0.75, 5_361.0),
    (0.90, 33_476.0),
    (0.95, 123_925.0),
    (0.99, 756_454.0),
    (0.995, 1_427_973.0),
    (0.999, 3_061_072.0),
    (1.0, 5_196_151.0),
];

/// The duration below which a share of jobs stays, seconds.
pub fn quantile(share: f64) -> f64 {
    let above = PHILLY.iter().position(|(p, _)| *p > share);
    let above = above.unwrap_or(PHILLY.len() - 1).max(1);
    let ((p, low), (q, high)) = (PHILLY[above - 1], PHILLY[above]);
    let between = ((share - p) / (q - p)).clamp(0.0, 1.0);
    low * (high / low).powf(between)
}

#[cfg(test)]
mod tests {
    use super::quantile;

    #[test]
    fn the_mean_is_the_traces() {
        let n = 100_000;
        let sum: f64 = (0..n)
            .map(|i| quantile((f64::from(i) + 0.5) / f64::from(n)))
            .sum();
        let hours = sum / f64::from(n) / 3600.0;
        assert!((9.0..11.0).contains(&hours), "{hours}");
    }
}
