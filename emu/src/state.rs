//! Where genie keeps what must survive a crash of it: a private folder per user, and the folder of
//! namespace names, which is removed again when genie made it and nobody uses it.

use std::fs::{self, DirBuilder, File, Metadata};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use nix::fcntl::{Flock, FlockArg};

use crate::{namespace, privilege};

/// What the kernel knows a file or namespace by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Inode {
    /// Device.
    pub dev: u64,
    /// Number.
    pub ino: u64,
}

impl Inode {
    /// Of this file.
    pub fn of(metadata: &Metadata) -> Self {
        Self {
            dev: metadata.dev(),
            ino: metadata.ino(),
        }
    }
}

/// Why there is no safe place for state.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// Somebody else's, or a link.
    #[error(
        "{path} is not a folder of this user alone\nhelp: remove it, or set XDG_RUNTIME_DIR to a folder of yours"
    )]
    Foreign {
        /// The folder.
        path: PathBuf,
    },
    /// The folder could not be made or read.
    #[error("cannot use {path}: {source}")]
    Io {
        /// The folder.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// The folder for this user's journals: `/run/genie` for root, else below `$XDG_RUNTIME_DIR` or `/tmp`.
pub fn default_dir() -> PathBuf {
    if privilege::is_root() {
        return PathBuf::from("/run/genie");
    }
    // A runtime folder that is not ours (left by `su` or `sudo`) is no place for our state.
    let runtime = std::env::var_os("XDG_RUNTIME_DIR")
        .map(PathBuf::from)
        .filter(|dir| {
            dir.is_absolute()
                && fs::metadata(dir).is_ok_and(|m| m.is_dir() && m.uid() == nix::unistd::geteuid().as_raw())
        });
    match runtime {
        Some(dir) => dir.join("genie"),
        None => PathBuf::from(format!("/tmp/genie-{}", privilege::outer_uid())),
    }
}

/// A state folder held exclusively: nobody else creates or cleans journals in it meanwhile.
#[derive(Debug)]
pub struct Held {
    path: PathBuf,
    _lock: Flock<File>,
}

impl Held {
    /// Makes the folder if need be, checks that it is ours alone, and waits for its lock.
    pub fn take(path: &Path) -> Result<Self, StateError> {
        let failed = |source| StateError::Io {
            path: path.to_owned(),
            source,
        };
        loop {
            match DirBuilder::new().mode(0o700).create(path) {
                Err(e) if e.kind() != io::ErrorKind::AlreadyExists => return Err(failed(e)),
                _ => {}
            }
            if let Some(held) = Self::lock(path)? {
                return Ok(held);
            }
        }
    }

    /// As [`Held::take`], but `None` when there is no such folder.
    pub fn take_existing(path: &Path) -> Result<Option<Self>, StateError> {
        if !path.exists() {
            return Ok(None);
        }
        Self::lock(path)
    }

    /// `None`: the folder vanished while we waited.
    fn lock(path: &Path) -> Result<Option<Self>, StateError> {
        let failed = |source| StateError::Io {
            path: path.to_owned(),
            source,
        };
        let found = match fs::symlink_metadata(path) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
            other => other.map_err(failed)?,
        };
        if !found.is_dir() || found.uid() != nix::unistd::geteuid().as_raw() {
            return Err(StateError::Foreign {
                path: path.to_owned(),
            });
        }
        if found.mode() & 0o077 != 0 {
            fs::set_permissions(path, fs::Permissions::from_mode(0o700)).map_err(failed)?;
        }
        let folder = File::open(path).map_err(failed)?;
        let lock = Flock::lock(folder, FlockArg::LockExclusive).map_err(|(_, e)| failed(e.into()))?;
        let same = fs::symlink_metadata(path).is_ok_and(|now| Inode::of(&now) == Inode::of(&found));
        Ok(same.then(|| Self {
            path: path.to_owned(),
            _lock: lock,
        }))
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Removes the folder if nothing is in it.
    pub fn remove_if_empty(self) {
        // Not empty is the common and right case; the folder is private and harmless otherwise.
        let _ = fs::remove_dir(&self.path);
    }
}

const NAMES_MARK: &str = "made-netns-folder";

/// Makes the folder of namespace names if there is none, and notes that it was genie's doing.
pub fn make_names_folder(state: &Path) -> io::Result<()> {
    match DirBuilder::new().mode(0o755).create(namespace::NAMES) {
        Ok(()) => {
            let id = Inode::of(&fs::metadata(namespace::NAMES)?);
            fs::write(state.join(NAMES_MARK), format!("{} {}", id.dev, id.ino))
        }
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(e) => Err(e),
    }
}

/// Removes the folder of namespace names if genie made it and it is empty.
pub fn remove_names_folder(state: &Path) {
    let mark = state.join(NAMES_MARK);
    let Ok(noted) = fs::read_to_string(&mark) else {
        return;
    };
    let ours = fs::metadata(namespace::NAMES).is_ok_and(|m| format!("{} {}", m.dev(), m.ino()) == noted);
    // Busy or not empty: somebody uses it; a later run tries again.
    if !ours || fs::remove_dir(namespace::NAMES).is_ok() {
        let _ = fs::remove_file(mark);
    }
}
