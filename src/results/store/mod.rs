//! The folder of all runs.
//!
//! * here: what there is, in order, and which runs a [`Selector`] means. [`index`]: lists that are fast.
//! * [`labels`]: tags and pins. [`retention`]: limits. [`archive`]: runs as one file and back; [`columnar`]: as Parquet.

pub mod archive;
pub mod columnar;
mod index;
pub mod labels;
mod names;
pub mod retention;
pub mod selector;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::{fs, io};

pub use names::UniquePrefixes;
pub use selector::Selector;

use super::reader::{self, Damage, Header};
use super::run::Run;
use super::run_id::RunId;
use selector::{NotASelector, Which};

/// The store's own folder within the results folder: index, tags, pins, what is being imported or deleted.
pub(super) const PRIVATE: &str = ".store";

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

/// All that a list of runs shows.
#[derive(Debug, Default)]
pub struct Listing {
    /// The runs, newest last.
    pub entries: Vec<Entry>,
    /// Tags with their runs.
    pub tags: BTreeMap<String, RunId>,
    /// Pinned runs.
    pub pins: BTreeSet<RunId>,
}

impl Listing {
    /// Every file held against its digest; runs with one that differs count as damaged.
    pub fn verified(mut self) -> Listing {
        for entry in self.entries.iter_mut().filter(|entry| entry.header.is_ok()) {
            match reader::verify(&entry.path) {
                Ok(found) if found.is_empty() => {}
                Ok(found) => entry.header = Err(Damage::Altered(found.join("; "))),
                Err(damage) => entry.header = Err(damage),
            }
        }
        self
    }
}

/// Why runs were not found or not opened.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
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
    /// The text is no selector.
    #[error(transparent)]
    NotASelector(#[from] NotASelector),
    /// No run is called that.
    #[error("no run `{text}` in {}", path.display())]
    Unknown {
        /// What was asked for.
        text: String,
        /// The results folder.
        path: PathBuf,
        /// The most similar ids and tags.
        nearest: Vec<String>,
    },
    /// Fewer runs than asked back for.
    #[error("there is no `latest~{asked}`: {} has {runs} run{}", path.display(), if *runs == 1 { "" } else { "s" })]
    TooFew {
        /// How far back.
        asked: usize,
        /// How many runs there are, repetitions counted once.
        runs: usize,
        /// The results folder.
        path: PathBuf,
    },
    /// A tag whose run was deleted.
    #[error("tag `{tag}` is {id}'s, which is not there any more")]
    Dangling {
        /// The tag.
        tag: String,
        /// The run.
        id: RunId,
    },
    /// There is no such repetition.
    #[error("`{text}` has {repetitions} repetition{}", if *repetitions == 1 { "" } else { "s" })]
    NoRepetition {
        /// What was asked for.
        text: String,
        /// How many there are.
        repetitions: usize,
    },
    /// Several runs begin so.
    #[error("`{text}` is the beginning of {} runs", candidates.len())]
    Ambiguous {
        /// What was asked for.
        text: String,
        /// All of them.
        candidates: Vec<RunId>,
    },
    /// A path that leads to no run.
    #[error("{} is no run folder: {}", path.display(), if *there { "it has no manifest.json" } else { "there is no such folder" })]
    NoRun {
        /// The path.
        path: PathBuf,
        /// There is something there.
        there: bool,
    },
    /// The run's folder cannot be read.
    #[error("run {} is damaged: {damage}", path.display())]
    Damaged {
        /// Its folder.
        path: PathBuf,
        /// Why.
        damage: Damage,
    },
}

impl StoreError {
    /// What to do about it.
    pub fn help(&self) -> String {
        match self {
            StoreError::Unreadable { .. } => "give the results folder with --results DIR".into(),
            StoreError::Empty { .. } => {
                "`genie run FILE` makes one; give another results folder with --results DIR".into()
            }
            StoreError::NotASelector(_) => "`genie runs` lists all runs".into(),
            StoreError::Unknown { nearest, .. } => {
                format!("the nearest are {}; `genie runs` lists all", nearest.join(", "))
            }
            StoreError::TooFew { .. } => "`genie runs` lists all; repetitions count as one run".into(),
            StoreError::Dangling { tag, .. } => format!("`genie tag --delete {tag}` removes it"),
            StoreError::NoRepetition { .. } => "they are counted from 1".into(),
            StoreError::Ambiguous { candidates, .. } => format!("it can be {}", some(candidates)),
            StoreError::NoRun { path, there: true } if path.join(PRIVATE).is_dir() => {
                format!(
                    "it is a folder of runs: name a run, and the folder with --results {}",
                    path.display()
                )
            }
            StoreError::NoRun { .. } => {
                "give the folder of a run, like results/20261122-153254-k3v9x, or a run's name".into()
            }
            StoreError::Damaged { .. } => "its tables may still be readable as CSV files".into(),
        }
    }
}

