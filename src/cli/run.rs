//! `genie run FILE`: plays a scenario, shows rows as they finish, stores the run.

use std::path::PathBuf;
use std::time::Instant;

use genie_emu::{journal, privilege};

use crate::event::Event;
use crate::report::live::{Live, Output};
use crate::report::style::Style;
use crate::results::{Environment, Recorder, Run, RunId};
use crate::scenario;
use crate::scenario::plan::{FabricKind, Plan};
use crate::testbed::{capacity, congestion, controller, exit};

/// Arguments of `genie run`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Scenario file.
    file: PathBuf,
    /// Override a value of the scenario: `--set topology.star.hosts=8`.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    sets: Vec<String>,
    /// One JSON object on stdout, nothing else there; no progress bar.
    #[arg(long)]
    json: bool,
    /// Where runs are stored.
    #[arg(long, value_name = "DIR", default_value = "results")]
    results: PathBuf,
    /// No progress bar.
    #[arg(long, short)]
    quiet: bool,
}

/// Plays the scenario.
pub fn run(args: Args) -> i32 {
    let started = Instant::now();
    let mut plan = match plan(&args) {
        Ok(plan) => plan,
        Err(code) => return code,
    };
    if let Err(error) = congestion::settle(&mut plan) {
        super::complain(&error.to_string());
        return exit::USAGE;
    }
    if let Err(error) = capacity::settle(&plan) {
        super::complain(&error.to_string());
        return exit::USAGE;
    }
    if plan.testbed.fabric == FabricKind::Emulated
        && let Err(error) = privilege::ensure()
    {
        super::complain(&format!(
            "{error}\nhelp: without privileges, `fabric = \"host\"` plays over loopback: genie run scenarios/hello.toml"
        ));
        return exit::USAGE;
    }
    // What a killed run has left is undone now; what cannot be is no reason not to run.
    let left = journal::clean_dead().map_or_else(|e| vec![e.to_string()], |report| report.failed);
    let id = RunId::now();
    let stored = Run::new(id.clone(), plan.clone(), Environment::capture());
    let mut recorder = Recorder::start(&args.results, stored);
    let output = if args.json {
        Output::Json
    } else {
        Output::Table(Style::of_stdout())
    };
    let mut live = Live::stdout(recorder.run(), output, args.quiet);
    let mut emit = |event: Event| {
        recorder.record(&event);
        live.event(&recorder, &event);
    };
    for text in left {
        emit(Event::Caution {
            text: format!("an earlier run was not cleaned up whole: {text}"),
        });
    }
    let outcome = controller::run(&plan, id.as_str(), started, &mut emit);
    if let (Some(reason), true) = (&outcome.reason, outcome.exit_code != exit::OK) {
        super::complain(reason);
    }
    outcome.exit_code
}

fn plan(args: &Args) -> Result<Plan, i32> {
    let plan = scenario::load(&args.file, &args.sets).and_then(|loaded| scenario::planner::build(&loaded));
    plan.map_err(|diagnostics| {
        super::check::complain(&diagnostics);
        exit::USAGE
    })
}
