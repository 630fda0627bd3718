//! Traces played in real time: compute takes its time, collectives and messages arrive, bad traces are
//! refused with the place, and a rank that dies ends the run in order.

mod run_support;

use std::fs;
use std::path::Path;

use genie::workload::chakra::{Metadata, Node, NodeKind, Trace, encode};
use genie::{scenario, scenario::planner};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use run_support::{Machine, Value, table};

const COMM_TYPE: &str = "comm_type";
const COMM_SIZE: &str = "comm_size";

fn compute(id: u64, ms: u64, deps: &[u64]) -> Node {
    let mut node = Node::new(id, format!("compute {id}"), NodeKind::Comp).with("is_cpu_op", false);
    node.set_duration_ns(ms * 1_000_000);
    node.data_deps = deps.to_vec();
    node
}

/// ALL_REDUCE is 0 (et_def.proto).
fn all_reduce(id: u64, bytes: i64, deps: &[u64]) -> Node {
    let mut node = Node::new(id, format!("reduce {id}"), NodeKind::CommColl)
        .with(COMM_TYPE, 0i64)
        .with(COMM_SIZE, bytes);
    node.data_deps = deps.to_vec();
    node
}

fn message(id: u64, kind: NodeKind, peer: i32, bytes: i64) -> Node {
    let other = match kind {
        NodeKind::CommSend => "comm_dst",
        _ => "comm_src",
    };
    Node::new(id, format!("message {id}"), kind)
        .with(other, peer)
        .with("comm_tag", 7i32)
        .with(COMM_SIZE, bytes)
}

fn write(folder: &Path, rank: u32, nodes: &[Node]) {
    let metadata = Metadata {
        version: "0.0.4".into(),
        attributes: Vec::new(),
    };
    let trace = Trace {
        metadata,
        nodes: nodes.to_vec(),
    };
    fs::write(folder.join(format!("t.{rank}.et")), encode(&trace)).expect("writable");
}

/// A scenario beside its traces, one for each rank; its path.
fn scenario(folder: &Path, testbed: &str, traces: &[Vec<Node>]) -> std::path::PathBuf {
    for (rank, nodes) in (0..).zip(traces) {
        write(folder, rank, nodes);
    }
    let text = format!(
        "name = \"trace\"\n{testbed}\n[[traffic.trace]]\nworkload = \"t\"\niterations = 8\nwarmup = 1\n"
    );
    let path = folder.join("s.toml");
    fs::write(&path, text).expect("writable");
    path
}

const HOST: &str = "[testbed]\nfabric = \"host\"\nranks = 2\n";
const STAR: &str = "[testbed]\nfabric = \"emulated\"\n[topology.star]\nhosts = 2\nrate = \"1 Gbit/s\"\n";

fn refused(traces: &[Vec<Node>]) -> String {
    let folder = tempfile::tempdir().expect("a folder");
    let path = scenario(folder.path(), HOST, traces);
    let planned = scenario::load(&path, &[]).and_then(|loaded| planner::build(&loaded));
    planned.expect_err("the trace is wrong").to_string()
}

#[test]
fn bad_traces_are_refused_with_their_place() {
    let good = vec![compute(1, 1, &[])];
    let missing = refused(std::slice::from_ref(&good));
    assert!(
        missing.contains("t.1.et") && missing.contains("s.toml:"),
        "{missing}"
    );
    let many = refused(&[good.clone(), good.clone(), good.clone()]);
    assert!(many.contains("more ranks than the scenario"), "{many}");
    let cyclic = refused(&[vec![compute(1, 1, &[2]), compute(2, 1, &[1])], good.clone()]);
    assert!(
        cyclic.contains("t.0.et") && cyclic.contains("wait for each other for ever"),
        "{cyclic}"
    );
    let empty = refused(&[vec![all_reduce(3, 0, &[])], vec![all_reduce(3, 0, &[])]]);
    assert!(
        empty.contains("node 3 `reduce 3`: all-reduce of 0 bytes"),
        "{empty}"
    );
    let alone = refused(&[vec![message(4, NodeKind::CommSend, 1, 8)], good.clone()]);
    assert!(
        alone.contains("rank 0, node 4 `message 4`: a send to rank 1 that it never receives"),
        "{alone}"
    );
    let unequal = [
        vec![message(4, NodeKind::CommSend, 1, 8)],
        vec![message(5, NodeKind::CommRecv, 0, 16)],
    ];
    assert!(refused(&unequal).contains("sends 8 bytes where rank 1, node 5 receives 16"));
    let differ = refused(&[vec![all_reduce(1, 8, &[])], vec![all_reduce(2, 16, &[])]]);
    assert!(
        differ.contains("members of group 0 disagree: rank 0, node 1"),
        "{differ}"
    );
    let fewer = refused(&[vec![all_reduce(1, 8, &[])], good.clone()]);
    assert!(
        fewer.contains("rank 0 has 1 collectives, rank 1 has 0"),
        "{fewer}"
    );
    let memory = Node::new(9, "load", NodeKind::MemLoad).with("tensor_size", 8u64);
    assert!(refused(&[vec![memory], good]).contains("node 9 `load`: remote memory cannot be played"));
}

/// Each rank waits for the other's message before it sends its own.
#[test]
fn a_trace_that_never_ends_is_refused_with_who_waits() {
    let traces = [1, 0].map(|peer| {
        let mut send = message(2, NodeKind::CommSend, peer, 8);
        send.data_deps = vec![1];
        vec![message(1, NodeKind::CommRecv, peer, 8), send]
    });
    let wrong = refused(&traces);
    assert!(
        wrong.contains("the trace never ends: rank 0, node 1 `message 1`: a send of rank 1, tag 7"),
        "{wrong}"
    );
}

