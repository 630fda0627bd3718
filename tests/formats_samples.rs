//! Formats against samples that other programs wrote: chakra's converter, PyTorch, MSCCL.

#![allow(clippy::unwrap_used)]

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::Command;

use flate2::read::GzDecoder;
use genie::workload::chakra::{self, Node, NodeKind, Trace};
use genie::workload::{json, msccl, pytorch, text};

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/formats_samples")
        .join(name)
}

fn inflated(path: &Path) -> Vec<u8> {
    let mut bytes = Vec::new();
    let file = fs::File::open(path).unwrap();
    GzDecoder::new(file).read_to_end(&mut bytes).unwrap();
    bytes
}

/// Samples of chakra's converter: name, text, trace of rank 1, its bytes.
fn converted() -> Vec<(String, String, Trace, Vec<u8>)> {
    let mut samples = Vec::new();
    for entry in fs::read_dir(folder("text")).unwrap() {
        let path = entry.unwrap().path();
        let file = path.file_name().unwrap().to_str().unwrap().to_owned();
        if let Some(name) = file.strip_suffix(".1.et.gz") {
            let source = fs::read_to_string(folder("text").join(format!("{name}.txt"))).unwrap();
            let bytes = inflated(&path);
            let trace = chakra::read(&bytes, &file).unwrap();
            samples.push((name.to_owned(), source, trace, bytes));
        }
    }
    assert_eq!(samples.len(), 7);
    samples
}

#[test]
fn chakras_converter_is_reproduced_node_by_node() {
    for (name, source, wanted, _) in converted() {
        let workload = text::parse(&source, &name).unwrap();
        let made = text::converter::Converter::new(workload, 1, &name)
            .unwrap()
            .trace(1);
        assert_eq!(made.nodes.len(), wanted.nodes.len(), "{name}");
        for (made, wanted) in made.nodes.iter().zip(&wanted.nodes) {
            assert_eq!(made, wanted, "{name}");
        }
        assert_eq!(made.metadata.attributes[0].name, "schema", "{name}");
    }
}

#[test]
fn what_was_read_is_written_back_byte_for_byte() {
    for (name, _, trace, bytes) in converted() {
        assert!(chakra::encode(&trace) == bytes, "{name}");
        let gzip = fs::read(folder("text").join(format!("{name}.1.et.gz"))).unwrap();
        assert_eq!(chakra::read(&gzip, &name).unwrap(), trace, "{name}");
    }
}

/// The sum of compute is the sum of the columns that the policy plays, in nanoseconds, not microseconds.
#[test]
fn times_of_text_workloads_are_nanoseconds() {
    let source = fs::read_to_string(folder("text").join("Resnet50_DataParallel.txt")).unwrap();
    let mut workload = text::parse(&source, "resnet").unwrap();
    for layer in &mut workload.layers {
        layer.update_ns = 0;
    }
    let options = text::Options {
        npus: Some(8),
        ..text::Options::default()
    };
    let trace = text::Program::new(workload, &options, "resnet").unwrap().trace(0);
    let sum: u64 = trace.nodes.iter().map(|node| node.duration_ns().unwrap()).sum();
    assert_eq!(sum, 1_082_450);
}

#[test]
fn every_shipped_text_workload_is_lowered() {
    for entry in fs::read_dir(folder("text")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "txt") {
            continue;
        }
        let name = path.display().to_string();
        let workload = text::parse(&fs::read_to_string(&path).unwrap(), &name).unwrap();
        let options = text::Options {
            npus: Some(8),
            ..text::Options::default()
        };
        let program = text::Program::new(workload, &options, &name).unwrap();
        let (first, last) = (program.trace(0), program.trace(7));
        assert_eq!(
            first.nodes.len(),
            last.nodes.len(),
            "{name}: all ranks play the same"
        );
        assert!(!first.nodes.is_empty(), "{name}");
    }
}

