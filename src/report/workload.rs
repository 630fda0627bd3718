//! What is in traces, for people and programs: ranks with the same figures in one row, then collectives
//! by group, then findings, the worst first.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::style::{Style, Tone, wrap};
use crate::scenario::units::Bytes;
use crate::workload::inspect::{Figures, Finding, Inspection, Severity};

/// Rows that a table shows at most; the rest are counted.
const MOST_ROWS: usize = 24;

/// One JSON object.
pub fn json(inspection: &Inspection) -> String {
    serde_json::to_string_pretty(inspection).expect("figures are plain JSON") + "\n"
}

/// Text for a terminal.
pub fn text(inspection: &Inspection, style: Style) -> String {
    let rows = alike(inspection);
    let mut text = String::new();
    let title = format!(
        "{:<16} {:>9} {:>9} {:>14} {:>14} {:>14} {:>10}",
        "ranks", "nodes", "edges", "GPU compute", "CPU compute", "critical path", "its nodes"
    );
    line(&mut text, &style.paint(Tone::Bold, &title));
    for (ranks, figures) in rows.iter().take(MOST_ROWS) {
        let nodes: usize = figures.nodes.values().sum();
        let row = format!(
            "{:<16} {nodes:>9} {:>9} {:>14} {:>14} {:>14} {:>10}",
            ranges(ranks),
            figures.edges,
            time(figures.gpu_compute_ns),
            time(figures.cpu_compute_ns),
            time(figures.critical_path_ns),
            figures.critical_path_nodes
        );
        line(&mut text, &row);
    }
    more(&mut text, rows.len(), "kinds of ranks");
    communication(&mut text, inspection, style);
    unknown(&mut text, inspection, style);
    for finding in &inspection.findings {
        text += &said(finding, inspection.ranks.len(), style);
    }
    if inspection.findings.is_empty() {
        line(&mut text, "nothing wrong was found");
    }
    text
}

/// Ranks whose rows would be the same, in the order of the first of each. Groups may differ.
fn alike(inspection: &Inspection) -> Vec<(Vec<u32>, &Figures)> {
    let row = |figures: &Figures| {
        let times = [
            figures.gpu_compute_ns,
            figures.cpu_compute_ns,
            figures.critical_path_ns,
        ];
        let nodes: usize = figures.nodes.values().sum();
        (times, nodes, figures.edges, figures.critical_path_nodes)
    };
    let mut rows: Vec<(Vec<u32>, &Figures)> = Vec::new();
    for (rank, figures) in &inspection.ranks {
        // Only among the first rows: with thousands of different ranks nobody reads the table.
        let known = rows.iter_mut().take(MOST_ROWS);
        match known.into_iter().find(|(_, known)| row(known) == row(figures)) {
            Some((ranks, _)) => ranks.push(*rank),
            None => rows.push((vec![*rank], figures)),
        }
    }
    rows
}

fn communication(text: &mut String, inspection: &Inspection, style: Style) {
    let mut sums: BTreeMap<(String, &str), (u64, u64, u64)> = BTreeMap::new();
    let mut add = |group: &str, name: &'static str, count: u64, bytes: u64| {
        let sum = sums.entry((group.escape_debug().to_string(), name)).or_default();
        *sum = (sum.0 + 1, sum.1 + count, sum.2.saturating_add(bytes));
    };
    for figures in inspection.ranks.values() {
        for one in &figures.collectives {
            add(&one.group, one.collective, one.count, one.bytes);
        }
        for (name, traffic) in [("SEND", figures.sends), ("RECV", figures.recvs)] {
            if traffic.count > 0 {
                add("", name, traffic.count, traffic.bytes);
            }
        }
    }
    if sums.is_empty() {
        return;
    }
    let title = format!(
        "{:<22} {:<14} {:>9} {:>12} {:>16}",
        "communication", "group", "ranks", "calls", "bytes per rank"
    );
    line(text, &style.paint(Tone::Bold, &title));
    let count = sums.len();
    for ((group, name), (ranks, calls, bytes)) in sums.into_iter().take(MOST_ROWS) {
        let group = if group.is_empty() { "all" } else { &group };
        let each = bytes / ranks.max(1);
        line(
            text,
            &format!(
                "{name:<22} {group:<14} {ranks:>9} {calls:>12} {:>16}",
                Bytes(each).to_string()
            ),
        );
    }
    more(text, count, "rows of communication");
}

