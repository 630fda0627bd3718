//! A program played in a guest, seen from here: boot, relay what it says and signals to it, notice
//! when the guest falls silent, and leave nothing behind.

use std::io;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};

use super::GuestError;
use super::image::Image;
use super::machine::{Machine, Qemu, Size};
use super::wire::{self, Frames, Play, Said, Told, Up};
use crate::journal::Journal;

/// A guest boots in a few seconds; on a machine that is busy with other things it may take more.
const BOOT: Duration = Duration::from_secs(45);
/// The guest says that it lives once a second.
const SILENCE: Duration = Duration::from_secs(60);
/// After a signal the program ends in order; after this it is ended.
const GRACE: Duration = Duration::from_secs(20);
/// Boots are tried so often: rarely one fails without a cause that could be found.
const ATTEMPTS: u32 = 2;

/// What is heard from the program while it plays.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Heard<'a> {
    /// The guest is up, so long after it was started.
    Up(&'a Up, Duration),
    /// Written to standard output.
    Out(&'a [u8]),
    /// Written to standard error.
    Err(&'a [u8]),
}

/// Where a program is played.
#[derive(Debug)]
pub struct Guest<'a> {
    /// What runs it.
    pub qemu: &'a Qemu,
    /// What it boots.
    pub image: &'a Image,
    /// This program, which becomes the guest's first process.
    pub own: &'a Path,
    /// How large it is.
    pub size: Size,
}

impl Guest<'_> {
    /// Plays a program; gives its exit code, 128 and the signal's number if a signal ended it here or there.
    ///
    /// SIGINT, SIGTERM and SIGHUP are passed on while it plays; a second one ends the guest at once.
    /// To be called on the main thread.
    pub fn play(
        &self,
        play: &Play,
        journal: &Journal,
        hear: &mut dyn FnMut(Heard<'_>),
    ) -> Result<i32, GuestError> {
        let mut signals = Signals::catch().map_err(GuestError::file("a signal descriptor"))?;
        let mut attempt = 1;
        loop {
            let started = Instant::now();
            let machine = Machine::start(self.qemu, self.image, self.own, self.size, &play.writable)?;
            // Recorded for `genie clean`, should the kernel fail to end QEMU with us.
            let recorded = journal.record_process(machine.process());
            recorded.map_err(GuestError::file("the journal"))?;
            let mut talk = Talk {
                frames: Frames::default(),
                signals: &mut signals,
                last: started,
                asked_to_end: None,
            };
            match talk.boot(&machine.port, started) {
                Ok(Boot::Up(up)) => {
                    hear(Heard::Up(&up, started.elapsed()));
                    return talk.follow(machine, play, hear);
                }
                Ok(Boot::Interrupted(code)) => return Ok(code),
                Err(what) => {
                    let console = machine.end();
                    if attempt == ATTEMPTS {
                        return Err(GuestError::Boot { what, console });
                    }
                    attempt += 1;
                }
            }
        }
    }
}

enum Boot {
    Up(Up),
    Interrupted(i32),
}

/// What became of the program.
enum Ended {
    Exit(i32),
    NotStarted(String),
}

/// The conversation with one guest.
struct Talk<'a> {
    frames: Frames,
    signals: &'a mut Signals,
    /// When the guest was last heard.
    last: Instant,
    /// When, and by which signal.
    asked_to_end: Option<(Instant, i32)>,
}

