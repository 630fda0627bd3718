//! `genie workload inspect`: figures of traces and what is wrong with them; exit code 2 if they cannot
//! be played.

use super::input::{self, Input};
use crate::report::style::Style;
use crate::report::workload as report;
use crate::testbed::exit;
use crate::workload::error::FormatError;
use crate::workload::inspect::Inspection;

/// Arguments of `genie workload inspect`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    input: Input,
    /// One JSON object on stdout.
    #[arg(long)]
    json: bool,
}

/// Prints what was found.
///
/// # Errors
/// The input cannot be read.
pub fn run(args: &Args) -> Result<i32, FormatError> {
    let source = input::open(&args.input)?;
    let mut inspection = Inspection::default();
    for rank in source.ranks() {
        inspection.add(rank, &source.trace(rank)?);
    }
    inspection.finish(source.complete);
    super::notice(&source.notices);
    let text = match args.json {
        true => report::json(&inspection),
        false => report::text(&inspection, Style::of_stdout()),
    };
    crate::cli::print(&text);
    Ok(if inspection.has_errors() {
        exit::USAGE
    } else {
        exit::OK
    })
}
