//! A `genie` command: about to start, running, ended. A run that outlives its deadline is killed
//! and fails the test; a run that a failing test leaves behind is killed too.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

use super::eventually;

/// No run of a test takes so long, even on a busy machine.
const DEADLINE: Duration = Duration::from_secs(40);
/// What a test waits for comes within this time.
const PATIENCE: Duration = Duration::from_secs(15);

/// The binary under test.
pub const BINARY: &str = env!("CARGO_BIN_EXE_genie");

/// A command that was not started yet.
#[derive(Debug)]
pub struct Genie {
    command: Command,
    results: PathBuf,
    deadline: Duration,
}

impl Genie {
    /// `genie`, on the machine as it is.
    pub fn new() -> Self {
        Self::by(Command::new(BINARY))
    }

    /// `genie`, started by this command.
    pub fn by(mut command: Command) -> Self {
        command.stdin(Stdio::null()).env("NO_COLOR", "1");
        Self {
            command,
            results: PathBuf::new(),
            deadline: DEADLINE,
        }
    }

    /// One more argument.
    pub fn arg(mut self, arg: impl AsRef<OsStr>) -> Self {
        self.command.arg(arg);
        self
    }

    /// More arguments.
    pub fn args<A: AsRef<OsStr>>(mut self, args: impl IntoIterator<Item = A>) -> Self {
        self.command.args(args);
        self
    }

    /// Changes the command itself: its environment, its folder.
    pub fn with(mut self, change: impl FnOnce(&mut Command)) -> Self {
        change(&mut self.command);
        self
    }

    /// `--results DIR`, and where [`Running`] looks for events.
    pub fn results(mut self, folder: &Path) -> Self {
        self.results = folder.into();
        self.arg("--results").arg(folder)
    }

    /// `--set KEY=VALUE`.
    pub fn set(self, change: &str) -> Self {
        self.arg("--set").arg(change)
    }

    /// The command is killed, and the test fails, when it takes longer.
    pub fn deadline(mut self, deadline: Duration) -> Self {
        self.deadline = deadline;
        self
    }

    /// Starts it.
    pub fn start(mut self) -> Running {
        // Files and not pipes: nobody has to read them meanwhile, and nobody can hold them open.
        let files = [tempfile::tempfile(), tempfile::tempfile()];
        let [out, err] = files.map(|file| file.expect("a temporary file"));
        let to = |file: &File| Stdio::from(file.try_clone().expect("one more descriptor"));
        self.command.stdout(to(&out)).stderr(to(&err));
        let child = self.command.spawn().expect("genie starts");
        Running {
            child,
            out,
            err,
            results: self.results,
            started: Instant::now(),
            deadline: self.deadline,
            ended: None,
        }
    }

    /// Starts it and waits for its end.
    pub fn end(self) -> Ended {
        self.start().end()
    }
}

/// A command that runs, or has not been asked yet how it ended.
#[derive(Debug)]
pub struct Running {
    child: Child,
    out: File,
    err: File,
    results: PathBuf,
    started: Instant,
    deadline: Duration,
    ended: Option<ExitStatus>,
}

impl Running {
    /// Process id of the controller.
    pub fn pid(&self) -> i32 {
        self.child.id() as i32
    }

    /// Processes of the ranks that run now, by rank.
    pub fn ranks(&self) -> BTreeMap<u32, i32> {
        children(self.pid())
            .into_iter()
            .filter_map(|pid| Some((rank_of(pid)?, pid)))
            .collect()
    }

    /// Process of a rank, which must run.
    pub fn rank(&self, rank: u32) -> i32 {
        let ranks = self.ranks();
        *ranks
            .get(&rank)
            .unwrap_or_else(|| panic!("no process of rank {rank} in {ranks:?}"))
    }