impl Talk<'_> {
    fn boot(&mut self, port: &UnixStream, started: Instant) -> Result<Boot, String> {
        loop {
            match self.frames.said() {
                Ok(Some(Said::Up(up))) => return Ok(Boot::Up(up)),
                Ok(Some(Said::Failed(what))) => return Err(what),
                Ok(Some(other)) => return Err(format!("it said {other:?} before it was up")),
                Ok(None) => {}
                Err(e) => return Err(e.to_string()),
            }
            let left = BOOT.saturating_sub(started.elapsed());
            if left.is_zero() {
                return Err(format!("it was not up after {} s", BOOT.as_secs()));
            }
            let alive = self.wait(port, left).map_err(|e| e.to_string())?;
            if let Some(number) = self.signals.next() {
                return Ok(Boot::Interrupted(128 + number));
            }
            if !alive {
                return Err("it ended".into());
            }
        }
    }

    fn follow(
        &mut self,
        machine: Machine,
        play: &Play,
        hear: &mut dyn FnMut(Heard<'_>),
    ) -> Result<i32, GuestError> {
        match self.converse(&machine.port, play, hear) {
            Ok(Ended::Exit(code)) => Ok(code),
            Ok(Ended::NotStarted(what)) => Err(GuestError::NotStarted { what }),
            Err(what) => Err(GuestError::Lost {
                what,
                console: machine.end(),
            }),
        }
    }

    fn converse(
        &mut self,
        port: &UnixStream,
        play: &Play,
        hear: &mut dyn FnMut(Heard<'_>),
    ) -> Result<Ended, String> {
        let odd = |e: io::Error| format!("cannot be understood ({e})");
        wire::tell(port, &Told::Play(play.clone())).map_err(odd)?;
        self.last = Instant::now();
        loop {
            while let Some(said) = self.frames.said().map_err(odd)? {
                match said {
                    Said::Out(bytes) => hear(Heard::Out(&bytes)),
                    Said::Err(bytes) => hear(Heard::Err(&bytes)),
                    Said::Exit(code) => return Ok(Ended::Exit(code)),
                    Said::NotStarted(what) => return Ok(Ended::NotStarted(what)),
                    Said::Failed(what) => return Err(format!("could not be made ready ({what}),")),
                    Said::Beat | Said::Up(_) => {}
                }
            }
            if self.last.elapsed() > SILENCE {
                return Err(format!("has said nothing for {} s", SILENCE.as_secs()));
            }
            if let Some((when, number)) = self.asked_to_end
                && when.elapsed() > GRACE
            {
                return Ok(Ended::Exit(128 + number));
            }
            let alive = self.wait(port, Duration::from_millis(500)).map_err(odd)?;
            if let Some(number) = self.signals.next() {
                if self.asked_to_end.is_some() {
                    return Ok(Ended::Exit(128 + number));
                }
                self.asked_to_end = Some((Instant::now(), number));
                wire::tell(port, &Told::Signal(number)).map_err(odd)?;
            }
            if !alive {
                return Err("ended".into());
            }
        }
    }

    /// Waits for a word or a signal; `false`: the guest has ended.
    fn wait(&mut self, port: &UnixStream, timeout: Duration) -> io::Result<bool> {
        let milliseconds = u16::try_from(timeout.as_millis().max(1)).unwrap_or(u16::MAX);
        let mut ready = [
            PollFd::new(port.as_fd(), PollFlags::POLLIN),
            PollFd::new(self.signals.descriptor.as_fd(), PollFlags::POLLIN),
        ];
        match poll(&mut ready, PollTimeout::from(milliseconds)) {
            Err(nix::Error::EINTR) => return Ok(true),
            other => other?,
        };
        if !ready[0].any().unwrap_or(false) {
            return Ok(true);
        }
        let alive = self.frames.read(port)?;
        self.last = Instant::now();
        Ok(alive)
    }
}

/// Signals that end a program, taken out of their usual way for as long as this lives.
#[derive(Debug)]
struct Signals {
    descriptor: SignalFd,
    before: SigSet,
}

impl Signals {
    fn catch() -> io::Result<Self> {
        let mut set = SigSet::empty();
        for signal in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP] {
            set.add(signal);
        }
        let before = SigSet::thread_get_mask()?;
        set.thread_block()?;
        let descriptor = SignalFd::with_flags(&set, SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC)?;
        Ok(Self { descriptor, before })
    }

    fn next(&mut self) -> Option<i32> {
        let info = self.descriptor.read_signal().ok()??;
        i32::try_from(info.ssi_signo).ok()
    }
}

impl Drop for Signals {
    fn drop(&mut self) {
        // It was valid when it was read.
        let _ = self.before.thread_set_mask();
    }
}
