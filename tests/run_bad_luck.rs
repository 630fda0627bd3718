//! What happens to a run when a rank dies or stops, a link vanishes, somebody interrupts it or kills
//! it: it ends in time, says what happened, keeps what it has, and nothing stays behind.

mod run_support;

use std::path::Path;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use run_support::machine::Found;
use run_support::{Ended, Machine, Running, Value, eventually, table};

/// A short row, then one of 13 ms an iteration that takes too long for any test.
const LONG: &str = r#"
    name = "long"
    [testbed]
    fabric = "emulated"
    calibrate = false
    deadline = "2 s"
    [topology.star]
    hosts = 3
    rate = "1 Gbit/s"
    [[traffic.collective]]
    op = "all-gather"
    algorithm = "ring"
    sizes = "4 KiB"
    iterations = 5
    [[traffic.collective]]
    op = "all-reduce"
    algorithm = "ring"
    sizes = "1 MiB"
    iterations = 10000
    warmup = 0
"#;

/// A machine as it was before, with a run in the middle of its second row.
struct Scene {
    machine: Machine,
    before: Found,
    running: Running,
}

impl Scene {
    fn new() -> Option<Self> {
        Self::with("testbed.record_messages=1")
    }

    /// With a setting of its own.
    fn with(setting: &str) -> Option<Self> {
        let machine = Machine::new()?;
        let before = machine.found();
        let mut running = machine.play(LONG).set(setting).start();
        running.until_within_row(1);
        Some(Self {
            machine,
            before,
            running,
        })
    }

    /// Sends a signal to a rank.
    fn strike(&self, rank: u32, signal: Signal) {
        kill(Pid::from_raw(self.running.rank(rank)), signal).expect("a rank of ours");
    }

    /// The run ends with this code within this time, the machine is as before, and what was measured
    /// is kept and marked: of an unfinished row by the ranks that live.
    fn ends(self, code: i32, within: Duration) -> Ended {
        self.ends_with(code, within, |_| ())
    }

    /// The same, with a look into the run's folder.
    fn ends_with(self, code: i32, within: Duration, look: impl FnOnce(&Path)) -> Ended {
        let struck = Instant::now();
        let ended = self.running.end().expect(code);
        let took = struck.elapsed();
        assert!(took < within, "took {took:?}: {}", ended.stderr);
        self.machine.assert_as_before(&self.before);
        let report = ended.json();
        assert_eq!(report["status"], "partial");
        assert_eq!(report["exit_code"], code);
        let ops = report["ops"].as_array().expect("ops");
        assert_eq!(ops.len(), 2, "the row that was finished and the one that was not");
        assert_eq!(ops[0]["complete"], true);
        assert_eq!(ops[0]["iterations"], 5);
        assert_eq!(ops[1]["complete"], false);
        assert!(
            ops[1]["cautions"]
                .as_array()
                .is_some_and(|cautions| !cautions.is_empty()),
            "{}",
            ops[1]
        );
        assert!(ops[1]["iterations"].as_u64().expect("a count") < 10000);
        let folder = self
            .machine
            .results()
            .join(report["run_id"].as_str().expect("an id"));
        let kept = table(&folder, "iterations.csv")
            .iter()
            .filter(|row| row["op"] == "1")
            .count();
        assert!(kept > 0, "no times of the unfinished row");
        look(&folder);

        let show = self
            .machine
            .genie()
            .args(["show", "latest", "--json"])
            .results(&self.machine.results());
        assert_eq!(
            show.end().expect(0).json(),
            report,
            "what was said is what is stored"
        );
        ended
    }
}

fn lost(report: &Value) -> Vec<u64> {
    let ranks = report["lost_ranks"].as_array().expect("a list");
    ranks
        .iter()
        .map(|loss| loss["rank"].as_u64().expect("a rank"))
        .collect()
}

