//! `genie run FILE`: plays a scenario, shows rows as they finish, stores the run.

use std::io::{self, Write};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use genie_emu::{journal, privilege};

use super::serve::Endpoint;

use crate::event::Event;
use crate::report::json;
use crate::report::live::{Live, Output};
use crate::report::metrics::Metrics;
use crate::report::progress::Said;
use crate::report::style::Style;
use crate::results::environment::Modules;
use crate::results::run::Repetition;
use crate::results::{Environment, Recorder, Run, RunId};
use crate::scenario::plan::{FabricKind, Plan};
use crate::scenario::{self, Diagnostics, Loaded};
use crate::testbed::fabric::{guest, soft_roce};
use crate::testbed::{capacity, congestion, controller, devices, exit};

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
    /// No progress bar: errors only on stderr.
    #[arg(long, short)]
    quiet: bool,
    /// A line on stderr for every stage and operation, wherever stderr leads.
    #[arg(long, short, conflicts_with = "quiet")]
    verbose: bool,
    /// Show every rank and the busiest links on the terminal while they are busy.
    #[arg(long, conflicts_with_all = ["quiet", "verbose"])]
    live: bool,
    /// Answer `GET /metrics` on this address while the run goes on, in OpenMetrics text (Prometheus).
    #[arg(long, value_name = "ADDRESS:PORT")]
    metrics: Option<SocketAddr>,
    /// Play it so many times, each a run of its own with fresh connections: what `genie diff` takes as
    /// samples.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1000))]
    repeat: u32,
    /// Hold the run against a baseline, as `genie gate` does.
    #[arg(long, value_name = "BASELINE")]
    gate: Option<String>,
}

/// Plays the scenario.
pub fn run(args: Args) -> i32 {
    let started = Instant::now();
    let loaded = match scenario::load(&args.file, &args.sets) {
        Ok(loaded) => loaded,
        Err(diagnostics) => return wrong(&diagnostics),
    };
    match scenario::planner::placement::study(&loaded) {
        Ok(Some(_)) if args.repeat != 1 || args.gate.is_some() => {
            super::complain(
                "a placement is computed, always with the same figures, and not stored: it takes neither --repeat nor --gate",
            );
            return exit::USAGE;
        }
        Ok(Some(study)) => return super::placement::run(&loaded, study, args.json),
        Ok(None) => {}
        Err(diagnostics) => return wrong(&diagnostics),
    }
    let mut plan = match plan(&loaded) {
        Ok(plan) => plan,
        Err(code) => return code,
    };
    if let Err(error) = devices::settle(&plan) {
        super::complain(&error.to_string());
        return exit::USAGE;
    }
    if plan.testbed.fabric == FabricKind::SoftRoce
        && let Some(obstacle) = soft_roce::obstacle(&plan)
    {
        return elsewhere(&args, &plan, &obstacle);
    }
    if let Some(guest) = guest::inside() {
        plan.cautions.push(format!(
            "played in a small virtual machine ({guest}): right or wrong is as on hardware, times are not"
        ));
    }
    if let Some(lossy) = plan.network.links.iter().find(|link| !link.loss.is_zero())
        && !genie_emu::capability::probe().netem
    {
        super::complain(&genie_emu::FabricError::NoLoss(lossy.name.clone()).to_string());
        return exit::USAGE;
    }
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
    // Not before the privileges: the kernel refuses them to a process with threads.
    let endpoint = match args.metrics.map(Endpoint::open).transpose() {
        Ok(endpoint) => endpoint,
        Err(error) => {
            super::complain(&format!(
                "cannot listen for --metrics: {error}\nhelp: another port, or port 0 for any that is free"
            ));
            return exit::USAGE;
        }
    };
    if let Some(endpoint) = endpoint.as_ref().filter(|_| !args.quiet) {
        super::print_error(&format!("metrics at http://{}/metrics\n", endpoint.address()));
    }
    let mut stage = Stage {
        args: &args,
        endpoint: endpoint.as_ref(),
        modules: Modules::default(),
    };
    // What a killed run has left is undone now; what cannot be is no reason not to run.
    let left = journal::clean_dead().map_or_else(|e| vec![e.to_string()], |report| report.failed);
    let plan = Arc::new(plan);
    let code = match args.repeat {
        1 => play(&mut stage, &plan, None, started, &left, &mut io::stdout()),
        _ => repeat(&mut stage, &plan, &left),
    };
    match code {
        Played {
            code: exit::OK,
            id,
            stored,
        } => gate(&args, &id, stored),
        Played { code, .. } => code,
    }
}

