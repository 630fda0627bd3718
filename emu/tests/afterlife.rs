//! What is left after `kill -9` of a process that holds a fabric: this test binary, started again.

#![allow(clippy::unwrap_used)]

mod common;

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::thread;
use std::time::Duration;

use common::{is_root, names, run_id};
use genie_emu::Fabric;
use genie_emu::journal::{Entry, Journal, clean_dead_in};
use genie_emu::namespace::Namespace;
use genie_emu::star::star;

fn environment() -> Option<(PathBuf, String)> {
    let state = std::env::var_os("GENIE_TEST_STATE")?;
    Some((state.into(), std::env::var("GENIE_TEST_RUN").ok()?))
}

/// Brings a fabric up, starts a process in it, and waits to be killed.
#[test]
#[ignore = "started by other tests"]
#[allow(clippy::zombie_processes, reason = "it is what must be cleaned up")]
fn victim() {
    let Some((state, run)) = environment() else { return };
    let journal = Journal::create_in(&state, &run).unwrap();
    let _fabric = Fabric::up(&star(&run, 3, None, 1500), &journal).unwrap();
    fs::write(journal.private_dir().unwrap().join("socket"), "").unwrap();
    let child = std::process::Command::new("sleep").arg("600").spawn().unwrap();
    journal.record_process(child.id() as i32).unwrap();
    println!("\nready {}", child.id());
    thread::sleep(Duration::from_secs(600));
}

/// Starts a victim and returns it with the number of the process that it started.
fn start_victim(state: &Path, run: &str) -> (std::process::Child, i32) {
    let mut victim = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--ignored", "--exact", "victim", "--nocapture"])
        .env("GENIE_TEST_STATE", state)
        .env("GENIE_TEST_RUN", run)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(victim.stdout.take().unwrap()).lines();
    let ready = lines
        .map_while(Result::ok)
        .find_map(|line| Some(line.strip_prefix("ready ")?.to_owned()));
    (victim, ready.expect("the victim is up").parse().unwrap())
}

fn make_namespace(name: &str, journal: &Journal) -> Namespace {
    thread::scope(|scope| {
        scope
            .spawn(|| Namespace::unshare_here(Some(name), journal))
            .join()
    })
    .unwrap()
    .unwrap()
}

#[test]
fn after_kill_9_exactly_what_was_made_is_removed() {
    if !is_root() {
        return;
    }
    let (ours, theirs) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (dead, alive) = (run_id(), run_id());
    let other = Journal::create_in(theirs.path(), "other").unwrap();
    let (mut victim, child) = start_victim(ours.path(), &dead);
    let (mut survivor, survivor_child) = start_victim(ours.path(), &alive);
    // Somebody else's namespaces: one with the same prefix, one in the place of one of ours.
    let similar = make_namespace(&format!("genie-{dead}-h9"), &other);
    let report = clean_dead_in(ours.path()).unwrap();
    assert_eq!((report.alive.len(), report.removed.len()), (2, 0), "{report:?}");
    assert_eq!(names(&format!("genie-{dead}-")).len(), 5);

    victim.kill().unwrap();
    victim.wait().unwrap();
    let taken = format!("/run/netns/genie-{dead}-h1");
    nix::mount::umount2(taken.as_str(), nix::mount::MntFlags::MNT_DETACH).unwrap();
    fs::remove_file(&taken).unwrap();
    let usurper = make_namespace(&format!("genie-{dead}-h1"), &other);

    let report = clean_dead_in(ours.path()).unwrap();
    assert_eq!(report.alive, [alive.as_str()]);
    assert_eq!(report.cleaned, [dead.as_str()]);
    let mut expected: Vec<String> = ["h0", "h2", "sw"]
        .iter()
        .map(|node| format!("/run/netns/genie-{dead}-{node}"))
        .collect();
    expected.push(format!("process {child}"));
    expected.push(ours.path().join(format!("{dead}.d")).display().to_string());
    let mut removed = report.removed.clone();
    removed.sort();
    expected.sort();
    assert_eq!(removed, expected);
    assert_eq!(report.foreign, [taken]);
    assert_eq!(report.failed, Vec::<String>::new());
    assert_eq!(
        names(&format!("genie-{dead}-")),
        [format!("genie-{dead}-h1"), format!("genie-{dead}-h9")]
    );
    assert_eq!(names(&format!("genie-{alive}-")).len(), 4);
    drop((similar, usurper));
    assert_eq!(names(&format!("genie-{dead}-")), Vec::<String>::new());

    survivor.kill().unwrap();
    survivor.wait().unwrap();
    // Torn by a crash in mid-write.
    let journal = ours.path().join(format!("{alive}.journal"));
    let mut bytes = fs::read(&journal).unwrap();
    bytes.extend(b"{\"namespace\":{\"path\":\"/run/ne");
    fs::write(&journal, bytes).unwrap();
    let report = clean_dead_in(ours.path()).unwrap();
    assert_eq!(report.cleaned, [alive.as_str()]);
    assert!(report.removed.contains(&format!("process {survivor_child}")));
    assert_eq!(names(&format!("genie-{alive}-")), Vec::<String>::new());
    assert_eq!(clean_dead_in(ours.path()).unwrap(), Default::default());
}

#[test]
fn a_mount_point_without_its_mount_is_ours_and_a_file_is_not() {
    if !is_root() {
        return;
    }
    let state = tempfile::tempdir().unwrap();
    let (dir, run) = (state.path().join("s"), run_id());
    let journal = Journal::create_in(&dir, &run).unwrap();
    let paths = ["a", "b", "c"].map(|node| PathBuf::from(format!("/run/netns/genie-{run}-{node}")));
    fs::create_dir_all("/run/netns").unwrap();
    for path in &paths {
        journal
            .record(&Entry::Namespace {
                path: path.clone(),
                dev: 4,
                ino: 1,
            })
            .unwrap();
    }
    let outside = Entry::Namespace {
        path: state.path().join("precious"),
        dev: 4,
        ino: 1,
    };
    journal.record(&outside).unwrap();
    // Killed between making the mount point and mounting on it: an empty file without permissions.
    fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o000)
        .open(&paths[0])
        .unwrap();
    fs::write(&paths[1], "precious").unwrap();
    fs::write(state.path().join("precious"), "").unwrap();
    drop(journal);
    let report = clean_dead_in(&dir).unwrap();
    let label = |path: &Path| path.display().to_string();
    assert_eq!(report.removed, [label(&paths[0])]);
    assert_eq!(
        report.foreign,
        [label(&paths[1]), label(&state.path().join("precious"))]
    );
    assert!(!paths[0].exists() && paths[1].exists() && state.path().join("precious").exists());
    fs::remove_file(&paths[1]).unwrap();
}
