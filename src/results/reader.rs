//! Opens a run folder. A run that was interrupted is put together from what was written until
//! then; what cannot be read is left out and said in a caution.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::{fs, io};

use serde::{Deserialize, Serialize};

use super::csv;
use super::digest::{self, Digest};
use super::run::{FORMAT, Manifest, Process, Repetition, Run, State};
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
    /// Files that are not as they were written.
    #[error("{0}")]
    Altered(String),
    /// The folder was made by a later version.
    #[error("its format is {found}, this genie reads formats up to {FORMAT}")]
    TooNew {
        /// Format of the folder.
        found: u32,
    },
}

/// What a list of runs shows of each.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Header {
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
    /// Ranks of the run.
    pub ranks: usize,
    /// Which of several repetitions it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repetition: Option<Repetition>,
    /// Who records it, while the manifest says that it is running.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    process: Option<Process>,
}

/// The part of a manifest that a list needs.
#[derive(Deserialize)]
struct Listed {
    scenario: String,
    started_at: String,
    duration_s: Option<f64>,
    status: State,
    exit_code: Option<i32>,
    #[serde(default)]
    repetition: Option<Repetition>,
    process: Process,
    plan: ListedPlan,
}

#[derive(Deserialize)]
struct ListedPlan {
    ranks: Vec<serde::de::IgnoredAny>,
}

impl Header {
    /// As it stands now: a run that says it is running is, if the process that records it in this folder is.
    pub fn now(self, folder: &Path) -> Header {
        let process = self.process.as_ref();
        let status = process.map(|process| now(self.status, process, folder));
        Header {
            status: status.unwrap_or(self.status),
            ..self
        }
    }
}

/// Reads what a list of runs shows, as it is stored: see [`Header::now`].
///
/// # Errors
/// [`Damage`].
pub fn header(folder: &Path) -> Result<Header, Damage> {
    let (path, text) = text(folder)?;
    // Its seal is for those who read on.
    let listed: Listed = parsed(path, &text)?;
    Ok(Header {
        scenario: listed.scenario,
        started_at: listed.started_at,
        duration_s: listed.duration_s,
        status: listed.status,
        exit_code: listed.exit_code,
        ranks: listed.plan.ranks.len(),
        repetition: listed.repetition,
        process: (listed.status == State::Running).then_some(listed.process),
    })
}

/// Reads a run.
///
/// # Errors
/// [`Damage`], of the manifest only; damage elsewhere becomes a caution of the run.
pub fn open(folder: &Path) -> Result<Run, Damage> {
    let (manifest, sealed): (Manifest, _) = manifest(folder)?;
    let stored = now(manifest.status, &manifest.process, folder);
    let mut run = Run::read(manifest);
    let mut found = Vec::new();
    if sealed == Some(false) {
        found.push("manifest.json is not as it was written: its SHA-256 differs".into());
    }
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

/// What is not as it was written in a folder: each file against its digest.
///
/// # Errors
/// [`Damage`], of the manifest only.
pub fn verify(folder: &Path) -> Result<Vec<String>, Damage> {
    #[derive(Deserialize)]
    struct Digests {
        #[serde(default)]
        digests: BTreeMap<String, Digest>,
    }
    let (listed, sealed): (Digests, _) = manifest(folder)?;
    let own = (sealed == Some(false))
        .then(|| "manifest.json is not as it was written: its SHA-256 differs".to_owned());
    let differs = |(name, digest): (&String, &Digest)| match Digest::of_file(&folder.join(name)) {
        Ok(found) => digest.differs(name, &found),
        Err(error) => Some(format!("{name} cannot be read: {error}")),
    };
    Ok(own
        .into_iter()
        .chain(listed.digests.iter().filter_map(differs))
        .collect())
}

/// Parses `manifest.json`, after a look at its format; whether it is as it was sealed.
fn manifest<T: for<'a> Deserialize<'a>>(folder: &Path) -> Result<(T, Option<bool>), Damage> {
    let (path, text) = text(folder)?;
    let manifest = parsed(path, &text)?;
    Ok((manifest, digest::is_sealed(&text)))
}

fn text(folder: &Path) -> Result<(PathBuf, String), Damage> {
    let path = folder.join("manifest.json");
    match fs::read_to_string(&path) {
        Ok(text) => Ok((path, text)),
        Err(source) => Err(Damage::Unreadable { path, source }),
    }
}

fn parsed<T: for<'a> Deserialize<'a>>(path: PathBuf, text: &str) -> Result<T, Damage> {
    /// The format is the first field of manifests that Genie wrote.
    #[derive(Deserialize)]
    struct Format {
        format: u32,
    }
    let format = || serde_json::from_str::<Format>(text).map_or(0, |Format { format }| format);
    let current = format!("\"format\": {FORMAT},");
    let begins = text.trim_start_matches(['{', ' ', '\n']).starts_with(&current);
    match if begins { FORMAT } else { format() } {
        found if found > FORMAT => return Err(Damage::TooNew { found }),
        _ => {}
    }
    serde_json::from_str(text).map_err(|source| Damage::NotAManifest { path, source })
}

/// A run that says it is running is, if its process is.
fn now(stored: State, process: &Process, folder: &Path) -> State {
    match stored {
        State::Running if !process.is_alive(folder) => State::Interrupted,
        state => state,
    }
}

/// Rows, ranks and links; what cannot be read is told in `found`.
fn read_tables(folder: &Path, run: &mut Run, found: &mut Vec<String>) {
    let mut table = |name: &str| {
        let text = file(folder, name, &run.manifest, found);
        text.map(|text| csv::records(&text)).unwrap_or_default()
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

/// A file of the folder as text; what is wrong with it is told in `found`.
pub(super) fn file(
    folder: &Path,
    name: &str,
    manifest: &Manifest,
    found: &mut Vec<String>,
) -> Option<String> {
    let bytes = match fs::read(folder.join(name)) {
        Ok(bytes) => bytes,
        Err(error) => {
            found.push(format!("{name} cannot be read: {error}"));
            return None;
        }
    };
    if let Some(digest) = manifest.digests.get(name) {
        found.extend(digest.differs(name, &Digest::of(&bytes)));
    }
    match String::from_utf8(bytes) {
        Ok(text) => Some(text),
        Err(error) => {
            found.push(format!("{name} is not text: {error}"));
            None
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
