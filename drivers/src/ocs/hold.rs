//! Leases of ports, and the way back: one file per holder, locked while it lives. It says which ports of
//! which switch are held until when, and, before each change, what is about to change. Where the holder was
//! killed, whoever comes next finds the file unlocked and can put everything back.

use std::collections::BTreeSet;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use nix::fcntl::{Flock, FlockArg};
use serde::{Deserialize, Serialize};

use super::apply::{self, Applied, ApplyError};
use super::change::Change;
use super::endpoint::Endpoint;
use super::model::{Circuit, Port};
use super::switch::Switch;

const SUFFIX: &str = "hold";
const MOST_BYTES: u64 = 4 << 20;

/// Why ports cannot be held.
#[derive(Debug, thiserror::Error)]
pub enum HoldError {
    /// Somebody else has them.
    #[error(
        "port {port} is held by {owner} for another {left} s\nhelp: wait, or ask them; a lease ends by itself"
    )]
    Held {
        /// One of the ports.
        port: Port,
        /// By whom.
        owner: String,
        /// Seconds until it ends.
        left: u64,
    },
    /// A killed genie had them.
    #[error(
        "port {port} was held by {owner}, who was killed and has left circuits behind\nhelp: `genie clean` puts them back"
    )]
    Left {
        /// One of the ports.
        port: Port,
        /// Who.
        owner: String,
    },
    /// The lease has ended.
    #[error("the lease of the ports has ended; nothing was changed\nhelp: ask for a longer one")]
    Ended,
    /// The file cannot be written.
    #[error("cannot keep a lease in {path}: {source}")]
    Io {
        /// Where.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// The first line of a file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Head {
    version: u32,
    switch: String,
    key: String,
    owner: String,
    ports: BTreeSet<Port>,
    /// Seconds since 1970.
    expires: u64,
}

/// Every other line: circuits about to be made and circuits about to be taken away.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Step {
    made: BTreeSet<Circuit>,
    taken: BTreeSet<Circuit>,
}

/// Ports that are held. Dropped without [`Hold::restore`] or [`Hold::keep`] the file stays for
/// [`restore_dead`], as it does when the process is killed.
#[derive(Debug)]
pub struct Hold {
    path: PathBuf,
    file: Flock<File>,
    head: Head,
    steps: Step,
}

impl Hold {
    /// Takes a lease of ports of a switch for so long. `owner` is shown to others.
    pub fn take(
        folder: &Path,
        endpoint: &Endpoint,
        ports: &BTreeSet<Port>,
        lease: Duration,
        owner: &str,
    ) -> Result<Self, HoldError> {
        let failed = |source| HoldError::Io {
            path: folder.to_owned(),
            source,
        };
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(folder)
            .map_err(failed)?;
        let _one_at_a_time = lock_folder(folder).map_err(failed)?;
        let head = Head {
            version: 1,
            switch: endpoint.name().to_owned(),
            key: endpoint.key(),
            owner: owner.to_owned(),
            ports: ports.clone(),
            expires: now_s().saturating_add(lease.as_secs().max(1)),
        };
        for other in holds(folder).map_err(failed)? {
            other.refuses(&head)?;
        }
        let path = (0..)
            .map(|n| folder.join(format!("{}-{n}.{SUFFIX}", std::process::id())))
            .find(|path| !path.exists());
        let path = path.ok_or_else(|| failed(io::ErrorKind::AlreadyExists.into()))?;
        let file = OpenOptions::new()
            .append(true)
            .create_new(true)
            .mode(0o600)
            .open(&path)
            .map_err(failed)?;
        let file = Flock::lock(file, FlockArg::LockExclusiveNonblock).map_err(|(_, e)| failed(e.into()))?;
        let mut hold = Self {
            path,
            file,
            head,
            steps: Step::default(),
        };
        hold.write(&serde_json::to_string(&hold.head).map_err(|e| failed(e.into()))?)?;
        Ok(hold)
    }

    /// Carries a change out; what it does is written down first.
    pub fn apply(
        &mut self,
        switch: &mut dyn Switch,
        change: &Change,
        settle: Duration,
    ) -> Result<Result<Applied, Box<ApplyError>>, HoldError> {
        if now_s() >= self.head.expires {
            return Err(HoldError::Ended);
        }
        if let Some(port) = change
            .ports()
            .into_iter()
            .find(|port| !self.head.ports.contains(port))
        {
            let owner = "nobody in this session".to_owned();
            return Err(HoldError::Held { port, owner, left: 0 });
        }
        let step = Step {
            made: change.add.clone(),
            taken: change.remove.clone(),
        };
        let line = serde_json::to_string(&step).map_err(|e| self.failed(e.into()))?;
        self.write(&line)?;
        self.steps.add(step);
        Ok(apply::apply(switch, change, settle))
    }

    /// Puts back what all changes under this lease have changed, and ends it. Where that fails the file
    /// stays, for [`restore_dead`].
    pub fn restore(self, switch: &mut dyn Switch, settle: Duration) -> Result<Applied, Box<ApplyError>> {
        let applied = put_back(switch, &self.steps, settle)?;
        // Left behind it would only be read and removed by the next one.
        let _ = fs::remove_file(&self.path);
        Ok(applied)
    }

