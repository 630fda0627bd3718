//! What is in traces, for people and programs: ranks with the same figures in one row, then collectives
//! by group, then findings, the worst first.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::style::{Style, Tone, wrap};
use crate::scenario::units::{Bytes, Duration};
use crate::workload::inspect::{Collective, Figures, Finding, Inspection, Severity};

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
    communication(&mut text, &rows, style);
    unknown(&mut text, inspection, style);
    for finding in &inspection.findings {
        text += &said(finding, inspection.ranks.len(), style);
    }
    if inspection.findings.is_empty() {
        line(&mut text, "nothing wrong was found");
    }
    text
}

/// Ranks by figures that are the same, in the order of the first of each.
fn alike(inspection: &Inspection) -> Vec<(Vec<u32>, &Figures)> {
    let mut rows: Vec<(Vec<u32>, &Figures)> = Vec::new();
    for (rank, figures) in &inspection.ranks {
        // Only among the first rows: with thousands of different ranks nobody reads the table.
        match rows
            .iter_mut()
            .take(MOST_ROWS)
            .find(|(_, known)| *known == figures)
        {
            Some((ranks, _)) => ranks.push(*rank),
            None => rows.push((vec![*rank], figures)),
        }
    }
    rows
}

fn communication(text: &mut String, rows: &[(Vec<u32>, &Figures)], style: Style) {
    let mut sums: BTreeMap<(String, &str), (u64, u64, u64)> = BTreeMap::new();
    let mut add = |key: (String, &'static str), ranks: u64, count: u64, bytes: u64| {
        let sum = sums.entry(key).or_default();
        *sum = (
            sum.0 + ranks,
            sum.1 + count * ranks,
            sum.2.saturating_add(bytes.saturating_mul(ranks)),
        );
    };
    for (ranks, figures) in rows {
        let ranks = ranks.len() as u64;
        for Collective {
            group,
            collective,
            count,
            bytes,
        } in &figures.collectives
        {
            add(
                (group.escape_debug().to_string(), collective),
                ranks,
                *count,
                *bytes,
            );
        }
        for (name, traffic) in [("SEND", figures.sends), ("RECV", figures.recvs)] {
            if traffic.count > 0 {
                add((String::new(), name), ranks, traffic.count, traffic.bytes);
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

fn time(ns: u64) -> String {
    Duration(ns).to_string()
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
