//! The first page: what to beware of, what ran on what, and the results.

use super::page::{Block, Section, Table};
use super::side::{Side, words};
use super::{percent, short};
use crate::report::diff::letter;
use crate::report::facts::facts;
use crate::report::terminal;
use crate::results::summary::Row;
use crate::results::{Run, State};

/// Cautions, facts and results.
pub(super) fn sections(sides: &[Side]) -> Vec<Section> {
    vec![cautions(sides), facts_of(sides), results(sides)]
}

/// What stands before a sentence where there are several sides.
fn of(sides: &[Side], place: usize) -> String {
    match sides.len() {
        1 => String::new(),
        _ => format!("{}: ", letter(place)),
    }
}

fn cautions(sides: &[Side]) -> Section {
    let mut warnings = Vec::new();
    for (place, side) in sides.iter().enumerate() {
        let name = of(sides, place);
        let mut said = Vec::new();
        for run in &side.runs {
            if run.manifest.status != State::Completed {
                said.push(format!("run {}: {}", run.manifest.run_id, terminal::end(run)));
            }
            said.extend(run.manifest.lost_ranks.iter().map(terminal::lost));
            let vanished = |link: &String| format!("link {link} vanished during the run");
            said.extend(run.manifest.lost_links.iter().map(vanished));
            said.extend(run.manifest.cautions.clone());
        }
        said.extend(side.damage.clone());
        for (sentence, times) in alike(said) {
            let more = match times {
                1 => String::new(),
                _ => format!(" (so or alike in {times} of {} repetitions)", side.runs.len()),
            };
            warnings.push(format!("{name}{sentence}{more}"));
        }
    }
    let notes = match warnings.is_empty() {
        true => vec!["Nothing speaks against these figures, as far as Genie can tell.".into()],
        false => Vec::new(),
    };
    Section {
        id: "cautions".into(),
        title: "Cautions".into(),
        notes,
        warnings,
        ..Section::default()
    }
}

/// Sentences that differ in their figures only are told once, with how often they were said.
fn alike(sentences: Vec<String>) -> Vec<(String, usize)> {
    let words = |sentence: &str| {
        sentence
            .split(|c: char| c.is_ascii_digit() || c == '.')
            .collect::<String>()
    };
    let mut told: Vec<(String, usize)> = Vec::new();
    for sentence in sentences {
        match told
            .iter_mut()
            .find(|(other, _)| words(other) == words(&sentence))
        {
            Some((_, times)) => *times += 1,
            None => told.push((sentence, 1)),
        }
    }
    told
}

fn facts_of(sides: &[Side]) -> Section {
    let mut table = Table::new(
        "What was run, and where",
        std::iter::once("".to_owned()).chain((0..sides.len()).map(|place| match sides.len() {
            1 => "value".into(),
            _ => format!("{} {}", letter(place), sides[place].label),
        })),
    );
    let facts: Vec<Vec<(&str, String)>> = sides.iter().map(named).collect();
    for (line, (name, _)) in facts[0].iter().enumerate() {
        let mut row = vec![(*name).to_owned()];
        row.extend(facts.iter().map(|facts| facts[line].1.clone()));
        table.rows.push(row);
    }
    Section {
        id: "facts".into(),
        title: "What ran on what".into(),
        blocks: vec![Block::Table { table, folded: false }],
        ..Section::default()
    }
}

/// The facts of a side by name; the same names for every side.
fn named(side: &Side) -> Vec<(&'static str, String)> {
    let run = side.run();
    let (manifest, machine) = (&run.manifest, &run.manifest.environment);
    let lines = facts(run);
    let dilated = |line: &&String| line.starts_with("time dilated");
    let links = |line: &&String| line.starts_with("links by");
    let commit = machine.genie_commit.as_ref();
    vec![
        (
            "scenario",
            format!("{}, seed {}", manifest.scenario, manifest.seed),
        ),
        ("run", format!("{}, begun {}", side.name(), manifest.started_at)),
        ("ended", terminal::end(run)),
        ("how", lines[1].clone()),
        ("network", lines[2].clone()),
        ("links, as found", none(lines.iter().find(links).cloned())),
        ("machine", format!("{}: {}", machine.hostname, lines[3])),
        (
            "time",
            lines
                .iter()
                .find(dilated)
                .cloned()
                .unwrap_or_else(|| "wall clock, not dilated".into()),
        ),
        (
            "genie",
            format!(
                "{}{}",
                machine.genie_version,
                commit.map(|c| format!(", commit {c}")).unwrap_or_default()
            ),
        ),
    ]
}

fn none(fact: Option<String>) -> String {
    fact.unwrap_or_else(|| "-".into())
}

fn results(sides: &[Side]) -> Section {
    let mut section = Section {
        id: "results".into(),
        title: "Results".into(),
        ..Section::default()
    };
    let mut marks: Vec<String> = Vec::new();
    for (place, side) in sides.iter().enumerate() {
        for run in &side.runs {
            let caption = format!("{}run {}, measured", of(sides, place), run.manifest.run_id);
            let mut table = Table::new(caption, TITLES);
            table.rows = run.rows.iter().map(|row| cells(run, row)).collect();
            let first = section.blocks.is_empty() || side.runs.len() == 1;
            section.blocks.push(Block::Table {
                table,
                folded: !first,
            });
            for caution in run.rows.iter().flat_map(|row| &row.cautions) {
                let mark = format!("{}: {}", caution.mark(), caution.text());
                if !marks.contains(&mark) {
                    marks.push(mark);
                }
            }
        }
    }
    if !marks.is_empty() {
        section.notes.push(format!("Notes: {}.", marks.join("; ")));
    }
    section
}

const TITLES: [&str; 13] = [
    "operation",
    "#ranks",
    "#bytes",
    "#iterations",
    "#min (us)",
    "#p50 (us)",
    "#p99 (us)",
    "#algbw (Gbit/s)",
    "#busbw (Gbit/s)",
    "#of link limit",
    "#CPU s/GB",
    "#expected (us), modelled",
    "notes",
];

fn cells(run: &Run, row: &Row) -> Vec<String> {
    let opt = |value: Option<f64>| value.map_or_else(|| "-".into(), short);
    let time = |pick: fn(crate::results::statistics::Times) -> f64| opt(row.time.map(pick));
    let wrong = row
        .wrong
        .filter(|wrong| *wrong > 0)
        .map(|wrong| format!("{wrong} wrong "));
    let notes: String = row.cautions.iter().map(|caution| caution.mark()).collect();
    vec![
        words(row),
        row.ranks.to_string(),
        row.bytes.to_string(),
        row.iterations.to_string(),
        time(|time| time.min),
        time(|time| time.p50),
        time(|time| time.p99),
        opt(row.algbw_gbps),
        opt(row.busbw_gbps),
        row.link_share.map_or_else(|| "-".into(), percent),
        opt(row.cpu_s_per_gb),
        opt(row.expected_us.or_else(|| modelled(run, row))),
        wrong.unwrap_or_default() + &notes,
    ]
}

/// What the model says of an iteration of a trace.
fn modelled(run: &Run, row: &Row) -> Option<f64> {
    let trace = run.manifest.traces.iter().find(|trace| trace.op == row.index)?;
    Some(trace.modelled?.iteration_us)
}