    /// Sends a signal to the controller.
    pub fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.pid()), signal).expect("the controller can be signalled");
    }

    /// Waits until the run has recorded such an event; gives it.
    pub fn until_event(&mut self, what: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        let mut found = None;
        eventually(PATIENCE, || {
            found = events(&self.results).into_iter().find(&wanted);
            found.is_some() || self.has_ended()
        });
        found.unwrap_or_else(|| panic!("never came: {what}\n{}", self.said()))
    }

    /// Waits until ranks have been playing row `row` for a while.
    pub fn until_within_row(&mut self, row: u64) {
        let begun = |event: &Value| event["event"] == "op-started" && event["op"] == row;
        self.until_event(&format!("start of row {row}"), begun);
        std::thread::sleep(Duration::from_millis(400));
    }

    /// Whether it is over.
    pub fn has_ended(&mut self) -> bool {
        if self.ended.is_none() {
            self.ended = self.child.try_wait().expect("our own child");
        }
        self.ended.is_some()
    }

    /// Waits for its end.
    pub fn end(mut self) -> Ended {
        let left = self.deadline.saturating_sub(self.started.elapsed());
        let in_time = eventually(left, || self.has_ended());
        assert!(
            in_time,
            "genie did not end within {:?}\n{}",
            self.deadline,
            self.said()
        );
        let status = self.ended.expect("it ended");
        Ended {
            code: status.code(),
            signal: status.signal(),
            stdout: content(&self.out),
            stderr: content(&self.err),
            took: self.started.elapsed(),
        }
    }

    fn said(&self) -> String {
        let (out, err) = (content(&self.out), content(&self.err));
        format!("stdout:\n{out}\nstderr:\n{err}")
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if !self.has_ended() {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

/// A command that is over.
#[derive(Debug)]
pub struct Ended {
    /// Exit code, if it was not killed.
    pub code: Option<i32>,
    /// Signal that killed it.
    pub signal: Option<i32>,
    /// All of its standard output.
    pub stdout: String,
    /// All of its standard error.
    pub stderr: String,
    /// From start to end.
    pub took: Duration,
}

impl Ended {
    /// Fails unless it ended with this exit code.
    pub fn expect(self, code: i32) -> Self {
        let Self {
            stdout,
            stderr,
            signal,
            ..
        } = &self;
        let shown = format!("signal {signal:?}\nstdout:\n{stdout}\nstderr:\n{stderr}");
        assert_eq!(self.code, Some(code), "exit code; {shown}");
        self
    }

    /// Standard output as one JSON object and nothing else.
    pub fn json(&self) -> Value {
        let parsed: Value = serde_json::from_str(&self.stdout)
            .unwrap_or_else(|e| panic!("not one JSON object: {e}\n{}\n{}", self.stdout, self.stderr));
        assert!(parsed.is_object(), "not an object: {parsed}");
        parsed
    }
}

/// All of a file that somebody may be writing: their place in it stays where it is.
fn content(file: &File) -> String {
    let length = file.metadata().map_or(0, |metadata| metadata.len());
    let mut bytes = vec![0; length as usize];
    file.read_exact_at(&mut bytes, 0).expect("a file can be read");
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Events that all runs of a results folder have recorded so far.
fn events(results: &Path) -> Vec<Value> {
    let folders = fs::read_dir(results).into_iter().flatten().flatten();
    let texts = folders.filter_map(|folder| fs::read_to_string(folder.path().join("events.jsonl")).ok());
    let lines = |text: String| -> Vec<Value> {
        text.lines()
            .filter_map(|line| serde_json::from_str(line).ok())
            .collect()
    };
    texts.flat_map(lines).collect()
}

/// Processes whose parent is `parent`.
fn children(parent: i32) -> Vec<i32> {
    let of = |pid: &i32| -> Option<i32> {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        let after_name = stat[stat.rfind(')')? + 1..].split_whitespace().nth(1)?;
        after_name.parse().ok()
    };
    processes()
        .into_iter()
        .filter(|pid| of(pid) == Some(parent))
        .collect()
}

/// All processes of the machine.
pub fn processes() -> Vec<i32> {
    let entries = fs::read_dir("/proc").expect("/proc is there").flatten();
    entries
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .collect()
}

/// Which rank a process plays: its command line is `genie rank N`.
fn rank_of(pid: i32) -> Option<u32> {
    let line = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
    let words: Vec<&str> = line
        .split(|byte| *byte == 0)
        .map_while(|word| std::str::from_utf8(word).ok())
        .collect();
    match words.as_slice() {
        [_, "rank", rank, ..] => rank.parse().ok(),
        _ => None,
    }
}
