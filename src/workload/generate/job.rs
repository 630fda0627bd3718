//! What is asked for: a model, a device, a layout and how a step goes; and whether that is possible.

use super::device::{Device, Dtype, Roofline};
use super::graph::CommOrder;
use super::model::Model;
use super::parallel::{Group, Layout};
use super::schedule::{Pipeline, Schedule};

/// Most ranks of a job.
pub const MAX_RANKS: u32 = 1 << 20;
/// Most operations of a rank, roughly: they are held in memory.
const MAX_OPS: u64 = 20_000_000;
/// ASTRA-sim's tags of messages are below.
const MAX_TAG: u64 = 500_000_000;
/// No model has more parameters.
const MAX_PARAMS: f64 = 1e15;
/// No micro-batch makes more numbers in a layer.
const MAX_ACTIVATIONS: f64 = 1e17;
/// No size of a model or batch is larger.
const MAX_SIZE: u64 = 1 << 24;

/// What data-parallel ranks share (Rajbhandari et al., "ZeRO", arXiv 1910.02054, section 5).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Zero {
    /// Nothing: plain data parallelism.
    Off,
    /// Optimizer states.
    Optimizer,
    /// And gradients.
    Gradients,
    /// And parameters: FSDP.
    Parameters,
}

/// What is computed again in the backward pass (Korthikanti et al., arXiv 2205.05198, section 5).
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    serde::Serialize,
    serde::Deserialize,
    schemars::JsonSchema,
    clap::ValueEnum,
)]
#[serde(rename_all = "lowercase")]
pub enum Recompute {
    /// Nothing.
    None,
    /// The core of attention.
    Selective,
    /// Whole layers.
    Full,
}

/// A training job.
#[derive(Debug, Clone, PartialEq)]
pub struct Job {
    /// What is trained.
    pub model: Model,
    /// Over which ranks.
    pub layout: Layout,
    /// What data-parallel ranks share.
    pub zero: Zero,
    /// Tensor-parallel ranks share activations between blocks as well (Korthikanti et al.).
    pub sequence_parallel: bool,
    /// Order of passes.
    pub schedule: Schedule,
    /// Chunks of a pipeline stage; above 1 the schedule is interleaved.
    pub chunks: u32,
    /// Micro-batches of a step on each data-parallel rank.
    pub micro_batches: u32,
    /// Sequences of a micro-batch.
    pub micro_batch: u64,
    /// What is computed again.
    pub recompute: Recompute,
    /// Count only the half of attention that the causal mask leaves.
    pub causal: bool,
    /// Where it is trained.
    pub device: Device,
    /// Format of products.
    pub dtype: Dtype,
    /// Reached part of the peak flop/s.
    pub compute_efficiency: f64,
    /// Reached part of the memory's bandwidth.
    pub memory_efficiency: f64,
    /// Forward time of the last layer on one rank, ns: scales all times of the roofline.
    pub layer_ns: Option<u64>,
    /// Bytes of a gradient when it is reduced: 2 or 4.
    pub gradient_bytes: u64,
    /// Gradients are reduced together until they are so many bytes.
    pub bucket_bytes: u64,
    /// Which operations wait for each other.
    pub order: CommOrder,
    /// Training steps.
    pub steps: u32,
}

/// Why a job is not possible.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum JobError {
    /// Two numbers do not fit.
    #[error("{what} ({value}) cannot be divided by {by} ({divisor})")]
    Indivisible {
        /// What is divided.
        what: &'static str,
        /// How many.
        value: u64,
        /// By what.
        by: &'static str,
        /// How many.
        divisor: u64,
    },
    /// 0, or too large.
    #[error("{what} is {value}, but must be from 1 to {most}")]
    Range {
        /// What.
        what: &'static str,
        /// How many.
        value: u64,
        /// The largest that is possible.
        most: u64,
    },
    /// Expert parallelism without experts.
    #[error("{0} has no experts to be shared by expert parallelism")]
    NoExperts(String),
    /// Experts over tensor-parallel ranks.
    #[error("experts that are shared by tensor- and expert-parallel ranks need sequence parallelism")]
    NeedsSequenceParallel,
    /// Several chunks of a stage.
    #[error("the interleaved schedule needs at least 2 pipeline stages and one forward, one backward")]
    NotInterleaved,
    /// The device has no such format.
    #[error("{device} has no products in {dtype:?}")]
    Dtype {
        /// Name of the device.
        device: &'static str,
        /// The format.
        dtype: Dtype,
    },
    /// Not above 0 and at most 1.
    #[error("{what} is {value}, but a part of a peak is above 0 and at most 1")]
    Efficiency {
        /// Which.
        what: &'static str,
        /// Given.
        value: f64,
    },
    /// Beyond all that could be built.
    #[error("{0} is absurdly large")]
    TooLarge(&'static str),
    /// Would not fit in memory.
    #[error("a rank would have about {0} operations, which are too many")]
    TooLong(u64),
}