/// The kernel closes a dead rank's connections at once, so there is nothing to wait for: two seconds
/// are plenty to find out, hear the others and clean up.
#[test]
fn a_killed_rank_ends_the_run_within_two_seconds() {
    let Some(scene) = Scene::new() else { return };
    scene.strike(1, Signal::SIGKILL);
    let ended = scene.ends(3, Duration::from_secs(2));
    let report = ended.json();
    assert_eq!(lost(&report), [1]);
    let loss = &report["lost_ranks"][0];
    assert_eq!(loss["host"], "h1");
    assert_eq!(loss["what"], "killed by signal 9");
    assert!(
        loss["operation"]
            .as_str()
            .unwrap()
            .starts_with("all-reduce ring 1 MiB, iteration "),
        "{loss}"
    );
    for word in [
        "rank 1",
        "h1",
        "killed by signal 9",
        "all-reduce ring 1 MiB, iteration",
        "waits for rank",
    ] {
        assert!(ended.stderr.contains(word), "no `{word}` in {}", ended.stderr);
    }
}

/// A stopped rank holds its connections open: only its silence tells. The deadline here is 2 s.
#[test]
fn a_stopped_rank_ends_the_run_at_the_deadline() {
    let Some(scene) = Scene::new() else { return };
    scene.strike(2, Signal::SIGSTOP);
    let ended = scene.ends(4, Duration::from_secs(4));
    let report = ended.json();
    assert_eq!(
        lost(&report),
        [2],
        "the stopped one, and not those that wait for it"
    );
    for word in ["rank 2", "h2", "stopped", "all-reduce ring 1 MiB, iteration"] {
        assert!(ended.stderr.contains(word), "no `{word}` in {}", ended.stderr);
    }
}

/// What a rank waited for when its peer stopped or died is what explains the run: it is in messages.csv, once, without
/// an end. In the ring 0, 1, 2 each rank receives from the one before.
#[test]
fn messages_that_were_waited_for_are_kept() {
    for (signal, struck, waits, code, within) in [
        (Signal::SIGSTOP, 2, 0, 4, Duration::from_secs(4)),
        (Signal::SIGKILL, 1, 2, 3, Duration::from_secs(2)),
    ] {
        let Some(scene) = Scene::with("testbed.record_messages=10000") else {
            return;
        };
        scene.strike(struck, signal);
        let mut messages = Vec::new();
        scene.ends_with(code, within, |folder| messages = table(folder, "messages.csv"));
        let last = messages.iter().filter(|row| row["op"] == "1");
        let of_waiting = last.filter(|row| row["receiver"] == waits.to_string());
        let open = of_waiting.clone().filter(|row| {
            let posted = !row["receive_posted_ns"].is_empty();
            posted && row["receive_done_ns"].is_empty() && row["sender"] == struck.to_string()
        });
        let iterations: Vec<&String> = open.map(|row| &row["iteration"]).collect();
        assert!(
            !iterations.is_empty() && iterations.iter().all(|iteration| *iteration == iterations[0]),
            "{signal}: of one iteration, the last: {iterations:?}"
        );
        let mut seen = std::collections::BTreeSet::new();
        for row in of_waiting.filter(|row| !row["receive_posted_ns"].is_empty()) {
            let one = (
                &row["iteration"],
                &row["sender"],
                &row["tag"],
                &row["communicator"],
            );
            assert!(seen.insert(one), "{signal}: twice: {row:?}");
        }
    }
}

/// TCP would send again for minutes over a link that is gone; the kernel tells who deleted it at once.
#[test]
fn a_deleted_link_ends_the_run_within_two_seconds() {
    let Some(scene) = Scene::new() else { return };
    let pid = scene.running.rank(1);
    scene
        .machine
        .sh(&format!("nsenter --net=/proc/{pid}/ns/net ip link del eth0"));
    let ended = scene.ends(5, Duration::from_secs(2));
    for word in ["h1-s0", "deleted or set down", "all-reduce ring 1 MiB, iteration"] {
        assert!(ended.stderr.contains(word), "no `{word}` in {}", ended.stderr);
    }
}

