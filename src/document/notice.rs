//! What a reader of configuration files says without refusing them: keys without effect, unknown
//! keys, values that were cut.

use std::fmt;

use super::Place;

/// Why something is said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoticeKind {
    /// A known key that has no effect.
    Ignored,
    /// A key that nobody knows.
    Unknown,
    /// A value that is not taken as it is written.
    Changed,
    /// Allowed, but hardly meant.
    Doubtful,
}

/// One thing to say about a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notice {
    /// Why.
    pub kind: NoticeKind,
    /// Where, if it lies in a file.
    pub at: Option<Place>,
    /// What, one clause in lower case.
    pub message: String,
    /// What to do about it.
    pub help: Option<String>,
}

impl fmt::Display for Notice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(at) = &self.at {
            write!(f, "{}:{}:{}: ", at.file, at.line, at.column)?;
        }
        f.write_str(&self.message)?;
        match &self.help {
            Some(help) => write!(f, "\nhelp: {help}"),
            None => Ok(()),
        }
    }
}

/// What was read, and what is to be said about it.
#[derive(Debug, Clone, PartialEq)]
pub struct Parsed<T> {
    /// The value.
    pub value: T,
    /// In the order of the file.
    pub notices: Vec<Notice>,
}
