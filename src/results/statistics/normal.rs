//! The standard normal distribution, as exact as `f64` allows.

/// P(Z <= z).
pub fn cdf(z: f64) -> f64 {
    0.5 * libm::erfc(-z / std::f64::consts::SQRT_2)
}

/// The z with P(Z <= z) = p, by halving; infinite for p of 0 and 1.
pub fn quantile(p: f64) -> f64 {
    match p {
        p if p <= 0.0 => return f64::NEG_INFINITY,
        p if p >= 1.0 => return f64::INFINITY,
        _ => {}
    }
    // P(Z < -39) is below the smallest f64.
    let (mut low, mut high) = (-39.0, 39.0);
    loop {
        let middle = 0.5 * (low + high);
        if middle <= low || middle >= high {
            return middle;
        }
        match cdf(middle) < p {
            true => low = middle,
            false => high = middle,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn textbook_values() {
        assert_eq!(cdf(0.0), 0.5);
        assert!((cdf(1.959963984540054) - 0.975).abs() < 1e-15);
        assert!((quantile(0.025) + 1.959963984540054).abs() < 1e-12);
        assert_eq!(quantile(0.0), f64::NEG_INFINITY);
    }
}
