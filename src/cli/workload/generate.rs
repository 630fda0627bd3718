//! `genie workload generate`: flags to a [`Job`], its traces to files, what they amount to on stdout.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use comfy_table::{CellAlignment, Table, presets};

use crate::results::durable::Output;
use crate::testbed::exit;
use crate::workload::generate::emit::Emitter;
use crate::workload::generate::job::Job;
use crate::workload::generate::parallel::Layout;
use crate::workload::generate::spec::Spec;
use crate::workload::generate::step;
use crate::workload::generate::summary::StageSummary;

/// Arguments of `genie workload generate`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Ranks in all; those that no other parallelism takes are data-parallel.
    #[arg(long)]
    ranks: u32,
    /// Traces are PREFIX.0.et, PREFIX.1.et, ...; groups go to PREFIX.groups.json.
    #[arg(long, short, value_name = "PREFIX", required_unless_present = "dry_run")]
    output: Option<PathBuf>,
    /// Print what the traces would amount to, and write nothing.
    #[arg(long)]
    dry_run: bool,
    /// One JSON object on stdout.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    spec: Spec,
}

/// Why nothing was generated.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
struct Refused {
    message: String,
    help: Option<String>,
    code: i32,
}

/// What was written.
#[derive(Debug, Default, serde::Serialize)]
struct Written {
    traces: u32,
    bytes: u64,
    prefix: Option<PathBuf>,
    comm_groups: Option<PathBuf>,
}

/// Writes the traces and says what they amount to; 0, 2 if the job is impossible, 1 if a file cannot be
/// written.
pub fn run(args: &Args) -> i32 {
    match job(args).and_then(|job| generate(args, &job)) {
        Ok(text) => {
            super::super::print(&text);
            exit::OK
        }
        Err(refused) => {
            let help = refused.help.as_ref().map(|help| format!("\nhelp: {help}"));
            super::super::complain(&format!("{refused}{}", help.unwrap_or_default()));
            refused.code
        }
    }
}

fn job(args: &Args) -> Result<Job, Refused> {
    args.spec.job(args.ranks).map_err(|wrong| Refused {
        message: wrong.message,
        help: Some(wrong.help).filter(|help| !help.is_empty()),
        code: exit::USAGE,
    })
}

/// One stage's graph is held at a time; traces are streamed rank by rank.
fn generate(args: &Args, job: &Job) -> Result<String, Refused> {
    let emitter = Emitter::new(job);
    let mut summaries = Vec::new();
    let mut written = Written::default();
    for stage in 0..job.layout.pp {
        let ops = step::stage(job, stage);
        summaries.push(StageSummary::of(job, stage, &ops));
        let Some(prefix) = args.output.as_deref().filter(|_| !args.dry_run) else {
            continue;
        };
        let size = job.layout.stage_ranks();
        for rank in stage * size..(stage + 1) * size {
            written.bytes += file(prefix, &format!(".{rank}.et"), |out| {
                emitter.write(rank, &ops, out).map(drop)
            })?;
            written.traces += 1;
        }
    }
    if let Some(prefix) = args.output.as_deref().filter(|_| !args.dry_run) {
        written.prefix = Some(prefix.into());
        written.comm_groups = groups(prefix, &emitter)?;
    }
    Ok(match args.json {
        true => json(job, &summaries, &written),
        false => text(job, &summaries, &written),
    })
}

/// The file of groups, unless all communication is among all ranks.
fn groups(prefix: &Path, emitter: &Emitter<'_>) -> Result<Option<PathBuf>, Refused> {
    let groups = emitter.ids().to_groups();
    if groups.groups.is_empty() {
        return Ok(None);
    }
    let suffix = ".groups.json";
    file(prefix, suffix, |out| {
        io::Write::write_all(out, groups.to_json().as_bytes())
    })?;
    Ok(Some(with_suffix(prefix, suffix)))
}

