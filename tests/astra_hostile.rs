//! Whole runs of `genie astra` on inputs with absurd numbers in every place: an answer or an error that
//! says where, never a panic, a hang or an answer at the end of time. GENIE_FUZZ_SECONDS=300 plays that long.

#![allow(clippy::unwrap_used)]

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::time::{Duration, Instant};

use genie::testbed::model::{Backend, Inputs, Options};
use genie::workload::chakra::{Node, NodeKind, Trace, encode};

/// No run of so few NPUs, nodes and events may take longer.
const LONGEST: Duration = Duration::from_secs(20);
const EVENTS: u64 = 50_000;
/// So many runs at least, however slow the disk is.
const LEAST: u64 = 100;

/// Small numbers without end (xorshift64*, Vigna 2016).
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33) as usize % bound.max(1)
    }

    fn of<T: Copy>(&mut self, all: &[T]) -> T {
        all[self.below(all.len())]
    }

    /// Mostly an ordinary number, so that runs get beyond the first check.
    fn number<T: Copy>(&mut self, ordinary: &[T], absurd: &[T]) -> T {
        if self.below(5) == 0 {
            self.of(absurd)
        } else {
            self.of(ordinary)
        }
    }
}

const SIZES: &[u64] = &[1, 8, 1000, 1 << 20];
const ABSURD_SIZES: &[u64] = &[0, 1 << 31, u32::MAX as u64, 1 << 53, 1 << 62, 1 << 63, u64::MAX];

fn network(random: &mut Random) -> (String, u32) {
    let dims = 1 + random.below(2);
    let mut list = |ordinary: &[&str], absurd: &[&str]| {
        let items: Vec<&str> = (0..dims).map(|_| random.number(ordinary, absurd)).collect();
        format!("[{}]", items.join(", "))
    };
    let kinds = list(&["Ring", "Switch", "FullyConnected"], &["ring", "Torus"]);
    let bandwidth = list(
        &["50", "0.5"],
        &["0", "-1", "5e-324", "1e-300", "1e308", ".inf", ".nan", "1e999"],
    );
    let latency = list(
        &["500", "0", "0.5"],
        &["-1", "1e19", "1e300", ".inf", ".nan", "18446744073709551616"],
    );
    let counts: Vec<u32> = (0..dims).map(|_| 2 + random.below(3) as u32).collect();
    let text =
        format!("topology: {kinds}\nnpus_count: {counts:?}\nbandwidth: {bandwidth}\nlatency: {latency}\n");
    (text, counts.iter().product())
}

fn system(random: &mut Random) -> String {
    let absurd = [
        "0",
        "-1",
        "2147483647",
        "2147483648",
        "1e18",
        "null",
        "\"x\"",
        "NaN",
        "1e999",
    ];
    let mut keys = Vec::new();
    for (key, ordinary) in [
        ("preferred-dataset-splits", &["1", "4", "1000"][..]),
        ("active-chunks-per-dimension", &["1", "8"]),
        ("endpoint-delay", &["10", "0"]),
        ("local-mem-bw", &["1600", "0.001"]),
        ("local-reduction-delay", &["1"]),
        ("model-shared-bus", &["0", "1"]),
        ("L", &["5"]),
        ("G", &["0.01"]),
        ("peak-perf", &["100"]),
        ("roofline-enabled", &["0", "1"]),
        ("replay-only", &["0"]),
    ] {
        keys.push(format!("\"{key}\": {}", random.number(ordinary, &absurd)));
    }
    for collective in ["all-reduce", "all-gather", "reduce-scatter", "all-to-all"] {
        let name = random.number(
            &["ring", "direct", "direct2", "halvingDoubling"],
            &[
                "doubleBinaryTree",
                "oneRing",
                "direct0",
                "direct4294967295",
                "oneHalvingDoubling",
                "",
            ],
        );
        keys.push(format!("\"{collective}-implementation\": [\"{name}\"]"));
    }
    let policy = random.of(&["LIFO", "FIFO", "EXPLICIT"]);
    let order = random.of(&["baseline", "localBWAware"]);
    format!(
        "{{{}, \"scheduling-policy\": \"{policy}\", \"collective-optimization\": \"{order}\"}}",
        keys.join(", ")
    )
}

