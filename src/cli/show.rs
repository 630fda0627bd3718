//! `genie show`: the report of a stored run, the same as `genie run` printed.

use std::io::{self, Write};
use std::path::PathBuf;

use crate::report::style::Style;
use crate::report::{json, terminal};
use crate::results::Store;
use crate::results::store::StoreError;

/// Shows a stored run.
#[derive(Debug, Clone, clap::Args)]
pub struct ShowArgs {
    /// Run: id, a beginning of it or of its last five characters, tag, `latest`, `latest~N`, or path; `#N` for a repetition.
    #[arg(value_name = "RUN")]
    pub run: String,
    /// The results folder.
    #[arg(long, value_name = "DIR", default_value = "results")]
    pub results: PathBuf,
    /// Print one JSON object instead of the table.
    #[arg(long)]
    pub json: bool,
}

/// Prints the report on stdout.
///
/// # Errors
/// [`StoreError`]: no such run, several, or a damaged one; all exit with code 2.
pub fn run(args: &ShowArgs) -> Result<(), StoreError> {
    let store = Store::new(&args.results);
    let (folder, run) = store.open(&args.run)?;
    let mut out = io::stdout().lock();
    // A reader that went away (`| head`) is no error.
    let _ = match args.json {
        true => out.write_all(json::text(&run, Some(&folder)).as_bytes()),
        false => terminal::show(&mut out, &run, Some(&folder), Style::of_stdout()),
    };
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_that_is_not_there_is_an_error_with_help() {
        let results = tempfile::tempdir().unwrap();
        let args = ShowArgs {
            run: "latest".into(),
            results: results.path().into(),
            json: false,
        };
        let error = run(&args).unwrap_err();
        assert!(error.to_string().starts_with("there are no runs in "), "{error}");
        assert!(error.help().contains("--results"), "{}", error.help());
    }
}
