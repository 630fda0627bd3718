//! The command line: flags are parsed to plain data here, one file per sub-command does the work.
//!
//! * [`run`]: play a scenario. [`check`], [`plan`], [`schema`]: look at one without playing it.
//! * [`runs`], [`show`]: what was stored. [`clean`]: undo what a killed run left.
//! * [`astra`]: a drop-in for ASTRA-sim's analytical binaries.
//! * [`workload`]: traces: look into them, convert them, generate them.
//! * [`rank`]: one rank's process, started by `genie run`.

pub mod astra;
pub mod check;
pub mod clean;
pub mod plan;
pub mod rank;
pub mod run;
pub mod runs;
pub mod schema;
pub mod show;
pub mod workload;

use std::io::{self, Write};

use clap::{Parser, Subcommand};

use crate::results::store::FindError;
use crate::testbed::exit;

/// Plays the network traffic of machine-learning jobs from CPUs, over real or emulated networks.
#[derive(Debug, Parser)]
#[command(name = "genie", version, max_term_width = 100, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Play a scenario and store the result.
    #[command(after_help = exit::HELP)]
    Run(run::Args),
    /// Check scenario files without running anything.
    Check(check::Args),
    /// Show what a scenario would do: hosts, links, ranks, steps, expected times.
    Plan(plan::Args),
    /// Print the JSON schema of scenario files.
    Schema(schema::Args),
    /// List stored runs.
    Runs(runs::RunsArgs),
    /// Show a stored run.
    Show(show::ShowArgs),
    /// Simulate Chakra traces with ASTRA-sim's files, flags and answers.
    Astra(Box<astra::Args>),
    /// Remove what killed runs have left on this machine, and nothing else.
    Clean(clean::Args),
    /// Inspect, convert, explain and generate workload traces.
    Workload(workload::Args),
    /// One rank's process; started by `genie run`.
    #[command(hide = true)]
    Rank(rank::Args),
}

/// Runs the command line; gives the process's exit code.
pub fn main() -> u8 {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(e) => {
            let code = if e.use_stderr() { exit::USAGE } else { exit::OK };
            // A closed terminal is no reason for another exit code.
            let _ = e.print();
            return code as u8;
        }
    };
    let code = match cli.command {
        Command::Run(args) => run::run(args),
        Command::Check(args) => check::run(args),
        Command::Plan(args) => plan::run(args),
        Command::Schema(args) => schema::run(args),
        Command::Runs(args) => found(runs::run(&args)),
        Command::Show(args) => found(show::run(&args)),
        Command::Astra(args) => astra::run(*args),
        Command::Clean(args) => clean::run(args),
        Command::Workload(args) => workload::run(args),
        Command::Rank(args) => rank::run(args),
    };
    code as u8
}

/// Exit code of a look into the store.
fn found(result: Result<(), FindError>) -> i32 {
    match result {
        Ok(()) => exit::OK,
        Err(error) => {
            complain(&format!("{error}\nhelp: {}", error.help()));
            exit::USAGE
        }
    }
}

/// Prints an error as `genie` always does.
fn complain(text: &str) {
    print_error(&format!("error: {text}\n"));
}

/// To stdout. A reader that went away (`| head`) is no error; `print!` would panic.
fn print(text: &str) {
    let _ = io::stdout().lock().write_all(text.as_bytes());
}

/// To stderr, likewise.
fn print_error(text: &str) {
    let _ = io::stderr().lock().write_all(text.as_bytes());
}