/// Plays the same command in a guest whose kernel has soft-RoCE.
fn elsewhere(args: &Args, plan: &Plan, obstacle: &str) -> i32 {
    if let Some(guest) = guest::inside() {
        super::complain(&format!("no soft-RoCE in the guest ({guest}): {obstacle}"));
        return exit::FABRIC;
    }
    if let Err(error) = devices::settle_guest(plan) {
        super::complain(&error.to_string());
        return exit::USAGE;
    }
    let quiet = args.json || args.quiet;
    if !quiet {
        super::print_error(&format!("# soft-RoCE is played in a guest: {obstacle}\n"));
    }
    super::vm::same_command(args.results.clone(), quiet)
}

/// How runs are played and who looks on.
struct Stage<'a> {
    args: &'a Args,
    endpoint: Option<&'a Endpoint>,
    /// In network cards: read by the first of repetitions.
    modules: Modules,
}

/// What became of a run.
struct Played {
    code: i32,
    /// Its id; of repetitions, the first's, which names them all.
    id: RunId,
    stored: bool,
}

/// Plays it several times; ends with the first that does not complete.
fn repeat(stage: &mut Stage<'_>, plan: &Arc<Plan>, left: &[String]) -> Played {
    let args = stage.args;
    let (mut first, mut objects) = (None::<Played>, Vec::new());
    for number in 1..=args.repeat {
        let place = (first.as_ref().map(|first| first.id.clone()), number);
        let mut object = Vec::new();
        let played = match args.json {
            true => play(stage, plan, Some(place), Instant::now(), left, &mut object),
            false => play(stage, plan, Some(place), Instant::now(), left, &mut io::stdout()),
        };
        objects.push(String::from_utf8_lossy(&object).into_owned());
        let code = played.code;
        let stored = played.stored;
        let first = first.get_or_insert(played);
        (first.code, first.stored) = (code, first.stored && stored);
        if code != exit::OK {
            break;
        }
    }
    let played = first.expect("there is at least one repetition");
    match args.json {
        true => super::print(&json::repetitions(&played.id, &objects)),
        false => super::print(&format!(
            "# {} of {} repetitions; `genie diff {} ...` takes them as samples\n",
            objects.len(),
            args.repeat,
            played.id.short()
        )),
    }
    played
}

/// Plays it once, as a repetition of the run that is given, if one is.
fn play(
    stage: &mut Stage<'_>,
    plan: &Arc<Plan>,
    repetition: Option<(Option<RunId>, u32)>,
    started: Instant,
    left: &[String],
    out: &mut dyn Write,
) -> Played {
    let args = stage.args;
    let id = RunId::now();
    let mut stored = Run::new(
        id.clone(),
        Plan::clone(plan),
        Environment::capture(&mut stage.modules),
    );
    stored.manifest.repetition = repetition.map(|(group, number)| Repetition {
        group: group.unwrap_or_else(|| id.clone()),
        number,
        of: args.repeat,
    });
    let mut recorder = Recorder::start(&args.results, stored);
    let output = if args.json {
        Output::Json
    } else {
        Output::Table(Style::of_stdout())
    };
    let mut live = Live::new(out, recorder.run(), output, said(args));
    let mut metrics = Metrics::default();
    let mut emit = |event: Event| {
        recorder.record(&event);
        live.event(&recorder, &event);
        if let Some(endpoint) = stage.endpoint {
            metrics.event(&event);
            endpoint.show(metrics.text(recorder.run()));
        }
    };
    for text in left {
        emit(Event::Caution {
            text: format!("an earlier run was not cleaned up whole: {text}"),
        });
    }
    let watched = args.live || stage.endpoint.is_some();
    let outcome = controller::run(plan, id.as_str(), started, watched, &mut emit);
    if let (Some(reason), true) = (&outcome.reason, outcome.exit_code != exit::OK) {
        super::complain(reason);
    }
    Played {
        code: outcome.exit_code,
        id,
        stored: recorder.stored().is_some(),
    }
}

/// What goes to stderr.
fn said(args: &Args) -> Said {
    match () {
        () if args.quiet => Said::Nothing,
        () if args.verbose => Said::Stages,
        () if args.live => Said::Live,
        () if args.json => Said::Nothing,
        () => Said::Bar,
    }
}

/// Judges a completed run, if that is asked for.
fn gate(args: &Args, id: &RunId, stored: bool) -> i32 {
    match &args.gate {
        None => exit::OK,
        Some(baseline) if stored => super::gate::of_run(&args.results, id.as_str(), baseline),
        Some(_) => {
            super::complain("the run cannot be held against a baseline: it is not fully stored");
            exit::MISSING_DATA
        }
    }
}

fn plan(loaded: &Loaded) -> Result<Plan, i32> {
    scenario::planner::build(loaded).map_err(|diagnostics| wrong(&diagnostics))
}

fn wrong(diagnostics: &Diagnostics) -> i32 {
    super::check::complain(diagnostics);
    exit::USAGE
}