impl JobError {
    /// What to do about it.
    pub fn help(&self) -> &'static str {
        match self {
            JobError::Indivisible { .. } => "choose numbers that divide each other",
            JobError::Range { .. } => "choose a number in this range",
            JobError::NoExperts(_) => "leave --ep at 1, or choose a model with experts",
            JobError::NeedsSequenceParallel => "leave --no-sequence-parallel out, or --ep or --tp at 1",
            JobError::NotInterleaved => "leave --virtual-stages at 1, or give --pp and --schedule 1f1b",
            JobError::Dtype { .. } => "choose --dtype bf16 or another device",
            JobError::Efficiency { .. } => "for example 0.6",
            JobError::TooLarge(_) => "check the sizes: each is a plain number, not bytes or thousands",
            JobError::TooLong(_) => "lower --micro-batches, --steps or --layers",
        }
    }
}

impl Job {
    /// Whether it is possible at all.
    ///
    /// # Errors
    /// The first reason why not.
    pub fn check(&self) -> Result<(), JobError> {
        self.check_ranges()?;
        self.check_sizes()?;
        self.check_layout()?;
        self.check_shape()?;
        for (what, value) in [
            ("the compute efficiency", self.compute_efficiency),
            ("the memory efficiency", self.memory_efficiency),
        ] {
            if !(value > 0.0 && value <= 1.0) {
                return Err(JobError::Efficiency { what, value });
            }
        }
        let (device, dtype) = (self.device.name, self.dtype);
        self.device.peak(dtype).ok_or(JobError::Dtype { device, dtype })?;
        let passes = u64::from(self.micro_batches) * u64::from(self.steps);
        let ops = passes.saturating_mul(u64::from(self.model.layers.div_ceil(self.layout.pp)) * 24);
        let parts = u64::from(self.layout.pp * self.chunks);
        if ops > MAX_OPS || passes * parts * 2 > MAX_TAG {
            return Err(JobError::TooLong(ops));
        }
        Ok(())
    }

    fn check_ranges(&self) -> Result<(), JobError> {
        let Job { model, layout, .. } = self;
        let moe = model.moe.map_or([1; 3], |moe| [moe.experts, moe.top_k, moe.ffn]);
        for (what, value, most) in [
            ("tensor parallelism", layout.tp.into(), MAX_RANKS.into()),
            ("context parallelism", layout.cp.into(), MAX_RANKS.into()),
            ("data parallelism", layout.dp.into(), MAX_RANKS.into()),
            (
                "pipeline parallelism",
                layout.pp.into(),
                model.layers.max(1).into(),
            ),
            ("expert parallelism", layout.ep.into(), MAX_RANKS.into()),
            ("the number of layers", model.layers.into(), 1 << 16),
            ("the hidden width", model.hidden, MAX_SIZE),
            ("the number of heads", model.heads, model.hidden),
            ("the number of key and value heads", model.kv_heads, model.heads),
            ("the width of a head", model.head_dim, MAX_SIZE),
            ("the feed-forward width", model.ffn, MAX_SIZE),
            ("the vocabulary", model.vocab, MAX_SIZE),
            ("the sequence", model.sequence, MAX_SIZE),
            ("the number of experts", moe[0], 1 << 16),
            ("the number of experts of a token", moe[1], moe[0]),
            ("the width of an expert", moe[2], MAX_SIZE),
            ("the micro-batch", self.micro_batch, 1 << 16),
            ("the number of micro-batches", self.micro_batches.into(), 1 << 16),
            (
                "the number of virtual stages",
                self.chunks.into(),
                model.layers.max(1).into(),
            ),
            ("the number of steps", self.steps.into(), 1 << 16),
            ("the forward time of a layer", self.layer_ns.unwrap_or(1), 1 << 50),
            ("the bytes of a gradient", self.gradient_bytes, 8),
            ("the bucket", self.bucket_bytes, u64::MAX),
        ] {
            if !(1..=most).contains(&value) {
                return Err(JobError::Range { what, value, most });
            }
        }
        let ranks = [layout.tp, layout.cp, layout.dp, layout.pp]
            .into_iter()
            .fold(1, |ranks, n| u64::saturating_mul(ranks, n.into()));
        match ranks <= MAX_RANKS.into() {
            true => Ok(()),
            false => Err(JobError::Range {
                what: "the number of ranks",
                value: ranks,
                most: MAX_RANKS.into(),
            }),
        }
    }

