//! What `genie astra` says the time went to: parts that add up, rows and timelines that are whole,
//! and an example by hand. The definitions are those of docs/astra-insight.md.

#![allow(clippy::unwrap_used)] // clippy takes helpers of integration tests for code

use std::collections::{BTreeSet, HashMap};
use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use genie::network::analytical::Topology;
use genie::network::analytical::config::{BlockKind, Dim, NetworkConfig};
use genie::results::csv;
use genie::system::op::Collective;
use genie::system::setup::{CustomAlgorithm, CustomSource, Implementation, Pattern, Setup};
use genie::testbed::model::insight::explain::{Explanation, NpuTime};
use genie::testbed::model::insight::{OpRecord, Seen, WatchOptions};
use genie::testbed::model::parts::{Job, Parts, Wiring};
use genie::testbed::model::{Backend, Inputs, Options, Outcome, Simulation};
use genie::workload::graph::{Graph, Rules};
use genie::workload::memory::RemoteMemory;
use serde_json::Value;

mod chrome_trace;
mod golden_astra;
use chrome_trace::strict;
use golden_astra::{Row, by_rank, cases, is_relative, options, rows};

/// Plays a row watched: how it ended, what its time went to, and every operation.
fn watched(options: &Options) -> (Outcome, Explanation, Vec<OpRecord>) {
    let mut simulation = Inputs::read(options).unwrap().simulation;
    simulation.watch(WatchOptions {
        operations: true,
        messages: true,
        explain: true,
    });
    let mut ops = Vec::new();
    let mut keep = |seen: Vec<Seen>| {
        ops.extend(seen.into_iter().filter_map(|seen| match seen {
            Seen::Op(op) => Some(*op),
            _ => None,
        }));
    };
    while simulation.run(1 << 14).unwrap() {
        keep(simulation.seen());
    }
    keep(simulation.seen());
    let explanation = simulation.explain().unwrap();
    (simulation.outcome(), explanation, ops)
}

/// Whether the parts of an NPU's time are all of it, each nanosecond once.
fn adds_up(npu: &NpuTime) -> bool {
    npu.parts.total().wrapping_sub(npu.counted_twice) == npu.exposed
        && npu.parts.total() + npu.compute == npu.cycles
        && npu.exposed_communication + npu.parts.memory + npu.parts.cpu + npu.parts.not_begun
            == npu.parts.total()
}

#[test]
fn parts_add_up_to_astra_sims_exposed_communication_on_every_npu() {
    let folder = cases();
    let rows: Vec<Row> = rows()
        .into_iter()
        .filter(|row| !is_relative(row) && !row.answers.is_empty())
        .collect();
    let (next, wrong, npus) = (AtomicUsize::new(0), Mutex::new(Vec::new()), AtomicUsize::new(0));
    let check = || {
        while let Some(row) = rows.get(next.fetch_add(1, Ordering::Relaxed)) {
            let (outcome, explanation, ops) = watched(&options(row, folder.path()));
            npus.fetch_add(explanation.npus.len(), Ordering::Relaxed);
            let split_is_whole = |op: &&OpRecord| match op.collective.is_some() || op.other.is_some() {
                true => op.split.total() == op.end - op.start,
                false => op.split.total() == 0,
            };
            let exposed = |op: &&OpRecord| {
                op.exposed.endpoint <= op.split.endpoint
                    && op.exposed.peers <= op.split.peers
                    && op.exposed.network <= op.split.network
            };
            let ordered = |op: &&OpRecord| op.ready <= op.start && op.start <= op.met && op.met <= op.end;
            let fine = by_rank(&outcome) == row.answers
                && explanation.npus.len() == row.answers.len()
                && explanation.npus.iter().all(adds_up)
                && ops
                    .iter()
                    .all(|op| split_is_whole(&op) && exposed(&op) && ordered(&op))
                && path_is_whole(&explanation);
            if !fine {
                let said = format!("{} {:?} {}", row.case, row.backend, row.flags);
                wrong.lock().unwrap().push(said);
            }
        }
    };
    std::thread::scope(|scope| (0..2).for_each(|_| drop(scope.spawn(check))));
    let wrong = wrong.into_inner().unwrap();
    assert!(wrong.is_empty(), "{} rows:\n{}", wrong.len(), wrong.join("\n"));
    assert!(npus.into_inner() > 8000, "the sample has 8,714 NPUs");
}

