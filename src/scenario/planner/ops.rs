//! Traffic sections to operations: one for each size, with iterations and expectation.

use crate::network::message::CommunicatorId;
use crate::scenario::plan::OpPlan;
use crate::scenario::section::collective::{Collective, Count, SizeRange, Sizes};
use crate::scenario::suggest;
use crate::scenario::units::Bytes;
use crate::system::collective::{self, OpError};
use crate::system::op::{self, Op};

use super::duration::software_seconds;
use super::expect::Ground;
use super::findings::Findings;

/// Most sizes of one traffic section.
pub const MAX_SIZES: usize = 1000;
/// Largest size.
const MAX_BYTES: u64 = 1 << 40;
/// Most iterations of one size.
const MAX_ITERATIONS: u32 = 10_000_000;
/// `"auto"` iterations.
const AUTO_ITERATIONS: std::ops::RangeInclusive<u32> = 5..=1000;
/// `"auto"` warm-up iterations.
const AUTO_WARMUP: std::ops::RangeInclusive<u32> = 1..=20;

/// Operations of the sections at `path`, in the order in which they are played.
pub fn plan(
    sections: &[Collective],
    path: &str,
    ground: &Ground<'_>,
    findings: &mut Findings<'_>,
) -> Vec<OpPlan> {
    let sections = sections.iter().enumerate();
    let planner = |(number, section)| {
        let planner = Planner {
            ground,
            section,
            path: format!("{path}[{number}]"),
        };
        planner.plan(findings)
    };
    sections.flat_map(planner).collect()
}

/// Two ranks exchange data and there is no path between their hosts.
pub(super) fn no_path(path: &str, ground: &Ground<'_>, ranks: (u32, u32), findings: &mut Findings<'_>) {
    let host = |rank: u32| {
        let node = ground.ranks[rank as usize].host;
        ground.wired.network.nodes[node].name.as_str()
    };
    let message = format!(
        "rank {} on `{}` and rank {} on `{}` exchange data, but nothing joins their hosts in this step",
        ranks.0,
        host(ranks.0),
        ranks.1,
        host(ranks.1)
    );
    let wrong = findings.wrong(path, message);
    wrong
        .help
        .push("add circuits to the step, or play it over a communicator of ranks that are joined".into());
}

/// Chunks of the section at `path`: not too many at once, none too small.
pub(super) fn check_chunks(path: &str, chunk: Bytes, in_flight: u32, findings: &mut Findings<'_>) {
    if !(1..=256).contains(&in_flight) {
        let message = format!("{in_flight} chunks in flight; 1 to 256 are possible");
        findings.wrong(&format!("{path}.chunks_in_flight"), message);
    }
    if (1..1024).contains(&chunk.0) {
        let message = format!("a chunk of {chunk}; at least 1 KiB");
        let wrong = findings.wrong(&format!("{path}.chunk"), message);
        wrong.help.push("\"0 B\" never cuts".into());
    }
}

struct Planner<'a> {
    ground: &'a Ground<'a>,
    section: &'a Collective,
    path: String,
}

