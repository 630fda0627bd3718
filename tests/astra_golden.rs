//! ASTRA-sim's own answers, NPU by NPU, integer for integer: see tests/golden/astra/README.md.

use std::collections::BTreeMap;
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use flate2::read::GzDecoder;
use genie::testbed::model::{Backend, Inputs, Options, Outcome};
use genie::workload::chakra::{CollectiveType, Node, NodeKind, Trace, encode};

/// One run of ASTRA-sim.
#[derive(Debug)]
struct Row {
    case: String,
    backend: Backend,
    workload: String,
    system: String,
    network: String,
    memory: String,
    groups: String,
    flags: String,
    /// Cycles and exposed cycles by NPU; empty where ASTRA-sim has no answer.
    answers: Vec<(u64, u64)>,
}

fn golden(name: &str) -> Vec<u8> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/golden/astra")
        .join(name);
    let mut bytes = Vec::new();
    GzDecoder::new(fs::File::open(path).expect("the golden files are whole and can be unpacked"))
        .read_to_end(&mut bytes)
        .expect("the golden files are whole and can be unpacked");
    bytes
}

fn answers(text: &str) -> Vec<(u64, u64)> {
    let run = |run: &str| {
        let (answer, times) = run
            .split_once('x')
            .expect("the golden files are whole and can be unpacked");
        let (cycles, exposed) = answer
            .split_once('/')
            .expect("the golden files are whole and can be unpacked");
        vec![
            (
                cycles
                    .parse()
                    .expect("the golden files are whole and can be unpacked"),
                exposed
                    .parse()
                    .expect("the golden files are whole and can be unpacked")
            );
            times
                .parse()
                .expect("the golden files are whole and can be unpacked")
        ]
    };
    text.split_whitespace().flat_map(run).collect()
}

fn rows() -> Vec<Row> {
    let text =
        String::from_utf8(golden("answers.csv.gz")).expect("the golden files are whole and can be unpacked");
    let row = |line: &str| {
        let mut cells = line.split(',').map(str::to_owned);
        let mut cell = || {
            cells
                .next()
                .expect("the golden files are whole and can be unpacked")
        };
        let (case, _npus) = (cell(), cell());
        let backend = if cell() == "aware" {
            Backend::Aware
        } else {
            Backend::Unaware
        };
        Row {
            case,
            backend,
            workload: cell(),
            system: cell(),
            network: cell(),
            memory: cell(),
            groups: cell(),
            flags: cell(),
            answers: answers(&cell()),
        }
    };
    text.lines().skip(1).map(row).collect()
}

/// Unpacks a tar archive of plain files (POSIX ustar).
fn unpack(archive: &[u8], into: &Path) {
    let mut at = 0;
    while archive[at] != 0 {
        let header = &archive[at..at + 512];
        let text = |range: std::ops::Range<usize>| {
            let field = &header[range];
            let end = field.iter().position(|&b| b == 0).unwrap_or(field.len());
            String::from_utf8(field[..end].to_vec()).expect("the golden files are whole and can be unpacked")
        };
        let size = usize::from_str_radix(text(124..136).trim(), 8)
            .expect("the golden files are whole and can be unpacked");
        let path = into.join(text(345..500)).join(text(0..100));
        fs::create_dir_all(
            path.parent()
                .expect("the golden files are whole and can be unpacked"),
        )
        .expect("the golden files are whole and can be unpacked");
        fs::write(path, &archive[at + 512..at + 512 + size])
            .expect("the golden files are whole and can be unpacked");
        at += 512 + size.next_multiple_of(512);
    }
}

fn cases() -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("the golden files are whole and can be unpacked");
    unpack(&golden("cases.tar.gz"), folder.path());
    folder
}

fn options(row: &Row, folder: &Path) -> Options {
    let file = |name: &str| folder.join(name);
    let given = |name: &str| (!name.is_empty()).then(|| file(name));
    let flags: BTreeMap<&str, &str> = row
        .flags
        .split_whitespace()
        .filter_map(|f| f.split_once('='))
        .collect();
    let flag = |name: &str, default: &str| {
        (*flags.get(name).unwrap_or(&default))
            .parse()
            .expect("the golden files are whole and can be unpacked")
    };
    Options {
        workload: file(&row.workload),
        system: file(&row.system),
        network: file(&row.network),
        memory: given(&row.memory),
        groups: given(&row.groups),
        backend: row.backend,
        queues: flag("--num-queues-per-dim", "1") as u32,
        injection_scale: flag("--injection-scale", "1"),
        rendezvous: flags.get("--rendezvous-protocol") == Some(&"true"),
        extended: false,
    }
}

fn play(options: &Options) -> Result<Outcome, String> {
    let mut simulation = Inputs::read(options).map_err(|e| e.to_string())?.simulation;
    while simulation.run(1 << 20).map_err(|e| e.to_string())? {}
    Ok(simulation.outcome())
}

fn by_rank(outcome: &Outcome) -> Vec<(u64, u64)> {
    let mut finished: Vec<_> = outcome
        .finished
        .iter()
        .map(|f| (f.rank, f.cycles, f.exposed))
        .collect();
    finished.sort_unstable();
    finished
        .into_iter()
        .map(|(_, cycles, exposed)| (cycles, exposed))
        .collect()
}

/// The one row whose files name others relative to the working directory.
fn is_relative(row: &Row) -> bool {
    row.case == "shipped/custom_collective"
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
