//! ASTRA-sim's own answers, NPU by NPU, integer for integer: see tests/golden/astra/README.md.

#![allow(clippy::unwrap_used)] // clippy takes helpers of integration tests for code

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use genie::testbed::model::{Backend, Inputs, Options, Outcome};

mod golden_astra;
use golden_astra::{Row, by_rank, cases, is_relative, options, rows};

fn play(options: &Options) -> Result<Outcome, String> {
    let mut simulation = Inputs::read(options).map_err(|e| e.to_string())?.simulation;
    while simulation.run(1 << 20).map_err(|e| e.to_string())? {}
    Ok(simulation.outcome())
}

#[test]
fn every_npu_of_the_sample_has_astra_sims_cycles() {
    let folder = cases();
    let rows: Vec<Row> = rows()
        .into_iter()
        .filter(|row| !is_relative(row) && !row.answers.is_empty())
        .collect();
    assert!(rows.len() > 700, "only {} rows were found", rows.len());
    let (next, wrong) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    let check = || {
        while let Some(row) = rows.get(next.fetch_add(1, Ordering::Relaxed)) {
            let got = play(&options(row, folder.path())).map(|outcome| by_rank(&outcome));
            if got.as_ref() != Ok(&row.answers) {
                wrong
                    .lock()
                    .unwrap()
                    .push(format!("{} {:?} {}: {got:?}", row.case, row.backend, row.flags));
            }
        }
    };
    std::thread::scope(|scope| (0..4).for_each(|_| drop(scope.spawn(check))));
    let wrong = wrong.into_inner().unwrap();
    assert!(
        wrong.is_empty(),
        "{} of {} rows differ:\n{}",
        wrong.len(),
        rows.len(),
        wrong.join("\n")
    );
}

#[test]
fn where_astra_sim_has_no_answer_genie_answers_or_says_why() {
    let folder = cases();
    let without: Vec<Row> = rows().into_iter().filter(|row| row.answers.is_empty()).collect();
    assert!(without.len() > 10);
    for row in without {
        match play(&options(&row, folder.path())) {
            Ok(outcome) => assert!(
                !outcome.finished.is_empty() && outcome.stuck.is_empty(),
                "{}",
                row.case
            ),
            Err(why) => assert!(
                why.contains("tbd") || why.contains("NO_MEMORY_EXPANSION"),
                "{}: {why}",
                row.case
            ),
        }
    }
}

#[test]
fn the_same_run_twice_is_the_same_run() {
    let folder = cases();
    let rows = rows();
    let row = rows.iter().find(|row| row.case.starts_with("multidim/")).unwrap();
    let run = || {
        let outcome = play(&options(row, folder.path())).unwrap();
        (outcome.finished, outcome.messages, outcome.events)
    };
    assert_eq!(run(), run());
}

/// The command with ASTRA-sim's flags, from a folder.
fn genie(folder: &Path, args: &[&str]) -> (i32, String, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_genie"))
        .arg("astra")
        .args(args)
        .current_dir(folder)
        .output()
        .unwrap();
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    (
        output.status.code().unwrap(),
        text(&output.stdout),
        text(&output.stderr),
    )
}

#[test]
fn the_command_prints_astra_sims_lines_for_a_custom_collective() {
    let folder = cases();
    let from: PathBuf = folder.path().join("cases/shipped");
    for row in rows().into_iter().filter(is_relative) {
        let up = |name: &str| format!("../../{name}");
        let system = format!("--system-configuration={}", up(&row.system));
        let backend = if row.backend == Backend::Aware {
            "aware"
        } else {
            "unaware"
        };
        let (code, out, err) = genie(
            &from,
            &[
                "--workload-configuration",
                &up(&row.workload),
                &system,
                "--network-configuration",
                &up(&row.network),
                "--backend",
                backend,
            ],
        );
        assert_eq!(code, 0, "{err}");
        for rank in 0..8 {
            let line = format!(
                "[workload] [info] sys[{rank}] finished, 90174 cycles, exposed communication 90174 cycles."
            );
            assert!(out.contains(&line), "{out}");
        }
        assert!(
            out.contains("[statistics] [info] sys[3], Comm time: 90174"),
            "{out}"
        );
    }
}

#[test]
fn bad_input_is_named_and_never_exits_0() {
    let folder = cases();
    let network = |npus: u32| format!("cases/network/Ring_{npus}.yml");
    let run = |workload: &str, system: &str, network: &str, more: &[&str]| {
        let args = [
            "--workload-configuration",
            workload,
            "--system-configuration",
            system,
            "--network-configuration",
            network,
        ];
        genie(folder.path(), &[&args[..], more].concat())
    };
    let (prefix, system) = (
        "cases/workload/micro/all_reduce/8npus_1MB/all_reduce",
        "cases/system/ring_4chunks.json",
    );
    let (code, out, err) = run(prefix, system, &network(16), &[]);
    assert_eq!((code, out.as_str()), (2, ""));
    assert!(
        err.contains("all_reduce.8.et` does not exist: 16 NPUs need one trace each"),
        "{err}"
    );
    let (code, _, err) = run(prefix, "nowhere.json", &network(8), &[]);
    assert_eq!(code, 2);
    assert!(err.contains("nowhere.json"), "{err}");
    let (code, out, err) = run(prefix, system, &network(8), &["--strict"]);
    assert_eq!(
        (code, out.as_str()),
        (2, ""),
        "strict refuses what it would warn of: {err}"
    );
    let damaged = folder.path().join("damaged");
    fs::create_dir(&damaged).unwrap();
    for rank in 0..8 {
        let whole = fs::read(folder.path().join(format!("{prefix}.{rank}.et"))).unwrap();
        fs::write(damaged.join(format!("w.{rank}.et")), &whole[..whole.len() - 3]).unwrap();
    }
    let (code, out, err) = run("damaged/w", system, &network(8), &[]);
    assert_eq!((code, out.as_str()), (2, ""));
    assert!(err.contains("w.0.et"), "{err}");
}

#[test]
fn a_receive_that_never_comes_is_named() {
    use genie::workload::chakra::{Node, NodeKind, Trace, encode};
    let folder = cases();
    let message = |kind, other: &str, rank: i64, bytes: i64| {
        Node::new(5, "p2p", kind)
            .with(other, rank)
            .with("comm_size", bytes)
            .with("comm_tag", 3)
    };
    let ranks = [
        message(NodeKind::CommSend, "comm_dst", 1, 1000),
        message(NodeKind::CommRecv, "comm_src", 0, 1001),
        Node::new(0, "c", NodeKind::Comp),
        Node::new(0, "c", NodeKind::Comp),
    ];
    for (rank, node) in ranks.into_iter().enumerate() {
        let trace = Trace {
            nodes: vec![node],
            ..Trace::default()
        };
        fs::write(folder.path().join(format!("p.{rank}.et")), encode(&trace)).unwrap();
    }
    let (code, out, err) = genie(
        folder.path(),
        &[
            "--workload-configuration",
            "p",
            "--system-configuration",
            "cases/system/ring_1chunk.json",
            "--network-configuration",
            "cases/network/Ring_4.yml",
        ],
    );
    assert_eq!(code, 4, "{err}");
    assert_eq!(out.matches("finished").count(), 3, "the others finish: {out}");
    assert!(
        err.contains("rank 1: node 5 `p2p` waits for 1001 bytes from rank 0, tag 3"),
        "{err}"
    );
}
