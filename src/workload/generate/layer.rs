//! What a layer computes and communicates on one rank, forward and backward: Megatron-LM's tensor
//! (arXiv 1909.08053, section 3) and sequence parallelism (2205.05198, section 4), context parallelism
//! by gathering keys and values (2407.21783, section 3.3.2), experts by all-to-all (2006.16668, 3.2).

use crate::workload::chakra::CollectiveType;

use super::device::Kernel;
use super::job::{Job, Recompute};
use super::model::{Model, Moe};
use super::parallel::Group;

/// Bytes of an activation or parameter.
pub const BYTES: u64 = 2;

/// A step of a layer's chain.
#[derive(Debug, Clone, PartialEq)]
pub enum Part {
    /// Kernels, one after another.
    Compute(&'static str, Vec<Kernel>),
    /// A collective that the chain waits for.
    Collective(&'static str, CollectiveType, Group, u64),
    /// A collective beside the next compute.
    Beside(&'static str, CollectiveType, Group, u64),
}

/// A job's sizes on one rank.
#[derive(Debug, Clone, Copy)]
pub struct Layers<'a> {
    job: &'a Job,
    /// Tokens of a micro-batch, `T`.
    tokens: u64,
    tp: u64,
}

impl<'a> Layers<'a> {
    /// Those of this job.
    pub fn new(job: &'a Job) -> Self {
        Layers {
            job,
            tokens: job.tokens(),
            tp: job.layout.tp.into(),
        }
    }

    fn model(&self) -> &'a Model {
        &self.job.model
    }

    /// Bytes of the activations between blocks, before they are shared, `2 T h`.
    pub fn activation_bytes(&self) -> u64 {
        BYTES * self.tokens * self.model().hidden
    }

    /// Bytes of what a rank sends to the next stage.
    pub fn message_bytes(&self) -> u64 {
        match self.job.shares_sequence() {
            true => self.activation_bytes() / self.tp,
            false => self.activation_bytes(),
        }
    }

    /// Tokens between blocks on one rank.
    fn own_tokens(&self) -> u64 {
        match self.job.shares_sequence() {
            true => self.tokens / self.tp,
            false => self.tokens,
        }
    }

    /// Forward pass of a layer.
    pub fn forward(&self, layer: u32) -> Vec<Part> {
        let mut parts = self.attention();
        match self.model().experts_of(layer) {
            None => parts.extend(self.block("mlp", self.ffn(self.model().ffn))),
            Some(moe) => parts.extend(self.experts(moe)),
        }
        parts
    }

    /// Backward pass of a layer, with what is computed again.
    pub fn backward(&self, layer: u32) -> Vec<Part> {
        let mut parts = match self.job.recompute {
            Recompute::Full => self.forward(layer),
            _ => Vec::new(),
        };
        match self.model().experts_of(layer) {
            None => parts.extend(self.block_backward("mlp", self.ffn(self.model().ffn))),
            Some(moe) => parts.extend(self.experts_backward(moe)),
        }
        parts.extend(self.attention_backward());
        parts
    }

    /// Embedding of tokens.
    pub fn embed(&self) -> Vec<Part> {
        let mut parts = vec![Part::Compute("embedding", vec![self.embedding_kernel()])];
        parts.extend(self.leave());
        parts
    }

    /// Its gradients.
    pub fn embed_backward(&self) -> Vec<Part> {
        let mut parts: Vec<Part> = self.enter().into_iter().collect();
        parts.push(Part::Compute("embedding", vec![self.embedding_kernel()]));
        parts
    }

    fn embedding_kernel(&self) -> Kernel {
        Kernel::touch(2 * self.tokens * self.model().hidden)
    }

    /// Output matrix and loss: with a shared vocabulary the softmax needs the largest logit, the
    /// target's logit and the sum of each token (1909.08053, section 3).
    pub fn head(&self) -> Vec<Part> {
        let mut parts: Vec<Part> = self.enter().into_iter().collect();
        parts.push(Part::Compute("head", self.head_kernels()));
        if self.tp > 1 {
            let reduce =
                |name| Part::Collective(name, CollectiveType::AllReduce, Group::Tensor, 4 * self.tokens);
            parts.extend(["loss max", "loss target", "loss sum"].map(reduce));
        }
        parts
    }

    /// Their gradients.
    pub fn head_backward(&self) -> Vec<Part> {
        let mut parts: Vec<Part> = self.gather_again().into_iter().collect();
        parts.push(Part::Compute("head", twice(self.head_kernels())));
        parts.extend(self.leave());
        parts
    }

    fn head_kernels(&self) -> Vec<Kernel> {
        let vocab = self.model().vocab.div_ceil(self.tp);
        vec![
            self.norm(),
            Kernel::matmul(self.tokens, self.model().hidden, vocab),
            Kernel::touch(2 * self.tokens * vocab),
        ]
    }

    /// Whole activations at the start of a block that tensor-parallel ranks share.
    fn enter(&self) -> Option<Part> {
        let bytes = self.activation_bytes() / self.tp;
        let gather = Part::Collective("gather", CollectiveType::AllGather, Group::Tensor, bytes);
        self.job.shares_sequence().then_some(gather)
    }

    /// Sums, and with sequence parallelism shares, what the ranks have made at its end.
    fn leave(&self) -> Option<Part> {
        let collective = match self.job.shares_sequence() {
            true => CollectiveType::ReduceScatter,
            false => CollectiveType::AllReduce,
        };
        let part = Part::Collective("reduce", collective, Group::Tensor, self.activation_bytes());
        (self.tp > 1).then_some(part)
    }

    /// The block's input once more for the gradients of its matrices (2205.05198, section 4.2.2).
    fn gather_again(&self) -> Option<Part> {
        let bytes = self.activation_bytes() / self.tp;
        let gather = Part::Beside("gather input", CollectiveType::AllGather, Group::Tensor, bytes);
        self.job.shares_sequence().then_some(gather)
    }

    fn block(&self, name: &'static str, kernels: Vec<Kernel>) -> Vec<Part> {
        let mut parts: Vec<Part> = self.enter().into_iter().collect();
        parts.push(Part::Compute(name, kernels));
        parts.extend(self.leave());
        parts
    }

    fn block_backward(&self, name: &'static str, kernels: Vec<Kernel>) -> Vec<Part> {
        let mut parts: Vec<Part> = self.enter().into_iter().collect();
        parts.extend(self.gather_again());
        parts.push(Part::Compute(name, twice(kernels)));
        parts.extend(self.leave());
        parts
    }

    fn attention(&self) -> Vec<Part> {
        if self.job.layout.cp == 1 {
            return self.block("attention", [self.projections(), self.core()].concat());
        }
        let mut parts: Vec<Part> = self.enter().into_iter().collect();
        parts.push(Part::Compute("attention in", self.projections()));
        parts.push(self.gather_keys());
        parts.push(Part::Compute("attention core", self.core()));
        parts.extend(self.leave());
        parts
    }

    fn attention_backward(&self) -> Vec<Part> {
        let mut core = twice(self.core());
        if self.job.recompute == Recompute::Selective {
            core.push(self.scores());
        }
        let mut parts: Vec<Part> = self.enter().into_iter().collect();
        parts.extend(self.gather_again());
        if self.job.layout.cp == 1 {
            core.extend(twice(self.projections()));
            parts.push(Part::Compute("attention", core));
        } else {
            parts.push(self.gather_keys());
            parts.push(Part::Compute("attention core", core));
            let bytes = self.keys_bytes() * u64::from(self.job.layout.cp);
            let reduce = CollectiveType::ReduceScatter;
            parts.push(Part::Collective("reduce keys", reduce, Group::Context, bytes));
            parts.push(Part::Compute("attention in", twice(self.projections())));
        }
        parts.extend(self.leave());
        parts
    }

    fn gather_keys(&self) -> Part {
        Part::Collective(
            "gather keys",
            CollectiveType::AllGather,
            Group::Context,
            self.keys_bytes(),
        )
    }

    /// Bytes of a rank's keys and values, `4 T g d / tp`.
    fn keys_bytes(&self) -> u64 {
        BYTES * self.tokens * 2 * self.model().kv_heads_of(self.tp) * self.model().head_dim
    }

    /// Norm, queries, keys and values.
    fn projections(&self) -> Vec<Kernel> {
        let model = self.model();
        let heads = model.heads / self.tp + 2 * model.kv_heads_of(self.tp);
        vec![
            self.norm(),
            Kernel::matmul(self.tokens, model.hidden, heads * model.head_dim),
        ]
    }

    /// Scores, weighted values, the matrix behind them and the residual.
    fn core(&self) -> Vec<Kernel> {
        let model = self.model();
        let width = model.heads / self.tp * model.head_dim;
        vec![
            self.scores(),
            Kernel::matmul(self.tokens, width, model.hidden),
            self.residual(),
        ]
    }

    /// `4 T s a d / tp` flops (2104.04473, appendix), half of them behind a causal mask; memory as a
    /// fused kernel uses it (FlashAttention, arXiv 2205.14135): queries, keys, values and output once.
    fn scores(&self) -> Kernel {
        let model = self.model();
        let width = model.heads / self.tp * model.head_dim;
        let half = if self.job.causal { 2 } else { 1 };
        let flops = 4 * u128::from(self.tokens) * u128::from(model.sequence) * u128::from(width) / half;
        let keys = self.job.micro_batch * model.sequence * model.kv_heads_of(self.tp) * model.head_dim;
        Kernel {
            flops,
            ..Kernel::touch(2 * self.tokens * width + 2 * keys)
        }
    }

    /// A feed-forward block of this width.
    fn ffn(&self, ffn: u64) -> Vec<Kernel> {
        let inner = ffn / self.tp;
        let mut kernels = vec![self.norm()];
        kernels.extend(self.matrices(self.tokens, inner, 1));
        kernels.push(self.residual());
        kernels
    }

    /// Two or three products of `tokens` with matrices of `experts` of width `inner`.
    fn matrices(&self, tokens: u64, inner: u64, experts: u64) -> Vec<Kernel> {
        let (hidden, count) = (self.model().hidden, self.model().ffn_matrices());
        let product = Kernel::matmul(tokens, hidden, inner);
        let weights = Kernel::touch(hidden * inner * (experts - 1));
        let product = Kernel {
            bytes: product.bytes + weights.bytes,
            ..product
        };
        // Each matrix on its own: a kernel of three would hide which of them memory bounds.
        let mut kernels = vec![product; count as usize];
        kernels.push(Kernel::touch(count * tokens * inner));
        kernels
    }

    fn norm(&self) -> Kernel {
        Kernel::touch(2 * self.own_tokens() * self.model().hidden)
    }

    fn residual(&self) -> Kernel {
        Kernel::touch(3 * self.own_tokens() * self.model().hidden)
    }

    fn experts(&self, moe: Moe) -> Vec<Part> {
        let mut parts = vec![Part::Compute("router", self.router(moe))];
        parts.extend(self.exchange("dispatch", moe));
        parts.extend(self.gather_routed(moe));
        parts.push(Part::Compute("experts", self.routed(moe)));
        parts.extend(self.reduce_routed(moe));
        parts.extend(self.exchange("combine", moe));
        if moe.shared > 0 {
            parts.extend(self.block("shared experts", self.ffn(moe.ffn * moe.shared)));
        }
        parts
    }

    fn experts_backward(&self, moe: Moe) -> Vec<Part> {
        let mut parts = Vec::new();
        if moe.shared > 0 {
            parts.extend(self.block_backward("shared experts", self.ffn(moe.ffn * moe.shared)));
        }
        parts.extend(self.exchange("combine", moe));
        parts.extend(self.gather_routed(moe));
        parts.push(Part::Compute("experts", twice(self.routed(moe))));
        parts.extend(self.reduce_routed(moe));
        parts.extend(self.exchange("dispatch", moe));
        parts.push(Part::Compute("router", twice(self.router(moe))));
        parts
    }

    fn router(&self, moe: Moe) -> Vec<Kernel> {
        let own = self.own_tokens();
        vec![self.norm(), Kernel::matmul(own, self.model().hidden, moe.experts)]
    }

    /// Each token to its experts or back, `2 k h` bytes a token, if the load is even.
    fn exchange(&self, name: &'static str, moe: Moe) -> Option<Part> {
        let bytes = BYTES * self.own_tokens() * moe.top_k * self.model().hidden;
        let exchange = Part::Collective(name, CollectiveType::AllToAll, Group::Expert, bytes);
        (self.job.layout.ep > 1).then_some(exchange)
    }

    /// Routed tokens of the tensor-parallel ranks, each of which has a slice of every expert.
    fn gather_routed(&self, moe: Moe) -> Option<Part> {
        let bytes = BYTES * self.own_tokens() * moe.top_k * self.model().hidden;
        let gather = Part::Collective("gather routed", CollectiveType::AllGather, Group::Tensor, bytes);
        self.job.shares_sequence().then_some(gather)
    }

    fn reduce_routed(&self, moe: Moe) -> Option<Part> {
        if !self.job.shares_sequence() {
            return self.leave();
        }
        let bytes = BYTES * self.tokens * moe.top_k * self.model().hidden;
        let reduce = CollectiveType::ReduceScatter;
        Some(Part::Collective("reduce routed", reduce, Group::Tensor, bytes))
    }

    /// Experts of this rank: as many tokens come as go, if the load is even.
    fn routed(&self, moe: Moe) -> Vec<Kernel> {
        let own = moe.experts / u64::from(self.job.layout.ep);
        self.matrices(self.tokens * moe.top_k, moe.ffn / self.tp, own)
    }
}

/// Backward: for each product one for the gradient of its input and one for that of its matrix.
fn twice(kernels: Vec<Kernel>) -> Vec<Kernel> {
    kernels.into_iter().flat_map(|kernel| [kernel, kernel]).collect()
}
