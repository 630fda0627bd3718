//! `genie astra`: a drop-in for ASTRA-sim's analytical binaries: the same flags, the same lines on
//! stdout, the same cycles.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use clap::builder::BoolishValueParser;

use super::insight::{InsightArgs, Sinks};
use crate::report::astra as lines;
use crate::report::insight::explain;
use crate::testbed::exit;
use crate::testbed::model::insight::explain::Explanation;
use crate::testbed::model::{Backend, Inputs, Options, Outcome};

/// Events between two looks at the clock for `--progress`.
const STRIDE: u64 = 1 << 20;

/// Events between two writes of what was seen.
const WATCHED_STRIDE: u64 = 1 << 14;

/// Which of ASTRA-sim's two binaries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum BackendName {
    /// AstraSim_Analytical_Congestion_Unaware
    Unaware,
    /// AstraSim_Analytical_Congestion_Aware
    Aware,
}

/// Arguments of `genie astra`. What is given twice counts the second time, as with ASTRA-sim.
#[derive(Debug, clap::Args)]
#[command(args_override_self = true)]
pub struct Args {
    /// Prefix of the Chakra traces: `<prefix>.<rank>.et`.
    #[arg(long, value_name = "PREFIX", required_unless_present = "job_configuration")]
    workload_configuration: Option<PathBuf>,
    /// System file (JSON); with jobs, of those that have none of their own.
    #[arg(long, value_name = "FILE", required_unless_present = "job_configuration")]
    system_configuration: Option<PathBuf>,
    /// Network file (YAML).
    #[arg(long, value_name = "FILE")]
    network_configuration: PathBuf,
    /// Remote memory file (JSON); none: no remote memory.
    #[arg(long, value_name = "FILE")]
    remote_memory_configuration: Option<PathBuf>,
    /// Communicator groups (JSON); `empty`: none.
    #[arg(long, value_name = "FILE", default_value = "empty")]
    comm_group_configuration: PathBuf,
    /// Read by ASTRA-sim only.
    #[arg(long, value_name = "FILE", default_value = "empty")]
    logging_configuration: PathBuf,
    /// Read by ASTRA-sim only; genie writes no log files.
    #[arg(long, value_name = "DIR", default_value = "log")]
    logging_folder: PathBuf,
    /// Queues of each dimension.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = queues)]
    num_queues_per_dim: u32,
    /// Without effect, as in ASTRA-sim.
    #[arg(long, value_name = "X", default_value_t = 1.0)]
    compute_scale: f64,
    /// Without effect, as in ASTRA-sim.
    #[arg(long, value_name = "X", default_value_t = 1.0)]
    comm_scale: f64,
    /// Factor on the endpoint delay.
    #[arg(long, value_name = "X", default_value_t = 1.0)]
    injection_scale: f64,
    /// Receivers ask for each message first.
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_value = "false", default_missing_value = "true", value_parser = BoolishValueParser::new())]
    rendezvous_protocol: bool,
    /// Network model: which of ASTRA-sim's two binaries.
    #[arg(long, value_enum, default_value = "unaware")]
    backend: BackendName,
    /// Refuse what ASTRA-sim would do silently wrong or not at all, instead of warning.
    #[arg(long)]
    strict: bool,
    /// Several jobs on one network (JSON), each with its own traces and NPUs (genie's own).
    #[arg(
        long,
        value_name = "FILE",
        conflicts_with_all = ["workload_configuration", "strict", "explain", "records", "timeline"]
    )]
    job_configuration: Option<PathBuf>,
    /// NPUs that are not like the others (JSON): stragglers, other devices (genie's own).
    #[arg(long, value_name = "FILE", conflicts_with = "strict")]
    npu_configuration: Option<PathBuf>,
    /// Carry out collectives that ASTRA-sim refuses, and broadcasts with messages (genie's own).
    #[arg(long, conflicts_with = "strict")]
    extended: bool,
    /// Simulate every NPU, even where all do the same and one could stand for all; the answer is the same.
    #[arg(long)]
    no_symmetry: bool,
    /// Say now and then how far the simulation is, on stderr.
    #[arg(long)]
    progress: bool,
    /// One JSON object on stdout instead of ASTRA-sim's lines.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    insight: InsightArgs,
}

/// A number of queues, decimal or as `0x...`.
fn queues(text: &str) -> Result<u32, String> {
    let number = match text.strip_prefix("0x") {
        Some(digits) => u32::from_str_radix(digits, 16),
        None => text.parse(),
    };
    let number = number.ok().filter(|number| (1..=1024).contains(number));
    number.ok_or_else(|| "a whole number from 1 to 1024 is wanted".into())
}

/// Runs the simulation; 0 if every rank is through.
pub fn run(args: Args) -> i32 {
    match simulate(&args) {
        Ok(code) => code,
        Err(error) => {
            // What is wrong in configuration files says so itself.
            super::complain(error.strip_prefix("error: ").unwrap_or(&error));
            exit::USAGE
        }
    }
}