fn nodes(random: &mut Random, rank: u32, npus: u32) -> Trace {
    let count = 1 + random.below(5) as u64;
    let node = |id: u64| {
        let kind = random.of(&NodeKind::ALL);
        let mut node = Node::new(id, format!("n{id}"), kind);
        node.duration_us = random.number(&[0, 5], &[1 << 50, 1 << 53, 18_446_744_073_709_551, u64::MAX]);
        if id > 0 && random.below(2) == 0 {
            node.data_deps = vec![random.number(&[id - 1], &[id, u64::MAX])];
        }
        let size = random.number(SIZES, ABSURD_SIZES);
        let peer = (rank + 1) % npus;
        node = node
            .with("comm_size", size)
            .with("tensor_size", random.number(SIZES, ABSURD_SIZES))
            .with("num_ops", random.number(SIZES, ABSURD_SIZES))
            .with(
                "comm_type",
                random.number(&[0u64, 2, 6, 7, 5], &[1, 3, 9, 10, u64::MAX]),
            )
            .with(
                "comm_tag",
                random.number(&[0u64], &[u64::from(u32::MAX), 1 << 40]),
            );
        match kind {
            NodeKind::CommSend => node.with(
                "comm_dst",
                random.number(&[u64::from(peer)], &[u64::from(rank), 99]),
            ),
            NodeKind::CommRecv => node.with(
                "comm_src",
                random.number(&[u64::from(peer)], &[u64::from(rank), 99]),
            ),
            _ => node,
        }
    };
    Trace {
        nodes: (0..count).map(node).collect(),
        ..Trace::default()
    }
}

const ABSURD_NUMBERS: &[&str] = &[
    "-1",
    "0",
    "1e-300",
    "1e308",
    "1e999",
    "9223372036854775807",
    "18446744073709551615",
    "null",
    "\"x\"",
];

/// NPUs that differ, as a file says it.
fn kinds(random: &mut Random, npus: u32) -> String {
    let entry = |random: &mut Random| {
        let npu = random.below(npus as usize);
        let which = random.number(&[npu as u64], &[u64::from(npus), u64::MAX]);
        let mut keys = vec![format!("\"npus\": [{which}]")];
        for (key, ordinary) in [
            ("compute-slowdown", &["2", "0.5"][..]),
            ("peak-perf", &["100"]),
            ("local-mem-bw", &["1600", "0.001"]),
            ("endpoint-delay", &["0", "20"]),
            ("start-ns", &["5", "1000"]),
        ] {
            if random.below(2) == 0 {
                keys.push(format!("\"{key}\": {}", random.number(ordinary, ABSURD_NUMBERS)));
            }
        }
        format!("{{{}}}", keys.join(", "))
    };
    let count = 1 + random.below(2);
    let entries: Vec<String> = (0..count).map(|_| entry(random)).collect();
    format!("{{\"npus\": [{}]}}", entries.join(", "))
}

/// One or two jobs on some of the NPUs, as a file says it.
fn jobs(random: &mut Random, folder: &Path, npus: u32) -> String {
    let mut free: Vec<u32> = (0..npus).collect();
    let mut jobs = Vec::new();
    for _ in 0..1 + random.below(2) {
        let ranks = (1 + random.below(4)).min(free.len());
        let mut placed: Vec<String> = Vec::new();
        for _ in 0..ranks {
            let npu = free.swap_remove(random.below(free.len()));
            placed.push(npu.to_string());
        }
        if random.below(10) == 0 {
            placed.push(random.of(&["0", "4294967296", "\"0-4294967295\"", "-1"]).into());
        }
        let mut keys = vec![
            format!("\"workload\": \"{}\"", folder.join("t").display()),
            format!("\"npus\": [{}]", placed.join(", ")),
        ];
        if random.below(3) == 0 {
            let ones = random.number(&["", ", 1"], &[", 0", ", 4294967295", ", -1"]);
            keys.push(format!("\"dimensions\": [{ranks}{ones}]"));
        }
        if random.below(2) == 0 {
            let start = random.number(&["0", "7", "1000"], ABSURD_NUMBERS);
            keys.push(format!("\"start-ns\": {start}"));
        }
        jobs.push(format!("{{{}}}", keys.join(", ")));
    }
    format!("{{\"jobs\": [{}]}}", jobs.join(", "))
}

