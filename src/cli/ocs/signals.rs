//! Waiting in the foreground for SIGINT, SIGTERM or SIGHUP, or for a time to pass.

use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};

/// The signals, held back from now on: what is under way is finished first.
#[derive(Debug)]
pub struct Signals(SignalFd);

impl Signals {
    /// Holds them back in this thread and in those that it starts from now on.
    pub fn hold_back() -> Result<Self, String> {
        let set: SigSet = [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP]
            .into_iter()
            .collect();
        let failed = |e: nix::errno::Errno| format!("cannot wait for signals: {e}");
        set.thread_block().map_err(failed)?;
        SignalFd::with_flags(&set, SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC)
            .map(Signals)
            .map_err(failed)
    }

    /// Waits for one of them, or at most so long; gives its number.
    pub fn wait(&self, most: Option<Duration>) -> Option<i32> {
        let end = most.map(|most| Instant::now() + most);
        loop {
            if let Ok(Some(signal)) = self.0.read_signal() {
                return Some(signal.ssi_signo as i32);
            }
            let left = end.map(|end| end.saturating_duration_since(Instant::now()));
            if left.is_some_and(|left| left.is_zero()) {
                return None;
            }
            let ms = left.map_or(1000, |left| left.as_millis().clamp(1, 1000));
            let mut ends = [PollFd::new(self.0.as_fd(), PollFlags::POLLIN)];
            // Whatever ends the wait, it is looked again.
            let _ = poll(&mut ends, PollTimeout::from(ms as u16));
        }
    }
}