fn with_suffix(prefix: &Path, suffix: &str) -> PathBuf {
    let mut name = prefix.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

/// Makes a file and its folder; gives its size in bytes.
fn file(
    prefix: &Path,
    suffix: &str,
    write: impl FnOnce(&mut Output) -> io::Result<()>,
) -> Result<u64, Refused> {
    let path = with_suffix(prefix, suffix);
    let made = || -> io::Result<u64> {
        if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            fs::create_dir_all(folder)?;
        }
        let mut out = Output::create(&path)?;
        write(&mut out)?;
        out.finish()?;
        Ok(fs::metadata(&path)?.len())
    };
    made().map_err(|error| Refused {
        message: format!("cannot write {}: {error}", path.display()),
        help: None,
        code: exit::INTERNAL,
    })
}

fn json(job: &Job, stages: &[StageSummary], written: &Written) -> String {
    let Layout { tp, cp, dp, pp, ep } = job.layout;
    let value = serde_json::json!({
        "model": job.model.name,
        "parameters": job.model.params(),
        "device": job.device.name,
        "layout": { "ranks": job.layout.ranks(), "tp": tp, "cp": cp, "dp": dp, "pp": pp, "ep": ep },
        "stages": stages,
        "written": written,
    });
    serde_json::to_string_pretty(&value).expect("a value is plain JSON") + "\n"
}

fn text(job: &Job, stages: &[StageSummary], written: &Written) -> String {
    let Layout { tp, cp, dp, pp, ep } = job.layout;
    let mut text = format!(
        "{} on {} {}: tp {tp}, cp {cp}, dp {dp}, pp {pp}, ep {ep}\n",
        job.model,
        job.layout.ranks(),
        job.device.name,
    );
    text += &format!(
        "{} x {} sequences of {} tokens on each data-parallel rank; times are modelled ({})\n\n",
        job.micro_batches, job.micro_batch, job.model.sequence, job.device.source,
    );
    text += &format!("{}\n\n{}\n", stage_table(stages), collective_table(stages));
    for stage in stages
        .iter()
        .filter(|stage| stage.memory_bytes > job.device.memory_bytes)
    {
        text += &format!(
            "caution: a rank of stage {} needs about {} GB, but a {} has {} GB\n",
            stage.stage,
            stage.memory_bytes / 1_000_000_000,
            job.device.name,
            job.device.memory_bytes / 1_000_000_000,
        );
    }
    if let Some(prefix) = &written.prefix {
        let Written { traces, bytes, .. } = written;
        text += &format!(
            "\nwrote {traces} traces, {bytes} bytes: {}.0.et and on\n",
            prefix.display()
        );
    }
    if let Some(groups) = &written.comm_groups {
        text += &format!("groups: {}\n", groups.display());
    }
    text
}

fn stage_table(stages: &[StageSummary]) -> Table {
    let mut table = table(&["stage", "nodes", "parameters", "Tflop", "compute", "memory"]);
    for stage in stages {
        table.add_row([
            stage.stage.to_string(),
            stage.nodes.to_string(),
            format!("{:.3} B", stage.parameters as f64 / 1e9),
            format!("{:.2}", stage.flops as f64 / 1e12),
            format!("{:.3} ms", stage.compute_ns as f64 / 1e6),
            format!("{:.1} GB", stage.memory_bytes as f64 / 1e9),
        ]);
    }
    right(table)
}

/// What a rank of each stage moves, in ASTRA-sim's convention of sizes.
fn collective_table(stages: &[StageSummary]) -> Table {
    let mut table = table(&["stage", "per rank", "MB"]);
    let row = |stage: u32, what: &str, bytes: u64| {
        [
            stage.to_string(),
            what.to_owned(),
            format!("{:.3}", bytes as f64 / 1e6),
        ]
    };
    for stage in stages {
        for (what, bytes) in &stage.collective_bytes {
            table.add_row(row(stage.stage, what, *bytes));
        }
        if stage.sent_bytes > 0 {
            table.add_row(row(stage.stage, "sent", stage.sent_bytes));
        }
    }
    right(table)
}

fn table(header: &[&str]) -> Table {
    let mut table = Table::new();
    table
        .load_style(presets::NOTHING)
        .set_header(header.iter().copied());
    table
}

fn right(mut table: Table) -> Table {
    for column in table.column_iter_mut() {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
}