    /// Products of sizes stay far below 64 bits.
    fn check_sizes(&self) -> Result<(), JobError> {
        let model = &self.model;
        let [hidden, heads, sequence] = [model.hidden, model.heads, model.sequence].map(|n| n as f64);
        let (experts, top_k, width) = model.moe.map_or((0.0, 0.0, 0.0), |moe| {
            let [experts, top_k, shared, ffn] =
                [moe.experts, moe.top_k, moe.shared, moe.ffn].map(|n| n as f64);
            (experts + shared, top_k + shared, ffn)
        });
        let attention = 4.0 * heads * model.head_dim as f64;
        let inner = 3.0 * (model.ffn as f64 + experts * width);
        let layer = hidden * (attention + inner + experts);
        let vocab = (2 * model.vocab + model.positions) as f64;
        if f64::from(model.layers) * layer + vocab * hidden > MAX_PARAMS {
            return Err(JobError::TooLarge("the model"));
        }
        let token = (10.0 + 2.0 * top_k) * hidden + attention + 5.0 * heads * sequence;
        let token = token + 6.0 * (model.ffn as f64 + top_k * width) + vocab;
        match token * self.micro_batch as f64 * sequence > MAX_ACTIVATIONS {
            true => Err(JobError::TooLarge("a micro-batch")),
            false => Ok(()),
        }
    }

    fn check_layout(&self) -> Result<(), JobError> {
        let Layout { pp, ep, .. } = self.layout;
        let replicas = self.layout.replicas().into();
        divides(
            "context times data parallelism",
            replicas,
            "expert parallelism",
            ep.into(),
        )?;
        let parts = u64::from(pp) * u64::from(self.chunks);
        if parts > self.model.layers.into() {
            return Err(JobError::Range {
                what: "the number of stages times virtual stages",
                value: parts,
                most: self.model.layers.into(),
            });
        }
        if self.chunks > 1 {
            if pp < 2 || self.schedule == Schedule::GPipe {
                return Err(JobError::NotInterleaved);
            }
            divides(
                "the number of micro-batches",
                self.micro_batches.into(),
                "pipeline parallelism",
                pp.into(),
            )?;
        }
        Ok(())
    }

    fn check_shape(&self) -> Result<(), JobError> {
        let (model, tp) = (&self.model, u64::from(self.layout.tp));
        let by = "tensor parallelism";
        divides(
            "the number of heads",
            model.heads,
            "the number of key and value heads",
            model.kv_heads,
        )?;
        divides("the number of heads", model.heads, by, tp)?;
        if tp > model.kv_heads {
            divides(by, tp, "the number of key and value heads", model.kv_heads)?;
        } else {
            divides("the number of key and value heads", model.kv_heads, by, tp)?;
        }
        divides("the feed-forward width", model.ffn, by, tp)?;
        divides(
            "the sequence",
            model.sequence,
            "context parallelism",
            self.layout.cp.into(),
        )?;
        if self.sequence_parallel {
            let tokens = self.tokens();
            divides("a micro-batch's tokens on a rank", tokens, by, tp)?;
        }
        let ep = u64::from(self.layout.ep);
        match model.moe {
            None if ep > 1 => Err(JobError::NoExperts(model.name.clone())),
            None => Ok(()),
            Some(_) if ep > 1 && tp > 1 && !self.sequence_parallel => Err(JobError::NeedsSequenceParallel),
            Some(moe) => {
                divides("the width of an expert", moe.ffn, by, tp)?;
                divides("the number of experts", moe.experts, "expert parallelism", ep)
            }
        }
    }

    /// Tokens of a micro-batch on a rank, `T = b s / cp`.
    pub fn tokens(&self) -> u64 {
        self.micro_batch * (self.model.sequence / u64::from(self.layout.cp))
    }

    /// Whether activations are shared between tensor-parallel ranks.
    pub fn shares_sequence(&self) -> bool {
        self.sequence_parallel && self.layout.tp > 1
    }

    /// Its pipeline.
    pub fn pipeline(&self) -> Pipeline {
        Pipeline {
            stages: self.layout.pp,
            chunks: self.chunks,
            micro_batches: self.micro_batches,
            schedule: self.schedule,
        }
    }

    /// How fast kernels run.
    pub fn roofline(&self) -> Roofline {
        Roofline {
            flops_per_s: self.device.peak(self.dtype).unwrap_or(f64::MIN_POSITIVE) * self.compute_efficiency,
            bytes_per_s: self.device.bytes_per_s * self.memory_efficiency,
        }
    }

    /// Layers of a part of the pipeline; parts are numbered in the order of the model.
    pub fn layers(&self, part: u32) -> std::ops::Range<u32> {
        let parts = u64::from(self.layout.pp * self.chunks);
        let first = |part: u32| (u64::from(part) * u64::from(self.model.layers) / parts) as u32;
        first(part)..first(part + 1)
    }

    /// Kinds of groups that it communicates in.
    pub fn groups(&self) -> Vec<Group> {
        let used = |group: &Group| match group {
            Group::Expert | Group::ExpertData => self.model.moe.is_some(),
            Group::Embedding => self.model.tied,
            _ => true,
        };
        Group::ALL
            .into_iter()
            .filter(used)
            .filter(|group| self.layout.size(*group) > 1)
            .collect()
    }
}

fn divides(what: &'static str, value: u64, by: &'static str, divisor: u64) -> Result<(), JobError> {
    match value.is_multiple_of(divisor) {
        true => Ok(()),
        false => Err(JobError::Indivisible {
            what,
            value,
            by,
            divisor,
        }),
    }
}
