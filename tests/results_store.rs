//! The run store: round trips, look-up, corrupt folders, and disks that are full or forbidden.

mod results_fixture;

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use genie::event::{Event, RankLoss, Status};
use genie::report::list;
use genie::report::style::Style;
use genie::results::store::{StoreError, UniquePrefixes};
use genie::results::summary::Row;
use genie::results::{Recorder, Run, RunId, State, Store, columns, csv, tables};
use genie::scenario::plan::Plan;
use proptest::prelude::*;
use results_fixture as made;

fn record(results: &Path, run: Run, events: &[Event]) -> Recorder {
    let mut recorder = Recorder::start(results, run);
    events.iter().for_each(|event| recorder.record(event));
    recorder
}

fn named(id: &str, plan: Plan) -> Run {
    Run::new(id.parse().expect("a run id"), plan, made::environment())
}

fn lines(folder: &Path, file: &str) -> Vec<Vec<String>> {
    csv::records(&fs::read_to_string(folder.join(file)).expect("the file is there"))
}

#[test]
fn a_run_reads_back_as_it_was() {
    let (results, plan) = (tempfile::tempdir().unwrap(), made::plan());
    let recorder = record(results.path(), made::run(plan.clone()), &made::completed(&plan));
    assert_eq!(recorder.loss(), None);
    let (_, read) = Store::new(results.path()).open("latest").unwrap();
    let run = recorder.run();
    assert_eq!(read.manifest, run.manifest);
    assert_eq!(
        (read.rows, read.ranks, read.links),
        (run.rows.clone(), run.ranks.clone(), run.links.clone())
    );
}

#[test]
fn tables_hold_every_iteration_rank_and_link_under_the_documented_columns() {
    let (results, plan) = (tempfile::tempdir().unwrap(), made::plan());
    let recorder = record(results.path(), made::run(plan.clone()), &made::completed(&plan));
    let folder = recorder.path();
    let (ops, ranks, links) = (
        lines(folder, "ops.csv"),
        lines(folder, "ranks.csv"),
        lines(folder, "links.csv"),
    );
    assert_eq!(ops.len(), 1 + plan.ops.len());
    assert_eq!(ranks.len(), 1 + 4);
    assert_eq!(
        links.len(),
        1 + (plan.ops.len() + 1) * 4 * 2,
        "each link has two directions, and a total"
    );
    assert_eq!(lines(folder, "iterations.csv").len(), 1 + plan.ops.len() * 10 * 4);
    for entry in columns::files(&plan)
        .iter()
        .filter(|entry| !entry.columns.is_empty())
    {
        let names: Vec<String> = entry.columns.iter().map(|column| column.name.clone()).collect();
        for line in &lines(folder, &entry.name) {
            assert_eq!(line.len(), names.len(), "{}: {line:?}", entry.name);
        }
        assert_eq!(lines(folder, &entry.name)[0], names, "{}", entry.name);
    }
    // Ring all-reduce of 64 MiB, 12 iterations: 96 MiB each on every link direction.
    let link = links.iter().find(|line| line[2] == "1").unwrap();
    assert_eq!((link[0].as_str(), link[1].as_str()), ("h0-s0", "h0->s0"));
    assert_eq!(link[4].parse::<f64>().unwrap(), 12.0 * 96.0 * made::MIB as f64);
    let scenario = fs::read_to_string(folder.join("scenario.toml")).unwrap();
    assert_eq!(scenario, plan.scenario);
    let events = fs::read_to_string(folder.join("events.jsonl")).unwrap();
    assert!(
        events
            .lines()
            .all(|line| serde_json::from_str::<Event>(line).is_ok())
    );
    assert!(!events.contains("\"progress\""));
}

