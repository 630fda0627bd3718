//! A small virtual machine whose kernel has what this one lacks: soft-RoCE, netem, more schedulers.
//! Its files are this machine's own, so that programs run in it as they are.
//!
//! * [`kernel`]: finding and unpacking a distribution's kernel. [`image`]: kept in the user's cache.
//! * [`machine`]: QEMU. [`session`]: a program played in it, as seen from here. [`init`]: the other side.
//! * `bzimage`, `cpio`, `module`, `program`, `wire`: the formats in between.

mod bzimage;
mod cpio;
pub mod image;
pub mod init;
pub mod kernel;
pub mod machine;
mod module;
mod program;
pub mod session;
pub mod wire;

use std::io;
use std::path::PathBuf;

/// Set for every program in the guest: what plays it (`QEMU 7.2.22, TCG`).
pub const INSIDE: &str = "GENIE_GUEST";

/// What plays this process, when that is a guest.
pub fn inside() -> Option<String> {
    std::env::var(INSIDE).ok().filter(|text| !text.is_empty())
}

/// Why there is no guest.
#[derive(Debug, thiserror::Error)]
pub enum GuestError {
    /// Something that people can install or use is missing.
    #[error("{what}\nhelp: {help}")]
    Missing {
        /// What is missing.
        what: String,
        /// What to do about it.
        help: String,
    },
    /// A program that was needed did not do its work.
    #[error("{what} failed: {said}")]
    Program {
        /// What was called.
        what: String,
        /// The end of what it said.
        said: String,
    },
    /// A file could not be read or written.
    #[error("{path}: {source}")]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file is not what it should be.
    #[error("{path}: {what}")]
    Format {
        /// Which.
        path: PathBuf,
        /// What is wrong.
        what: String,
    },
    /// The guest did not come up.
    #[error(
        "the guest did not come up: {what}\nhelp: its last words were:\n{console}\nhelp: `genie vm build --force` makes it anew"
    )]
    Boot {
        /// What was noticed.
        what: String,
        /// The end of its console.
        console: String,
    },
    /// There is no such program, or it is none.
    #[error("{what}\nhelp: the guest has this machine's files under the same names")]
    NotStarted {
        /// Which, and why.
        what: String,
    },
    /// The guest ended or fell silent while a program ran in it.
    #[error(
        "the guest {what} while it played; what was stored before is kept\nhelp: its last words were:\n{console}"
    )]
    Lost {
        /// `ended`, or `has said nothing for 60 s`.
        what: String,
        /// The end of its console.
        console: String,
    },
}

impl GuestError {
    fn file(path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::File { path, source }
    }

    fn format(path: impl Into<PathBuf>, what: impl ToString) -> Self {
        Self::Format {
            path: path.into(),
            what: what.to_string(),
        }
    }
}
