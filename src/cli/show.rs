//! `genie show`: the report of a stored run, the same as `genie run` printed.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use crate::report::played::Timeline;
use crate::report::style::Style;
use crate::report::{json, terminal};
use crate::results::durable::Output;
use crate::results::store::StoreError;
use crate::results::{Run, Store, iterations, links, messages, nodes};
use crate::testbed::exit;

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
    /// Write the iterations of all ranks as a timeline that ui.perfetto.dev opens, instead of the table.
    #[arg(long, value_name = "FILE.json", conflicts_with = "json")]
    pub timeline: Option<PathBuf>,
}

/// Prints the report on stdout, or writes the timeline; gives the exit code.
pub fn run(args: &ShowArgs) -> i32 {
    match &args.timeline {
        None => super::found(show(args)),
        Some(file) => match Store::new(&args.results).open(&args.run) {
            Ok((folder, run)) => write_timeline(&folder, &run, file),
            Err(error) => super::found(Err(error)),
        },
    }
}

/// Writes the timeline of a run, a piece at a time; gives the exit code.
pub fn write_timeline(folder: &Path, run: &Run, file: &Path) -> i32 {
    let mut found = Vec::new();
    let written = Output::create(file).and_then(|out| timeline(folder, run, out, &mut found));
    for damage in found {
        super::print_error(&format!("warning: {damage}\n"));
    }
    match written {
        Ok(()) => exit::OK,
        Err(error) => {
            super::complain(&format!("cannot write `{}`: {error}", file.display()));
            exit::USAGE
        }
    }
}

fn timeline(folder: &Path, run: &Run, mut out: Output, found: &mut Vec<String>) -> io::Result<()> {
    let (mut timeline, mut failed) = (Timeline::new(run), None);
    iterations::each(folder, run, found, |iteration| {
        timeline.show(iteration);
        let wrote = out.write_all(timeline.take().as_bytes());
        failed = failed.take().or(wrote.err());
    });
    nodes::each(folder, run, found, |node| {
        timeline.show_node(&node);
        let wrote = out.write_all(timeline.take().as_bytes());
        failed = failed.take().or(wrote.err());
    });
    messages::each(folder, run, found, |message| timeline.keep_message(message));
    let links = links::read(folder, run, found);
    failed.map_or(Ok(()), Err)?;
    out.write_all(timeline.finish(&links).as_bytes())?;
    out.finish()
}

fn show(args: &ShowArgs) -> Result<(), StoreError> {
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
            timeline: None,
        };
        let error = show(&args).unwrap_err();
        assert!(error.to_string().starts_with("there are no runs in "), "{error}");
        assert!(error.help().contains("--results"), "{}", error.help());
    }
}
