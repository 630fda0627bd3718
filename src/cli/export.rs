//! `genie export` and `genie import`: runs as one file, and back.

use std::path::PathBuf;

use crate::results::Store;
use crate::results::store::archive::{self, ArchiveError};
use crate::testbed::exit;

/// Arguments of `genie export`.
#[derive(Debug, Clone, clap::Args)]
pub struct ExportArgs {
    /// Runs: ids or their beginnings, tags, `latest`, `latest~N`; repetitions go together.
    #[arg(value_name = "RUN", required = true)]
    runs: Vec<String>,
    /// The file to make, a zip.
    #[arg(long, short, value_name = "FILE")]
    output: PathBuf,
    /// The results folder.
    #[arg(long, value_name = "DIR", default_value = "results")]
    results: PathBuf,
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
    let ids = match super::ids(&store, &args.runs) {
        Ok(ids) => ids,
        Err(code) => return code,
    };
    super::told(archive::export(&store, &ids, &args.output), ArchiveError::help)
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
