//! A comparison of runs as a table for people, as Markdown for a pull request, as CSV and as JSON.

use std::collections::BTreeSet;

use super::columns::figures;
use super::style::{Style, Tone, wrap};
use crate::results::csv;
use crate::results::diff::compare::{Cell, Change, Row, Verdict};
use crate::results::diff::series::{Field, Value};
use crate::results::diff::{Comparison, Metric};

/// Differences of environment and scenario that are told one by one.
const DIFFERENCES: usize = 20;
/// Missing rows that are told one by one.
const MISSING: usize = 10;

/// For people.
pub fn text(comparison: &Comparison, style: Style) -> String {
    let mut out = String::new();
    for sentence in preamble(comparison) {
        out += &wrap(&sentence, style.width, "# ", "#   ");
    }
    out += "#\n";
    let table = Table::of(comparison);
    let widths = table.widths();
    for (number, line) in table.lines.iter().enumerate() {
        let cells = line
            .cells
            .iter()
            .zip(&widths)
            .map(|(cell, width)| format!("{cell:>width$}"));
        let text = format!(
            "{} {}",
            if number == 0 { '#' } else { ' ' },
            cells.collect::<Vec<_>>().join("  ")
        );
        out += &style.paint(line.tone, text.trim_end());
        out.push('\n');
    }
    for sentence in &comparison.missing_in_short(MISSING) {
        out += &wrap(sentence, style.width, "# ", "#   ");
    }
    for note in &comparison.notes {
        out += &wrap(&format!("note: {note}"), style.width, "# ", "#   ");
    }
    for column in &comparison.columns {
        for caution in &column.cautions {
            let text = wrap(
                &format!("caution: {}: {caution}", column.label),
                style.width,
                "# ",
                "#   ",
            );
            for line in text.lines() {
                out += &style.paint(Tone::Warning, line);
                out.push('\n');
            }
        }
    }
    out
}

/// For a pull request.
pub fn markdown(comparison: &Comparison) -> String {
    let mut out = String::from("<!-- genie diff -->\n");
    for sentence in preamble(comparison) {
        out += &format!("- {}\n", escaped(&sentence));
    }
    out.push('\n');
    for (number, line) in Table::of(comparison).lines.iter().enumerate() {
        let cells: Vec<String> = line.cells.iter().map(|cell| escaped(cell)).collect();
        out += &format!("| {} |\n", cells.join(" | "));
        if number == 0 {
            out += &format!("|{}\n", "---:|".repeat(cells.len()));
        }
    }
    let cautions = comparison.columns.iter().flat_map(|column| {
        let label = column.label.clone();
        column
            .cautions
            .iter()
            .map(move |caution| format!("caution: {label}: {caution}"))
    });
    let rest = comparison
        .missing_in_short(MISSING)
        .into_iter()
        .chain(comparison.notes.clone())
        .chain(cautions);
    let rest: Vec<String> = rest
        .map(|sentence| format!("- {}\n", escaped(&sentence)))
        .collect();
    if !rest.is_empty() {
        out += &format!(
            "\n<details><summary>Notes</summary>\n\n{}\n</details>\n",
            rest.concat()
        );
    }
    out
}

/// One line for each row and column.
pub fn csv(comparison: &Comparison) -> String {
    let fields: Vec<Field> = fields(comparison);
    let mut header: Vec<String> = fields.iter().map(|field| field.name().to_owned()).collect();
    header.extend(
        [
            "mean",
            "column",
            "metric",
            "unit",
            "median",
            "low",
            "high",
            "samples",
            "iterations",
            "change",
            "change_low",
            "change_high",
            "p",
            "p_corrected",
            "noise_floor",
            "verdict",
        ]
        .map(String::from),
    );
    let mut out = csv::line(&header);
    let rows = comparison.rows.iter().map(|row| (row, false));
    for (row, mean) in rows.chain(comparison.means.iter().map(|row| (row, true))) {
        for (place, cell) in row.cells.iter().enumerate() {
            let Some(cell) = cell else { continue };
            let change = place.checked_sub(1).and_then(|place| row.changes[place]);
            let mut line: Vec<String> = fields
                .iter()
                .map(|field| row.key.get(field).map(ToString::to_string).unwrap_or_default())
                .collect();
            line.push(mean.to_string());
            line.push(comparison.columns[place].label.clone());
            line.extend(numbers(comparison, cell, change));
            out += &csv::line(&line);
        }
    }
    out
}

