//! A job as a scenario writes it: names and numbers with defaults, and the [`Job`] that they mean.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::device::{DEVICES, Device, Dtype};
use super::graph::CommOrder;
use super::job::{Job, Recompute, Zero};
use super::model::{self, Model};
use super::parallel::Layout;
use super::schedule::Schedule;
use crate::scenario::units::{Bytes, Duration};

/// A training step to be generated; the same traces on every machine.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Spec {
    /// Model: llama3-8b, llama3-70b, mixtral-8x7b, deepseek-moe-16b or gpt3-175b.
    pub model: String,
    /// Layers, in place of the model's: fewer make a shorter step of the same kind.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub layers: Option<u32>,
    /// Tokens of a sequence, in place of the model's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sequence: Option<u64>,
    /// Tensor-parallel ranks. Ranks that no other parallelism takes are data-parallel.
    #[serde(default = "one")]
    pub tp: u32,
    /// Context-parallel ranks.
    #[serde(default = "one")]
    pub cp: u32,
    /// Pipeline stages.
    #[serde(default = "one")]
    pub pp: u32,
    /// Expert-parallel ranks, out of context times data parallelism.
    #[serde(default = "one")]
    pub ep: u32,
    /// What data-parallel ranks share: 0 nothing, 1 optimizer states, 2 and gradients, 3 and
    /// parameters (FSDP).
    #[serde(default)]
    pub zero: u8,
    /// Micro-batches of a step on each data-parallel rank.
    #[serde(default = "one")]
    pub micro_batches: u32,
    /// Sequences of a micro-batch.
    #[serde(default = "one")]
    pub micro_batch: u32,
    /// Bytes of a gradient when it is reduced: 2 or 4.
    #[serde(default = "gradient_bytes")]
    pub gradient_bytes: u64,
    /// Gradients are reduced together until they are so many bytes.
    #[serde(default = "bucket")]
    pub bucket: Bytes,
    /// Device: a100, h100, h200, tpu-v4 or tpu-v5p; products in bf16.
    #[serde(default = "device")]
    pub device: String,
    /// Reached part of the peak flop/s.
    #[serde(default = "compute_efficiency")]
    pub compute_efficiency: f64,
    /// Reached part of the memory's bandwidth.
    #[serde(default = "memory_efficiency")]
    pub memory_efficiency: f64,
    /// Measured forward time of the last layer on one rank: scales all times.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub layer_time: Option<Duration>,
}

fn one() -> u32 {
    1
}
fn gradient_bytes() -> u64 {
    4
}
fn bucket() -> Bytes {
    Bytes(25 << 20)
}
fn device() -> String {
    "h100".into()
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
    fn new(key: &'static str, message: String, help: impl Into<String>) -> Self {
        SpecError {
            key,
            message,
            help: help.into(),
        }
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
            zero: match self.zero {
                0 => Zero::Off,
                1 => Zero::Optimizer,
                2 => Zero::Gradients,
                3 => Zero::Parameters,
                other => {
                    return Err(SpecError::new(
                        "zero",
                        format!("ZeRO has no stage {other}"),
                        "0 to 3",
                    ));
                }
            },
            sequence_parallel: true,
            schedule: Schedule::OneForwardOneBackward,
            chunks: 1,
            micro_batches: self.micro_batches,
            micro_batch: self.micro_batch.into(),
            recompute: Recompute::Selective,
            causal: false,
            device: self.device()?,
            dtype: Dtype::Bf16,
            compute_efficiency: self.compute_efficiency,
            memory_efficiency: self.memory_efficiency,
            layer_ns: self.layer_time.map(|time| time.0),
            gradient_bytes: self.gradient_bytes,
            bucket_bytes: self.bucket.0,
            order: CommOrder::Group,
            steps: 1,
        };
        job.check()
            .map_err(|wrong| SpecError::new("", wrong.to_string(), wrong.help()))?;
        Ok(job)
    }

    fn shape(&self) -> Result<Model, SpecError> {
        let mut model = Model::named(&self.model).ok_or_else(|| {
            let known = model::NAMES.join(", ");
            let message = format!("no model is called `{}`", self.model);
            SpecError::new("model", message, format!("models are {known}"))
        })?;
        model.layers = self.layers.unwrap_or(model.layers);
        model.sequence = self.sequence.unwrap_or(model.sequence);
        Ok(model)
    }

    fn device(&self) -> Result<Device, SpecError> {
        Device::named(&self.device).ok_or_else(|| {
            let known = DEVICES.map(|device| device.name).join(", ");
            let message = format!("no device is called `{}`", self.device);
            SpecError::new("device", message, format!("devices are {known}"))
        })
    }

    fn layout(&self, ranks: u32) -> Result<Layout, SpecError> {
        Layout::among(ranks, [self.tp, self.cp, self.pp, self.ep]).map_err(|wrong| {
            let help = "the number of ranks is a multiple of their product";
            SpecError::new("", wrong.to_string(), help)
        })
    }
}
