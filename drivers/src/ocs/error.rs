//! Why a switch was not reached, did not answer, or would not.

use std::io;

use super::model::shortened;

/// An error of a conversation with a switch. The caller names the switch.
#[derive(Debug, thiserror::Error)]
pub enum OcsError {
    /// No connection.
    #[error(
        "cannot be reached: {0}\nhelp: check address and port; is its management interface on this network?"
    )]
    Unreachable(io::Error),
    /// No answer in time.
    #[error("no answer to `{request}` within {ms} ms")]
    Timeout {
        /// What was asked.
        request: String,
        /// How long it was waited for, milliseconds.
        ms: u64,
    },
    /// The session ended.
    #[error("the session was lost during `{request}`: {reason}")]
    Lost {
        /// What was asked.
        request: String,
        /// How it ended.
        reason: String,
    },
    /// An answer that makes no sense.
    #[error("answered `{request}` with something that is not understood: {what}")]
    Malformed {
        /// What was asked.
        request: String,
        /// What is wrong with the answer.
        what: String,
    },
    /// A refusal in the switch's own words.
    #[error("refused `{request}`: {reason}")]
    Refused {
        /// What was asked.
        request: String,
        /// Its reason.
        reason: String,
    },
    /// The dialect has no words for it.
    #[error("the dialect {dialect} has no {what}")]
    Unsupported {
        /// Dialect.
        dialect: &'static str,
        /// What was wanted.
        what: &'static str,
    },
}

impl OcsError {
    /// An answer to `request` that makes no sense.
    pub fn malformed(request: &str, what: impl Into<String>) -> Self {
        OcsError::Malformed {
            request: shortened(request),
            what: shortened(&what.into()),
        }
    }

    /// A refusal of `request`.
    pub fn refused(request: &str, reason: &str) -> Self {
        OcsError::Refused {
            request: shortened(request),
            reason: shortened(reason),
        }
    }

    /// A new session may help: what was said may or may not have been done.
    pub fn wants_new_session(&self) -> bool {
        !matches!(self, OcsError::Refused { .. } | OcsError::Unsupported { .. })
    }
}
