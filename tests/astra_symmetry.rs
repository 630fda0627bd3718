//! Where one rank stands for all, the answer is that of all: on every golden row, and on inputs made so
//! that as much as possible happens at the same time.

#![allow(clippy::unwrap_used)] // clippy takes helpers of integration tests for code

use std::sync::Arc;

use genie::network::analytical::Topology;
use genie::network::analytical::config::{BlockKind, Dim, NetworkConfig};
use genie::system::setup::{Implementation, Pattern, Policy, Setup};
use genie::testbed::model::parts::{Job, Parts, Wiring};
use genie::testbed::model::{Backend, Inputs, Options, Outcome, Simulation};
use genie::workload::chakra::{CollectiveType, Node, NodeKind};
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

/// Compute of few microseconds and collectives of few bytes, each behind some of those before.
fn nodes(numbers: &mut Numbers) -> Vec<Node> {
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
            let node = node.with("comm_size", numbers.of(&[1, 100, 1000, 1024, 4096]) as i64);
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
        let graph = Arc::new(Graph::new(0, nodes(&mut numbers), &rules).unwrap());
        let backend = numbers.of(&[Backend::Unaware, Backend::Aware]);
        let simulation = |symmetry| {
            let wiring = Wiring {
                topology: topology.clone(),
                backend,
            };
            let job = Job::alone(vec![Arc::clone(&graph); npus as usize], &setup);
            let parts = Parts {
                jobs: vec![Arc::new(job)],
                memory: RemoteMemory::None,
                symmetry,
            };
            Simulation::new(wiring, parts)
        };
        let (with, without) = (play(simulation(true)), play(simulation(false)));
        assert_eq!(
            told(&with),
            told(&without),
            "case {case}: {config:?} {backend:?} {setup:?}"
        );
        if with.simulated_ranks == 1 {
            one += 1;
        } else {
            all += 1;
        }
    }
    assert!(one > 300 && all > 300, "{one} by one rank, {all} by all");
}
