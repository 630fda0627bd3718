//! Every parser of traces and of ASTRA-sim's configuration against valid samples that were cut, flipped, spliced and blown up: an error
//! or a trace, never a panic, a hang or memory beyond measure. GENIE_FUZZ_SECONDS=300 runs each that long,
//! GENIE_FUZZ_LOG=FILE says how far they got.

#![allow(clippy::unwrap_used)]

use std::fs;
use std::io::Write;
use std::path::Path;
use std::time::{Duration, Instant};

use genie::network::analytical::config::NetworkConfig;
use genie::network::analytical::logical::LogicalTopology;
use genie::system::config::SystemConfig;
use genie::system::config::custom::PerNode;
use genie::workload::chakra::reader::inflated;
use genie::workload::chakra::{self, Trace};
use genie::workload::groups::CommGroups;
use genie::workload::inspect::{Inspection, explain};
use genie::workload::memory::RemoteMemory;
use genie::workload::{json, msccl, pytorch, text};

/// No single input of these sizes may take longer.
const LONGEST: Duration = Duration::from_secs(10);
/// Nor all of them together need more memory at any time, MiB (inputs are below 1 MiB).
const MOST_MEMORY_MIB: u64 = 1500;

/// Small numbers without end (xorshift64*, Vigna 2016).
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33) as usize % bound.max(1)
    }
}

/// Numbers and marks that break parsers.
const TOKENS: &[&[u8]] = &[
    b"0",
    b"-1",
    b"18446744073709551615",
    b"18446744073709551616",
    b"9223372036854775808",
    b"1e308",
    b"NaN",
    b"4294967295",
    b"null",
    b"[",
    b"{",
    b"\"",
    b"}",
    b"]",
    b"<",
    b">",
    b"\\u0000",
    b"ALLREDUCE",
    b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",
    b"\x80\x80\x80\x80\x08",
    b"\x00\x00\x00\x00",
    b"\n",
    b" ",
    b"&lt;",
    b"true",
];

fn mutated(seeds: &[Vec<u8>], random: &mut Random) -> Vec<u8> {
    let mut bytes = seeds[random.below(seeds.len())].clone();
    for _ in 0..=random.below(6) {
        let at = random.below(bytes.len() + 1);
        match random.below(8) {
            0 => bytes.truncate(at),
            1 if at < bytes.len() => bytes[at] ^= 1 << random.below(8),
            2 if at < bytes.len() => bytes[at] = random.below(256) as u8,
            3 => {
                let token = TOKENS[random.below(TOKENS.len())];
                bytes.splice(at..at, token.iter().copied());
            }
            4 => {
                let end = (at + random.below(64)).min(bytes.len());
                bytes.drain(at..end);
            }
            5 => {
                let other = &seeds[random.below(seeds.len())];
                let from = random.below(other.len() + 1);
                let to = (from + random.below(400)).min(other.len());
                bytes.splice(at..at, other[from..to].iter().copied());
            }
            6 => {
                // A number of the text becomes another.
                let digits = bytes[at..]
                    .iter()
                    .position(u8::is_ascii_digit)
                    .map(|found| at + found);
                if let Some(start) = digits {
                    let count = bytes[start..]
                        .iter()
                        .take_while(|byte| byte.is_ascii_digit())
                        .count();
                    let token = TOKENS[random.below(8)];
                    bytes.splice(start..start + count, token.iter().copied());
                }
            }
            _ => {
                let end = (at + random.below(200)).min(bytes.len());
                let again = bytes[at..end].to_vec();
                bytes.splice(at..at, again);
            }
        }
    }
    bytes
}

/// What is done with a trace that was read after all.
fn use_up(trace: &Trace) {
    let mut inspection = Inspection::default();
    inspection.add(0, trace);
    inspection.add(1, trace);
    inspection.finish(true);
    explain::trace(trace);
    trace.nodes.iter().for_each(|node| drop(explain::node(node)));
    assert!(!genie::report::workload::text(&inspection, genie::report::style::Style::PLAIN).is_empty());
    let bytes = chakra::encode(trace);
    let again = chakra::read(&bytes, "again").unwrap();
    // Texts compare NaN too, which is not equal to itself.
    assert_eq!(
        format!("{again:?}"),
        format!("{trace:?}"),
        "what is written is what was read"
    );
}