    /// Ends the lease and leaves the circuits as they are.
    pub fn keep(self) -> io::Result<()> {
        fs::remove_file(&self.path)
    }

    fn write(&mut self, line: &str) -> Result<(), HoldError> {
        let written = self.file.write_all(format!("{line}\n").as_bytes());
        written.map_err(|e| self.failed(e))
    }

    fn failed(&self, source: io::Error) -> HoldError {
        HoldError::Io {
            path: self.path.clone(),
            source,
        }
    }
}

impl Step {
    /// Adds a later step: what was made and taken since the beginning. What was there at first stays among what
    /// was taken even when it is made again, because that may have failed.
    fn add(&mut self, later: Step) {
        for circuit in later.made {
            if !self.taken.contains(&circuit) {
                self.made.insert(circuit);
            }
        }
        for circuit in later.taken {
            if !self.made.contains(&circuit) {
                self.taken.insert(circuit);
            }
        }
    }
}

/// Removes what was made and makes what was taken, unless somebody else is in the way by now.
fn put_back(switch: &mut dyn Switch, steps: &Step, settle: Duration) -> Result<Applied, Box<ApplyError>> {
    let back = Change {
        remove: steps.made.clone(),
        add: steps.taken.clone(),
    };
    apply::finish(switch, &back, settle)
}

/// What became of a killed holder's circuits.
#[derive(Debug)]
pub struct Restored {
    /// The switch, as the holder named it.
    pub switch: String,
    /// What was put back, or why not.
    pub result: Result<Applied, String>,
}

/// Puts back what holders that were killed have left; `open` opens a session with a switch by its name.
pub fn restore_dead(
    folder: &Path,
    open: impl Fn(&str) -> Result<(Box<dyn Switch>, Duration), String>,
) -> io::Result<Vec<Restored>> {
    if !folder.is_dir() {
        return Ok(Vec::new());
    }
    let _one_at_a_time = lock_folder(folder)?;
    let mut done = Vec::new();
    for other in holds(folder)?.into_iter().filter(|other| !other.alive) {
        let back = |steps: &Step| {
            let (mut switch, settle) = open(&other.head.switch)?;
            put_back(&mut *switch, steps, settle).map_err(|e| e.to_string())
        };
        let nothing = other.steps.made.is_empty() && other.steps.taken.is_empty();
        let result = if nothing {
            Ok(Applied::default())
        } else {
            back(&other.steps)
        };
        if result.is_ok() {
            fs::remove_file(&other.path)?;
        }
        if !nothing {
            done.push(Restored {
                switch: other.head.switch.clone(),
                result,
            });
        }
    }
    Ok(done)
}

/// Somebody's file.
struct Other {
    path: PathBuf,
    head: Head,
    steps: Step,
    alive: bool,
}

impl Other {
    /// Whether it stands against a new lease.
    fn refuses(&self, new: &Head) -> Result<(), HoldError> {
        let shared = self.head.ports.intersection(&new.ports).next();
        let Some(&port) = shared.filter(|_| self.head.key == new.key) else {
            return Ok(());
        };
        let owner = self.head.owner.clone();
        let left = self.head.expires.saturating_sub(now_s());
        match self.alive {
            false => Err(HoldError::Left { port, owner }),
            true if left > 0 => Err(HoldError::Held { port, owner, left }),
            true => Ok(()),
        }
    }
}

fn holds(folder: &Path) -> io::Result<Vec<Other>> {
    let mut paths: Vec<PathBuf> = fs::read_dir(folder)?
        .flatten()
        .map(|entry| entry.path())
        .collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == SUFFIX));
    paths.sort();
    Ok(paths.into_iter().filter_map(read).collect())
}

/// A file that holds no lease (torn in its first line, or vanished) says nothing.
fn read(path: PathBuf) -> Option<Other> {
    let mut text = String::new();
    let file = File::open(&path).ok()?;
    (&file).take(MOST_BYTES).read_to_string(&mut text).ok()?;
    let mut lines = text.lines();
    let head: Head = serde_json::from_str(lines.next()?).ok()?;
    let mut steps = Step::default();
    // A torn last line was never acted upon.
    lines
        .filter_map(|line| serde_json::from_str(line).ok())
        .for_each(|step| steps.add(step));
    let alive = Flock::lock(file, FlockArg::LockSharedNonblock).is_err();
    Some(Other {
        path,
        head,
        steps,
        alive,
    })
}

fn lock_folder(folder: &Path) -> io::Result<Flock<File>> {
    let file = OpenOptions::new()
        .create(true)
        .append(true)
        .mode(0o600)
        .open(folder.join("lock"))?;
    Flock::lock(file, FlockArg::LockExclusive).map_err(|(_, e)| e.into())
}

fn now_s() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 1A-1B was there. It is taken away for 1A-2B, then made again; whether that was done is not known.
    #[test]
    fn what_was_there_is_put_back_whatever_became_of_making_it_again() {
        let (old, new) = (Circuit::new(1, 1), Circuit::new(1, 2));
        let mut steps = Step::default();
        for (made, taken) in [(new, old), (old, new)] {
            steps.add(Step {
                made: [made].into(),
                taken: [taken].into(),
            });
        }
        assert_eq!(steps.made, [new].into());
        assert_eq!(steps.taken, [old].into());
    }
}
