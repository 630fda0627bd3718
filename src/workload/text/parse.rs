//! The text itself: a policy with its arguments, the number of layers, a line of 12 columns for each
//! (13 with HYBRID_CUSTOMIZED). Times are nanoseconds (ASTRA-sim 1.0 says cycles, of 1 ns), sizes bytes.

use crate::workload::chakra::CollectiveType;

/// A text workload as it is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TextWorkload {
    /// How the training loop goes.
    pub policy: Policy,
    /// Ranks of a model-parallel group (`model_parallel_NPU_group:`).
    pub model_group: Option<u32>,
    /// Layers at which activations are kept.
    pub checkpoints: Vec<usize>,
    /// Layers whose backward pass begins with a forward pass from the last checkpoint on.
    pub checkpoint_initiates: Vec<usize>,
    /// Last layer of a DLRM's bottom MLP.
    pub last_bottom_layer: Option<usize>,
    /// SimAI's further arguments, if this is one of its files.
    pub simai: Option<Simai>,
    /// At least one.
    pub layers: Vec<Layer>,
    /// The text, for the metadata of converted traces.
    pub text: String,
}

/// What SimAI's first line says more.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Simai {
    /// Ranks of an expert-parallel group.
    pub ep: u32,
    /// Pipeline stages.
    pub pp: u32,
    /// Ranks of the whole job.
    pub all_gpus: Option<u32>,
    /// Bytes between pipeline stages, which SimAI's analytical mode adds to its estimate.
    pub pp_comm: Option<u64>,
}

/// How the training loop goes (ASTRA-sim 1.0, `workload/Workload.cc`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Policy {
    Data,
    Model,
    HybridDataModel,
    HybridModelData,
    HybridTransformer,
    HybridTransformerFwdInBckwd,
    HybridDlrm,
    HybridDlrmEnhanced,
    HybridCustomized,
    Micro,
    DistributedInference,
}

/// One layer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layer {
    /// Its name; need not be unique.
    pub name: String,
    /// Forward pass.
    pub fwd: Phase,
    /// Backward pass, gradient of the input.
    pub ig: Phase,
    /// Backward pass, gradient of the weights.
    pub wg: Phase,
    /// Time after each collective of this layer before its result may be used, ns.
    pub update_ns: u64,
    /// Its own policy under HYBRID_CUSTOMIZED.
    pub policy: Option<Policy>,
}

/// Compute and the communication after it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Phase {
    /// Compute time, ns.
    pub compute_ns: u64,
    /// What is communicated.
    pub comm: Comm,
    /// Among whom, where the type has a suffix (SimAI).
    pub scope: Scope,
    /// How much, bytes.
    pub bytes: u64,
}

/// What is communicated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Comm {
    /// Nothing.
    None,
    /// A collective.
    One(CollectiveType),
    /// An all-reduce and an all-to-all after it.
    AllReduceAllToAll,
}

/// Among whom a SimAI collective is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// No suffix: the tensor-parallel group in the fwd and ig columns, the data-parallel one in wg.
    Usual,
    /// `_EP`: the expert-parallel group.
    Ep,
    /// `_DP_EP`: ranks that hold the same experts.
    DpEp,
}

/// Why a text workload was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{file}`{}: {what}", .line.map(|line| format!(", line {line}")).unwrap_or_default())]
pub struct TextError {
    /// The file, or what stands for it.
    pub file: String,
    /// Which line, from 1.
    pub line: Option<usize>,
    /// What is wrong.
    pub what: String,
    /// What to do about it.
    pub help: Option<String>,
}

const POLICIES: [(&str, Policy); 11] = [
    ("DATA", Policy::Data),
    ("MODEL", Policy::Model),
    ("HYBRID_DATA_MODEL", Policy::HybridDataModel),
    ("HYBRID_MODEL_DATA", Policy::HybridModelData),
    ("HYBRID_TRANSFORMER", Policy::HybridTransformer),
    (
        "HYBRID_TRANSFORMER_FWD_IN_BCKWD",
        Policy::HybridTransformerFwdInBckwd,
    ),
    ("HYBRID_DLRM", Policy::HybridDlrm),
    ("HYBRID_DLRM_ENHANCED", Policy::HybridDlrmEnhanced),
    ("HYBRID_CUSTOMIZED", Policy::HybridCustomized),
    ("MICRO", Policy::Micro),
    ("DISTRIBUTED_INFERENCE", Policy::DistributedInference),
];

impl Policy {
    /// Its name in files.
    pub fn name(self) -> &'static str {
        let found = POLICIES.iter().find(|(_, policy)| *policy == self);
        found.expect("every policy is in the table").0
    }

    /// The policy of this name.
    pub fn from_name(name: &str) -> Option<Policy> {
        POLICIES
            .iter()
            .find(|(known, _)| *known == name)
            .map(|(_, policy)| *policy)
    }
}

