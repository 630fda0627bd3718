//! How a run is named on the command line, the same for every command: `latest`, `latest~2`, an id or
//! its shortest unique beginning, a tag, a path; with `#3` the third repetition of `--repeat` alone.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

/// Which runs are meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Selector {
    /// The run, or the first of its repetitions.
    pub which: Which,
    /// One repetition of it, from 1.
    pub repetition: Option<u32>,
}

/// A run, or runs that were repeated together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Which {
    /// The newest, or so many before it; repetitions count once.
    Latest(usize),
    /// An id, a beginning of one, or a tag.
    Named(String),
    /// A run folder.
    Path(PathBuf),
}

/// A text that names no run.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` does not name a run: expected `latest`, `latest~N`, an id or its beginning, a tag or a path, and `#N` for one repetition"
)]
pub struct NotASelector(String);

impl FromStr for Selector {
    type Err = NotASelector;

    fn from_str(text: &str) -> Result<Selector, NotASelector> {
        let wrong = || NotASelector(text.into());
        let (name, repetition) = match text.rsplit_once('#') {
            Some((name, number)) if !text.contains('/') => {
                let number: u32 = number.parse().map_err(|_| wrong())?;
                (name, Some(number).filter(|number| *number > 0))
            }
            _ => (text, None),
        };
        if name != text && repetition.is_none() {
            return Err(wrong());
        }
        let which = match name.strip_prefix("latest") {
            Some("") => Which::Latest(0),
            Some(rest) if rest.starts_with('~') => match &rest[1..] {
                "" => Which::Latest(1),
                number => Which::Latest(number.parse().map_err(|_| wrong())?),
            },
            _ if name.contains('/') || name == "." || name == ".." => Which::Path(name.into()),
            _ => Which::Named(name.into()),
        };
        Ok(Selector { which, repetition })
    }
}

impl fmt::Display for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.which {
            Which::Latest(0) => f.write_str("latest")?,
            Which::Latest(back) => write!(f, "latest~{back}")?,
            Which::Named(name) => f.write_str(name)?,
            Which::Path(path) => write!(f, "{}", path.display())?,
        }
        match self.repetition {
            Some(number) => write!(f, "#{number}"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_is_read_and_prints_itself() {
        for text in [
            "latest",
            "latest~2",
            "k3",
            "latest#3",
            "v1.0#2",
            "results/20261122-153254-k3v9x",
            "./a",
        ] {
            let selector: Selector = text.parse().expect(text);
            assert_eq!(selector.to_string(), text);
        }
        assert_eq!(
            "latest~".parse::<Selector>().map(|s| s.which),
            Ok(Which::Latest(1))
        );
        assert_eq!(
            "latest~2#1".parse::<Selector>().map(|s| s.repetition),
            Ok(Some(1))
        );
        for text in [
            "latest~x",
            "latest~-1",
            "latest~99999999999999999999999",
            "k3#",
            "k3#0",
            "k3#x",
        ] {
            assert!(text.parse::<Selector>().is_err(), "{text}");
        }
    }
}
