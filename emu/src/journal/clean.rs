//! Undoing what dead runs have left: exactly what their journals list, and only where it can be shown
//! to be the thing that was listed.

use std::fs::{self, File};
use std::io;
use std::os::fd::{AsFd, FromRawFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use nix::fcntl::{Flock, FlockArg};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::{Entry, SUFFIX, boot_id, start_time};
use crate::namespace::{self, NameRemoval};
use crate::state::{self, Held, Inode, StateError};

/// What cleaning did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CleanReport {
    /// Runs that are alive and were left alone.
    pub alive: Vec<String>,
    /// Dead runs that were cleaned.
    pub cleaned: Vec<String>,
    /// Things removed: names of namespaces, folders, processes.
    pub removed: Vec<String>,
    /// Things that bear a recorded name but are not what was recorded, and were left alone.
    pub foreign: Vec<String>,
    /// Things that could not be removed, with the reason; their journals are kept.
    pub failed: Vec<String>,
}

/// Removes what dead runs of this user have left.
pub fn clean_dead() -> Result<CleanReport, StateError> {
    clean_dead_in(&state::default_dir())
}

/// Removes what the dead runs with journals in this folder have left.
pub fn clean_dead_in(dir: &Path) -> Result<CleanReport, StateError> {
    let mut report = CleanReport::default();
    let Some(held) = Held::take_existing(dir)? else {
        return Ok(report);
    };
    let listing = fs::read_dir(dir).map_err(|source| StateError::Io {
        path: dir.to_owned(),
        source,
    })?;
    let mut journals: Vec<PathBuf> = listing.flatten().map(|entry| entry.path()).collect();
    journals.sort();
    for path in journals {
        let name = path
            .file_name()
            .and_then(|name| name.to_str())
            .unwrap_or_default();
        if let Some(run) = name.strip_suffix(SUFFIX) {
            clean_run(dir, &path, run, &mut report);
        }
    }
    state::remove_names_folder(dir);
    held.remove_if_empty();
    Ok(report)
}

fn clean_run(dir: &Path, path: &Path, run: &str, report: &mut CleanReport) {
    let label = path.display();
    let file = match open_own(path) {
        Ok(Some(file)) => file,
        Ok(None) => return report.foreign.push(label.to_string()),
        Err(e) => return report.failed.push(format!("{label}: {e}")),
    };
    let Ok(_locked) = Flock::lock(file, FlockArg::LockExclusiveNonblock) else {
        return report.alive.push(run.into());
    };
    let failures = report.failed.len();
    match fs::read(path) {
        Err(e) => report.failed.push(format!("{label}: {e}")),
        Ok(bytes) => undo(dir, &entries(&bytes), report),
    }
    if report.failed.len() > failures {
        return;
    }
    match fs::remove_file(path) {
        Ok(()) => report.cleaned.push(run.into()),
        Err(e) => report.failed.push(format!("{label}: {e}")),
    }
}

fn open_own(path: &Path) -> io::Result<Option<File>> {
    let found = fs::symlink_metadata(path)?;
    let own = found.is_file() && found.uid() == nix::unistd::geteuid().as_raw();
    if own { File::open(path).map(Some) } else { Ok(None) }
}

/// The lines that can be read. A torn or corrupt line names nothing that could be identified.
fn entries(bytes: &[u8]) -> Vec<Entry> {
    bytes
        .split(|&byte| byte == b'\n')
        .filter_map(|line| serde_json::from_slice(line).ok())
        .collect()
}

/// Processes first, because they hold namespaces and write into folders.
fn undo(dir: &Path, entries: &[Entry], report: &mut CleanReport) {
    let now = boot_id();
    let this_boot = entries
        .iter()
        .any(|entry| matches!(entry, Entry::Run { boot, .. } if *boot == now));
    if this_boot {
        for entry in entries {
            if let Entry::Process { pid, start } = entry {
                kill(*pid, *start, report);
            }
        }
        for entry in entries {
            if let Entry::Namespace { path, dev, ino } = entry {
                remove_name(path, Inode { dev: *dev, ino: *ino }, report);
            }
        }
    }
    for entry in entries {
        if let Entry::Directory { path } = entry {
            remove_folder(dir, path, report);
        }
    }
}

fn remove_name(path: &Path, id: Inode, report: &mut CleanReport) {
    if path.parent() != Some(Path::new(namespace::NAMES)) {
        return report.foreign.push(path.display().to_string());
    }
    match namespace::remove_name(path, id) {
        Ok(NameRemoval::Removed) => report.removed.push(path.display().to_string()),
        Ok(NameRemoval::Absent) => {}
        Ok(NameRemoval::Foreign) => report.foreign.push(path.display().to_string()),
        Err(e) => report.failed.push(format!("{}: {e}", path.display())),
    }
}

fn remove_folder(dir: &Path, path: &Path, report: &mut CleanReport) {
    let label = path.display().to_string();
    let found = match fs::symlink_metadata(path) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return,
        Err(e) => return report.failed.push(format!("{label}: {e}")),
        Ok(found) => found,
    };
    let own = found.is_dir() && found.uid() == nix::unistd::geteuid().as_raw();
    if path.parent() != Some(dir) || !own {
        return report.foreign.push(label);
    }
    match fs::remove_dir_all(path) {
        Ok(()) => report.removed.push(label),
        Err(e) => report.failed.push(format!("{label}: {e}")),
    }
}