/// Whether this looks like a text workload: its first word is a policy.
pub fn is_text_workload(text: &str) -> bool {
    text.split_whitespace()
        .next()
        .is_some_and(|word| Policy::from_name(word).is_some())
}

/// Reads a text workload; `name` stands for its file in errors.
///
/// # Errors
/// An unknown policy, argument or type, a column that is missing or no number, another number of
/// layers than the second line says.
pub fn parse(text: &str, name: &str) -> Result<TextWorkload, TextError> {
    let parser = Parser { file: name };
    let mut lines = text.lines().enumerate().map(|(index, line)| (index + 1, line));
    let mut lines = lines.by_ref().filter(|(_, line)| !line.trim().is_empty());
    let Some((number, first)) = lines.next() else {
        return Err(parser.error(None, "the file is empty"));
    };
    let mut workload = parser.first_line(number, first)?;
    text.clone_into(&mut workload.text);
    let Some((number, second)) = lines.next() else {
        return Err(parser.error(None, "the second line, the number of layers, is missing"));
    };
    let mut words = second.split_whitespace();
    let layers: u64 = parser.number(number, words.next(), "the number of layers")?;
    for (number, line) in lines {
        let layer = parser.layer(number, line, workload.policy)?;
        workload.layers.push(layer);
    }
    let found = workload.layers.len() as u64;
    if found != layers {
        let what = format!("{layers} layers are announced and {found} are there");
        let help = "is the file cut off? the second line counts the lines after it";
        return Err(parser.error(Some(number), what).help(help));
    }
    if found == 0 {
        return Err(parser.error(Some(number), "there are no layers"));
    }
    parser.check_indices(&workload)?;
    Ok(workload)
}

impl TextError {
    pub(super) fn new(file: &str, line: Option<usize>, what: impl Into<String>) -> TextError {
        TextError {
            file: file.to_owned(),
            line,
            what: what.into(),
            help: None,
        }
    }

    pub(super) fn help(mut self, help: impl Into<String>) -> TextError {
        self.help = Some(help.into());
        self
    }
}

struct Parser<'a> {
    file: &'a str,
}

