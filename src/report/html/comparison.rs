//! Several runs: how they differ, what of it is proven, and by how much.

use super::page::{Block, Figure, Key, Section, Table};
use crate::report::diff::{changed, letter, measured};
use crate::report::svg::forest;
use crate::results::diff::Comparison;
use crate::results::diff::compare::{Row, Verdict, words};
use crate::results::diff::series::Field;

/// Rows that are drawn for each column; the table has all.
const DRAWN: usize = 80;

/// The comparison of a page's sides.
pub(super) fn section(comparison: &Comparison) -> Section {
    let mut notes: Vec<String> = comparison
        .columns
        .iter()
        .enumerate()
        .map(|(place, column)| format!("{}: {} ({})", letter(place), column.label, column.source))
        .collect();
    notes.extend(comparison.notes.iter().cloned());
    notes.extend(comparison.missing.iter().map(|row| format!("missing: {row}")));
    let mut blocks = vec![Block::Table {
        table: differences(comparison),
        folded: false,
    }];
    blocks.extend((1..comparison.columns.len()).map(|place| Block::Figure(figure(comparison, place))));
    blocks.push(Block::Table {
        table: rows(comparison),
        folded: false,
    });
    Section {
        id: "comparison".into(),
        title: "Comparison".into(),
        notes,
        blocks,
        ..Section::default()
    }
}

fn letters(comparison: &Comparison) -> impl Iterator<Item = String> + '_ {
    (0..comparison.columns.len()).map(letter)
}

fn differences(comparison: &Comparison) -> Table {
    let caption = match comparison.differences.len() {
        0 => "Nothing that Genie knows of differs in environment and scenario",
        _ => "What differs in environment and scenario",
    };
    let mut table = Table::new(
        caption,
        std::iter::once("fact".to_owned()).chain(letters(comparison)),
    );
    for difference in &comparison.differences {
        let value = |value: &Option<String>| value.clone().unwrap_or_else(|| "-".into());
        let mut row = vec![difference.fact.clone()];
        row.extend(difference.values.iter().map(value));
        table.rows.push(row);
    }
    table
}

/// A row's name, without what all rows have in common.
fn name(comparison: &Comparison, row: &Row) -> String {
    let constant = |field: &Field| {
        let mut values = comparison.rows.iter().map(|row| row.key.get(field));
        let first = values.next();
        comparison.rows.len() > 1 && values.all(|value| Some(value) == first)
    };
    let own: Vec<String> = row
        .key
        .iter()
        .filter(|(field, _)| !constant(field))
        .map(|(field, value)| match field {
            Field::Bytes => format!("{value} B"),
            _ => value.to_string(),
        })
        .collect();
    if own.is_empty() {
        words(&row.key)
    } else {
        own.join(" ")
    }
}

fn figure(comparison: &Comparison, place: usize) -> Figure {
    let verdict = |verdict: Verdict| match verdict {
        Verdict::Better => "better",
        Verdict::Worse => "worse",
        Verdict::Unproven => "unproven",
    };
    let drawn = |name: String, row: &Row| {
        let change = row.changes[place - 1]?;
        Some(forest::Row {
            name,
            change: change.change,
            bounds: (change.low, change.high),
            floor: change.noise_floor,
            verdict: verdict(change.verdict),
        })
    };
    let rows = comparison
        .rows
        .iter()
        .filter_map(|row| drawn(name(comparison, row), row));
    let means = comparison
        .means
        .iter()
        .filter_map(|row| drawn("geomean".into(), row));
    let all: Vec<forest::Row> = rows.take(DRAWN).chain(means).collect();
    let label = letter(place);
    let caption = format!(
        "{label} against A: change of the median, its {:.0} % interval, and the noise floor as a band{}",
        comparison.confidence * 100.0,
        if comparison.rows.len() > DRAWN {
            "; the first rows, the table has all"
        } else {
            ""
        }
    );
    Figure {
        drawings: vec![forest::svg(&all, &format!("change from A to {label}"), &caption)],
        legend: vec![
            Key::verdict("better", 3, "proven, better"),
            Key::verdict("worse", 4, "proven, worse"),
            Key::verdict("unproven", 0, "not proven"),
        ],
        caption,
        table: None,
        small: false,
    }
}

fn rows(comparison: &Comparison) -> Table {
    let mut titles = vec!["row".to_owned()];
    for letter in letters(comparison) {
        titles.push(format!("#{letter} ({})", comparison.unit));
        if letter != "A" {
            titles.extend([format!("#{letter} vs A"), "#interval, test".into()]);
        }
    }
    let mut table = Table::new(
        "Medians with the longer side of their interval; ~ where nothing is proven",
        titles,
    );
    let line = |name: String, row: &Row| {
        let mut cells = vec![name];
        for (place, cell) in row.cells.iter().enumerate() {
            cells.push(cell.as_ref().map_or_else(|| "-".into(), measured));
            if let Some(before) = place.checked_sub(1) {
                let samples = |cell: &Option<crate::results::diff::compare::Cell>| {
                    cell.as_ref().map_or(0, |cell| cell.samples)
                };
                let (change, test) = changed(row.changes[before], [samples(&row.cells[0]), samples(cell)]);
                cells.extend([change, test]);
            }
        }
        cells
    };
    table.rows = comparison
        .rows
        .iter()
        .map(|row| line(name(comparison, row), row))
        .collect();
    table
        .rows
        .extend(comparison.means.iter().map(|row| line("geomean".into(), row)));
    table
}
