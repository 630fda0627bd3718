//! Ranks: who takes longer than others, who comes late, and what each spent.

use super::page::{Block, Figure, Section, Table};
use super::side::{Side, words};
use super::{short, signed_percent};
use crate::report::svg::heat::{Colours, Heat};
use crate::results::statistics::median::median;
use crate::results::summary::Row;
use crate::scenario::units::Bytes;

/// Cells of a heat map; of more ranks several share a column.
const CELLS: usize = 6000;

/// `None` for a run of a single rank, or one that no rank finished anything of.
pub(super) fn section(side: &Side, title: String, place: usize) -> Option<Section> {
    let run = side.run();
    let ranks = run.manifest.plan.ranks.len();
    let rows: Vec<&Row> = run.rows.iter().filter(|row| row.time.is_some()).collect();
    if ranks < 2 || rows.is_empty() {
        return None;
    }
    let durations: Vec<Vec<Option<f64>>> = rows.iter().map(|row| relative(side, row)).collect();
    let late: Vec<Vec<Option<f64>>> = rows.iter().map(|row| lateness(side, row)).collect();
    let mut blocks = vec![
        Block::Figure(heat(
            "Time that each rank took, against the median of all ranks",
            "median time of the rank / median of all ranks - 1",
            &rows,
            durations,
            true,
        )),
        Block::Figure(heat(
            "How late each rank began, behind the first to begin",
            "median delay behind the first rank / median time of an iteration",
            &rows,
            late,
            false,
        )),
    ];
    blocks.push(Block::Table {
        table: summaries(side),
        folded: ranks > 16,
    });
    Some(Section {
        id: format!("ranks-{place}"),
        title,
        notes: vec![
            "A rank that takes longer than others has the slower link or core, or waits for one that has; one that begins late \
             finished the iteration before late."
                .into(),
        ],
        blocks,
        ..Section::default()
    })
}

fn took((start, end): (u64, u64)) -> f64 {
    end.saturating_sub(start) as f64
}

/// For each rank its median over the median of all ranks, less 1.
fn relative(side: &Side, row: &Row) -> Vec<Option<f64>> {
    let medians: Vec<Option<f64>> = side.played[row.index]
        .iter()
        .map(|iterations| median(&iterations.iter().map(|it| took(*it)).collect::<Vec<f64>>()))
        .collect();
    let all = median(&medians.iter().flatten().copied().collect::<Vec<f64>>());
    let Some(all) = all.filter(|all| *all > 0.0) else {
        return vec![None; medians.len()];
    };
    medians.into_iter().map(|own| Some(own? / all - 1.0)).collect()
}

/// For each rank how long after the first it began, median over iterations, as a share of an iteration.
fn lateness(side: &Side, row: &Row) -> Vec<Option<f64>> {
    let ranks = &side.played[row.index];
    let iterations = ranks.iter().map(Vec::len).max().unwrap_or(0);
    let first = |number: usize| ranks.iter().filter_map(|rank| Some(rank.get(number)?.0)).min();
    let firsts: Vec<Option<u64>> = (0..iterations).map(first).collect();
    let own = row.time.map_or(0.0, |time| time.p50) * side.run().manifest.plan.dilation * 1e3;
    let of_rank = |rank: &Vec<(u64, u64)>| {
        let delays = rank
            .iter()
            .zip(&firsts)
            .filter_map(|((start, _), first)| Some((start - (*first)?) as f64));
        median(&delays.collect::<Vec<f64>>())
            .filter(|_| own > 0.0)
            .map(|delay| delay / own)
    };
    ranks.iter().map(of_rank).collect()
}

/// `both_ways`: values may be below zero.
fn heat(
    caption: &str,
    legend: &str,
    rows: &[&Row],
    values: Vec<Vec<Option<f64>>>,
    both_ways: bool,
) -> Figure {
    let ranks = values.first().map_or(0, Vec::len);
    let names: Vec<String> = rows.iter().map(|row| words(row)).collect();
    let mut table = Table::new(
        format!("{caption}: {legend}"),
        std::iter::once("operation".to_owned()).chain((0..ranks).map(|rank| format!("#rank {rank}"))),
    );
    for (name, values) in names.iter().zip(&values) {
        let cell = |value: &Option<f64>| value.map_or_else(|| "-".into(), signed_percent);
        table.rows.push(
            std::iter::once(name.clone())
                .chain(values.iter().map(cell))
                .collect(),
        );
    }
    let together = (ranks * rows.len()).div_ceil(CELLS).max(1);
    let most = values
        .iter()
        .flatten()
        .flatten()
        .fold(0.02, |most: f64, value| most.max(value.abs()));
    let columns = (0..ranks)
        .step_by(together)
        .map(|rank| rank.to_string())
        .collect();
    let shared = match together {
        1 => String::new(),
        n => format!("; {n} ranks share a column, which shows the one that differs most"),
    };
    let drawing = Heat {
        across: "rank".into(),
        columns,
        rows: names,
        values: values
            .iter()
            .map(|row| row.chunks(together).map(farthest).collect())
            .collect(),
        colours: match both_ways {
            true => Colours::Diverging(most.min(1.0)),
            false => Colours::Sequential(most.min(1.0)),
        },
        value: signed_percent,
        legend: legend.into(),
    };
    Figure {
        caption: format!("{caption}{shared}"),
        drawings: vec![drawing.svg(caption)],
        legend: Vec::new(),
        table: Some(table),
        small: false,
    }
}

/// The value farthest from zero.
fn farthest(values: &[Option<f64>]) -> Option<f64> {
    let farther = |a: f64, b: f64| if b.abs() > a.abs() { b } else { a };
    values.iter().flatten().copied().reduce(farther)
}

fn summaries(side: &Side) -> Table {
    let titles = [
        "#rank",
        "host",
        "#core",
        "#user (s)",
        "#system (s)",
        "#sent",
        "#received",
        "#messages",
        "#retransmits",
        "#timers late, p99 (us)",
        "#resident",
        "#involuntary switches",
        "end",
    ];
    let run = side.run();
    let mut table = Table::new(
        "What each rank says of itself at its end, set-up and warm-up included",
        titles,
    );
    for rank in 0..run.manifest.plan.ranks.len() as u32 {
        let lost = run.manifest.lost_ranks.iter().find(|loss| loss.rank == rank);
        let end = lost.map_or_else(String::new, |loss| loss.what.clone());
        let mut cells = vec![rank.to_string(), run.host_of(rank).to_owned()];
        match run.ranks.iter().find(|summary| summary.rank == rank) {
            Some(summary) => cells.extend([
                summary.core.map_or_else(|| "-".into(), |core| core.to_string()),
                format!("{:.2}", summary.user_s),
                format!("{:.2}", summary.system_s),
                amount(summary.sent_bytes),
                amount(summary.received_bytes),
                summary.messages.to_string(),
                summary.retransmits.to_string(),
                short(summary.timer_late_p99_us),
                amount(summary.max_rss_bytes),
                summary.context_switches[1].to_string(),
            ]),
            None => cells.extend(std::iter::repeat_n("-".to_owned(), 10)),
        }
        cells.push(end);
        table.rows.push(cells);
    }
    table
}

/// Bytes in a binary unit, rounded: for reading, not for reckoning.
pub(super) fn amount(bytes: u64) -> String {
    let unit = [30, 20, 10].into_iter().find(|power| bytes >> power >= 10);
    let rounded = unit.map_or(bytes, |power| (bytes >> power) << power);
    Bytes(rounded).to_string()
}
