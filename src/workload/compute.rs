//! How long compute takes: as recorded, or by the roofline (Williams, Waterman, Patterson: "Roofline: an
//! insightful visual performance model", CACM 2009) with ASTRA-sim's rounding.

/// A device's roofline.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Roofline {
    /// Peak, flop/s.
    pub peak_flops: f64,
    /// Memory bandwidth, bytes/s.
    pub bytes_per_s: f64,
}

/// A compute node under a roofline.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Estimate {
    /// Nanoseconds, rounded down.
    pub ns: u64,
    /// Flops per byte.
    pub intensity: f64,
    /// Share of the peak that is reached.
    pub compute_utilisation: f64,
    /// Share of the memory's bandwidth that is used.
    pub memory_utilisation: f64,
}

impl Roofline {
    /// How long `flops` over `bytes` (not 0) take. No flops at all take the memory's time.
    pub fn estimate(&self, flops: u64, bytes: u64) -> Estimate {
        let (flops, bytes) = (flops as f64, bytes as f64);
        if flops == 0.0 {
            return Estimate {
                ns: (bytes / self.bytes_per_s * 1e9) as u64,
                intensity: 0.0,
                compute_utilisation: 0.0,
                memory_utilisation: 1.0,
            };
        }
        let intensity = flops / bytes;
        let reached = (self.bytes_per_s * intensity).min(self.peak_flops);
        Estimate {
            ns: (flops / reached * 1e9) as u64,
            intensity,
            compute_utilisation: reached / self.peak_flops,
            memory_utilisation: reached / intensity / self.bytes_per_s,
        }
    }

    /// Whether an estimate is limited by the peak, not by memory.
    pub fn is_compute_bound(&self, estimate: &Estimate) -> bool {
        estimate.compute_utilisation >= 1.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn below_the_ridge_memory_is_the_limit_above_it_the_peak() {
        let roofline = Roofline {
            peak_flops: 100e12,
            bytes_per_s: 1e12,
        };
        // 1 GB at 1 TB/s is 1 ms, whatever the flops below 100 per byte.
        assert_eq!(roofline.estimate(1_000_000_000, 1_000_000_000).ns, 1_000_000);
        assert_eq!(roofline.estimate(0, 1_000_000_000).ns, 1_000_000);
        // 1 Tflop at 100 Tflop/s is 10 ms.
        let bound = roofline.estimate(1_000_000_000_000, 1_000_000_000);
        assert_eq!(bound.ns, 10_000_000);
        assert!(roofline.is_compute_bound(&bound));
    }
}
