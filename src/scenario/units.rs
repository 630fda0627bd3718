//! Bytes, bandwidths and durations as types: they parse and print with their unit, and a bare
//! number where a unit belongs is refused. Bytes: decimal (kB, MB, GB) and binary (KiB, MiB, GiB)
//! prefixes; bandwidths: decimal bits per second; durations: s, ms, us, ns.

use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A number of bytes: `"64 MiB"`.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize, JsonSchema,
)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "String")]
pub struct Bytes(pub u64);

/// A rate in bits per second, decimal prefixes: `"400 Gbit/s"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "String")]
pub struct Bandwidth(pub u64);

/// A time span in nanoseconds: `"1.5 us"`.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize, JsonSchema,
)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "String")]
pub struct Duration(pub u64);

impl Bandwidth {
    /// Bytes per second.
    pub fn bytes_per_second(self) -> f64 {
        self.0 as f64 / 8.0
    }
}

impl Duration {
    /// Seconds.
    pub fn seconds(self) -> f64 {
        self.0 as f64 / 1e9
    }

    /// As the standard library's type.
    pub fn std(self) -> std::time::Duration {
        std::time::Duration::from_nanos(self.0)
    }
}

/// Why a quantity was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum QuantityError {
    /// No unit.
    #[error("`{text}` has no unit; write for example \"{example}\"")]
    NoUnit {
        /// What was given.
        text: String,
        /// A right one.
        example: &'static str,
    },
    /// A unit that is not of this kind.
    #[error("`{unit}` is not a unit of {kind}; units are {units}")]
    WrongUnit {
        /// What was given.
        unit: String,
        /// What was wanted.
        kind: &'static str,
        /// Units that would do.
        units: String,
    },
    /// Not a number before the unit.
    #[error("`{text}` does not begin with a number; write for example \"{example}\"")]
    NoNumber {
        /// What was given.
        text: String,
        /// A right one.
        example: &'static str,
    },
    /// Negative, not finite, or beyond 64 bits.
    #[error("`{text}` is out of range")]
    OutOfRange {
        /// What was given.
        text: String,
    },
}

struct Kind {
    name: &'static str,
    example: &'static str,
    /// Unit names with their factor; the first of equal factors is the one printed.
    units: &'static [(&'static str, f64)],
}

const BYTES: Kind = Kind {
    name: "bytes",
    example: "64 MiB",
    units: &[
        ("B", 1.0),
        ("KiB", 1024.0),
        ("MiB", 1048576.0),
        ("GiB", 1073741824.0),
        ("TiB", 1099511627776.0),
        ("kB", 1e3),
        ("KB", 1e3),
        ("MB", 1e6),
        ("GB", 1e9),
        ("TB", 1e12),
    ],
};
const BANDWIDTH: Kind = Kind {
    name: "bandwidth",
    example: "400 Gbit/s",
    units: &[
        ("bit/s", 1.0),
        ("kbit/s", 1e3),
        ("Mbit/s", 1e6),
        ("Gbit/s", 1e9),
        ("Tbit/s", 1e12),
        ("bps", 1.0),
        ("kbps", 1e3),
        ("Mbps", 1e6),
        ("Gbps", 1e9),
        ("Tbps", 1e12),
    ],
};
const DURATION: Kind = Kind {
    name: "time",
    example: "1.5 us",
    units: &[
        ("ns", 1.0),
        ("us", 1e3),
        ("ms", 1e6),
        ("s", 1e9),
        ("min", 60e9),
        ("µs", 1e3),
    ],
};

fn parse(text: &str, kind: &Kind) -> Result<u64, QuantityError> {
    let trimmed = text.trim();
    let split = trimmed
        .find(|c: char| !(c.is_ascii_digit() || matches!(c, '.' | '-' | '+' | '_')))
        .unwrap_or(trimmed.len());
    let (number, unit) = (trimmed[..split].replace('_', ""), trimmed[split..].trim());
    if number.is_empty() {
        return Err(QuantityError::NoNumber {
            text: text.into(),
            example: kind.example,
        });
    }
    let value: f64 = number.parse().map_err(|_| QuantityError::NoNumber {
        text: text.into(),
        example: kind.example,
    })?;
    if unit.is_empty() {
        return Err(QuantityError::NoUnit {
            text: text.into(),
            example: kind.example,
        });
    }
    let Some((_, factor)) = kind.units.iter().find(|(name, _)| *name == unit) else {
        let units: Vec<&str> = kind.units.iter().map(|(name, _)| *name).collect();
        return Err(QuantityError::WrongUnit {
            unit: unit.into(),
            kind: kind.name,
            units: units.join(", "),
        });
    };
    let scaled = (value * factor).round();
    if !(0.0..1.8e19).contains(&scaled) {
        return Err(QuantityError::OutOfRange { text: text.into() });
    }
    Ok(scaled as u64)
}

/// Prints with the largest unit that leaves a short exact number.
fn print(value: u64, units: &[(&str, f64)], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let (name, factor) = units
        .iter()
        .rev()
        .find(|(_, factor)| value as f64 >= *factor)
        .unwrap_or(&units[0]);
    let scaled = value as f64 / factor;
    if (scaled * 1000.0).fract() == 0.0 {
        return write!(f, "{scaled} {name}");
    }
    let exact = units
        .iter()
        .rev()
        .find(|(_, factor)| (value as f64 / factor * 1000.0).fract() == 0.0);
    let (name, factor) = exact.unwrap_or(&units[0]);
    write!(f, "{} {name}", value as f64 / factor)
}

macro_rules! quantity {
    ($type:ident, $kind:expr, $printed:expr) => {
        impl FromStr for $type {
            type Err = QuantityError;
            fn from_str(text: &str) -> Result<Self, QuantityError> {
                parse(text, &$kind).map($type)
            }
        }
        impl TryFrom<String> for $type {
            type Error = QuantityError;
            fn try_from(text: String) -> Result<Self, QuantityError> {
                text.parse()
            }
        }
        impl From<$type> for String {
            fn from(value: $type) -> String {
                value.to_string()
            }
        }
        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                print(self.0, &$kind.units[..$printed], f)
            }
        }
    };
}

quantity!(Bytes, BYTES, 5);
quantity!(Bandwidth, BANDWIDTH, 5);
quantity!(Duration, DURATION, 4);
