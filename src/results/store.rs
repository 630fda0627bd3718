//! The folder of all runs: lists them, and finds one by id, by the shortest unique beginning of its
//! id or of its random part, or as `latest`.

use std::path::{Path, PathBuf};
use std::{fs, io};

use super::reader::{self, Damage, Header};
use super::run::Run;
use super::run_id::RunId;

/// A results folder.
#[derive(Debug, Clone)]
pub struct Store {
    root: PathBuf,
}

/// One folder of the store.
#[derive(Debug)]
pub struct Entry {
    /// Run id.
    pub id: RunId,
    /// Its folder.
    pub path: PathBuf,
    /// What its manifest says, or why it cannot be read.
    pub header: Result<Header, Damage>,
}

/// Why a run was not found or not opened.
#[derive(Debug, thiserror::Error)]
pub enum FindError {
    /// The store cannot be listed.
    #[error("cannot read {}: {source}", path.display())]
    Unreadable {
        /// The results folder.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// There are no runs.
    #[error("there are no runs in {}", path.display())]
    Empty {
        /// The results folder.
        path: PathBuf,
    },
    /// No run is called that.
    #[error("no run `{text}` in {}", path.display())]
    Unknown {
        /// What was asked for.
        text: String,
        /// The results folder.
        path: PathBuf,
        /// The most similar ids.
        nearest: Vec<RunId>,
    },
    /// Several runs begin so.
    #[error("`{text}` is the beginning of {} runs", candidates.len())]
    Ambiguous {
        /// What was asked for.
        text: String,
        /// All of them.
        candidates: Vec<RunId>,
    },
    /// The run's folder cannot be read.
    #[error("run {id} is damaged: {damage}")]
    Damaged {
        /// Its id.
        id: RunId,
        /// Why.
        damage: Damage,
    },
}

impl FindError {
    /// What to do about it.
    pub fn help(&self) -> String {
        let list = |ids: &[RunId]| ids.iter().map(RunId::as_str).collect::<Vec<_>>().join(", ");
        match self {
            FindError::Unreadable { .. } => "give the results folder with --results DIR".into(),
            FindError::Empty { .. } => {
                "`genie run FILE` makes one; give another results folder with --results DIR".into()
            }
            FindError::Unknown { nearest, .. } => {
                format!("the nearest are {}; `genie runs` lists all", list(nearest))
            }
            FindError::Ambiguous { candidates, .. } => format!("it can be {}", list(candidates)),
            FindError::Damaged { .. } => "its tables may still be readable as CSV files".into(),
        }
    }
}

impl Store {
    /// The store in this folder, which need not exist.
    pub fn new(root: impl Into<PathBuf>) -> Store {
        Store { root: root.into() }
    }

    /// The results folder.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// All runs, newest last. Other files and folders are passed over; a store that does not exist
    /// has no runs.
    ///
    /// # Errors
    /// [`FindError::Unreadable`].
    pub fn list(&self) -> Result<Vec<Entry>, FindError> {
        let entries = self.ids()?.into_iter().map(|id| {
            let path = self.root.join(id.as_str());
            let header = reader::header(&path);
            Entry { id, path, header }
        });
        let mut entries: Vec<Entry> = entries.collect();
        // Ids have whole seconds; manifests tell runs of the same second apart.
        let started = |entry: &Entry| {
            entry
                .header
                .as_ref()
                .map(|header| header.started_at.clone())
                .unwrap_or_default()
        };
        entries.sort_by_cached_key(|entry| {
            (
                entry.id.as_str()[..15].to_owned(),
                started(entry),
                entry.id.clone(),
            )
        });
        Ok(entries)
    }

    /// The id of the run that `text` names.
    ///
    /// # Errors
    /// [`FindError`], all but `Damaged`.
    pub fn find(&self, text: &str) -> Result<RunId, FindError> {
        let ids = self.ids()?;
        if ids.is_empty() {
            return Err(FindError::Empty {
                path: self.root.clone(),
            });
        }
        if text == "latest" {
            let newest = self.list()?.pop();
            return newest.map(|entry| entry.id).ok_or_else(|| FindError::Empty {
                path: self.root.clone(),
            });
        }
        if let Some(id) = ids.iter().find(|id| id.as_str() == text || id.short() == text) {
            return Ok(id.clone());
        }
        let candidates: Vec<RunId> = ids
            .iter()
            .filter(|id| !text.is_empty() && id.begins_with(text))
            .cloned()
            .collect();
        match candidates.as_slice() {
            [id] => Ok(id.clone()),
            [] => Err(FindError::Unknown {
                text: text.into(),
                path: self.root.clone(),
                nearest: nearest(text, &ids),
            }),
            _ => Err(FindError::Ambiguous {
                text: text.into(),
                candidates,
            }),
        }
    }

    /// Finds and reads a run.
    ///
    /// # Errors
    /// [`FindError`].
    pub fn open(&self, text: &str) -> Result<Run, FindError> {
        let id = self.find(text)?;
        reader::open(&self.root.join(id.as_str())).map_err(|damage| FindError::Damaged { id, damage })
    }

    fn ids(&self) -> Result<Vec<RunId>, FindError> {
        let unreadable = |source| FindError::Unreadable {
            path: self.root.clone(),
            source,
        };
        let entries = match fs::read_dir(&self.root) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(unreadable(error)),
        };
        let mut ids = Vec::new();
        for entry in entries {
            let name = entry.map_err(unreadable)?.file_name();
            ids.extend(name.to_str().and_then(|name| name.parse::<RunId>().ok()));
        }
        ids.sort();
        Ok(ids)
    }
}

/// How many characters of the random part tell `id` from all others: what to type to name it.
pub fn unique_prefix(id: &RunId, all: &[RunId]) -> usize {
    let short = id.short();
    let unique = |length: &usize| {
        let mut others = all.iter().filter(|other| *other != id);
        !others.any(|other| other.begins_with(&short[..*length]))
    };
    (1..short.len()).find(unique).unwrap_or(short.len())
}

/// The three most similar ids, compared with the whole id or with the random part.
fn nearest(text: &str, ids: &[RunId]) -> Vec<RunId> {
    let score =
        |id: &RunId| strsim::jaro_winkler(text, id.as_str()).max(strsim::jaro_winkler(text, id.short()));
    let mut ids = ids.to_vec();
    ids.sort_by(|a, b| score(b).total_cmp(&score(a)).then(b.cmp(a)));
    ids.truncate(3);
    ids
}
