//! A user without any rights builds a fabric, in a user namespace: this program, started again as nobody.
//! It has its own `main`, because the kernel refuses user namespaces to the threads of a test harness.

#![allow(clippy::unwrap_used, clippy::print_stdout, clippy::print_stderr)]

mod common;

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use common::{is_root, run_id, transfer};
use genie_emu::journal::Journal;
use genie_emu::privilege::{self, Privilege};
use genie_emu::star::star;
use genie_emu::{Fabric, calibrate};

const NAME: &str = "a_user_without_rights_builds_a_fabric_too";

fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let has = |word: &str| words.iter().any(|w| w == word);
    if has("--list") {
        if !has("--ignored") {
            println!("{NAME}: test");
        }
    } else if let Some(state) = std::env::var_os("GENIE_TEST_STATE") {
        build_as_nobody(Path::new(&state));
    } else if !has("--ignored") && is_root() {
        start_as_nobody();
    }
}

fn start_as_nobody() {
    let state = tempfile::tempdir().unwrap();
    std::os::unix::fs::chown(state.path(), Some(65534), Some(65534)).unwrap();
    let started = Command::new("setpriv")
        .args(["--reuid=65534", "--regid=65534", "--clear-groups"])
        .arg(std::env::current_exe().unwrap())
        .env("GENIE_TEST_STATE", state.path())
        .output();
    let output = match started {
        Ok(output) => output,
        Err(e) => return eprintln!("skipped: no setpriv: {e}"),
    };
    let text = String::from_utf8_lossy(&output.stdout);
    println!("{text}{}", String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success());
    // Where user namespaces are forbidden the refusal must say what to do.
    assert!(text.contains("built") || text.contains("sudo"), "{text}");
    assert_eq!(std::fs::read_dir(state.path()).unwrap().count(), 0);
}

fn build_as_nobody(state: &Path) {
    match privilege::ensure() {
        Ok(found) => assert_eq!(found, Privilege::UserNamespace),
        Err(e) => return println!("refused: {e}"),
    }
    assert_eq!(privilege::outer_uid(), 65534);
    assert!(
        !privilege::is_root(),
        "root of a user namespace is not root of the machine"
    );
    let run = run_id();
    let journal = Journal::create_in(&state.join("state"), &run).unwrap();
    let mut fabric = Fabric::up(&star(&run, 4, Some(1_000_000_000), 1500), &journal).unwrap();
    assert_eq!(transfer(&fabric, 0, 3, 1 << 20), ["cubic", "cubic"]);
    assert!(fabric.counters().unwrap()[0].directions[0].bytes > 1 << 20);
    let found = calibrate::measure(&fabric, 1, 2).unwrap();
    assert_eq!(fabric.namespace_name(0), None);
    assert_eq!(fabric.cautions(), [""; 0]);
    assert_eq!(
        fabric.watch().unwrap().wait(Duration::from_millis(20)).unwrap(),
        None
    );
    assert!(fabric.down().is_empty());
    journal.finish().unwrap();
    println!("built: {found:?}");
}