fn simulate(args: &Args) -> Result<i32, String> {
    let scale = args.injection_scale;
    if !(scale.is_finite() && scale >= 0.0) {
        return Err(format!(
            "--injection-scale {scale} is no factor\nhelp: give a number of 0 or more"
        ));
    }
    let mut inputs = Inputs::read(&options(args)).map_err(|error| error.to_string())?;
    inputs.cautions.extend(flags_without_effect(args));
    for caution in &inputs.cautions {
        super::print_error(&format!("warning: {caution}\n"));
    }
    if args.strict && !inputs.cautions.is_empty() {
        return Err("--strict: the warnings above are errors".into());
    }
    let (npus, cautions) = (inputs.npus, std::mem::take(&mut inputs.cautions));
    let (outcome, explanation) = play(inputs, args)?;
    if outcome.stalled_ranks > 0 {
        let what = format!(
            "{} ranks went on from a node without work while nothing else ran; ASTRA-sim would hang",
            outcome.stalled_ranks
        );
        super::print_error(&format!("warning: {what}\n"));
        if args.strict {
            return Err("--strict: the warnings above are errors".into());
        }
    }
    match args.json {
        true => super::print(&lines::json(npus, &outcome, &cautions, explanation.as_ref())),
        false => super::print(&lines::text(&outcome)),
    }
    if let Some(explanation) = explanation.filter(|_| !args.json) {
        super::print_error(&explain::text(&explanation));
    }
    if outcome.finished.len() == npus as usize {
        return Ok(exit::OK);
    }
    super::complain(&lines::stuck(npus, &outcome));
    Ok(exit::DEADLINE)
}

fn play(inputs: Inputs, args: &Args) -> Result<(Outcome, Option<Explanation>), String> {
    let Inputs {
        npus, mut simulation, ..
    } = inputs;
    let (start, mut said) = (Instant::now(), Instant::now());
    let mut sinks = Sinks::create(&args.insight, npus)?;
    let stride = match args.insight.watch() {
        Some(options) => {
            simulation.watch(options);
            WATCHED_STRIDE
        }
        None => STRIDE,
    };
    while simulation.run(stride).map_err(|error| error.to_string())? {
        sinks.take(&mut simulation)?;
        if args.progress && said.elapsed() > Duration::from_millis(500) {
            said = Instant::now();
            super::print_error(&lines::progress(
                npus,
                simulation.finished(),
                simulation.now(),
                simulation.events(),
                start.elapsed(),
            ));
        }
    }
    sinks.finish(&mut simulation)?;
    let explanation = args.insight.explain.then(|| simulation.explain()).flatten();
    Ok((simulation.outcome(), explanation))
}

fn options(args: &Args) -> Options {
    let groups = Some(args.comm_group_configuration.clone());
    Options {
        workload: args.workload_configuration.clone().unwrap_or_default(),
        jobs: args.job_configuration.clone(),
        npus: args.npu_configuration.clone(),
        system: args.system_configuration.clone(),
        network: args.network_configuration.clone(),
        memory: args.remote_memory_configuration.clone(),
        groups: groups.filter(|path| path.as_os_str() != "empty"),
        backend: match args.backend {
            BackendName::Unaware => Backend::Unaware,
            BackendName::Aware => Backend::Aware,
        },
        queues: args.num_queues_per_dim,
        injection_scale: args.injection_scale,
        rendezvous: args.rendezvous_protocol,
        extended: args.extended,
        symmetry: !args.no_symmetry,
    }
}

/// Flags that are given and change nothing.
fn flags_without_effect(args: &Args) -> Vec<String> {
    let groups = args.comm_group_configuration.to_string_lossy();
    let given = [
        (
            args.job_configuration.is_some() && groups != "empty",
            "--comm-group-configuration has no effect: each job has its own `comm-groups`",
        ),
        (
            args.compute_scale != 1.0,
            "--compute-scale has no effect (as in ASTRA-sim)",
        ),
        (
            args.comm_scale != 1.0,
            "--comm-scale has no effect (as in ASTRA-sim)",
        ),
        (
            args.logging_configuration.as_os_str() != "empty",
            "--logging-configuration has no effect: genie writes no log files",
        ),
        (
            groups != "empty" && groups.contains("empty"),
            "ASTRA-sim reads no comm groups from a path with `empty` in it; genie does",
        ),
        (
            args.remote_memory_configuration.is_none(),
            "ASTRA-sim wants --remote-memory-configuration; none is taken as NO_MEMORY_EXPANSION",
        ),
    ];
    let said = given.into_iter().filter(|(given, _)| *given);
    said.map(|(_, what)| what.to_owned()).collect()
}
