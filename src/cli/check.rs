//! `genie check FILE...`: checks scenarios without starting anything.

use std::io::IsTerminal;
use std::path::PathBuf;

use serde::Serialize;

use crate::scenario::diagnostic::Diagnostics;
use crate::scenario::plan::Plan;
use crate::scenario::{self, planner};

/// Arguments of `genie check`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Scenario files.
    #[arg(required = true)]
    files: Vec<PathBuf>,
    /// Override a value in each of them: `--set topology.star.hosts=8`.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    sets: Vec<String>,
    /// One JSON object on stdout.
    #[arg(long)]
    json: bool,
}

/// What was found of one file.
#[derive(Debug, Serialize)]
struct Checked {
    file: String,
    ok: bool,
    errors: Option<Diagnostics>,
}

/// Prints `ok` or what is wrong for each file; 0 if all are right, else 2.
pub fn run(args: Args) -> i32 {
    let results: Vec<(String, Result<Option<Plan>, Diagnostics>)> = args
        .files
        .iter()
        .map(|file| (file.display().to_string(), check(file, &args.sets)))
        .collect();
    let code = if results.iter().all(|(_, result)| result.is_ok()) {
        0
    } else {
        2
    };
    match args.json {
        true => print_json(results),
        false => results.iter().for_each(|(file, result)| print(file, result)),
    }
    code
}

fn check(file: &std::path::Path, sets: &[String]) -> Result<Option<Plan>, Diagnostics> {
    let loaded = scenario::load(file, sets)?;
    match planner::placement::study(&loaded)? {
        Some(_) => Ok(None),
        None => planner::build(&loaded).map(Some),
    }
}

fn print_json(results: Vec<(String, Result<Option<Plan>, Diagnostics>)>) {
    let checked = results.into_iter().map(|(file, result)| Checked {
        file,
        ok: result.is_ok(),
        errors: result.err(),
    });
    let files: Vec<Checked> = checked.collect();
    let text = serde_json::to_string_pretty(&serde_json::json!({ "files": files }));
    super::print(&(text.expect("diagnostics are plain JSON") + "\n"));
}

fn print(file: &str, result: &Result<Option<Plan>, Diagnostics>) {
    match result {
        Ok(None) => super::print(&format!("ok  {file}: jobs are placed in virtual time\n")),
        Ok(Some(plan)) => super::print(&format!("ok  {file}: {}\n", super::plan::headline(plan))),
        Err(diagnostics) => complain(diagnostics),
    }
}

/// Prints what is wrong on standard error, coloured if that is a terminal and `NO_COLOR` is not set.
pub fn complain(diagnostics: &Diagnostics) {
    let set = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
    let colour = std::io::stderr().is_terminal() && !set("NO_COLOR") && !dumb;
    super::print_error(&(diagnostics.render(colour) + "\n"));
}