impl Parser<'_> {
    fn error(&self, line: Option<usize>, what: impl Into<String>) -> TextError {
        TextError::new(self.file, line, what)
    }

    fn number<T: std::str::FromStr>(
        &self,
        line: usize,
        word: Option<&str>,
        what: &str,
    ) -> Result<T, TextError> {
        let Some(word) = word else {
            return Err(self.error(Some(line), format!("{what} is missing")));
        };
        let parsed = word.trim_end_matches(',').parse();
        parsed.map_err(|_| {
            self.error(
                Some(line),
                format!("{what} is `{}`, no whole number from 0 on", shown(word)),
            )
        })
    }

    fn first_line(&self, line: usize, text: &str) -> Result<TextWorkload, TextError> {
        let mut words = text.split_whitespace();
        let word = words.next().unwrap_or_default();
        let Some(policy) = Policy::from_name(word) else {
            let names: Vec<&str> = POLICIES.iter().map(|(name, _)| *name).collect();
            let error = self.error(Some(line), format!("`{}` is no policy", shown(word)));
            return Err(error.help(format!("policies are {}", names.join(", "))));
        };
        let mut workload = TextWorkload {
            policy,
            model_group: None,
            checkpoints: Vec::new(),
            checkpoint_initiates: Vec::new(),
            last_bottom_layer: None,
            simai: None,
            layers: Vec::new(),
            text: String::new(),
        };
        if matches!(policy, Policy::HybridDlrm | Policy::HybridDlrmEnhanced) {
            workload.last_bottom_layer = Some(self.number(line, words.next(), "the last bottom layer")?);
        }
        while let Some(key) = words.next() {
            self.argument(line, key, &mut words, &mut workload)?;
        }
        let transformer = matches!(
            policy,
            Policy::HybridTransformer | Policy::HybridTransformerFwdInBckwd
        );
        if transformer && workload.model_group.is_none() {
            let error = self.error(Some(line), format!("{word} needs `model_parallel_NPU_group: N`"));
            return Err(error);
        }
        Ok(workload)
    }

    fn argument<'w>(
        &self,
        line: usize,
        key: &str,
        words: &mut impl Iterator<Item = &'w str>,
        workload: &mut TextWorkload,
    ) -> Result<(), TextError> {
        let simai = |workload: &mut TextWorkload| {
            let unsaid = Simai {
                ep: 1,
                pp: 1,
                ..Simai::default()
            };
            workload.simai.take().unwrap_or(unsaid)
        };
        match key.trim_end_matches(':') {
            "model_parallel_NPU_group" => {
                workload.model_group = Some(self.positive(line, words.next(), key)?);
            }
            "checkpoints" => workload.checkpoints = self.list(line, words, key)?,
            "checkpoint_initiates" => workload.checkpoint_initiates = self.list(line, words, key)?,
            "ep" => {
                workload.simai = Some(Simai {
                    ep: self.positive(line, words.next(), key)?,
                    ..simai(workload)
                })
            }
            "pp" => {
                workload.simai = Some(Simai {
                    pp: self.positive(line, words.next(), key)?,
                    ..simai(workload)
                })
            }
            "all_gpus" => {
                let all = Some(self.positive(line, words.next(), key)?);
                workload.simai = Some(Simai {
                    all_gpus: all,
                    ..simai(workload)
                });
            }
            "pp_comm" => {
                let bytes = Some(self.number(line, words.next(), key)?);
                workload.simai = Some(Simai {
                    pp_comm: bytes,
                    ..simai(workload)
                });
            }
            // Virtual stages and accumulated micro-batches are unrolled in the layers already.
            "vpp" | "ga" => {
                self.positive(line, words.next(), key)?;
            }
            _ => {
                let error = self.error(Some(line), format!("`{}` is no argument of a policy", shown(key)));
                return Err(error.help(
                    "arguments are model_parallel_NPU_group, checkpoints, checkpoint_initiates, ep, pp, vpp, ga, all_gpus, pp_comm",
                ));
            }
        }
        Ok(())
    }

    fn positive(&self, line: usize, word: Option<&str>, what: &str) -> Result<u32, TextError> {
        match self.number(line, word, what)? {
            0 => Err(self.error(Some(line), format!("{what} is 0"))),
            number => Ok(number),
        }
    }

    /// A count and so many layer numbers.
    fn list<'w>(
        &self,
        line: usize,
        words: &mut impl Iterator<Item = &'w str>,
        what: &str,
    ) -> Result<Vec<usize>, TextError> {
        let count: usize = self.number(line, words.next(), what)?;
        let mut list = Vec::new();
        // Not `with_capacity`: the count is the file's claim.
        for _ in 0..count {
            list.push(self.number(line, words.next(), what)?);
        }
        Ok(list)
    }

    fn layer(&self, line: usize, text: &str, policy: Policy) -> Result<Layer, TextError> {
        let words: Vec<&str> = text.split_whitespace().take(14).collect();
        let wanted = if policy == Policy::HybridCustomized {
            13
        } else {
            12
        };
        if words.len() != wanted {
            let what = format!(
                "{} columns; a layer has {wanted}",
                if words.len() > 13 {
                    "more than 13".into()
                } else {
                    words.len().to_string()
                }
            );
            return Err(self.error(Some(line), what).help(
                "name, reserved, then time, type and bytes of the forward pass, input gradient and weight gradient, then the update time",
            ));
        }
        let phase = |column: usize, name: &str| {
            let (comm, scope) = self.comm(line, words[column + 1], name)?;
            Ok::<Phase, TextError>(Phase {
                compute_ns: self.number(line, Some(words[column]), &format!("the time of the {name}"))?,
                comm,
                scope,
                bytes: self.number(line, Some(words[column + 2]), &format!("the size of the {name}"))?,
            })
        };
        let own = match policy {
            Policy::HybridCustomized => Some(self.own_policy(line, words[12])?),
            _ => None,
        };
        Ok(Layer {
            name: words[0].to_owned(),
            fwd: phase(2, "forward pass")?,
            ig: phase(5, "input gradient")?,
            wg: phase(8, "weight gradient")?,
            update_ns: self.number(line, Some(words[11]), "the update time")?,
            policy: own,
        })
    }

    /// The policy of one layer of a customised workload.
    fn own_policy(&self, line: usize, word: &str) -> Result<Policy, TextError> {
        let fits = |policy: &Policy| {
            let unfit = [
                Policy::HybridTransformer,
                Policy::HybridTransformerFwdInBckwd,
                Policy::HybridCustomized,
            ];
            !unfit.contains(policy)
        };
        Policy::from_name(word).filter(fits).ok_or_else(|| {
            let error = self.error(Some(line), format!("`{}` is no policy of a layer", shown(word)));
            error.help("a layer's policy is DATA, MODEL, HYBRID_DATA_MODEL or HYBRID_MODEL_DATA")
        })
    }

    fn comm(&self, line: usize, word: &str, phase: &str) -> Result<(Comm, Scope), TextError> {
        let (base, scope) = match (word.strip_suffix("_DP_EP"), word.strip_suffix("_EP")) {
            (Some(base), _) => (base, Scope::DpEp),
            (None, Some(base)) => (base, Scope::Ep),
            (None, None) => (word, Scope::Usual),
        };
        let comm = match base {
            "NONE" => Comm::None,
            "ALLREDUCE" => Comm::One(CollectiveType::AllReduce),
            "ALLGATHER" => Comm::One(CollectiveType::AllGather),
            "REDUCESCATTER" => Comm::One(CollectiveType::ReduceScatter),
            "ALLTOALL" => Comm::One(CollectiveType::AllToAll),
            "ALLREDUCEALLTOALL" => Comm::AllReduceAllToAll,
            _ => {
                let error = self.error(
                    Some(line),
                    format!("the type of the {phase} is `{}`", shown(word)),
                );
                return Err(error.help(
                    "types are NONE, ALLREDUCE, ALLGATHER, REDUCESCATTER, ALLTOALL, ALLREDUCEALLTOALL; SimAI adds the suffixes _EP and _DP_EP",
                ));
            }
        };
        Ok((comm, scope))
    }

    fn check_indices(&self, workload: &TextWorkload) -> Result<(), TextError> {
        let layers = workload.layers.len();
        let of_checkpoints = workload.checkpoints.iter().chain(&workload.checkpoint_initiates);
        for index in of_checkpoints.chain(&workload.last_bottom_layer) {
            if *index >= layers {
                let what = format!("layer {index} is named, but layers go from 0 to {}", layers - 1);
                return Err(self.error(Some(1), what));
            }
        }
        for index in &workload.checkpoint_initiates {
            if !workload.checkpoints.iter().any(|checkpoint| checkpoint <= index) {
                let what =
                    format!("layer {index} begins a forward pass from a checkpoint, and none lies before it");
                return Err(self.error(Some(1), what));
            }
        }
        Ok(())
    }
}

