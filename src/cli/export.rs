//! `genie export` and `genie import`: runs as one file, and back.

use std::path::{Path, PathBuf};

use super::show::ShowArgs;
use crate::results::store::archive::{self, ArchiveError};
use crate::results::store::columnar;
use crate::results::{RunId, Store};
use crate::testbed::exit;

/// Arguments of `genie export`.
#[derive(Debug, Clone, clap::Args)]
pub struct ExportArgs {
    /// Runs: ids or their beginnings, tags, `latest`, `latest~N`; repetitions go together.
    #[arg(value_name = "RUN", required = true)]
    runs: Vec<String>,
    /// The file to make; the folder, for Parquet.
    #[arg(long, short, value_name = "FILE")]
    output: PathBuf,
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

/// Exports.
pub fn export(args: &ExportArgs) -> i32 {
    let store = Store::new(&args.results);
    if args.format == Format::Perfetto {
        return timeline(args);
    }
    let ids = match super::ids(&store, &args.runs) {
        Ok(ids) => ids,
        Err(code) => return code,
    };
    match args.format {
        Format::Parquet => columns(&store, &ids, &args.output),
        _ => super::told(archive::export(&store, &ids, &args.output), ArchiveError::help),
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
fn timeline(args: &ExportArgs) -> i32 {
    match args.runs.as_slice() {
        [run] => super::show::run(&ShowArgs {
            run: run.clone(),
            results: args.results.clone(),
            json: false,
            timeline: Some(args.output.clone()),
        }),
        _ => {
            super::complain("a timeline is of one run\nhelp: name one, for each a file of its own");
            exit::USAGE
        }
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