#[test]
fn collectiveapis_converter_is_reproduced_node_by_node() {
    let source = fs::read_to_string(folder("msccl").join("ring_allreduce_8.xml")).unwrap();
    let wanted = chakra::read(&inflated(&folder("msccl").join("ring_allreduce_8.3.et.gz")), "x").unwrap();
    let options = msccl::Options {
        like_converter: true,
        ..msccl::Options::default()
    };
    let made = msccl::read(&source, "ring.xml", &options).unwrap();
    assert_eq!(made.traces.len(), 8);
    assert_eq!(made.traces[3].nodes, wanted.nodes);
}

#[test]
fn json_says_the_same_as_protobuf() {
    for (name, _, trace, _) in converted() {
        let text = json::protobuf::write(&trace);
        assert_eq!(json::read(text.as_bytes(), &name).unwrap(), trace, "{name}");
    }
}

fn import(rank: u32) -> pytorch::Imported {
    let file = |kind: &str| inflated(&folder("pytorch").join(format!("{kind}.{rank}.json.gz")));
    let host = pytorch::host::read(&file("host"), "host").unwrap();
    let kineto = pytorch::kineto::read(&file("kineto"), "kineto").unwrap();
    let options = pytorch::Options {
        rank,
        ..pytorch::Options::default()
    };
    pytorch::import(Some(&host), Some(&kineto), &options).unwrap()
}

fn communication(trace: &Trace) -> Vec<String> {
    let comms = trace.nodes.iter().filter(|node| node.kind != NodeKind::Comp);
    let shown = |node: &Node| format!("{} {}", node.name, node.required_u64("comm_size").unwrap());
    comms.map(shown).collect()
}

/// The gradients of 64 x 64 + 64 + 64 x 8 + 8 parameters of 4 bytes go in one bucket.
#[test]
fn a_recorded_ddp_step_is_imported() {
    let sent = import(0);
    let wanted = [
        "gloo:all_reduce 18720",
        "gloo:all_reduce 400",
        "gloo:all_gather 40",
        "gloo:broadcast 400",
        "gloo:send 200",
    ];
    assert_eq!(communication(&sent.trace), wanted);
    assert_eq!(communication(&import(1).trace)[4], "gloo:recv 200");
    let send = sent
        .trace
        .nodes
        .iter()
        .find(|node| node.kind == NodeKind::CommSend)
        .unwrap();
    assert_eq!(
        (send.required_u64("comm_src"), send.required_u64("comm_dst")),
        (Ok(0), Ok(1))
    );
    assert!(
        sent.edges.thread > 100 && sent.edges.inferred > 0,
        "{:?}",
        sent.edges
    );
    assert!(sent.notices[0].contains("edges added"), "{:?}", sent.notices);
}

/// Along the longest path lies, but for the profiler's own gaps, the time that was recorded.
#[test]
fn an_imported_step_takes_as_long_as_it_took() {
    let trace = import(0).trace;
    let mut ends: Vec<u64> = Vec::new();
    for node in &trace.nodes {
        let start = node.deps().map(|dep| ends[dep as usize]).max().unwrap_or(0);
        ends.push(start + node.duration_ns().unwrap());
    }
    let recorded = trace
        .nodes
        .iter()
        .map(|node| node.start_us * 1000 + node.duration_ns().unwrap())
        .max()
        .unwrap();
    let replayed = ends.into_iter().max().unwrap();
    let ratio = replayed as f64 / recorded as f64;
    assert!((0.9..1.1).contains(&ratio), "{replayed} of {recorded} ns");
}

/// The gather waits for the first product, the second product for the gather, the host for the second.
#[test]
fn streams_and_waits_of_a_gpu_are_rebuilt() {
    let bytes = fs::read(folder("pytorch").join("gpu.json")).unwrap();
    let kineto = pytorch::kineto::read(&bytes, "gpu.json").unwrap();
    let imported = pytorch::import(None, Some(&kineto), &pytorch::Options::default()).unwrap();
    let node = |name: &str, nth: usize| {
        imported
            .trace
            .nodes
            .iter()
            .filter(|node| node.name == name)
            .nth(nth)
            .unwrap()
    };
    let gather = node("ncclDevKernel_AllGather_RING_LL", 0);
    assert_eq!(gather.kind, NodeKind::CommColl);
    assert_eq!(gather.required_u64("comm_size"), Ok(2048));
    assert_eq!(gather.group().unwrap(), "7");
    assert_eq!(imported.groups[&7], [2, 3]);
    assert!(gather.data_deps.contains(&node("gemm", 0).id));
    assert!(node("gemm", 1).data_deps.contains(&gather.id));
    assert!(node("gemm", 1).data_deps.contains(&node("gemm", 0).id));
    let waits = node("cudaDeviceSynchronize", 0);
    assert!(waits.data_deps.contains(&node("gemm", 1).id));
    // It returned 4.5 us after the kernel's end.
    assert_eq!(waits.duration_ns(), Ok(4_500));
    let edges = imported.edges;
    assert_eq!(
        (edges.stream, edges.launch, edges.waits, edges.inferred),
        (1, 3, 1, 2),
        "{edges:?}"
    );
}

