//! What an imitation may be told to get wrong, on purpose and repeatably: the Nth request of the whole
//! switch, not of a session, so that a client that comes back meets the next one.

use std::collections::BTreeSet;
use std::str::FromStr;
use std::time::Duration;

use genie_drivers::ocs::Port;

/// What goes wrong. Counts say "every Nth"; 0: never.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Trouble {
    /// Every Nth request is carried out and not answered.
    pub drop_reply: u32,
    /// Every answer comes so much later.
    pub slow_reply: Duration,
    /// Every Nth change is refused.
    pub deny: u32,
    /// Every Nth request is carried out, then the session ends.
    pub lose_session: u32,
    /// Of a change of several circuits only the first so many are done, and success is reported.
    pub half_bulk: u32,
    /// Nonsense is sent to whoever connects.
    pub garbage_banner: bool,
    /// Ports whose mirrors never settle.
    pub stuck: BTreeSet<Port>,
    /// A ports that no light enters.
    pub no_light: BTreeSet<Port>,
}

/// A trouble that is none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is not a trouble\nhelp: one of drop-reply=N, slow-reply=TIME, deny=N, stuck-port=PORT, lose-session=N, half-bulk=N, garbage-banner, no-light=PORT"
)]
pub struct TroubleError(pub String);

impl Trouble {
    /// Takes one more in: `deny=3`, `stuck-port=2A`, `slow-reply=50ms`.
    pub fn add(&mut self, text: &str) -> Result<(), TroubleError> {
        let bad = || TroubleError(text.chars().take(60).collect());
        let (name, value) = text.split_once('=').unwrap_or((text, ""));
        let count = || {
            value
                .parse::<u32>()
                .ok()
                .filter(|count| *count > 0)
                .ok_or_else(bad)
        };
        let port = || Port::from_str(value).map_err(|_| bad());
        match name {
            "drop-reply" => self.drop_reply = count()?,
            "slow-reply" => self.slow_reply = time(value).ok_or_else(bad)?,
            "deny" => self.deny = count()?,
            "lose-session" => self.lose_session = count()?,
            "half-bulk" => self.half_bulk = count()?,
            "garbage-banner" if value.is_empty() => self.garbage_banner = true,
            "stuck-port" => drop(self.stuck.insert(port()?)),
            "no-light" => drop(self.no_light.insert(port()?)),
            _ => return Err(bad()),
        }
        Ok(())
    }
}

/// `50ms` or `2s`.
fn time(text: &str) -> Option<Duration> {
    let (number, unit) = match text.strip_suffix("ms") {
        Some(number) => (number, 1),
        None => (text.strip_suffix('s')?, 1000),
    };
    let number: u64 = number.trim().parse().ok()?;
    (number <= 600_000).then(|| Duration::from_millis(number * unit))
}

/// Counts requests, and says which of them go wrong.
#[derive(Debug, Default)]
pub struct Luck {
    requests: u32,
    changes: u32,
}

/// What becomes of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// It is sent.
    Sent,
    /// It is not.
    Dropped,
    /// It is not, and the session ends.
    Lost,
}

impl Luck {
    /// What becomes of the answer to the next request.
    pub fn answer(&mut self, trouble: &Trouble) -> Fate {
        self.requests = self.requests.wrapping_add(1);
        match self.requests {
            n if hits(n, trouble.lose_session) => Fate::Lost,
            n if hits(n, trouble.drop_reply) => Fate::Dropped,
            _ => Fate::Sent,
        }
    }

    /// Whether the next change is refused.
    pub fn denies(&mut self, trouble: &Trouble) -> bool {
        self.changes = self.changes.wrapping_add(1);
        hits(self.changes, trouble.deny)
    }
}

fn hits(number: u32, every: u32) -> bool {
    every > 0 && number.is_multiple_of(every)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn troubles_are_read_and_others_refused() {
        let mut trouble = Trouble::default();
        for text in ["deny=3", "stuck-port=2A", "slow-reply=50ms", "garbage-banner"] {
            trouble.add(text).unwrap();
        }
        assert_eq!((trouble.deny, trouble.slow_reply), (3, Duration::from_millis(50)));
        for text in [
            "",
            "deny",
            "deny=0",
            "deny=x",
            "slow-reply=5",
            "slow-reply=9999999999999999s",
            "stuck-port=2",
            "rain",
        ] {
            assert!(trouble.add(text).is_err(), "{text}");
        }
    }

    #[test]
    fn every_third_answer_is_dropped() {
        let trouble = Trouble {
            drop_reply: 3,
            ..Trouble::default()
        };
        let mut luck = Luck::default();
        let fates: Vec<Fate> = (0..6).map(|_| luck.answer(&trouble)).collect();
        let (sent, dropped) = (Fate::Sent, Fate::Dropped);
        assert_eq!(fates, [sent, sent, dropped, sent, sent, dropped]);
    }
}