fn fuzz(name: &str, seeds: &[Vec<u8>], seed: u64, play: impl Fn(&[u8])) {
    for seed in seeds {
        play(seed);
    }
    let seconds = std::env::var("GENIE_FUZZ_SECONDS")
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(2);
    let mut random = Random(seed);
    let begun = Instant::now();
    let mut played = 0;
    while begun.elapsed() < Duration::from_secs(seconds) {
        let bytes = mutated(seeds, &mut random);
        let start = Instant::now();
        let caught = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| play(&bytes)));
        if caught.is_err() || start.elapsed() > LONGEST {
            let path = std::env::temp_dir().join(format!("genie-fuzz-{name}.bin"));
            fs::write(&path, &bytes).unwrap();
            panic!(
                "{name}: input {played} panicked or took {:?}; it is kept in {}",
                start.elapsed(),
                path.display()
            );
        }
        played += 1;
    }
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let peak = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))
        .unwrap();
    let peak_mib = peak.trim().trim_end_matches(" kB").parse::<u64>().unwrap() / 1024;
    assert!(peak_mib < MOST_MEMORY_MIB, "{name}: {peak_mib} MiB at the peak");
    if let Ok(file) = std::env::var("GENIE_FUZZ_LOG") {
        let mut log = fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(file)
            .unwrap();
        writeln!(log, "{name}: {played} inputs, {peak_mib} MiB at the peak").unwrap();
    }
    assert!(played > 0);
}

/// Files of a folder with this ending, inflated.
fn samples(folder: &str, ending: &str) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/formats_samples")
        .join(folder);
    let mut paths: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    paths.sort();
    let fitting = paths
        .iter()
        .filter(|path| path.to_str().unwrap().ends_with(ending));
    let bytes: Vec<Vec<u8>> = fitting
        .map(|path| inflated(&fs::read(path).unwrap(), "sample").unwrap().into_owned())
        .collect();
    assert!(!bytes.is_empty());
    bytes
}

#[test]
fn chakra_survives() {
    let mut seeds = samples("text", ".et.gz");
    let gzip =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/formats_samples/text/microAllReduce.1.et.gz");
    seeds.push(fs::read(gzip).unwrap());
    fuzz("chakra", &seeds, 1, |bytes| {
        if let Ok(trace) = chakra::read(bytes, "fuzz") {
            use_up(&trace);
        }
    });
}

#[test]
fn json_survives() {
    let traces = samples("text", ".et.gz");
    let traces: Vec<Trace> = traces
        .iter()
        .map(|bytes| chakra::read(bytes, "seed").unwrap())
        .filter(|trace| trace.nodes.len() < 60)
        .collect();
    let mut seeds: Vec<Vec<u8>> = traces
        .iter()
        .map(|trace| json::protobuf::write(trace).into_bytes())
        .collect();
    seeds.extend(
        traces
            .iter()
            .map(|trace| json::graph::write(trace).0.into_bytes()),
    );
    fuzz("json", &seeds, 2, |bytes| {
        if let Ok(trace) = json::read(bytes, "fuzz") {
            use_up(&trace);
            drop(json::graph::write(&trace));
        }
    });
}

#[test]
fn text_workloads_survive() {
    let mut seeds = samples("text", ".txt");
    seeds.push(b"HYBRID_TRANSFORMER_FWD_IN_BCKWD model_parallel_NPU_group: 4 ep: 2 pp: 1 vpp: 1 ga: 1 all_gpus: 16 checkpoints: 1 0 checkpoint_initiates: 1 1 pp_comm 5\n2\na -1 1 ALLGATHER 64 1 ALLTOALL_EP 64 1 NONE 0 100\nb -1 1 NONE 0 1 NONE 0 1 REDUCESCATTER_DP_EP 64 100\n".to_vec());
    fuzz("text", &seeds, 3, |bytes| {
        let Ok(workload) = std::str::from_utf8(bytes)
            .map_err(drop)
            .and_then(|words| text::parse(words, "fuzz").map_err(drop))
        else {
            return;
        };
        for (npus, dims) in [(Some(8), vec![]), (None, vec![4, 2]), (None, vec![])] {
            let options = text::Options {
                npus,
                passes: 2,
                dims,
            };
            if let Ok(program) = text::Program::new(workload.clone(), &options, "fuzz") {
                use_up(&program.trace(program.npus() - 1));
            }
        }
        if let Ok(converter) = text::converter::Converter::new(workload, 2, "fuzz") {
            use_up(&converter.trace(1));
        }
    });
}

#[test]
fn msccl_survives() {
    fuzz("msccl", &samples("msccl", ".xml"), 4, |bytes| {
        let Ok(words) = std::str::from_utf8(bytes) else {
            return;
        };
        if let Ok(algorithm) = msccl::read(words, "fuzz", &msccl::Options::default()) {
            algorithm.traces.iter().for_each(use_up);
        }
    });
}

