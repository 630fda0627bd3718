//! An imitation on a socket: one thread accepts, one serves each session, one waits for mirrors. Whoever
//! follows the light is told of every circuit that begins or ends to carry it, at that moment.

use std::collections::BTreeSet;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use genie_drivers::ocs::{Circuit, Dialect, Size};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll, ppoll};
use nix::sys::time::TimeSpec;

use super::core::{Core, Settle};
use super::grammar::{self, World};
use super::trouble::{Fate, Luck, Trouble};

/// More sessions than a switch would take; others are turned away.
const MOST_SESSIONS: u32 = 32;
/// Longest request that is waited for, bytes; grammars give up earlier.
const MOST_BYTES: usize = 10 << 20;
const TICK: Duration = Duration::from_millis(50);
const WRITING: Duration = Duration::from_secs(10);
const GARBAGE: &[u8] = b"\xff\xfe%\x01 login? M 1 \"7,7\" 0,(@\r\n# genie\r\n";

/// What is to be served.
#[derive(Debug, Clone)]
pub struct Options {
    /// Language.
    pub dialect: Dialect,
    /// Ports.
    pub size: Size,
    /// How long mirrors take.
    pub settle: Settle,
    /// Seed of the jitter.
    pub seed: u64,
    /// What goes wrong.
    pub trouble: Trouble,
    /// Address to listen on; port 0 for any.
    pub listen: SocketAddr,
}

/// Why it cannot be served.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address}: {source}")]
pub struct ServeError {
    /// The address.
    pub address: SocketAddr,
    /// Why.
    pub source: io::Error,
}

/// Hears which circuits light begins (`true`) or ceases (`false`) to pass.
pub type Observer = Box<dyn FnMut(&[(Circuit, bool)]) + Send>;

/// A served switch. Dropping it ends all sessions, and lets the observer go.
#[derive(Debug)]
pub struct Server {
    address: SocketAddr,
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

struct Shared {
    options: Options,
    begun: Instant,
    state: Mutex<State>,
    changed: Condvar,
    stopped: AtomicBool,
    sessions: AtomicU32,
}

struct State {
    core: Core,
    luck: Luck,
    lit: BTreeSet<Circuit>,
    observer: Observer,
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared")
            .field("options", &self.options)
            .finish_non_exhaustive()
    }
}

