//! Where one rank stands for all, the answer is that of all: on every golden row, and on inputs made so
//! that as much as possible happens at the same time.

#![allow(clippy::unwrap_used)] // clippy takes helpers of integration tests for code

use std::sync::Arc;

use genie::network::analytical::Topology;
use genie::network::analytical::config::{BlockKind, Dim, NetworkConfig};
use genie::system::bus::BusConfig;
use genie::system::op::Collective;
use genie::system::setup::{CustomAlgorithm, CustomSource, Implementation, Pattern, Policy, Setup};
use genie::testbed::model::parts::{Job, Parts, Wiring};
use genie::testbed::model::{Backend, Inputs, Options, Outcome, Simulation};
use genie::workload::chakra::{Attribute, CollectiveType, Node, NodeKind, Value};
use genie::workload::graph::{Graph, Rules};
use genie::workload::memory::RemoteMemory;

mod golden_astra;
use golden_astra::{Row, by_rank, cases, is_relative, options, rows};

/// Everything that is said of a run.
fn told(outcome: &Outcome) -> String {
    let Outcome {
        finished,
        stuck,
        messages,
        events,
        stalled_ranks,
        ..
    } = outcome;
    format!("{finished:?} {stuck:?} {messages} messages, {events} events, {stalled_ranks} stalled")
}

fn play(mut simulation: Simulation) -> Outcome {
    while simulation.run(1 << 20).unwrap() {}
    simulation.outcome()
}

#[test]
fn the_golden_rows_are_the_same_with_and_without() {
    let folder = cases();
    let rows: Vec<Row> = rows().into_iter().filter(|row| !is_relative(row)).collect();
    let read = |options: &Options| Some(Inputs::read(options).ok()?.simulation);
    let (mut one, mut all) = (0, 0);
    for row in rows {
        let with = options(&row, folder.path());
        let without = Options {
            symmetry: false,
            ..with.clone()
        };
        let Some((with, without)) = read(&with).zip(read(&without)) else {
            continue;
        };
        let with = play(with);
        if with.simulated_ranks > 1 {
            all += 1;
            continue;
        }
        one += 1;
        if !row.answers.is_empty() {
            assert_eq!(by_rank(&with), row.answers, "{} {:?}", row.case, row.backend);
        }
        let without = play(without);
        assert_eq!(told(&with), told(&without), "{} {:?}", row.case, row.backend);
        assert_eq!(without.simulated_ranks, without.finished.len() as u64);
    }
    assert!(
        one > 250,
        "one rank stood for all in only {one} rows, not in {all}"
    );
}

/// Numbers that look random and are the same each time (xorshift).
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % limit
    }

    fn of<T: Copy>(&mut self, all: &[T]) -> T {
        all[self.below(all.len() as u64) as usize]
    }
}

/// A network whose links carry whole bytes per nanosecond, with latencies of few nanoseconds.
fn network(numbers: &mut Numbers) -> NetworkConfig {
    let dims = (0..=numbers.below(3)).map(|_| Dim {
        kind: numbers.of(&[BlockKind::Ring, BlockKind::Switch, BlockKind::FullyConnected]),
        npus: 2 + numbers.below(4) as u32,
        bandwidth_gib_per_s: numbers.of(&[1.0, 2.0, 7.0, 50.0]) * 1e9 / f64::from(1 << 30),
        latency_ns: numbers.of(&[1.0, 2.0, 5.0, 10.0, 20.0, 1.5]),
    });
    NetworkConfig { dims: dims.collect() }
}

fn setup(numbers: &mut Numbers, config: &NetworkConfig) -> Setup {
    let patterns = [
        Pattern::Ring,
        Pattern::Ring,
        Pattern::Direct(None),
        Pattern::Direct(Some(1)),
        Pattern::Direct(Some(2)),
    ];
    let mut implementation = || {
        let pattern = numbers.of(&patterns);
        Implementation { pattern, flat: false }
    };
    let dims = config.dims.len();
    Setup {
        dimensions: config.dims.iter().map(|dim| dim.npus).collect(),
        implementations: std::array::from_fn(|_| (0..dims).map(|_| implementation()).collect()),
        splits: 1 + numbers.below(4),
        queues: 1 + numbers.below(3) as u32,
        active_chunks: 1 + numbers.below(4) as u32,
        policy: numbers.of(&[Policy::Lifo, Policy::Fifo, Policy::Explicit]),
        baseline: numbers.below(2) == 0,
        endpoint_delay: numbers.of(&[0, 1, 2, 5, 10, 10]),
        local_mem_bandwidth: numbers.of(&[0.0, 1e9, 1e11, 1.6e12]),
        ..Setup::default()
    }
}

/// Bytes of few packets.
const SMALL: &[i64] = &[1, 100, 1000, 1024, 4096];

