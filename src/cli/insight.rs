//! Flags of `genie astra` that say what the time went to, and the files that they ask for. Files are
//! written while the simulation runs: what was seen is not kept.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use crate::report::insight::records;
use crate::report::insight::timeline::Timeline;
use crate::results::durable::Output;
use crate::testbed::model::Simulation;
use crate::testbed::model::insight::{Seen, WatchOptions};

/// What is to be told besides ASTRA-sim's lines.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "What the time went to")]
pub struct InsightArgs {
    /// Write a row for each operation of each NPU: CSV into a file, or with the phases of collectives into a folder.
    #[arg(long, value_name = "DIR|FILE.csv")]
    pub records: Option<PathBuf>,
    /// Write a timeline of all NPUs that ui.perfetto.dev opens.
    #[arg(long, value_name = "FILE.json")]
    pub timeline: Option<PathBuf>,
    /// Show each message of a collective in the timeline, and the bytes in flight.
    #[arg(long, requires = "timeline")]
    pub timeline_messages: bool,
    /// Say what the time went to: exposed communication in parts, the critical path, the slowest NPU, the busiest links.
    #[arg(long)]
    pub explain: bool,
}

impl InsightArgs {
    /// What is to be watched, if anything.
    pub fn watch(&self) -> Option<WatchOptions> {
        let options = WatchOptions {
            operations: self.records.is_some() || self.timeline.is_some(),
            messages: self.timeline_messages,
            explain: self.explain,
        };
        (options != WatchOptions::default()).then_some(options)
    }
}

/// A file being written.
#[derive(Debug)]
struct Sink {
    path: PathBuf,
    file: Output,
}

impl Sink {
    fn create(path: &Path) -> Result<Self, String> {
        let file = Output::create(path).map_err(|error| unwritable(path, &error))?;
        Ok(Sink {
            path: path.into(),
            file,
        })
    }

    fn table(path: &Path, header: &str) -> Result<Self, String> {
        let mut sink = Sink::create(path)?;
        sink.write(header)?;
        Ok(sink)
    }

    fn write(&mut self, text: &str) -> Result<(), String> {
        let written = self.file.write_all(text.as_bytes());
        written.map_err(|error| unwritable(&self.path, &error))
    }

    fn finish(self) -> Result<(), String> {
        self.file.finish().map_err(|error| unwritable(&self.path, &error))
    }
}

fn unwritable(path: &Path, error: &io::Error) -> String {
    format!("cannot write `{}`: {error}", path.display())
}

/// The files that were asked for.
#[derive(Debug, Default)]
pub struct Sinks {
    operations: Option<Sink>,
    phases: Option<Sink>,
    timeline: Option<(Sink, Timeline)>,
}

impl Sinks {
    /// Creates the files.
    ///
    /// # Errors
    /// Which cannot be written, and why.
    pub fn create(args: &InsightArgs, npus: u32) -> Result<Self, String> {
        let mut sinks = Sinks::default();
        let operations = records::header(records::OPERATIONS);
        match &args.records {
            Some(file) if file.extension().is_some_and(|extension| extension == "csv") => {
                sinks.operations = Some(Sink::table(file, &operations)?);
            }
            Some(folder) => {
                fs::create_dir_all(folder).map_err(|error| unwritable(folder, &error))?;
                sinks.operations = Some(Sink::table(&folder.join("operations.csv"), &operations)?);
                let phases = records::header(records::PHASES);
                sinks.phases = Some(Sink::table(&folder.join("phases.csv"), &phases)?);
            }
            None => {}
        }
        if let Some(file) = &args.timeline {
            sinks.timeline = Some((Sink::create(file)?, Timeline::new(npus)));
        }
        Ok(sinks)
    }

    /// Writes what a simulation has seen since the last time.
    ///
    /// # Errors
    /// What cannot be written, and why.
    pub fn take(&mut self, simulation: &mut Simulation) -> Result<(), String> {
        for seen in simulation.seen() {
            let graph = simulation.graph(rank(&seen));
            match (&seen, &mut self.operations, &mut self.phases) {
                (Seen::Op(op), Some(operations), _) => operations.write(&records::operation(op, graph))?,
                (Seen::Phase(phase), _, Some(phases)) => phases.write(&records::phase(phase))?,
                _ => {}
            }
            if let Some((_, timeline)) = &mut self.timeline {
                timeline.show(&seen, graph);
            }
        }
        if let Some((sink, timeline)) = &mut self.timeline {
            sink.write(&timeline.take())?;
        }
        Ok(())
    }

    /// Writes the rest.
    ///
    /// # Errors
    /// What cannot be written, and why.
    pub fn finish(mut self, simulation: &mut Simulation) -> Result<(), String> {
        self.take(simulation)?;
        if let Some((mut sink, timeline)) = self.timeline {
            let rest = timeline.finish(simulation.now(), |rank| simulation.graph(rank));
            sink.write(&rest)?;
            sink.finish()?;
        }
        let mut tables = self.operations.into_iter().chain(self.phases);
        tables.try_for_each(Sink::finish)
    }
}

fn rank(seen: &Seen) -> u32 {
    match seen {
        Seen::Begin { rank, .. } | Seen::PhaseBegin { rank, .. } => *rank,
        Seen::Op(op) => op.rank,
        Seen::Phase(phase) => phase.rank,
        Seen::Sent(message) | Seen::Received(message) => message.rank,
    }
}
