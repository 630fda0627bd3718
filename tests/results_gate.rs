//! The gate: what is pinned holds, what gets worse is found, and each outcome has its exit code.

mod results_fixture;

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use genie::event::Event;
use genie::results::gate::{Baseline, Metric};
use genie::results::{Recorder, Run};
use genie::scenario::plan::Plan;
use results_fixture as made;

/// A run whose large operations take `factor` times as long, and each iteration `spread` more or less.
fn stored(results: &Path, id: &str, plan: &Plan, factor: f64, spread: f64) {
    let mut recorder = Recorder::start(
        results,
        Run::new(
            id.parse().expect("it is there"),
            plan.clone(),
            made::environment(),
        ),
    );
    for mut event in made::completed(plan) {
        if let Event::OpFinished(record) = &mut event
            && record.op > 0
            && record.op < 4
        {
            let base = [0.0, 846_300.0, 105_700.0, 141_000.0][record.op] * factor;
            let signs = [1.0, -1.0, 0.3, -0.2, 0.8, -0.9, 0.1, -0.4, 0.6, -0.7];
            let us: Vec<f64> = signs.iter().map(|sign| base * (1.0 + spread * sign)).collect();
            *record = made::record(plan, record.op, &us);
        }
        recorder.record(&event);
    }
    assert_eq!(recorder.loss(), None);
}

fn genie(results: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_genie"))
        .args(arguments)
        .arg("--results")
        .arg(results)
        .env_remove("GITHUB_STEP_SUMMARY")
        .output()
        .expect("the binary is built")
}

fn code(results: &Path, arguments: &[&str]) -> i32 {
    let output = genie(results, arguments);
    let said =
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    output.status.code().unwrap_or_else(|| panic!("{said}"))
}

#[test]
fn each_outcome_has_its_exit_code() {
    let results = tempfile::tempdir().unwrap();
    let (results, plan) = (results.path(), made::plan());
    stored(results, "20261122-100000-g00d0", &plan, 1.0, 0.003);
    assert_eq!(code(results, &["gate", "latest"]), 2, "there is no baseline yet");
    assert_eq!(code(results, &["gate", "latest", "--pin"]), 0);
    assert_eq!(
        code(results, &["gate", "latest", "--pin"]),
        2,
        "it is there already"
    );
    assert_eq!(code(results, &["gate", "latest", "--pin", "--replace"]), 0);
    let baseline = fs::read_to_string(results.join("baselines/allreduce.toml")).unwrap();
    let pinned = Baseline::parse(&baseline).unwrap();
    assert_eq!(
        pinned.rows.len(),
        3,
        "small messages and barriers do not hold: {baseline}"
    );
    assert!(
        pinned
            .rows
            .iter()
            .all(|row| row.figures[&Metric::LinkShare] > 0.9)
    );
    assert!(baseline.len() < 2000, "small");

    assert_eq!(code(results, &["gate", "g00d0"]), 0);
    stored(results, "20261122-100100-a0003", &plan, 1.03, 0.003);
    assert_eq!(code(results, &["gate", "latest"]), 0, "3 % are within 5 %");
    stored(results, "20261122-100200-a0010", &plan, 1.10, 0.003);
    assert_eq!(code(results, &["gate", "latest"]), 7);
    stored(results, "20261122-100300-nxxzy", &plan, 1.06, 0.30);
    assert_eq!(
        code(results, &["gate", "latest"]),
        10,
        "it spreads across the limit"
    );
    let mut fewer = plan.clone();
    fewer.ops.truncate(3);
    stored(results, "20261122-100400-fewer", &fewer, 1.0, 0.003);
    assert_eq!(code(results, &["gate", "latest"]), 8);
    let mut other = plan.clone();
    other.dilation = 10.0;
    stored(results, "20261122-100500-0ther", &other, 10.0, 0.003);
    assert_eq!(code(results, &["gate", "latest"]), 9);
    assert_eq!(
        code(results, &["diff", "g00d0", "a0010", "--noise", "0.01"]),
        0,
        "whatever it found"
    );
    assert_eq!(
        code(
            results,
            &["diff", "g00d0", "a0010", "--noise", "0.01", "--exit-code"]
        ),
        7
    );
    assert_eq!(
        code(
            results,
            &["diff", "a0010", "g00d0", "--noise", "0.01", "--exit-code"]
        ),
        0
    );
}

#[test]
fn junit_json_and_the_job_summary_say_the_same() {
    let results = tempfile::tempdir().unwrap();
    let (results, plan) = (results.path(), made::plan());
    stored(results, "20261122-100000-g00d0", &plan, 1.0, 0.003);
    assert_eq!(code(results, &["gate", "latest", "--pin"]), 0);
    stored(results, "20261122-100200-a0010", &plan, 1.10, 0.003);
    let (junit, summary) = (results.join("junit.xml"), results.join("summary.md"));
    let output = Command::new(env!("CARGO_BIN_EXE_genie"))
        .args(["gate", "latest", "--json", "--results"])
        .arg(results)
        .arg("--junit")
        .arg(&junit)
        .env("GITHUB_STEP_SUMMARY", &summary)
        .output()
        .unwrap();
    let json: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(json["verdict"], "regression");
    assert_eq!(json["figures"].as_array().unwrap().len(), 6);
    let xml = fs::read_to_string(junit).unwrap();
    assert!(
        xml.contains("tests=\"7\"") && xml.contains("failures=\"3\""),
        "{xml}"
    );
    let markdown = fs::read_to_string(summary).unwrap();
    assert!(markdown.contains("regression in 3 of 6 figures"), "{markdown}");
}

#[test]
fn a_bad_baseline_is_bad_input() {
    let results = tempfile::tempdir().unwrap();
    let (results, plan) = (results.path(), made::plan());
    stored(results, "20261122-100000-g00d0", &plan, 1.0, 0.003);
    let bad = results.join("bad.toml");
    for text in ["", "format = 1", "format = 9", "\u{0}", "scenario = 3"] {
        fs::write(&bad, text).unwrap();
        let output = genie(results, &["gate", "latest", bad.to_str().unwrap()]);
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{text}: {said}");
        assert!(said.contains("bad.toml") && said.contains("help:"), "{said}");
    }
    assert_eq!(code(results, &["gate", "nothing"]), 2);
}
