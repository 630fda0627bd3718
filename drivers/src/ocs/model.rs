//! The neutral model that every dialect is mapped onto, after SONiC-OCS: simplex ports `1A` (light goes
//! in) and `1B` (light comes out), circuits `1A-2B` from one of the first to one of the second kind. A
//! duplex fibre link takes two circuits.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Most ports on one side: larger than any switch on the market, small enough to draw.
pub const MOST_PORTS: u16 = 1024;

/// Why a text names no port, circuit or size.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// Not a port.
    #[error("`{0}` is not a port; write for example 3A (light in) or 3B (light out)")]
    Port(String),
    /// Not a circuit.
    #[error("`{0}` is not a circuit; write for example 1A-2B, from an A to a B port")]
    Circuit(String),
    /// Not a size.
    #[error("`{0}` is not a size; write for example 16x16, at most {MOST_PORTS} on a side")]
    Size(String),
}

/// A simplex port; numbers begin at 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Port {
    /// Light enters the switch.
    A(u16),
    /// Light leaves the switch.
    B(u16),
}

impl Port {
    /// Its number on its side.
    pub fn number(self) -> u16 {
        match self {
            Port::A(number) | Port::B(number) => number,
        }
    }
}

impl fmt::Display for Port {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Port::A(number) => write!(f, "{number}A"),
            Port::B(number) => write!(f, "{number}B"),
        }
    }
}

impl FromStr for Port {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let bad = || NameError::Port(shortened(text));
        let side = text.chars().next_back().ok_or_else(bad)?;
        let number = number(&text[..text.len() - side.len_utf8()]).ok_or_else(bad)?;
        match side {
            'A' | 'a' => Ok(Port::A(number)),
            'B' | 'b' => Ok(Port::B(number)),
            _ => Err(bad()),
        }
    }
}

/// A cross-connect: light that enters at A port `a` leaves at B port `b`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Circuit {
    /// Number of the A port.
    pub a: u16,
    /// Number of the B port.
    pub b: u16,
}

impl Circuit {
    /// From A port `a` to B port `b`.
    pub fn new(a: u16, b: u16) -> Self {
        Self { a, b }
    }

    /// Its two ports.
    pub fn ports(self) -> [Port; 2] {
        [Port::A(self.a), Port::B(self.b)]
    }

    /// Shares a port with another circuit without being the same.
    pub fn conflicts(self, other: Circuit) -> bool {
        self != other && (self.a == other.a || self.b == other.b)
    }
}

impl fmt::Display for Circuit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}A-{}B", self.a, self.b)
    }
}

impl FromStr for Circuit {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let bad = || NameError::Circuit(shortened(text));
        let (a, b) = text.split_once('-').ok_or_else(bad)?;
        match (a.trim().parse(), b.trim().parse()) {
            (Ok(Port::A(a)), Ok(Port::B(b))) => Ok(Circuit { a, b }),
            _ => Err(bad()),
        }
    }
}

/// How many ports there are on each side.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Size {
    /// A ports.
    pub a: u16,
    /// B ports.
    pub b: u16,
}

impl Size {
    /// Whether the switch has this port.
    pub fn has(self, port: Port) -> bool {
        let most = match port {
            Port::A(_) => self.a,
            Port::B(_) => self.b,
        };
        (1..=most).contains(&port.number())
    }

    /// All ports, A before B.
    pub fn ports(self) -> impl Iterator<Item = Port> {
        (1..=self.a).map(Port::A).chain((1..=self.b).map(Port::B))
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}x{}", self.a, self.b)
    }
}

impl FromStr for Size {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let sides = text.split_once(['x', 'X']);
        let sides = sides.and_then(|(a, b)| Some((number(a)?, number(b)?)));
        let (a, b) = sides.ok_or_else(|| NameError::Size(shortened(text)))?;
        Ok(Size { a, b })
    }
}

