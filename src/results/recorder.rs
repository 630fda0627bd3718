//! Writes a run folder as the run happens. Recording never breaks a run: the first failure (disk
//! full, no permission, folder gone) is remembered, recording stops, and the run says so at its end.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use super::circuits;
use super::columns::{self, Table};
use super::digest::{self, Digest, Hasher};
use super::durable;
use super::event_line;
use super::messages;
use super::reader;
use super::run::{Manifest, Run, State, is_left_behind};
use super::store::PRIVATE;
use super::tables;
use crate::event::{Event, OpRecord, Reconfiguration};

/// The table that is written when the run is over.
const RANKS: &str = "ranks";

/// Consumes the events of a run: keeps the [`Run`] up to date and its folder too.
#[derive(Debug)]
pub struct Recorder {
    run: Run,
    folder: Option<Folder>,
    path: PathBuf,
    /// The folder at `path` is this run's; it may be another's, or none.
    mine: bool,
    loss: Option<String>,
}

impl Recorder {
    /// Makes `results/<run-id>/` for a run that begins. Does not fail: see [`Recorder::loss`].
    pub fn start(results: &Path, run: Run) -> Recorder {
        let path = results.join(run.manifest.run_id.as_str());
        let made = Folder::make(&path, &run.manifest);
        let mut recorder = Recorder {
            run,
            folder: None,
            path,
            mine: made.is_ok(),
            loss: None,
        };
        match made {
            Ok(folder) => recorder.folder = Some(folder),
            Err(error) => recorder.lose("at the start", &error),
        }
        recorder
    }

    /// Takes in one event, and writes it.
    pub fn record(&mut self, event: &Event) {
        self.run.apply(event);
        if let Some(folder) = &mut self.folder
            && let Err(error) = folder.write(&mut self.run, event)
        {
            self.lose(when(event), &error);
        }
        if self.mine && self.loss.is_some() && matches!(event, Event::RunFinished { .. }) {
            // The manifest may find room where the tables did not, and says what is missing.
            let _ = write_manifest(&self.path, &self.run.manifest);
        }
    }

    /// The run as it is known now.
    pub fn run(&self) -> &Run {
        &self.run
    }

    /// The run's folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The run's folder, when all of the run so far is in it.
    pub fn stored(&self) -> Option<&Path> {
        self.loss.is_none().then_some(self.path.as_path())
    }

    /// What was lost and why, in one sentence; `None` when everything is stored. At the end of the
    /// run it is among its cautions.
    pub fn loss(&self) -> Option<&str> {
        self.loss.as_deref()
    }

    fn lose(&mut self, when: &str, error: &FolderError) {
        self.folder = None;
        self.run.manifest.digests.clear();
        self.run.manifest.manifest_sha256 = None;
        let loss = format!("results are not fully stored: {error} ({when}); the figures shown are complete");
        self.run.add_caution(loss.clone());
        self.loss = Some(loss);
    }
}

fn when(event: &Event) -> &'static str {
    match event {
        Event::RunFinished { .. } => "at the end",
        _ => "during the run",
    }
}

/// What could not be written.
#[derive(Debug, thiserror::Error)]
#[error("cannot write {}: {source}", path.display())]
struct FolderError {
    path: PathBuf,
    source: io::Error,
}

/// A run folder that is being written.
#[derive(Debug)]
struct Folder {
    path: PathBuf,
    scenario: Log,
    events: Log,
    /// The plan's tables but that of ranks, which is written at the end.
    tables: BTreeMap<&'static str, Log>,
}

/// A file that is appended to.
#[derive(Debug)]
struct Log {
    path: PathBuf,
    file: File,
    hasher: Hasher,
}

