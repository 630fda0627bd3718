//! `genie export --format parquet`: what DuckDB or pyarrow read back, where there is one, is what the tables hold.

mod results_fixture;

use std::process::{Command, Output};

use genie::results::Recorder;
use results_fixture as made;

/// Reads a file with the first library that is there; prints rows, nulls, a sum, a text and a boolean.
const READER: &str = r#"
import sys, glob
folder = sys.argv[1]
try:
    import pyarrow.parquet as parquet
    read = lambda name: parquet.read_table(f"{folder}/{name}.parquet").to_pylist()
except ImportError:
    import duckdb
    def read(name):
        cursor = duckdb.execute(f"select * from '{folder}/{name}.parquet'")
        names = [column[0] for column in cursor.description]
        return [dict(zip(names, row)) for row in cursor.fetchall()]
ops, iterations = read("ops"), read("iterations")
print(len(ops), sum(row["root"] is None for row in ops), sum(row["bytes"] for row in ops))
print(sorted({row["run_id"] for row in ops}), ops[0]["algorithm"], ops[0]["complete"])
print(len(iterations), repr(sum(row["time_us"] for row in iterations)))
"#;

fn genie(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_genie"))
        .args(arguments)
        .output()
        .expect("genie runs")
}

#[test]
fn other_programs_read_what_was_written() {
    let folder = tempfile::tempdir().expect("a folder");
    let results = folder.path().join("results");
    let plan = made::plan();
    for id in ["20261122-153254-k3v9x", "20261122-153255-b3v9x"] {
        let run = genie::results::Run::new(id.parse().expect("an id"), plan.clone(), made::environment());
        let mut recorder = Recorder::start(&results, run);
        made::completed(&plan)
            .iter()
            .for_each(|event| recorder.record(event));
        assert_eq!(recorder.loss(), None);
    }
    let tables = folder.path().join("tables");
    let (results, tables) = (results.to_str().expect("text"), tables.to_str().expect("text"));
    let export = || {
        genie(&[
            "export",
            "k3v9x",
            "b3v9x",
            "--format",
            "parquet",
            "-o",
            tables,
            "--results",
            results,
        ])
    };
    let output = export();
    assert!(output.status.success(), "{output:?}");
    let files = String::from_utf8_lossy(&output.stdout).lines().count();
    assert_eq!(
        files, 4,
        "ops, iterations, ranks, links; no trace was played: {output:?}"
    );
    assert_eq!(export().status.code(), Some(2), "nothing is written over");
    let read = Command::new("python3").args(["-c", READER, tables]).output();
    let Some(read) = read.ok().filter(|read| read.status.success()) else {
        eprintln!("skipped: there is no python3 with pyarrow or duckdb here");
        return;
    };
    let text = |run: &str, name: &str| {
        std::fs::read_to_string(format!("{results}/{run}/{name}.csv")).expect("the table is there")
    };
    let mut sum = 0.0;
    let mut lines = 0;
    for run in ["20261122-153254-k3v9x", "20261122-153255-b3v9x"] {
        for line in text(run, "iterations").lines().skip(1) {
            sum += line
                .rsplit(',')
                .next()
                .and_then(|us| us.parse::<f64>().ok())
                .expect("a time");
            lines += 1;
        }
    }
    let bytes: u64 = plan.ops.iter().map(|op| op.op.bytes).sum();
    // Of the five operations a broadcast has a root.
    let expected = format!(
        "10 8 {}\n['20261122-153254-k3v9x', '20261122-153255-b3v9x'] recursive-doubling True\n{lines} {sum:?}\n",
        2 * bytes
    );
    assert_eq!(String::from_utf8_lossy(&read.stdout), expected);
}
