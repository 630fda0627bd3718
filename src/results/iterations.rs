//! The time of every iteration, back from `iterations.csv`: the same arithmetic as of a live run,
//! without its memory, for files of millions of lines.

use std::path::Path;

use super::reader;
use super::run::Run;

/// Nominal microseconds of each measured iteration, for each operation of the plan; what cannot be
/// read is left out and told in `found`.
pub fn read(folder: &Path, run: &Run, found: &mut Vec<String>) -> Vec<Vec<f64>> {
    let mut ops = vec![Op::default(); run.manifest.plan.ops.len()];
    each(folder, run, found, |iteration| ops[iteration.op].take(iteration));
    let dilation = run.manifest.plan.dilation;
    ops.iter().map(|op| op.times_us(dilation)).collect()
}

/// Shows every measured iteration of every rank, as stored; what cannot be read is left out and told
/// in `found`.
pub fn each(folder: &Path, run: &Run, found: &mut Vec<String>, mut show: impl FnMut(&Iteration)) {
    let manifest = &run.manifest;
    let Some(text) = reader::file(folder, "iterations.csv", manifest, found) else {
        return;
    };
    let whole = text.rfind('\n').map_or(0, |end| end + 1);
    let (mut wrong, mut first_wrong) = (0, 0);
    for (number, line) in text[..whole].lines().enumerate().skip(1) {
        let taken = Iteration::parse(line.as_bytes()).is_some_and(|line| {
            let planned = manifest.plan.ops.get(line.op).map(|op| op.iterations as usize);
            let ranks = manifest.plan.ranks.len();
            let fits =
                planned.is_some_and(|planned| line.iteration < planned && (line.rank as usize) < ranks);
            if fits {
                show(&line);
            }
            fits
        });
        if !taken {
            wrong += 1;
            first_wrong = if wrong == 1 { number + 1 } else { first_wrong };
        }
    }
    if wrong > 0 {
        found.push(format!(
            "{wrong} lines of iterations.csv are left out, line {first_wrong} first: not an iteration of the plan"
        ));
    }
}

/// An iteration of a rank.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Iteration {
    /// The operation's place in the plan.
    pub op: usize,
    /// Measured iteration, from 0.
    pub iteration: usize,
    /// Whose.
    pub rank: u32,
    /// Start since the common start of all ranks, real ns.
    pub start_ns: u64,
    /// End, likewise.
    pub end_ns: u64,
}

impl Iteration {
    fn parse(line: &[u8]) -> Option<Iteration> {
        let mut fields = line.split(|byte| *byte == b',').map(number);
        let (op, iteration) = (fields.next()??, fields.next()??);
        let rank = fields.next()??;
        Some(Iteration {
            op: op as usize,
            iteration: iteration as usize,
            rank: rank.try_into().ok()?,
            start_ns: fields.next()??,
            end_ns: fields.next()??,
        })
    }
}

fn number(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() {
        return None;
    }
    digits.iter().try_fold(0u64, |value, digit| {
        let digit = digit.checked_sub(b'0').filter(|digit| *digit < 10)?;
        value.checked_mul(10)?.checked_add(u64::from(digit))
    })
}

#[derive(Debug, Clone, Default)]
struct Op {
    /// When the last rank began the first iteration.
    begun_ns: u64,
    /// Of each iteration, when the last rank ended it and how many did.
    ends: Vec<(u64, u32)>,
}

impl Op {
    fn take(&mut self, line: &Iteration) {
        if self.ends.len() <= line.iteration {
            self.ends.resize(line.iteration + 1, (0, 0));
        }
        let end = &mut self.ends[line.iteration];
        *end = (end.0.max(line.end_ns), end.1 + 1);
        if line.iteration == 0 {
            self.begun_ns = self.begun_ns.max(line.start_ns);
        }
    }

    /// From the end of each iteration to that of the next, as `summary` defines it, of those that all
    /// ranks ended.
    fn times_us(&self, dilation: f64) -> Vec<f64> {
        let ranks = self.ends.first().map_or(0, |(_, ranks)| *ranks);
        let whole = self.ends.iter().take_while(|(_, ended)| *ended == ranks);
        let mut before = self.begun_ns;
        whole
            .map(|(end, _)| {
                let took = end.saturating_sub(before);
                before = before.max(*end);
                took as f64 / 1e3 / dilation
            })
            .collect()
    }
}
