//! ASTRA-sim's own answers, NPU by NPU, integer for integer: see tests/golden/astra/README.md.

#![allow(clippy::unwrap_used)] // clippy takes helpers of integration tests for code

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use genie::testbed::model::{Backend, Inputs, Options, Outcome};
use genie::workload::chakra::{CollectiveType, Node, NodeKind, Trace, encode};

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
                    .expect("the golden files are whole and can be unpacked")
                    .push(format!("{} {:?} {}: {got:?}", row.case, row.backend, row.flags));
            }
        }
    };
    std::thread::scope(|scope| (0..4).for_each(|_| drop(scope.spawn(check))));
    let wrong = wrong
        .into_inner()
        .expect("the golden files are whole and can be unpacked");
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
    let row = rows
        .iter()
        .find(|row| row.case.starts_with("multidim/"))
        .expect("the golden files are whole and can be unpacked");
    let run = || {
        let outcome =
            play(&options(row, folder.path())).expect("the golden files are whole and can be unpacked");
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
        .expect("the golden files are whole and can be unpacked");
    let text = |bytes: &[u8]| {
        String::from_utf8(bytes.to_vec()).expect("the golden files are whole and can be unpacked")
    };
    (
        output
            .status
            .code()
            .expect("the golden files are whole and can be unpacked"),
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
    fs::create_dir(&damaged).expect("the golden files are whole and can be unpacked");
    for rank in 0..8 {
        let whole = fs::read(folder.path().join(format!("{prefix}.{rank}.et")))
            .expect("the golden files are whole and can be unpacked");
        fs::write(damaged.join(format!("w.{rank}.et")), &whole[..whole.len() - 3])
            .expect("the golden files are whole and can be unpacked");
    }
    let (code, out, err) = run("damaged/w", system, &network(8), &[]);
    assert_eq!((code, out.as_str()), (2, ""));
    assert!(err.contains("w.0.et"), "{err}");
}

/// Writes the traces of all ranks.
fn write(folder: &Path, prefix: &str, ranks: Vec<Vec<Node>>) {
    for (rank, nodes) in ranks.into_iter().enumerate() {
        let trace = Trace {
            nodes,
            ..Trace::default()
        };
        fs::write(folder.join(format!("{prefix}.{rank}.et")), encode(&trace))
            .expect("the golden files are whole and can be unpacked");
    }
}

fn collective(id: u64, kind: CollectiveType, bytes: i64) -> Node {
    let node = Node::new(id, "c", NodeKind::CommColl).with("comm_type", kind as i64);
    node.with("comm_size", bytes)
}

/// Runs traces of four ranks on a ring.
fn on_a_ring(folder: &Path, prefix: &str, more: &[&str]) -> (i32, String, String) {
    let args = [
        "--workload-configuration",
        prefix,
        "--system-configuration",
        "cases/system/ring_1chunk.json",
        "--network-configuration",
        "cases/network/Ring_4.yml",
    ];
    genie(folder, &[&args[..], more].concat())
}

#[test]
fn what_astra_sim_refuses_is_an_extension() {
    let folder = cases();
    for kind in [
        CollectiveType::Broadcast,
        CollectiveType::Reduce,
        CollectiveType::Gather,
        CollectiveType::Scatter,
        CollectiveType::Barrier,
        CollectiveType::ReduceScatterBlock,
    ] {
        write(folder.path(), "x", vec![vec![collective(1, kind, 1 << 20)]; 4]);
        let (code, out, err) = on_a_ring(folder.path(), "x", &["--extended"]);
        assert_eq!((code, out.matches("finished").count()), (0, 4), "{kind}: {err}");
        // 1 MiB at 53.7 bytes per ns cannot arrive anywhere in less than 19.5 us; a barrier's byte can.
        let last = out
            .rsplit(" finished, ")
            .next()
            .expect("the golden files are whole and can be unpacked");
        let cycles: u64 = last
            .split(' ')
            .next()
            .expect("the golden files are whole and can be unpacked")
            .parse()
            .expect("the golden files are whole and can be unpacked");
        let least = match kind {
            CollectiveType::Barrier => 500,
            CollectiveType::Scatter | CollectiveType::ReduceScatterBlock => 19_531 / 4,
            _ => 19_531,
        };
        assert!(cycles >= least, "{kind}: {out}");
        let (code, out, _) = on_a_ring(folder.path(), "x", &[]);
        let kept = matches!(kind, CollectiveType::Broadcast);
        assert_eq!(
            (code, out.is_empty()),
            if kept { (0, false) } else { (2, true) },
            "{kind}"
        );
    }
}

#[test]
fn groups_whose_members_diverge_do_not_get_confused() {
    let folder = cases();
    fs::write(folder.path().join("g.json"), "{\"1\": [0, 1], \"2\": [1, 2, 3]}")
        .expect("the golden files are whole and can be unpacked");
    let of = |id, group: &str| collective(id, CollectiveType::AllReduce, 4096).with("pg_name", group);
    let all = |id| collective(id, CollectiveType::AllReduce, 4096);
    let ranks = vec![
        vec![of(1, "1"), of(2, "1"), all(9)],
        vec![of(1, "1"), of(2, "1"), of(3, "2"), all(9)],
        vec![of(3, "2"), all(9)],
        vec![of(3, "2"), all(9)],
    ];
    write(folder.path(), "d", ranks);
    let (code, out, err) = on_a_ring(folder.path(), "d", &["--comm-group-configuration=g.json"]);
    assert_eq!((code, out.matches("finished").count()), (0, 4), "{err}");
}

#[test]
fn a_receive_that_never_comes_is_named() {
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
    write(
        folder.path(),
        "p",
        ranks.into_iter().map(|node| vec![node]).collect(),
    );
    let (code, out, err) = on_a_ring(folder.path(), "p", &[]);
    assert_eq!(code, 4, "{err}");
    assert_eq!(out.matches("finished").count(), 3, "the others finish: {out}");
    assert!(
        err.contains("rank 1: node 5 `p2p` waits for 1001 bytes from rank 0, tag 3"),
        "{err}"
    );
}