/// What people read on stderr, programs read in the object and in the store.
#[test]
fn a_deleted_link_is_listed_for_programs() {
    let Some(scene) = Scene::new() else { return };
    let pid = scene.running.rank(1);
    scene
        .machine
        .sh(&format!("nsenter --net=/proc/{pid}/ns/net ip link del eth0"));
    let report = scene.ends(5, Duration::from_secs(2)).json();
    assert_eq!(report["lost_links"], serde_json::json!(["h1-s0"]));
}

/// Iterations that every living rank has finished are figures, though the dead one cannot tell of them.
#[test]
fn a_row_cut_short_by_a_killed_rank_has_figures() {
    let Some(scene) = Scene::new() else { return };
    scene.strike(1, Signal::SIGKILL);
    let report = scene.ends(3, Duration::from_secs(2)).json();
    let op = &report["ops"][1];
    assert!(op["iterations"].as_u64().unwrap() > 0, "{op}");
    assert!(
        op["time_us"]["p50"].as_f64().is_some_and(|us| us > 11_000.0),
        "{op}"
    );
}

/// A link that is set down carries nothing either.
#[test]
fn a_link_that_is_set_down_ends_the_run_within_two_seconds() {
    let Some(scene) = Scene::new() else { return };
    let pid = scene.running.rank(0);
    scene
        .machine
        .sh(&format!("nsenter --net=/proc/{pid}/ns/net ip link set eth0 down"));
    let ended = scene.ends(5, Duration::from_secs(2));
    assert!(ended.stderr.contains("h0-s0"), "{}", ended.stderr);
}

/// 128 and the number of the signal, as every shell expects; the machine is tidied first.
#[test]
fn signals_end_the_run_and_leave_nothing() {
    for (signal, code) in [
        (Signal::SIGINT, 130),
        (Signal::SIGTERM, 143),
        (Signal::SIGHUP, 129),
    ] {
        let Some(scene) = Scene::new() else { return };
        scene.running.signal(signal);
        scene.ends(code, Duration::from_secs(2));
    }
}

/// The second Ctrl-C of an impatient user comes while the first is being obeyed.
#[test]
fn a_second_interrupt_ends_at_once_and_leaves_nothing() {
    for pause in [0, 5, 50] {
        let Some(Scene {
            machine,
            before,
            running,
        }) = Scene::new()
        else {
            return;
        };
        running.signal(Signal::SIGINT);
        std::thread::sleep(Duration::from_millis(pause));
        running.signal(Signal::SIGINT);
        let struck = Instant::now();
        running.end().expect(130);
        println!("ended {:?} after the second", struck.elapsed());
        assert!(
            struck.elapsed() < Duration::from_secs(1),
            "{:?}",
            struck.elapsed()
        );
        machine.assert_as_before(&before);
    }
}

/// Ctrl-C has no favourite moment: before, during and after bring-up the machine is left as it was.
#[test]
fn an_interrupt_at_any_moment_leaves_nothing() {
    let Some(machine) = Machine::new() else { return };
    let before = machine.found();
    for moment in [1, 3, 6, 10, 15, 25, 40, 60, 100] {
        let running = machine.play(LONG).set("testbed.calibrate=true").start();
        std::thread::sleep(Duration::from_millis(moment));
        running.signal(Signal::SIGINT);
        let ended = running.end();
        // Before handlers are set, the signal itself ends it: nothing was made yet.
        assert!(
            ended.code == Some(130) || ended.signal == Some(2),
            "{moment} ms: {ended:?}"
        );
        machine.assert_as_before(&before);
    }
}

