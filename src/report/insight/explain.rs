//! The summary of what the NPUs of a simulation spent their time on, in words.

use std::fmt::Write;

use crate::testbed::model::insight::explain::{Explanation, NpuTime};

/// So many rows of NPUs, and steps of the critical path, are shown; `--json` has all.
const SHOWN: usize = 16;

/// Nanoseconds as microseconds.
fn us(ns: u64) -> String {
    format!("{}.{:03}", ns / 1000, ns % 1000)
}

fn percent(part: u64, whole: u64) -> String {
    format!("{:.1} %", 100.0 * part as f64 / whole.max(1) as f64)
}

/// Everything, ready to be printed.
pub fn text(explanation: &Explanation) -> String {
    let Some(slowest) = &explanation.slowest else {
        return "no NPU is through: nothing to explain\n".into();
    };
    let mut text = format!(
        "What the time went to (virtual, us; exposed = ASTRA-sim's, its parts are those of docs/astra-insight.md)\n{}",
        table(&explanation.npus)
    );
    let _ = write!(text, "Slowest: NPU {} at {} us", slowest.rank, us(slowest.cycles));
    text += &match slowest.most {
        Some((what, more)) => format!(
            ", {} us behind the median NPU; most of that is {what}, {} us more\n",
            us(slowest.behind),
            us(more)
        ),
        None if slowest.behind == 0 => ", as late as the median NPU\n".into(),
        None => format!(", {} us behind the median NPU\n", us(slowest.behind)),
    };
    text + &path(explanation) + &costly(explanation) + &links(explanation)
}

/// Rows of NPUs that are alike, and their titles.
fn table(npus: &[NpuTime]) -> String {
    let late = npus.iter().any(|npu| npu.parts.not_begun > 0);
    let mut titles = vec![
        "NPU", "end", "compute", "overlap", "exposed", "peers", "network", "endpoint", "serial", "memory",
        "CPU",
    ];
    titles.extend(late.then_some("not begun"));
    let mut rows: Vec<Vec<String>> = vec![titles.into_iter().map(str::to_owned).collect()];
    let mut at = 0;
    let mut left_out = 0;
    while at < npus.len() {
        let first = npus[at];
        let alike = |npu: &&NpuTime| {
            NpuTime {
                rank: first.rank,
                ..**npu
            } == first
        };
        let count = npus[at..].iter().take_while(alike).count();
        let last = npus[at + count - 1].rank;
        at += count;
        if rows.len() > SHOWN {
            left_out += count;
            continue;
        }
        let name = if count == 1 {
            first.rank.to_string()
        } else {
            format!("{}-{last}", first.rank)
        };
        let parts = first.parts;
        let figures = [
            first.cycles,
            first.compute,
            first.overlap,
            first.exposed,
            parts.peers,
            parts.network,
            parts.endpoint,
            parts.slot,
            parts.memory,
            parts.cpu,
        ];
        let figures = figures.into_iter().chain(late.then_some(parts.not_begun));
        rows.push(std::iter::once(name).chain(figures.map(us)).collect());
    }
    let width = |column: usize| rows.iter().map(|row| row[column].len()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..rows[0].len()).map(width).collect();
    let mut text = String::new();
    for row in &rows {
        for (cell, &width) in row.iter().zip(&widths) {
            let _ = write!(text, "  {cell:>width$}");
        }
        text.push('\n');
    }
    if left_out > 0 {
        let _ = writeln!(text, "  and {left_out} more NPUs: see --json");
    }
    text + &doubts(npus)
}

/// Where ASTRA-sim's figure is not what its name says.
fn doubts(npus: &[NpuTime]) -> String {
    let sum = |figure: fn(&NpuTime) -> u64| npus.iter().map(|npu| u128::from(figure(npu))).sum::<u128>();
    let mut text = String::new();
    let late = sum(|npu| npu.parts.not_begun);
    let other = late + sum(|npu| npu.parts.memory + npu.parts.cpu);
    if other > 0 {
        let what = match late {
            0 => "memory and CPU",
            _ => "memory, CPU and the time before NPUs begin",
        };
        let ours = sum(|npu| npu.exposed_communication);
        let _ = writeln!(
            text,
            "ASTRA-sim's exposed communication includes {what}: {other} ns of all NPUs; without them it is {ours} ns"
        );
    }
    let twice = sum(|npu| npu.counted_twice);
    if twice > 0 {
        let _ = writeln!(
            text,
            "ASTRA-sim counts {twice} ns as computing more than once, and so as not exposed (its replay mode)"
        );
    }
    text
}

fn path(explanation: &Explanation) -> String {
    let end = explanation.slowest.map_or(0, |slowest| slowest.cycles);
    let steps = &explanation.critical_path;
    let mut text = format!("Critical path: {} steps, latest first\n", steps.len());
    for named in steps.iter().take(SHOWN) {
        let step = &named.step;
        let waits = if step.waits { " waits" } else { "" };
        let _ = writeln!(
            text,
            "  {:>8}  {} us, until {} us: NPU {} node {} `{}` ({}){waits}",
            percent(step.to - step.from, end),
            us(step.to - step.from),
            us(step.to),
            step.rank,
            named.node,
            named.name.escape_debug(),
            named.kind
        );
    }
    if steps.len() > SHOWN {
        let _ = writeln!(text, "  and {} more: see --json", steps.len() - SHOWN);
    }
    text
}

fn costly(explanation: &Explanation) -> String {
    let mut text =
        String::from("Operations that cost most (time on the NPUs' own paths, all NPUs together)\n");
    for costly in &explanation.costly {
        let _ = writeln!(
            text,
            "  {} us, {} us of it exposed: node {} `{}` ({}), on {} NPUs",
            us(costly.time),
            us(costly.exposed),
            costly.node,
            costly.name.escape_debug(),
            costly.kind,
            costly.npus
        );
    }
    text
}

fn links(explanation: &Explanation) -> String {
    let mut text = String::new();
    for used in &explanation.dimensions {
        let doubt = if used.utilisation > 1.0 {
            "; more than a link can carry: the unaware network lets messages pass each other"
        } else {
            ""
        };
        let _ = writeln!(
            text,
            "Dimension {}: busiest is {}, {:.1} % of the time{doubt}",
            used.dimension,
            used.busiest,
            100.0 * used.utilisation
        );
    }
    text
}
