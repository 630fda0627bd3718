//! A trace's figures as a table below the rows: measured beside modelled, each named.

use comfy_table::{CellAlignment, Table, presets};

use crate::results::trace::{KindReport, TraceReport};
use crate::scenario::units::Bytes;

/// Kinds that take the most time in all, so many, are shown.
const SHOWN: usize = 12;

/// The lines of a trace, without what marks them as comments.
pub fn lines(trace: &TraceReport) -> Vec<String> {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.set_header(["", "bytes", "ranks", "nodes", "measured", "modelled", "ratio"]);
    for column in 1..7 {
        if let Some(column) = table.column_mut(column) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    let modelled = |pick: fn(&crate::results::trace::TraceFigures) -> f64| trace.modelled.as_ref().map(pick);
    let measured = &trace.measured;
    for (what, measured, modelled) in [
        ("iteration", measured.iteration_us, modelled(|m| m.iteration_us)),
        ("compute", measured.compute_us, modelled(|m| m.compute_us)),
        (
            "exposed communication",
            measured.exposed_us,
            modelled(|m| m.exposed_us),
        ),
    ] {
        let ratio = modelled.filter(|us| *us > 0.0).map(|us| measured / us);
        table.add_row(row(
            what,
            ["", "", ""].map(String::from),
            Some(measured),
            modelled,
            ratio,
        ));
    }
    let mut kinds: Vec<&KindReport> = trace.kinds.iter().collect();
    let weight = |kind: &KindReport| {
        kind.measured_us
            .map_or(0.0, |times| times.mean * kind.nodes as f64)
    };
    kinds.sort_by(|a, b| weight(b).total_cmp(&weight(a)));
    for kind in kinds.iter().take(SHOWN) {
        let size = match kind.bytes {
            0 => String::new(),
            bytes => Bytes(bytes).to_string(),
        };
        let p50 = |times: Option<crate::results::statistics::Times>| times.map(|times| times.p50);
        let cells = [size, kind.ranks.to_string(), kind.nodes.to_string()];
        table.add_row(row(
            &kind.kind,
            cells,
            p50(kind.measured_us),
            p50(kind.modelled_us),
            kind.ratio,
        ));
    }
    let hidden = kinds.len().saturating_sub(SHOWN);
    let mut lines = vec![format!(
        "trace {}: medians; nodes of all ranks in one iteration",
        trace.name
    )];
    lines.extend(table.to_string().lines().map(|line| line.trim_end().to_owned()));
    if hidden > 0 {
        lines.push(format!(
            "and {hidden} more kinds; all are in the JSON report and in nodes.csv"
        ));
    }
    if let Some(network) = &trace.modelled_network {
        lines.push(format!("modelled: the same machines in virtual time, {network}"));
    }
    if let Some(why) = &trace.not_modelled {
        lines.push(format!("not modelled: {why}"));
    }
    lines
}

fn row(
    what: &str,
    [bytes, ranks, nodes]: [String; 3],
    measured: Option<f64>,
    modelled: Option<f64>,
    ratio: Option<f64>,
) -> [String; 7] {
    let dash = |cell: Option<String>| cell.unwrap_or_else(|| "-".into());
    [
        what.into(),
        bytes,
        ranks,
        nodes,
        dash(measured.map(time)),
        dash(modelled.map(time)),
        dash(ratio.map(|ratio| format!("{ratio:.3}"))),
    ]
}

fn time(us: f64) -> String {
    match us {
        us if us < 1e3 => format!("{us:.1} us"),
        us if us < 1e6 => format!("{:.3} ms", us / 1e3),
        us => format!("{:.3} s", us / 1e6),
    }
}
