//! Rules of ASTRA-sim's that the golden set does not touch, each in a small case with the answers that
//! ASTRA-sim 518bd51 (network-analytical v2.2.1) printed for it, NPU by NPU. `benches/astra` finds more.

#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::{Path, PathBuf};

use genie::testbed::model::{Backend, Inputs, Options};
use genie::workload::chakra::{Node, NodeKind, Trace, encode};

/// A folder of inputs.
struct Case {
    folder: tempfile::TempDir,
    options: Options,
}

const ALL_REDUCE: u64 = 0;

fn collective(id: u64, bytes: u64) -> Node {
    let node = Node::new(id, format!("c{id}"), NodeKind::CommColl);
    node.with("comm_type", ALL_REDUCE).with("comm_size", bytes)
}

fn after(mut node: Node, other: u64) -> Node {
    node.data_deps = vec![other];
    node
}

fn message(id: u64, kind: NodeKind, from: u64, to: u64, bytes: u64) -> Node {
    let node = Node::new(id, format!("m{id}"), kind);
    let node = node.with("comm_src", from).with("comm_dst", to);
    node.with("comm_size", bytes).with("comm_tag", 0u64)
}

impl Case {
    fn new(backend: Backend, network: &str, system: &str) -> Case {
        let folder = tempfile::tempdir().unwrap();
        let options = Options {
            workload: folder.path().join("t"),
            jobs: None,
            npus: None,
            system: Some(folder.path().join("system.json")),
            network: folder.path().join("network.yml"),
            memory: None,
            groups: None,
            backend,
            queues: 1,
            injection_scale: 1.0,
            rendezvous: false,
            extended: false,
            symmetry: true,
        };
        let case = Case { folder, options };
        let common = "\"scheduling-policy\": \"LIFO\", \"local-mem-bw\": 50, \"collective-optimization\": \"localBWAware\"";
        case.put("network.yml", network);
        let system = system.replace('@', case.folder.path().to_str().unwrap());
        case.put("system.json", &format!("{{{common}, {system}}}"));
        case
    }

    fn put(&self, name: &str, text: &str) -> PathBuf {
        let path = self.folder.path().join(name);
        fs::write(&path, text).unwrap();
        path
    }

    fn traces(self, prefix: &str, ranks: u64, nodes: impl Fn(u64) -> Vec<Node>) -> Case {
        for rank in 0..ranks {
            let trace = Trace {
                nodes: nodes(rank),
                ..Trace::default()
            };
            let path = self.folder.path().join(format!("{prefix}.{rank}.et"));
            fs::write(path, encode(&trace)).unwrap();
        }
        self
    }

    /// Cycles by rank. GENIE_KEEP_CASES=DIR keeps the inputs, to ask ASTRA-sim itself.
    fn cycles(self, name: &str) -> Vec<u64> {
        let mut simulation = Inputs::read(&self.options).unwrap().simulation;
        while simulation.run(1 << 20).unwrap() {}
        let outcome = simulation.outcome();
        assert!(outcome.stuck.is_empty(), "{:?}", outcome.stuck);
        let mut finished: Vec<(u32, u64)> = outcome.finished.iter().map(|f| (f.rank, f.cycles)).collect();
        finished.sort_unstable();
        if let Some(folder) = std::env::var_os("GENIE_KEEP_CASES") {
            keep(self.folder.path(), &Path::new(&folder).join(name));
        }
        finished.into_iter().map(|(_, cycles)| cycles).collect()
    }
}

fn keep(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let text = fs::read(entry.path()).unwrap();
        let moved = String::from_utf8(text.clone())
            .map(|text| text.replace(from.to_str().unwrap(), to.to_str().unwrap()));
        fs::write(to.join(entry.file_name()), moved.map_or(text, String::into_bytes)).unwrap();
    }
}

const SWITCH_4: &str = "topology: [Switch]\nnpus_count: [4]\nbandwidth: [50]\nlatency: [500]\n";