/// Compute of few microseconds and collectives of few bytes, each behind some of those before.
fn nodes(numbers: &mut Numbers, sizes: &[i64]) -> Vec<Node> {
    let count = 1 + numbers.below(7);
    let node = |id: u64| {
        let mut node = if numbers.below(3) == 0 {
            let mut node = Node::new(id, "compute", NodeKind::Comp);
            node.duration_us = numbers.below(3);
            node.with("is_cpu_op", numbers.below(2) == 0)
        } else {
            let kind = numbers.of(&[
                CollectiveType::AllReduce,
                CollectiveType::AllGather,
                CollectiveType::ReduceScatter,
                CollectiveType::AllToAll,
            ]);
            let node = Node::new(id, "collective", NodeKind::CommColl).with("comm_type", kind as i64);
            let node = node.with("comm_size", numbers.of(sizes));
            node.with("comm_priority", numbers.below(3) as i64)
        };
        node.data_deps = (0..id).filter(|_| numbers.below(3) == 0).collect();
        node
    };
    (0..count).map(node).collect()
}

#[test]
fn whatever_happens_at_the_same_time_the_answer_is_that_of_all_ranks() {
    let mut numbers = Numbers(0x9E37_79B9_7F4A_7C15);
    let (mut one, mut all) = (0, 0);
    for case in 0..2000 {
        let config = network(&mut numbers);
        let setup = Arc::new(setup(&mut numbers, &config));
        let topology = Topology::new(&config).unwrap();
        let npus = topology.npus();
        let rules = Rules {
            npus,
            ..Rules::default()
        };
        let graph = Arc::new(Graph::new(0, nodes(&mut numbers, SMALL), &rules).unwrap());
        let backend = numbers.of(&[Backend::Unaware, Backend::Aware]);
        let job = Job::alone(vec![Arc::clone(&graph); npus as usize], &setup);
        let said = format!("case {case}: {config:?} {backend:?} {setup:?}");
        match stands_for_all(&topology, backend, job, &said) {
            true => one += 1,
            false => all += 1,
        }
    }
    assert!(one > 300 && all > 300, "{one} by one rank, {all} by all");
}

/// Plays a job with and without; whether one rank stood for all. Either way what is told is the same.
fn stands_for_all(topology: &Topology, backend: Backend, job: Job, said: &str) -> bool {
    let job = Arc::new(job);
    let simulation = |symmetry| {
        let wiring = Wiring {
            topology: topology.clone(),
            backend,
        };
        let parts = Parts {
            jobs: vec![Arc::clone(&job)],
            memory: RemoteMemory::None,
            symmetry,
        };
        Simulation::new(wiring, parts)
    };
    let (with, without) = (play(simulation(true)), play(simulation(false)));
    assert_eq!(told(&with), told(&without), "{said}");
    with.simulated_ranks == 1
}

/// What may make one rank unlike the others, or not.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Unlike {
    Nothing,
    /// A rank has another endpoint.
    Kind,
    /// A rank begins later.
    Late,
    /// All ranks begin later.
    AllLate,
    /// A rank has another graph.
    Graph,
}

/// Nodes of larger sizes too, over some of the dimensions, and over groups 1 and 2.
fn varied(numbers: &mut Numbers, dims: usize) -> Vec<Node> {
    let mut nodes = nodes(numbers, &[1000, 4096, 5000, 65_536, 1 << 20]);
    for node in nodes.iter_mut().filter(|node| node.kind == NodeKind::CommColl) {
        let attribute = match numbers.below(3) {
            0 => {
                let involved = (0..dims).map(|_| numbers.below(4) > 0).collect();
                Attribute::new("involved_dim", Value::BoolList(involved))
            }
            1 => Attribute::new("pg_name", numbers.of(&["1", "2"])),
            _ => continue,
        };
        node.attributes.push(attribute);
    }
    nodes
}

/// The same, behind a compute of their own.
fn delayed(mut nodes: Vec<Node>) -> Vec<Node> {
    let mut before = Node::new(99, "before", NodeKind::Comp).with("is_cpu_op", false);
    before.duration_us = 3;
    for node in &mut nodes {
        node.data_deps.push(99);
    }
    nodes.push(before);
    nodes
}