impl Folder {
    /// Makes it out of sight and puts it into its place in one step: whenever the process ends, there is a run that
    /// can be read, or none. A folder that is there already is another run's.
    fn make(path: &Path, manifest: &Manifest) -> Result<Folder, FolderError> {
        let failed = |path: &Path| {
            let path = path.to_owned();
            move |source| FolderError { path, source }
        };
        let (Some(results), Some(name)) = (path.parent(), path.file_name()) else {
            return Err(failed(path)(io::ErrorKind::InvalidInput.into()));
        };
        let workshop = results.join(PRIVATE).join("new");
        sweep(&workshop);
        let begun = workshop.join(name);
        begin(&workshop, &begun).map_err(failed(&begun))?;
        let made = Folder::create(&begun, manifest).and_then(|folder| match path.exists() {
            true => Err(failed(path)(io::Error::from_raw_os_error(libc::EEXIST))),
            false => fs::rename(&begun, path)
                .map(|()| folder.moved(path))
                .map_err(failed(path)),
        });
        if made.is_err() {
            let _ = fs::remove_dir_all(&begun);
        }
        // As far as they are empty.
        let _ = fs::remove_dir(&workshop).and_then(|()| fs::remove_dir(results.join(PRIVATE)));
        made
    }

    fn moved(mut self, path: &Path) -> Folder {
        for log in self.logs() {
            log.path = path.join(log.name());
        }
        self.path = path.into();
        self
    }

    /// All that is appended to.
    fn logs(&mut self) -> impl Iterator<Item = &mut Log> {
        let others = [&mut self.scenario, &mut self.events];
        others.into_iter().chain(self.tables.values_mut())
    }

    fn create(path: &Path, manifest: &Manifest) -> Result<Folder, FolderError> {
        write_manifest(path, manifest)?;
        let table = |table: &Table| {
            let log = Log::create(path, &table.file(), &columns::header(table.columns))?;
            Ok((table.name, log))
        };
        let tables: Result<BTreeMap<_, _>, _> = columns::tables(&manifest.plan).map(table).collect();
        let mut tables = tables?;
        tables.remove(RANKS);
        Ok(Folder {
            scenario: Log::create(path, "scenario.toml", &manifest.plan.scenario)?,
            events: Log::create(path, "events.jsonl", "")?,
            tables,
            path: path.into(),
        })
    }

    /// Appends to a table, if the plan has it.
    fn append(&mut self, table: &str, text: &str) -> Result<(), FolderError> {
        match self.tables.get_mut(table) {
            Some(log) => log.append(text),
            None => Ok(()),
        }
    }

    fn write(&mut self, run: &mut Run, event: &Event) -> Result<(), FolderError> {
        match event {
            Event::Progress { .. } | Event::Pulse(_) | Event::TraceModelled { .. } => return Ok(()),
            Event::TracePlayed(played) => return self.append("nodes", &tables::node_lines(played)),
            Event::MessagesSeen { op, ranks } => {
                self.append("messages", &tables::message_lines(&messages::joined(*op, ranks)))?;
            }
            Event::OpFinished(record) => self.write_op(run, record)?,
            Event::Reconfigured(change) => self.write_change(change)?,
            Event::NeighboursFound(found) => self.append("neighbours", &circuits::neighbour_lines(found))?,
            Event::LinkCounters(_) => self.append("links", &tables::link_total_lines(run))?,
            _ => {}
        }
        self.record_event(event)?;
        match event {
            Event::RunFinished { .. } => self.finish(run),
            _ => Ok(()),
        }
    }

    /// The tables are on the disk before the manifest says that they are whole.
    fn finish(&mut self, run: &mut Run) -> Result<(), FolderError> {
        let ranks = columns::header(columns::RANKS) + &tables::rank_lines(run);
        replace(&self.path, "ranks.csv", &ranks)?;
        let mut digests = BTreeMap::from([("ranks.csv".to_owned(), Digest::of(ranks.as_bytes()))]);
        for log in self.logs() {
            digests.insert(log.name(), log.finish()?);
        }
        run.manifest.digests = digests;
        run.manifest.manifest_sha256 = Some(digest::BLANK.into());
        let (text, own) = digest::seal(&manifest_text(&self.path, &run.manifest)?);
        run.manifest.manifest_sha256 = Some(own);
        replace(&self.path, "manifest.json", &text)
    }

