//! Which runs are too many, too old or too large. What is pinned, tagged, running or damaged is never
//! chosen, but takes its room; repetitions go together.

use std::path::Path;
use std::{fs, io};

use super::{PRIVATE, Store, StoreError};
use crate::results::{RunId, State};

/// What may stay. `None`: no limit.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Limits {
    /// Sets (a run, or its repetitions).
    pub count: Option<usize>,
    /// Seconds since the start.
    pub age_s: Option<f64>,
    /// Bytes of all files.
    pub bytes: Option<u64>,
}

/// A run with its repetitions, as far as limits go.
#[derive(Debug, Clone, PartialEq)]
pub struct Candidate {
    /// The runs.
    pub runs: Vec<RunId>,
    /// Seconds since the start of the newest.
    pub age_s: f64,
    /// Bytes of all files.
    pub bytes: u64,
    /// Whether it must stay.
    pub protected: bool,
}

/// The places in `sets` (newest first) of those that are beyond a limit: where there is no room for one, there is none
/// for older ones either.
pub fn choose(sets: &[Candidate], limits: Limits) -> Vec<usize> {
    let protected = sets.iter().filter(|set| set.protected);
    let (mut count, mut bytes) = protected.fold((0, 0), |(count, bytes), set| (count + 1, bytes + set.bytes));
    let (mut chosen, mut full) = (Vec::new(), false);
    for (place, set) in sets.iter().enumerate().filter(|(_, set)| !set.protected) {
        full |= limits.bytes.is_some_and(|limit| bytes + set.bytes > limit);
        let beyond = full
            || limits.count.is_some_and(|limit| count + 1 > limit)
            || limits.age_s.is_some_and(|limit| set.age_s > limit);
        if beyond {
            chosen.push(place);
        } else {
            (count, bytes) = (count + 1, bytes + set.bytes);
        }
    }
    chosen
}

/// All sets of a store, newest first.
///
/// # Errors
/// The store cannot be listed.
pub fn candidates(store: &Store, now: jiff::Timestamp) -> Result<Vec<Candidate>, StoreError> {
    let (tags, pins) = (store.tags(), store.pins());
    let labelled = |id: &RunId| pins.contains(id) || tags.values().any(|tagged| tagged == id);
    let entries = store.list()?;
    let candidate = |set: Vec<usize>| {
        let of_set = || set.iter().map(|place| &entries[*place]);
        let open = of_set().any(|entry| {
            let header = entry.header.as_ref();
            header.map_or(true, |header| header.status == State::Running)
        });
        let age = |entry: &super::Entry| {
            let header = entry.header.as_ref().ok()?;
            let started: jiff::Timestamp = header.started_at.parse().ok()?;
            Some(now.duration_since(started).as_secs_f64())
        };
        Candidate {
            age_s: of_set().filter_map(age).fold(f64::INFINITY, f64::min).max(0.0),
            bytes: of_set().map(|entry| size(&entry.path)).sum(),
            protected: open || of_set().any(|entry| labelled(&entry.id)),
            runs: of_set().map(|entry| entry.id.clone()).collect(),
        }
    };
    Ok(super::sets(&entries).into_iter().rev().map(candidate).collect())
}

/// Deletes runs that belong together, all or none: out of the store in one step each, then file by file. Only plain
/// folders are deleted, never what a link leads to, and no set of which a run was pinned or tagged since it was chosen.
///
/// # Errors
/// Those of the file system; a run that is to stay.
pub fn delete_set(store: &Store, runs: &[RunId]) -> io::Result<()> {
    let folder = |id: &RunId| store.root().join(id.as_str());
    for id in runs {
        if !fs::symlink_metadata(folder(id))?.is_dir() {
            return Err(io::Error::other(format!(
                "{} is not a folder",
                folder(id).display()
            )));
        }
        refuse_labelled(store, id)?;
    }
    let trash = store.root().join(PRIVATE).join("trash");
    fs::create_dir_all(&trash)?;
    let thrown = |id: &RunId| trash.join(id.as_str());
    let mut gone = Vec::new();
    let all: io::Result<()> = runs.iter().try_for_each(|id| {
        if thrown(id).exists() {
            fs::remove_dir_all(thrown(id))?;
        }
        fs::rename(folder(id), thrown(id))?;
        gone.push(id);
        Ok(())
    });
    // Whoever labels a run from here on finds that it is gone.
    let all = all.and_then(|()| runs.iter().try_for_each(|id| refuse_labelled(store, id)));
    if all.is_err() {
        for id in gone {
            fs::rename(thrown(id), folder(id))?;
        }
        return all;
    }
    runs.iter().try_for_each(|id| fs::remove_dir_all(thrown(id)))
}

fn refuse_labelled(store: &Store, id: &RunId) -> io::Result<()> {
    match is_labelled(store, id) {
        true => Err(io::Error::other(format!(
            "{id} has been pinned or tagged meanwhile"
        ))),
        false => Ok(()),
    }
}

fn is_labelled(store: &Store, id: &RunId) -> bool {
    store.pins().contains(id) || store.tags().values().any(|tagged| tagged == id)
}

/// Bytes of the files of a run folder.
fn size(folder: &Path) -> u64 {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let file = |entry: fs::DirEntry| entry.metadata().ok().filter(fs::Metadata::is_file);
    entries.filter_map(file).map(|data| data.len()).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(age_s: f64, bytes: u64, protected: bool) -> Candidate {
        Candidate {
            runs: Vec::new(),
            age_s,
            bytes,
            protected,
        }
    }

    #[test]
    fn the_oldest_go_first_and_protected_ones_stay() {
        let sets = [
            set(10.0, 5, false),
            set(20.0, 5, false),
            set(30.0, 5, true),
            set(40.0, 5, false),
        ];
        let of = |limits| choose(&sets, limits);
        assert_eq!(of(Limits::default()), [0usize; 0]);
        let count = |count| Limits {
            count: Some(count),
            ..Limits::default()
        };
        assert_eq!(of(count(3)), [3], "the protected one and the two newest stay");
        assert_eq!(of(count(0)), [0, 1, 3]);
        let age = Limits {
            age_s: Some(25.0),
            ..Limits::default()
        };
        assert_eq!(of(age), [3]);
        let bytes = Limits {
            bytes: Some(10),
            ..Limits::default()
        };
        assert_eq!(of(bytes), [1, 3]);
        let sets = [set(10.0, 5, false), set(20.0, 50, false), set(30.0, 1, false)];
        assert_eq!(
            choose(&sets, bytes),
            [1, 2],
            "none is kept that is older than one that goes"
        );
    }
}