/// What a program that knows only the manifest's schema makes of the tables.
#[test]
fn python_reads_the_tables_with_the_types_of_the_manifest() {
    let (results, plan) = (tempfile::tempdir().unwrap(), made::plan());
    let mut events = made::completed(&plan);
    let last = events.len() - 1;
    events.insert(last, rank_lost("it said \"no\",\nthen nothing"));
    let recorder = record(results.path(), made::run(plan), &events);
    let script = r#"
import csv, json, sys
kinds = {"integer": int, "number": float, "text": str, "boolean": lambda t: {"true": True, "false": False}[t]}
tables = 0
for entry in json.load(open("manifest.json"))["files"]:
    if "columns" in entry:
        with open(entry["name"], newline="") as file:
            rows = list(csv.DictReader(file, strict=True))
        for row in rows:
            for column in entry["columns"]:
                row[column["name"]] == "" or kinds[column["type"]](row[column["name"]])
        tables += 1
lost = [row["lost"] for row in csv.DictReader(open("ranks.csv", newline="")) if row["lost"]]
assert lost == ['it said "no",\nthen nothing'], lost
print(tables)
"#;
    let python = Command::new("python3")
        .args(["-c", script])
        .current_dir(recorder.path())
        .output();
    let Ok(python) = python else {
        return println!("no python3 here");
    };
    assert_eq!(
        String::from_utf8_lossy(&python.stdout),
        "5\n",
        "{}",
        String::from_utf8_lossy(&python.stderr)
    );
}

fn rank_lost(what: &str) -> Event {
    Event::RankLost(RankLoss {
        rank: 2,
        host: "h2".into(),
        what: what.into(),
        operation: "barrier".into(),
        waiting: vec![(0, 2)],
        at_s: 1.0,
    })
}

#[test]
fn runs_are_found_by_any_unique_beginning() {
    let results = tempfile::tempdir().unwrap();
    let store = Store::new(results.path());
    assert!(matches!(store.find("latest"), Err(StoreError::Empty { .. })));
    let ids = [
        "20261121-080000-k3v9x",
        "20261122-153254-k3000",
        "20261122-153300-a0000",
    ];
    for id in ids {
        record(
            results.path(),
            named(id, made::plan()),
            &[made::finished(Status::Failed, None, 3)],
        );
    }
    fs::create_dir(results.path().join("baselines")).unwrap();
    for (text, id) in [
        ("20261121-080000-k3v9x", ids[0]),
        ("k3v", ids[0]),
        ("20261121", ids[0]),
        ("a", ids[2]),
        ("latest", ids[2]),
    ] {
        assert_eq!(store.find(text).unwrap(), results.path().join(id), "{text}");
    }
    let ambiguous = store.find("k3").unwrap_err();
    assert_eq!(ambiguous.to_string(), "`k3` is the beginning of 2 runs");
    assert_eq!(
        ambiguous.help(),
        "it can be 20261121-080000-k3v9x, 20261122-153254-k3000"
    );
    assert!(matches!(store.find(""), Err(StoreError::Unknown { .. })));
    let unknown = store.find("k3v9z").unwrap_err();
    assert!(
        unknown
            .help()
            .starts_with("the nearest are 20261121-080000-k3v9x"),
        "{}",
        unknown.help()
    );
}

#[test]
fn runs_of_one_second_are_in_order_of_their_start() {
    let results = tempfile::tempdir().unwrap();
    for (id, at) in [
        ("20261122-153254-a0000", "54.900Z"),
        ("20261122-153254-z0000", "54.100Z"),
    ] {
        let at = format!("2026-11-22T15:32:{at}");
        let started = Event::RunStarted {
            run_id: id.into(),
            at,
        };
        record(
            results.path(),
            named(id, made::plan()),
            &[started, made::finished(Status::Failed, None, 3)],
        );
    }
    assert!(
        Store::new(results.path())
            .find("latest")
            .unwrap()
            .ends_with("20261122-153254-a0000")
    );
}

#[test]
fn damaged_folders_are_listed_with_the_reason() {
    let results = tempfile::tempdir().unwrap();
    let plan = made::plan();
    let (good, torn) = ("20261122-153254-k3v9x", "20261122-153255-t0000");
    record(results.path(), named(good, plan.clone()), &made::completed(&plan));
    record(results.path(), named(torn, plan.clone()), &made::completed(&plan));
    fs::write(
        results.path().join(torn).join("manifest.json"),
        "{\n  \"format\": 1,\n  \"run_",
    )
    .unwrap();
    fs::create_dir(results.path().join("20261122-153256-e0000")).unwrap();
    let newer = results.path().join("20261122-153257-n0000");
    fs::create_dir(&newer).unwrap();
    fs::write(newer.join("manifest.json"), "{\"format\": 9}").unwrap();

    let store = Store::new(results.path());
    let listing = store.listing().unwrap();
    let mut out = Vec::new();
    list::table(&mut out, &listing, Style::PLAIN).unwrap();
    let text = String::from_utf8(out)
        .unwrap()
        .replace(&results.path().display().to_string(), "RESULTS");
    insta::assert_snapshot!("runs", text);
    let json: serde_json::Value = serde_json::from_str(&list::json(&listing)).unwrap();
    assert_eq!(json[0]["status"], "completed");
    assert_eq!(json[3]["status"], "damaged");
    assert_eq!(
        json[3]["damage"],
        "its format is 9, this genie reads formats up to 1"
    );
    assert!(matches!(store.open("n0"), Err(StoreError::Damaged { .. })));
}

