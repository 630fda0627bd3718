//! What is left after `kill -9`, and fabrics without root. Both start this test binary again.

mod common;

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::thread;
use std::time::Duration;

use common::{again, is_root, names, run_id, transfer};
use genie_emu::journal::{Journal, clean_dead_in};
use genie_emu::namespace::Namespace;
use genie_emu::privilege::{self, Privilege};
use genie_emu::star::star;
use genie_emu::{Fabric, calibrate};

fn environment() -> Option<(PathBuf, String)> {
    let state = std::env::var_os("GENIE_TEST_STATE")?;
    Some((state.into(), std::env::var("GENIE_TEST_RUN").ok()?))
}

/// Brings a fabric up, starts a process in it, and waits to be killed.
#[test]
#[ignore = "started by other tests"]
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
    let mut victim = again("victim", &[], state, run)
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
    (removed.sort(), expected.sort());
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

/// Builds a fabric as nobody.
#[test]
#[ignore = "started by other tests"]
fn nobody() {
    let Some((state, run)) = environment() else { return };
    match privilege::ensure() {
        Ok(found) => assert_eq!(found, Privilege::UserNamespace),
        Err(e) => return println!("\nrefused {e}"),
    }
    assert_eq!(privilege::outer_uid(), 65534);
    let journal = Journal::create_in(&state.join("state"), &run).unwrap();
    let mut fabric = Fabric::up(&star(&run, 4, Some(1_000_000_000), 1500), &journal).unwrap();
    transfer(&fabric, 0, 3, 1 << 20);
    assert!(fabric.counters().unwrap()[0].directions[0].bytes > 1 << 20);
    let found = calibrate::measure(&fabric, 1, 2).unwrap();
    assert_eq!(fabric.namespace_name(0), None);
    assert!(
        fabric
            .watch()
            .unwrap()
            .wait(Duration::from_millis(20))
            .unwrap()
            .is_none()
    );
    assert!(fabric.down().is_empty());
    journal.finish().unwrap();
    println!("\nbuilt {found:?}");
}

#[test]
fn a_user_without_rights_builds_a_fabric_too() {
    if !is_root() {
        return;
    }
    let state = tempfile::tempdir().unwrap();
    std::os::unix::fs::chown(state.path(), Some(65534), Some(65534)).unwrap();
    let become_nobody = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"];
    let output = match again("nobody", &become_nobody, state.path(), &run_id()).output() {
        Ok(output) => output,
        Err(e) => return eprintln!("skipped: no setpriv: {e}"),
    };
    let text = String::from_utf8_lossy(&output.stdout);
    println!("{text}{}", String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success());
    // Where user namespaces are forbidden the refusal must say what to do.
    assert!(text.contains("\nbuilt ") || text.contains("sudo"), "{text}");
    assert_eq!(fs::read_dir(state.path()).unwrap().count(), 0);
}
