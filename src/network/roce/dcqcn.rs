//! DCQCN's reaction point: the rate of a queue pair under congestion notifications. Zhu et al.,
//! "Congestion Control for Large-Scale RDMA Deployments", SIGCOMM 2015, section 3.1 and figure 7;
//! parameters by the names that ConnectX gives them.

use serde::{Deserialize, Serialize};

/// Parameters of the algorithm.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Parameters {
    /// Rate of the link, bits per second: where queue pairs begin and what they return to.
    pub line_rate: u64,
    /// Weight of a notification in alpha (g), 0 to 1.
    pub g: f64,
    /// Alpha before the first notification, 0 to 1.
    pub initial_alpha: f64,
    /// Time without notifications after which alpha decays, nanoseconds (K).
    pub alpha_ns: u64,
    /// A notification leaves at least this share of the rate, 0 to 1.
    pub min_dec_fac: f64,
    /// Lowest rate, bits per second.
    pub min_rate: u64,
    /// Additive increase, bits per second (R_AI).
    pub ai_rate: u64,
    /// Hyper increase, bits per second (R_HAI).
    pub hai_rate: u64,
    /// Period of the increase timer, nanoseconds (T).
    pub time_reset_ns: u64,
    /// Period of the byte counter, bytes (B).
    pub byte_reset: u64,
    /// Steps of fast recovery (F).
    pub threshold: u32,
    /// At most one decrease in so many nanoseconds.
    pub reduce_monitor_ns: u64,
}

impl Parameters {
    /// As deployed by the paper's authors (its section 5.2): g = 1/256, K = T = 55 us, B = 10 MB, F = 5,
    /// R_AI = 40 Mbit/s; R_HAI ten times that, as in the authors' simulator.
    pub fn paper(line_rate: u64) -> Self {
        Self {
            line_rate,
            g: 1.0 / 256.0,
            initial_alpha: 1.0,
            alpha_ns: 55_000,
            min_dec_fac: 0.5,
            min_rate: 1_000_000,
            ai_rate: 40_000_000,
            hai_rate: 400_000_000,
            time_reset_ns: 55_000,
            byte_reset: 10_000_000,
            threshold: 5,
            reduce_monitor_ns: 0,
        }
    }

    /// As ConnectX network cards come: `dce_tcp_g` 1019 of 1024, `rpg_time_reset` 300 us, `rpg_byte_reset`
    /// 32767, `rpg_threshold` 1, `rpg_ai_rate` 5 and `rpg_hai_rate` 50 Mbit/s, `rate_reduce_monitor_period` 4 us.
    pub fn connectx(line_rate: u64) -> Self {
        Self {
            line_rate,
            g: 1.0 - 1019.0 / 1024.0,
            initial_alpha: 1023.0 / 1024.0,
            alpha_ns: 1_000,
            min_dec_fac: 0.5,
            min_rate: 1_000_000,
            ai_rate: 5_000_000,
            hai_rate: 50_000_000,
            time_reset_ns: 300_000,
            byte_reset: 32_767,
            threshold: 1,
            reduce_monitor_ns: 4_000,
        }
    }
}

/// Packets may go out this much before their time, in one burst: timers are no more exact than this.
const EARLY_NS: u64 = 50_000;
/// Periods that are worked off one by one; after more of them nothing is left of a decrease.
const MOST_PERIODS: u64 = 100_000;

/// The rate of one queue pair. Times are nanoseconds of any clock that only goes forward.
#[derive(Debug, Clone)]
pub struct ReactionPoint {
    parameters: Parameters,
    current: f64,
    target: f64,
    alpha: f64,
    /// Not at line rate: the timers run and packets are spaced.
    limited: bool,
    alpha_at: u64,
    timer_at: u64,
    decreased_at: Option<u64>,
    /// Expiries since the last decrease.
    timer_steps: u32,
    byte_steps: u32,
    bytes: u64,
    /// The wire is free again at.
    free_at: u64,
}

impl ReactionPoint {
    /// At line rate.
    pub fn new(parameters: Parameters) -> Self {
        Self {
            current: parameters.line_rate as f64,
            target: parameters.line_rate as f64,
            alpha: parameters.initial_alpha,
            parameters,
            limited: false,
            alpha_at: 0,
            timer_at: 0,
            decreased_at: None,
            timer_steps: 0,
            byte_steps: 0,
            bytes: 0,
            free_at: 0,
        }
    }

    /// Bits per second.
    pub fn rate(&self) -> f64 {
        self.current
    }

    /// When the next packet may go: `None` at once.
    pub fn wait_until(&mut self, now: u64) -> Option<u64> {
        if !self.limited {
            return None;
        }
        self.advance(now);
        (self.free_at > now + EARLY_NS).then(|| self.free_at - EARLY_NS)
    }

