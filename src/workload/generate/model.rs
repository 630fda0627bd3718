//! Shapes of transformer models, and how many parameters they have.

use std::fmt;

/// A decoder-only transformer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Model {
    /// For people.
    pub name: String,
    /// Layers.
    pub layers: u32,
    /// Width of the residual stream, `h`.
    pub hidden: u64,
    /// Query heads, `a`.
    pub heads: u64,
    /// Key and value heads, `g`: fewer than `heads` with grouped-query attention.
    pub kv_heads: u64,
    /// Width of a head, `d`.
    pub head_dim: u64,
    /// Width inside the feed-forward block, `f`.
    pub ffn: u64,
    /// Three matrices (SwiGLU) in the feed-forward block in place of two.
    pub gated: bool,
    /// Tokens of the vocabulary, `V`.
    pub vocab: u64,
    /// One matrix for input embedding and output.
    pub tied: bool,
    /// Learned position embeddings, as many; 0 with rotary ones.
    pub positions: u64,
    /// Biases in matrices and norms.
    pub biases: bool,
    /// Tokens of a sequence in training, `s`.
    pub sequence: u64,
    /// Experts, if the model has them.
    pub moe: Option<Moe>,
}

/// A mixture of experts in place of the feed-forward block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moe {
    /// Routed experts, `E`.
    pub experts: u64,
    /// Experts that each token goes to, `k`.
    pub top_k: u64,
    /// Width inside an expert.
    pub ffn: u64,
    /// Experts that every token goes to besides.
    pub shared: u64,
    /// So many first layers have a plain feed-forward block.
    pub dense_layers: u32,
}

/// Parameters on one rank.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Params {
    /// Of everything but routed experts.
    pub dense: u64,
    /// Of routed experts.
    pub expert: u64,
    /// Those of `dense` that every rank of a tensor-parallel group has: norms, router, some biases.
    pub replicated: u64,
}

impl Params {
    /// All of them.
    pub fn total(&self) -> u64 {
        self.dense + self.expert
    }
}

impl std::ops::Add for Params {
    type Output = Params;

    fn add(self, other: Params) -> Params {
        Params {
            dense: self.dense + other.dense,
            expert: self.expert + other.expert,
            replicated: self.replicated + other.replicated,
        }
    }
}

impl std::iter::Sum for Params {
    fn sum<I: Iterator<Item = Params>>(iter: I) -> Params {
        iter.fold(Params::default(), |sum, params| sum + params)
    }
}

/// Names that [`Model::named`] knows.
pub const NAMES: [&str; 5] = [
    "llama3-8b",
    "llama3-70b",
    "mixtral-8x7b",
    "deepseek-moe-16b",
    "gpt3-175b",
];

impl Model {
    /// A published model.
    pub fn named(name: &str) -> Option<Model> {
        let model = match name {
            // "The Llama 3 Herd of Models" (arXiv 2407.21783), table 3; trained at 8,192 tokens.
            "llama3-8b" => Model::llama(name, 32, 4096, 32, 14336, 128_256, 8192),
            "llama3-70b" => Model::llama(name, 80, 8192, 64, 28672, 128_256, 8192),
            // "Mixtral of Experts" (arXiv 2401.04088), table 1.
            "mixtral-8x7b" => Model {
                moe: Some(Moe {
                    experts: 8,
                    top_k: 2,
                    ffn: 14336,
                    shared: 0,
                    dense_layers: 0,
                }),
                ..Model::llama(name, 32, 4096, 32, 14336, 32_000, 32_768)
            },
            // "DeepSeekMoE" (arXiv 2401.06066), section 5.1; widths of its published config.json.
            "deepseek-moe-16b" => Model {
                kv_heads: 16,
                moe: Some(Moe {
                    experts: 64,
                    top_k: 6,
                    ffn: 1408,
                    shared: 2,
                    dense_layers: 1,
                }),
                ..Model::llama(name, 28, 2048, 16, 10944, 102_400, 4096)
            },
            // "Language Models are Few-Shot Learners" (arXiv 2005.14165), table 2.1; GPT-2's vocabulary.
            "gpt3-175b" => Model {
                kv_heads: 96,
                gated: false,
                tied: true,
                positions: 2048,
                biases: true,
                ..Model::llama(name, 96, 12288, 96, 4 * 12288, 50_257, 2048)
            },
            _ => return None,
        };
        Some(model)
    }

    /// Llama's family: 8 key and value heads, heads of `hidden / heads`, SwiGLU, no biases.
    fn llama(name: &str, layers: u32, hidden: u64, heads: u64, ffn: u64, vocab: u64, sequence: u64) -> Model {
        Model {
            name: name.into(),
            layers,
            hidden,
            heads,
            kv_heads: 8,
            head_dim: hidden / heads,
            ffn,
            gated: true,
            vocab,
            tied: false,
            positions: 0,
            biases: false,
            sequence,
            moe: None,
        }
    }