/// Rank 0 sends to all others at once over one link. Who is served first is up to the hash set in which
/// ASTRA-sim keeps steps that may begin: the order of the file for 3, hardly any order for 23.
#[test]
fn steps_of_a_custom_algorithm_begin_in_the_order_of_a_hash_set() {
    let system = "\"preferred-dataset-splits\": 1, \"all-reduce-implementation-custom\": [\"@/algorithm\"]";
    let cycles = |network: &str, order: &[u64]| {
        let npus = order.len() as u64 + 1;
        let case = Case::new(Backend::Aware, network, system)
            .traces("t", npus, |_| vec![collective(0, 1 << 20)])
            .traces("algorithm", npus, |rank| match rank {
                0 => order
                    .iter()
                    .map(|&to| message(7 * to, NodeKind::CommSend, 0, to, 1 << 20))
                    .collect(),
                _ => vec![message(0, NodeKind::CommRecv, 0, rank, 1 << 20)],
            });
        case.cycles(&format!("hash_set_{npus}"))
    };
    assert_eq!(cycles(SWITCH_4, &[3, 1, 2]), [79_124, 59_593, 79_124, 40_062]);
    let ascending: Vec<u64> = (1..24).collect();
    assert_eq!(
        cycles(&SWITCH_4.replace("[4]", "[24]"), &ascending),
        [
            469_744, 469_744, 430_682, 391_620, 215_841, 196_310, 176_779, 157_248, 137_717, 118_186, 98_655,
            79_124, 59_593, 40_062, 450_213, 411_151, 372_089, 352_558, 333_027, 313_496, 293_965, 274_434,
            254_903, 235_372
        ]
    );
}

/// Files go by rank, partners by the order of the list: rank 0 has the file 0 and is the middle one.
#[test]
fn a_group_reads_its_algorithm_by_rank_and_talks_by_its_list() {
    let system = "\"preferred-dataset-splits\": 1, \"all-reduce-implementation-custom\": [\"@/algorithm\"]";
    let mut case = Case::new(Backend::Unaware, SWITCH_4, system)
        .traces("t", 4, |rank| {
            let compute = Node::new(0, "compute", NodeKind::Comp);
            if rank == 3 {
                return vec![compute];
            }
            vec![collective(0, 1 << 20).with("pg_name", "7")]
        })
        .traces("algorithm", 3, |place| match place {
            0 => vec![message(0, NodeKind::CommSend, 0, 0, 1000)],
            1 => vec![message(0, NodeKind::CommSend, 1, 0, 1_000_000)],
            _ => vec![
                message(0, NodeKind::CommRecv, 1, 2, 1000),
                message(1, NodeKind::CommRecv, 2, 2, 1_000_000),
            ],
        });
    case.options.groups = Some(case.put("groups.json", "{\"7\": [2, 0, 1]}"));
    assert_eq!(case.cycles("group_custom"), [1018, 19_626, 19_626, 1]);
}

/// A group's first all-reduce has no algorithm of its own, so its second, which has one, does without.
#[test]
fn a_group_keeps_the_algorithm_of_its_first_collective() {
    let system = "\"preferred-dataset-splits\": 1, \"all-reduce-implementation\": [\"ring\"], \"per-node-custom-implementation\": \"@/nodes.yml\"";
    let mut case = Case::new(Backend::Unaware, SWITCH_4, system)
        .traces("t", 4, |rank| {
            let group = if rank < 2 { "1" } else { "2" };
            let second = after(collective(1, 1 << 20), 0);
            vec![
                collective(0, 1 << 20).with("pg_name", group),
                second.with("pg_name", group),
            ]
        })
        .traces("algorithm", 2, |place| {
            let mut slow = Node::new(0, "slow", NodeKind::Comp);
            slow.duration_us = 1000 + place;
            vec![slow]
        });
    let path = case.folder.path().join("algorithm").display().to_string();
    case.put("nodes.yml", &format!("1: {path}\n"));
    case.options.groups = Some(case.put("groups.json", "{\"1\": [0, 1], \"2\": [2, 3]}"));
    assert_eq!(case.cycles("plan"), [106_030; 4]);
}

/// Two visits of the first dimension's trees to one of the second's, for each chunk.
#[test]
fn trees_of_each_dimension_alternate_by_themselves() {
    let network = "topology: [Switch, Ring]\nnpus_count: [4, 4]\nbandwidth: [50, 25]\nlatency: [500, 100]\n";
    let system = "\"preferred-dataset-splits\": 5, \"active-chunks-per-dimension\": 2, \
        \"all-reduce-implementation\": [\"doubleBinaryTree\", \"doubleBinaryTree\"]";
    let case =
        Case::new(Backend::Unaware, network, system).traces("t", 16, |_| vec![collective(0, 5_000_000)]);
    let by_rank = [
        1_349_812, 1_449_084, 1_429_448, 1_449_084, 1_312_450, 1_411_722, 1_392_086, 1_411_722, 1_349_812,
        1_449_084, 1_429_448, 1_449_084, 1_214_988, 1_314_260, 1_294_624, 1_314_260,
    ];
    assert_eq!(case.cycles("trees"), by_rank);
}

