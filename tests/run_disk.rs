//! A results folder that takes nothing, or not all: the run goes on, the figures are shown, and what
//! was lost is said.

mod run_support;

use run_support::{Genie, Machine, repository, texts};

fn hello(genie: Genie) -> Genie {
    let play = genie.arg("run").arg(repository("scenarios/hello.toml"));
    play.set("traffic.collective.0.time_per_size=20 ms")
}

/// The sentence that says what was lost.
fn loss(ended: &run_support::Ended) -> String {
    let report = ended.json();
    assert_eq!(report["status"], "completed");
    assert_eq!(
        report["ops"].as_array().expect("ops").len(),
        4,
        "every row is shown"
    );
    let cautions = texts(&report["cautions"]);
    let lost = cautions
        .iter()
        .find(|text| text.starts_with("results are not fully stored"));
    (*lost.unwrap_or_else(|| panic!("nothing said of the loss: {cautions:?}"))).to_owned()
}

/// A file where the results folder should be: nothing can be made in it, by root neither.
#[test]
fn a_results_folder_that_cannot_be_made_costs_only_the_record() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    std::fs::write(&file, "").unwrap();
    let ended = hello(Genie::new())
        .arg("--json")
        .results(&file.join("results"))
        .end()
        .expect(0);
    let loss = loss(&ended);
    assert!(
        loss.contains("file/results") && loss.contains("Not a directory"),
        "{loss}"
    );
    assert!(
        ended.json()["results_dir"].is_null(),
        "there is no folder to look into"
    );

    let table = hello(Genie::new())
        .results(&file.join("results"))
        .end()
        .expect(0)
        .stdout;
    assert_eq!(
        table.lines().filter(|line| line.contains(" all-reduce ")).count(),
        4,
        "{table}"
    );
    assert!(table.contains("results are not fully stored"), "{table}");
}

/// A file system that may only be read.
#[test]
fn a_read_only_file_system_costs_only_the_record() {
    let Some(machine) = Machine::new() else { return };
    machine.sh("mkdir read-only && mount -t tmpfs -o ro tmpfs read-only");
    let results = machine.scratch().join("read-only");
    let ended = hello(machine.genie())
        .arg("--json")
        .results(&results)
        .end()
        .expect(0);
    let loss = loss(&ended);
    assert!(loss.contains("Read-only file system"), "{loss}");
}

/// 64 KiB take the manifest and the first rows, not a thousand iterations of two ranks.
#[test]
fn a_full_disk_costs_only_the_record() {
    let Some(machine) = Machine::new() else { return };
    machine.sh("mkdir small && mount -t tmpfs -o size=64k tmpfs small");
    let results = machine.scratch().join("small");
    let ended = hello(machine.genie())
        .arg("--json")
        .results(&results)
        .set("traffic.collective.0.iterations=1000")
        .set("traffic.collective.0.sizes=[\"8 B\", \"16 B\", \"32 B\", \"64 B\"]")
        .end()
        .expect(0);
    let loss = loss(&ended);
    assert!(loss.contains("No space left on device"), "{loss}");
    // What there was room for can still be looked at, and does not claim to be whole.
    let shown = machine
        .genie()
        .args(["runs", "--json"])
        .results(&results)
        .end()
        .expect(0)
        .stdout;
    assert!(
        shown.contains(ended.json()["run_id"].as_str().unwrap()),
        "{shown}"
    );
}

/// Somebody tidies up while the run goes on.
#[test]
fn a_results_folder_that_vanishes_costs_only_the_record() {
    let folder = tempfile::tempdir().unwrap();
    let results = folder.path().join("results");
    let mut running = hello(Genie::new())
        .arg("--json")
        .results(&results)
        .set("traffic.collective.0.time_per_size=300 ms")
        .start();
    running.until_event("start of row 1", |event| {
        event["event"] == "op-started" && event["op"] == 1
    });
    std::fs::remove_dir_all(&results).unwrap();
    let ended = running.end().expect(0);
    loss(&ended);
    assert!(!results.exists(), "what was removed does not come back");
}
