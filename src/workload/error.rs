//! Why a file of some format was refused, in one shape for all of them.

use super::chakra::ReadError;
use super::text::TextError;

/// A file that could not be read or converted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{file}`{}: {what}", .place.as_ref().map(|place| format!(", {place}")).unwrap_or_default())]
pub struct FormatError {
    /// The file, or what stands for it.
    pub file: String,
    /// Where in it: a line, a node, a key.
    pub place: Option<String>,
    /// What is wrong.
    pub what: String,
    /// What to do about it.
    pub help: Option<String>,
}

impl FormatError {
    /// An error of the whole file.
    pub fn new(file: &str, what: impl Into<String>) -> FormatError {
        FormatError {
            file: file.to_owned(),
            place: None,
            what: what.into(),
            help: None,
        }
    }

    /// Says where.
    #[must_use]
    pub fn at(mut self, place: impl Into<String>) -> FormatError {
        self.place = Some(place.into());
        self
    }

    /// Says what to do about it.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> FormatError {
        self.help = Some(help.into());
        self
    }
}

impl From<ReadError> for FormatError {
    fn from(error: ReadError) -> FormatError {
        let node = error
            .node
            .as_ref()
            .map(|(id, name)| format!(", node {id} `{}`", name.escape_debug()));
        FormatError {
            place: Some(format!("byte {}{}", error.offset, node.unwrap_or_default())),
            file: error.file,
            what: error.what,
            help: error.help.map(str::to_owned),
        }
    }
}

impl From<TextError> for FormatError {
    fn from(error: TextError) -> FormatError {
        FormatError {
            place: error.line.map(|line| format!("line {line}")),
            file: error.file,
            what: error.what,
            help: error.help,
        }
    }
}

/// A text of a file for a message: short and without control characters.
pub fn shown(text: &str) -> String {
    text.chars().take(60).flat_map(char::escape_debug).collect()
}
