//! `genie workload generate`: flags to a [`Job`], its traces to files, what they amount to on stdout.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use clap::ValueEnum;
use comfy_table::{CellAlignment, Table, presets};

use crate::results::durable::Output;
use crate::scenario::suggest;
use crate::scenario::units::{Bytes, Duration};
use crate::testbed::exit;
use crate::workload::generate::device::{DEVICES, Device, Dtype};
use crate::workload::generate::emit::Emitter;
use crate::workload::generate::graph::CommOrder;
use crate::workload::generate::job::{Job, Recompute, Zero};
use crate::workload::generate::model::{self, Model, Moe};
use crate::workload::generate::parallel::Layout;
use crate::workload::generate::schedule::Schedule;
use crate::workload::generate::step;
use crate::workload::generate::summary::StageSummary;

/// Arguments of `genie workload generate`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Model: llama3-8b, llama3-70b, mixtral-8x7b, deepseek-moe-16b, gpt3-175b, or `custom` with
    /// --layers, --hidden and --heads.
    #[arg(long)]
    model: String,
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
    layout: LayoutArgs,
    #[command(flatten)]
    step: StepArgs,
    #[command(flatten)]
    time: TimeArgs,
    #[command(flatten)]
    shape: ShapeArgs,
}

#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Parallelism")]
struct LayoutArgs {
    /// Tensor-parallel ranks.
    #[arg(long, default_value_t = 1, value_name = "N")]
    tp: u32,
    /// Context-parallel ranks.
    #[arg(long, default_value_t = 1, value_name = "N")]
    cp: u32,
    /// Pipeline stages.
    #[arg(long, default_value_t = 1, value_name = "N")]
    pp: u32,
    /// Expert-parallel ranks, out of context times data parallelism.
    #[arg(long, default_value_t = 1, value_name = "N")]
    ep: u32,
    /// What data-parallel ranks share: 0 nothing, 1 optimizer states, 2 and gradients, 3 and
    /// parameters (FSDP).
    #[arg(long, default_value_t = 0, value_name = "STAGE", value_parser = clap::value_parser!(u8).range(0..=3))]
    zero: u8,
    /// Every tensor-parallel rank has whole activations between blocks.
    #[arg(long)]
    no_sequence_parallel: bool,
    /// Order of micro-batches in a pipeline.
    #[arg(long, value_enum, default_value = "1f1b")]
    schedule: ScheduleName,
    /// Chunks of each pipeline stage; above 1 the schedule is interleaved.
    #[arg(long, default_value_t = 1, value_name = "N")]
    virtual_stages: u32,
}

#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Step")]
struct StepArgs {
    /// Micro-batches of a step on each data-parallel rank.
    #[arg(long, default_value_t = 1, value_name = "N")]
    micro_batches: u32,
    /// Sequences of a micro-batch.
    #[arg(long, default_value_t = 1, value_name = "N")]
    micro_batch: u64,
    /// Tokens of a sequence; the model's own if left out.
    #[arg(long, value_name = "N")]
    sequence: Option<u64>,
    /// What is computed again in the backward pass.
    #[arg(long, value_enum, default_value = "selective")]
    recompute: RecomputeName,
    /// Count only the half of attention that a causal mask leaves.
    #[arg(long)]
    causal: bool,
    /// Format in which gradients are reduced.
    #[arg(long, value_enum, default_value = "fp32")]
    gradients: GradientName,
    /// Gradients are reduced together until they are so many bytes.
    #[arg(long, default_value = "25 MiB", value_name = "BYTES")]
    bucket: Bytes,
    /// `one`: all communication of a rank in one order, which a single slot for communication, as
    /// ASTRA-sim's, cannot lock. `group`: one order for each group, as streams of a GPU.
    #[arg(long, value_enum, default_value = "one")]
    comm_order: OrderName,
    /// Training steps.
    #[arg(long, default_value_t = 1, value_name = "N")]
    steps: u32,
}