/// Nobody is left to tidy up, so ranks die with their controller, and the next `genie clean` removes
/// what the journal lists. What others made stays, however it is called.
#[test]
fn a_killed_controller_is_cleaned_up_after() {
    let Some(machine) = Machine::new() else { return };
    if machine.root {
        machine.sh("ip netns add genie-foreign-x");
    }
    let before = machine.found();
    let mut running = machine.play(LONG).start();
    running.until_within_row(1);
    running.signal(Signal::SIGKILL);
    assert_eq!(running.end().signal, Some(9));
    machine.assert_empties(Duration::from_secs(2));
    if machine.root {
        assert_eq!(
            machine.namespaces().len(),
            5,
            "three hosts, a switch, and one that is not ours"
        );
    }
    let cleaned = machine.genie().arg("clean").end().expect(0);
    assert!(cleaned.stdout.starts_with("cleaned run "), "{}", cleaned.stdout);
    assert!(!cleaned.stdout.contains("foreign"), "{}", cleaned.stdout);
    machine.assert_as_before(&before);
    assert_eq!(
        machine.genie().arg("clean").end().expect(0).stdout,
        "nothing to clean\n"
    );

    let show = machine
        .genie()
        .args(["show", "latest", "--json"])
        .results(&machine.results());
    let report = show.end().expect(0).json();
    assert_eq!(
        report["status"], "partial",
        "its first row was stored before it was killed"
    );
    assert_eq!(report["ops"].as_array().unwrap().len(), 1);
}

/// The same at any moment of bring-up; and the next run cleans as well as `genie clean`.
#[test]
fn the_next_run_cleans_up_after_a_controller_killed_at_any_moment() {
    let Some(machine) = Machine::new() else { return };
    let before = machine.found();
    for moment in [2, 4, 6, 8, 10, 13, 16, 20, 30, 60] {
        let running = machine.play(LONG).set("testbed.calibrate=true").start();
        std::thread::sleep(Duration::from_millis(moment));
        running.signal(Signal::SIGKILL);
        running.end();
        machine.assert_empties(Duration::from_secs(2));
    }
    let next = machine
        .play(LONG)
        .set("traffic.collective.1.iterations=1")
        .end()
        .expect(0);
    assert_eq!(next.json()["status"], "completed");
    machine.assert_as_before(&before);
}

/// A run that lives is nobody's to clean, whoever starts or cleans beside it.
#[test]
fn cleaning_leaves_a_living_run_alone() {
    let Some(scene) = Scene::new() else { return };
    let cleaned = scene.machine.genie().arg("clean").end().expect(0);
    assert!(
        cleaned.stdout.contains("left alone (alive)"),
        "{}",
        cleaned.stdout
    );
    assert_eq!(scene.running.ranks().len(), 3);
    scene.running.signal(Signal::SIGINT);
    scene.ends(130, Duration::from_secs(2));
}

/// Ranks are started by the controller alone; without it there is nothing that they could play.
#[test]
fn a_rank_by_itself_says_so() {
    let ended = run_support::Genie::new().args(["rank", "0"]).end().expect(2);
    assert!(
        ended.stderr.contains("is started by `genie run`"),
        "{}",
        ended.stderr
    );
}

/// A rank that dies before all ranks have met is as lost as any.
#[test]
fn a_rank_killed_during_bring_up_is_named() {
    let Some(machine) = Machine::new() else { return };
    let before = machine.found();
    // 24 ranks take a while to start and to connect.
    let play = machine
        .play(LONG)
        .set("topology.star.hosts=24")
        .set("traffic.collective.1.op=\"all-to-all\"");
    let running = play.set("traffic.collective.1.algorithm=\"direct\"").start();
    let found = eventually(Duration::from_secs(5), || running.ranks().contains_key(&0));
    assert!(found, "rank 0 never started");
    kill(Pid::from_raw(running.rank(0)), Signal::SIGKILL).unwrap();
    let struck = Instant::now();
    let ended = running.end().expect(3);
    assert!(
        struck.elapsed() < Duration::from_secs(3),
        "{:?}",
        struck.elapsed()
    );
    assert_eq!(lost(&ended.json()), [0]);
    machine.assert_as_before(&before);
}