/// The critical path covers all time from 0 to the end, once.
fn path_is_whole(explanation: &Explanation) -> bool {
    let mut until = explanation.slowest.map_or(0, |slowest| slowest.cycles);
    explanation.critical_path.iter().all(|named| {
        let follows = named.step.to == until && named.step.from < until;
        until = named.step.from;
        follows
    }) && until == 0
}

#[test]
fn each_node_is_told_once_and_the_same_every_time() {
    let folder = cases();
    for case in ["composite/", "multidim/", "p2p/"] {
        let rows = rows();
        let Some(row) = rows.iter().find(|row| row.case.starts_with(case)) else {
            continue;
        };
        let options = options(row, folder.path());
        let simulation = Inputs::read(&options).unwrap().simulation;
        let (outcome, explanation, ops) = watched(&options);
        let told: BTreeSet<(u32, u32)> = ops.iter().map(|op| (op.rank, op.place)).collect();
        assert_eq!(told.len(), ops.len(), "{case}: once");
        let nodes: usize = (0..outcome.finished.len() as u32)
            .map(|rank| simulation.graph(rank).nodes().len())
            .sum();
        assert_eq!(told.len(), nodes, "{case}: each");
        let (_, again, ops_again) = watched(&options);
        assert_eq!((explanation, ops), (again, ops_again), "{case}");
    }
}

/// A folder with a trace for each rank, and configuration of the golden set.
fn traces(folder: &Path, ranks: Vec<Vec<genie::workload::chakra::Node>>) {
    use genie::workload::chakra::{Trace, encode};
    for (rank, nodes) in ranks.into_iter().enumerate() {
        let trace = Trace {
            nodes,
            ..Trace::default()
        };
        fs::write(folder.join(format!("w.{rank}.et")), encode(&trace)).unwrap();
    }
}

fn compute(id: u64, us: u64, deps: &[u64]) -> genie::workload::chakra::Node {
    use genie::workload::chakra::{Node, NodeKind};
    let mut node = Node::new(id, format!("compute {id}"), NodeKind::Comp).with("is_cpu_op", false);
    node.duration_us = us;
    node.data_deps = deps.to_vec();
    node
}

fn all_reduce(id: u64, deps: &[u64]) -> genie::workload::chakra::Node {
    use genie::workload::chakra::{Node, NodeKind};
    let mut node = Node::new(id, format!("all-reduce {id}"), NodeKind::CommColl)
        .with("is_cpu_op", false)
        .with("comm_type", 0)
        .with("comm_size", 1 << 20);
    node.data_deps = deps.to_vec();
    node
}

