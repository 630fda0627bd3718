//! Ranks as children of this process, each in its host's network namespace. They die with it: the
//! kernel kills them when the controller ends, however it ends.
#![allow(unsafe_code)]

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::path::Path;
use std::process::Stdio;

use tokio::process::{Child, Command};

use crate::network::message::Rank;
use crate::testbed::store::{STORE, StoreAddress, TOKEN};

/// What every rank process is started with.
#[derive(Debug, Clone)]
pub struct Launch<'a> {
    /// The genie binary.
    pub program: &'a Path,
    /// Where the store listens.
    pub store: &'a StoreAddress,
    /// The run's token.
    pub token: &'a str,
}

impl Launch<'_> {
    /// Starts one rank; `namespace`: the network namespace of its host, if not ours.
    pub fn start(&self, rank: Rank, namespace: Option<BorrowedFd<'_>>) -> io::Result<Child> {
        let mut command = Command::new(self.program);
        command
            .arg("rank")
            .arg(rank.to_string())
            .env(STORE, self.store.to_string())
            .env(TOKEN, self.token)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        let namespace = namespace.map(|fd| fd.as_raw_fd());
        let parent = std::process::id();
        // SAFETY: between fork and exec only async-signal-safe system calls are made; the namespace
        // descriptor is open in the parent for the whole of this call.
        unsafe {
            command.pre_exec(move || {
                // A group of its own: the terminal's Ctrl-C reaches only the controller.
                check(libc::setpgid(0, 0))?;
                check(libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL))?;
                if libc::getppid() as u32 != parent {
                    return Err(io::Error::from_raw_os_error(libc::ESRCH));
                }
                namespace.map_or(Ok(()), |fd| check(libc::setns(fd, libc::CLONE_NEWNET)))
            });
        }
        command.spawn()
    }
}

fn check(result: libc::c_int) -> io::Result<()> {
    if result < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(())
    }
}