impl Planner<'_> {
    fn at(&self, key: &str) -> String {
        format!("{}.{key}", self.path)
    }

    fn plan(&self, findings: &mut Findings<'_>) -> Vec<OpPlan> {
        let before = findings.wrong.len();
        self.check_numbers(findings);
        let communicator = self.communicator(findings);
        let sizes = self.sizes(communicator, findings);
        let Some(communicator) = communicator.filter(|_| findings.wrong.len() == before) else {
            return Vec::new();
        };
        let mut ops = Vec::new();
        for bytes in sizes {
            match self.op(communicator, bytes) {
                Ok((_, Some(apart))) => {
                    no_path(&self.path, self.ground, apart, findings);
                    break;
                }
                Ok((op, None)) => ops.push(op),
                Err(error) => {
                    findings.wrong(&self.at("algorithm"), error.to_string());
                    break;
                }
            }
        }
        ops
    }

    /// The operation, and two of its ranks between which there is no path.
    fn op(&self, communicator: CommunicatorId, bytes: u64) -> Result<(OpPlan, Option<(u32, u32)>), OpError> {
        let members = &self.ground.communicators[communicator as usize];
        let n = members.ranks.len() as u32;
        let section = self.section;
        let mut op = Op {
            collective: section.op,
            algorithm: section.algorithm,
            communicator,
            bytes,
            dtype: section.dtype,
            redop: section.redop,
            root: section.root,
            chunk_bytes: section.chunk.0,
            chunks_in_flight: section.chunks_in_flight,
            sends_in_flight: op::SENDS_IN_FLIGHT,
            matrix: section
                .matrix
                .as_ref()
                .map(|rows| rows.iter().map(|row| row.iter().map(|b| b.0).collect()).collect()),
        };
        op.algorithm = collective::algorithm(&op, n);
        let traffic = collective::traffic(&op, n)?;
        let (link_bytes, expected) = self.ground.expect(&traffic, members);
        if op.shares_links(expected.seconds.is_some()) {
            op.sends_in_flight = n;
        }
        let seconds = expected.seconds.unwrap_or(0.0) * self.ground.dilation;
        let iterations = self.iterations(seconds.max(software_seconds(&traffic) * self.ground.slowdown));
        let warmup = match section.warmup {
            Count::Exactly(count) => count,
            Count::Auto => (iterations / 10).clamp(*AUTO_WARMUP.start(), *AUTO_WARMUP.end()),
        };
        let apart = self.ground.apart(&traffic, members);
        let planned = OpPlan {
            op,
            warmup,
            iterations,
            expected,
            link_bytes,
            trace: None,
        };
        Ok((planned, apart))
    }

    /// As many as fit the time for a size, when one takes `seconds` of real time.
    fn iterations(&self, seconds: f64) -> u32 {
        match self.section.iterations {
            Count::Exactly(count) => count,
            Count::Auto => {
                let fit = self.section.time_per_size.seconds() / seconds.max(1e-9);
                (fit as u32).clamp(*AUTO_ITERATIONS.start(), *AUTO_ITERATIONS.end())
            }
        }
    }

    fn check_numbers(&self, findings: &mut Findings<'_>) {
        let section = self.section;
        if section.iterations == Count::Exactly(0) {
            findings.wrong(&self.at("iterations"), "0 iterations measure nothing");
        }
        for (key, count) in [("iterations", section.iterations), ("warmup", section.warmup)] {
            if matches!(count, Count::Exactly(count) if count > MAX_ITERATIONS) {
                findings.wrong(&self.at(key), format!("at most {MAX_ITERATIONS} are possible"));
            }
        }
        if section.time_per_size.0 == 0 {
            findings.wrong(&self.at("time_per_size"), "no time for a size");
        }
        check_chunks(&self.path, section.chunk, section.chunks_in_flight, findings);
    }

    fn communicator(&self, findings: &mut Findings<'_>) -> Option<CommunicatorId> {
        let all = self.ground.communicators;
        let name = &self.section.communicator;
        let Some(found) = all.iter().find(|communicator| communicator.name == *name) else {
            let names: Vec<&str> = all
                .iter()
                .map(|communicator| communicator.name.as_str())
                .collect();
            let wrong = findings.wrong(
                &self.at("communicator"),
                format!("there is no communicator `{name}`"),
            );
            wrong
                .help
                .extend(suggest::help(name, "communicators are", &names));
            return None;
        };
        let n = found.ranks.len() as u32;
        if self.section.root >= n {
            let message = format!(
                "root {} is outside `{name}`, which has positions 0 to {}",
                self.section.root,
                n - 1
            );
            findings.wrong(&self.at("root"), message);
            return None;
        }
        Some(found.id)
    }

    /// Sizes in bytes, checked.
    fn sizes(&self, communicator: Option<CommunicatorId>, findings: &mut Findings<'_>) -> Vec<u64> {
        let path = self.at("sizes");
        if let Some(matrix) = &self.section.matrix {
            let n = communicator.map(|id| self.ground.communicators[id as usize].ranks.len());
            return self.matrix_size(matrix, n, findings).into_iter().collect();
        }
        if self.section.op == op::Collective::Barrier {
            if self.section.sizes.is_some() {
                findings.unwanted(&path, "a barrier has no size", "leave `sizes` away");
            }
            return vec![0];
        }
        let sizes = match &self.section.sizes {
            None => {
                let wrong = findings.wrong(&self.path, format!("{} needs sizes", self.section.op));
                wrong.help.push("for example sizes = [\"1 KiB\", \"64 MiB\"], or sizes = { from = \"1 KiB\", to = \"64 MiB\", factor = 2 }".into());
                return Vec::new();
            }
            Some(Sizes::One(size)) => vec![(path.clone(), *size)],
            Some(Sizes::List(list)) if list.is_empty() => {
                findings.wrong(&path, "an empty list of sizes");
                return Vec::new();
            }
            Some(Sizes::List(list)) => list
                .iter()
                .enumerate()
                .map(|(number, size)| (format!("{path}[{number}]"), *size))
                .collect(),
            Some(Sizes::Range(range)) => {
                let sizes = range_sizes(&path, range, self.section.dtype.bytes(), findings);
                sizes.into_iter().map(|size| (path.clone(), size)).collect()
            }
        };
        if sizes.len() > MAX_SIZES {
            findings.wrong(&path, format!("more than {MAX_SIZES} sizes"));
            return Vec::new();
        }
        for (path, size) in &sizes {
            if !self.check_size(path, *size, findings) {
                break;
            }
        }
        sizes.into_iter().map(|(_, size)| size.0).collect()
    }

    fn check_size(&self, path: &str, size: Bytes, findings: &mut Findings<'_>) -> bool {
        let element = self.section.dtype.bytes();
        if size.0 == 0 {
            findings.wrong(path, "a size of zero");
        } else if size.0 > MAX_BYTES {
            findings.wrong(path, format!("a size of {size}; at most 1 TiB"));
        } else if !size.0.is_multiple_of(element) {
            let message = format!("{size} is no whole number of elements of {element} bytes");
            let wrong = findings.wrong(path, message);
            wrong.help.push("another size, or `dtype = \"int8\"`".into());
        } else {
            return true;
        }
        false
    }

    /// The larger of what a rank sends and receives by the matrix.
    fn matrix_size(
        &self,
        matrix: &[Vec<Bytes>],
        n: Option<usize>,
        findings: &mut Findings<'_>,
    ) -> Option<u64> {
        let path = self.at("matrix");
        if self.section.op != op::Collective::AllToAll {
            let message = format!("{} takes no matrix", self.section.op);
            findings.unwanted(&path, message, "only all-to-all does");
            return None;
        }
        if self.section.sizes.is_some() {
            findings.unwanted(
                &self.at("sizes"),
                "the matrix says all sizes",
                "leave `sizes` or `matrix` away",
            );
            return None;
        }
        let n = n?;
        if matrix.len() != n {
            let message = format!(
                "a matrix with {} of the {n} rows that a communicator of {n} ranks needs",
                matrix.len()
            );
            findings.wrong(&path, message);
            return None;
        }
        for (number, row) in matrix.iter().enumerate() {
            if row.len() != n {
                let message = format!(
                    "a row with {} of the {n} sizes that a communicator of {n} ranks needs",
                    row.len()
                );
                findings.wrong(&format!("{path}[{number}]"), message);
                return None;
            }
        }
        let sizes = matrix.iter().enumerate();
        for (s, d, size) in
            sizes.flat_map(|(s, row)| row.iter().enumerate().map(move |(d, size)| (s, d, *size)))
        {
            let at = format!("{path}[{s}][{d}]");
            if size.0 != 0 && !self.check_size(&at, size, findings) {
                return None;
            }
        }
        let sent = matrix
            .iter()
            .map(|row| row.iter().map(|size| size.0).sum::<u64>());
        let received = (0..n).map(|d| matrix.iter().map(|row| row[d].0).sum::<u64>());
        let largest = sent.chain(received).max().unwrap_or(0);
        if largest == 0 {
            findings.wrong(&path, "a matrix of zeros moves nothing");
        }
        (largest > 0).then_some(largest)
    }
}