/// A list of ports as people write it: `1A,3A..8A,1B..4B`.
///
/// # Errors
/// A range whose ends are on different sides, or anything that names no port.
pub fn port_list(text: &str) -> Result<BTreeSet<Port>, NameError> {
    let mut ports = BTreeSet::new();
    for part in text.split([',', ' ']).filter(|part| !part.is_empty()) {
        let (first, last) = part.split_once("..").unwrap_or((part, part));
        match (first.parse()?, last.parse()?) {
            (Port::A(first), Port::A(last)) if first <= last => ports.extend((first..=last).map(Port::A)),
            (Port::B(first), Port::B(last)) if first <= last => ports.extend((first..=last).map(Port::B)),
            _ => return Err(NameError::Port(shortened(part))),
        }
    }
    Ok(ports)
}

/// A number of a port: digits only, from 1 to [`MOST_PORTS`].
fn number(text: &str) -> Option<u16> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let number: u16 = text.parse().ok().filter(|_| digits)?;
    (1..=MOST_PORTS).contains(&number).then_some(number)
}

/// What is quoted in a message: hostile input may be long and hold control characters.
pub(super) fn shortened(text: &str) -> String {
    let clean = |c: char| if c.is_control() { '.' } else { c };
    let mut short: String = text.chars().take(60).map(clean).collect();
    if short.len() < text.len() && text.chars().count() > 60 {
        short.push('…');
    }
    short
}

macro_rules! as_text {
    ($type:ty) => {
        impl Serialize for $type {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = String::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}
as_text!(Port);
as_text!(Circuit);

/// What a switch says of itself. Empty where it does not.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Identity {
    /// Maker.
    pub vendor: String,
    /// Product.
    pub model: String,
    /// Serial number.
    pub serial: String,
    /// Firmware version.
    pub firmware: String,
}

/// Whether light passes a port.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PortState {
    /// It does.
    Enabled,
    /// A shutter, or the dialect's word for one, holds it back.
    Blocked,
    /// The switch has given the port up.
    Failed,
}

/// What is known of a port; `None` where the dialect does not say.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PortInfo {
    /// Which port.
    pub port: Port,
    /// Shutter.
    pub state: Option<PortState>,
    /// Label; empty for none.
    pub label: Option<String>,
    /// Optical power, dBm.
    pub power_dbm: Option<f64>,
    /// Attenuation that was asked for, dB; 0 for none.
    pub attenuation_db: Option<f64>,
}

impl PortInfo {
    /// A port of which nothing is known.
    pub fn unknown(port: Port) -> Self {
        Self {
            port,
            state: None,
            label: None,
            power_dbm: None,
            attenuation_db: None,
        }
    }
}

/// What the switch does with its circuits when it restarts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Startup {
    /// Begins dark.
    Volatile,
    /// Comes back with the circuits it had.
    Preserve,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_as_they_are_printed() {
        for text in ["1A-2B", "1024A-1B"] {
            assert_eq!(text.parse::<Circuit>().unwrap().to_string(), text);
        }
        assert_eq!("16x8".parse::<Size>().unwrap(), Size { a: 16, b: 8 });
        assert_eq!("7b".parse::<Port>().unwrap(), Port::B(7));
    }

    #[test]
    fn what_is_no_name_is_refused() {
        for text in [
            "",
            "A",
            "0A",
            "1C",
            "1025A",
            "-1A",
            "+1A",
            "1.5A",
            "99999999999A",
            "é",
        ] {
            assert!(text.parse::<Port>().is_err(), "{text}");
        }
        for text in ["1A-2A", "1B-2A", "1A", "1A-", "1A-2B-3B", "-"] {
            assert!(text.parse::<Circuit>().is_err(), "{text}");
        }
        for text in ["16", "0x16", "16x", "x", "16x99999", "+1x1"] {
            assert!(text.parse::<Size>().is_err(), "{text}");
        }
    }

    #[test]
    fn lists_have_ranges() {
        let ports = port_list("1A, 3A..5A 2B").unwrap();
        let wanted = [Port::A(1), Port::A(3), Port::A(4), Port::A(5), Port::B(2)];
        assert_eq!(ports, BTreeSet::from(wanted));
        for text in ["1A..2B", "5A..3A", "1A..", "1A...3A"] {
            assert!(port_list(text).is_err(), "{text}");
        }
    }
}