#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Time")]
struct TimeArgs {
    /// Device: a100, h100, h200, tpu-v4 or tpu-v5p.
    #[arg(long, default_value = "h100")]
    device: String,
    /// Format of products.
    #[arg(long, value_enum, default_value = "bf16")]
    dtype: DtypeName,
    /// Reached part of the peak flop/s.
    #[arg(long, default_value_t = 0.6, value_name = "PART")]
    compute_efficiency: f64,
    /// Reached part of the memory's bandwidth.
    #[arg(long, default_value_t = 0.8, value_name = "PART")]
    memory_efficiency: f64,
    /// Measured forward time of the last layer on one rank, for example "1.2 ms": scales all times.
    #[arg(long, value_name = "DURATION")]
    layer_time: Option<Duration>,
}

#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Shape (of a custom model, or in place of the named model's)")]
struct ShapeArgs {
    /// Layers.
    #[arg(long, value_name = "N")]
    layers: Option<u32>,
    /// Width of the residual stream.
    #[arg(long, value_name = "N")]
    hidden: Option<u64>,
    /// Query heads.
    #[arg(long, value_name = "N")]
    heads: Option<u64>,
    /// Key and value heads.
    #[arg(long, value_name = "N")]
    kv_heads: Option<u64>,
    /// Width of a head.
    #[arg(long, value_name = "N")]
    head_dim: Option<u64>,
    /// Width of the feed-forward block.
    #[arg(long, value_name = "N")]
    ffn: Option<u64>,
    /// Three matrices in the feed-forward block (SwiGLU) in place of two.
    #[arg(long)]
    gated: bool,
    /// Tokens of the vocabulary.
    #[arg(long, value_name = "N")]
    vocab: Option<u64>,
    /// Routed experts of every layer but the first ones that the model has without.
    #[arg(long, value_name = "N")]
    experts: Option<u64>,
    /// Experts that a token goes to.
    #[arg(long, value_name = "N")]
    top_k: Option<u64>,
    /// Width of an expert.
    #[arg(long, value_name = "N")]
    expert_ffn: Option<u64>,
    /// Experts that every token goes to.
    #[arg(long, value_name = "N")]
    shared_experts: Option<u64>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum ScheduleName {
    Gpipe,
    #[value(name = "1f1b")]
    OneForwardOneBackward,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum RecomputeName {
    None,
    Selective,
    Full,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum GradientName {
    Bf16,
    Fp32,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum OrderName {
    One,
    Group,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum DtypeName {
    Bf16,
    Fp8,
    Tf32,
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

fn refuse(message: impl Into<String>, help: Option<String>) -> Refused {
    Refused {
        message: message.into(),
        help,
        code: exit::USAGE,
    }
}

fn job(args: &Args) -> Result<Job, Refused> {
    let names = DEVICES.map(|device| device.name);
    let device = Device::named(&args.time.device).ok_or_else(|| {
        let message = format!("no device is called `{}`", args.time.device);
        refuse(message, suggest::help(&args.time.device, "devices are", &names))
    })?;
    let job = Job {
        model: shape(args)?,
        layout: layout(args)?,
        zero: [Zero::Off, Zero::Optimizer, Zero::Gradients, Zero::Parameters][usize::from(args.layout.zero)],
        sequence_parallel: !args.layout.no_sequence_parallel,
        schedule: match args.layout.schedule {
            ScheduleName::Gpipe => Schedule::GPipe,
            ScheduleName::OneForwardOneBackward => Schedule::OneForwardOneBackward,
        },
        chunks: args.layout.virtual_stages,
        micro_batches: args.step.micro_batches,
        micro_batch: args.step.micro_batch,
        recompute: match args.step.recompute {
            RecomputeName::None => Recompute::None,
            RecomputeName::Selective => Recompute::Selective,
            RecomputeName::Full => Recompute::Full,
        },
        causal: args.step.causal,
        device,
        dtype: match args.time.dtype {
            DtypeName::Bf16 => Dtype::Bf16,
            DtypeName::Fp8 => Dtype::Fp8,
            DtypeName::Tf32 => Dtype::Tf32,
        },
        compute_efficiency: args.time.compute_efficiency,
        memory_efficiency: args.time.memory_efficiency,
        layer_ns: args.time.layer_time.map(|time| time.0),
        gradient_bytes: match args.step.gradients {
            GradientName::Bf16 => 2,
            GradientName::Fp32 => 4,
        },
        bucket_bytes: args.step.bucket.0,
        order: match args.step.comm_order {
            OrderName::One => CommOrder::One,
            OrderName::Group => CommOrder::Group,
        },
        steps: args.step.steps,
    };
    match job.check() {
        Ok(()) => Ok(job),
        Err(wrong) => Err(refuse(wrong.to_string(), Some(wrong.help().into()))),
    }
}

fn layout(args: &Args) -> Result<Layout, Refused> {
    let LayoutArgs { tp, cp, pp, ep, .. } = args.layout;
    Layout::among(args.ranks, [tp, cp, pp, ep]).map_err(|wrong| {
        let help = "--ranks is a multiple of their product".into();
        refuse(wrong.to_string(), Some(help))
    })
}

fn shape(args: &Args) -> Result<Model, Refused> {
    let given = &args.shape;
    let mut model = match args.model.as_str() {
        "custom" => custom(given)?,
        name => Model::named(name).ok_or_else(|| {
            let names: Vec<&str> = model::NAMES.into_iter().chain(["custom"]).collect();
            refuse(
                format!("no model is called `{name}`"),
                suggest::help(name, "models are", &names),
            )
        })?,
    };
    model.layers = given.layers.unwrap_or(model.layers);
    model.hidden = given.hidden.unwrap_or(model.hidden);
    model.heads = given.heads.unwrap_or(model.heads);
    model.kv_heads = given.kv_heads.unwrap_or(model.kv_heads.min(model.heads));
    if given.hidden.is_some() || given.heads.is_some() {
        model.head_dim = model.hidden / model.heads.max(1);
    }
    model.head_dim = given.head_dim.unwrap_or(model.head_dim);
    model.ffn = given.ffn.unwrap_or(model.ffn);
    model.gated |= given.gated;
    model.vocab = given.vocab.unwrap_or(model.vocab);
    model.sequence = args.step.sequence.unwrap_or(model.sequence);
    model.moe = experts(given, &model)?;
    Ok(model)
}

fn custom(given: &ShapeArgs) -> Result<Model, Refused> {
    let (Some(layers), Some(hidden), Some(heads)) = (given.layers, given.hidden, given.heads) else {
        let help = "for example --layers 24 --hidden 2048 --heads 16".into();
        return Err(refuse(
            "a custom model needs --layers, --hidden and --heads",
            Some(help),
        ));
    };
    Ok(Model {
        name: "custom".into(),
        layers,
        hidden,
        heads,
        kv_heads: heads,
        head_dim: 0,
        ffn: hidden.saturating_mul(4),
        gated: false,
        vocab: 32_000,
        tied: false,
        positions: 0,
        biases: false,
        sequence: 2048,
        moe: None,
    })
}

fn experts(given: &ShapeArgs, model: &Model) -> Result<Option<Moe>, Refused> {
    let some = [given.experts, given.top_k, given.expert_ffn, given.shared_experts];
    let base = match (model.moe, given.experts) {
        (Some(moe), _) => moe,
        (None, Some(experts)) => Moe {
            experts,
            top_k: 2,
            ffn: model.ffn,
            shared: 0,
            dense_layers: 0,
        },
        (None, None) if some.iter().any(Option::is_some) => {
            let help = Some("give --experts too".into());
            return Err(refuse(format!("{} has no experts", model.name), help));
        }
        (None, None) => return Ok(None),
    };
    Ok(Some(Moe {
        experts: given.experts.unwrap_or(base.experts),
        top_k: given.top_k.unwrap_or(base.top_k),
        ffn: given.expert_ffn.unwrap_or(base.ffn),
        shared: given.shared_experts.unwrap_or(base.shared),
        dense_layers: base.dense_layers,
    }))
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
