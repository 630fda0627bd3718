//! Network namespaces: making one, naming it for `ip netns`, setting its kernel parameters, entering it.
//!
//! A namespace lives as long as a descriptor, a process or a name holds it.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, setns, unshare};

use crate::journal::{Entry, Journal};
use crate::state::{self, Inode};

/// Where `ip netns` looks for names.
pub const NAMES: &str = "/run/netns";

/// A network namespace, commonly one that genie made. Dropping it removes its name; the kernel ends the namespace
/// when nothing else holds it.
#[derive(Debug)]
pub struct Namespace {
    fd: OwnedFd,
    id: Inode,
    name: Option<PathBuf>,
}

impl Namespace {
    /// A namespace that was there before, and stays.
    pub(crate) fn existing(file: File) -> io::Result<Self> {
        Ok(Self {
            id: Inode::of(&file.metadata()?),
            fd: file.into(),
            name: None,
        })
    }

    /// Moves the calling thread into a new network namespace, for good, and holds on to it. With a
    /// name it can be entered by `ip netns exec`; the journal hears of the name first.
    pub fn unshare_here(name: Option<&str>, journal: &Journal) -> io::Result<Self> {
        unshare(CloneFlags::CLONE_NEWNET)?;
        let file = File::open("/proc/thread-self/ns/net")?;
        let id = Inode::of(&file.metadata()?);
        let mut namespace = Self {
            fd: file.into(),
            id,
            name: None,
        };
        if let Some(name) = name {
            let path = Path::new(NAMES).join(name);
            journal.record(&Entry::Namespace {
                path: path.clone(),
                dev: id.dev,
                ino: id.ino,
            })?;
            create_mount_point(&path, journal)?;
            namespace.name = Some(path.clone());
            let this = Some("/proc/thread-self/ns/net");
            mount(this, &path, None::<&str>, MsFlags::MS_BIND, None::<&str>)?;
        }
        Ok(namespace)
    }

    /// Removes the name, if there is one and it still means this namespace.
    pub fn remove_name(&mut self) -> io::Result<()> {
        match self.name.take() {
            None => Ok(()),
            Some(path) => remove_name(&path, self.id).map(drop),
        }
    }

    /// Where it is named.
    pub fn path(&self) -> Option<&Path> {
        self.name.as_deref()
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        // Whoever needs to know of a failure calls `remove_name` first; the journal stays otherwise.
        let _ = self.remove_name();
    }
}

impl AsFd for Namespace {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// Moves the calling thread into a network namespace. Async-signal-safe, so fit for `pre_exec`.
pub fn enter(namespace: BorrowedFd<'_>) -> io::Result<()> {
    setns(namespace, CloneFlags::CLONE_NEWNET).map_err(Into::into)
}

/// Writes a parameter below `/proc/sys/net` of the calling thread's namespace.
pub fn set_parameter(name: &str, value: &str) -> io::Result<()> {
    fs::write(Path::new("/proc/sys/net").join(name), value)
}

/// What a name turned out to be when it was to be removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NameRemoval {
    /// It was ours and is gone.
    Removed,
    /// There was nothing.
    Absent,
    /// It is another namespace or another file; it was left alone.
    Foreign,
}

/// Removes the name of a namespace if it means the namespace with this inode, or if it is the mount
/// point that was being made for it.
pub fn remove_name(path: &Path, id: Inode) -> io::Result<NameRemoval> {
    let found = match fs::symlink_metadata(path) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(NameRemoval::Absent),
        other => other?,
    };
    if Inode::of(&found) == id {
        umount2(path, MntFlags::MNT_DETACH | MntFlags::UMOUNT_NOFOLLOW)?;
    } else if !is_mount_point_of_ours(&found) {
        return Ok(NameRemoval::Foreign);
    }
    match fs::remove_file(path) {
        Err(e) if e.raw_os_error() == Some(libc::EBUSY) => remove_covered(path)?,
        other => other?,
    }
    Ok(NameRemoval::Removed)
}

/// `ip netns add` by somebody may have mounted the folder of names over itself, and our name with it;
/// then our first mount lies below and keeps its file busy. A private view without the upper folder
/// gets at it; unlinking there detaches it everywhere.
fn remove_covered(path: &Path) -> io::Result<()> {
    let remove = || -> io::Result<()> {
        unshare(CloneFlags::CLONE_NEWNS)?;
        mount(
            None::<&str>,
            "/",
            None::<&str>,
            MsFlags::MS_REC | MsFlags::MS_PRIVATE,
            None::<&str>,
        )?;
        umount2(NAMES, MntFlags::MNT_DETACH)?;
        umount2(path, MntFlags::MNT_DETACH)?;
        fs::remove_file(path)
    };
    std::thread::scope(|scope| scope.spawn(remove).join())
        .unwrap_or_else(|_| Err(io::Error::other("removal of a covered name panicked")))
}

/// Mount points are made without any permission, so that one without its mount is told from others'.
/// The folder may vanish when the last fabric of another run goes; then it is made again.
fn create_mount_point(path: &Path, journal: &Journal) -> io::Result<()> {
    let create = || {
        OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o000)
            .open(path)
            .map(drop)
    };
    for _ in 0..8 {
        match create() {
            Err(e) if e.kind() == io::ErrorKind::NotFound => state::make_names_folder(journal.state_dir())?,
            other => return other,
        }
    }
    create()
}

fn is_mount_point_of_ours(found: &fs::Metadata) -> bool {
    found.is_file()
        && found.len() == 0
        && found.mode() & 0o7777 == 0
        && found.uid() == nix::unistd::geteuid().as_raw()
}