/// A word of the file for a message: short and without control characters.
fn shown(word: &str) -> String {
    word.chars().take(40).flat_map(char::escape_debug).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(text: &str) -> String {
        parse(text, "w.txt").unwrap_err().to_string()
    }

    #[test]
    fn columns_are_read_in_order() {
        let text = "HYBRID_TRANSFORMER model_parallel_NPU_group: 4\n1\n\nq -1 1 NONE 2 3 ALLREDUCE 4 5 ALLTOALL_DP_EP 6 7\n";
        let workload = parse(text, "w").unwrap();
        assert_eq!(workload.model_group, Some(4));
        let layer = &workload.layers[0];
        assert_eq!(
            (layer.fwd.compute_ns, layer.fwd.comm, layer.fwd.bytes),
            (1, Comm::None, 2)
        );
        assert_eq!((layer.ig.compute_ns, layer.ig.bytes, layer.update_ns), (3, 4, 7));
        assert_eq!((layer.wg.scope, layer.wg.bytes), (Scope::DpEp, 6));
    }

    #[test]
    fn errors_name_the_line() {
        assert_eq!(error("DAAT\n1\n"), "`w.txt`, line 1: `DAAT` is no policy");
        assert_eq!(
            error("DATA\n"),
            "`w.txt`: the second line, the number of layers, is missing"
        );
        assert_eq!(
            error("DATA\n2\na -1 1 NONE 0 1 NONE 0 1 NONE 0 1\n"),
            "`w.txt`, line 2: 2 layers are announced and 1 are there"
        );
        assert_eq!(
            error("DATA\n1\na -1 -5 NONE 0 1 NONE 0 1 NONE 0 1\n"),
            "`w.txt`, line 3: the time of the forward pass is `-5`, no whole number from 0 on"
        );
        assert!(
            error("DATA\n1\na -1 1 SUM 0 1 NONE 0 1 NONE 0 1\n")
                .contains("the type of the forward pass is `SUM`")
        );
        assert!(error("DATA\n1\na -1 1\n").contains("3 columns; a layer has 12"));
        assert!(
            error("HYBRID_DLRM 7\n1\na -1 1 NONE 0 1 NONE 0 1 NONE 0 1\n").contains("layers go from 0 to 0")
        );
        assert!(error("HYBRID_TRANSFORMER\n1\n").contains("needs `model_parallel_NPU_group"));
        let none_before = "HYBRID_TRANSFORMER_FWD_IN_BCKWD model_parallel_NPU_group: 1 checkpoints: 0 checkpoint_initiates: 1 0\n1\na -1 1 NONE 0 1 NONE 0 1 NONE 0 1\n";
        assert!(error(none_before).contains("none lies before it"));
    }
}
