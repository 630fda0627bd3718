//! CPU time that was not the run's: what a hypervisor gave to others while ranks were ready to run, and
//! what other programs of this machine used. The commonest reasons for figures that do not repeat.

/// CPU time of the machine and of the run at a moment.
#[derive(Debug, Clone, Copy)]
pub struct Reading {
    machine: Option<CpuTime>,
    /// Of the run's processes.
    own: u64,
}

/// Shares of all CPU time that were not the run's; `None` where the kernel does not say.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Taken {
    /// By the hypervisor.
    pub stolen: Option<f64>,
    /// By other programs.
    pub others: Option<f64>,
}

impl Reading {
    /// As of now; `processes` are the run's.
    pub fn now(processes: impl Iterator<Item = u32>) -> Self {
        Self {
            machine: CpuTime::now(),
            own: used_by(processes),
        }
    }

    /// What was taken from `earlier` until now.
    pub fn since(&self, earlier: &Self) -> Taken {
        let both = self.machine.zip(earlier.machine);
        let own = self.own.saturating_sub(earlier.own);
        Taken {
            stolen: both.and_then(|(now, then)| now.stolen_since(then)),
            others: both.and_then(|(now, then)| now.others_since(then, own)),
        }
    }
}

/// CPU time of all cores since boot, in the kernel's ticks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct CpuTime {
    all: u64,
    /// By programs: user, nice and system.
    used: u64,
    stolen: u64,
}

impl CpuTime {
    /// As of now; `None` where the kernel does not say.
    fn now() -> Option<Self> {
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
            used: ticks.iter().take(3).sum(),
            stolen: *ticks.get(7)?,
        })
    }

    /// Share of all CPU time since `earlier` that was stolen; `None` within one tick.
    fn stolen_since(self, earlier: Self) -> Option<f64> {
        let all = self.all.checked_sub(earlier.all).filter(|all| *all > 0)?;
        Some(self.stolen.saturating_sub(earlier.stolen) as f64 / all as f64)
    }

    /// Share of all CPU time since `earlier` that programs used but for `own` ticks; `None` within one tick.
    fn others_since(self, earlier: Self, own: u64) -> Option<f64> {
        let all = self.all.checked_sub(earlier.all).filter(|all| *all > 0)?;
        let used = self.used.saturating_sub(earlier.used);
        Some(used.saturating_sub(own) as f64 / all as f64)
    }
}

/// Ticks that processes used since they began, user and system; those that are gone count nothing.
fn used_by(processes: impl Iterator<Item = u32>) -> u64 {
    let stat = |pid| std::fs::read_to_string(format!("/proc/{pid}/stat")).ok();
    processes.filter_map(|pid| ticks_of(&stat(pid)?)).sum()
}

/// utime and stime, the 14th and 15th field of `/proc/PID/stat` (proc_pid_stat(5)); the second, a name in
/// brackets, may hold anything.
fn ticks_of(text: &str) -> Option<u64> {
    let behind_name = text.rsplit_once(')')?.1;
    let mut fields = behind_name.split_whitespace().skip(11);
    let mut ticks = || fields.next()?.parse::<u64>().ok();
    Some(ticks()? + ticks()?)
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
        assert_eq!(
            after.others_since(before, 30),
            Some(0.125),
            "40 were used, 30 by us"
        );
        assert_eq!(after.others_since(before, 50), Some(0.0));
        assert_eq!(before.stolen_since(after), None, "time does not run backwards");
    }

    #[test]
    fn a_kernel_that_does_not_say_is_not_taken_at_zero() {
        for text in ["", "cpu 1 2 3", "intr 1 2 3 4 5 6 7 8", "cpu a b"] {
            assert_eq!(CpuTime::parse(text), None, "{text:?}");
        }
    }

    #[test]
    fn names_of_processes_may_hold_anything() {
        let line = "7 (a) b) S 1 7 7 0 -1 4194560 100 0 0 0 30 12 0 0 20 0 1 0 5 0 0";
        assert_eq!(ticks_of(line), Some(42));
        assert_eq!(ticks_of("7 (a) S 1"), None);
    }
}
