//! `genie workload`: traces. [`generate`] makes them.

pub mod generate;

use clap::Subcommand;

/// Arguments of `genie workload`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Write Chakra traces of training steps, from the shape of a model and a layout over ranks.
    Generate(Box<generate::Args>),
}

/// Runs it; gives the exit code.
pub fn run(args: Args) -> i32 {
    match args.command {
        Command::Generate(args) => generate::run(&args),
    }
}