    /// The experts of a layer, if it has any.
    pub fn experts_of(&self, layer: u32) -> Option<Moe> {
        self.moe.filter(|moe| layer >= moe.dense_layers)
    }

    /// Matrices of a feed-forward block.
    pub fn ffn_matrices(&self) -> u64 {
        2 + u64::from(self.gated)
    }

    /// Parameters of the whole model.
    pub fn params(&self) -> u64 {
        let layers = (0..self.layers).map(|layer| self.layer_params(layer, 1, 1).total());
        let head = if self.tied { 0 } else { self.vocab * self.hidden };
        layers.sum::<u64>() + self.embedding_params(1).total() + head + self.norm()
    }

    /// Parameters of a layer on one of `tp` tensor-parallel and `ep` expert-parallel ranks.
    pub fn layer_params(&self, layer: u32, tp: u64, ep: u64) -> Params {
        let attention = self.attention_params(tp);
        let norms = 2 * self.norm();
        let block = match self.experts_of(layer) {
            None => self.ffn_params(self.ffn, tp),
            Some(moe) => {
                let router = self.hidden * moe.experts;
                let shared = self.ffn_matrices() * self.hidden * (moe.ffn * moe.shared / tp);
                Params {
                    dense: shared + router,
                    expert: moe.experts / ep * self.ffn_matrices() * self.hidden * (moe.ffn / tp),
                    replicated: router,
                }
            }
        };
        let norms = Params {
            dense: norms,
            expert: 0,
            replicated: norms,
        };
        attention + block + norms
    }

    /// Parameters of the embeddings on one of `tp` ranks.
    pub fn embedding_params(&self, tp: u64) -> Params {
        let positions = self.positions * self.hidden;
        Params {
            dense: self.vocab.div_ceil(tp) * self.hidden + positions,
            expert: 0,
            replicated: positions,
        }
    }

    /// Parameters of the last norm and the output matrix; `own` if it is not the embedding's.
    pub fn head_params(&self, tp: u64, own: bool) -> Params {
        let matrix = if own {
            self.vocab.div_ceil(tp) * self.hidden
        } else {
            0
        };
        Params {
            dense: matrix + self.norm(),
            expert: 0,
            replicated: self.norm(),
        }
    }

    /// Key and value heads of one of `tp` ranks: at least one, the same on several ranks if need be.
    pub fn kv_heads_of(&self, tp: u64) -> u64 {
        (self.kv_heads / tp).max(1)
    }

    fn attention_params(&self, tp: u64) -> Params {
        let query = self.heads / tp * self.head_dim;
        let keys_values = 2 * self.kv_heads_of(tp) * self.head_dim;
        let biases = if self.biases { query + keys_values } else { 0 };
        let out_bias = if self.biases { self.hidden } else { 0 };
        Params {
            dense: self.hidden * (2 * query + keys_values) + biases + out_bias,
            expert: 0,
            replicated: out_bias,
        }
    }

    fn ffn_params(&self, ffn: u64, tp: u64) -> Params {
        let inner = ffn / tp;
        let inner_bias = if self.biases { inner } else { 0 };
        let out_bias = if self.biases { self.hidden } else { 0 };
        Params {
            dense: self.ffn_matrices() * self.hidden * inner + inner_bias + out_bias,
            expert: 0,
            replicated: out_bias,
        }
    }

    fn norm(&self) -> u64 {
        self.hidden * (1 + u64::from(self.biases))
    }
}

impl fmt::Display for Model {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} ({:.2} B parameters)",
            self.name,
            self.params() as f64 / 1e9
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_the_published_ones() {
        // Model cards and papers: 8.03 B, 70.6 B, 46.7 B, 16.4 B, 175 B.
        let published = [8.03e9, 70.6e9, 46.7e9, 16.4e9, 175e9];
        for (name, published) in NAMES.into_iter().zip(published) {
            let params = Model::named(name).expect(name).params() as f64;
            assert!((params / published - 1.0).abs() < 0.01, "{name}: {params}");
        }
        // To the parameter, where the model card's checkpoint says so.
        assert_eq!(Model::named("llama3-8b").expect("known").params(), 8_030_261_248);
        assert_eq!(
            Model::named("llama3-70b").expect("known").params(),
            70_553_706_496
        );
        assert_eq!(
            Model::named("mixtral-8x7b").expect("known").params(),
            46_702_792_704
        );
    }

    #[test]
    fn shards_make_up_the_whole() {
        for name in NAMES {
            let model = Model::named(name).expect(name);
            let (tp, ep) = (8, if model.moe.is_some() { 4 } else { 1 });
            for layer in [0, model.layers - 1] {
                let (whole, shard) = (model.layer_params(layer, 1, 1), model.layer_params(layer, tp, ep));
                assert_eq!(whole.replicated, shard.replicated, "{name}");
                let split = (shard.dense - shard.replicated) * tp + shard.replicated;
                assert_eq!(split, whole.dense, "{name}");
                assert_eq!(shard.expert * tp * ep, whole.expert, "{name}");
            }
        }
    }
}