fn unknown(text: &mut String, inspection: &Inspection, style: Style) {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for (name, count) in inspection
        .ranks
        .values()
        .flat_map(|figures| &figures.unknown_attributes)
    {
        *counts.entry(name).or_default() += count;
    }
    if counts.is_empty() {
        return;
    }
    let names: Vec<String> = counts
        .iter()
        .take(MOST_ROWS)
        .map(|(name, count)| format!("{} ({count})", name.escape_debug()))
        .collect();
    let what = format!(
        "attributes that nothing is done with, and how many nodes have them: {}",
        names.join(", ")
    );
    *text += &wrap(&what, style.width, "", "  ");
}

fn said(finding: &Finding, ranks: usize, style: Style) -> String {
    let (word, tone) = match finding.severity {
        Severity::Error => ("error", Tone::Error),
        Severity::Warning => ("warning", Tone::Warning),
        Severity::Note => ("note", Tone::Faint),
    };
    let whose = match finding.first_rank {
        Some(rank) if ranks > 1 && finding.ranks == 1 => format!(" (rank {rank})"),
        Some(rank) if ranks > 1 && finding.ranks < ranks => {
            format!(" ({} ranks, first {rank})", finding.ranks)
        }
        _ => String::new(),
    };
    let lines = wrap(&format!("{word}: {}{whose}", finding.text), style.width, "", "  ");
    lines.lines().map(|part| style.paint(tone, part) + "\n").collect()
}

fn more(text: &mut String, count: usize, what: &str) {
    if count > MOST_ROWS {
        line(text, &format!("... and {} more {what}", count - MOST_ROWS));
    }
}

fn line(text: &mut String, of: &str) {
    let _ = writeln!(text, "{}", of.trim_end());
}

/// With three decimals, in the unit that suits.
fn time(ns: u64) -> String {
    let of = |factor: f64, unit: &str| format!("{:.3} {unit}", ns as f64 / factor);
    match ns {
        0 => "0".into(),
        1..1_000 => format!("{ns} ns"),
        1_000..1_000_000 => of(1e3, "us"),
        1_000_000..1_000_000_000 => of(1e6, "ms"),
        _ => of(1e9, "s"),
    }
}

/// `0-3, 8`.
fn ranges(ranks: &[u32]) -> String {
    let mut parts: Vec<(u32, u32)> = Vec::new();
    for rank in ranks {
        match parts.last_mut() {
            Some((_, last)) if *last + 1 == *rank => *last = *rank,
            _ => parts.push((*rank, *rank)),
        }
    }
    let show = |(first, last): &(u32, u32)| {
        if first == last {
            first.to_string()
        } else {
            format!("{first}-{last}")
        }
    };
    let shown: Vec<String> = parts.iter().take(4).map(show).collect();
    shown.join(",") + if parts.len() > 4 { ",..." } else { "" }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workload::chakra::{Node, NodeKind, Trace};

    #[test]
    fn ranks_alike_share_a_row() {
        let mut inspection = Inspection::default();
        for rank in [0, 1, 2, 5] {
            let mut node = Node::new(0, "c", NodeKind::Comp);
            node.set_duration_ns(1_500_000);
            let nodes = vec![node];
            inspection.add(
                rank,
                &Trace {
                    nodes,
                    ..Trace::default()
                },
            );
        }
        let text = text(&inspection, Style::PLAIN);
        let row: Vec<&str> = text.lines().nth(1).unwrap().split_whitespace().collect();
        assert_eq!(row, ["0-2,5", "1", "0", "1.500", "ms", "0", "1.500", "ms", "1"]);
    }
}
