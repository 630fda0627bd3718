//! `genie run --repeat` and what the store makes of it, by the binary, over loopback.

use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;

const SCENARIO: &str = "\
name = \"repeated\"
[testbed]
fabric = \"host\"
ranks = 2
[[traffic.collective]]
op = \"all-reduce\"
algorithm = \"ring\"
sizes = [\"1 KiB\", \"64 KiB\"]
iterations = 6
warmup = 1
";

fn genie(folder: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_genie"))
        .args(arguments)
        .current_dir(folder)
        .env_remove("GITHUB_STEP_SUMMARY")
        .output()
        .expect("the binary is built")
}

/// Standard output of what must succeed.
fn done(folder: &Path, arguments: &[&str]) -> String {
    let output = genie(folder, arguments);
    let (out, err) = (
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    assert!(output.status.success(), "{arguments:?}: {out}{err}");
    out.into_owned()
}

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

#[test]
fn repetitions_are_runs_that_belong_together() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    std::fs::write(at.join("x.toml"), SCENARIO).unwrap();
    let object = json(&done(at, &["run", "x.toml", "--repeat", "3", "--json"]));
    let runs = object["repetitions"].as_array().unwrap();
    assert_eq!(runs.len(), 3);
    assert_eq!(runs[0]["run_id"], object["group"]);
    assert!(runs.iter().all(|run| run["status"] == "completed"));
    let text = done(at, &["run", "x.toml", "--repeat", "2", "--quiet"]);
    assert!(text.contains("# 2 of 2 repetitions"), "{text}");

    let listed = json(&done(at, &["runs", "--json"]));
    assert_eq!(listed.as_array().unwrap().len(), 5);
    assert_eq!(listed[1]["repetition"]["number"], 2);
    assert_eq!(listed[1]["repetition"]["group"], object["group"]);

    done(at, &["tag", "latest~1", "before"]);
    done(at, &["pin", "latest"]);
    let table = done(at, &["runs", "--verify"]);
    assert!(
        table.contains("repeated 3/3") && table.contains("before") && table.contains("(pinned)"),
        "{table}"
    );
    let diff = json(&done(at, &["diff", "before", "latest", "--json"]));
    assert_eq!(diff["sample"], "repetition");
    assert_eq!(diff["rows"].as_array().unwrap().len(), 2);
    assert_eq!(diff["rows"][0]["cells"][0]["samples"], 3);
    assert_eq!(diff["rows"][0]["cells"][1]["samples"], 2);
    let one = json(&done(at, &["diff", "before#1", "before#2", "--json"]));
    assert_eq!(one["sample"], "block");
    for form in ["--markdown", "--csv"] {
        assert!(done(at, &["diff", "before", "latest", form, "--metric", "busbw"]).contains("65536"));
    }
    assert_eq!(genie(at, &["diff", "before", "nothing"]).status.code(), Some(2));
    assert_eq!(genie(at, &["diff", "before"]).status.code(), Some(2));
    assert_eq!(
        genie(at, &["diff", "before", "latest", "--op", "barrier"])
            .status
            .code(),
        Some(2)
    );

    done(at, &["export", "before", "-o", "runs.zip"]);
    let imported = done(at, &["import", "runs.zip", "--results", "other"]);
    assert_eq!(imported.lines().count(), 3, "{imported}");
    let shown = json(&done(at, &["show", "latest#1", "--json", "--results", "other"]));
    assert_eq!(shown["run_id"], object["group"]);
    let pruned = done(at, &["prune", "--keep", "0"]);
    assert!(
        pruned.starts_with("0 of 2 runs"),
        "tagged and pinned runs stay: {pruned}"
    );
    done(at, &["tag", "--delete", "before"]);
    done(at, &["prune", "--keep", "0"]);
    assert_eq!(json(&done(at, &["runs", "--json"])).as_array().unwrap().len(), 2);
}

#[test]
fn a_run_can_be_held_against_a_baseline_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    std::fs::write(at.join("x.toml"), SCENARIO).unwrap();
    let baseline = |time_us: f64| {
        let text = format!(
            "format = 1\nscenario = \"repeated\"\n[require]\nfabric = \"host\"\nverified = false\n\
             [thresholds.time_us]\nbetter = \"lower\"\ntolerance = 0.5\n[[rows]]\nop = \"all-reduce\"\nalgorithm = \"ring\"\n\
             communicator = \"world\"\nranks = 2\nbytes = 65536\nfigures = {{ time_us = {time_us:?} }}\n"
        );
        std::fs::write(at.join("b.toml"), text).unwrap();
    };
    // No machine takes a minute for 64 KiB, and none takes a picosecond.
    baseline(60e6);
    done(at, &["run", "x.toml", "--quiet", "--gate", "./b.toml"]);
    baseline(1e-6);
    let output = genie(at, &["run", "x.toml", "--json", "--gate", "./b.toml"]);
    assert_eq!(output.status.code(), Some(7));
    assert_eq!(
        json(&String::from_utf8_lossy(&output.stdout))["status"],
        "completed"
    );
    assert!(String::from_utf8_lossy(&output.stderr).contains("regression in 1 of 1 figures"));
}
