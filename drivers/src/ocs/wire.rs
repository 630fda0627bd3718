//! A byte stream to a switch with a deadline on every step: TCP, a unix socket, or the standard input and
//! output of a program such as `ssh`. What is read is bounded; a broken stream is never used again.

use std::fs::File;
use std::io::{self, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::codec::{MOST_BYTES, Malformed};
use super::endpoint::Via;
use super::error::OcsError;

/// What reads an answer: bytes so far, and whether no more will come; gives the answer and its length.
pub trait Reader<T>: FnMut(&[u8], bool) -> Result<Option<(T, usize)>, Malformed> {}
impl<T, F: FnMut(&[u8], bool) -> Result<Option<(T, usize)>, Malformed>> Reader<T> for F {}

/// An open stream. Dropping it ends the program behind it, if there is one.
#[derive(Debug)]
pub struct Wire {
    input: File,
    output: File,
    child: Option<Child>,
    buffer: Vec<u8>,
    ended: bool,
}

impl Wire {
    /// Opens the stream within `patience`.
    pub fn open(via: &Via, patience: Duration) -> Result<Self, OcsError> {
        Self::try_open(via, patience).map_err(OcsError::Unreachable)
    }

    fn try_open(via: &Via, patience: Duration) -> io::Result<Self> {
        let (input, output, child): (OwnedFd, OwnedFd, _) = match via {
            Via::Tcp { host, port } => {
                let stream = dial(host, *port, patience)?;
                (stream.try_clone()?.into(), stream.into(), None)
            }
            Via::Unix(path) => {
                let stream = UnixStream::connect(path)?;
                (stream.try_clone()?.into(), stream.into(), None)
            }
            Via::Program(words) => {
                let (name, rest) = words.split_first().ok_or(io::ErrorKind::InvalidInput)?;
                let mut child = Command::new(name)
                    .args(rest)
                    .stdin(Stdio::piped())
                    .stdout(Stdio::piped())
                    .stderr(Stdio::null())
                    .spawn()?;
                let pipes = (child.stdout.take(), child.stdin.take());
                let (Some(input), Some(output)) = pipes else {
                    return Err(io::ErrorKind::BrokenPipe.into());
                };
                (input.into(), output.into(), Some(child))
            }
        };
        for end in [&input, &output] {
            fcntl(end, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
        }
        Ok(Self {
            input: input.into(),
            output: output.into(),
            child,
            buffer: Vec::new(),
            ended: false,
        })
    }

    /// Sends all of it.
    pub fn send(&mut self, request: &str, mut bytes: &[u8], patience: Duration) -> Result<(), OcsError> {
        let deadline = Instant::now() + patience;
        while !bytes.is_empty() {
            match self.output.write(bytes) {
                Ok(0) => return Err(lost(request, &"closed")),
                Ok(sent) => bytes = &bytes[sent..],
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => {
                    ready(&self.output, PollFlags::POLLOUT, deadline)
                        .then_some(())
                        .ok_or_else(|| timeout(request, patience))?;
                }
                Err(e) => return Err(lost(request, &e)),
            }
        }
        Ok(())
    }

    /// Reads until `read` has what it wants.
    pub fn receive<T>(
        &mut self,
        request: &str,
        patience: Duration,
        mut read: impl Reader<T>,
    ) -> Result<T, OcsError> {
        let deadline = Instant::now() + patience;
        loop {
            let found = read(&self.buffer, self.ended).map_err(|e| OcsError::malformed(request, e.0))?;
            if let Some((answer, length)) = found {
                self.buffer.drain(..length);
                return Ok(answer);
            }
            if self.ended {
                return Err(lost(request, &"closed by the switch"));
            }
            if self.buffer.len() > 3 * MOST_BYTES {
                return Err(OcsError::malformed(request, "an answer that does not end"));
            }
            if !ready(&self.input, PollFlags::POLLIN, deadline) {
                return Err(timeout(request, patience));
            }
            self.fill().map_err(|e| lost(request, &e))?;
        }
    }

    /// Throws away what comes until the line is silent: banners, echoes, garbage.
    pub fn drain(&mut self, silence: Duration) {
        let end = Instant::now() + 10 * silence;
        while !self.ended
            && ready(
                &self.input,
                PollFlags::POLLIN,
                (Instant::now() + silence).min(end),
            )
        {
            if self.fill().is_err() {
                break;
            }
            self.buffer.clear();
        }
        self.buffer.clear();
    }

    fn fill(&mut self) -> io::Result<()> {
        let mut part = [0; 16 << 10];
        match self.input.read(&mut part) {
            Ok(0) => self.ended = true,
            Ok(count) => self.buffer.extend_from_slice(&part[..count]),
            Err(e) if matches!(e.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {}
            Err(e) => return Err(e),
        }
        Ok(())
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            // It may have ended by itself.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

fn dial(host: &str, port: u16, patience: Duration) -> io::Result<TcpStream> {
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    for address in (host, port).to_socket_addrs()? {
        match TcpStream::connect_timeout(&address, patience) {
            Ok(stream) => {
                // Commands are short and each waits for its answer.
                stream.set_nodelay(true)?;
                return Ok(stream);
            }
            Err(e) => last = e,
        }
    }
    Err(last)
}

/// Whether the end became ready (or broke, which reading or writing will tell) before the deadline.
fn ready(end: &File, flags: PollFlags, deadline: Instant) -> bool {
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        // Rounded up, so that the last wait is not a spin.
        let left = u16::try_from(left.as_millis() + u128::from(!left.is_zero())).unwrap_or(u16::MAX);
        let mut ends = [PollFd::new(end.as_fd(), flags)];
        match poll(&mut ends, PollTimeout::from(left)) {
            Ok(0) if Instant::now() >= deadline => return false,
            Ok(0) | Err(nix::errno::Errno::EINTR) => {}
            Ok(_) => return true,
            Err(_) => return false,
        }
    }
}

fn timeout(request: &str, patience: Duration) -> OcsError {
    OcsError::Timeout {
        request: request.into(),
        ms: patience.as_millis() as u64,
    }
}

fn lost(request: &str, reason: &dyn std::fmt::Display) -> OcsError {
    OcsError::Lost {
        request: request.into(),
        reason: reason.to_string(),
    }
}
