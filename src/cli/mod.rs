//! The command line: flags are parsed to plain data here, one file per sub-command does the work.
//!
//! * [`run`]: play a scenario, and [`serve`] its figures meanwhile. [`check`], [`plan`], [`schema`]: look at one without playing it.
//! * [`runs`], [`show`], [`report`], [`diff`], [`gate`]: what was stored, compared. [`tag`], [`prune`], [`export`]:
//!   the store itself. [`clean`]: undo what a killed run left.
//! * [`astra`]: a drop-in for ASTRA-sim's analytical binaries; [`insight`]: what its time went to.
//! * [`workload`]: traces: look into them, convert them, generate them.
//! * [`placement`]: jobs on tori in virtual time, played by `genie run` too.
//! * [`ocs`]: optical circuit switches, real and imitated.
//! * [`doctor`]: what this machine can do. [`completions`], [`man`]: for shells and readers of manuals.
//! * [`vm`]: a small guest for what this kernel cannot.
//! * [`rank`]: one rank's process, started by `genie run`.

pub mod astra;
pub mod check;
pub mod clean;
pub mod completions;
pub mod diff;
pub mod doctor;
pub mod export;
pub mod gate;
pub mod insight;
pub mod man;
pub mod ocs;
pub mod placement;
pub mod plan;
pub mod prune;
pub mod rank;
pub mod report;
pub mod run;
pub mod runs;
pub mod schema;
pub mod serve;
pub mod show;
pub mod tag;
pub mod vm;
pub mod workload;

use std::io::{self, Write};

use clap::{Parser, Subcommand};

use crate::results::store::{Selector, StoreError};
use crate::results::{RunId, Store};
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
    /// Compare runs: medians, intervals, and what of it is proven.
    Diff(diff::Args),
    /// Write runs as one HTML file that opens offline.
    Report(report::Args),
    /// Hold a run against a baseline, for CI.
    #[command(after_help = exit::HELP)]
    Gate(gate::Args),
    /// Give a run a name, or list and remove names.
    Tag(tag::TagArgs),
    /// Keep runs whatever the limits of `genie prune`.
    Pin(tag::PinArgs),
    /// Delete runs beyond limits.
    Prune(prune::Args),
    /// Put runs into one file.
    Export(export::ExportArgs),
    /// Take in runs that were exported.
    Import(export::ImportArgs),
    /// Remove what killed runs have left on this machine, and nothing else.
    Clean(clean::Args),
    /// The small virtual machine that has soft-RoCE where this kernel has not.
    Vm(vm::Args),
    /// Inspect, convert, explain and generate workload traces.
    Workload(workload::Args),
    /// Show and change the circuits of optical switches, or imitate one.
    #[command(after_help = ocs::EXIT_CODES)]
    Ocs(ocs::Args),
    /// What this machine can do, what it cannot, and what to do about it.
    Doctor(doctor::Args),
    /// Print the script by which a shell completes `genie` commands.
    Completions(completions::Args),
    /// Print or write manual pages.
    Man(man::Args),
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
        Command::Show(args) => show::run(&args),
        Command::Astra(args) => astra::run(*args),
        Command::Diff(args) => diff::run(&args),
        Command::Report(args) => report::run(&args),
        Command::Gate(args) => gate::run(&args),
        Command::Tag(args) => tag::tag(&args),
        Command::Pin(args) => tag::pin(&args),
        Command::Prune(args) => prune::run(&args),
        Command::Export(args) => export::export(&args),
        Command::Import(args) => export::import(&args),
        Command::Clean(args) => clean::run(args),
        Command::Workload(args) => workload::run(args),
        Command::Ocs(args) => ocs::run(args),
        Command::Doctor(args) => doctor::run(&args),
        Command::Completions(args) => completions::run(&args),
        Command::Man(args) => man::run(&args),
        Command::Vm(args) => vm::run(args),
        Command::Rank(args) => rank::run(args),
    };
    code as u8
}

/// Exit code of a look into the store.
fn found(result: Result<(), StoreError>) -> i32 {
    match result {
        Ok(()) => exit::OK,
        Err(error) => refused(&error, &error.help()),
    }
}

/// Exit code of what needs no word when it was done.
fn told<T, E: std::error::Error>(result: Result<T, E>, help: fn(&E) -> &'static str) -> i32 {
    match result {
        Ok(_) => exit::OK,
        Err(error) => refused(&error, help(&error)),
    }
}

/// Says why something was not done, and what to do about it.
fn refused(error: &impl std::error::Error, help: &str) -> i32 {
    complain(&format!("{error}\nhelp: {help}"));
    exit::USAGE
}

/// The runs that selectors name, each once; at least one.
fn ids(store: &Store, selectors: &[String]) -> Result<Vec<RunId>, i32> {
    let mut ids = Vec::new();
    for text in selectors {
        let named = text.parse::<Selector>().map_err(StoreError::from);
        let named = named.and_then(|selector| store.ids_of(&selector));
        for id in named.map_err(|error| refused(&error, &error.help()))? {
            if !ids.contains(&id) {
                ids.push(id);
            }
        }
    }
    Ok(ids)
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