/// Sizes of a range; steps between are rounded down to whole elements.
fn range_sizes(path: &str, range: &SizeRange, element: u64, findings: &mut Findings<'_>) -> Vec<Bytes> {
    let before = findings.wrong.len();
    if range.from.0 == 0 {
        findings.wrong(&format!("{path}.from"), "a size of zero");
    }
    if range.from > range.to {
        let message = format!("from {} to {}: the first is larger", range.from, range.to);
        findings.wrong(&format!("{path}.from"), message);
    }
    if range.factor.is_some() && range.step.is_some() {
        findings.unwanted(
            &format!("{path}.step"),
            "both a factor and a step",
            "keep one of them",
        );
    }
    let factor = range.factor.unwrap_or(2.0);
    if !(factor > 1.0 && factor <= 1e12) {
        let wrong = findings.wrong(&format!("{path}.factor"), format!("a factor of {factor}"));
        wrong
            .help
            .push("more than 1: each size is so many times the one before".into());
    }
    if range.step == Some(Bytes(0)) {
        findings.wrong(&format!("{path}.step"), "a step of zero");
    }
    if findings.wrong.len() > before {
        return Vec::new();
    }
    let mut sizes = vec![range.from];
    let mut exact = range.from.0 as f64;
    while sizes.len() <= MAX_SIZES {
        exact = range.step.map_or(exact * factor, |step| exact + step.0 as f64);
        if exact > range.to.0 as f64 * (1.0 - 1e-12) {
            break;
        }
        let size = Bytes(exact as u64 / element * element);
        if sizes.last().is_some_and(|last| *last < size) {
            sizes.push(size);
        }
    }
    if sizes.last() != Some(&range.to) {
        sizes.push(range.to);
    }
    sizes
}
