//! Bytes, bandwidths, durations and shares as types: they parse and print with their unit, and a bare
//! number where a unit belongs is refused. Bytes: decimal (kB, MB, GB) and binary (KiB, MiB, GiB)
//! prefixes; bandwidths: decimal bits per second; durations: s, ms, us, ns; shares: %, ppm. All arithmetic is exact.

use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::Serialize;
use serde::de::{self, Deserialize, Deserializer, Visitor};

/// A number of bytes: `"64 MiB"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, JsonSchema)]
#[serde(into = "String")]
#[schemars(with = "String")]
pub struct Bytes(pub u64);

/// A rate in bits per second, decimal prefixes: `"400 Gbit/s"`. Rates of bytes are taken, too: `"450 GB/s"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, JsonSchema)]
#[serde(into = "String")]
#[schemars(with = "String")]
pub struct Bandwidth(pub u64);

/// A time span in nanoseconds: `"1.5 us"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, JsonSchema)]
#[serde(into = "String")]
#[schemars(with = "String")]
pub struct Duration(pub u64);

/// A share in parts per million: `"0.1 %"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, JsonSchema)]
#[serde(into = "String")]
#[schemars(with = "String")]
pub struct Share(pub u64);

impl Share {
    /// Nothing of it.
    pub fn is_zero(&self) -> bool {
        self.0 == 0
    }

    /// As a fraction of 1.
    pub fn fraction(self) -> f64 {
        self.0 as f64 / 1e6
    }
}

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
    /// Negative, beyond 64 bits, or not zero but less than one bit/s, byte or nanosecond.
    #[error("`{text}` is out of range")]
    OutOfRange {
        /// What was given.
        text: String,
    },
}

struct Kind {
    name: &'static str,
    example: &'static str,
    /// Unit names with their factor, the printed ones first and ascending.
    units: &'static [(&'static str, u64)],
    /// How many of `units` are printed; the rest are other spellings.
    printed: usize,
}

const BYTES: Kind = Kind {
    name: "bytes",
    example: "64 MiB",
    units: &[
        ("B", 1),
        ("KiB", 1 << 10),
        ("MiB", 1 << 20),
        ("GiB", 1 << 30),
        ("TiB", 1 << 40),
        ("kB", 1_000),
        ("KB", 1_000),
        ("MB", 1_000_000),
        ("GB", 1_000_000_000),
        ("TB", 1_000_000_000_000),
    ],
    printed: 5,
};
const BANDWIDTH: Kind = Kind {
    name: "bandwidth",
    example: "400 Gbit/s",
    units: &[
        ("bit/s", 1),
        ("kbit/s", 1_000),
        ("Mbit/s", 1_000_000),
        ("Gbit/s", 1_000_000_000),
        ("Tbit/s", 1_000_000_000_000),
        ("bps", 1),
        ("kbps", 1_000),
        ("Mbps", 1_000_000),
        ("Gbps", 1_000_000_000),
        ("Tbps", 1_000_000_000_000),
        ("B/s", 8),
        ("kB/s", 8_000),
        ("MB/s", 8_000_000),
        ("GB/s", 8_000_000_000),
        ("TB/s", 8_000_000_000_000),
        ("MiB/s", 8 << 20),
        ("GiB/s", 8 << 30),
    ],
    printed: 5,
};
const DURATION: Kind = Kind {
    name: "time",
    example: "1.5 us",
    units: &[
        ("ns", 1),
        ("us", 1_000),
        ("ms", 1_000_000),
        ("s", 1_000_000_000),
        ("min", 60_000_000_000),
        ("µs", 1_000),
    ],
    printed: 4,
};
const SHARE: Kind = Kind {
    name: "shares",
    example: "0.1 %",
    units: &[("ppm", 1), ("%", 10_000)],
    printed: 2,
};

fn parse(text: &str, kind: &Kind) -> Result<u64, QuantityError> {
    let text = text.trim();
    let split = text
        .find(|c: char| !(c.is_ascii_digit() || matches!(c, '.' | '-' | '+' | '_')))
        .unwrap_or(text.len());
    let (number, unit) = (&text[..split], text[split..].trim());
    let no_number = || QuantityError::NoNumber {
        text: text.into(),
        example: kind.example,
    };
    let out_of_range = || QuantityError::OutOfRange { text: text.into() };
    if number.starts_with('-') {
        return Err(out_of_range());
    }
    let (mantissa, scale) = decimal(number).ok_or_else(no_number)?;
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
    let product = mantissa
        .checked_mul(u128::from(*factor))
        .ok_or_else(out_of_range)?;
    let value = product.saturating_add(scale / 2) / scale;
    if value == 0 && mantissa != 0 {
        return Err(out_of_range());
    }
    u64::try_from(value).map_err(|_| out_of_range())
}

/// `"1_000.25"` as (100025, 100); `None` when it is no plain decimal number of at most 36 digits.
fn decimal(text: &str) -> Option<(u128, u128)> {
    let text = text.strip_prefix('+').unwrap_or(text).replace('_', "");
    let (whole, fraction) = text.split_once('.').unwrap_or((&text, ""));
    let digits = format!("{whole}{fraction}");
    if digits.is_empty() || digits.len() > 36 || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    Some((digits.parse().ok()?, 10u128.pow(fraction.len() as u32)))
}