#[test]
fn damaged_tables_cost_their_rows_and_a_caution() {
    let (results, plan) = (tempfile::tempdir().unwrap(), made::plan());
    let recorder = record(results.path(), made::run(plan.clone()), &made::completed(&plan));
    let ops = recorder.path().join("ops.csv");
    let whole = fs::read_to_string(&ops).unwrap();
    let text = whole.replace("1,all-reduce,ring", "one,all-reduce,ring");
    let sizes = format!("{} bytes instead of {}", text.len(), whole.len());
    fs::write(&ops, text).unwrap();
    fs::remove_file(recorder.path().join("links.csv")).unwrap();
    let (_, run) = Store::new(results.path()).open("k3v9x").unwrap();
    assert_eq!(run.rows.len(), plan.ops.len() - 1);
    assert_eq!(
        run.manifest.cautions,
        [
            &format!("ops.csv is not as it was written: {sizes}"),
            "links.csv cannot be read: No such file or directory (os error 2)",
            "row 2 of ops.csv is left out: `one` is not a value of `index`",
        ]
    );
}

/// `kill -9` of genie in the middle: what was written until then is shown.
#[test]
fn a_run_whose_process_died_is_interrupted() {
    let (results, plan) = (tempfile::tempdir().unwrap(), made::plan());
    let events = made::completed(&plan);
    let cut = events.len() - 3;
    let recorder = record(results.path(), made::run(plan.clone()), &events[..cut]);
    let store = Store::new(results.path());
    assert_eq!(
        store.open("k3").unwrap().1.manifest.status,
        State::Running,
        "this process lives"
    );

    // A process that is gone: this one's number, started at another time.
    let manifest = recorder.path().join("manifest.json");
    let mut json: serde_json::Value = serde_json::from_str(&fs::read_to_string(&manifest).unwrap()).unwrap();
    json["process"]["start_ticks"] = 1.into();
    fs::write(&manifest, json.to_string()).unwrap();
    let ops = recorder.path().join("ops.csv");
    let text = fs::read_to_string(&ops).unwrap();
    fs::write(&ops, &text[..text.len() - 7]).unwrap();

    let (_, run) = store.open("k3").unwrap();
    assert_eq!(run.manifest.status, State::Interrupted);
    assert!(run.manifest.reason.as_ref().unwrap().starts_with("interrupted"));
    assert_eq!(run.rows.len(), plan.ops.len() - 1, "the last line was torn");
    assert!(run.manifest.calibration.is_some(), "from the events");
    assert_eq!(run.ranks.len(), 3, "from the events");
    assert_eq!(
        store.list().unwrap()[0].header.as_ref().unwrap().status,
        State::Interrupted
    );
    let json: serde_json::Value = serde_json::from_str(&genie::report::json::text(&run, None)).unwrap();
    assert_eq!(
        (json["status"].as_str(), json["state"].as_str()),
        (Some("partial"), Some("interrupted"))
    );
}

/// The run must be the same in memory, and say once what was lost.
fn assert_lost(recorder: &Recorder, plan: &Plan, why: &str) {
    let loss = recorder.loss().expect("the loss is known");
    assert!(loss.contains(why), "{loss}");
    let run = recorder.run();
    assert_eq!(run.rows.len(), plan.ops.len(), "the run went on");
    assert_eq!(run.manifest.status, State::Completed);
    let said = run
        .manifest
        .cautions
        .iter()
        .filter(|caution| caution.contains("not fully stored"));
    assert_eq!(said.count(), 1, "{:?}", run.manifest.cautions);
    assert_eq!(recorder.stored(), None);
}

