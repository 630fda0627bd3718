//! The first thing that anyone does: `genie run scenarios/hello.toml`, without privileges. What it
//! prints, what it stores, and the JSON object that other programs depend on.

mod run_support;

use std::path::Path;

use run_support::{Genie, Value, repository, stage, table, texts};

const FILES: [&str; 8] = [
    "events.jsonl",
    "iterations.csv",
    "links.csv",
    "manifest.json",
    "messages.csv",
    "ops.csv",
    "ranks.csv",
    "scenario.toml",
];

fn hello(results: &Path) -> Genie {
    let run = Genie::new().arg("run").arg(repository("scenarios/hello.toml"));
    run.set("traffic.collective.0.time_per_size=20 ms")
        .results(results)
}

fn looked_up(results: &Path, args: &[&str]) -> String {
    Genie::new().args(args).results(results).end().expect(0).stdout
}

/// A run is its table, its folder, and its line in the list; all three say the same.
#[test]
fn hello_prints_a_table_and_can_be_looked_up() {
    let results = tempfile::tempdir().unwrap();
    let ended = hello(results.path()).end().expect(0);
    let columns = ended
        .stdout
        .lines()
        .find(|line| line.contains("algbw"))
        .expect("a header");
    for column in [
        "size",
        "count",
        "type",
        "op",
        "algorithm",
        "busbw",
        "time p50",
        "limit",
    ] {
        assert!(columns.contains(column), "no {column} in {columns}");
    }
    let rows: Vec<&str> = ended
        .stdout
        .lines()
        .filter(|line| line.contains(" all-reduce "))
        .collect();
    assert_eq!(rows.len(), 4, "one row for each size: {rows:?}");
    assert!(ended.stdout.is_ascii(), "no terminal, no decorations");

    let stored: Vec<_> = std::fs::read_dir(results.path()).unwrap().flatten().collect();
    assert_eq!(stored.len(), 1);
    let folder = stored[0].path();
    let mut files: Vec<String> = std::fs::read_dir(&folder)
        .unwrap()
        .map(|file| file.unwrap().file_name().into_string().unwrap())
        .collect();
    files.sort();
    assert_eq!(files, FILES);
    let id = folder.file_name().unwrap().to_str().unwrap();
    assert!(ended.stdout.contains(id), "the run says its id");

    assert_eq!(looked_up(results.path(), &["show", "latest"]), ended.stdout);
    assert_eq!(looked_up(results.path(), &["show", &id[16..]]), ended.stdout);
    let runs: Value = serde_json::from_str(&looked_up(results.path(), &["runs", "--json"])).unwrap();
    assert_eq!(runs.as_array().unwrap().len(), 1);
    assert_eq!(runs[0]["run_id"], id);
    assert!(looked_up(results.path(), &["runs"]).contains("hello"));
}

/// Programs read stdout to its end and parse it: one object there, and not a byte more.
#[test]
fn json_is_one_object_with_everything_that_is_promised() {
    let results = tempfile::tempdir().unwrap();
    let ended = hello(results.path()).arg("--json").end().expect(0);
    let report = ended.json();
    for (field, value) in [
        ("scenario", "hello"),
        ("fabric", "host"),
        ("transport", "tcp"),
        ("clock", "wall"),
        ("status", "completed"),
    ] {
        assert_eq!(report[field], value, "{field}");
    }
    assert_eq!(report["ranks"], 2);
    let id = report["run_id"].as_str().expect("run_id is a text");
    assert!(
        results.path().join(id).is_dir(),
        "the id is the name of the folder"
    );
    texts(&report["cautions"]);
    let ops = report["ops"].as_array().expect("ops is a list");
    let sizes: Vec<u64> = ops
        .iter()
        .map(|op| op["bytes"].as_u64().expect("bytes"))
        .collect();
    assert_eq!(sizes, [8, 1 << 10, 64 << 10, 1 << 20]);
    ops.iter().for_each(op_keeps_the_contract);

    let shown = looked_up(results.path(), &["show", "latest", "--json"]);
    assert_eq!(
        serde_json::from_str::<Value>(&shown).unwrap(),
        report,
        "stored and shown are the same"
    );
    let folder = results.path().join(id);
    let played: u64 = ops.iter().map(|op| op["iterations"].as_u64().unwrap()).sum();
    assert_eq!(
        table(&folder, "iterations.csv").len() as u64,
        2 * played,
        "a row per iteration and rank"
    );
    assert_eq!(table(&folder, "ranks.csv").len(), 2);
}

fn op_keeps_the_contract(op: &Value) {
    assert_eq!(op["op"], "all-reduce");
    assert!(op["algorithm"].is_string());
    assert_eq!(op["ranks"], 2);
    assert!(op["iterations"].as_u64().expect("a count") >= 5);
    let time = |name: &str| {
        op["time_us"][name]
            .as_f64()
            .unwrap_or_else(|| panic!("{name} in {op}"))
    };
    assert!(0.0 < time("min") && time("min") <= time("p50") && time("p50") <= time("p99"));
    assert!(time("min") <= time("mean"));
    // algbw = size / time; between two ranks all-reduce moves its size once, so busbw is the same.
    let bits = op["bytes"].as_f64().expect("bytes") * 8.0;
    let algbw = op["algbw_gbps"].as_f64().expect("algbw");
    assert!((algbw / (bits / time("p50") / 1e3) - 1.0).abs() < 1e-6, "{op}");
    assert!(
        (op["busbw_gbps"].as_f64().expect("busbw") / algbw - 1.0).abs() < 1e-6,
        "{op}"
    );
    assert!(op["link_share"].is_null(), "loopback has no known limit");
    assert!(op["cpu_s_per_gb"].as_f64().expect("CPU") > 0.0);
}

/// Nothing is set up on the host fabric: two processes and one connection take milliseconds, so a
/// second before the first byte or after the last would be a fault even on a busy machine.
#[test]
fn hello_starts_and_ends_within_a_second() {
    let results = tempfile::tempdir().unwrap();
    let ended = hello(results.path()).arg("--json").end().expect(0);
    let report = ended.json();
    let (before, after) = (
        stage(&report, "connected"),
        ended.took.as_secs_f64() - stage(&report, "played"),
    );
    println!(
        "hello: {:.0} ms before the first byte, {:.0} ms after the last",
        before * 1e3,
        after * 1e3
    );
    assert!(before < 3.0 && after < 3.0, "{before} s before, {after} s after");
}

/// `genie run ... | head`: the reader goes away, the run goes on and is stored.
#[test]
fn a_closed_stdout_does_not_end_the_run() {
    let results = tempfile::tempdir().unwrap();
    let script = format!(
        "set -o pipefail; {} run {} --quiet --results {} --set 'traffic.collective.0.time_per_size=20 ms' | true",
        run_support::genie::BINARY,
        repository("scenarios/hello.toml").display(),
        results.path().display(),
    );
    let mut bash = std::process::Command::new("bash");
    bash.args(["-c", &script]);
    Genie::by(bash).end().expect(0);
    let shown = looked_up(results.path(), &["show", "latest", "--json"]);
    let report: Value = serde_json::from_str(&shown).unwrap();
    assert_eq!(report["status"], "completed");
}
