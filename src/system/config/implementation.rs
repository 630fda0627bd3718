//! Names of collective algorithms in system files.

use std::fmt;
use std::num::NonZeroU32;
use std::str::FromStr;

/// A collective's algorithm in one dimension, or, if it is flat, over all of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Implementation {
    /// `ring`.
    Ring,
    /// `direct`, `directW`: to each directly, at most `window` messages under way.
    Direct {
        /// `None`: as many as there are peers.
        window: Option<NonZeroU32>,
    },
    /// `halvingDoubling`; powers of two only.
    HalvingDoubling,
    /// `doubleBinaryTree`; all-reduce only.
    DoubleBinaryTree,
    /// `oneRing`: all dimensions as one ring, in the order of ranks.
    OneRing,
    /// `oneDirect`, `oneDirectW`.
    OneDirect {
        /// As of [`Implementation::Direct`].
        window: Option<NonZeroU32>,
    },
    /// `oneHalvingDoubling`.
    OneHalvingDoubling,
}

/// How one collective is carried out.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Implementations {
    /// For each dimension of the network, the first first. Empty: the collective cannot be played.
    pub native: Vec<Implementation>,
    /// Prefix of the Chakra files of an algorithm; it comes before `native`.
    pub custom: Option<String>,
}

/// Names to suggest; a window may follow those with `direct`.
pub const NAMES: [&str; 7] = [
    "ring",
    "direct",
    "halvingDoubling",
    "doubleBinaryTree",
    "oneRing",
    "oneDirect",
    "oneHalvingDoubling",
];

impl Implementation {
    /// Whether it takes all dimensions as one.
    pub fn is_flat(self) -> bool {
        matches!(
            self,
            Implementation::OneRing | Implementation::OneDirect { .. } | Implementation::OneHalvingDoubling
        )
    }
}

/// Not an algorithm's name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no collective implementation")]
pub struct UnknownImplementation(pub String);

impl FromStr for Implementation {
    type Err = UnknownImplementation;

    fn from_str(text: &str) -> Result<Self, UnknownImplementation> {
        let unknown = || UnknownImplementation(text.into());
        let window = |digits: &str| match digits {
            "" => Ok(None),
            _ if !digits.bytes().all(|b| b.is_ascii_digit()) => Err(unknown()),
            _ => digits.parse().map(Some).map_err(|_| unknown()),
        };
        match text {
            "ring" => Ok(Implementation::Ring),
            "halvingDoubling" => Ok(Implementation::HalvingDoubling),
            "doubleBinaryTree" => Ok(Implementation::DoubleBinaryTree),
            "oneRing" => Ok(Implementation::OneRing),
            "oneHalvingDoubling" => Ok(Implementation::OneHalvingDoubling),
            _ => match (text.strip_prefix("direct"), text.strip_prefix("oneDirect")) {
                (Some(digits), _) => window(digits).map(|window| Implementation::Direct { window }),
                (_, Some(digits)) => window(digits).map(|window| Implementation::OneDirect { window }),
                _ => Err(unknown()),
            },
        }
    }
}

impl fmt::Display for Implementation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (name, window) = match *self {
            Implementation::Ring => ("ring", None),
            Implementation::Direct { window } => ("direct", window),
            Implementation::HalvingDoubling => ("halvingDoubling", None),
            Implementation::DoubleBinaryTree => ("doubleBinaryTree", None),
            Implementation::OneRing => ("oneRing", None),
            Implementation::OneDirect { window } => ("oneDirect", window),
            Implementation::OneHalvingDoubling => ("oneHalvingDoubling", None),
        };
        match window {
            Some(window) => write!(f, "{name}{window}"),
            None => f.write_str(name),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_read_and_printed_alike() {
        for name in NAMES.into_iter().chain(["direct2", "oneDirect16"]) {
            let implementation: Implementation = name.parse().expect(name);
            assert_eq!(implementation.to_string(), name);
            assert_eq!(implementation.is_flat(), name.starts_with("one"));
        }
        for name in [
            "",
            "Ring",
            "direct0",
            "direct-1",
            "direct2x",
            "direct+1",
            "oneDoubleBinaryTree",
            "direct99999999999",
        ] {
            assert!(name.parse::<Implementation>().is_err(), "{name}");
        }
    }
}