#[test]
fn a_results_folder_that_cannot_be_made() {
    let plan = made::plan();
    // Even root cannot make folders in /proc, or below a file.
    let file = tempfile::NamedTempFile::new().unwrap();
    for results in [Path::new("/proc/genie-results"), file.path()] {
        let recorder = record(results, made::run(plan.clone()), &made::completed(&plan));
        assert_lost(&recorder, &plan, "cannot write");
    }
}

#[test]
fn a_folder_of_another_run_is_not_touched() {
    let (results, plan) = (tempfile::tempdir().unwrap(), made::plan());
    let first = record(results.path(), made::run(plan.clone()), &[made::started()]);
    let before = fs::read(first.path().join("events.jsonl")).unwrap();
    let mut second = made::plan();
    second.name = "second".into();
    let recorder = record(results.path(), made::run(second), &made::completed(&plan));
    assert_lost(&recorder, &plan, "File exists");
    assert_eq!(fs::read(first.path().join("events.jsonl")).unwrap(), before);
    let kept = fs::read_to_string(first.path().join("manifest.json")).unwrap();
    assert!(!kept.contains("\"second\""), "nor its manifest");
}

/// Killed while it made its folder, a run leaves none that cannot be read; the next one clears what is nobody's.
#[test]
fn a_run_appears_whole_and_half_made_ones_are_cleared() {
    let (results, plan) = (tempfile::tempdir().unwrap(), made::plan());
    let workshop = results.path().join(".store/new");
    let (dead, fresh) = (
        workshop.join("20261122-000000-dead0"),
        workshop.join("20261122-000000-fresh"),
    );
    fs::create_dir_all(&dead).unwrap();
    fs::create_dir_all(&fresh).unwrap();
    let mut manifest = made::run(plan.clone()).manifest;
    manifest.process.boot_id = "another".into();
    fs::write(
        dead.join("manifest.json"),
        serde_json::to_string(&manifest).unwrap(),
    )
    .unwrap();
    let recorder = Recorder::start(results.path(), made::run(plan.clone()));
    assert_eq!(recorder.loss(), None);
    assert!(!dead.exists(), "its process is gone");
    assert!(fresh.exists(), "its maker may be at work");
    for file in &recorder.run().manifest.files {
        assert!(recorder.path().join(&file.name).exists(), "{}", file.name);
    }
    let listed = Store::new(results.path()).list().unwrap();
    assert_eq!(listed.len(), 1);
    fs::remove_dir(&fresh).unwrap();
    let other = tempfile::tempdir().unwrap();
    Recorder::start(other.path(), made::run(plan));
    assert_eq!(
        fs::read_dir(other.path()).unwrap().count(),
        1,
        "nothing but the run is left"
    );
}

/// On a shared results folder the processes of other hosts cannot be seen. What they write may not be cleared while
/// they may be at work; after an hour of silence they are not.
#[test]
fn runs_of_other_hosts_are_left_alone() {
    use genie::results::store::retention;
    let (results, plan) = (tempfile::tempdir().unwrap(), made::plan());
    let mut elsewhere = made::run(plan.clone());
    elsewhere.manifest.process.boot_id = "another".into();
    elsewhere.manifest.process.host = "elsewhere".into();
    let half_made = results.path().join(".store/new/20261122-000000-half0");
    fs::create_dir_all(&half_made).unwrap();
    let manifest = serde_json::to_string(&elsewhere.manifest).unwrap();
    fs::write(half_made.join("manifest.json"), manifest).unwrap();
    let events = made::completed(&plan);
    let goes_on = record(results.path(), elsewhere, &events[..events.len() - 3]);
    let store = Store::new(results.path());
    let stands = || {
        let candidates = retention::candidates(&store, jiff::Timestamp::now()).unwrap();
        let status = store.list().unwrap()[0].header.as_ref().unwrap().status;
        (status, candidates[0].protected)
    };
    assert!(half_made.exists());
    assert_eq!(stands(), (State::Running, true));
    assert_eq!(store.open("k3").unwrap().1.manifest.status, State::Running);

    let long_ago = std::time::SystemTime::now() - Duration::from_secs(2 * 3600);
    for folder in [&half_made, goes_on.path()] {
        for entry in fs::read_dir(folder).unwrap() {
            let file = fs::File::options()
                .append(true)
                .open(entry.unwrap().path())
                .unwrap();
            file.set_modified(long_ago).unwrap();
        }
        fs::File::open(folder).unwrap().set_modified(long_ago).unwrap();
    }
    assert_eq!(stands(), (State::Interrupted, false));
    Recorder::start(results.path(), made::run(plan));
    assert!(!half_made.exists());
}

