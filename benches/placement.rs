//! How fast placement decides: replays at 4,096 nodes in jobs per second, and single decisions on a half-full
//! machine of 65,536 nodes. Run with `cargo bench --bench placement`.

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use genie::placement::machine::Failures;
use genie::placement::policy::Kind;
use genie::placement::replay::{Rules, replay};
use genie::placement::trace::generate::{Arrivals, Mix, jobs};
use genie::placement::{Machine, State};

const KINDS: [Kind; 4] = [Kind::FirstFit, Kind::Folding, Kind::Reconfiguration, Kind::Rfold];

fn replays(c: &mut Criterion) {
    let machine = Machine::new([16; 3], 4, &Failures::default()).expect("it is one");
    let arrivals = Arrivals {
        jobs: 200,
        per_hour: 4.0,
    };
    let jobs = jobs(&Mix::new(4096), arrivals, 1);
    let rules = Rules {
        reconfiguration: 10_000_000,
        backfill: 0,
        communication: 0.0,
        check: false,
    };
    let mut group = c.benchmark_group("replay at 4,096 nodes, jobs");
    group
        .sample_size(10)
        .throughput(Throughput::Elements(jobs.len() as u64));
    for kind in KINDS {
        group.bench_function(kind.to_string(), |b| {
            b.iter(|| replay(kind.build(&machine).as_mut(), &machine, &jobs, rules));
        });
    }
    group.finish();
}

fn decisions(c: &mut Criterion) {
    let machine = Machine::new([64, 32, 32], 4, &Failures::default()).expect("it is one");
    let arrivals = Arrivals {
        jobs: 400,
        per_hour: 1.0,
    };
    let jobs = jobs(&Mix::new(4096), arrivals, 1);
    let mut group = c.benchmark_group("decision at 65,536 nodes");
    group.sample_size(10);
    for kind in KINDS {
        let mut policy = kind.build(&machine);
        let mut state = State::new(&machine);
        for job in &jobs {
            if state.free() < machine.nodes() / 2 {
                break;
            }
            if let Ok(placement) = policy.place(&job.shape, &state) {
                state.take(&placement.nodes);
            }
        }
        let mut next = jobs.iter().cycle();
        group.bench_function(kind.to_string(), |b| {
            b.iter(|| {
                policy
                    .place(&next.next().expect("a cycle does not end").shape, &state)
                    .is_ok()
            });
        });
    }
    group.finish();
}

criterion_group!(benches, replays, decisions);
criterion_main!(benches);
