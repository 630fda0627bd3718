//! How fast virtual time goes: ring all-reduces, a data-parallel step and an all-to-all over the
//! analytical network, from graphs in memory. Run with `cargo bench --bench astra`.

use std::sync::Arc;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use genie::network::analytical::Topology;
use genie::network::analytical::config::{BlockKind, Dim, NetworkConfig};
use genie::system::setup::{Implementation, Pattern, Setup};
use genie::testbed::model::parts::{Job, Parts, Wiring};
use genie::testbed::model::{Backend, Outcome, Simulation};
use genie::workload::chakra::{CollectiveType, Node, NodeKind};
use genie::workload::graph::{Graph, Rules};
use genie::workload::memory::RemoteMemory;

/// A system of one pattern on rings or switches.
struct System {
    dims: Vec<(BlockKind, u32)>,
    pattern: Pattern,
    splits: u64,
    backend: Backend,
}

fn collective(id: u64, kind: CollectiveType, bytes: u64, deps: &[u64]) -> Node {
    let mut node = Node::new(id, "collective", NodeKind::CommColl)
        .with("comm_type", kind as i64)
        .with("comm_size", bytes as i64);
    node.data_deps = deps.to_vec();
    node
}

/// Backward compute of `layers` layers, the all-reduce of each gradient behind it.
fn data_parallel_step(layers: u64, bytes: u64) -> Vec<Node> {
    let layer = |layer: u64| {
        let mut compute = Node::new(2 * layer, "backward", NodeKind::Comp);
        compute.duration_us = 100;
        compute.data_deps = (layer > 0).then(|| 2 * layer - 2).into_iter().collect();
        [
            compute,
            collective(2 * layer + 1, CollectiveType::AllReduce, bytes, &[2 * layer]),
        ]
    };
    (0..layers).flat_map(layer).collect()
}

fn play(system: &System, nodes: &[Node], symmetry: bool) -> Outcome {
    let dims = system.dims.iter().map(|&(kind, npus)| Dim {
        kind,
        npus,
        bandwidth_gib_per_s: 50.0,
        latency_ns: 500.0,
    });
    let config = NetworkConfig { dims: dims.collect() };
    let topology = Topology::new(&config).expect("the network is small");
    let npus = topology.npus();
    let rules = Rules {
        npus,
        ..Rules::default()
    };
    let graph = Arc::new(Graph::new(0, nodes.to_vec(), &rules).expect("the graph is right"));
    let implementation = Implementation {
        pattern: system.pattern,
        flat: false,
    };
    let setup = Setup {
        dimensions: config.dims.iter().map(|dim| dim.npus).collect(),
        implementations: std::array::from_fn(|_| vec![implementation; config.dims.len()]),
        splits: system.splits,
        local_mem_bandwidth: 1.6e12,
        ..Setup::default()
    };
    let wiring = Wiring {
        topology,
        backend: system.backend,
    };
    let job = Job::alone(vec![graph; npus as usize], &Arc::new(setup));
    let parts = Parts {
        jobs: vec![Arc::new(job)],
        memory: RemoteMemory::None,
        symmetry,
    };
    let mut simulation = Simulation::new(wiring, parts);
    while simulation.run(1 << 20).expect("the machines take the graph") {}
    simulation.outcome()
}

fn virtual_time(c: &mut Criterion) {
    let ring = |npus, splits, backend| System {
        dims: vec![(BlockKind::Ring, npus)],
        pattern: Pattern::Ring,
        splits,
        backend,
    };
    let all_to_all = System {
        dims: vec![(BlockKind::Switch, 256)],
        pattern: Pattern::Direct(None),
        splits: 1,
        backend: Backend::Aware,
    };
    let torus = System {
        dims: vec![
            (BlockKind::Ring, 32),
            (BlockKind::Ring, 32),
            (BlockKind::Ring, 16),
        ],
        ..ring(0, 1, Backend::Unaware)
    };
    let one = |kind, bytes| vec![collective(0, kind, bytes, &[])];
    let reduce = one(CollectiveType::AllReduce, 1 << 20);
    let cases = [
        (
            "ring of 1024, all-reduce of 1 MiB, aware",
            ring(1024, 1, Backend::Aware),
            reduce.clone(),
        ),
        (
            "ring of 64, step of 64 layers, unaware",
            ring(64, 4, Backend::Unaware),
            data_parallel_step(64, 25 << 20),
        ),
        (
            "ring of 64, step of 64 layers, aware",
            ring(64, 4, Backend::Aware),
            data_parallel_step(64, 25 << 20),
        ),
        (
            "switch of 256, direct all-to-all, aware",
            all_to_all,
            one(CollectiveType::AllToAll, 1 << 20),
        ),
        (
            "torus of 16,384, all-reduce of 1 GiB",
            torus,
            one(CollectiveType::AllReduce, 1 << 30),
        ),
    ];
    let mut group = c.benchmark_group("virtual time, messages");
    group.sample_size(10);
    for (name, system, nodes) in cases {
        group.throughput(Throughput::Elements(play(&system, &nodes, true).messages));
        group.bench_function(name, |b| b.iter(|| play(&system, &nodes, false)));
        group.bench_function(format!("{name}, one rank for all"), |b| {
            b.iter(|| play(&system, &nodes, true))
        });
    }
    group.finish();
}

criterion_group!(benches, virtual_time);
criterion_main!(benches);
