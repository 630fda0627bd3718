//! `genie workload`: traces of all formats. [`inspect`], [`convert`], [`explain`] and [`generate`] them; [`input`]
//! finds and reads the files.

pub mod convert;
pub mod explain;
pub mod generate;
pub mod input;
pub mod inspect;

use clap::Subcommand;

use crate::testbed::exit;
use crate::workload::error::FormatError;

/// Arguments of `genie workload`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Totals, critical path, and what is wrong: of one trace, or of all ranks together.
    Inspect(inspect::Args),
    /// Convert between formats: text, MSCCL, PyTorch and JSON to Chakra, Chakra to JSON.
    Convert(convert::Args),
    /// Say in words what will be done with a trace or a node, and what is ignored.
    Explain(explain::Args),
    /// Write Chakra traces of training steps, from the shape of a model and a layout over ranks.
    Generate(Box<generate::Args>),
}

/// Runs it; gives the exit code.
pub fn run(args: Args) -> i32 {
    let done = match args.command {
        Command::Generate(args) => return generate::run(&args),
        Command::Inspect(args) => inspect::run(&args),
        Command::Convert(args) => convert::run(&args),
        Command::Explain(args) => explain::run(&args),
    };
    done.unwrap_or_else(|error| {
        complain(&error);
        exit::USAGE
    })
}

fn complain(error: &FormatError) {
    let help = error.help.as_ref().map(|help| format!("\nhelp: {help}"));
    super::complain(&format!("{error}{}", help.unwrap_or_default()));
}

/// Prints what the user should know, on standard error.
fn notice(texts: &[String]) {
    for text in texts {
        super::print_error(&format!("note: {text}\n"));
    }
}