#[test]
fn the_default_endpoint_delay_is_not_scaled() {
    let system = "\"preferred-dataset-splits\": 1, \"all-reduce-implementation\": [\"ring\"]";
    let mut case =
        Case::new(Backend::Unaware, SWITCH_4, system).traces("t", 4, |_| vec![collective(0, 1 << 20)]);
    case.options.injection_scale = 100.0;
    assert_eq!(case.cycles("endpoint"), [82_540; 4]);
}

/// 1001 bytes are halved to 500, 250, 125, and doubled again from 62 that were cut off.
#[test]
fn halving_doubling_doubles_what_was_cut_off() {
    let network = "topology: [Switch]\nnpus_count: [8]\nbandwidth: [0.001]\nlatency: [5]\n";
    let system = "\"preferred-dataset-splits\": 1, \"all-reduce-implementation\": [\"halvingDoubling\"]";
    let case = Case::new(Backend::Aware, network, system).traces("t", 8, |_| vec![collective(0, 1001)]);
    assert_eq!(case.cycles("halving"), [3_246_733; 8]);
}

/// A fifth dimension takes no part: 5 x 2 rings without `involved_dim`.
#[test]
fn four_dimensions_take_part_unless_more_are_named() {
    let list = |item: &str| format!("[{}]", [item; 5].join(", "));
    let network = format!(
        "topology: {}\nnpus_count: {}\nbandwidth: {}\nlatency: [100, 200, 300, 400, 500]\n",
        list("Ring"),
        list("2"),
        list("50")
    );
    let system = format!(
        "\"preferred-dataset-splits\": 2, \"all-reduce-implementation\": {}",
        list("\"ring\"")
    );
    let case =
        Case::new(Backend::Unaware, &network, &system).traces("t", 32, |_| vec![collective(0, 1 << 20)]);
    assert_eq!(case.cycles("five"), [70_668; 32]);
    let named = Case::new(Backend::Unaware, &network, &system).traces("t", 32, |_| {
        vec![collective(0, 1 << 20).with(
            "involved_dim",
            genie::workload::chakra::Value::BoolList(vec![true; 5]),
        )]
    });
    assert_eq!(named.cycles("five_named"), [73_299; 32]);
}

/// The last packet of 8 bytes halved for 8 ranks is empty; on the shared bus it costs a byte's time less.
#[test]
fn an_empty_packet_takes_a_byte_less_on_the_bus() {
    let network = "topology: [Switch]\nnpus_count: [8]\nbandwidth: [50]\nlatency: [500]\n";
    let system = "\"preferred-dataset-splits\": 1, \"model-shared-bus\": 1, \"L\": 54, \"o\": 23, \"g\": 32, \"G\": 0.5, \
        \"reduce-scatter-implementation\": [\"halvingDoubling\"]";
    let scatter = || {
        let node = Node::new(0, "scatter", NodeKind::CommColl);
        node.with("comm_type", 7u64).with("comm_size", 8u64)
    };
    let case = Case::new(Backend::Unaware, network, system).traces("t", 8, |_| vec![scatter()]);
    assert_eq!(case.cycles("empty"), [4499; 8]);
}

/// Only groups of fewer than all ranks have the fixed endpoint delay; one of all, in whatever order, has what is set.
#[test]
fn a_group_of_all_ranks_is_no_small_one() {
    let system =
        "\"preferred-dataset-splits\": 1, \"endpoint-delay\": 20, \"all-reduce-implementation\": [\"ring\"]";
    let said = |groups: &str| {
        let mut case = Case::new(Backend::Unaware, SWITCH_4, system).traces("t", 4, |rank| {
            let group = if groups.contains("\"2\"") && rank > 1 {
                "2"
            } else {
                "1"
            };
            vec![collective(0, 1 << 20).with("pg_name", group)]
        });
        case.options.groups = Some(case.put("groups.json", groups));
        let cautions = Inputs::read(&case.options).unwrap().cautions;
        cautions
            .iter()
            .any(|caution| caution.contains("groups smaller than all"))
    };
    assert!(said(r#"{"1": [0, 1], "2": [2, 3]}"#));
    assert!(!said(r#"{"1": [0, 1, 2, 3]}"#));
    assert!(!said(r#"{"1": [3, 0, 2, 1]}"#));
}
