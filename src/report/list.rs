//! The list of runs, for people and for programs.

use std::io::{self, Write};

use serde::Serialize;

use super::style::{Style, Tone};
use crate::results::RunId;
use crate::results::store::{Entry, unique_prefix};
use crate::results::summary::name_of;

/// Writes the list, newest last. The part of an id that is enough to name a run is in bold.
///
/// # Errors
/// Those of `out`.
pub fn table(out: &mut impl Write, entries: &[Entry], style: Style) -> io::Result<()> {
    let ids: Vec<RunId> = entries.iter().map(|entry| entry.id.clone()).collect();
    let scenario = |entry: &Entry| {
        entry
            .header
            .as_ref()
            .map_or(0, |header| header.scenario.chars().count())
    };
    let wide = entries.iter().map(scenario).max().unwrap_or(0).clamp(8, 40);
    let title = format!(
        "{:<21}  {:<16}  {:<wide$}  {:>5}  {:<11}  {:>9}",
        "run", "when (UTC)", "scenario", "ranks", "status", "duration"
    );
    writeln!(out, "{}", style.paint(Tone::Bold, &title))?;
    for entry in entries {
        let id = painted(&entry.id, unique_prefix(&entry.id, &ids), style);
        match &entry.header {
            Ok(header) => {
                let when = header.started_at.get(..16).unwrap_or_default().replace('T', " ");
                let duration = header
                    .duration_s
                    .map_or_else(|| "-".into(), |seconds| format!("{seconds:.1} s"));
                let (ranks, status) = (header.ranks(), name_of(&header.status));
                let scenario = &header.scenario;
                writeln!(
                    out,
                    "{id}  {when:<16}  {scenario:<wide$}  {ranks:>5}  {status:<11}  {duration:>9}"
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
    path: String,
    damage: Option<String>,
}

/// The list as a JSON array, newest last; damaged runs have status `damaged` and say why in `damage`.
pub fn json(entries: &[Entry]) -> String {
    let listed: Vec<Listed<'_>> = entries.iter().map(listed).collect();
    serde_json::to_string_pretty(&listed).expect("plain data has a JSON form") + "\n"
}

fn listed(entry: &Entry) -> Listed<'_> {
    let header = entry.header.as_ref().ok();
    Listed {
        run_id: entry.id.as_str(),
        started_at: header.map(|header| header.started_at.as_str()),
        scenario: header.map(|header| header.scenario.as_str()),
        ranks: header.map(|header| header.ranks()),
        status: header.map_or_else(|| "damaged".into(), |header| name_of(&header.status)),
        duration_s: header.and_then(|header| header.duration_s),
        exit_code: header.and_then(|header| header.exit_code),
        path: entry.path.display().to_string(),
        damage: entry.header.as_ref().err().map(ToString::to_string),
    }
}