impl Server {
    /// Begins to serve.
    pub fn start(options: Options, observer: Observer) -> Result<Self, ServeError> {
        let failed = |source| ServeError {
            address: options.listen,
            source,
        };
        let listener = TcpListener::bind(options.listen).map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        listener.set_nonblocking(true).map_err(failed)?;
        let trouble = &options.trouble;
        let core = Core::new(
            options.size,
            options.settle,
            options.seed,
            trouble.stuck.clone(),
            trouble.no_light.clone(),
        );
        let state = State {
            core,
            luck: Luck::default(),
            lit: BTreeSet::new(),
            observer,
        };
        let shared = Arc::new(Shared {
            options,
            begun: Instant::now(),
            state: Mutex::new(state),
            changed: Condvar::new(),
            stopped: AtomicBool::new(false),
            sessions: AtomicU32::new(0),
        });
        let (accepting, waiting) = (shared.clone(), shared.clone());
        let threads = vec![
            thread::spawn(move || accept(&listener, &accepting)),
            thread::spawn(move || waiting.follow_mirrors()),
        ];
        Ok(Self {
            address,
            shared,
            threads,
        })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The circuits as they truly are, past all dialects.
    pub fn circuits(&self) -> BTreeSet<Circuit> {
        let state = self.shared.lock();
        state.core.circuits().map(|(circuit, _)| circuit).collect()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.shared.stopped.store(true, Ordering::Relaxed);
        self.shared.changed.notify_all();
        for thread in self.threads.drain(..) {
            // A thread that panicked has nothing left to end.
            let _ = thread.join();
        }
        // Sessions end by themselves within a tick, or when their client takes the rest of an answer. What
        // follows the light, and all that it holds, does not wait for them.
        self.shared.lock().observer = Box::new(|_| {});
    }
}

/// A session among those that there may be.
struct Counted(Arc<Shared>);

impl Counted {
    fn new(shared: &Arc<Shared>) -> Self {
        shared.sessions.fetch_add(1, Ordering::Relaxed);
        Counted(shared.clone())
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.sessions.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Shared {
    fn now(&self) -> Duration {
        self.begun.elapsed()
    }

    fn stopped(&self) -> bool {
        self.stopped.load(Ordering::Relaxed)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// Tells of light when mirrors settle.
    fn follow_mirrors(&self) {
        let mut state = self.lock();
        while !self.stopped() {
            let now = self.now();
            state.tell(now);
            let wait = state
                .core
                .next_settled(now)
                .map_or(TICK, |next| next.saturating_sub(now).min(TICK));
            let waited = self.changed.wait_timeout(state, wait);
            state = waited.map_or_else(|poisoned| poisoned.into_inner().0, |(state, _)| state);
        }
    }
}

impl State {
    fn tell(&mut self, now: Duration) {
        let lit = self.core.lit(now);
        if lit == self.lit {
            return;
        }
        let gone = self.lit.difference(&lit).map(|circuit| (*circuit, false));
        let new = lit.difference(&self.lit).map(|circuit| (*circuit, true));
        let changes: Vec<(Circuit, bool)> = gone.chain(new).collect();
        (self.observer)(&changes);
        self.lit = lit;
    }
}

fn accept(listener: &TcpListener, shared: &Arc<Shared>) {
    let mut number = 0;
    while !shared.stopped() {
        let mut ends = [PollFd::new(listener.as_fd(), PollFlags::POLLIN)];
        // A signal or the end of the wait: it is looked again.
        let _ = poll(&mut ends, PollTimeout::from(TICK.as_millis() as u16));
        match listener.accept() {
            Ok((stream, _)) if shared.sessions.load(Ordering::Relaxed) < MOST_SESSIONS => {
                number += 1;
                let counted = Counted::new(shared);
                thread::spawn(move || {
                    // How a session ends is the client's affair.
                    let _ = serve(stream, &counted.0, number);
                });
            }
            Ok((stream, _)) => drop(stream),
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => {}
            // Out of descriptors, perhaps: not busily.
            Err(_) => thread::sleep(TICK),
        }
    }
}

fn serve(mut stream: TcpStream, shared: &Shared, number: u32) -> io::Result<()> {
    stream.set_nonblocking(false)?;
    stream.set_nodelay(true)?;
    stream.set_write_timeout(Some(WRITING))?;
    let mut grammar = grammar::new(shared.options.dialect, number);
    if shared.options.trouble.garbage_banner {
        stream.write_all(GARBAGE)?;
    }
    stream.write_all(&grammar.greeting())?;
    let (mut buffer, mut part) = (Vec::new(), [0; 16 << 10]);
    let mut replies: Vec<Reply> = Vec::new();
    while !shared.stopped() {
        while let Some(next) = due(&replies, shared.now()) {
            if !replies.remove(next).send(&mut stream)? {
                return Ok(());
            }
        }
        let mut more = true;
        while more && (replies.is_empty() || grammar.overlaps()) {
            let taken = grammar.take(&buffer).map_err(io::Error::other)?;
            more = taken.is_some();
            if let Some((request, length)) = taken {
                buffer.drain(..length);
                replies.push(carry_out(&mut *grammar, &request, shared));
            }
        }
        let now = shared.now();
        let first = replies.iter().map(|reply| reply.at).min();
        let wait = first.map_or(TICK, |at| at.saturating_sub(now).min(TICK));
        if readable(&stream, wait) {
            match stream.read(&mut part)? {
                0 => return Ok(()),
                count => buffer.extend_from_slice(&part[..count]),
            }
        }
        if buffer.len() > MOST_BYTES {
            return Ok(());
        }
    }
    Ok(())
}

/// Waits until there is something to read, but not longer; a broken stream counts as readable.
fn readable(stream: &TcpStream, wait: Duration) -> bool {
    let mut ends = [PollFd::new(stream.as_fd(), PollFlags::POLLIN)];
    // A signal: it is looked again.
    ppoll(&mut ends, Some(TimeSpec::from_duration(wait)), None).is_ok_and(|ready| ready > 0)
}

/// The reply that is due, the earliest first.
fn due(replies: &[Reply], now: Duration) -> Option<usize> {
    let due = replies.iter().enumerate().filter(|(_, reply)| reply.at <= now);
    due.min_by_key(|(_, reply)| reply.at).map(|(index, _)| index)
}

/// What a request is answered, and when.
struct Reply {
    bytes: Vec<u8>,
    at: Duration,
    fate: Fate,
    close: bool,
}

impl Reply {
    /// Sends it; `false`: the session is over.
    fn send(self, stream: &mut TcpStream) -> io::Result<bool> {
        match self.fate {
            Fate::Sent => stream.write_all(&self.bytes)?,
            Fate::Dropped => {}
            Fate::Lost => return Ok(false),
        }
        Ok(!self.close)
    }
}

/// Carries one request out.
fn carry_out(grammar: &mut dyn grammar::Grammar, request: &[u8], shared: &Shared) -> Reply {
    let trouble = &shared.options.trouble;
    let mut state = shared.lock();
    let State { core, luck, .. } = &mut *state;
    let now = shared.now();
    let mut world = World {
        core,
        luck,
        trouble,
        now,
    };
    let answer = grammar.answer(request, &mut world);
    let silent = answer.bytes.is_empty();
    let fate = if silent { Fate::Sent } else { luck.answer(trouble) };
    state.tell(now);
    drop(state);
    shared.changed.notify_all();
    let at = if silent {
        answer.at
    } else {
        answer.at.max(shared.now()) + trouble.slow_reply
    };
    Reply {
        bytes: answer.bytes,
        at,
        fate,
        close: answer.close,
    }
}
