//! The list of runs, for people and for programs.

use std::collections::BTreeMap;
use std::io::{self, Write};

use serde::Serialize;

use super::style::{Style, Tone};
use crate::results::RunId;
use crate::results::reader::Header;
use crate::results::run::Repetition;
use crate::results::store::{Entry, Listing, UniquePrefixes};
use crate::results::summary::name_of;

/// Writes the list, newest last. The part of an id that is enough to name a run is in bold.
///
/// # Errors
/// Those of `out`.
pub fn table(out: &mut impl Write, list: &Listing, style: Style) -> io::Result<()> {
    let shown = list
        .entries
        .iter()
        .map(|entry| &entry.id)
        .filter(|_| style.colour);
    let prefixes = UniquePrefixes::of(shown);
    let labels = labels(list);
    let wide = list
        .entries
        .iter()
        .filter_map(|entry| Some(scenario(entry.header.as_ref().ok()?).chars().count()));
    let wide = wide.max().unwrap_or(0).clamp(8, 40);
    let title = format!(
        "{:<21}  {:<16}  {:<wide$}  {:>5}  {:<11}  {:>9}{}",
        "run",
        "when (UTC)",
        "scenario",
        "ranks",
        "status",
        "duration",
        if labels.is_empty() { "" } else { "  tags" }
    );
    writeln!(out, "{}", style.paint(Tone::Bold, &title))?;
    for entry in &list.entries {
        let unique = if style.colour {
            prefixes.length(&entry.id)
        } else {
            0
        };
        let id = painted(&entry.id, unique, style);
        match &entry.header {
            Ok(header) => {
                let when = header.started_at.get(..16).unwrap_or_default().replace('T', " ");
                let duration = header
                    .duration_s
                    .map_or_else(|| "-".into(), |seconds| format!("{seconds:.1} s"));
                let (ranks, status) = (header.ranks, name_of(&header.status));
                let scenario = scenario(header);
                let labels = labels.get(&entry.id).map_or("", String::as_str);
                writeln!(
                    out,
                    "{id}  {when:<16}  {scenario:<wide$}  {ranks:>5}  {status:<11}  {duration:>9}{labels}"
                )?;
            }
            Err(damage) => writeln!(
                out,
                "{id}  {}",
                style.paint(Tone::Error, &format!("damaged: {damage}"))
            )?,
        }
    }
    Ok(())
}

/// `allreduce`, or `allreduce 2/5` for a repetition.
fn scenario(header: &Header) -> String {
    match &header.repetition {
        Some(Repetition { number, of, .. }) => format!("{} {number}/{of}", header.scenario),
        None => header.scenario.clone(),
    }
}

/// What stands behind a run in the table: its tags and whether it is pinned.
fn labels(list: &Listing) -> BTreeMap<&RunId, String> {
    let mut labels: BTreeMap<&RunId, String> = BTreeMap::new();
    for (tag, id) in &list.tags {
        let text = labels.entry(id).or_insert_with(|| " ".into());
        *text += &format!(" {tag}");
    }
    for id in &list.pins {
        *labels.entry(id).or_insert_with(|| " ".into()) += " (pinned)";
    }
    labels
}

fn painted(id: &RunId, unique: usize, style: Style) -> String {
    let (head, random) = id.as_str().split_at(id.as_str().len() - id.short().len());
    let (unique, rest) = random.split_at(unique);
    format!("{head}{}{rest}", style.paint(Tone::Bold, unique))
}

#[derive(Serialize)]
struct Listed<'a> {
    run_id: &'a str,
    started_at: Option<&'a str>,
    scenario: Option<&'a str>,
    ranks: Option<usize>,
    status: String,
    duration_s: Option<f64>,
    exit_code: Option<i32>,
    repetition: Option<&'a Repetition>,
    tags: Vec<&'a str>,
    pinned: bool,
    path: String,
    damage: Option<String>,
}

/// The list as a JSON array, newest last; damaged runs have status `damaged` and say why in `damage`.
pub fn json(list: &Listing) -> String {
    let listed: Vec<Listed<'_>> = list.entries.iter().map(|entry| listed(entry, list)).collect();
    serde_json::to_string_pretty(&listed).expect("plain data has a JSON form") + "\n"
}

fn listed<'a>(entry: &'a Entry, list: &'a Listing) -> Listed<'a> {
    let header = entry.header.as_ref().ok();
    let tags = list.tags.iter().filter(|(_, id)| **id == entry.id);
    Listed {
        run_id: entry.id.as_str(),
        started_at: header.map(|header| header.started_at.as_str()),
        scenario: header.map(|header| header.scenario.as_str()),
        ranks: header.map(|header| header.ranks),
        status: header.map_or_else(|| "damaged".into(), |header| name_of(&header.status)),
        duration_s: header.and_then(|header| header.duration_s),
        exit_code: header.and_then(|header| header.exit_code),
        repetition: header.and_then(|header| header.repetition.as_ref()),
        tags: tags.map(|(tag, _)| tag.as_str()).collect(),
        pinned: list.pins.contains(&entry.id),
        path: entry.path.display().to_string(),
        damage: entry.header.as_ref().err().map(ToString::to_string),
    }
}
