//! Runs as one file that can be sent and kept: a zip with a list of every file's length and SHA-256
//! first, then `<run-id>/<file>`. An archive may come from anywhere: nothing in it is believed before
//! its digest is right, and nothing is written outside the store.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use zip::result::ZipError;
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipArchive, ZipWriter};

use super::{PRIVATE, Store};
use crate::results::digest::{Digest, Hasher};
use crate::results::reader::{self, Damage};
use crate::results::{RunId, State};

/// The list, first in the archive.
const LIST: &str = "genie-runs.json";
/// The format of archives that this genie writes; it reads all up to this.
const FORMAT: u32 = 1;
/// Longest list, bytes: about 200 000 files.
const LONGEST_LIST: u64 = 32 << 20;
/// Results compress about ten times; an archive that grows by more is a bomb, unless it is small.
const LARGEST_GROWTH: u64 = 100;
/// An archive may always grow to this, bytes.
const SMALL: u64 = 256 << 20;

/// Why runs were not exported or imported.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    /// The archive is there already.
    #[error("{} is there already", .0.display())]
    Exists(PathBuf),
    /// A run is not over.
    #[error("run {0} is still running")]
    Running(RunId),
    /// A run cannot be read, or is not as it was written.
    #[error("run {id} is damaged: {what}")]
    Damaged {
        /// The run.
        id: RunId,
        /// What is wrong.
        what: String,
    },
    /// A file or folder cannot be read or written.
    #[error("{}: {source}", path.display())]
    Io {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Not an archive of runs.
    #[error("{} is not an archive of runs: {what}", path.display())]
    NotAnArchive {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        what: String,
    },
    /// The store has another run of this name.
    #[error("run {0} is in the store already, and differs")]
    Differs(RunId),
}

impl ArchiveError {
    /// What to do about it.
    pub fn help(&self) -> &'static str {
        match self {
            ArchiveError::Exists(_) => "give another name, or remove it first",
            ArchiveError::Running(_) => "export it when it is over",
            ArchiveError::Damaged { .. } => "export the other runs; its folder can be copied as it is",
            ArchiveError::Io { source, .. } if source.kind() == io::ErrorKind::NotFound => {
                "there is no such file or folder: look at its name"
            }
            ArchiveError::Io { .. } => "look at permissions and free space",
            ArchiveError::NotAnArchive { .. } => {
                "archives are made by `genie export`; ask for it again if it was damaged on its way"
            }
            ArchiveError::Differs(_) => "import into another folder with --results DIR",
        }
    }
}

/// What became of a run of an archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Imported {
    /// The run.
    pub id: RunId,
    /// False: the store had it already, the same to the last bit.
    pub new: bool,
}

#[derive(Serialize, Deserialize)]
struct List {
    format: u32,
    runs: BTreeMap<RunId, BTreeMap<String, Digest>>,
}

/// Writes runs of a store into one file; every digest is checked on the way.
///
/// # Errors
/// [`ArchiveError`]; no part of the file is left.
pub fn export(store: &Store, ids: &[RunId], archive: &Path) -> Result<(), ArchiveError> {
    if archive.exists() {
        return Err(ArchiveError::Exists(archive.into()));
    }
    let mut list = List {
        format: FORMAT,
        runs: BTreeMap::new(),
    };
    for id in ids {
        list.runs
            .insert(id.clone(), files(&store.root().join(id.as_str()), id)?);
    }
    let mut name = archive.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}.part", std::process::id()));
    let part = archive.with_file_name(name);
    let written = write(store, &list, &part)
        .and_then(|()| fs::rename(&part, archive).map_err(|source| failed(archive, source)));
    if written.is_err() {
        let _ = fs::remove_file(&part);
    }
    written
}

/// The files of a run with their digests, after a look at whether they are as they were written.
fn files(folder: &Path, id: &RunId) -> Result<BTreeMap<String, Digest>, ArchiveError> {
    let damaged = |what: String| ArchiveError::Damaged { id: id.clone(), what };
    let by = |damage: Damage| damaged(damage.to_string());
    if reader::header(folder).map_err(by)?.now(folder).status == State::Running {
        return Err(ArchiveError::Running(id.clone()));
    }
    if let Some(what) = reader::verify(folder).map_err(by)?.into_iter().next() {
        return Err(damaged(what));
    }
    let unreadable = |source| failed(folder, source);
    let mut files = BTreeMap::new();
    for entry in fs::read_dir(folder).map_err(unreadable)? {
        let entry = entry.map_err(unreadable)?;
        let plain = entry.file_type().map_err(unreadable)?.is_file();
        if let Some(name) = entry.file_name().to_str().filter(|name| plain && is_name(name)) {
            let digest = Digest::of_file(&entry.path()).map_err(|source| failed(&entry.path(), source))?;
            files.insert(name.to_owned(), digest);
        }
    }
    Ok(files)
}

