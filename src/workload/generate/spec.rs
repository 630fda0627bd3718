//! A job as people write it, in a scenario or as flags of `genie workload generate`: names and numbers
//! with defaults, and the [`Job`] that they mean. Each key and flag stands here, once.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::device::{DEVICES, Device, Dtype};
use super::graph::CommOrder;
use super::job::{Job, Recompute, Zero};
use super::model::{self, Model, Moe};
use super::parallel::Layout;
use super::schedule::Schedule;
use crate::scenario::suggest;
use crate::scenario::units::{Bytes, Duration};

/// A training step to be generated; the same traces on every machine.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema, clap::Args)]
#[serde(deny_unknown_fields)]
pub struct Spec {
    /// Model: llama3-8b, llama3-70b, mixtral-8x7b, deepseek-moe-16b, gpt3-175b, or `custom` with
    /// layers, hidden and heads.
    #[arg(long)]
    pub model: String,

    /// Tensor-parallel ranks. Ranks that no other parallelism takes are data-parallel.
    #[serde(default = "one")]
    #[arg(long, help_heading = PARALLELISM, default_value_t = one(), value_name = "N")]
    pub tp: u32,
    /// Context-parallel ranks.
    #[serde(default = "one")]
    #[arg(long, help_heading = PARALLELISM, default_value_t = one(), value_name = "N")]
    pub cp: u32,
    /// Pipeline stages.
    #[serde(default = "one")]
    #[arg(long, help_heading = PARALLELISM, default_value_t = one(), value_name = "N")]
    pub pp: u32,
    /// Expert-parallel ranks, out of context times data parallelism.
    #[serde(default = "one")]
    #[arg(long, help_heading = PARALLELISM, default_value_t = one(), value_name = "N")]
    pub ep: u32,
    /// What data-parallel ranks share: 0 nothing, 1 optimizer states, 2 and gradients, 3 and
    /// parameters (FSDP).
    #[serde(default)]
    #[arg(long, help_heading = PARALLELISM, default_value_t = 0, value_name = "STAGE")]
    pub zero: u8,
    /// Tensor-parallel ranks share activations between blocks as well; without, every one has them whole.
    #[serde(default = "yes")]
    #[arg(long = "no-sequence-parallel", help_heading = PARALLELISM, action = clap::ArgAction::SetFalse,
        help = "Every tensor-parallel rank has whole activations between blocks")]
    pub sequence_parallel: bool,
    /// Order of micro-batches in a pipeline.
    #[serde(default = "schedule")]
    #[arg(long, help_heading = PARALLELISM, value_enum, default_value = "1f1b")]
    pub schedule: Schedule,
    /// Chunks of each pipeline stage; above 1 the schedule is interleaved.
    #[serde(default = "one")]
    #[arg(long, help_heading = PARALLELISM, default_value_t = one(), value_name = "N")]
    pub virtual_stages: u32,

    /// Micro-batches of a step on each data-parallel rank.
    #[serde(default = "one")]
    #[arg(long, help_heading = STEP, default_value_t = one(), value_name = "N")]
    pub micro_batches: u32,
    /// Sequences of a micro-batch.
    #[serde(default = "one")]
    #[arg(long, help_heading = STEP, default_value_t = one(), value_name = "N")]
    pub micro_batch: u32,
    /// Tokens of a sequence, in place of the model's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[arg(long, help_heading = STEP, value_name = "N")]
    pub sequence: Option<u64>,
    /// What is computed again in the backward pass.
    #[serde(default = "recompute")]
    #[arg(long, help_heading = STEP, value_enum, default_value = "selective")]
    pub recompute: Recompute,
    /// Count only the half of attention that a causal mask leaves.
    #[serde(default)]
    #[arg(long, help_heading = STEP)]
    pub causal: bool,
    /// Bytes of a gradient when it is reduced: 2 or 4.
    #[serde(default = "gradient_bytes")]
    #[arg(long = "gradients", help_heading = STEP, default_value = "fp32", value_name = "FORMAT",
        help = "Format in which gradients are reduced: bf16 or fp32", value_parser = gradient_format)]
    pub gradient_bytes: u64,
    /// Gradients are reduced together until they are so many bytes.
    #[serde(default = "bucket")]
    #[arg(long, help_heading = STEP, default_value_t = bucket(), value_name = "BYTES")]
    pub bucket: Bytes,
    /// `one`: all communication of a rank in one order, which a single slot for communication, as
    /// ASTRA-sim's, cannot lock. `group`: one order for each group, as streams of a GPU.
    // Scenarios play traces as GPUs do; files are written for ASTRA-sim.
    #[serde(default = "group_order")]
    #[arg(long, help_heading = STEP, value_enum, default_value = "one")]
    pub comm_order: CommOrder,
    /// Training steps.
    #[serde(default = "one")]
    #[arg(long, help_heading = STEP, default_value_t = one(), value_name = "N")]
    pub steps: u32,

    /// Device: a100, h100, h200, tpu-v4 or tpu-v5p.
    #[serde(default = "device")]
    #[arg(long, help_heading = TIME, default_value_t = device())]
    pub device: String,
    /// Format of products.
    #[serde(default = "dtype")]
    #[arg(long, help_heading = TIME, value_enum, default_value = "bf16")]
    pub dtype: Dtype,
    /// Reached part of the peak flop/s.
    #[serde(default = "compute_efficiency")]
    #[arg(long, help_heading = TIME, default_value_t = compute_efficiency(), value_name = "PART")]
    pub compute_efficiency: f64,
    /// Reached part of the memory's bandwidth.
    #[serde(default = "memory_efficiency")]
    #[arg(long, help_heading = TIME, default_value_t = memory_efficiency(), value_name = "PART")]
    pub memory_efficiency: f64,
    /// Measured forward time of the last layer on one rank, for example "1.2 ms": scales all times.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[arg(long, help_heading = TIME, value_name = "DURATION")]
    pub layer_time: Option<Duration>,

    /// Layers, in place of the model's: fewer make a shorter step of the same kind.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[arg(long, help_heading = SHAPE, value_name = "N")]
    pub layers: Option<u32>,
    /// Width of the residual stream.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[arg(long, help_heading = SHAPE, value_name = "N")]
    pub hidden: Option<u64>,
    /// Query heads.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[arg(long, help_heading = SHAPE, value_name = "N")]
    pub heads: Option<u64>,
    /// Key and value heads.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[arg(long, help_heading = SHAPE, value_name = "N")]
    pub kv_heads: Option<u64>,
    /// Width of a head.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[arg(long, help_heading = SHAPE, value_name = "N")]
    pub head_dim: Option<u64>,
    /// Width of the feed-forward block.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[arg(long, help_heading = SHAPE, value_name = "N")]
    pub ffn: Option<u64>,
    /// Three matrices in the feed-forward block (SwiGLU) in place of two.
    #[serde(default)]
    #[arg(long, help_heading = SHAPE)]
    pub gated: bool,
    /// Tokens of the vocabulary.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[arg(long, help_heading = SHAPE, value_name = "N")]
    pub vocab: Option<u64>,
    /// Routed experts of every layer but the first ones that the model has without.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[arg(long, help_heading = SHAPE, value_name = "N")]
    pub experts: Option<u64>,
    /// Experts that a token goes to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[arg(long, help_heading = SHAPE, value_name = "N")]
    pub top_k: Option<u64>,
    /// Width of an expert.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[arg(long, help_heading = SHAPE, value_name = "N")]
    pub expert_ffn: Option<u64>,
    /// Experts that every token goes to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[arg(long, help_heading = SHAPE, value_name = "N")]
    pub shared_experts: Option<u64>,
}