/// Prints with the largest unit that leaves a number with at most three decimals.
fn print(value: u64, kind: &Kind, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let exact =
        |factor: u64| value >= factor && (u128::from(value) * 1000).is_multiple_of(u128::from(factor));
    let units = &kind.units[..kind.printed];
    let (name, factor) = units
        .iter()
        .rev()
        .find(|(_, factor)| exact(*factor))
        .unwrap_or(&units[0]);
    let thousandths = u128::from(value) * 1000 / u128::from(*factor);
    let (whole, fraction) = (thousandths / 1000, thousandths % 1000);
    if fraction == 0 {
        return write!(f, "{whole} {name}");
    }
    let fraction = format!("{fraction:03}");
    write!(f, "{whole}.{} {name}", fraction.trim_end_matches('0'))
}

/// Reads a quantity from text, and says of a bare number that its unit is missing.
struct Quantity(&'static Kind);

impl Visitor<'_> for Quantity {
    type Value = u64;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "a quantity of {} with its unit, for example \"{}\"",
            self.0.name, self.0.example
        )
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<u64, E> {
        parse(text, self.0).map_err(E::custom)
    }

    fn visit_i64<E: de::Error>(self, number: i64) -> Result<u64, E> {
        Err(E::custom(self.no_unit(number.to_string())))
    }

    fn visit_u64<E: de::Error>(self, number: u64) -> Result<u64, E> {
        Err(E::custom(self.no_unit(number.to_string())))
    }

    fn visit_f64<E: de::Error>(self, number: f64) -> Result<u64, E> {
        Err(E::custom(self.no_unit(number.to_string())))
    }
}

impl Quantity {
    fn no_unit(&self, text: String) -> QuantityError {
        QuantityError::NoUnit {
            text,
            example: self.0.example,
        }
    }
}

macro_rules! quantity {
    ($type:ident, $kind:expr) => {
        impl FromStr for $type {
            type Err = QuantityError;
            fn from_str(text: &str) -> Result<Self, QuantityError> {
                parse(text, &$kind).map($type)
            }
        }
        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                deserializer.deserialize_any(Quantity(&$kind)).map($type)
            }
        }
        impl From<$type> for String {
            fn from(value: $type) -> String {
                value.to_string()
            }
        }
        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                print(self.0, &$kind, f)
            }
        }
    };
}

quantity!(Bytes, BYTES);
quantity!(Bandwidth, BANDWIDTH);
quantity!(Duration, DURATION);
quantity!(Share, SHARE);

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn prints_what_a_reader_would_write() {
        let bytes = |n| Bytes(n).to_string();
        assert_eq!(bytes(0), "0 B");
        assert_eq!(bytes(1023), "1023 B");
        assert_eq!(bytes(1 << 10), "1 KiB");
        assert_eq!(bytes(3 << 19), "1.5 MiB");
        assert_eq!(bytes(1_000_000), "1000000 B");
        assert_eq!(Bandwidth(400_000_000_000).to_string(), "400 Gbit/s");
        assert_eq!(Bandwidth(2_500_000_000).to_string(), "2.5 Gbit/s");
        assert_eq!(Duration(1_500).to_string(), "1.5 us");
        assert_eq!(Duration(90_000_000_000).to_string(), "90 s");
        assert_eq!(Share(10_000).to_string(), "1 %");
        assert_eq!(Share(1_500).to_string(), "1500 ppm");
        assert_eq!("0.15 %".parse(), Ok(Share(1_500)));
        assert_eq!(Share(1).to_string(), "1 ppm");
    }

    #[test]
    fn refuses_what_is_no_quantity() {
        for text in [
            "",
            "1500",
            "MiB",
            "1 parsec",
            "-1 B",
            "1..5 s",
            "1e3 B",
            "99999999 TiB",
            "0.1 B",
            "NaN B",
        ] {
            assert!(text.parse::<Bytes>().is_err(), "{text}");
        }
        assert!("64 MiB".parse::<Bandwidth>().is_err());
        assert!("1 Gbit/s".parse::<Duration>().is_err());
    }

    #[test]
    fn other_spellings_mean_the_same() {
        assert_eq!("1_024KiB".parse(), Ok(Bytes(1 << 20)));
        assert_eq!("1.5 GB".parse(), Ok(Bytes(1_500_000_000)));
        assert_eq!(" 10 Gbps ".parse(), Ok(Bandwidth(10_000_000_000)));
        assert_eq!("450 GB/s".parse(), Ok(Bandwidth(3_600_000_000_000)));
        assert_eq!("1 GiB/s".parse(), Ok(Bandwidth(8 << 30)));
        assert_eq!("2 µs".parse(), Ok(Duration(2_000)));
        assert_eq!("1 min".parse(), Ok(Duration(60_000_000_000)));
    }

    proptest! {
        #[test]
        fn every_value_survives_print_and_parse(n: u64) {
            prop_assert_eq!(Bytes(n).to_string().parse(), Ok(Bytes(n)));
            prop_assert_eq!(Bandwidth(n).to_string().parse(), Ok(Bandwidth(n)));
            prop_assert_eq!(Duration(n).to_string().parse(), Ok(Duration(n)));
            prop_assert_eq!(Share(n).to_string().parse(), Ok(Share(n)));
        }

        #[test]
        fn round_values_survive_too(n in 0u64..1_000_000, shift in 0u32..40) {
            let bytes = Bytes(n << shift);
            prop_assert_eq!(bytes.to_string().parse(), Ok(bytes));
        }

        #[test]
        fn arbitrary_text_never_panics(text in ".{0,40}") {
            let _ = text.parse::<Bytes>();
            let _ = text.parse::<Duration>();
        }
    }
}
