//! With `verify = true` ranks carry real data, reduce it, and check every element of the result. So
//! these runs prove algorithms, chunking, communicators and transport together, over real sockets.

mod run_support;

use std::fmt::Write;

use genie::system::collective::supports;
use genie::system::op::{Algorithm, Collective};
use run_support::{Genie, Value};

const RANKS: u32 = 5;

/// Ranks over loopback; no privileges.
fn header(ranks: u32) -> String {
    format!("name = \"verify\"\n[testbed]\nfabric = \"host\"\nranks = {ranks}\nverify = true\n")
}

/// Every collective by every algorithm that it has, with these further keys.
fn everything(keys: &str) -> String {
    let mut text = String::new();
    for collective in Collective::ALL {
        for algorithm in Algorithm::ALL {
            if supports(collective, algorithm).is_err() {
                continue;
            }
            let sizes = if collective == Collective::Barrier {
                ""
            } else {
                keys
            };
            writeln!(
                text,
                "[[traffic.collective]]\nop = \"{collective}\"\nalgorithm = \"{algorithm}\"\n{sizes}\niterations = 2\nwarmup = 1"
            )
            .expect("a text takes all");
        }
    }
    text
}

fn play(scenario: &str) -> Value {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("verify.toml");
    std::fs::write(&file, scenario).expect("it takes files");
    let run = Genie::new()
        .arg("run")
        .arg(file)
        .arg("--json")
        .results(&folder.path().join("results"));
    let report = run.end().expect(0).json();
    assert_eq!(report["verified"], true);
    report
}

/// All rows were played and no element is wrong; gives the number of rows.
fn assert_right(report: &Value) -> usize {
    assert_eq!(report["status"], "completed");
    let ops = report["ops"].as_array().expect("ops");
    for op in ops {
        assert_eq!(op["wrong"], 0, "{op}");
        assert_eq!(op["iterations"], 2, "{op}");
    }
    ops.len()
}

/// 5 is odd and no power of two, and 5 does not divide these sizes: 4 B is one element for five
/// blocks (four are empty), 1028 B is 257 elements, 40004 B needs several packets.
#[test]
fn every_collective_and_algorithm_is_right_for_odd_sizes() {
    let scenario = header(RANKS) + &everything("sizes = [\"4 B\", \"1028 B\", \"40004 B\"]");
    let rows = assert_right(&play(&scenario));
    let pairs = Collective::ALL
        .iter()
        .flat_map(|&c| Algorithm::ALL.map(|a| (c, a)))
        .filter(|&(c, a)| supports(c, a).is_ok());
    let expected: usize = pairs
        .map(|(c, _)| if c == Collective::Barrier { 1 } else { 3 })
        .sum();
    assert_eq!(rows, expected);
}

/// The same over RoCE v2 by genie's own endpoint, each rank at an address of its own.
#[test]
fn every_collective_and_algorithm_is_right_over_userspace_roce() {
    let scenario = header(RANKS)
        + "transport = \"roce-user\"\n[host]\naddresses = [\"127.77.0.1\"]\n"
        + &everything("sizes = [\"4 B\", \"1028 B\", \"400004 B\"]");
    let report = play(&scenario);
    assert_right(&report);
    assert_eq!(report["transport"], "roce-user");
}

/// Chunks of 2 KiB, three in flight, over two connections per pair with two slots of 1 KiB: every
/// limit of the transport is hit, and pieces overtake each other.
#[test]
fn chunks_channels_and_few_slots_change_nothing() {
    let scenario = header(RANKS)
        + "[tcp]\nchannels = 2\nslot = \"1 KiB\"\nslots = 2\n"
        + &everything("sizes = \"30004 B\"\nchunk = \"2 KiB\"\nchunks_in_flight = 3");
    assert_right(&play(&scenario));
}

/// A root that is not the first, another element type, another operator.
#[test]
fn roots_types_and_operators_are_what_was_asked_for() {
    let mut scenario = header(RANKS);
    for op in ["broadcast", "reduce", "gather", "scatter"] {
        let keys = "sizes = \"1001 B\"\ndtype = \"int8\"\nredop = \"max\"\nroot = 3\niterations = 2";
        writeln!(scenario, "[[traffic.collective]]\nop = \"{op}\"\n{keys}").unwrap();
    }
    for (dtype, redop) in [
        ("int32", "min"),
        ("int64", "sum"),
        ("float64", "max"),
        ("int8", "sum"),
    ] {
        let keys = format!("sizes = \"4000 B\"\ndtype = \"{dtype}\"\nredop = \"{redop}\"\niterations = 2");
        writeln!(scenario, "[[traffic.collective]]\nop = \"all-reduce\"\n{keys}").unwrap();
    }
    assert_right(&play(&scenario));
}

/// A communicator of three ranks in another order: the two outside play nothing and hold nobody up.
#[test]
fn a_communicator_of_some_ranks_is_right() {
    let mut scenario = header(RANKS) + "[[communicator]]\nname = \"odd\"\nranks = [4, 0, 3]\n";
    for op in [
        "all-reduce",
        "all-gather",
        "reduce-scatter",
        "all-to-all",
        "broadcast",
        "send-recv",
    ] {
        let keys = "communicator = \"odd\"\nsizes = [\"8 B\", \"10004 B\"]\niterations = 2";
        writeln!(scenario, "[[traffic.collective]]\nop = \"{op}\"\n{keys}").unwrap();
    }
    let report = play(&scenario);
    assert_eq!(assert_right(&report), 12);
    for op in report["ops"].as_array().unwrap() {
        assert_eq!(op["ranks"], 3, "{op}");
    }
}

/// All-to-all(v): every pair has its size, some send nothing, one sends to itself.
#[test]
fn all_to_all_with_a_matrix_is_right() {
    let matrix = r#"matrix = [
        ["4 KiB", "0 B", "12 B"],
        ["100 KiB", "0 B", "0 B"],
        ["4 B", "0 B", "0 B"],
    ]"#;
    let mut scenario = header(3);
    for algorithm in ["direct", "ring"] {
        let keys = format!("algorithm = \"{algorithm}\"\n{matrix}\niterations = 2");
        writeln!(scenario, "[[traffic.collective]]\nop = \"all-to-all\"\n{keys}").unwrap();
    }
    assert_eq!(assert_right(&play(&scenario)), 2);
}

/// One rank alone and two ranks: the ends of every formula.
#[test]
fn one_and_two_ranks_are_right() {
    for ranks in [1, 2] {
        assert_right(&play(&(header(ranks) + &everything("sizes = \"1028 B\""))));
    }
}