const PARALLELISM: &str = "Parallelism";
const STEP: &str = "Step";
const TIME: &str = "Time";
const SHAPE: &str = "Shape (of a custom model, or in place of the named model's)";

fn one() -> u32 {
    1
}
fn yes() -> bool {
    true
}
fn schedule() -> Schedule {
    Schedule::OneForwardOneBackward
}
fn recompute() -> Recompute {
    Recompute::Selective
}
fn gradient_bytes() -> u64 {
    4
}
fn gradient_format(name: &str) -> Result<u64, String> {
    match name {
        "bf16" => Ok(2),
        "fp32" => Ok(4),
        _ => Err("gradients are reduced as bf16 or fp32".into()),
    }
}
fn bucket() -> Bytes {
    Bytes(25 << 20)
}
fn group_order() -> CommOrder {
    CommOrder::Group
}
fn device() -> String {
    "h100".into()
}
fn dtype() -> Dtype {
    Dtype::Bf16
}
fn compute_efficiency() -> f64 {
    0.6
}
fn memory_efficiency() -> f64 {
    0.8
}

/// Why a specification means no job.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("{message}")]
pub struct SpecError {
    /// The key at fault; empty: all of it.
    pub key: &'static str,
    /// What is wrong.
    pub message: String,
    /// What would be right.
    pub help: String,
}

impl SpecError {
    fn new(key: &'static str, message: impl Into<String>, help: impl Into<String>) -> Self {
        SpecError {
            key,
            message: message.into(),
            help: help.into(),
        }
    }

