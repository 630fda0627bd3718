//! `genie runs`: the runs of a results folder, newest last.

use std::io::{self, Write};
use std::path::PathBuf;

use crate::report::list;
use crate::report::style::Style;
use crate::results::Store;
use crate::results::store::StoreError;

/// Lists stored runs, newest last.
#[derive(Debug, Clone, clap::Args)]
pub struct RunsArgs {
    /// The results folder.
    #[arg(long, value_name = "DIR", default_value = "results")]
    pub results: PathBuf,
    /// Compare every file with its digest.
    #[arg(long)]
    pub verify: bool,
    /// Print a JSON array instead of a table.
    #[arg(long)]
    pub json: bool,
}

/// Prints the list on stdout.
///
/// # Errors
/// [`StoreError::Unreadable`]; a store that does not exist has no runs.
pub fn run(args: &RunsArgs) -> Result<(), StoreError> {
    let mut list = Store::new(&args.results).listing()?;
    if args.verify {
        list = list.verified();
    }
    let mut out = io::BufWriter::new(io::stdout().lock());
    // A reader that went away (`| head`) is no error.
    let _ = match args.json {
        true => out.write_all(list::json(&list).as_bytes()),
        false => list::table(&mut out, &list, Style::of_stdout()),
    };
    let _ = out.flush();
    if list.entries.is_empty() && !args.json {
        super::print_error(&format!(
            "there are no runs in {}: `genie run FILE` makes one; give another results folder with --results DIR\n",
            args.results.display()
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_results_folder_is_an_empty_list_and_a_file_is_an_error() {
        let args = |results: PathBuf| RunsArgs {
            results,
            verify: false,
            json: true,
        };
        assert!(run(&args("/nonexistent/results".into())).is_ok());
        let file = tempfile::NamedTempFile::new().unwrap();
        let error = run(&args(file.path().into())).unwrap_err();
        assert!(error.to_string().starts_with("cannot read "), "{error}");
    }
}