/// Larger sizes, some of the dimensions, groups of all ranks in order and not, and ranks that are not alike.
#[test]
fn groups_of_all_some_dimensions_and_unlike_ranks_are_answered_as_by_all() {
    let mut numbers = Numbers(0xD1B5_4A32_D192_ED03);
    let (mut one, mut all) = (0, 0);
    for case in 0..1000 {
        let config = network(&mut numbers);
        let setup = Arc::new(setup(&mut numbers, &config));
        let topology = Topology::new(&config).unwrap();
        let npus = topology.npus();
        let rules = Rules {
            npus,
            ..Rules::default()
        };
        let nodes = varied(&mut numbers, config.dims.len());
        let graph = |nodes: Vec<Node>| Arc::new(Graph::new(0, nodes, &rules).unwrap());
        let mut job = Job::alone(vec![graph(nodes.clone()); npus as usize], &setup);
        let mut shuffled: Vec<u32> = (0..npus).collect();
        for place in (1..shuffled.len()).rev() {
            shuffled.swap(place, numbers.below(place as u64 + 1) as usize);
        }
        job.groups = [(1, (0..npus).collect()), (2, shuffled.into())].into();
        let unlike = numbers.of(&[
            Unlike::Nothing,
            Unlike::Nothing,
            Unlike::Nothing,
            Unlike::Kind,
            Unlike::Late,
            Unlike::AllLate,
            Unlike::Graph,
        ]);
        let which = numbers.below(npus.into()) as usize;
        match unlike {
            Unlike::Nothing => {}
            Unlike::Kind => {
                job.members[which].setup = Arc::new(Setup {
                    endpoint_delay: setup.endpoint_delay + 3,
                    ..(*setup).clone()
                });
            }
            Unlike::Late => job.members[which].begins = 5,
            Unlike::AllLate => job.members.iter_mut().for_each(|member| member.begins = 5),
            Unlike::Graph => job.members[which].graph = graph(delayed(nodes)),
        }
        let backend = numbers.of(&[Backend::Unaware, Backend::Aware]);
        let said = format!("case {case}: {config:?} {backend:?} {unlike:?} {setup:?}");
        match stands_for_all(&topology, backend, job, &said) {
            true => {
                assert_eq!(unlike, Unlike::Nothing, "{said}");
                one += 1;
            }
            false => all += 1,
        }
    }
    assert!(one > 100 && all > 300, "{one} by one rank, {all} by all");
}

/// Every collective is carried out by the implementations.
#[derive(Debug)]
struct NoneCustom;

impl CustomSource for NoneCustom {
    fn algorithm(&self, _: u64, _: Collective, _: u32) -> CustomAlgorithm {
        CustomAlgorithm::Native
    }
}

/// Makes a setup another.
type Change<'a> = &'a dyn Fn(&mut Setup);

/// An all-reduce on a ring is the same from every rank; each of these changes makes it not so, or not known to be.
#[test]
fn one_rank_stands_for_all_only_where_all_is_known_to_be_alike() {
    let rules = Rules {
        npus: 4,
        ..Rules::default()
    };
    let reduce =
        Node::new(0, "reduce", NodeKind::CommColl).with("comm_type", CollectiveType::AllReduce as i64);
    let graph = Arc::new(Graph::new(0, vec![reduce.with("comm_size", 1 << 20)], &rules).unwrap());
    let play_with = |sizes: &[u32], latency_ns, change: &dyn Fn(&mut Setup), place: &dyn Fn(&mut Job)| {
        let dim = |&npus: &u32| Dim {
            kind: BlockKind::Ring,
            npus,
            bandwidth_gib_per_s: 50.0,
            latency_ns,
        };
        let config = NetworkConfig {
            dims: sizes.iter().map(dim).collect(),
        };
        let ring = Implementation {
            pattern: Pattern::Ring,
            flat: false,
        };
        let mut setup = Setup {
            dimensions: sizes.to_vec(),
            implementations: std::array::from_fn(|_| vec![ring; sizes.len()]),
            ..Setup::default()
        };
        change(&mut setup);
        let mut job = Job::alone(vec![Arc::clone(&graph); 4], &Arc::new(setup));
        place(&mut job);
        stands_for_all(&Topology::new(&config).unwrap(), Backend::Unaware, job, "changed")
    };
    let (same, as_is) = (|_: &mut Setup| (), |_: &mut Job| ());
    assert!(play_with(&[4], 500.0, &same, &as_is));
    assert!(play_with(&[2, 2], 500.0, &same, &as_is));
    assert!(!play_with(&[4], 0.5, &same, &as_is), "messages may take no time");
    let bus = BusConfig {
        latency: 5,
        overhead: 1,
        gap: 1,
        gap_per_byte: 0.01,
        reduction_delay: 1,
    };
    let first = |setup: &mut Setup, change: fn(&mut Implementation)| {
        setup
            .implementations
            .iter_mut()
            .for_each(|list| change(&mut list[0]));
    };
    let changes: [(&str, &[u32], Change<'_>); 5] = [
        ("bus", &[4], &|setup| setup.bus = Some(bus)),
        ("rendezvous", &[4], &|setup| setup.rendezvous = true),
        ("custom", &[4], &|setup| setup.custom = Some(Arc::new(NoneCustom))),
        ("pattern", &[4], &|setup| {
            first(setup, |one| one.pattern = Pattern::HalvingDoubling)
        }),
        ("flat", &[2, 2], &|setup| first(setup, |one| one.flat = true)),
    ];
    for (what, sizes, change) in changes {
        assert!(!play_with(sizes, 500.0, change, &as_is), "{what}");
    }
    let placed = |job: &mut Job| job.npus = Some(Arc::from([0, 1, 2, 3]));
    assert!(!play_with(&[4], 500.0, &same, &placed), "placed");
    assert!(!play_with(&[4], 500.0, &same, &|job| job.start = 5), "late");
}