/// `genie astra` on `w`, 8 NPUs on a ring, four chunks.
fn genie(folder: &Path, more: &[&str]) -> (i32, String, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_genie"))
        .args(["astra", "--workload-configuration", "w"])
        .args(["--system-configuration", "cases/system/ring_4chunks.json"])
        .args(["--network-configuration", "cases/network/Ring_8.yml"])
        .args(more)
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

fn json_of(folder: &Path, more: &[&str]) -> Value {
    let (code, out, err) = genie(folder, &[&["--json", "--explain"], more].concat());
    assert_eq!(code, 0, "{err}");
    serde_json::from_str(&out).unwrap()
}

/// Compute 100 us, an all-reduce, compute 50 us, on a ring of 8 (50 GB/s, 500 ns) in 4 chunks of
/// 256 KiB, one at a time. A message has 32 KiB and takes floor(500 + 32768 / 53.687) = 1110 ns; the
/// endpoint takes 10 ns before the first send and after each of 14 receives, and the 7 reductions
/// 3 x 20 ns each: 4 x (10 + 14 x 10 + 7 x 60) = 2280 ns at the endpoint, 4 x 14 x 1110 = 62160 ns in
/// the network, 64440 ns together as facts say.
#[test]
fn the_parts_of_a_step_are_those_computed_by_hand() {
    let folder = cases();
    let step = || vec![compute(0, 100, &[]), all_reduce(1, &[0]), compute(2, 50, &[1])];
    traces(folder.path(), (0..8).map(|_| step()).collect());
    let json = json_of(folder.path(), &[]);
    for npu in json["explanation"]["npus"].as_array().unwrap() {
        assert_eq!(npu["cycles"], 214_440);
        assert_eq!(npu["exposed"], 64_440);
        assert_eq!(npu["compute"], 150_000);
        assert_eq!(npu["overlap"], 0);
        let parts = serde_json::json!({
            "not_begun": 0, "slot": 0, "peers": 0, "network": 62_160, "endpoint": 2_280, "memory": 0, "cpu": 0
        });
        assert_eq!(npu["parts"], parts);
    }
    let path = json["explanation"]["critical_path"].as_array().unwrap();
    let times: Vec<(u64, u64)> = path
        .iter()
        .map(|step| (step["from"].as_u64().unwrap(), step["to"].as_u64().unwrap()))
        .collect();
    assert_eq!(times, [(164_440, 214_440), (100_000, 164_440), (0, 100_000)]);
    let link = &json["explanation"]["dimensions"][0];
    assert_eq!(
        link["taken"],
        4 * 14 * 610,
        "floor(32768 / 53.687) = 610 ns a message"
    );
    assert_eq!(link["bytes"], 8 * 4 * 14 * 32768);
}

/// One NPU computes 30 us longer: the others wait for it, and it is on the critical path.
#[test]
fn who_comes_late_is_waited_for_and_named() {
    let folder = cases();
    let step = |rank: u64| {
        let us = if rank == 5 { 130 } else { 100 };
        vec![compute(0, us, &[]), all_reduce(1, &[0])]
    };
    traces(folder.path(), (0..8).map(step).collect());
    let json = json_of(folder.path(), &[]);
    let npus = json["explanation"]["npus"].as_array().unwrap();
    for (rank, npu) in npus.iter().enumerate() {
        let parts = &npu["parts"];
        let late = parts["peers"].as_u64().unwrap() + parts["endpoint"].as_u64().unwrap();
        match rank {
            5 => assert_eq!(parts["peers"], 0),
            _ => assert!(late > 30_000 && late < 33_000, "{npu}"),
        }
    }
    let path = json["explanation"]["critical_path"].as_array().unwrap();
    let last = path.last().unwrap();
    assert_eq!(
        (&last["rank"], &last["kind"]),
        (&Value::from(5), &Value::from("compute"))
    );
    assert_eq!(last["to"], 130_000);
    let (code, _, err) = genie(folder.path(), &["--explain"]);
    assert_eq!(code, 0);
    assert!(err.contains("NPU 5 node 0 `compute 0` (compute)"), "{err}");
}

/// NPU 5 begins 30 us late: that is not time for which a slot kept it, and the others wait for it as for any.
#[test]
fn the_time_before_an_npu_begins_is_a_part_of_its_own() {
    let folder = cases();
    let step = || vec![compute(0, 100, &[]), all_reduce(1, &[0])];
    traces(folder.path(), (0..8).map(|_| step()).collect());
    let late = r#"{"npus": [{"npus": [5], "start-ns": 30000}]}"#;
    fs::write(folder.path().join("late.json"), late).unwrap();
    let file = |name: &str| folder.path().join(name);
    let row = rows()
        .into_iter()
        .find(|row| row.case.starts_with("micro/"))
        .unwrap();
    let (_, explanation, ops) = watched(&Options {
        workload: file("w"),
        system: Some(file("cases/system/ring_4chunks.json")),
        network: file("cases/network/Ring_8.yml"),
        npus: Some(file("late.json")),
        ..options(&row, folder.path())
    });
    for npu in &explanation.npus {
        assert!(adds_up(npu), "{npu:?}");
        let expected = if npu.rank == 5 { 30_000 } else { 0 };
        assert_eq!((npu.parts.not_begun, npu.parts.slot), (expected, 0), "{npu:?}");
    }
    assert!(path_is_whole(&explanation));
    assert!(ops.iter().all(|op| op.rank != 5 || op.ready >= 30_000));
    let (_, _, said) = genie(folder.path(), &["--explain", "--npu-configuration=late.json"]);
    assert!(
        said.contains("not begun") && said.contains("the time before NPUs begin"),
        "{said}"
    );
    let (_, _, usual) = genie(folder.path(), &["--explain"]);
    assert!(!usual.contains("begin"), "{usual}");
}

/// A custom algorithm for node 2 alone.
#[derive(Debug)]
struct ForNode2;

impl CustomSource for ForNode2 {
    fn algorithm(&self, node: u64, _: Collective, _: u32) -> CustomAlgorithm {
        match node {
            2 => CustomAlgorithm::Missing,
            _ => CustomAlgorithm::Native,
        }
    }
}

/// A group keeps the algorithm of its first node, node 1, which is the implementation of the first dimension: so node 2
/// goes from rank 0 to rank 1 only, and waits for no other rank, though ranks 2 and 3 come 100 us later.
#[test]
fn members_are_those_of_the_algorithm_that_a_group_has_settled_on() {
    let dim = || Dim {
        kind: BlockKind::Ring,
        npus: 2,
        bandwidth_gib_per_s: 50.0,
        latency_ns: 500.0,
    };
    let config = NetworkConfig {
        dims: vec![dim(), dim()],
    };
    let first_only = || {
        vec![Implementation {
            flat: false,
            pattern: Pattern::Ring,
        }]
    };
    let setup = Arc::new(Setup {
        dimensions: vec![2, 2],
        implementations: std::array::from_fn(|_| first_only()),
        custom: Some(Arc::new(ForNode2)),
        ..Setup::default()
    });
    let rules = Rules {
        npus: 4,
        ..Rules::default()
    };
    let graph = |rank: u32| {
        let grouped = |id, deps: &[u64]| all_reduce(id, deps).with("pg_name", "5");
        let late = if rank > 1 { 200 } else { 100 };
        let nodes = vec![compute(0, late, &[]), grouped(1, &[0]), grouped(2, &[1])];
        Arc::new(Graph::new(rank, nodes, &rules).unwrap())
    };
    let mut job = Job::alone((0..4).map(graph).collect(), &setup);
    job.groups.insert(5, Arc::from([0, 1, 2, 3]));
    let wiring = Wiring {
        topology: Topology::new(&config).unwrap(),
        backend: Backend::Unaware,
    };
    let parts = Parts {
        jobs: vec![Arc::new(job)],
        memory: RemoteMemory::None,
        symmetry: false,
    };
    let mut simulation = Simulation::new(wiring, parts);
    simulation.watch(WatchOptions {
        explain: true,
        ..WatchOptions::default()
    });
    while simulation.run(1 << 14).unwrap() {}
    let explanation = simulation.explain().unwrap();
    assert_eq!(explanation.npus.len(), 4);
    for npu in &explanation.npus {
        assert!(adds_up(npu) && npu.parts.network > 0, "{npu:?}");
        assert_eq!(npu.parts.peers, 0, "{npu:?}");
    }
}

/// Two collectives that are ready together have one slot: the second is serialised.
#[test]
fn a_collective_behind_another_is_serialised() {
    let folder = cases();
    let step = || vec![all_reduce(0, &[]), all_reduce(1, &[]), compute(2, 10, &[1])];
    traces(folder.path(), (0..8).map(|_| step()).collect());
    let json = json_of(folder.path(), &[]);
    let npu = &json["explanation"]["npus"][3];
    assert_eq!(npu["parts"]["slot"], 64_440);
    assert_eq!(npu["exposed"], 2 * 64_440);
}

#[test]
fn records_have_a_row_for_each_node_whose_times_add_up() {
    let folder = cases();
    let step = || {
        vec![
            compute(0, 100, &[]),
            all_reduce(1, &[0]),
            all_reduce(2, &[]),
            compute(3, 50, &[1]),
        ]
    };
    traces(folder.path(), (0..8).map(|_| step()).collect());
    let (code, _, err) = genie(folder.path(), &["--records", "out"]);
    assert_eq!(code, 0, "{err}");
    let table = |name: &str| {
        let text = fs::read_to_string(folder.path().join("out").join(name)).unwrap();
        let mut records = csv::records(&text);
        let header = records.remove(0);
        let row = |record: Vec<String>| header.iter().cloned().zip(record).collect::<HashMap<_, _>>();
        records.into_iter().map(row).collect::<Vec<_>>()
    };
    let operations = table("operations.csv");
    assert_eq!(operations.len(), 8 * 4);
    for row in &operations {
        let ns = |column: &str| row[column].parse::<u64>().unwrap();
        assert_eq!(ns("start_ns") - ns("ready_ns"), ns("slot_ns"));
        if row["kind"] == "collective" {
            let split = ns("endpoint_ns") + ns("peers_ns") + ns("network_ns");
            assert_eq!(split, ns("end_ns") - ns("start_ns"));
            assert_eq!(
                row["dimension_ns"],
                format!("0:{split}"),
                "one dimension, never idle"
            );
        }
    }
    let phases = table("phases.csv");
    assert_eq!(
        phases.len(),
        8 * 2 * 4,
        "two collectives of four chunks in one phase"
    );
    let (code, _, _) = genie(folder.path(), &["--records", "one.csv"]);
    assert_eq!(code, 0);
    let alone = fs::read_to_string(folder.path().join("one.csv")).unwrap();
    let whole = fs::read_to_string(folder.path().join("out/operations.csv")).unwrap();
    assert_eq!(alone, whole);
}

#[test]
fn the_timeline_is_a_strict_chrome_trace_with_every_node_once() {
    let folder = cases();
    let step = || {
        vec![
            compute(0, 100, &[]),
            all_reduce(1, &[0]),
            all_reduce(2, &[]),
            compute(3, 50, &[1]),
        ]
    };
    traces(folder.path(), (0..8).map(|_| step()).collect());
    let run = |name: &str| {
        let (code, _, err) = genie(folder.path(), &["--timeline", name, "--timeline-messages"]);
        assert_eq!(code, 0, "{err}");
        fs::read_to_string(folder.path().join(name)).unwrap()
    };
    let text = run("a.json");
    assert_eq!(text, run("b.json"), "the same every time");
    let events = strict(&text);
    let nodes = events
        .iter()
        .filter(|event| ["compute", "collective"].contains(&event["cat"].as_str().unwrap_or("")));
    let seen: Vec<(u64, u64)> = nodes
        .map(|event| {
            (
                event["pid"].as_u64().unwrap(),
                event["args"]["node"].as_u64().unwrap(),
            )
        })
        .collect();
    let once: BTreeSet<_> = seen.iter().copied().collect();
    assert_eq!((seen.len(), once.len()), (8 * 4, 8 * 4));
    let arrows = events.iter().filter(|event| event["ph"] == "s").count();
    assert_eq!(arrows, 2 * 8 * 4 * 14, "every message of both collectives");
}

/// A message's two sides are joined by an arrow, and the receive waits for its sender.
#[test]
fn messages_between_two_ranks_have_arrows() {
    use genie::workload::chakra::{Node, NodeKind};
    let folder = cases();
    let message = |kind, mine: &str, other: u64, deps: &[u64]| {
        let mut node = Node::new(7, "p2p", kind)
            .with(mine, other as i64)
            .with("comm_size", 4096)
            .with("comm_tag", 1);
        node.data_deps = deps.to_vec();
        node
    };
    let mut ranks: Vec<Vec<Node>> = (0..8).map(|_| vec![compute(0, 1, &[])]).collect();
    ranks[0] = vec![
        compute(0, 20, &[]),
        message(NodeKind::CommSend, "comm_dst", 1, &[0]),
    ];
    ranks[1] = vec![message(NodeKind::CommRecv, "comm_src", 0, &[])];
    traces(folder.path(), ranks);
    let json = json_of(folder.path(), &["--timeline", "t.json"]);
    let receiver = &json["explanation"]["npus"][1];
    assert_eq!(
        receiver["parts"]["peers"], 20_000,
        "the sender computes for 20 us first"
    );
    assert_eq!(receiver["parts"]["network"], 576, "500 + floor(4096 / 53.687)");
    let events = strict(&fs::read_to_string(folder.path().join("t.json")).unwrap());
    assert_eq!(events.iter().filter(|event| event["ph"] == "s").count(), 1);
}

#[test]
fn what_cannot_be_written_is_said() {
    let folder = cases();
    traces(folder.path(), (0..8).map(|_| vec![compute(0, 1, &[])]).collect());
    for flag in ["--records", "--timeline"] {
        let (code, out, err) = genie(folder.path(), &[flag, "nowhere/x/file.csv"]);
        assert_eq!((code, out.as_str()), (2, ""));
        assert!(err.contains("cannot write `nowhere/x/file.csv`"), "{err}");
    }
}

#[test]
fn every_column_is_documented() {
    use genie::report::insight::records::{OPERATIONS, PHASES};
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/astra-insight.md");
    let page = fs::read_to_string(page).unwrap();
    for (name, ..) in OPERATIONS.iter().chain(PHASES) {
        assert!(page.contains(&format!("`{name}`")), "{name}");
    }
}
