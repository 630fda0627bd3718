//! Packets that an endpoint drops on purpose before they leave, to prove that losses are repaired
//! where no link can be made to lose any.

/// Decides packet by packet.
#[derive(Debug, Clone)]
pub struct Loss {
    state: u64,
    /// Of 2^32 packets so many are dropped.
    threshold: u64,
}

impl Loss {
    /// Drops this share of packets, 0 to 1.
    pub fn new(share: f64, seed: u64) -> Self {
        Self {
            state: seed ^ 0x9e37_79b9_7f4a_7c15 | 1,
            threshold: (share.clamp(0.0, 1.0) * (1u64 << 32) as f64) as u64,
        }
    }

    /// Whether the next packet is dropped.
    pub fn drops(&mut self) -> bool {
        if self.threshold == 0 {
            return false;
        }
        // Marsaglia, "Xorshift RNGs", 2003: the 13, 7, 17 generator.
        self.state ^= self.state << 13;
        self.state ^= self.state >> 7;
        self.state ^= self.state << 17;
        (self.state >> 32) < self.threshold
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_share_is_kept_and_none_is_none() {
        let mut loss = Loss::new(0.01, 7);
        let dropped = (0..100_000).filter(|_| loss.drops()).count();
        // Binomial with a deviation of 31.
        assert!((800..1200).contains(&dropped), "{dropped}");
        assert!((0..1000).all(|_| !Loss::new(0.0, 7).drops()));
    }
}
