//! Stragglers and several jobs in `genie astra`: held to ASTRA-sim's own answers where it has some, and to
//! those of each job alone where jobs cannot meet.

#![allow(clippy::unwrap_used)] // clippy takes helpers of integration tests for code

use std::fs;
use std::path::Path;
use std::process::Command;

use genie::testbed::model::{Backend, Inputs, Options, Outcome};
use genie::workload::chakra::{Node, NodeKind, Trace, encode};
use nix::sys::resource::{UsageWho, getrusage};

mod golden_astra;
use golden_astra::{by_rank, cases, is_relative, options, rows};

fn play(options: &Options) -> Outcome {
    let mut simulation = Inputs::read(options).unwrap().simulation;
    while simulation.run(1 << 20).unwrap() {}
    simulation.outcome()
}

fn written(folder: &Path, name: &str, text: &str) -> std::path::PathBuf {
    let path = folder.join(name);
    fs::write(&path, text).unwrap();
    path
}

#[test]
fn a_slow_npu_gives_what_astra_sim_gives_for_a_trace_with_longer_compute() {
    // In ASTRA-sim's case rank 0 computes 500 us and all others 100 us.
    let folder = cases();
    let slow = written(
        folder.path(),
        "slow.json",
        r#"{"npus": [{"npus": [0], "compute-slowdown": 5}]}"#,
    );
    let stragglers = rows()
        .into_iter()
        .filter(|row| row.case.starts_with("composite/straggler_8/"));
    let mut compared = 0;
    for row in stragglers {
        let options = options(&row, folder.path());
        let prefix = options.workload.display();
        let like_the_others = folder.path().join("alike");
        for rank in 0..8 {
            let to = format!("{}.{rank}.et", like_the_others.display());
            fs::copy(format!("{prefix}.1.et"), to).unwrap();
        }
        let slowed = Options {
            workload: like_the_others,
            npus: Some(slow.clone()),
            ..options
        };
        assert_eq!(
            by_rank(&play(&slowed)),
            row.answers,
            "{} {:?}",
            row.case,
            row.backend
        );
        compared += 1;
    }
    assert!(compared >= 4, "only {compared} cases of a straggler");
}

/// ASTRA-sim's files of one collective on a network of its own.
fn micro(folder: &Path, workload: &str, system: &str, network: &str, backend: Backend) -> Options {
    let mut rows = rows().into_iter();
    let any = rows.find(|row| row.case.starts_with("micro/")).unwrap();
    let file = |name: String| folder.join("cases").join(name);
    Options {
        workload: file(format!("workload/micro/{workload}")),
        system: Some(file(format!("system/{system}.json"))),
        network: file(format!("network/{network}.yml")),
        backend,
        ..options(&any, folder)
    }
}

const REDUCE: &str = "all_reduce/4npus_1MB/all_reduce";
const GATHER: &str = "all_gather/4npus_1KB/all_gather";

fn last(outcome: &Outcome) -> u64 {
    outcome.finished.iter().map(|rank| rank.cycles).max().unwrap()
}

#[test]
fn who_begins_late_ends_late_and_counts_from_the_start() {
    let folder = cases();
    let mut options = micro(folder.path(), REDUCE, "ring_4chunks", "Ring_4", Backend::Unaware);
    let usual = by_rank(&play(&options));
    let late = r#"{"npus": [{"npus": ["0-3"], "start-ns": 1000}]}"#;
    options.npus = Some(written(folder.path(), "late.json", late));
    let expected: Vec<(u64, u64)> = usual.iter().map(|(t, x)| (t + 1000, x + 1000)).collect();
    assert_eq!(by_rank(&play(&options)), expected);
}