fn write(random: &mut Random, folder: &Path) -> Options {
    let (network, npus) = network(random);
    let put = |name: &str, bytes: &[u8]| {
        fs::write(folder.join(name), bytes).unwrap();
        folder.join(name)
    };
    for rank in 0..npus {
        put(&format!("t.{rank}.et"), &encode(&nodes(random, rank, npus)));
    }
    let bandwidth = random.number(&["32"], &["0", "-3", "1e30", "4294967296"]);
    let kind = random.of(&["MEMORY_POOL", "PER_NPU_MEMORY_EXPANSION"]);
    let memory =
        format!("{{\"memory-type\": \"{kind}\", \"remote-mem-latency\": 5, \"remote-mem-bw\": {bandwidth}}}");
    let jobs = (random.below(4) == 0).then(|| jobs(random, folder, npus));
    let kinds = (random.below(4) == 0).then(|| kinds(random, npus));
    Options {
        jobs: jobs.map(|jobs| put("jobs.json", jobs.as_bytes())),
        npus: kinds.map(|kinds| put("npus.json", kinds.as_bytes())),
        symmetry: true,
        workload: folder.join("t"),
        system: Some(put("system.json", system(random).as_bytes())),
        network: put("network.yml", network.as_bytes()),
        memory: Some(put("memory.json", memory.as_bytes())),
        groups: None,
        backend: random.of(&[Backend::Aware, Backend::Unaware]),
        queues: random.number(&[1, 2], &[3, 1024]),
        injection_scale: random.number(&[1.0, 2.0], &[0.0, 1e300, f64::MIN_POSITIVE]),
        rendezvous: random.below(5) == 0,
        extended: random.below(4) == 0,
    }
}

/// The largest cycles, or what was said.
fn play(options: &Options) -> Result<Option<u64>, String> {
    let mut simulation = Inputs::read(options)
        .map_err(|error| error.to_string())?
        .simulation;
    let more = simulation.run(EVENTS).map_err(|error| error.to_string())?;
    let outcome = simulation.outcome();
    let late = outcome.finished.iter().map(|finished| finished.cycles).max();
    Ok(late.filter(|_| !more))
}

#[test]
fn absurd_numbers_are_answered_or_refused() {
    let seconds = std::env::var("GENIE_FUZZ_SECONDS")
        .ok()
        .and_then(|text| text.parse().ok());
    let limit = Duration::from_secs(seconds.unwrap_or(3));
    let folder = tempfile::tempdir().unwrap();
    let mut random = Random(29);
    let (begun, mut answered, mut refused) = (Instant::now(), 0u64, 0u64);
    while begun.elapsed() < limit || answered + refused < LEAST {
        let seed = random.0;
        let options = write(&mut random, folder.path());
        let start = Instant::now();
        match catch_unwind(AssertUnwindSafe(|| play(&options))) {
            Ok(Ok(cycles)) => {
                assert_ne!(
                    cycles,
                    Some(u64::MAX),
                    "seed {seed}: an answer at the end of time"
                );
                answered += 1;
            }
            Ok(Err(said)) => {
                let placed = [
                    "node",
                    ".et",
                    ".json",
                    ".yml",
                    "splits",
                    "implementation",
                    "links",
                    "`",
                ];
                assert!(
                    placed.iter().any(|part| said.contains(part)),
                    "seed {seed}: {said}"
                );
                refused += 1;
            }
            Err(_) => panic!(
                "seed {seed} panicked: its files are in {}",
                folder.keep().display()
            ),
        }
        assert!(
            start.elapsed() < LONGEST,
            "seed {seed} took {:?}",
            start.elapsed()
        );
    }
    assert!(
        answered > 0 && refused > 0,
        "{answered} answered, {refused} refused"
    );
}