/// A compute of 50 ms takes 50 ms, and what follows it comes on top: no iteration can be shorter.
#[test]
fn compute_takes_its_time_over_loopback() {
    let folder = tempfile::tempdir().expect("a folder");
    let rank = |peer, send| {
        let kind = if send {
            NodeKind::CommSend
        } else {
            NodeKind::CommRecv
        };
        vec![
            compute(1, 50, &[]),
            all_reduce(2, 65536, &[1]),
            message(3, kind, peer, 4096),
        ]
    };
    let path = scenario(folder.path(), HOST, &[rank(1, true), rank(0, false)]);
    let ended = run_support::Genie::new()
        .arg("run")
        .arg(&path)
        .arg("--json")
        .results(&folder.path().join("results"))
        .end()
        .expect(0);
    let report = ended.json();
    let op = &report["ops"][0];
    assert_eq!(
        (op["op"].as_str(), op["name"].as_str()),
        (Some("trace"), Some("t"))
    );
    assert!(op["time_us"]["min"].as_f64().unwrap() >= 50_000.0, "{op}");
    assert_eq!(
        op["trace"]["modelled"],
        Value::Null,
        "nothing says what loopback can do"
    );
    assert_eq!(
        op["trace"]["not_modelled"],
        "no link is shaped, so nothing says what the network can do"
    );
    let compute_us = op["trace"]["measured"]["compute_us"].as_f64().unwrap();
    assert!((50_000.0..60_000.0).contains(&compute_us), "{compute_us}");
    for summary in report["rank_summaries"].as_array().unwrap() {
        assert_eq!(summary["timers"], 9, "one for each iteration");
        println!("late p99 {} us", summary["timer_late_p99_us"]);
    }
    let nodes = table(Path::new(report["results_dir"].as_str().unwrap()), "nodes.csv");
    assert_eq!(nodes.len(), 2 * 8 * 3, "ranks x iterations x nodes");
    for row in nodes.iter().filter(|row| row["kind"] == "compute") {
        let time = |column: &str| row[column].parse::<u64>().expect("nanoseconds");
        assert!(time("end_ns") - time("start_ns") >= 50_000_000, "{row:?}");
    }
}

/// 1 MiB among two ranks: each sends 1 MiB, which 1 Gbit/s carries in 8.77 ms with headers; it hides
/// behind the compute of 20 ms that needs nothing of it, but not the compute that does.
#[test]
fn communication_hides_behind_compute_over_shaped_links() {
    let Some(machine) = Machine::new() else { return };
    let before = machine.found();
    let folder = tempfile::tempdir().expect("a folder");
    let rank = || {
        vec![
            all_reduce(1, 1 << 20, &[]),
            compute(2, 20, &[]),
            compute(3, 5, &[1, 2]),
        ]
    };
    let path = scenario(folder.path(), STAR, &[rank(), rank()]);
    let text = fs::read_to_string(path).expect("readable");
    let text = text.replace(
        "workload = \"t\"",
        &format!("workload = \"{}\"", folder.path().join("t").display()),
    );
    let report = machine.play(&text).end().expect(0).json();
    machine.assert_as_before(&before);
    let trace = &report["ops"][0]["trace"];
    let us = |of: &str, what: &str| trace[of][what].as_f64().unwrap();
    assert!(us("measured", "iteration_us") >= 25_000.0, "{trace}");
    assert!(
        (us("modelled", "iteration_us") - 25_000.0).abs() < 100.0,
        "{trace}"
    );
    let kinds = trace["kinds"].as_array().unwrap();
    let reduce = kinds
        .iter()
        .find(|kind| kind["kind"] == "all-reduce")
        .expect("it was played");
    let wire_us = 1048576.0 * 8.0 / 1e3 * 1514.0 / 1448.0;
    let modelled = reduce["modelled_us"]["p50"].as_f64().unwrap();
    assert!(
        modelled > wire_us * 0.99 && modelled < wire_us * 1.3,
        "{modelled} {wire_us}"
    );
    assert!(
        reduce["measured_us"]["min"].as_f64().unwrap() > wire_us * 0.9,
        "{reduce}"
    );
}

/// The others say which node they were in and for whom they wait.
#[test]
fn a_rank_that_is_killed_within_a_trace_is_named() {
    let Some(machine) = Machine::new() else { return };
    let before = machine.found();
    let folder = tempfile::tempdir().expect("a folder");
    let rank = || vec![compute(1, 300, &[]), all_reduce(2, 1 << 20, &[1])];
    let path = scenario(folder.path(), STAR, &[rank(), rank()]);
    let text = fs::read_to_string(path).expect("readable");
    let text = text.replace(
        "workload = \"t\"",
        &format!("workload = \"{}\"", folder.path().join("t").display()),
    );
    let text = text.replace("iterations = 8", "iterations = 100");
    let mut running = machine.play(&text).start();
    running.until_within_row(0);
    kill(Pid::from_raw(running.rank(1)), Signal::SIGKILL).expect("a rank of ours");
    let report = running.end().expect(3).json();
    machine.assert_as_before(&before);
    let lost = &report["lost_ranks"][0];
    assert_eq!(
        (lost["rank"].as_u64(), lost["what"].as_str()),
        (Some(1), Some("killed by signal 9"))
    );
    assert!(
        lost["operation"]
            .as_str()
            .unwrap()
            .starts_with("trace t, iteration "),
        "{lost}"
    );
}
