//! CPU time that a hypervisor gave to others while ranks were ready to run: what no one inside the
//! machine can see in their own times, and yet the commonest reason for figures that do not repeat.

/// CPU time of all cores since boot, in the kernel's ticks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CpuTime {
    all: u64,
    stolen: u64,
}

impl CpuTime {
    /// As of now; `None` where the kernel does not say.
    pub fn now() -> Option<Self> {
        Self::parse(&std::fs::read_to_string("/proc/stat").ok()?)
    }

    /// From the text of `/proc/stat`: `cpu user nice system idle iowait irq softirq steal guest
    /// guest_nice`; guests' time is in user and nice already (proc_stat(5)).
    fn parse(text: &str) -> Option<Self> {
        let mut words = text.lines().next()?.split_whitespace();
        words.next().filter(|name| *name == "cpu")?;
        let ticks: Vec<u64> = words.take(8).map_while(|word| word.parse().ok()).collect();
        Some(Self {
            all: ticks.iter().sum(),
            stolen: *ticks.get(7)?,
        })
    }

    /// Share of all CPU time since `earlier` that was stolen; `None` within one tick.
    pub fn stolen_since(self, earlier: Self) -> Option<f64> {
        let all = self.all.checked_sub(earlier.all).filter(|all| *all > 0)?;
        Some(self.stolen.saturating_sub(earlier.stolen) as f64 / all as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quarter_of_the_time_was_stolen() {
        let at = |text| CpuTime::parse(text).unwrap();
        let before = at("cpu  100 0 50 800 0 0 0 50 7 7\ncpu0 1 2 3\n");
        let after = at("cpu  130 0 60 820 0 0 0 70 9 9\n");
        assert_eq!(after.stolen_since(before), Some(0.25), "20 of 80 ticks");
        assert_eq!(before.stolen_since(before), None);
        assert_eq!(before.stolen_since(after), None, "time does not run backwards");
    }

    #[test]
    fn a_kernel_that_does_not_say_is_not_taken_at_zero() {
        for text in ["", "cpu 1 2 3", "intr 1 2 3 4 5 6 7 8", "cpu a b"] {
            assert_eq!(CpuTime::parse(text), None, "{text:?}");
        }
    }
}
