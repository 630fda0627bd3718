//! What a run has made, written down before it is made, so that a later start can undo it after
//! `kill -9`. One file of JSON lines per run, locked by the living controller.
//!
//! * [`clean`]: undoing what dead runs have left.

pub mod clean;

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use nix::fcntl::{Flock, FlockArg};
use serde::{Deserialize, Serialize};

pub use clean::{CleanReport, clean_dead, clean_dead_in};

use crate::state::{self, Held, StateError};

const SUFFIX: &str = ".journal";

/// One line of a journal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Entry {
    /// The first line: format version and the boot during which the run lived.
    Run {
        /// Format version, 1.
        version: u32,
        /// `/proc/sys/kernel/random/boot_id`; process and namespace numbers mean nothing after it.
        boot: String,
    },
    /// A named network namespace.
    Namespace {
        /// Its name below `/run/netns`.
        path: PathBuf,
        /// Device of its inode.
        dev: u64,
        /// Number of its inode.
        ino: u64,
    },
    /// A process; written by its parent as soon as its number is known.
    Process {
        /// Process number.
        pid: i32,
        /// When it started, clock ticks since boot (field 22 of `/proc/PID/stat`): tells it from a
        /// later process of the same number.
        start: u64,
    },
    /// A folder below the state folder, with all that is in it.
    Directory {
        /// Where.
        path: PathBuf,
    },
}

/// Why a run cannot keep a journal.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// No safe place.
    #[error(transparent)]
    State(#[from] StateError),
    /// Run ids are file names and parts of interface names.
    #[error("run id {0:?} is not 1 to 32 of a-z, 0-9 and `-`")]
    BadRunId(String),
    /// A living or dead run of that id has a journal.
    #[error("a run with id {0} exists already\nhelp: if it is dead, `genie clean` removes what it left")]
    Exists(String),
    /// It cannot be written.
    #[error("cannot write journal {path}: {source}")]
    Io {
        /// The journal.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// The journal of this run. Dropped without [`Journal::finish`], it stays for `clean_dead`.
#[derive(Debug)]
pub struct Journal {
    state: PathBuf,
    path: PathBuf,
    run: String,
    file: Mutex<Flock<File>>,
}

impl Journal {
    /// Begins the journal of a run in the user's state folder.
    pub fn create(run: &str) -> Result<Self, JournalError> {
        Self::create_in(&state::default_dir(), run)
    }

    /// Begins the journal of a run in this state folder, which is made (0700) if need be.
    pub fn create_in(state: &Path, run: &str) -> Result<Self, JournalError> {
        let good = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        if run.is_empty() || run.len() > 32 || !run.chars().all(good) {
            return Err(JournalError::BadRunId(run.into()));
        }
        // Held until the journal is locked, so that nobody takes it for a dead run's.
        let held = Held::take(state)?;
        let path = state.join(format!("{run}{SUFFIX}"));
        let failed = |source| JournalError::Io {
            path: path.clone(),
            source,
        };
        let file = match OpenOptions::new()
            .append(true)
            .create_new(true)
            .mode(0o600)
            .open(&path)
        {
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {
                return Err(JournalError::Exists(run.into()));
            }
            other => other.map_err(failed)?,
        };
        let file = Flock::lock(file, FlockArg::LockExclusiveNonblock).map_err(|(_, e)| failed(e.into()))?;
        drop(held);
        let journal = Self {
            state: state.to_owned(),
            path: path.clone(),
            run: run.into(),
            file: Mutex::new(file),
        };
        journal
            .record(&Entry::Run {
                version: 1,
                boot: boot_id(),
            })
            .map_err(failed)?;
        Ok(journal)
    }

    /// Writes down something that is about to be made.
    pub fn record(&self, entry: &Entry) -> io::Result<()> {
        let mut line = serde_json::to_vec(entry)?;
        line.push(b'\n');
        let mut file = self.file.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        // One call, so that a reader sees whole lines, or one torn line at the end.
        file.write_all(&line)
    }

    /// Writes down a child that was just started. A child that has already ended needs no entry.
    pub fn record_process(&self, pid: i32) -> io::Result<()> {
        match start_time(pid) {
            Some(start) => self.record(&Entry::Process { pid, start }),
            None => Ok(()),
        }
    }

    /// A folder (0700) for this run's sockets and other short-lived files, made on the first call. It
    /// goes with the journal.
    pub fn private_dir(&self) -> io::Result<PathBuf> {
        let path = self.state.join(format!("{}.d", self.run));
        if !path.exists() {
            self.record(&Entry::Directory { path: path.clone() })?;
            DirBuilder::new().mode(0o700).create(&path)?;
        }
        Ok(path)
    }

    /// The run's id.
    pub fn run(&self) -> &str {
        &self.run
    }

    /// The state folder.
    pub fn state_dir(&self) -> &Path {
        &self.state
    }

    /// Ends the run: everything recorded has been undone by those who made it. Removes the private
    /// folder, the journal, and the state folder when it is empty.
    pub fn finish(self) -> io::Result<()> {
        let private = self.state.join(format!("{}.d", self.run));
        if private.exists() {
            fs::remove_dir_all(private)?;
        }
        let held = Held::take_existing(&self.state).map_err(io::Error::other)?;
        fs::remove_file(&self.path)?;
        state::remove_names_folder(&self.state);
        if let Some(held) = held {
            held.remove_if_empty();
        }
        Ok(())
    }
}

/// When a process started, clock ticks since boot; `None`: there is no such process (a zombie counts
/// as none).
pub fn start_time(pid: i32) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The second field is the name in parentheses and may hold anything, parentheses included.
    let fields: Vec<&str> = stat[stat.rfind(')')? + 1..].split_whitespace().collect();
    (*fields.first()? != "Z").then(|| fields.get(19)?.parse().ok())?
}

fn boot_id() -> String {
    let text = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    text.trim().to_owned()
}