/// Manifests of earlier versions do not name the host.
#[test]
fn a_manifest_without_a_host_is_read() {
    let (results, plan) = (tempfile::tempdir().unwrap(), made::plan());
    let recorder = Recorder::start(results.path(), made::run(plan));
    let path = recorder.path().join("manifest.json");
    let text = fs::read_to_string(&path).unwrap();
    let mut json: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert!(json["process"].as_object_mut().unwrap().remove("host").is_some());
    let store = Store::new(results.path());
    for (boot, status) in [(None, State::Running), (Some("another"), State::Interrupted)] {
        if let Some(boot) = boot {
            json["process"]["boot_id"] = boot.into();
        }
        fs::write(&path, json.to_string()).unwrap();
        assert_eq!(store.list().unwrap()[0].header.as_ref().unwrap().status, status);
    }
}

#[test]
fn what_is_pinned_after_it_was_chosen_stays() {
    use genie::results::store::{labels, retention};
    let (results, plan) = (tempfile::tempdir().unwrap(), made::plan());
    let recorder = record(results.path(), made::run(plan.clone()), &made::completed(&plan));
    let (store, id) = (Store::new(results.path()), &recorder.run().manifest.run_id);
    labels::pin(results.path(), id).unwrap();
    let delete = |id: &RunId| retention::delete_set(&store, std::slice::from_ref(id));
    let error = delete(id).unwrap_err();
    assert!(error.to_string().contains("pinned"), "{error}");
    assert!(store.open(id.as_str()).is_ok());
    labels::unpin(results.path(), id).unwrap();
    delete(id).unwrap();
    assert!(store.list().unwrap().is_empty());
}

/// Repetitions are one experiment: none goes while one of them stays, and what stayed is not counted as deleted.
#[test]
fn repetitions_are_deleted_together_or_not_at_all() {
    use genie::results::store::{labels, retention};
    let (results, plan) = (tempfile::tempdir().unwrap(), made::plan());
    let ids = ["20261122-100000-aaaa1", "20261122-100001-aaaa2"];
    for (number, id) in (1..).zip(ids) {
        let mut run = named(id, plan.clone());
        run.manifest.repetition = Some(genie::results::run::Repetition {
            group: ids[0].parse().unwrap(),
            number,
            of: 2,
        });
        record(results.path(), run, &made::completed(&plan));
    }
    let store = Store::new(results.path());
    let set: Vec<RunId> = ids.iter().map(|id| id.parse().unwrap()).collect();
    labels::pin(results.path(), &set[1]).unwrap();
    let error = retention::delete_set(&store, &set).unwrap_err();
    assert!(error.to_string().contains(ids[1]), "{error}");
    assert_eq!(store.list().unwrap().len(), 2);

    labels::unpin(results.path(), &set[1]).unwrap();
    let prune = || {
        let output = Command::new(env!("CARGO_BIN_EXE_genie"))
            .args(["prune", "--keep", "0", "--results"])
            .arg(results.path())
            .output()
            .unwrap();
        (
            output.status.code().unwrap(),
            String::from_utf8(output.stdout).unwrap(),
        )
    };
    // Where the store's own folder should be is a file: nothing can be deleted.
    fs::remove_dir_all(results.path().join(".store")).unwrap();
    fs::write(results.path().join(".store"), "").unwrap();
    let (code, said) = prune();
    assert!(code != 0 && said.starts_with("0 of 1 runs, 0 B"), "{code} {said}");
    assert_eq!(store.list().unwrap().len(), 2);
    fs::remove_file(results.path().join(".store")).unwrap();
    let (code, said) = prune();
    assert_eq!((code, said.matches("deleted ").count()), (0, 2), "{said}");
    assert!(said.contains("1 of 1 runs"), "{said}");
    assert!(store.list().unwrap().is_empty());
}

#[test]
fn a_folder_that_vanishes() {
    let (results, plan) = (tempfile::tempdir().unwrap(), made::plan());
    let mut recorder = Recorder::start(results.path(), made::run(plan.clone()));
    for (number, event) in made::completed(&plan).iter().enumerate() {
        if number == 4 {
            fs::remove_dir_all(recorder.path()).unwrap();
        }
        recorder.record(event);
    }
    assert_lost(&recorder, &plan, "No such file");
    assert!(!recorder.path().exists(), "it is not brought back");
}

