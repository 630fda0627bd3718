//! A machine of its own for a test: a mount and a network namespace with an empty /run and
//! /dev/shm. Other runs of this computer are not in the way, what a run leaves behind is seen to the
//! last file, and everything goes with the test, also when it fails.

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use super::eventually;
use super::genie::{BINARY, Genie, processes};

/// Makes the machine, says so, and stays until its standard input is closed.
const HOLD: &str = "mount -t tmpfs tmpfs /run && mount -t tmpfs tmpfs /dev/shm && \
    ip link set lo up && echo ready && exec cat";

/// Everything that a run may change: interfaces, mounts (names of namespaces are mounts), files of the
/// machine's own folders, network parameters. Mounts below the computer's own /run, which are hidden
/// here, come and go with other runs and are left out.
const LOOK: &str = "cut -d: -f1 /proc/net/dev | sed 's/^/interface /'; \
    awk '{ line[NR] = $0; id[NR] = $1; parent[NR] = $2; at[NR] = $5; if ($5 == \"/run\") run = $1 } \
        END { seen[run] = 1; for (n = 1; n <= NR; n++) if (at[n] !~ \"^/run/\" || seen[parent[n]]) \
        { seen[id[n]] = 1; print \"mount \" line[n] } }' /proc/self/mountinfo; \
    find /run /dev/shm -mindepth 1 | sed 's/^/file /'; \
    cd /proc/sys/net && grep -rs . core ipv4 | sed 's/^/parameter /'";

/// The machine; ends when dropped.
#[derive(Debug)]
pub struct Machine {
    holder: Child,
    scratch: tempfile::TempDir,
    /// Made by root, not in a user namespace: namespaces get names.
    pub root: bool,
}

/// What was found on a machine, one thing a line.
pub type Found = BTreeSet<String>;

impl Machine {
    /// A new machine; `None`, and a line that says why, where neither root nor a user namespace can
    /// be had.
    #[allow(clippy::print_stderr)]
    pub fn new() -> Option<Self> {
        let root = nix::unistd::geteuid().is_root();
        let made = if root {
            Self::hold(true)
        } else {
            Err("not root".into())
        };
        let made = made.or_else(|first| Self::hold(false).map_err(|second| format!("{first}; {second}")));
        match made {
            Ok(machine) => Some(machine),
            Err(why) => {
                eprintln!("skipped: this machine gives no namespaces: {}", why.trim());
                None
            }
        }
    }

    fn hold(root: bool) -> Result<Self, String> {
        let mut unshare = Command::new("unshare");
        if !root {
            unshare.args(["--user", "--map-root-user"]);
        }
        unshare.args(["--mount", "--net", "--propagation", "private", "sh", "-c", HOLD]);
        unshare
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut holder = unshare.spawn().map_err(|e| format!("unshare: {e}"))?;
        let mut line = String::new();
        let read = holder
            .stdout
            .as_mut()
            .map(|out| BufReader::new(out).read_line(&mut line));
        if line.trim() != "ready" {
            drop(read);
            let output = holder.wait_with_output().map_err(|e| e.to_string())?;
            return Err(String::from_utf8_lossy(&output.stderr).into_owned());
        }
        let scratch = tempfile::Builder::new().prefix("genie-test-").tempdir();
        Ok(Self {
            holder,
            scratch: scratch.map_err(|e| e.to_string())?,
            root,
        })
    }

    /// A folder that goes with the machine; the computer's own, so it can be read from outside.
    pub fn scratch(&self) -> &Path {
        self.scratch.path()
    }

    /// Where runs of this machine are stored.
    pub fn results(&self) -> PathBuf {
        self.scratch().join("results")
    }

    /// Writes a file into the scratch folder.
    pub fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.scratch().join(name);
        fs::write(&path, text).expect("the scratch folder takes files");
        path
    }

    /// A command on the machine.
    pub fn command(&self, program: &str) -> Command {
        let mut command = Command::new("nsenter");
        command.arg("--target").arg(self.holder.id().to_string());
        if !self.root {
            command.args(["--user", "--preserve-credentials"]);
        }
        command
            .args(["--mount", "--net"])
            .arg(format!("--wd={}", self.scratch().display()));
        command.arg("--").arg(program).env("XDG_RUNTIME_DIR", "/run");
        command
    }

    /// A shell script on the machine; gives what it prints. It must succeed.
    pub fn sh(&self, script: &str) -> String {
        let output = self
            .command("sh")
            .args(["-c", script])
            .stdin(Stdio::null())
            .output()
            .expect("nsenter");
        let (out, err) = (
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr),
        );
        assert!(output.status.success(), "`{script}` failed: {err}");
        out.into_owned()
    }

    /// `genie` on the machine.
    pub fn genie(&self) -> Genie {
        Genie::by(self.command(BINARY))
    }

    /// `genie run --json` of this scenario text; stored in [`Machine::results`].
    pub fn play(&self, scenario: &str) -> Genie {
        let file = tempfile::Builder::new()
            .suffix(".toml")
            .tempfile_in(self.scratch());
        let (_, path) = file
            .and_then(|file| Ok(file.keep()?))
            .expect("the scratch folder takes files");
        fs::write(&path, scenario).expect("the scratch folder takes files");
        self.genie()
            .arg("run")
            .arg(&path)
            .arg("--json")
            .results(&self.results())
    }

    /// Everything that is on the machine now.
    pub fn found(&self) -> Found {
        let mut found: Found = self.sh(LOOK).lines().map(str::to_owned).collect();
        found.extend(self.processes().into_iter().map(|line| format!("process {line}")));
        found
    }

    /// Command lines of the processes on the machine.
    pub fn processes(&self) -> Vec<String> {
        let home = |pid: i32| fs::read_link(format!("/proc/{pid}/ns/mnt")).ok();
        let holder = self.holder.id() as i32;
        let mine = home(holder);
        let living = processes()
            .into_iter()
            .filter(|pid| *pid != holder && home(*pid) == mine);
        let line = |pid: i32| fs::read_to_string(format!("/proc/{pid}/cmdline")).ok();
        living
            .filter_map(line)
            .map(|line| line.replace('\0', " ").trim().to_owned())
            .collect()
    }

    /// Fails unless the machine is as it was, at once.
    pub fn assert_as_before(&self, before: &Found) {
        let now = self.found();
        let (left, gone): (Vec<_>, Vec<_>) = (
            now.difference(before).collect(),
            before.difference(&now).collect(),
        );
        assert!(
            left.is_empty() && gone.is_empty(),
            "left behind: {left:#?}\ntaken away: {gone:#?}"
        );
    }

    /// Fails unless the last process ends within this time: for ranks whose controller was killed.
    pub fn assert_empties(&self, within: Duration) {
        let empty = eventually(within, || self.processes().is_empty());
        assert!(empty, "still running: {:#?}", self.processes());
    }

    /// Names of network namespaces.
    pub fn namespaces(&self) -> Vec<String> {
        let names = self.sh("ls /run/netns 2>/dev/null || true");
        names.lines().map(str::to_owned).collect()
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        let _ = self.holder.kill();
        let _ = self.holder.wait();
    }
}
