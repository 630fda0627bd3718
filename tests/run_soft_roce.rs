//! Soft-RoCE fabrics, here or in the guest, and the guest itself: what is played in it comes out as if
//! it had been played here, and nothing of it stays behind.

mod run_support;

use std::fs;
use std::path::Path;
use std::time::Duration;

use nix::sys::signal::Signal;
use run_support::guest::{PATIENCE, is_qemu, machines, no_guest};
use run_support::{Genie, eventually, table};

fn scenario(folder: &Path) -> std::path::PathBuf {
    let file = folder.join("small.toml");
    let text = r#"
name = "small"
[testbed]
fabric = "soft-roce"
verify = true
[topology.star]
hosts = 3
rate = "1 Gbit/s"
loss = "1 %"
[[traffic.collective]]
op = "all-reduce"
sizes = ["512 KiB"]
iterations = 3
warmup = 0
"#;
    fs::write(&file, text).expect("writable");
    file
}

#[test]
fn real_data_crosses_lossy_links_and_arrives_right() {
    if no_guest() {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let results = folder.path().join("results");
    let file = scenario(folder.path());
    let run = Genie::new().arg("run").arg(file).arg("--json").results(&results);
    let report = run.deadline(PATIENCE).end().expect(0).json();
    assert_eq!(report["status"], "completed");
    let run = fs::read_dir(&results)
        .expect("results")
        .flatten()
        .next()
        .expect("one run")
        .path();
    // Each rank of a ring of three sends 2/3 of 512 KiB, twice, in each of 3 iterations: 2 MiB leave
    // every host by its own link, or the traffic has not crossed the fabric.
    let mut links = table(&run, "links.csv");
    links.retain(|row| row["op"].is_empty());
    assert_eq!(links.len(), 6, "three links, two directions");
    for link in &links {
        let bytes: u64 = link["counted_bytes"].parse().expect("a number");
        assert!(bytes > 2 << 20, "{link:?}");
    }
    let drops: u64 = links
        .iter()
        .map(|link| link["drops"].parse::<u64>().expect("a number"))
        .sum();
    assert!(drops > 0, "1 % of some thousand packets: {links:?}");
}

#[test]
fn a_program_in_the_guest_is_as_if_it_were_here() {
    if no_guest() {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let script =
        "echo out; echo err >&2; uname -n > written; touch /usr/genie-was-here || echo refused; exit 7";
    let run = Genie::new().args(["vm", "run", "--", "/bin/sh", "-c", script]);
    let ended = run
        .with(|command| {
            command.current_dir(folder.path());
        })
        .deadline(PATIENCE)
        .end()
        .expect(7);
    assert_eq!(ended.stdout, "out\nrefused\n");
    assert!(ended.stderr.contains("err\n"), "{}", ended.stderr);
    let written = fs::read_to_string(folder.path().join("written")).expect("written to the current folder");
    assert_eq!(written.trim(), "genie-guest");
}

#[test]
fn a_program_that_is_not_there_is_the_users_mistake() {
    if no_guest() {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let run = Genie::new().args(["vm", "run", "--", "no-such-program"]);
    let ended = run
        .with(|command| {
            command.current_dir(folder.path());
        })
        .deadline(PATIENCE)
        .end()
        .expect(2);
    assert!(
        ended.stderr.contains("no-such-program: No such file"),
        "{}",
        ended.stderr
    );
    assert!(!ended.stderr.contains("stored"), "{}", ended.stderr);
}

#[test]
fn an_interrupted_guest_is_gone_and_so_is_a_killed_one_s() {
    if no_guest() {
        return;
    }
    // While it boots, while it plays, and without a chance to clean up.
    for (signal, code, playing) in [
        (Signal::SIGINT, Some(130), false),
        (Signal::SIGTERM, Some(143), true),
        (Signal::SIGKILL, None, true),
    ] {
        let folder = tempfile::tempdir().expect("a folder");
        let run = Genie::new().args(["vm", "run", "--", "/bin/sh", "-c", "touch playing; sleep 600"]);
        let run = run.with(|command| {
            command.current_dir(folder.path());
        });
        let running = run.deadline(PATIENCE).start();
        let there = eventually(Duration::from_secs(90), || {
            !machines(running.pid()).is_empty() && (!playing || folder.path().join("playing").exists())
        });
        assert!(there, "no guest that far");
        let machine = machines(running.pid());
        running.signal(signal);
        assert_eq!(running.end().code, code, "after {signal}");
        let gone = eventually(Duration::from_secs(5), || {
            !machine.iter().any(|&pid| is_qemu(pid))
        });
        assert!(gone, "QEMU outlives genie after {signal}");
    }
}

#[test]
fn hosts_without_a_switch_between_them_are_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = scenario(folder.path());
    let text = fs::read_to_string(&file)
        .expect("just written")
        .replace("topology.star", "topology.ring");
    fs::write(&file, text).expect("writable");
    let ended = Genie::new()
        .arg("run")
        .arg(file)
        .results(folder.path())
        .end()
        .expect(2);
    assert!(
        ended.stderr.contains("soft-RoCE needs a switch"),
        "{}",
        ended.stderr
    );
}
