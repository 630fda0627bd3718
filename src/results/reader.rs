//! Opens a run folder. A run that was interrupted is put together from what was written until
//! then; what cannot be read is left out and said in a caution.

use std::path::{Path, PathBuf};
use std::{fs, io};

use serde::Deserialize;

use super::csv;
use super::run::{FORMAT, Manifest, Process, Run, State};
use super::tables;
use crate::event::Event;

/// Why a run folder cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum Damage {
    /// No manifest, or it cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    Unreadable {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The manifest is not JSON, or not a manifest.
    #[error("{} is not a manifest: {source}", path.display())]
    NotAManifest {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: serde_json::Error,
    },
    /// The folder was made by a later version.
    #[error("its format is {found}, this genie reads formats up to {FORMAT}")]
    TooNew {
        /// Format of the folder.
        found: u32,
    },
}

/// What a list of runs shows of each.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Header {
    /// Format of the folder.
    pub format: u32,
    /// Name of the scenario.
    pub scenario: String,
    /// When it began, RFC 3339.
    pub started_at: String,
    /// Seconds from start to end.
    pub duration_s: Option<f64>,
    /// How it stands.
    pub status: State,
    /// Exit code of its process.
    pub exit_code: Option<i32>,
    process: Process,
    plan: PlanHeader,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
struct PlanHeader {
    ranks: Vec<serde::de::IgnoredAny>,
}

impl Header {
    /// Ranks of the run.
    pub fn ranks(&self) -> usize {
        self.plan.ranks.len()
    }
}

/// Reads what a list of runs shows.
///
/// # Errors
/// [`Damage`].
pub fn header(folder: &Path) -> Result<Header, Damage> {
    let mut header: Header = manifest(folder)?;
    header.status = now(header.status, &header.process);
    Ok(header)
}

/// Reads a run.
///
/// # Errors
/// [`Damage`], of the manifest only; damage elsewhere becomes a caution of the run.
pub fn open(folder: &Path) -> Result<Run, Damage> {
    let manifest: Manifest = manifest(folder)?;
    let stored = now(manifest.status, &manifest.process);
    let mut run = Run::read(manifest);
    let mut found = Vec::new();
    read_tables(folder, &mut run, &mut found);
    if matches!(stored, State::Running | State::Interrupted) {
        replay(folder, &mut run);
        run.manifest.status = stored;
        run.draw_cautions();
        if stored == State::Interrupted {
            run.manifest.reason = Some("interrupted: its process ended without finishing the record".into());
        }
    }
    for damage in found {
        run.add_caution(damage);
    }
    Ok(run)
}

/// Parses `manifest.json`, after a look at its format.
fn manifest<T: for<'a> Deserialize<'a>>(folder: &Path) -> Result<T, Damage> {
    #[derive(Deserialize)]
    struct Format {
        format: u32,
    }
    let path = folder.join("manifest.json");
    let text = match fs::read_to_string(&path) {
        Ok(text) => text,
        Err(source) => return Err(Damage::Unreadable { path, source }),
    };
    match serde_json::from_str::<Format>(&text) {
        Ok(Format { format }) if format > FORMAT => return Err(Damage::TooNew { found: format }),
        _ => {}
    }
    serde_json::from_str(&text).map_err(|source| Damage::NotAManifest { path, source })
}

/// A run that says it is running is, if its process is.
fn now(stored: State, process: &Process) -> State {
    match stored {
        State::Running if !process.is_alive() => State::Interrupted,
        state => state,
    }
}

/// Rows, ranks and links; what cannot be read is told in `found`.
fn read_tables(folder: &Path, run: &mut Run, found: &mut Vec<String>) {
    let mut table = |name: &str| match fs::read_to_string(folder.join(name)) {
        Ok(text) => csv::records(&text),
        Err(error) => {
            found.push(format!("{name} cannot be read: {error}"));
            Vec::new()
        }
    };
    let (ops, ranks, links) = (table("ops.csv"), table("ranks.csv"), table("links.csv"));
    if let Some((header, records)) = ops.split_first() {
        for (number, record) in records.iter().enumerate() {
            match tables::op_row(header, record) {
                Ok(row) => run.rows.push(row),
                Err(why) => found.push(format!("row {} of ops.csv is left out: {why}", number + 1)),
            }
        }
    }
    if let Some((header, records)) = ranks.split_first() {
        for (number, record) in records.iter().enumerate() {
            match tables::rank_summary(header, record) {
                Ok(summary) => run.ranks.extend(summary),
                Err(why) => found.push(format!("row {} of ranks.csv is left out: {why}", number + 1)),
            }
        }
    }
    if let Some((header, records)) = links.split_first() {
        match tables::link_counts(header, records) {
            Ok(links) => run.links = links,
            Err(why) => found.push(format!("links.csv is left out: {why}")),
        }
    }
}

/// What the manifest would have said at the end, from the events written so far. Rows come from
/// `ops.csv`, because events are stored without the times of iterations.
fn replay(folder: &Path, run: &mut Run) {
    let text = fs::read_to_string(folder.join("events.jsonl")).unwrap_or_default();
    run.ranks.clear();
    let events = text
        .lines()
        .map_while(|line| serde_json::from_str::<Event>(line).ok());
    for event in events.filter(|event| !matches!(event, Event::OpFinished(_) | Event::RunFinished { .. })) {
        run.apply(&event);
    }
}
