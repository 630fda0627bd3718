//! `genie workload generate` as users run it: what it writes, says and refuses.

use std::path::Path;
use std::process::{Command, Output};

use genie::workload::chakra;
use genie::workload::groups::CommGroups;

fn generate(folder: &Path, args: &str) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_genie"));
    command.current_dir(folder).args(["workload", "generate"]);
    command
        .args(args.split_whitespace())
        .output()
        .expect("genie starts")
}

const SMALL: &str = "--model llama3-8b --layers 4 --sequence 256 --vocab 1024";

#[test]
fn every_rank_has_a_trace_and_every_group_is_listed() {
    let folder = tempfile::tempdir().unwrap();
    let args = format!("{SMALL} --ranks 8 --tp 2 --pp 2 --micro-batches 2 --zero 3 -o out/step");
    let output = generate(folder.path(), &args);
    assert!(output.status.success(), "{output:?}");
    let text = std::fs::read_to_string(folder.path().join("out/step.groups.json")).unwrap();
    let groups = CommGroups::parse("groups", &text, Some(8)).unwrap().value;
    // 4 tensor-parallel and 4 data-parallel pairs.
    assert_eq!(groups.groups.len(), 8);
    for rank in 0..8u32 {
        let bytes = std::fs::read(folder.path().join(format!("out/step.{rank}.et"))).unwrap();
        let trace = chakra::read(&bytes, "trace").unwrap();
        assert!(trace.unknown_attributes().is_empty());
        for node in trace
            .nodes
            .iter()
            .filter(|node| node.kind == chakra::NodeKind::CommColl)
        {
            let id = node.group().unwrap().parse().unwrap();
            assert!(groups.ranks(id).unwrap().contains(&rank), "{}", node.name);
        }
    }
    assert!(!folder.path().join("out/step.8.et").exists());
}

#[test]
fn a_dry_run_says_what_it_would_amount_to_and_writes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let output = generate(folder.path(), "--model gpt3-175b --ranks 8 --tp 8 --dry-run");
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(
        text.contains("gpt3-175b (174.60 B parameters) on 8 h100"),
        "{text}"
    );
    assert!(text.contains("caution: a rank of stage 0 needs about"), "{text}");
    let output = generate(folder.path(), &format!("{SMALL} --ranks 4 --dry-run --json"));
    let json: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(json["layout"]["dp"], 4);
    assert_eq!(json["written"]["traces"], 0);
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn impossible_jobs_exit_with_2_and_help() {
    let folder = tempfile::tempdir().unwrap();
    for (args, part) in [
        (
            "--model lama3-8b --ranks 1 --dry-run",
            "did you mean `llama3-8b`?",
        ),
        (
            "--model custom --ranks 1 --dry-run",
            "needs layers, hidden and heads",
        ),
        (
            "--model llama3-8b --ranks 6 --tp 4 --dry-run",
            "6 ranks cannot be shared",
        ),
        ("--model llama3-8b --ranks 0 --dry-run", "0 ranks"),
        ("--model llama3-8b --ranks 2 --ep 2 --dry-run", "has no experts"),
        (
            "--model llama3-8b --ranks 1 --top-k 2 --dry-run",
            "give experts too",
        ),
        (
            "--model llama3-8b --ranks 1 --device h300 --dry-run",
            "did you mean `h100`?",
        ),
        (
            "--model llama3-8b --ranks 1 --compute-efficiency NaN --dry-run",
            "part of a peak",
        ),
        ("--model llama3-8b --ranks 1 --zero 4 --dry-run", "no stage 4"),
        ("--model llama3-8b --ranks 1", "--output"),
        (
            "--model custom --ranks 1 --layers 1 --hidden 64 --heads 0 --dry-run",
            "number of heads",
        ),
    ] {
        let output = generate(folder.path(), args);
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{args}\n{said}");
        assert!(said.contains(part), "{args}\n{said}");
    }
}

#[test]
fn a_file_that_cannot_be_written_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("file"), "").unwrap();
    let output = generate(folder.path(), &format!("{SMALL} --ranks 1 -o file/step"));
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("cannot write file/step.0.et"), "{said}");
}
