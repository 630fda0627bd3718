//! Formats against samples that other programs wrote: chakra's converter, PyTorch, MSCCL.

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

use flate2::read::GzDecoder;
use genie::workload::chakra::{self, Trace};
use genie::workload::text;

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
        let made = text::converter::Converter::new(&workload, 1, &name)
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
    let trace = text::Program::new(&workload, &options, "resnet")
        .unwrap()
        .trace(0);
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
        let program = text::Program::new(&workload, &options, &name).unwrap();
        let (first, last) = (program.trace(0), program.trace(7));
        assert_eq!(
            first.nodes.len(),
            last.nodes.len(),
            "{name}: all ranks play the same"
        );
        assert!(!first.nodes.is_empty(), "{name}");
    }
}