    fn unknown(key: &'static str, name: &str, known: &[&str]) -> Self {
        let help = suggest::help(name, &format!("{key}s are"), known);
        SpecError::new(
            key,
            format!("no {key} is called `{name}`"),
            help.unwrap_or_default(),
        )
    }
}

impl Spec {
    /// The job among so many ranks.
    ///
    /// # Errors
    /// Names that do not exist, numbers that do not fit.
    pub fn job(&self, ranks: u32) -> Result<Job, SpecError> {
        let job = Job {
            model: self.shape()?,
            layout: self.layout(ranks)?,
            zero: self.zero()?,
            sequence_parallel: self.sequence_parallel,
            schedule: self.schedule,
            chunks: self.virtual_stages,
            micro_batches: self.micro_batches,
            micro_batch: self.micro_batch.into(),
            recompute: self.recompute,
            causal: self.causal,
            device: self.device()?,
            dtype: self.dtype,
            compute_efficiency: self.compute_efficiency,
            memory_efficiency: self.memory_efficiency,
            layer_ns: self.layer_time.map(|time| time.0),
            gradient_bytes: self.gradient_bytes,
            bucket_bytes: self.bucket.0,
            order: self.comm_order,
            steps: self.steps,
        };
        job.check()
            .map_err(|wrong| SpecError::new("", wrong.to_string(), wrong.help()))?;
        Ok(job)
    }

    fn zero(&self) -> Result<Zero, SpecError> {
        match self.zero {
            0 => Ok(Zero::Off),
            1 => Ok(Zero::Optimizer),
            2 => Ok(Zero::Gradients),
            3 => Ok(Zero::Parameters),
            other => Err(SpecError::new(
                "zero",
                format!("ZeRO has no stage {other}"),
                "0 to 3",
            )),
        }
    }

    fn device(&self) -> Result<Device, SpecError> {
        let names = DEVICES.map(|device| device.name);
        Device::named(&self.device).ok_or_else(|| SpecError::unknown("device", &self.device, &names))
    }

    fn layout(&self, ranks: u32) -> Result<Layout, SpecError> {
        Layout::among(ranks, [self.tp, self.cp, self.pp, self.ep]).map_err(|wrong| {
            let help = "the number of ranks is a multiple of their product";
            SpecError::new("", wrong.to_string(), help)
        })
    }

    fn shape(&self) -> Result<Model, SpecError> {
        let mut model = match self.model.as_str() {
            "custom" => self.custom()?,
            name => Model::named(name).ok_or_else(|| {
                let known: Vec<&str> = model::NAMES.into_iter().chain(["custom"]).collect();
                SpecError::unknown("model", name, &known)
            })?,
        };
        model.layers = self.layers.unwrap_or(model.layers);
        model.hidden = self.hidden.unwrap_or(model.hidden);
        model.heads = self.heads.unwrap_or(model.heads);
        model.kv_heads = self.kv_heads.unwrap_or(model.kv_heads.min(model.heads));
        if self.hidden.is_some() || self.heads.is_some() {
            model.head_dim = model.hidden / model.heads.max(1);
        }
        model.head_dim = self.head_dim.unwrap_or(model.head_dim);
        model.ffn = self.ffn.unwrap_or(model.ffn);
        model.gated |= self.gated;
        model.vocab = self.vocab.unwrap_or(model.vocab);
        model.sequence = self.sequence.unwrap_or(model.sequence);
        model.moe = self.moe(&model)?;
        Ok(model)
    }

    fn custom(&self) -> Result<Model, SpecError> {
        let (Some(layers), Some(hidden), Some(heads)) = (self.layers, self.hidden, self.heads) else {
            return Err(SpecError::new(
                "model",
                "a custom model needs layers, hidden and heads",
                "for example 24 layers, hidden 2048, 16 heads",
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

    fn moe(&self, model: &Model) -> Result<Option<Moe>, SpecError> {
        let some = [self.experts, self.top_k, self.expert_ffn, self.shared_experts];
        let base = match (model.moe, self.experts) {
            (Some(moe), _) => moe,
            (None, Some(experts)) => Moe {
                experts,
                top_k: 2,
                ffn: model.ffn,
                shared: 0,
                dense_layers: 0,
            },
            (None, None) if some.iter().any(Option::is_some) => {
                let message = format!("{} has no experts", model.name);
                return Err(SpecError::new("model", message, "give experts too"));
            }
            (None, None) => return Ok(None),
        };
        Ok(Some(Moe {
            experts: self.experts.unwrap_or(base.experts),
            top_k: self.top_k.unwrap_or(base.top_k),
            ffn: self.expert_ffn.unwrap_or(base.ffn),
            shared: self.shared_experts.unwrap_or(base.shared),
            dense_layers: base.dense_layers,
        }))
    }
}
