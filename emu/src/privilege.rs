//! What this process may do: build namespaces as root, or as root of a user namespace of its own.

use std::fs;

use nix::sched::{CloneFlags, unshare};
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::{ForkResult, fork, getegid, geteuid};

const CAP_NET_ADMIN: u64 = 1 << 12;
const CAP_SYS_ADMIN: u64 = 1 << 21;

/// By what right fabrics are built.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Privilege {
    /// Administrator of the machine: namespaces have names that `ip netns` knows.
    Root,
    /// Root of a user namespace: namespaces are anonymous and end with the processes in them.
    UserNamespace,
}

/// The machine grants neither way.
#[derive(Debug, thiserror::Error)]
#[error("building an emulated network needs root or user namespaces: {0}")]
pub struct NeedsPrivilege(String);

/// Sees to it that this process may build fabrics; where it is not root, it becomes root of a new user
/// namespace. To be called first thing in `main`: the kernel refuses it to a process with threads.
pub fn ensure() -> Result<Privilege, NeedsPrivilege> {
    if let Some(already) = current() {
        return Ok(already);
    }
    // Tried on a child first, so that a refusal half-way does not leave this process crippled.
    if !child_can_become_root() {
        return Err(NeedsPrivilege(advice()));
    }
    become_root_of_user_namespace().map_err(|e| NeedsPrivilege(format!("{e}; {}", advice())))?;
    Ok(Privilege::UserNamespace)
}

/// What this process may do as it is, or what to do about it.
pub fn require() -> Result<Privilege, NeedsPrivilege> {
    current().ok_or_else(|| NeedsPrivilege(advice()))
}

/// What this process may do as it is, if anything.
pub fn current() -> Option<Privilege> {
    let status = fs::read_to_string("/proc/thread-self/status").ok()?;
    let effective = status.lines().find_map(|line| line.strip_prefix("CapEff:"))?;
    let effective = u64::from_str_radix(effective.trim(), 16).ok()?;
    let wanted = CAP_NET_ADMIN | CAP_SYS_ADMIN;
    (effective & wanted == wanted).then(|| {
        if in_first_user_namespace() {
            Privilege::Root
        } else {
            Privilege::UserNamespace
        }
    })
}

/// Whether this is root of the machine, not only of a user namespace.
pub fn is_root() -> bool {
    geteuid().is_root() && in_first_user_namespace()
}

/// The user id outside the user namespace that [`ensure`] made.
pub fn outer_uid() -> u32 {
    let uid = geteuid().as_raw();
    let map = fs::read_to_string("/proc/self/uid_map").unwrap_or_default();
    map.lines().find_map(|line| outer(line, uid)).unwrap_or(uid)
}

/// One line of a `uid_map`: first id inside, first id outside, count.
fn outer(line: &str, uid: u32) -> Option<u32> {
    let mut fields = line.split_whitespace().map(|field| field.parse::<u64>().ok());
    let (inside, outside, count) = (fields.next()??, fields.next()??, fields.next()??);
    let offset = u64::from(uid)
        .checked_sub(inside)
        .filter(|&offset| offset < count)?;
    u32::try_from(outside + offset).ok()
}

fn in_first_user_namespace() -> bool {
    let map = fs::read_to_string("/proc/self/uid_map").unwrap_or_default();
    map.split_whitespace().eq(["0", "0", "4294967295"])
}

fn become_root_of_user_namespace() -> std::io::Result<()> {
    let (uid, gid) = (geteuid(), getegid());
    unshare(CloneFlags::CLONE_NEWUSER)?;
    fs::write("/proc/self/setgroups", "deny")?;
    fs::write("/proc/self/uid_map", format!("0 {uid} 1"))?;
    fs::write("/proc/self/gid_map", format!("0 {gid} 1"))?;
    // Some kernels give the user namespace but no rights in it.
    if current().is_none() {
        return Err(std::io::ErrorKind::PermissionDenied.into());
    }
    Ok(())
}

fn child_can_become_root() -> bool {
    let trial = || become_root_of_user_namespace().and_then(|()| Ok(unshare(CloneFlags::CLONE_NEWNET)?));
    // SAFETY: the contract of `ensure` is a process with one thread, so the child may run ordinary
    // code; with more threads a lock held by another could stall it, hence the check.
    #[allow(unsafe_code)]
    let forked = if threads() == 1 {
        unsafe { fork() }
    } else {
        return false;
    };
    match forked {
        Ok(ForkResult::Child) => {
            let code = i32::from(trial().is_err());
            // SAFETY: ends the child at once, without the parent's exit handlers.
            #[allow(unsafe_code)]
            unsafe {
                libc::_exit(code)
            }
        }
        Ok(ForkResult::Parent { child }) => matches!(waitpid(child, None), Ok(WaitStatus::Exited(_, 0))),
        Err(_) => false,
    }
}

fn threads() -> usize {
    fs::read_dir("/proc/self/task").map_or(1, |tasks| tasks.count())
}

/// One sentence about what to do, from what the kernel's switches say.
fn advice() -> String {
    let is = |path: &str, value: &str| fs::read_to_string(path).is_ok_and(|text| text.trim() == value);
    if threads() > 1 {
        return "run it with sudo, or become root of a user namespace before starting threads".into();
    }
    let switches = [
        (
            "/proc/sys/kernel/unprivileged_userns_clone",
            "0",
            "kernel.unprivileged_userns_clone=1",
        ),
        (
            "/proc/sys/kernel/apparmor_restrict_unprivileged_userns",
            "1",
            "kernel.apparmor_restrict_unprivileged_userns=0",
        ),
        (
            "/proc/sys/user/max_user_namespaces",
            "0",
            "user.max_user_namespaces=10000",
        ),
        (
            "/proc/sys/user/max_net_namespaces",
            "0",
            "user.max_net_namespaces=10000",
        ),
    ];
    match switches.iter().find(|(path, value, _)| is(path, value)) {
        Some((_, _, setting)) => format!("run it with sudo, or allow them with `sudo sysctl -w {setting}`"),
        None => "run it with sudo (this machine or container refuses user namespaces)".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_uid_map_is_read_in_both_its_common_forms() {
        assert_eq!(outer("         0          0 4294967295", 1000), Some(1000));
        assert_eq!(outer("         0      65534          1", 0), Some(65534));
        assert_eq!(outer("         0      65534          1", 1), None);
        assert_eq!(outer("1 100000 65536", 1), Some(100000));
    }

    #[test]
    fn a_process_with_threads_is_told_what_to_do() {
        if current().is_none() {
            let text = ensure().unwrap_err().to_string();
            assert!(text.contains("sudo"), "{text}");
        }
    }
}