    /// A packet of so many bytes on the wire goes out.
    pub fn sent(&mut self, bytes: u64, now: u64) {
        if !self.limited {
            return;
        }
        self.free_at = self.free_at.max(now) + (bytes as f64 * 8e9 / self.current) as u64;
        self.bytes += bytes;
        while self.limited && self.bytes >= self.parameters.byte_reset.max(1) {
            self.bytes -= self.parameters.byte_reset.max(1);
            self.byte_steps += 1;
            self.increase();
        }
    }

    /// A congestion notification came in.
    pub fn notified(&mut self, now: u64) {
        self.advance(now);
        let p = &self.parameters;
        let monitored = |at: u64| now.saturating_sub(at) < p.reduce_monitor_ns;
        if self.decreased_at.is_some_and(monitored) {
            return;
        }
        self.decreased_at = Some(now);
        self.target = self.current;
        let cut = (self.current * (1.0 - self.alpha / 2.0)).max(self.current * p.min_dec_fac);
        self.current = cut.max(p.min_rate as f64);
        self.alpha = (1.0 - p.g) * self.alpha + p.g;
        (self.timer_steps, self.byte_steps, self.bytes) = (0, 0, 0);
        (self.alpha_at, self.timer_at) = (now, now);
        self.limited = true;
    }

    /// Lets alpha decay and the increase timer expire as often as they should have.
    fn advance(&mut self, now: u64) {
        if !self.limited {
            return;
        }
        let decays = now.saturating_sub(self.alpha_at) / self.parameters.alpha_ns.max(1);
        self.alpha *= (1.0 - self.parameters.g).powf(decays as f64);
        self.alpha_at += decays * self.parameters.alpha_ns.max(1);
        let period = self.parameters.time_reset_ns.max(1);
        let expiries = now.saturating_sub(self.timer_at) / period;
        self.timer_at += expiries * period;
        for _ in 0..expiries.min(MOST_PERIODS) {
            self.timer_steps += 1;
            self.increase();
            if !self.limited {
                return;
            }
        }
    }

    /// Fast recovery, additive increase or hyper increase, by how often timer and counter expired.
    fn increase(&mut self) {
        let p = &self.parameters;
        let (most, least) = (
            self.timer_steps.max(self.byte_steps),
            self.timer_steps.min(self.byte_steps),
        );
        if least > p.threshold {
            self.target += f64::from(least - p.threshold) * p.hai_rate as f64;
        } else if most > p.threshold {
            self.target += p.ai_rate as f64;
        }
        let line = p.line_rate as f64;
        self.target = self.target.min(line);
        self.current = ((self.target + self.current) / 2.0).min(line);
        if self.current > line * 0.999 {
            (self.current, self.target, self.limited) = (line, line, false);
            self.free_at = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINE: u64 = 10_000_000_000;

    #[test]
    fn one_notification_halves_and_fast_recovery_returns_half_of_what_is_missing_each_time() {
        let mut point = ReactionPoint::new(Parameters::paper(LINE));
        assert_eq!(point.wait_until(0), None);
        point.notified(1_000);
        assert_eq!(point.rate(), 5e9, "alpha begins at 1: the rate is halved");
        for step in 1..=5u32 {
            point.wait_until(1_000 + 55_000 * u64::from(step));
            let missing = 5e9 / f64::from(1 << step);
            assert!(
                (point.rate() - (1e10 - missing)).abs() < 1.0,
                "step {step}: {}",
                point.rate()
            );
        }
    }

    #[test]
    fn a_notified_sender_keeps_to_its_rate() {
        let mut point = ReactionPoint::new(Parameters {
            time_reset_ns: u64::MAX,
            byte_reset: u64::MAX,
            ..Parameters::paper(LINE)
        });
        point.notified(0);
        let (mut now, mut bytes) = (0, 0);
        while now < 10_000_000 {
            match point.wait_until(now) {
                Some(later) => now = later,
                None => {
                    point.sent(1_000, now);
                    bytes += 1_000u64;
                }
            }
        }
        // 5 Gbit/s for 10 ms are 6.25 MB, and one burst of 50 us is 31 kB.
        assert!((6_250_000..6_290_000).contains(&bytes), "{bytes}");
    }

    #[test]
    fn notifications_without_end_lead_to_the_lowest_rate_and_silence_back_to_the_line() {
        for parameters in [Parameters::paper(LINE), Parameters::connectx(LINE)] {
            let mut point = ReactionPoint::new(parameters);
            for step in 0..1_000 {
                point.notified(step * 10_000);
            }
            assert!(point.rate() < 5e6, "{}", point.rate());
            assert!(point.rate() >= 1e6);
            assert!(point.wait_until(600_000_000_000).is_none());
            assert_eq!(point.rate(), LINE as f64);
        }
    }
}