    /// One line of `events.jsonl`.
    fn record_event(&mut self, event: &Event) -> Result<(), FolderError> {
        let line = event_line::line(event).map_err(|error| self.events.failed(error.into()))?;
        self.events.append(&line)
    }

    fn write_change(&mut self, change: &Reconfiguration) -> Result<(), FolderError> {
        self.append("reconfigurations", &circuits::switch_lines(change))?;
        self.append("circuits", &circuits::link_lines(change))
    }

    /// Raw times first: `ops.csv` never has a row whose iterations are missing.
    fn write_op(&mut self, run: &Run, record: &OpRecord) -> Result<(), FolderError> {
        let plan = &run.manifest.plan;
        self.append("iterations", &tables::iteration_lines(record, plan.dilation))?;
        self.append("links", &tables::link_lines(plan, record))?;
        match run.rows.last().filter(|row| row.index == record.op) {
            Some(row) => self.append("ops", &tables::op_line(row)),
            None => Ok(()),
        }
    }
}

impl Log {
    fn create(folder: &Path, name: &str, text: &str) -> Result<Log, FolderError> {
        let path = folder.join(name);
        match File::create(&path) {
            Ok(file) => {
                let hasher = Hasher::default();
                let mut log = Log { path, file, hasher };
                log.append(text)?;
                Ok(log)
            }
            Err(source) => Err(FolderError { path, source }),
        }
    }

    fn append(&mut self, text: &str) -> Result<(), FolderError> {
        self.hasher.update(text.as_bytes());
        let written = self.file.write_all(text.as_bytes());
        written.map_err(|source| self.failed(source))
    }

    /// Puts it on the disk; its digest.
    fn finish(&self) -> Result<Digest, FolderError> {
        self.file.sync_data().map_err(|source| self.failed(source))?;
        Ok(self.hasher.digest())
    }

    fn name(&self) -> String {
        let name = self.path.file_name().unwrap_or_default();
        name.to_string_lossy().into_owned()
    }

    fn failed(&self, source: io::Error) -> FolderError {
        FolderError {
            path: self.path.clone(),
            source,
        }
    }
}

fn write_manifest(folder: &Path, manifest: &Manifest) -> Result<(), FolderError> {
    replace(folder, "manifest.json", &manifest_text(folder, manifest)?)
}

fn manifest_text(folder: &Path, manifest: &Manifest) -> Result<String, FolderError> {
    let failed = |error: serde_json::Error| FolderError {
        path: folder.join("manifest.json"),
        source: error.into(),
    };
    Ok(serde_json::to_string_pretty(manifest).map_err(failed)? + "\n")
}

/// Makes a folder in the workshop, which whoever has just left it may have taken down.
fn begin(workshop: &Path, begun: &Path) -> io::Result<()> {
    let mut made = Ok(());
    for _ in 0..16 {
        made = fs::create_dir_all(workshop).and_then(|()| fs::create_dir(begun));
        if !made
            .as_ref()
            .is_err_and(|error| error.kind() == io::ErrorKind::NotFound)
        {
            break;
        }
    }
    made
}

/// Removes what runs have left that ended before they were in their place.
fn sweep(workshop: &Path) {
    let left = fs::read_dir(workshop).into_iter().flatten().flatten();
    for folder in left.map(|entry| entry.path()) {
        let over = match reader::header(&folder) {
            Ok(header) => header.now(&folder).status != State::Running,
            // Its maker may be about to write the manifest.
            Err(_) => is_left_behind(&folder),
        };
        if over {
            let _ = fs::remove_dir_all(&folder);
        }
    }
}

/// Readers see the old file or the new one, never a part.
fn replace(folder: &Path, name: &str, text: &str) -> Result<(), FolderError> {
    durable::replace(folder, name, text, true).map_err(|source| FolderError {
        path: folder.join(name),
        source,
    })
}
