//! `genie ocs` as people use it: an imitation in one process, changes in others, and what is left when one of
//! them is killed.

#![allow(clippy::unwrap_used)] // clippy takes helpers of integration tests for code

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

const GENIE: &str = env!("CARGO_BIN_EXE_genie");
const DIALECTS: [&str; 7] = [
    "scpi",
    "tl1-polatis",
    "tl1-calient",
    "restconf",
    "netconf",
    "sonic",
    "gnmi",
];

/// An imitation; ended with the test.
struct Served {
    child: Child,
    switch: String,
}

impl Served {
    fn new(dialect: &str, more: &[&str]) -> Self {
        let mut command = Command::new(GENIE);
        command.args([
            "ocs",
            "serve",
            "--dialect",
            dialect,
            "--size",
            "8x8",
            "--listen",
            "127.0.0.1:0",
        ]);
        let mut child = command.args(more).stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap())
            .read_line(&mut line)
            .unwrap();
        let address = line.trim().rsplit(' ').next().unwrap().to_owned();
        let switch = format!("{dialect}://{address}");
        Self { child, switch }
    }

    /// The circuits, one a line.
    fn circuits(&self, leases: &Path) -> String {
        let shown = ocs(leases, &["show", &self.switch]);
        assert!(shown.status.success(), "{shown:?}");
        let text = String::from_utf8(shown.stdout).unwrap();
        text.lines().skip(2).map(str::trim).collect::<Vec<_>>().join(" ")
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn command(leases: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(GENIE);
    command
        .args(args)
        .env("GENIE_OCS_LEASES", leases)
        .stdin(Stdio::null());
    command
}

fn ocs(leases: &Path, args: &[&str]) -> Output {
    command(leases, &[&["ocs"], args].concat()).output().unwrap()
}

fn code(output: &Output) -> i32 {
    output.status.code().unwrap_or(-1)
}

/// A holder that has made its circuits.
fn holder(leases: &Path, switch: &str) -> Child {
    let args = [
        "ocs", "connect", switch, "5A-2B", "--mode", "update", "--hold", "600s", "--json",
    ];
    let mut child = command(leases, &args).stdout(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.as_mut().unwrap())
        .read_line(&mut line)
        .unwrap();
    assert!(line.contains("\"applied\":true"), "{line}");
    child
}

#[test]
fn circuits_of_a_killed_genie_are_put_back_and_foreign_ones_stay() {
    for dialect in DIALECTS {
        let folder = tempfile::tempdir().unwrap();
        let leases = folder.path();
        let served = Served::new(dialect, &[]);
        let made = ocs(leases, &["connect", &served.switch, "1A-1B", "5A-5B"]);
        assert_eq!(code(&made), 0, "{dialect}: {made:?}");

        let mut child = holder(leases, &served.switch);
        assert_eq!(served.circuits(leases), "1A-1B 5A-2B", "{dialect}");
        let refused = ocs(leases, &["connect", &served.switch, "6A-2B", "--mode", "update"]);
        assert_eq!(code(&refused), 2, "{dialect}: a leased port: {refused:?}");
        child.kill().unwrap();
        child.wait().unwrap();
        assert_eq!(
            served.circuits(leases),
            "1A-1B 5A-2B",
            "{dialect}: nobody has put it back yet"
        );
        let cleaned = command(leases, &["clean"]).output().unwrap();
        assert_eq!(code(&cleaned), 0, "{dialect}: {cleaned:?}");
        assert_eq!(served.circuits(leases), "1A-1B 5A-5B", "{dialect}");

        // And by a signal that can be heard.
        let mut child = holder(leases, &served.switch);
        kill(Pid::from_raw(child.id() as i32), Signal::SIGTERM).unwrap();
        assert!(child.wait().unwrap().success(), "{dialect}");
        assert_eq!(served.circuits(leases), "1A-1B 5A-5B", "{dialect}");
    }
}

#[test]
fn what_is_saved_is_restored_on_allowed_ports_only() {
    for dialect in DIALECTS {
        let folder = tempfile::tempdir().unwrap();
        let leases = folder.path();
        let served = Served::new(dialect, &[]);
        let switch = served.switch.as_str();
        let file = folder.path().join("saved.json");
        let file = file.to_str().unwrap();
        ocs(leases, &["connect", switch, "1A-1B", "2A-2B"]);
        assert_eq!(code(&ocs(leases, &["save", switch, file])), 0, "{dialect}");
        assert_eq!(
            code(&ocs(leases, &["disconnect", switch, "1A-1B", "2A-2B"])),
            0,
            "{dialect}"
        );
        ocs(leases, &["connect", switch, "3A-3B"]);
        assert_eq!(
            code(&ocs(leases, &["restore", switch, file])),
            2,
            "{dialect}: all ports, unasked"
        );
        let restored = ocs(leases, &["restore", switch, file, "--allow", "1A..2A,1B..2B"]);
        assert_eq!(code(&restored), 0, "{dialect}: {restored:?}");
        assert_eq!(served.circuits(leases), "1A-1B 2A-2B 3A-3B", "{dialect}");
    }
}

#[test]
fn bad_input_is_2_and_a_switch_that_is_not_there_is_5() {
    let folder = tempfile::tempdir().unwrap();
    let leases = folder.path();
    let served = Served::new("scpi", &[]);
    let switch = served.switch.as_str();
    let list = folder.path().join("list");
    std::fs::write(&list, "1A-1B # one\n2A-2C\n").unwrap();
    let list = list.to_str().unwrap();
    for (args, wanted) in [
        (vec!["show", "nowhere.toml"], 2),
        (vec!["show", "morse://h"], 2),
        (vec!["connect", switch, "9A-1B"], 2),
        (vec!["connect", switch, "1A-1A"], 2),
        (vec!["connect", switch, "1A-1B", "--allow", "2A"], 2),
        (vec!["disconnect", switch, "1A-1B"], 2),
        (vec!["disconnect", switch, "--all"], 2),
        (vec!["apply", switch, list], 2),
        (vec!["port", switch, "1B"], 2),
        (vec!["port", switch, "1B", "--attenuate", "5"], 5),
        (vec!["show", "scpi://127.0.0.1:1"], 5),
    ] {
        let output = ocs(leases, &args);
        assert_eq!(code(&output), wanted, "{args:?}: {output:?}");
        assert!(!output.stderr.is_empty(), "{args:?}");
    }
    for more in [["--trouble", "rain"], ["--settle", "25"], ["--size", "0x0"]] {
        let output = ocs(leases, &[&["serve", "--dialect", "scpi"], &more[..]].concat());
        assert_eq!(code(&output), 2, "{more:?}: {output:?}");
    }
}

#[test]
fn a_plain_socket_speaks_scpi_and_a_signal_ends_the_imitation() {
    let mut served = Served::new("scpi", &["--settle", "200ms"]);
    let address = served.switch.trim_start_matches("scpi://").to_owned();
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    let begin = Instant::now();
    stream
        .write_all(b":OXC:SWITch:CONNect:ADD (@1),(@9); STATe?\n*opc?\nbogus\nsyst:err?\n")
        .unwrap();
    let mut answer = Vec::new();
    let mut part = [0; 256];
    while answer.iter().filter(|byte| **byte == b'\n').count() < 3 {
        let count = stream.read(&mut part).unwrap();
        assert!(count > 0, "closed after {answer:?}");
        answer.extend_from_slice(&part[..count]);
    }
    let text = String::from_utf8(answer).unwrap();
    assert_eq!(text, "(@1),(@9)\r\n1\r\n-113,\"Undefined header\"\r\n");
    assert!(
        begin.elapsed() >= Duration::from_millis(200),
        "mirrors take 200 ms"
    );
    kill(Pid::from_raw(served.child.id() as i32), Signal::SIGTERM).unwrap();
    assert_eq!(served.child.wait().unwrap().code(), Some(0));
}
