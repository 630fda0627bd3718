//! What the lists of runs show, kept so that ten thousand manifests need not be parsed again. Only a
//! cache: an entry holds as long as the manifest has the same inode, length and times; everything
//! else is read from the folders, and an index that is missing, old or broken is made anew.

use std::collections::HashMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::{Entry, PRIVATE};
use crate::results::reader::{self, Header};
use crate::results::{RunId, durable};

const FILE: &str = "index.json";
/// Of fewer runs the manifests are read each time.
const WORTHWHILE: usize = 64;
/// What is in [`Header`]; an index of another version is made anew.
const VERSION: u32 = 2;

#[derive(Serialize, Deserialize)]
struct Index {
    version: u32,
    runs: Vec<Indexed>,
}

#[derive(Serialize, Deserialize)]
struct Indexed {
    id: RunId,
    stamp: Stamp,
    header: Header,
}

/// By which a manifest is known not to have changed: the change time cannot be set back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Stamp(u64, u64, i64, i64, i64, i64);

impl Stamp {
    fn of(manifest: &Path) -> Option<Stamp> {
        let data = fs::metadata(manifest).ok()?;
        Some(Stamp(
            data.ino(),
            data.size(),
            data.mtime(),
            data.mtime_nsec(),
            data.ctime(),
            data.ctime_nsec(),
        ))
    }
}

/// The entries of `ids`, in their order.
pub(super) fn entries(root: &Path, ids: Vec<RunId>) -> Vec<Entry> {
    if ids.len() < WORTHWHILE {
        return ids.into_iter().map(|id| read(root, id)).collect();
    }
    // The kernel is asked about the manifests while the index is being read.
    let (mut known, stamps) = std::thread::scope(|scope| {
        let index = scope.spawn(|| load(root));
        let stamps = in_parallel(&ids, |id| {
            Stamp::of(&root.join(id.as_str()).join("manifest.json"))
        });
        (index.join().unwrap_or_default(), stamps)
    });
    let before = known.len();
    let kept = |(id, stamp): (&RunId, &Option<Stamp>)| {
        let header = known.remove(id).filter(|(held, _)| Some(*held) == *stamp);
        header.map(|(_, header)| header)
    };
    let kept: Vec<Option<Header>> = ids.iter().zip(&stamps).map(kept).collect();
    let new: Vec<&RunId> = ids
        .iter()
        .zip(&kept)
        .filter(|(_, kept)| kept.is_none())
        .map(|(id, _)| id)
        .collect();
    let fresh = new.len();
    let mut read = in_parallel(&new, |id| reader::header(&root.join(id.as_str()))).into_iter();
    let entry = |(id, kept): (RunId, Option<Header>)| {
        let path = root.join(id.as_str());
        let header = kept.map_or_else(|| read.next().unwrap_or_else(|| reader::header(&path)), Ok);
        Entry { id, path, header }
    };
    let found: Vec<Entry> = ids.into_iter().zip(kept).map(entry).collect();
    let damaged = found.iter().filter(|entry| entry.header.is_err()).count();
    if fresh > damaged || before + damaged != found.len() {
        save(root, &found, &stamps);
    }
    let now = |entry: Entry| Entry {
        header: entry.header.map(|header| header.now(&entry.path)),
        ..entry
    };
    found.into_iter().map(now).collect()
}

/// Asks the same of every item, by as many threads as there are cores to run them; answers are in order.
fn in_parallel<T: Sync, A: Send>(items: &[T], ask: impl Fn(&T) -> A + Sync) -> Vec<A> {
    let threads = std::thread::available_parallelism().map_or(1, |cores| cores.get().min(8));
    let part = |items: &[T]| items.iter().map(&ask).collect::<Vec<A>>();
    std::thread::scope(|scope| {
        let parts = items.chunks(items.len().div_ceil(threads).max(1));
        let parts: Vec<_> = parts.map(|items| scope.spawn(|| part(items))).collect();
        let joined = parts
            .into_iter()
            .flat_map(|part| part.join().expect("nothing here panics"));
        joined.collect()
    })
}

fn read(root: &Path, id: RunId) -> Entry {
    let path = root.join(id.as_str());
    let header = reader::header(&path).map(|header| header.now(&path));
    Entry { id, path, header }
}

fn load(root: &Path) -> HashMap<RunId, (Stamp, Header)> {
    let bytes = fs::read(root.join(PRIVATE).join(FILE)).unwrap_or_default();
    match serde_json::from_slice::<Index>(&bytes) {
        Ok(index) if index.version == VERSION => {
            let runs = index.runs.into_iter();
            runs.map(|run| (run.id, (run.stamp, run.header))).collect()
        }
        _ => HashMap::new(),
    }
}

/// Writers do not wait for each other: the last index is as good as any. A store that cannot be
/// written is listed all the same.
fn save(root: &Path, entries: &[Entry], stamps: &[Option<Stamp>]) {
    let runs = entries.iter().zip(stamps).filter_map(|(entry, stamp)| {
        Some(Indexed {
            id: entry.id.clone(),
            stamp: (*stamp)?,
            header: entry.header.as_ref().ok()?.clone(),
        })
    });
    let index = Index {
        version: VERSION,
        runs: runs.collect(),
    };
    let folder = root.join(PRIVATE);
    if let Ok(text) = serde_json::to_string(&index)
        && fs::create_dir_all(&folder).is_ok()
    {
        let _ = durable::replace(&folder, FILE, &text, false);
    }
}
