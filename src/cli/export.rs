//! `genie export` and `genie import`: runs as one file, and back.

use std::path::{Path, PathBuf};

use crate::results::store::archive;
use crate::results::store::columnar;
use crate::results::{RunId, Store};
use crate::testbed::exit;

/// Arguments of `genie export`.
#[derive(Debug, Clone, clap::Args)]
pub struct ExportArgs {
    /// Runs: ids or their beginnings, tags, `latest`, `latest~N`; repetitions go together.
    #[arg(value_name = "RUN", required = true)]
    runs: Vec<String>,
    /// The file to make; the folder, for Parquet. Named after the first run if not given.
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
    /// As what.
    #[arg(long, value_enum, default_value_t)]
    format: Format,
    /// The results folder.
    #[arg(long, value_name = "DIR", default_value = "results")]
    results: PathBuf,
}

/// What runs are exported as.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
enum Format {
    /// A zip that `genie import` takes in.
    #[default]
    Zip,
    /// A folder of Parquet files, one for each table, for DuckDB, pandas, polars.
    Parquet,
    /// A timeline of one run for ui.perfetto.dev.
    Perfetto,
}

/// Arguments of `genie import`.
#[derive(Debug, Clone, clap::Args)]
pub struct ImportArgs {
    /// An archive that `genie export` made.
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// The results folder.
    #[arg(long, value_name = "DIR", default_value = "results")]
    results: PathBuf,
}

/// Exports; says what was made.
pub fn export(args: &ExportArgs) -> i32 {
    let store = Store::new(&args.results);
    if args.format == Format::Perfetto {
        return timeline(args, &store);
    }
    let ids = match super::ids(&store, &args.runs) {
        Ok(ids) => ids,
        Err(code) => return code,
    };
    let output = args.format.output(args.output.as_ref(), &ids[0]);
    match args.format {
        Format::Parquet => columns(&store, &ids, &output),
        _ => match archive::export(&store, &ids, &output) {
            Ok(()) => made(&output),
            Err(error) => super::refused(&error, error.help()),
        },
    }
}

fn made(file: &Path) -> i32 {
    super::print(&format!("{}\n", file.display()));
    exit::OK
}

impl Format {
    /// Where to, if that is not said.
    fn output(self, said: Option<&PathBuf>, first: &RunId) -> PathBuf {
        let name = match self {
            Format::Zip => format!("{first}.zip"),
            Format::Parquet => format!("{first}-parquet"),
            Format::Perfetto => format!("{first}.perfetto.json"),
        };
        said.cloned().unwrap_or_else(|| name.into())
    }
}

/// Writes the tables; says which files there are.
fn columns(store: &Store, ids: &[RunId], folder: &Path) -> i32 {
    match columnar::export(store, ids, folder) {
        Ok(written) => {
            for sentence in &written.damage {
                super::print_error(&format!("warning: {sentence}\n"));
            }
            for file in &written.files {
                super::print(&format!("{}\n", file.display()));
            }
            exit::OK
        }
        Err(error) => super::refused(&error, error.help()),
    }
}

/// The same as `genie show RUN --timeline`.
fn timeline(args: &ExportArgs, store: &Store) -> i32 {
    let [run] = args.runs.as_slice() else {
        super::complain("a timeline is of one run\nhelp: name one, for each a file of its own");
        return exit::USAGE;
    };
    match store.open(run) {
        Ok((folder, run)) => {
            let output = args.format.output(args.output.as_ref(), &run.manifest.run_id);
            match super::show::write_timeline(&folder, &run, &output) {
                exit::OK => made(&output),
                code => code,
            }
        }
        Err(error) => super::refused(&error, &error.help()),
    }
}

/// Imports; says which runs are new.
pub fn import(args: &ImportArgs) -> i32 {
    match archive::import(&Store::new(&args.results), &args.file) {
        Ok(runs) => {
            for run in runs {
                let note = if run.new { "" } else { "  (was here already)" };
                super::print(&format!("{}{note}\n", run.id));
            }
            exit::OK
        }
        Err(error) => super::refused(&error, error.help()),
    }
}