fn write(store: &Store, list: &List, part: &Path) -> Result<(), ArchiveError> {
    let file = File::create_new(part).map_err(|source| failed(part, source))?;
    let zipped = |error: ZipError| failed(part, error.into());
    let options = SimpleFileOptions::default()
        .compression_method(CompressionMethod::Deflated)
        .large_file(true);
    let mut zip = ZipWriter::new(BufWriter::new(file));
    zip.start_file(LIST, options).map_err(zipped)?;
    let text = serde_json::to_string(list).map_err(|error| failed(part, error.into()))?;
    zip.write_all(text.as_bytes())
        .map_err(|source| failed(part, source))?;
    for (id, files) in &list.runs {
        for (name, digest) in files {
            zip.start_file(format!("{id}/{name}"), options).map_err(zipped)?;
            let path = store.root().join(id.as_str()).join(name);
            let source = File::open(&path).map_err(|source| failed(&path, source))?;
            let found = copy(source, &mut zip, digest.bytes).map_err(|source| failed(part, source))?;
            if let Some(what) = digest.differs(name, &found) {
                let id = id.clone();
                return Err(ArchiveError::Damaged { id, what });
            }
        }
    }
    let file = zip.finish().map_err(zipped)?;
    let file = file
        .into_inner()
        .map_err(|error| failed(part, error.into_error()))?;
    file.sync_all().map_err(|source| failed(part, source))
}

/// Puts the runs of an archive into a store: all of them, or none when anything is wrong.
///
/// # Errors
/// [`ArchiveError`].
pub fn import(store: &Store, archive: &Path) -> Result<Vec<Imported>, ArchiveError> {
    let wrong = |what: String| ArchiveError::NotAnArchive {
        path: archive.into(),
        what,
    };
    let file = File::open(archive).map_err(|source| failed(archive, source))?;
    let packed = file.metadata().map_err(|source| failed(archive, source))?.len();
    let mut zip = ZipArchive::new(BufReader::new(file)).map_err(|error| wrong(error.to_string()))?;
    let list = list(&mut zip).map_err(wrong)?;
    check(&zip, &list, packed).map_err(wrong)?;
    let desk = Desk::new(store)?;
    for (id, files) in &list.runs {
        let folder = desk.0.join(id.as_str());
        fs::create_dir(&folder).map_err(|source| failed(&folder, source))?;
        for (name, digest) in files {
            unpack(&mut zip, &format!("{id}/{name}"), digest, &folder.join(name)).map_err(|e| match e {
                Unpack::Wrong(what) => wrong(what),
                Unpack::Write(source) => failed(&folder.join(name), source),
            })?;
        }
        reader::header(&folder).map_err(|damage| wrong(format!("run {id}: {damage}")))?;
    }
    take_in(store, &desk, &list)
}

/// Moves checked runs into the store. Those that it has are compared first.
fn take_in(store: &Store, desk: &Desk, list: &List) -> Result<Vec<Imported>, ArchiveError> {
    let mut imported = Vec::new();
    for (id, files) in &list.runs {
        let there = store.root().join(id.as_str());
        let same = |(name, digest): (&String, &Digest)| {
            Digest::of_file(&there.join(name)).is_ok_and(|found| found == *digest)
        };
        let new = !there.exists();
        if !new && !files.iter().all(same) {
            return Err(ArchiveError::Differs(id.clone()));
        }
        imported.push(Imported { id: id.clone(), new });
    }
    for run in imported.iter().filter(|run| run.new) {
        let place = store.root().join(run.id.as_str());
        fs::rename(desk.0.join(run.id.as_str()), &place).map_err(|source| failed(&place, source))?;
    }
    Ok(imported)
}