/// Kills the process if it is the one that was recorded, and waits up to a second for its end.
fn kill(pid: i32, start: u64, report: &mut CleanReport) {
    // The descriptor is taken before the check, so that what is checked is what is killed.
    let Some(process) = open_process(pid) else { return };
    match start_time(pid) {
        None => return,
        Some(now) if now != start => return,
        Some(_) => {}
    }
    if let Err(e) = send_kill(&process) {
        return report.failed.push(format!("process {pid}: {e}"));
    }
    let mut ended = [PollFd::new(process.as_fd(), PollFlags::POLLIN)];
    match poll(&mut ended, PollTimeout::from(1000u16)) {
        Ok(1..) => report.removed.push(format!("process {pid}")),
        _ => report.failed.push(format!("process {pid}: does not end")),
    }
}

#[allow(unsafe_code)]
fn open_process(pid: i32) -> Option<OwnedFd> {
    // SAFETY: the call takes two integers; a result >= 0 is a descriptor that nobody else owns.
    let fd = unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) };
    // SAFETY: as above.
    (fd >= 0).then(|| unsafe { OwnedFd::from_raw_fd(fd as i32) })
}

#[allow(unsafe_code)]
fn send_kill(process: &OwnedFd) -> io::Result<()> {
    use std::os::fd::AsRawFd;
    let no_info = std::ptr::null::<libc::siginfo_t>();
    // SAFETY: a null siginfo is allowed and means the same as kill(2).
    let sent = unsafe {
        libc::syscall(
            libc::SYS_pidfd_send_signal,
            process.as_raw_fd(),
            libc::SIGKILL,
            no_info,
            0,
        )
    };
    match sent {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::Journal;

    #[test]
    fn a_torn_line_hides_only_itself() {
        let text =
            b"{\"directory\":{\"path\":\"/a\"}}\nnonsense\n{\"process\":{\"pid\":1,\"start\":2}}\n{\"direc";
        assert_eq!(
            entries(text),
            [
                Entry::Directory { path: "/a".into() },
                Entry::Process { pid: 1, start: 2 }
            ]
        );
    }

    #[test]
    fn a_living_run_is_left_alone_and_a_dead_one_is_cleaned() {
        let temporary = tempfile::tempdir().unwrap();
        let dir = temporary.path().join("state");
        let alive = Journal::create_in(&dir, "alive").unwrap();
        let dead = Journal::create_in(&dir, "dead").unwrap();
        let (kept, gone) = (alive.private_dir().unwrap(), dead.private_dir().unwrap());
        fs::write(gone.join("socket"), "").unwrap();
        let outside = temporary.path().join("outside");
        fs::create_dir(&outside).unwrap();
        dead.record(&Entry::Directory {
            path: outside.clone(),
        })
        .unwrap();
        drop(dead);
        let report = clean_dead_in(&dir).unwrap();
        assert_eq!(report.alive, ["alive"]);
        assert_eq!(report.cleaned, ["dead"]);
        assert_eq!(report.foreign, [outside.display().to_string()]);
        assert!(kept.exists() && !gone.exists() && outside.exists());
        alive.finish().unwrap();
        assert!(!dir.exists());
    }

    #[test]
    fn only_the_recorded_process_is_killed() {
        let temporary = tempfile::tempdir().unwrap();
        let dir = temporary.path().join("state");
        let mut recorded = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        let mut bystander = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        let journal = Journal::create_in(&dir, "run").unwrap();
        journal.record_process(recorded.id() as i32).unwrap();
        // The number was used again by a process that started at another time.
        journal
            .record(&Entry::Process {
                pid: bystander.id() as i32,
                start: 1,
            })
            .unwrap();
        drop(journal);
        let report = clean_dead_in(&dir).unwrap();
        assert_eq!(report.removed, [format!("process {}", recorded.id())]);
        assert!(!recorded.wait().unwrap().success());
        assert!(bystander.try_wait().unwrap().is_none());
        bystander.kill().unwrap();
        bystander.wait().unwrap();
    }

    #[test]
    fn a_state_folder_of_somebody_else_is_refused() {
        if !crate::privilege::is_root() {
            return eprintln!("skipped: needs root");
        }
        let temporary = tempfile::tempdir().unwrap();
        let dir = temporary.path().join("state");
        fs::create_dir(&dir).unwrap();
        std::os::unix::fs::chown(&dir, Some(65534), None).unwrap();
        assert!(matches!(
            Journal::create_in(&dir, "run"),
            Err(super::super::JournalError::State(_))
        ));
        let link = temporary.path().join("link");
        std::os::unix::fs::symlink("/tmp", &link).unwrap();
        assert!(clean_dead_in(&link).is_err());
    }

    #[test]
    fn an_id_is_used_once() {
        let temporary = tempfile::tempdir().unwrap();
        let journal = Journal::create_in(temporary.path(), "a1").unwrap();
        assert!(matches!(
            Journal::create_in(temporary.path(), "a1"),
            Err(super::super::JournalError::Exists(_))
        ));
        assert!(matches!(
            Journal::create_in(temporary.path(), "../x"),
            Err(super::super::JournalError::BadRunId(_))
        ));
        drop(journal);
    }
}