/// A path as that of a run: it holds a manifest, or its name says that it should.
fn run_folder(path: &Path) -> Result<PathBuf, StoreError> {
    let named_so = || {
        path.file_name()
            .and_then(|name| name.to_str()?.parse::<RunId>().ok())
    };
    match path.join("manifest.json").exists() || (path.is_dir() && named_so().is_some()) {
        true => Ok(path.to_owned()),
        false => Err(StoreError::NoRun {
            path: path.to_owned(),
            there: path.exists(),
        }),
    }
}

/// The newest of many ids, and how many more there are.
fn some(ids: &[RunId]) -> String {
    const TOLD: usize = 8;
    let more = ids.len().saturating_sub(TOLD);
    let told: Vec<&str> = ids[more..].iter().map(RunId::as_str).collect();
    match more {
        0 => told.join(", "),
        more => format!("{}, or one of {more} older ones", told.join(", ")),
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

    /// All tags with their runs.
    pub fn tags(&self) -> BTreeMap<String, RunId> {
        labels::tags(&self.root)
    }

    /// All pinned runs.
    pub fn pins(&self) -> BTreeSet<RunId> {
        labels::pins(&self.root)
    }

    /// All runs, newest last. Other files and folders are passed over; a store that does not exist
    /// has no runs.
    ///
    /// # Errors
    /// [`StoreError::Unreadable`].
    pub fn list(&self) -> Result<Vec<Entry>, StoreError> {
        let mut entries = index::entries(&self.root, self.ids()?);
        // Ids have whole seconds; manifests tell runs of the same second apart.
        fn place(entry: &Entry) -> (&str, &str, &RunId) {
            let started = entry
                .header
                .as_ref()
                .map_or("", |header| header.started_at.as_str());
            (&entry.id.as_str()[..15], started, &entry.id)
        }
        entries.sort_by(|a, b| place(a).cmp(&place(b)));
        Ok(entries)
    }

    /// All runs with their labels.
    ///
    /// # Errors
    /// [`StoreError::Unreadable`].
    pub fn listing(&self) -> Result<Listing, StoreError> {
        Ok(Listing {
            entries: self.list()?,
            tags: self.tags(),
            pins: self.pins(),
        })
    }

    /// The folders that a selector means: a run, or all of its repetitions in order.
    ///
    /// # Errors
    /// [`StoreError`], all but `Damaged`.
    pub fn select(&self, selector: &Selector) -> Result<Vec<PathBuf>, StoreError> {
        let folders = match &selector.which {
            Which::Latest(back) => self.latest(*back)?,
            Which::Named(text) => self.with_repetitions(&self.named(text)?)?,
            Which::Path(path) => vec![run_folder(path)?],
        };
        match selector.repetition {
            None => Ok(folders),
            Some(number) => match folders.get(number as usize - 1) {
                Some(folder) => Ok(vec![folder.clone()]),
                None => Err(StoreError::NoRepetition {
                    text: selector.to_string(),
                    repetitions: folders.len(),
                }),
            },
        }
    }

    /// The folder of the one run that `text` names: of repetitions the first, which names them, or
    /// the newest if that is asked for.
    ///
    /// # Errors
    /// As [`Store::select`].
    pub fn find(&self, text: &str) -> Result<PathBuf, StoreError> {
        let selector: Selector = text.parse()?;
        match (&selector.which, selector.repetition) {
            (Which::Named(name), None) => Ok(self.root.join(self.named(name)?.as_str())),
            _ => self.select(&selector)?.pop().ok_or_else(|| self.empty()),
        }
    }

    /// Finds and reads a run, as [`Store::find`] does.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn open(&self, text: &str) -> Result<(PathBuf, Run), StoreError> {
        let path = self.find(text)?;
        match reader::open(&path) {
            Ok(run) => Ok((path, run)),
            Err(damage) => Err(StoreError::Damaged { path, damage }),
        }
    }

    /// The ids of the runs that a selector means.
    ///
    /// # Errors
    /// As [`Store::select`]; a path is none of the store's runs.
    pub fn ids_of(&self, selector: &Selector) -> Result<Vec<RunId>, StoreError> {
        let id = |path: PathBuf| {
            let inside = path.parent().and_then(|folder| fs::canonicalize(folder).ok());
            let own = inside.is_some() && inside == fs::canonicalize(&self.root).ok();
            let name = path.file_name().and_then(|name| name.to_str());
            let id = name.filter(|_| own).and_then(|name| name.parse().ok());
            id.ok_or_else(|| StoreError::Unknown {
                text: selector.to_string(),
                path: self.root.clone(),
                nearest: Vec::new(),
            })
        };
        self.select(selector)?.into_iter().map(id).collect()
    }

    fn latest(&self, back: usize) -> Result<Vec<PathBuf>, StoreError> {
        let entries = self.list()?;
        let sets = sets(&entries);
        let place = sets.len().checked_sub(back.saturating_add(1));
        match place.map(|place| &sets[place]) {
            Some(set) => Ok(set.iter().map(|place| entries[*place].path.clone()).collect()),
            None if sets.is_empty() => Err(self.empty()),
            None => Err(StoreError::TooFew {
                asked: back,
                runs: sets.len(),
                path: self.root.clone(),
            }),
        }
    }

    /// By id, then by tag, then by the beginning of an id.
    fn named(&self, text: &str) -> Result<RunId, StoreError> {
        let ids = self.ids()?;
        let tags = self.tags();
        if let Some(id) = ids.iter().find(|id| id.as_str() == text) {
            return Ok(id.clone());
        }
        if let Some(id) = tags.get(text) {
            return match ids.contains(id) {
                true => Ok(id.clone()),
                false => Err(StoreError::Dangling {
                    tag: text.into(),
                    id: id.clone(),
                }),
            };
        }
        if ids.is_empty() {
            return Err(self.empty());
        }
        let mut candidates: Vec<RunId> = ids.iter().filter(|id| id.short() == text).cloned().collect();
        if candidates.is_empty() && !text.is_empty() {
            candidates = ids.iter().filter(|id| id.begins_with(text)).cloned().collect();
        }
        match candidates.as_slice() {
            [id] => Ok(id.clone()),
            [] => Err(StoreError::Unknown {
                text: text.into(),
                path: self.root.clone(),
                nearest: names::nearest(text, &ids, tags.keys()),
            }),
            _ => Err(StoreError::Ambiguous {
                text: text.into(),
                candidates,
            }),
        }
    }

    /// The first of repetitions names them all; any other run is itself.
    fn with_repetitions(&self, id: &RunId) -> Result<Vec<PathBuf>, StoreError> {
        let path = self.root.join(id.as_str());
        let first = reader::header(&path).ok().and_then(|header| header.repetition);
        if first.is_none_or(|first| first.group != *id) {
            return Ok(vec![path]);
        }
        let entries = self.list()?;
        let sets = sets(&entries);
        let of_id = sets
            .into_iter()
            .find(|set| set.iter().any(|place| entries[*place].id == *id));
        let places = of_id.unwrap_or_default();
        Ok(places
            .into_iter()
            .map(|place| entries[place].path.clone())
            .collect())
    }

    fn empty(&self) -> StoreError {
        StoreError::Empty {
            path: self.root.clone(),
        }
    }

    fn ids(&self) -> Result<Vec<RunId>, StoreError> {
        let unreadable = |source| StoreError::Unreadable {
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

/// The places of runs that belong together: repetitions of `--repeat` in order of their number, any
/// other run alone. Sets are in the order of their first runs.
pub fn sets(entries: &[Entry]) -> Vec<Vec<usize>> {
    let mut sets: Vec<Vec<usize>> = Vec::new();
    let mut groups: HashMap<&RunId, usize> = HashMap::new();
    let repetition = |entry: &'_ Entry| entry.header.as_ref().ok()?.repetition.clone();
    for (place, entry) in entries.iter().enumerate() {
        let group = entry
            .header
            .as_ref()
            .ok()
            .and_then(|header| header.repetition.as_ref());
        match group.map(|repetition| groups.entry(&repetition.group)) {
            Some(std::collections::hash_map::Entry::Occupied(set)) => sets[*set.get()].push(place),
            Some(std::collections::hash_map::Entry::Vacant(set)) => {
                set.insert(sets.len());
                sets.push(vec![place]);
            }
            None => sets.push(vec![place]),
        }
    }
    for set in &mut sets {
        set.sort_by_key(|place| repetition(&entries[*place]).map(|repetition| repetition.number));
    }
    sets
}