#[test]
fn a_job_on_all_npus_is_the_run_without_jobs() {
    let folder = cases();
    let mut compared = 0;
    for (number, row) in rows().into_iter().enumerate() {
        let alone = options(&row, folder.path());
        if is_relative(&row) || row.answers.is_empty() || number % 7 != 0 {
            continue;
        }
        let prefix = alone.workload.display();
        let groups = match &alone.groups {
            Some(groups) => format!(", \"comm-groups\": \"{}\"", groups.display()),
            None => String::new(),
        };
        let last = row.answers.len() - 1;
        let jobs =
            format!("{{\"jobs\": [{{\"workload\": \"{prefix}\", \"npus\": [\"0-{last}\"]{groups}}}]}}");
        let placed = Options {
            jobs: Some(written(folder.path(), "all.json", &jobs)),
            groups: None,
            ..alone
        };
        assert_eq!(
            by_rank(&play(&placed)),
            row.answers,
            "{} {:?}",
            row.case,
            row.backend
        );
        compared += 1;
    }
    assert!(compared > 90, "only {compared} rows");
}

#[test]
fn jobs_that_never_meet_take_what_each_takes_alone() {
    let folder = cases();
    for backend in [Backend::Unaware, Backend::Aware] {
        for system in ["ring_4chunks", "direct_1chunk", "hd_1chunk"] {
            let alone = |workload| micro(folder.path(), workload, system, "FullyConnected_4", backend);
            let (reduce, gather) = (alone(REDUCE), alone(GATHER));
            let jobs = format!(
                r#"{{"jobs": [
                    {{"name": "a", "workload": "{}", "npus": [6, 1, 2, 0]}},
                    {{"name": "b", "workload": "{}", "npus": [3, "4-5", 7], "start-ns": 777}}
                ]}}"#,
                reduce.workload.display(),
                gather.workload.display(),
            );
            let both = play(&Options {
                jobs: Some(written(folder.path(), "jobs.json", &jobs)),
                network: folder.path().join("cases/network/FullyConnected_8.yml"),
                ..reduce.clone()
            });
            let got: Vec<_> = both.jobs.iter().map(|job| (job.start, job.cycles)).collect();
            let (reduce, gather) = (last(&play(&reduce)), last(&play(&gather)));
            assert_eq!(
                got,
                [(0, Some(reduce)), (777, Some(gather))],
                "{system} {backend:?}"
            );
            let of_a = both.finished.iter().filter(|rank| rank.job == 0);
            let mut npus: Vec<u32> = of_a.map(|rank| rank.rank).collect();
            npus.sort_unstable();
            assert_eq!(npus, [0, 1, 2, 6]);
        }
    }
}