#[test]
fn a_host_trace_alone_gives_its_communication() {
    let host = pytorch::host::read(&inflated(&folder("pytorch").join("host.0.json.gz")), "host").unwrap();
    let imported = pytorch::import(Some(&host), None, &pytorch::Options::default()).unwrap();
    assert_eq!(communication(&imported.trace).len(), 5);
    assert!(imported.notices.iter().any(|notice| notice.contains("no times")));
}

fn genie(arguments: &[&str]) -> (i32, String, String) {
    let run = Command::new(env!("CARGO_BIN_EXE_genie"))
        .arg("workload")
        .args(arguments)
        .output()
        .unwrap();
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    (run.status.code().unwrap(), text(&run.stdout), text(&run.stderr))
}

/// Groups of 4 neighbours and of every fourth rank, all their traces, and nothing wrong with them.
#[test]
fn a_transformer_is_converted_and_inspected() {
    let output = tempfile::tempdir().unwrap();
    let prefix = output.path().join("tr").display().to_string();
    let input = folder("text")
        .join("Transformer_HybridParallel.txt")
        .display()
        .to_string();
    let (code, _, stderr) = genie(&["convert", &input, "--npus", "8", "-o", &prefix]);
    assert_eq!(code, 0, "{stderr}");
    let groups = fs::read_to_string(format!("{prefix}.groups.json")).unwrap();
    let groups: std::collections::BTreeMap<String, Vec<u32>> = serde_json::from_str(&groups).unwrap();
    assert_eq!(groups["2"], [4, 5, 6, 7]);
    assert_eq!(groups["3"], [0, 4]);
    let (code, stdout, stderr) = genie(&["inspect", &prefix]);
    assert_eq!(code, 0, "{stderr}");
    assert!(stdout.contains("0-7"), "{stdout}");
    assert!(!stdout.contains("error"), "{stdout}");
    fs::remove_file(format!("{prefix}.3.et")).unwrap();
    let (code, stdout, _) = genie(&["inspect", &prefix]);
    assert_eq!(code, 2);
    assert!(stdout.contains("none of rank 3"), "{stdout}");
}

#[test]
fn what_cannot_be_read_is_named_and_exits_with_2() {
    let output = tempfile::tempdir().unwrap();
    let path = output.path().join("cut.0.et");
    fs::write(&path, &converted()[0].3[..200]).unwrap();
    let (code, _, stderr) = genie(&["inspect", path.to_str().unwrap()]);
    assert_eq!(code, 2);
    assert!(
        stderr.contains("cut.0.et`, byte") && stderr.contains("ends within"),
        "{stderr}"
    );
    let (code, _, stderr) = genie(&["inspect", "no/such/prefix"]);
    assert_eq!(code, 2);
    assert!(stderr.contains("help: a prefix stands for"), "{stderr}");
}

/// The error of units is found by inspecting what chakra's converter made.
#[test]
fn times_1000_times_too_long_are_said() {
    let path = folder("text").join("Resnet50_DataParallel.1.et.gz");
    let (code, stdout, _) = genie(&["inspect", path.to_str().unwrap()]);
    assert_eq!(code, 0);
    assert!(stdout.contains("times look 1000 times too large"), "{stdout}");
    let (_, stdout, _) = genie(&["explain", path.to_str().unwrap(), "--node", "215"]);
    assert!(stdout.contains("computes on the GPU"), "{stdout}");
}