/// A file system of 64 KiB, in a mount namespace of this thread alone (needs root): a run of 3,000
/// iterations on 4 ranks does not fit.
#[test]
fn a_disk_that_runs_full() {
    use nix::mount::{MsFlags, mount};
    use nix::sched::{CloneFlags, unshare};
    let results = tempfile::tempdir().unwrap();
    let none = None::<&str>;
    let mounted = unshare(CloneFlags::CLONE_NEWNS)
        .and_then(|()| mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none))
        .and_then(|()| {
            mount(
                Some("tmpfs"),
                results.path(),
                Some("tmpfs"),
                MsFlags::empty(),
                Some("size=64k"),
            )
        });
    if let Err(error) = mounted {
        return println!("cannot mount a tmpfs here: {error}");
    }
    let plan = made::plan();
    let mut events = made::completed(&plan);
    for event in &mut events {
        if let Event::OpFinished(record) = event {
            let (op, complete) = (record.op, record.complete);
            *record = made::record(&plan, op, &[846_000.0; 3000]);
            record.complete = complete;
        }
    }
    let recorder = record(results.path(), made::run(plan.clone()), &events);
    assert_lost(&recorder, &plan, "No space left on device");
    let (_, kept) = Store::new(results.path()).open("latest").unwrap();
    assert_eq!(kept.rows, [], "no row without its iterations");
}

/// `/dev/full` takes no byte.
#[test]
fn a_device_that_is_full() {
    use std::os::unix::fs::symlink;
    let (results, plan) = (tempfile::tempdir().unwrap(), made::plan());
    let mut recorder = Recorder::start(results.path(), made::run(plan.clone()));
    // The end of the run replaces ranks.csv by way of this name.
    let half = format!(".ranks.csv.{}.new", std::process::id());
    symlink("/dev/full", recorder.path().join(half)).unwrap();
    made::completed(&plan)
        .iter()
        .for_each(|event| recorder.record(event));
    assert_lost(&recorder, &plan, "No space left on device");
    let (_, kept) = Store::new(results.path()).open("latest").unwrap();
    assert_eq!(kept.manifest.status, State::Completed, "the manifest had room");
    assert!(
        kept.manifest
            .cautions
            .iter()
            .any(|caution| caution.contains("not fully stored"))
    );
}

#[test]
fn ids_that_can_be_typed_are_short() {
    let id = |text: &str| text.parse::<RunId>().unwrap();
    let all = [
        id("20261122-153254-k3v9x"),
        id("20261122-153255-k3000"),
        id("20261122-153256-20abc"),
    ];
    let prefixes = UniquePrefixes::of(&all);
    let shortest = |id: &RunId| prefixes.length(id);
    assert_eq!(shortest(&all[0]), 3, "k3v");
    assert_eq!(shortest(&all[2]), 3, "20a: all ids begin with 20");
}

fn maybe() -> impl Strategy<Value = Option<f64>> {
    proptest::option::of(prop_oneof![0.0..1e12f64, 0.0..1e-6f64])
}

proptest! {
    /// Every figure of a row comes back from its line bit for bit.
    #[test]
    fn rows_survive_csv(
        figures in prop::collection::vec(maybe(), 6), time in maybe(), bytes in any::<u64>(),
        wrong in proptest::option::of(any::<u64>()), name in "[ -~]{0,9}", complete in any::<bool>(), op in 0..5usize,
    ) {
        let plan = made::plan();
        let mut row = Row::of(&plan, 2, &made::record(&plan, op, &made::around(10.0))).unwrap();
        row.time = time.map(|us| genie::results::statistics::Times { min: us, p50: us * 1.1, p99: us * 3.3, mean: us / 3.0 });
        [row.algbw_gbps, row.busbw_gbps, row.link_share] = [figures[0], figures[1], figures[2]];
        [row.link_overhead, row.cpu_s_per_gb, row.cpu_use] = [figures[3], figures[4], figures[5]];
        (row.bytes, row.wrong, row.communicator, row.complete) = (bytes, wrong, name, complete);
        let records = csv::records(&(columns::header(columns::OPS) + &tables::op_line(&row)));
        prop_assert_eq!(tables::op_row(&records[0], &records[1]), Ok(row));
    }
}