fn list(zip: &mut ZipArchive<BufReader<File>>) -> Result<List, String> {
    let entry = zip.by_name(LIST).map_err(|_| format!("it has no {LIST}"))?;
    let mut text = String::new();
    let read = entry.take(LONGEST_LIST + 1).read_to_string(&mut text);
    match read {
        Ok(length) if length as u64 > LONGEST_LIST => return Err(format!("{LIST} is too long")),
        Ok(_) => {}
        Err(error) => return Err(format!("{LIST}: {error}")),
    }
    #[derive(Deserialize)]
    struct Format {
        format: u32,
    }
    match serde_json::from_str::<Format>(&text) {
        Ok(Format { format }) if format > FORMAT => {
            return Err(format!(
                "its format is {format}, this genie reads formats up to {FORMAT}"
            ));
        }
        _ => {}
    }
    serde_json::from_str(&text).map_err(|error| format!("{LIST}: {error}"))
}

/// Every entry is in the list and every file of the list is an entry, once; nothing is too large.
fn check(zip: &ZipArchive<BufReader<File>>, list: &List, packed: u64) -> Result<(), String> {
    let mut listed = std::collections::BTreeSet::from([LIST.to_owned()]);
    let mut bytes = 0u64;
    for (id, files) in &list.runs {
        for (name, digest) in files {
            if !is_name(name) {
                return Err(format!("`{name}` is not the name of a file of a run"));
            }
            listed.insert(format!("{id}/{name}"));
            bytes = bytes.saturating_add(digest.bytes);
        }
    }
    for name in zip.file_names() {
        let name = name.map_err(|error| error.to_string())?;
        if !listed.contains(&*name) {
            return Err(format!("`{name}` is not in its list"));
        }
    }
    if zip.len() != listed.len() {
        return Err("files of its list are missing".into());
    }
    if bytes > SMALL.max(packed.saturating_mul(LARGEST_GROWTH)) {
        return Err(format!(
            "{packed} bytes that would become {bytes} are not measurements"
        ));
    }
    Ok(())
}

enum Unpack {
    Wrong(String),
    Write(io::Error),
}

fn unpack(
    zip: &mut ZipArchive<BufReader<File>>,
    name: &str,
    digest: &Digest,
    to: &Path,
) -> Result<(), Unpack> {
    let entry = zip
        .by_name(name)
        .map_err(|error| Unpack::Wrong(format!("{name}: {error}")))?;
    if !entry.is_file() {
        return Err(Unpack::Wrong(format!("{name} is not a plain file")));
    }
    let mut file = File::create_new(to).map_err(Unpack::Write)?;
    // Bad data shows as an error of reading, which io::copy does not tell from one of writing.
    let found = copy(entry, &mut file, digest.bytes).map_err(|error| match error.kind() {
        io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput | io::ErrorKind::UnexpectedEof => {
            Unpack::Wrong(format!("{name}: {error}"))
        }
        _ => Unpack::Write(error),
    })?;
    if let Some(what) = digest.differs(name, &found) {
        return Err(Unpack::Wrong(what));
    }
    file.sync_all().map_err(Unpack::Write)
}

/// Copies at most one byte more than `expected`, so that what is too long shows and does not fill
/// the disk; the digest of what was copied.
fn copy(from: impl Read, to: &mut impl Write, expected: u64) -> io::Result<Digest> {
    let mut from = from.take(expected.saturating_add(1));
    let (mut hasher, mut piece) = (Hasher::default(), vec![0; 1 << 16]);
    loop {
        match from.read(&mut piece)? {
            0 => return Ok(hasher.digest()),
            read => {
                hasher.update(&piece[..read]);
                to.write_all(&piece[..read])?;
            }
        }
    }
}

/// Where an archive is unpacked; cleared away at the end.
struct Desk(PathBuf);

impl Desk {
    fn new(store: &Store) -> Result<Desk, ArchiveError> {
        let folder = store.root().join(PRIVATE);
        fs::create_dir_all(&folder).map_err(|source| failed(&folder, source))?;
        let desk = folder.join(format!("import-{}", RunId::now()));
        fs::create_dir(&desk).map_err(|source| failed(&desk, source))?;
        Ok(Desk(desk))
    }
}

impl Drop for Desk {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// A plain name: no folders, no `..`, nothing hidden.
fn is_name(name: &str) -> bool {
    let right = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    !name.is_empty() && name.len() <= 100 && !name.starts_with('.') && name.chars().all(right)
}

fn failed(path: &Path, source: io::Error) -> ArchiveError {
    ArchiveError::Io {
        path: path.into(),
        source,
    }
}