fn numbers(comparison: &Comparison, cell: &Cell, change: Option<Change>) -> Vec<String> {
    let opt = |value: Option<f64>| value.map(|value| format!("{value:?}")).unwrap_or_default();
    let metric = crate::results::summary::name_of(&comparison.metric);
    let verdict = change.map(|change| crate::results::summary::name_of(&change.verdict));
    vec![
        metric,
        comparison.unit.into(),
        opt(Some(cell.median)),
        opt(cell.low),
        opt(cell.high),
        cell.samples.to_string(),
        cell.iterations.to_string(),
        opt(change.map(|change| change.change)),
        opt(change.and_then(|change| change.low)),
        opt(change.and_then(|change| change.high)),
        opt(change.and_then(|change| change.p)),
        opt(change.and_then(|change| change.p_corrected)),
        opt(change.map(|change| change.noise_floor)),
        verdict.unwrap_or_default(),
    ]
}

/// One object.
pub fn json(comparison: &Comparison) -> String {
    serde_json::to_string_pretty(comparison).expect("plain data has a JSON form") + "\n"
}

/// What is compared, and first of all how the sides differ.
fn preamble(comparison: &Comparison) -> Vec<String> {
    let mut sentences: Vec<String> = comparison
        .columns
        .iter()
        .enumerate()
        .map(|(place, column)| format!("{}: {} ({})", letter(place), column.label, column.source))
        .collect();
    let differences = &comparison.differences;
    for difference in differences.iter().take(DIFFERENCES) {
        let value = |value: &Option<String>| value.clone().unwrap_or_else(|| "-".into());
        let values: Vec<String> = difference.values.iter().map(value).collect();
        sentences.push(format!("differs: {}: {}", difference.fact, values.join(" | ")));
    }
    if differences.len() > DIFFERENCES {
        let more = differences.len() - DIFFERENCES;
        sentences.push(format!("differs: {more} more facts; --json has all"));
    }
    let same: Vec<String> = comparison
        .matched_by
        .iter()
        .filter_map(|field| Some(format!("{} {}", field.name(), constant(comparison, *field)?)))
        .collect();
    if !same.is_empty() {
        sentences.push(format!("all rows: {}", same.join(", ")));
    }
    sentences
}

/// The value that a field has in all rows.
fn constant(comparison: &Comparison, field: Field) -> Option<&Value> {
    let values: BTreeSet<Option<&Value>> = comparison.rows.iter().map(|row| row.key.get(&field)).collect();
    match values.len() {
        1 => values.into_iter().next()?,
        _ => None,
    }
}

/// Fields that rows have.
fn fields(comparison: &Comparison) -> Vec<Field> {
    let fields: BTreeSet<Field> = comparison
        .rows
        .iter()
        .flat_map(|row| row.key.keys().copied())
        .collect();
    fields.into_iter().collect()
}

/// What a column is called: A, B, ...
pub(super) fn letter(place: usize) -> String {
    match u8::try_from(place) {
        Ok(place) if place < 26 => char::from(b'A' + place).to_string(),
        _ => format!("#{}", place + 1),
    }
}

struct Table {
    lines: Vec<Line>,
}

struct Line {
    cells: Vec<String>,
    tone: Tone,
}

impl Table {
    fn of(comparison: &Comparison) -> Table {
        let shown: Vec<Field> = fields(comparison)
            .into_iter()
            .filter(|field| comparison.rows.len() == 1 || constant(comparison, *field).is_none())
            .collect();
        let mut titles: Vec<String> = shown.iter().map(|field| field.name().to_owned()).collect();
        for place in 0..comparison.columns.len() {
            let (letter, unit) = (letter(place), comparison.unit);
            titles.push(format!("{letter} {} ({unit})", title(comparison.metric)));
            if place > 0 {
                titles.push(format!("{letter} vs A"));
                titles.push(String::new());
            }
        }
        let mut lines = vec![Line {
            cells: titles,
            tone: Tone::Bold,
        }];
        for row in &comparison.rows {
            let name = |field: &Field| row.key.get(field).map(ToString::to_string).unwrap_or_default();
            lines.push(line(row, shown.iter().map(name).collect()));
        }
        for mean in &comparison.means {
            let group = mean
                .key
                .values()
                .next()
                .map(|value| format!(" {value}"))
                .unwrap_or_default();
            let mut names = vec![String::new(); shown.len().max(1)];
            names[0] = format!("geomean{group}");
            names.truncate(shown.len());
            lines.push(line(mean, names));
        }
        Table { lines }
    }