#[test]
fn pytorch_survives() {
    let mut hosts = samples("pytorch", "host.0.json.gz");
    hosts.push(br#"{"schema": "1.1.1-chakra.0.0.4", "nodes": [{"id": 1, "name": "record_param_comms", "ctrl_deps": 0, "inputs": {"values": [[1, 2, 0, 8, 4, "cuda:0"]], "shapes": [[8]], "types": ["Tensor(float)"]}, "attrs": [{"name": "rf_id", "type": "uint64", "value": 5}, {"name": "collective_name", "type": "string", "value": "allreduce"}, {"name": "in_msg_nelems", "type": "uint64", "value": 8}, {"name": "dtype", "type": "string", "value": "Float"}, {"name": "pg_name", "type": "string", "value": "3"}]}]}"#.to_vec());
    let mut profiles = samples("pytorch", "kineto.0.json.gz");
    profiles.extend(samples("pytorch", "gpu.json"));
    let host = pytorch::host::read(&hosts[0], "host").unwrap();
    let profile = pytorch::kineto::read(&profiles[0], "kineto").unwrap();
    let options = pytorch::Options::default();
    fuzz("kineto", &profiles, 5, |bytes| {
        if let Ok(kineto) = pytorch::kineto::read(bytes, "fuzz") {
            for host in [None, Some(&host)] {
                if let Ok(imported) = pytorch::import(host, Some(&kineto), &options) {
                    use_up(&imported.trace);
                }
            }
        }
    });
    fuzz("host", &hosts, 6, |bytes| {
        if let Ok(host) = pytorch::host::read(bytes, "fuzz") {
            for kineto in [None, Some(&profile)] {
                if let Ok(imported) = pytorch::import(Some(&host), kineto, &options) {
                    use_up(&imported.trace);
                }
            }
        }
    });
}

const SYSTEM: &[&str] = &[
    r#"{"scheduling-policy": "EXPLICIT", "endpoint-delay": 10.5, "active-chunks-per-dimension": 2, "preferred-dataset-splits": 4,
    "all-reduce-implementation": ["ring", "direct2"], "all-gather-implementation": ["oneDirect4"], "reduce-scatter-implementation": ["halvingDoubling", "doubleBinaryTree"],
    "all-to-all-implementation": ["oneHalvingDoubling"], "all-to-all-implementation-custom": ["a/b"], "per-node-custom-implementation": "nodes.yml",
    "collective-optimization": "localBWAware", "local-mem-bw": 1.6e3, "boost-mode": 0, "L": 1, "o": 2, "g": 3, "G": 0.001, "model-shared-bus": 1,
    "local-reduction-delay": 1, "roofline-enabled": true, "peak-perf": 0.5, "trace-enabled": 0, "replay-only": 0, "track-local-mem": 1, "local-mem-trace-filename": "x"}"#,
    "scheduling-policy: LIFO\nendpoint-delay: 10\nall-reduce-implementation: ring_doubleBinaryTree\n",
];
const NETWORK: &[&str] = &[
    "topology: [ Ring, Switch, FullyConnected ]  # three\nnpus_count: [ 8, 4, 2 ]\nbandwidth: [ 50.5, 1e2, .5 ]\nlatency: [ 500, 0, 1.5 ]\n",
    "topology:\n  - Ring\nnpus_count:\n  - 4\nbandwidth:\n  - 50.0\nlatency: [\"500\"]\n",
];
const MEMORY: &[&str] = &[
    r#"{"memory-type": "PER_NODE_MEMORY_EXPANSION", "num-nodes": 2, "num-npus-per-node": 4, "remote-mem-latency": 100, "remote-mem-bw": 32}"#,
    r#"{"memory-type": "MEMORY_POOL", "remote-mem-bw": 32}"#,
];

fn bytes(texts: &[&str]) -> Vec<Vec<u8>> {
    texts.iter().map(|text| text.as_bytes().to_vec()).collect()
}

/// Plays one parser of a configuration file; what it refuses, it explains.
fn config<T>(
    name: &str,
    seeds: &[&str],
    seed: u64,
    parse: impl Fn(&str) -> Result<T, genie::document::Diagnostics>,
) {
    for seed in seeds {
        assert!(parse(seed).is_ok(), "{name}: {seed} is valid");
    }
    fuzz(name, &bytes(seeds), seed, |bytes| {
        let Ok(text) = std::str::from_utf8(bytes) else {
            return;
        };
        if let Err(wrong) = parse(text) {
            assert!(!wrong.to_string().is_empty());
        }
    });
}

#[test]
fn configuration_files_survive() {
    config("system", SYSTEM, 7, |text| SystemConfig::parse("fuzz", text));
    config("network", NETWORK, 8, |text| {
        NetworkConfig::parse("fuzz", text).inspect(|parsed| {
            for dim in &parsed.value.dims {
                let sane = dim.npus >= 2 && dim.bandwidth_gib_per_s > 0.0 && dim.latency_ns >= 0.0;
                assert!(sane && dim.latency_ns.is_finite(), "{dim:?}");
            }
        })
    });
    config("memory", MEMORY, 9, |text| RemoteMemory::parse("fuzz", text));
    config(
        "groups",
        &[r#"{"1": [0, 2], "2": [1, 3], "0": [0, 1, 2, 3]}"#],
        10,
        |text| CommGroups::parse("fuzz", text, Some(4)),
    );
    config(
        "logical",
        &[r#"{"logical-dims": ["8", "2"]}"#, r#"{"logical-dims": [4]}"#],
        11,
        |text| LogicalTopology::parse("fuzz", text),
    );
    config("nodes", &["3: a/b\n18: c # x\n"], 12, |text| {
        PerNode::parse("fuzz", text)
    });
}
