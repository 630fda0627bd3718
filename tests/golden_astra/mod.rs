//! ASTRA-sim's own answers and their inputs, for tests: see tests/golden/astra/README.md.

use std::collections::BTreeMap;
use std::fs;
use std::io::Read;
use std::path::Path;

use flate2::read::GzDecoder;
use genie::testbed::model::{Backend, Options, Outcome};

/// One run of ASTRA-sim.
#[derive(Debug)]
pub struct Row {
    pub case: String,
    pub backend: Backend,
    pub workload: String,
    pub system: String,
    pub network: String,
    pub memory: String,
    pub groups: String,
    pub flags: String,
    /// Cycles and exposed cycles by NPU; empty where ASTRA-sim has no answer.
    pub answers: Vec<(u64, u64)>,
}

fn golden(name: &str) -> Vec<u8> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/golden/astra")
        .join(name);
    let mut bytes = Vec::new();
    GzDecoder::new(fs::File::open(path).unwrap())
        .read_to_end(&mut bytes)
        .unwrap();
    bytes
}

fn answers(text: &str) -> Vec<(u64, u64)> {
    let run = |run: &str| {
        let (answer, times) = run.split_once('x').unwrap();
        let (cycles, exposed) = answer.split_once('/').unwrap();
        vec![(cycles.parse().unwrap(), exposed.parse().unwrap()); times.parse().unwrap()]
    };
    text.split_whitespace().flat_map(run).collect()
}

pub fn rows() -> Vec<Row> {
    let text = String::from_utf8(golden("answers.csv.gz")).unwrap();
    let row = |line: &str| {
        let mut cells = line.split(',').map(str::to_owned);
        let mut cell = || cells.next().unwrap();
        let (case, _npus) = (cell(), cell());
        let backend = if cell() == "aware" {
            Backend::Aware
        } else {
            Backend::Unaware
        };
        Row {
            case,
            backend,
            workload: cell(),
            system: cell(),
            network: cell(),
            memory: cell(),
            groups: cell(),
            flags: cell(),
            answers: answers(&cell()),
        }
    };
    text.lines().skip(1).map(row).collect()
}

/// Unpacks a tar archive of plain files (POSIX ustar).
fn unpack(archive: &[u8], into: &Path) {
    let mut at = 0;
    while archive[at] != 0 {
        let header = &archive[at..at + 512];
        let text = |range: std::ops::Range<usize>| {
            let field = &header[range];
            let end = field.iter().position(|&b| b == 0).unwrap_or(field.len());
            String::from_utf8(field[..end].to_vec()).unwrap()
        };
        let size = usize::from_str_radix(text(124..136).trim(), 8).unwrap();
        let path = into.join(text(345..500)).join(text(0..100));
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, &archive[at + 512..at + 512 + size]).unwrap();
        at += 512 + size.next_multiple_of(512);
    }
}

pub fn cases() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    unpack(&golden("cases.tar.gz"), folder.path());
    folder
}

pub fn options(row: &Row, folder: &Path) -> Options {
    let file = |name: &str| folder.join(name);
    let given = |name: &str| (!name.is_empty()).then(|| file(name));
    let flags: BTreeMap<&str, &str> = row
        .flags
        .split_whitespace()
        .filter_map(|f| f.split_once('='))
        .collect();
    let flag = |name: &str, default: &str| (*flags.get(name).unwrap_or(&default)).parse().unwrap();
    Options {
        workload: file(&row.workload),
        jobs: None,
        npus: None,
        system: Some(file(&row.system)),
        network: file(&row.network),
        memory: given(&row.memory),
        groups: given(&row.groups),
        backend: row.backend,
        queues: flag("--num-queues-per-dim", "1") as u32,
        injection_scale: flag("--injection-scale", "1"),
        rendezvous: flags.get("--rendezvous-protocol") == Some(&"true"),
        extended: false,
        symmetry: true,
    }
}

pub fn by_rank(outcome: &Outcome) -> Vec<(u64, u64)> {
    let mut finished: Vec<_> = outcome
        .finished
        .iter()
        .map(|f| (f.rank, f.cycles, f.exposed))
        .collect();
    finished.sort_unstable();
    finished
        .into_iter()
        .map(|(_, cycles, exposed)| (cycles, exposed))
        .collect()
}

/// The one row whose files name others relative to the working directory.
pub fn is_relative(row: &Row) -> bool {
    row.case == "shipped/custom_collective"
}