    fn widths(&self) -> Vec<usize> {
        let columns = self.lines.first().map_or(0, |line| line.cells.len());
        let width = |column: usize| {
            self.lines
                .iter()
                .map(move |line| line.cells[column].chars().count())
        };
        (0..columns)
            .map(|column| width(column).max().unwrap_or(0))
            .collect()
    }
}

fn title(metric: Metric) -> &'static str {
    match metric {
        Metric::Time => "time",
        Metric::Busbw => "busbw",
        Metric::Algbw => "algbw",
        Metric::Cpu => "cpu",
    }
}

fn line(row: &Row, names: Vec<String>) -> Line {
    let mut cells = names;
    for (place, cell) in row.cells.iter().enumerate() {
        cells.push(cell.as_ref().map_or_else(|| "-".into(), measured));
        if let Some(place) = place.checked_sub(1) {
            let first = row.cells[0].as_ref().map_or(0, |cell| cell.samples);
            let samples = [first, cell.as_ref().map_or(0, |cell| cell.samples)];
            let (change, test) = changed(row.changes[place], samples);
            cells.extend([change, test]);
        }
    }
    let verdicts = || row.changes.iter().flatten().map(|change| change.verdict);
    let tone = match () {
        () if verdicts().any(|verdict| verdict == Verdict::Worse) => Tone::Error,
        () if verdicts().any(|verdict| verdict == Verdict::Better) => Tone::Bold,
        () => Tone::Plain,
    };
    Line { cells, tone }
}

/// `268.57 ± 5%`: half of the interval's longer side; `± ∞` where there are too few samples.
pub(super) fn measured(cell: &Cell) -> String {
    let median = figures(cell.median);
    if cell.samples < 2 {
        return median;
    }
    match (cell.low, cell.high) {
        (Some(low), Some(high)) if cell.median > 0.0 => {
            let widest = (cell.median - low).max(high - cell.median) / cell.median;
            format!("{median} ±{:3.0}%", widest * 100.0)
        }
        _ => format!("{median} ±  ∞"),
    }
}

/// The change, or `~` when nothing is proven; its bounds, and by what test.
pub(super) fn changed(change: Option<Change>, samples: [usize; 2]) -> (String, String) {
    let Some(change) = change else {
        return ("-".into(), String::new());
    };
    let percent = format!("{:+.2}%", change.change * 100.0);
    let test = match change.p_corrected {
        Some(p) => format!("(p={p:.3} n={}+{})", samples[0], samples[1]),
        None => String::new(),
    };
    let bounds = match (change.low, change.high) {
        (Some(low), Some(high)) => format!("{:+.2}% to {:+.2}% ", low * 100.0, high * 100.0),
        _ => String::new(),
    };
    match change.verdict {
        Verdict::Unproven if change.p_corrected.is_none() => ("~".into(), format!("({percent}, not tested)")),
        Verdict::Unproven => ("~".into(), test),
        _ => (percent, bounds + &test),
    }
}

impl Comparison {
    fn missing_in_short(&self, most: usize) -> Vec<String> {
        let mut sentences: Vec<String> = self
            .missing
            .iter()
            .take(most)
            .map(|row| format!("missing: {row}"))
            .collect();
        if self.missing.len() > most {
            sentences.push(format!(
                "missing: {} rows more; --json has all",
                self.missing.len() - most
            ));
        }
        sentences
    }
}

/// Text that Markdown takes as it is.
pub fn escaped(text: &str) -> String {
    let mut out = String::new();
    for c in text.chars() {
        match c {
            '|' | '*' | '_' | '`' | '[' | ']' | '<' | '>' | '~' | '\\' => out.extend(['\\', c]),
            '\n' | '\r' => out.push(' '),
            c => out.push(c),
        }
    }
    out
}
