//! Runs as Parquet: one file for each table, all runs in it, each row with its run and scenario.

use std::fs::{self, File};
use std::io::{self, BufWriter};
use std::path::{Path, PathBuf};

use super::Store;
use crate::results::columns::{self, Column, ColumnEntry, Runs, TABLES, Table};
use crate::results::reader::{self, Damage};
use crate::results::{RunId, csv, parquet};

/// Columns before those of the table.
const OWN: &[Column] = &[
    ("run_id", "text", "", "the run"),
    ("scenario", "text", "", "name of its scenario"),
    ("started_at", "text", "", "when it began, RFC 3339"),
];

/// Why nothing, or not all, was written.
#[derive(Debug, thiserror::Error)]
pub enum ColumnarError {
    /// A file is there already.
    #[error("{} is there already", .0.display())]
    Exists(PathBuf),
    /// A run cannot be read.
    #[error("run {id} is damaged: {damage}")]
    Damaged {
        /// The run.
        id: RunId,
        /// Why.
        damage: Damage,
    },
    /// A file or folder cannot be written.
    #[error("cannot write {}: {source}", path.display())]
    Io {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

impl ColumnarError {
    /// What to do about it.
    pub fn help(&self) -> &'static str {
        match self {
            ColumnarError::Exists(_) => "name a folder that is new or empty",
            ColumnarError::Damaged { .. } => "`genie runs --verify` says what is wrong with which run",
            ColumnarError::Io { .. } => "name another folder with -o DIR",
        }
    }
}

/// What was written.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Written {
    /// The files.
    pub files: Vec<PathBuf>,
    /// What could not be read, in sentences.
    pub damage: Vec<String>,
}

/// Writes the tables of runs into `folder`.
///
/// # Errors
/// [`ColumnarError`]; files that were begun are removed.
pub fn export(store: &Store, ids: &[RunId], folder: &Path) -> Result<Written, ColumnarError> {
    let io = |path: &Path| {
        let path = path.to_owned();
        move |source| ColumnarError::Io { path, source }
    };
    fs::create_dir_all(folder).map_err(io(folder))?;
    let mut written = Written::default();
    for of in &TABLES {
        let name = of.name;
        let path = folder.join(format!("{name}.parquet"));
        if path.exists() {
            return Err(ColumnarError::Exists(path));
        }
        let part = folder.join(format!(".{name}.parquet.part"));
        match table(store, ids, of, &part, &mut written.damage) {
            Ok(0) => fs::remove_file(&part).map_err(io(&part))?,
            Ok(_) => {
                fs::rename(&part, &path).map_err(io(&path))?;
                written.files.push(path);
            }
            Err(error) => {
                let _ = fs::remove_file(&part);
                return Err(error);
            }
        }
    }
    Ok(written)
}

/// Writes a table of all runs; gives how many rows it has.
fn table(
    store: &Store,
    ids: &[RunId],
    of: &Table,
    path: &Path,
    damage: &mut Vec<String>,
) -> Result<u64, ColumnarError> {
    let io = |source| ColumnarError::Io {
        path: path.to_owned(),
        source,
    };
    let columns = of.columns;
    let all: Vec<ColumnEntry> = OWN.iter().chain(columns).map(columns::entry).collect();
    let out = BufWriter::new(File::create(path).map_err(io)?);
    let mut writer = parquet::Writer::new(out, &all).map_err(io)?;
    let mut rows = 0;
    for id in ids {
        let folder = store.root().join(id.as_str());
        let damaged = |damage| ColumnarError::Damaged {
            id: id.clone(),
            damage,
        };
        let header = reader::header(&folder).map_err(damaged)?;
        let Some(text) = text(&folder, of, id, damage) else {
            continue;
        };
        let own = [id.as_str(), &header.scenario, &header.started_at];
        let mut places: Option<Vec<Option<usize>>> = None;
        let mut failed = None;
        csv::each(&text, |record| match &places {
            // By name, as later versions may have more columns, or another order.
            None => {
                let place = |column: &Column| record.iter().position(|name| name == column.0);
                places = Some(columns.iter().map(place).collect());
            }
            Some(places) if failed.is_none() => {
                let field = |place: &Option<usize>| {
                    place
                        .and_then(|place| record.get(place))
                        .map_or("", String::as_str)
                };
                failed = writer.row(own.into_iter().chain(places.iter().map(field))).err();
                rows += 1;
            }
            Some(_) => {}
        });
        failed.map_or(Ok(()), Err).map_err(io)?;
    }
    let odd = writer.finish().map_err(io)?;
    if odd > 0 {
        damage.push(format!(
            "{}: {odd} fields were not of their column's type and are null",
            of.name
        ));
    }
    Ok(rows)
}

/// A table's text; not every run has every table.
fn text(folder: &Path, of: &Table, id: &RunId, damage: &mut Vec<String>) -> Option<String> {
    match fs::read_to_string(folder.join(of.file())) {
        Ok(text) => Some(text),
        Err(error) if error.kind() == io::ErrorKind::NotFound && of.of != Runs::Every => None,
        Err(error) => {
            damage.push(format!("run {id}: {} cannot be read: {error}", of.file()));
            None
        }
    }
}
