//! Who was busy when: every rank's iterations over the whole run, and where ranks were lost.

use super::page::{Block, Figure, Section, Table};
use super::short;
use super::side::{Side, columns, words};
use super::{links, percent};
use crate::report::svg::lanes::{Bar, Counter, Lanes};
use crate::results::summary::Row;

/// Ranks that have a lane of their own.
const LANES: usize = 256;

/// `None` where no iteration is stored.
pub(super) fn section(side: &Side, title: String, place: usize) -> Option<Section> {
    let run = side.run();
    let ranks = run.manifest.plan.ranks.len().min(LANES);
    let mut bars: Vec<Bar> = Vec::new();
    for rank in 0..ranks {
        for (op, of_op) in side.played.iter().enumerate() {
            bars.extend(
                of_op[rank]
                    .iter()
                    .map(|(start, end)| (rank, op, seconds(*start), seconds(*end))),
            );
        }
    }
    if bars.is_empty() {
        return None;
    }
    let rows = &run.rows;
    let (what, names) = columns(&rows.iter().collect::<Vec<&Row>>());
    let spans = rows.iter().zip(names).filter_map(|(row, name)| {
        let (first, last) = span(side, row)?;
        Some((seconds(first), seconds(last), name))
    });
    let drawing = Lanes {
        across: "seconds since the common start of all ranks, real".into(),
        tick: short,
        lanes: (0..ranks).map(|rank| format!("rank {rank}")).collect(),
        bars,
        marks: losses(side),
        spans: spans.collect(),
        counter: busiest(side),
    };
    let cut = match run.manifest.plan.ranks.len() {
        all if all > ranks => format!("; the first {ranks} of {all} ranks"),
        _ => String::new(),
    };
    let figure = Figure {
        caption: format!("Iterations of all ranks, measured ones only ({what}){cut}"),
        drawings: vec![drawing.svg("when each rank was within an iteration of which operation")],
        legend: Vec::new(),
        table: Some(table(side)),
        small: false,
    };
    let id = run.manifest.run_id.short();
    Some(Section {
        id: format!("timeline-{place}"),
        title,
        notes: vec![format!(
            "Below the ranks, where links have a rate: how busy the busiest link direction was in each operation. Gaps are warm-up, set-up and agreement on the next operation. `genie show {id} --timeline FILE.json` writes every \
             iteration for ui.perfetto.dev."
        )],
        blocks: vec![Block::Figure(figure)],
        ..Section::default()
    })
}

fn seconds(ns: u64) -> f64 {
    ns as f64 / 1e9
}

/// When ranks were found to be lost, on the clock of the iterations.
fn losses(side: &Side) -> Vec<(f64, String)> {
    let manifest = &side.run().manifest;
    let started = manifest.stages.iter().find(|stage| stage.stage == "started");
    let Some(started) = started else { return Vec::new() };
    let lost = manifest.lost_ranks.iter();
    lost.map(|loss| (loss.at_s - started.at_s, format!("rank {} lost", loss.rank)))
        .collect()
}

/// How busy the busiest link direction was in each operation; `None` where links have no rate.
fn busiest(side: &Side) -> Option<Counter> {
    let rows = links::rows(side.run());
    let (directions, shaped) = links::rates(side, &rows);
    let step = |(place, row): (usize, &&Row)| {
        let (first, last) = span(side, row)?;
        let of_row = directions
            .iter()
            .filter_map(|(way, values)| Some((way, values[place]?)));
        let (way, share) = of_row.max_by(|a, b| a.1.total_cmp(&b.1))?;
        let tip = format!("{}: {way} {}", words(row), percent(share));
        Some((seconds(first), seconds(last), share, tip))
    };
    let steps: Vec<_> = rows.iter().enumerate().filter_map(step).collect();
    (shaped && !steps.is_empty()).then(|| Counter {
        name: "links".into(),
        steps,
    })
}

/// When the first rank began and the last ended what was measured of an operation, ns.
fn span(side: &Side, row: &Row) -> Option<(u64, u64)> {
    let all = || side.played[row.index].iter().flatten();
    Some((all().map(|it| it.0).min()?, all().map(|it| it.1).max()?))
}

fn table(side: &Side) -> Table {
    let titles = ["operation", "#first begins (s)", "#last ends (s)", "#iterations"];
    let mut table = Table::new("When each operation was measured", titles);
    for row in &side.run().rows {
        let all = || side.played[row.index].iter().flatten();
        let (first, last) = (
            all().map(|(start, _)| *start).min(),
            all().map(|(_, end)| *end).max(),
        );
        if let (Some(first), Some(last)) = (first, last) {
            let time = |ns: u64| format!("{:.6}", seconds(ns));
            table.rows.push(vec![
                words(row),
                time(first),
                time(last),
                row.iterations.to_string(),
            ]);
        }
    }
    table
}