#[test]
fn jobs_that_share_links_slow_each_other() {
    // On a ring of 8, ranks on every other NPU: each message of 65,536 bytes takes two links for 1,220 ns each,
    // 1,720 ns after each other. Begun 600 ns apart, one job's messages find the other's on their second link.
    let folder = cases();
    let options = micro(folder.path(), REDUCE, "ring_4chunks", "Ring_8", Backend::Aware);
    let workload = options.workload.display().to_string();
    let job = |npus: &str, start| {
        format!(r#"{{"name": "{npus}", "workload": "{workload}", "npus": [{npus}], "start-ns": {start}}}"#)
    };
    let run = |jobs: &[String]| {
        let jobs = format!("{{\"jobs\": [{}]}}", jobs.join(", "));
        let outcome = play(&Options {
            jobs: Some(written(folder.path(), "jobs.json", &jobs)),
            ..options.clone()
        });
        let cycles = outcome.jobs.iter().map(|job| job.cycles.unwrap());
        cycles.collect::<Vec<_>>()
    };
    let (even, odd) = (job("0, 2, 4, 6", 0), job("1, 3, 5, 7", 600));
    let alone = run(std::slice::from_ref(&even))[0];
    let together = run(&[even, odd]);
    assert!(
        together.iter().any(|&cycles| cycles > alone),
        "{alone} {together:?}"
    );
    let bounds = alone..2 * alone;
    assert!(
        together.iter().all(|cycles| bounds.contains(cycles)),
        "{alone} {together:?}"
    );
}

/// The command with ASTRA-sim's flags, from the folder of the cases.
fn genie(folder: &Path, more: &[&str]) -> (i32, String, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_genie"))
        .args(["astra", "--system-configuration", "cases/system/ring_1chunk.json"])
        .args(["--network-configuration", "cases/network/Switch_8.yml"])
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

#[test]
fn messages_of_a_job_go_where_its_ranks_are() {
    let folder = cases();
    let message = |kind, other: &str, rank: i64| {
        let node = Node::new(1, "p2p", kind).with(other, rank);
        vec![node.with("comm_size", 53_687).with("comm_tag", 1)]
    };
    let ranks = [
        message(NodeKind::CommSend, "comm_dst", 1),
        message(NodeKind::CommRecv, "comm_src", 0),
    ];
    for (rank, nodes) in ranks.into_iter().enumerate() {
        let trace = Trace {
            nodes,
            ..Trace::default()
        };
        fs::write(folder.path().join(format!("p.{rank}.et")), encode(&trace)).unwrap();
    }
    written(
        folder.path(),
        "jobs.json",
        r#"{"jobs": [{"name": "a", "workload": "p", "npus": [5, 2]}, {"name": "b", "workload": "p", "npus": [3, 1], "start-ns": 10}]}"#,
    );
    let (code, out, err) = genie(folder.path(), &["--job-configuration=jobs.json"]);
    assert_eq!(code, 0, "{err}");
    // 53,687 bytes at 53.687 bytes per ns, and two hops of 500 ns.
    for line in [
        "job[a] finished, 1999 cycles after its start at 0, exposed communication at most 1999 cycles.",
        "job[b] finished, 1999 cycles after its start at 10,",
        "sys[5] finished, 1999 cycles",
        "sys[2] finished, 1999 cycles",
        "sys[3] finished, 1999 cycles",
        "sys[1] finished, 1999 cycles",
    ] {
        assert!(out.contains(line), "{line}:\n{out}");
    }
    // Job b takes as long and ends 10 ns after a: its NPUs stand behind, though their numbers are lower.
    let places: Vec<usize> = [2, 5, 1, 3]
        .iter()
        .map(|npu| out.find(&format!("sys[{npu}] finished")).unwrap())
        .collect();
    assert!(places.is_sorted(), "{out}");
    assert_eq!(
        out.matches("] [info] sys[").count() - out.matches("[statistics]").count(),
        4,
        "{out}"
    );
    let (code, out, _) = genie(folder.path(), &["--job-configuration=jobs.json", "--json"]);
    let json: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!(code, 0);
    assert_eq!(
        (&json["jobs"][1]["name"], &json["jobs"][1]["cycles"]),
        (&"b".into(), &1999.into())
    );
    let rank = json["finished"]
        .as_array()
        .unwrap()
        .iter()
        .find(|rank| rank["rank"] == 5)
        .unwrap();
    assert_eq!((&rank["job"], &rank["rank_in_job"]), (&"a".into(), &0.into()));
}

/// An NPU that executes nothing costs 8 bytes in the event queue, and a state of some 500 bytes no more: 4 M of them
/// are 32 MiB, not 2 GiB.
#[test]
fn idle_npus_cost_next_to_nothing() {
    let folder = cases();
    let micro = folder
        .path()
        .join("cases/workload/micro/all_reduce/4npus_1MB/all_reduce");
    let jobs = format!(
        r#"{{"jobs": [{{"workload": "{}", "npus": [4000000, 7, 65536, 0]}}]}}"#,
        micro.display()
    );
    written(folder.path(), "jobs.json", &jobs);
    let large = "topology: [Switch]\nnpus_count: [4194304]\nbandwidth: [50]\nlatency: [500]\n";
    written(folder.path(), "large.yml", large);
    let (code, out, err) = genie(
        folder.path(),
        &[
            "--job-configuration=jobs.json",
            "--network-configuration=large.yml",
        ],
    );
    assert_eq!(code, 0, "{err}");
    assert!(out.contains("sys[4000000] finished"), "{out}");
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN).unwrap();
    let most = usage.max_rss() / 1024;
    assert!(most < 256, "{most} MiB");
}

#[test]
fn a_job_that_never_ends_is_named_and_others_end() {
    let folder = cases();
    let alone = Node::new(7, "lonely", NodeKind::CommRecv)
        .with("comm_src", 0)
        .with("comm_size", 8)
        .with("comm_tag", 1);
    let trace = |nodes| {
        encode(&Trace {
            nodes,
            ..Trace::default()
        })
    };
    fs::write(
        folder.path().join("w.0.et"),
        trace(vec![Node::new(1, "c", NodeKind::Comp)]),
    )
    .unwrap();
    fs::write(folder.path().join("w.1.et"), trace(vec![alone])).unwrap();
    fs::write(
        folder.path().join("v.0.et"),
        trace(vec![Node::new(1, "c", NodeKind::Comp)]),
    )
    .unwrap();
    written(
        folder.path(),
        "jobs.json",
        r#"{"jobs": [{"name": "w", "workload": "w", "npus": [4, 6]}, {"name": "v", "workload": "v", "npus": [0]}]}"#,
    );
    let (code, out, err) = genie(folder.path(), &["--job-configuration=jobs.json"]);
    assert_eq!(code, 4, "{err}");
    assert!(
        out.contains("job[w] never finishes: 1 of its 2 ranks do."),
        "{out}"
    );
    assert!(out.contains("job[v] finished, 1 cycles"), "{out}");
    let stuck = "job `w`, rank 1 on NPU 6: node 7 `lonely` waits for 8 bytes from rank 0, tag 1";
    assert!(err.contains(stuck), "{err}");
    assert!(err.contains("1 of 3 ranks never finish"), "{err}");
}

#[test]
fn wrong_files_are_refused_with_their_place() {
    let folder = cases();
    let micro = "cases/workload/micro/all_reduce/4npus_1MB/all_reduce";
    let jobs = |npus: &str| format!(r#"{{"jobs": [{{"workload": "{micro}", "npus": [{npus}]}}]}}"#);
    for (text, part) in [
        (jobs("\"0-8\""), "`0-8` is no range of `npus`"),
        (
            jobs("\"0-7\""),
            "all_reduce.4.et` does not exist: 8 NPUs need one trace each",
        ),
        ("[".into(), "jobs.json"),
    ] {
        written(folder.path(), "jobs.json", &text);
        let (code, out, err) = genie(folder.path(), &["--job-configuration=jobs.json"]);
        assert_eq!((code, out.as_str()), (2, ""), "{err}");
        assert!(err.contains(part), "{part}:\n{err}");
    }
    written(
        folder.path(),
        "own.json",
        &jobs("0, 1, 2, 3").replace(
            "\"npus\"",
            "\"system\": \"cases/system/ring_1chunk.json\", \"npus\"",
        ),
    );
    let (code, _, err) = genie(folder.path(), &["--job-configuration=own.json"]);
    assert_eq!(code, 0, "{err}");
    assert!(err.contains("--system-configuration has no effect"), "{err}");
    let without = |jobs: &str| {
        let output = Command::new(env!("CARGO_BIN_EXE_genie"))
            .args(["astra", "--network-configuration", "cases/network/Switch_8.yml"])
            .args(["--job-configuration", jobs])
            .current_dir(folder.path())
            .output()
            .unwrap();
        let err = String::from_utf8(output.stderr).unwrap();
        (output.status.code().unwrap(), err)
    };
    let (code, err) = without("own.json");
    assert!(
        code == 0 && !err.contains("--system-configuration"),
        "{code} {err}"
    );
    written(folder.path(), "none.json", &jobs("0, 1, 2, 3"));
    let (code, err) = without("none.json");
    assert!(
        code == 2 && err.contains("job `job0` has no `system`"),
        "{code} {err}"
    );
    let (code, _, err) = genie(folder.path(), &[]);
    assert_eq!(code, 2);
    assert!(err.contains("--workload-configuration"), "{err}");
    written(
        folder.path(),
        "n.json",
        r#"{"npus": [{"npus": [8], "start-ns": 1}]}"#,
    );
    let (code, out, err) = genie(
        folder.path(),
        &["--workload-configuration", micro, "--npu-configuration=n.json"],
    );
    assert_eq!((code, out.as_str()), (2, ""));
    assert!(err.contains("n.json") && err.contains("from 0 to 7"), "{err}");
}
