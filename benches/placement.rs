//! How fast placement decides. `cargo bench --bench placement` plays replays at 4,096 nodes and every decision of long
//! replays on a loaded machine of 65,536; `-- decisions` only the latter. `-- trace FILE` replays a trace of the public
//! RFold simulator and counts jobs per CPU second, for `benches/placement/peer.py`.

#![allow(clippy::print_stdout)] // a table of times is what this program is for

use std::time::{Duration, Instant};

use criterion::{Criterion, Throughput};
use genie::placement::machine::Failures;
use genie::placement::policy::Kind;
use genie::placement::replay::{Rules, replay};
use genie::placement::shape::{Closing, Shape};
use genie::placement::trace::generate::{Arrivals, Mix, jobs};
use genie::placement::trace::{Format, Job, read};
use genie::placement::{Machine, Placement, Policy, Refusal, State};

const KINDS: [Kind; 5] = [
    Kind::FirstFit,
    Kind::Folding,
    Kind::Hilbert,
    Kind::Reconfiguration,
    Kind::Rfold,
];

/// Those that are also played on cubes of 2.
const SMALL: [Kind; 2] = [Kind::Reconfiguration, Kind::Rfold];

const RULES: Rules = Rules {
    reconfiguration: 10_000_000,
    backfill: 0,
    communication: 0.0,
    check: false,
};

fn replays() {
    let mut criterion = Criterion::default().configure_from_args();
    let machine = Machine::new([16; 3], 4, &Failures::default()).expect("it is one");
    let jobs = jobs(&Mix::new(4096), arrivals(200, 4.0), 1);
    let mut group = criterion.benchmark_group("replay at 4,096 nodes, jobs");
    group
        .sample_size(10)
        .throughput(Throughput::Elements(jobs.len() as u64));
    for kind in KINDS {
        group.bench_function(kind.to_string(), |b| {
            b.iter(|| replay(kind.build(&machine).as_mut(), &machine, &jobs, RULES));
        });
    }
    group.finish();
}

fn arrivals(jobs: u32, per_hour: f64) -> Arrivals {
    Arrivals { jobs, per_hour }
}

/// A policy, and how long each of its decisions took.
struct Timed {
    policy: Box<dyn Policy>,
    took: Vec<(Duration, Shape)>,
}

impl Policy for Timed {
    fn place(&mut self, shape: &Shape, state: &State<'_>) -> Result<Placement, Refusal> {
        let begin = Instant::now();
        let placed = self.policy.place(shape, state);
        self.took.push((begin.elapsed(), *shape));
        placed
    }

    fn closing(&self, machine: &Machine) -> Closing {
        self.policy.closing(machine)
    }

    fn fixed(&self) -> bool {
        self.policy.fixed()
    }

    fn one_hop(&self) -> bool {
        self.policy.one_hop()
    }
}

/// Every decision of a replay counts: admissions, refusals with their reason, and whether the empty machine has room.
fn decisions() {
    // What may run at once is a machine full of jobs; what waits keeps it full.
    let sizes = [
        ("jobs up to 4,096 nodes", 4096),
        ("jobs up to all 65,536", 65_536),
    ];
    println!("decisions at 65,536 nodes (64x32x32, cubes of 4), wall clock");
    println!(
        "{:<24} {:<16} {:>9} {:>8} {:>8} {:>8} {:>8}  slowest",
        "jobs", "policy", "decisions", "used", "p50 ms", "p99 ms", "max ms"
    );
    for (name, largest) in sizes {
        let machine = Machine::new([64, 32, 32], 4, &Failures::default()).expect("it is one");
        let per_hour = 40.0 * 4096.0 / f64::from(largest);
        let jobs = jobs(&Mix::new(largest), arrivals(4000, per_hour), 1);
        for kind in KINDS {
            one(name, kind, &machine, &jobs);
        }
    }
}

fn one(name: &str, kind: Kind, machine: &Machine, jobs: &[Job]) {
    let mut timed = Timed {
        policy: kind.build(machine),
        took: Vec::new(),
    };
    let outcome = replay(&mut timed, machine, jobs, RULES);
    let mut took = timed.took;
    took.sort_unstable_by_key(|(took, _)| *took);
    let at = |share: f64| took[((share * took.len() as f64).ceil() as usize).clamp(1, took.len()) - 1];
    let ms = |share| at(share).0.as_secs_f64() * 1e3;
    println!(
        "{name:<24} {:<16} {:>9} {:>7.1}% {:>8.3} {:>8.3} {:>8.3}  {}",
        kind.to_string(),
        took.len(),
        outcome.utilisation_event * 100.0,
        ms(0.5),
        ms(0.99),
        ms(1.0),
        at(1.0).1,
    );
}

/// CPU time of this process so far, seconds.
fn cpu() -> f64 {
    let now = nix::time::clock_gettime(nix::time::ClockId::CLOCK_PROCESS_CPUTIME_ID);
    let now = now.expect("every kernel has this clock");
    now.tv_sec() as f64 + now.tv_nsec() as f64 / 1e9
}

/// Jobs per CPU second under each policy, without and with each placement verified, a line of JSON each.
fn of_trace(file: &str) {
    let text = std::fs::read_to_string(file).unwrap_or_else(|error| panic!("{file}: {error}"));
    let rows = read(Format::Rfold, &text).unwrap_or_else(|error| panic!("{file}: {error}"));
    let (jobs, _) = rows.jobs(&Mix::new(4096), usize::MAX, 1);
    for (kind, side) in KINDS
        .map(|kind| (kind, 4))
        .into_iter()
        .chain(SMALL.map(|kind| (kind, 2)))
    {
        let machine = Machine::new([16; 3], side, &Failures::default()).expect("it is one");
        let played = |check| {
            let (begin, mut played) = (cpu(), 0);
            loop {
                let outcome = replay(
                    kind.build(&machine).as_mut(),
                    &machine,
                    &jobs,
                    Rules { check, ..RULES },
                );
                played += jobs.len();
                let took = cpu() - begin;
                if took > 2.0 {
                    return (outcome, played as f64 / took);
                }
            }
        };
        let (_, plain) = played(false);
        let (outcome, verified) = played(true);
        assert_eq!(outcome.fault, None, "{kind}");
        println!(
            "{{\"policy\": \"{kind}\", \"cube\": {side}, \"jobs\": {}, \"completion_rate\": {:.4}, \"jobs_per_cpu_s\": {plain:.1}, \"verified_jobs_per_cpu_s\": {verified:.1}}}",
            jobs.len(),
            outcome.completion_rate(),
        );
    }
}

fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    if let Some(at) = words.iter().position(|word| word == "trace") {
        return of_trace(words.get(at + 1).expect("the file of a trace after `trace`"));
    }
    let only = words.iter().any(|word| word == "decisions");
    if !only {
        replays();
    }
    // `cargo test` builds benches and runs them with `--test`: nothing is measured there.
    if !words.iter().any(|word| word == "--test" || word == "--list") {
        decisions();
    }
}
