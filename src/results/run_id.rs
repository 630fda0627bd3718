//! What runs are called: UTC date and time, so that ids sort, and five random characters, by which
//! a run can be named in one or two key strokes: `20261122-153254-k3v9x`.

use std::fmt;
use std::io::Read;
use std::str::FromStr;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// Crockford's base 32 in lower case: no i, l, o, u, which people misread.
const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
/// Characters of the random part; 25 bits.
const RANDOM: usize = 5;
/// `20261122-153254-`
const PREFIX: usize = 16;

/// The id of a run.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct RunId(String);

/// A text that is not a run id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a run id like `20261122-153254-k3v9x`")]
pub struct NotARunId(String);

impl RunId {
    /// The id of a run that starts at `at`; the low 25 bits of `random` tell apart those of the same second.
    pub fn new(at: Timestamp, random: u32) -> RunId {
        let mut id = at.strftime("%Y%m%d-%H%M%S-").to_string();
        for place in 0..RANDOM {
            id.push(char::from(ALPHABET[(random >> (5 * place)) as usize % 32]));
        }
        RunId(id)
    }

    /// A new id for a run that starts now.
    pub fn now() -> RunId {
        RunId::new(Timestamp::now(), random_bits())
    }

    /// The whole id.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The random part: five characters of `[a-z0-9]`; namespaces and links are named after it.
    pub fn short(&self) -> &str {
        &self.0[PREFIX..]
    }

    /// Whether `text` begins the whole id or its random part.
    pub fn begins_with(&self, text: &str) -> bool {
        self.0.starts_with(text) || self.short().starts_with(text)
    }
}

/// From the kernel; from the clock and the process id where `/dev/urandom` is missing (ids need to
/// differ, not to be secret).
fn random_bits() -> u32 {
    let mut bytes = [0; 4];
    let read = std::fs::File::open("/dev/urandom").and_then(|mut file| file.read_exact(&mut bytes));
    match read {
        Ok(()) => u32::from_ne_bytes(bytes),
        Err(_) => (Timestamp::now().subsec_nanosecond() as u32).rotate_left(7) ^ std::process::id(),
    }
}

impl FromStr for RunId {
    type Err = NotARunId;
    fn from_str(text: &str) -> Result<RunId, NotARunId> {
        let right = |(place, byte): (usize, u8)| match place {
            8 | 15 => byte == b'-',
            0..PREFIX => byte.is_ascii_digit(),
            _ => ALPHABET.contains(&byte),
        };
        if text.len() == PREFIX + RANDOM && text.bytes().enumerate().all(right) {
            Ok(RunId(text.into()))
        } else {
            Err(NotARunId(text.into()))
        }
    }
}

impl TryFrom<String> for RunId {
    type Error = NotARunId;
    fn try_from(text: String) -> Result<RunId, NotARunId> {
        text.parse()
    }
}

impl From<RunId> for String {
    fn from(id: RunId) -> String {
        id.0
    }
}

impl fmt::Display for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_sort_by_time_and_read_back() {
        let early = RunId::new("2026-11-22T15:32:54Z".parse().unwrap(), u32::MAX);
        let late = RunId::new("2026-11-22T15:32:55Z".parse().unwrap(), 0);
        assert_eq!(early.as_str(), "20261122-153254-zzzzz");
        assert_eq!(late.short(), "00000");
        assert!(early < late);
        assert_eq!(early.as_str().parse(), Ok(early));
    }

    #[test]
    fn other_names_are_not_ids() {
        for name in [
            "baselines",
            "latest",
            "20261122-153254-k3v9",
            "20261122-153254-k3v9i",
            "20261122 153254-k3v9x",
        ] {
            assert!(name.parse::<RunId>().is_err(), "{name}");
        }
    }

    #[test]
    fn two_runs_of_one_second_differ() {
        assert_ne!(
            RunId::now().short(),
            RunId::now().short(),
            "one chance in 33 million"
        );
    }
}
