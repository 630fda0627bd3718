//! Traces: an iteration as it was played, and what was measured beside what the model says.

use std::collections::BTreeMap;

use super::page::{Block, Figure, Key, Section, Table};
use super::side::Side;
use super::{micros, short};
use crate::report::svg::lanes::{Bar, Lanes};
use crate::results::trace::{TraceFigures, TraceReport};
use crate::scenario::units::Bytes;

/// Lanes of the figure: of more ranks the first are shown.
const LANES: usize = 96;

/// `None` where no trace was played.
pub(super) fn section(side: &Side, title: String, place: usize) -> Option<Section> {
    let run = side.run();
    let mut blocks = Vec::new();
    for trace in &run.manifest.traces {
        blocks.extend(played(side, trace).map(Block::Figure));
        for table in [iteration(trace), kinds(trace)] {
            blocks.push(Block::Table { table, folded: false });
        }
    }
    (!blocks.is_empty()).then(|| Section {
        id: format!("traces-{place}"),
        title,
        notes: vec![
            "The model is the same ranks in virtual time over the links as calibrated; no measured figure is among the modelled \
             ones, nor the other way round."
                .into(),
        ],
        blocks,
        ..Section::default()
    })
}

/// The first measured iteration: a lane for each rank and resource, a colour for each kind of node.
fn played(side: &Side, trace: &TraceReport) -> Option<Figure> {
    let nodes: Vec<_> = side
        .nodes
        .iter()
        .filter(|node| node.op == trace.op && node.end_ns > node.start_ns)
        .collect();
    let first = nodes.iter().map(|node| node.start_ns).min()?;
    let mut lanes: BTreeMap<(u32, &str), usize> = nodes
        .iter()
        .map(|node| ((node.rank, lane(&node.lane)), 0))
        .collect();
    lanes
        .values_mut()
        .enumerate()
        .for_each(|(place, lane)| *lane = place);
    let mut kinds: Vec<&str> = nodes.iter().map(|node| node.kind.as_str()).collect();
    kinds.sort_unstable();
    kinds.dedup();
    let colour = |kind: &str| kinds.iter().position(|known| *known == kind).unwrap_or(0);
    let seconds = |ns: u64| (ns - first) as f64 / 1e9;
    let mut bars: Vec<Bar> = nodes
        .iter()
        .map(|node| {
            let row = lanes[&(node.rank, lane(&node.lane))];
            (
                row,
                colour(&node.kind),
                seconds(node.start_ns),
                seconds(node.end_ns),
            )
        })
        .filter(|(row, ..)| *row < LANES)
        .collect();
    bars.sort_by(|a, b| (a.0, a.1).cmp(&(b.0, b.1)).then(a.2.total_cmp(&b.2)));
    let names = lanes
        .keys()
        .take(LANES)
        .map(|(rank, lane)| format!("{rank} {lane}"));
    let drawing = Lanes {
        across: "seconds since the first node began, real".into(),
        tick: short,
        lanes: names.collect(),
        bars,
        marks: Vec::new(),
        spans: Vec::new(),
        counter: None,
    };
    let cut = if lanes.len() > LANES {
        "; the first ranks only"
    } else {
        ""
    };
    Some(Figure {
        caption: format!(
            "Trace {}: the first measured iteration, by rank and resource{cut}",
            trace.name
        ),
        drawings: vec![drawing.svg("what each rank computed and communicated when")],
        legend: kinds
            .iter()
            .enumerate()
            .map(|(place, kind)| Key::fill(place, *kind))
            .collect(),
        table: None,
        small: false,
    })
}

/// Receives occupy nothing.
fn lane(lane: &str) -> &str {
    match lane {
        "none" | "" => "wait",
        lane => lane,
    }
}

/// Picks a figure of an iteration.
type Pick = fn(&TraceFigures) -> f64;

fn iteration(trace: &TraceReport) -> Table {
    let model = match (&trace.modelled_network, &trace.not_modelled) {
        (Some(network), _) => network.clone(),
        (None, Some(why)) => format!("none, because {why}"),
        (None, None) => "none".into(),
    };
    let mut table = Table::new(
        format!("Trace {}: an iteration; modelled network: {model}", trace.name),
        ["", "#measured", "#modelled", "#ratio"],
    );
    let picks: [(&str, Pick); 3] = [
        ("iteration", |figures| figures.iteration_us),
        ("compute", |figures| figures.compute_us),
        ("exposed communication", |figures| figures.exposed_us),
    ];
    for (name, pick) in picks {
        let (measured, modelled) = (pick(&trace.measured), trace.modelled.as_ref().map(pick));
        let ratio = modelled.filter(|us| *us > 0.0).map(|us| measured / us);
        let opt = |value: Option<String>| value.unwrap_or_else(|| "-".into());
        table.rows.push(vec![
            name.into(),
            micros(measured),
            opt(modelled.map(micros)),
            opt(ratio.map(short)),
        ]);
    }
    table
}

fn kinds(trace: &TraceReport) -> Table {
    let mut table = Table::new(
        format!(
            "Trace {}: nodes alike in kind, size and ranks; medians",
            trace.name
        ),
        [
            "kind",
            "#bytes",
            "#ranks",
            "#nodes",
            "#measured",
            "#modelled",
            "#ratio",
        ],
    );
    for kind in &trace.kinds {
        let time = |times: Option<crate::results::statistics::Times>| {
            times.map_or_else(|| "-".into(), |times| micros(times.p50))
        };
        table.rows.push(vec![
            kind.kind.clone(),
            if kind.bytes == 0 {
                String::new()
            } else {
                Bytes(kind.bytes).to_string()
            },
            kind.ranks.to_string(),
            kind.nodes.to_string(),
            time(kind.measured_us),
            time(kind.modelled_us),
            kind.ratio.map_or_else(|| "-".into(), short),
        ]);
    }
    table
}
