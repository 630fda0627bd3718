//! From layers to nodes, by the training loops of ASTRA-sim 1.0 (`workload/Workload.cc`, branch
//! ASTRA-sim-1.0): compute is one thread; a forward collective is waited for, others overlap until
//! their result is needed; after each collective comes the layer's update time.

use std::collections::BTreeSet;

use super::layout::{Groups, Kind, Layout};
use super::parse::{Comm, Layer, Phase, Policy, Scope, TextError, TextWorkload};
use crate::workload::chakra::attributes::{COMM_SIZE, COMM_TYPE, INVOLVED_DIM, IS_CPU_OP, PG_NAME};
use crate::workload::chakra::{Attribute, CollectiveType, Metadata, Node, NodeKind, Trace, Value};

/// A trace of more nodes than this is refused: nobody means it.
const MOST_NODES: u64 = 4_000_000;
/// Likewise ranks.
const MOST_NPUS: u32 = 1 << 20;
/// How many dimensions a list of them names when the network is not known (as many as ASTRA-sim 1.0).
const DIMS: usize = 10;

/// What the file does not say.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Options {
    /// Ranks; a SimAI file says them itself.
    pub npus: Option<u32>,
    /// How often the training loop runs; at least 1.
    pub passes: u32,
    /// Ranks of each dimension of the network, if known.
    pub dims: Vec<u32>,
}

/// A text workload that is ready to become traces.
#[derive(Debug)]
pub struct Program {
    workload: TextWorkload,
    layout: Layout,
    groups: Groups,
    passes: u32,
    /// How many leading dimensions of how many are a model-parallel group, where that is so.
    split: Option<usize>,
    dims: Option<usize>,
    notices: Vec<String>,
}

/// Who takes part in a collective.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Members {
    Nobody,
    Everyone,
    Group(u32),
    Dims(Vec<bool>),
}

/// Which of a layer's three collectives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Pass {
    Forward,
    InputGradient,
    WeightGradient,
}

impl Program {
    /// Decides who talks to whom. `name` stands for the file in errors.
    ///
    /// # Errors
    /// Ranks that are not said or cannot be cut into the groups; dimensions of another product;
    /// traces beyond all measure.
    pub fn new(workload: TextWorkload, options: &Options, name: &str) -> Result<Program, TextError> {
        let error = |what: String| TextError::new(name, None, what);
        let simai = workload.simai.clone().unwrap_or_default();
        let dims_product = options
            .dims
            .iter()
            .try_fold(1u32, |product, dim| product.checked_mul(*dim));
        let known = (!options.dims.is_empty()).then_some(dims_product).flatten();
        let npus = options.npus.or(known).or(simai.all_gpus).filter(|npus| *npus > 0);
        let npus = npus.ok_or_else(|| {
            error("for how many ranks is it? the file does not say".into()).help("say `--npus N`")
        })?;
        if npus > MOST_NPUS {
            return Err(error(format!("{npus} ranks are too many (at most {MOST_NPUS})")));
        }
        if !options.dims.is_empty() && known != Some(npus) {
            return Err(error(format!(
                "{npus} ranks are not the product of the dimensions {:?}",
                options.dims
            )));
        }
        let passes = options.passes.max(1);
        let nodes = workload.layers.len() as u64 * u64::from(passes) * 12;
        if nodes > MOST_NODES {
            return Err(error(format!(
                "{passes} passes of {} layers are too many",
                workload.layers.len()
            )));
        }
        let layout = Layout {
            npus,
            tp: workload.model_group.unwrap_or(1),
            ep: simai.ep.max(1),
            pp: simai.pp.max(1),
        };
        layout.check().map_err(error)?;
        let split = split(&workload, &options.dims, layout.tp);
        let mut program = Program {
            workload,
            layout,
            groups: Groups::default(),
            passes,
            split,
            dims: (!options.dims.is_empty()).then_some(options.dims.len()),
            notices: Vec::new(),
        };
        program.groups = Groups::of(&layout, program.kinds());
        program.notices = program.remarks();
        Ok(program)
    }

    /// How many ranks.
    pub fn npus(&self) -> u32 {
        self.layout.npus
    }

    /// The comm groups that the traces name.
    pub fn groups(&self) -> &Groups {
        &self.groups
    }

    /// What the user should know of the conversion.
    pub fn notices(&self) -> &[String] {
        &self.notices
    }

    /// The trace of a rank.
    pub fn trace(&self, rank: u32) -> Trace {
        let mut lowering = Lowering {
            program: self,
            rank,
            nodes: Vec::new(),
            before: Vec::new(),
            gradients: vec![Vec::new(); self.workload.layers.len()],
            suffix: String::new(),
        };
        for pass in 0..self.passes {
            if pass > 0 {
                lowering.suffix = format!(" pass {}", pass + 1);
            }
            lowering.pass();
        }
        Trace {
            metadata: metadata(),
            nodes: lowering.nodes,
        }
    }

    /// Kinds of groups that some collective is among.
    fn kinds(&self) -> BTreeSet<Kind> {
        if self.workload.model_group.is_none() || self.split.is_some() {
            return BTreeSet::new();
        }
        let phases = |layer: &Layer| {
            let all = [
                (Pass::Forward, layer.fwd),
                (Pass::InputGradient, layer.ig),
                (Pass::WeightGradient, layer.wg),
            ];
            all.into_iter()
                .filter(|(_, phase)| phase.comm != Comm::None && phase.bytes > 0)
        };
        let layers = self.workload.layers.iter();
        layers
            .flat_map(phases)
            .map(|(pass, phase)| kind(pass, phase.scope))
            .collect()
    }

    fn members(&self, layer: &Layer, index: usize, pass: Pass, scope: Scope, rank: u32) -> Members {
        let policy = layer.policy.unwrap_or(self.workload.policy);
        let weights = pass == Pass::WeightGradient;
        let chosen = |chosen: bool| {
            if chosen {
                Members::Everyone
            } else {
                Members::Nobody
            }
        };
        match policy {
            Policy::HybridDlrm | Policy::HybridDlrmEnhanced if index == 0 => Members::Everyone,
            Policy::Data | Policy::HybridDlrm | Policy::HybridDlrmEnhanced | Policy::Micro => chosen(weights),
            Policy::Model | Policy::DistributedInference => chosen(!weights),
            Policy::HybridDataModel => self.dims_below(1, !weights),
            Policy::HybridModelData => self.dims_below(1, weights),
            Policy::HybridCustomized => Members::Nobody,
            Policy::HybridTransformer | Policy::HybridTransformerFwdInBckwd => match self.split {
                Some(split) => self.dims_below(split, !weights),
                None => self.group(kind(pass, scope), rank),
            },
        }
    }

    /// The first `split` dimensions, or the others.
    fn dims_below(&self, split: usize, first: bool) -> Members {
        let dims = self.dims.unwrap_or(DIMS);
        let mask: Vec<bool> = (0..dims).map(|dim| (dim < split) == first).collect();
        if mask.iter().all(|dim| !dim) {
            Members::Nobody
        } else if mask.iter().all(|dim| *dim) {
            Members::Everyone
        } else {
            Members::Dims(mask)
        }
    }

    fn group(&self, kind: Kind, rank: u32) -> Members {
        let size = self.layout.size(kind);
        match self.groups.id(&self.layout, kind, rank) {
            Some(id) => Members::Group(id),
            None if size == self.layout.npus && size > 1 => Members::Everyone,
            None => Members::Nobody,
        }
    }

    /// Bytes as Chakra counts them: SimAI writes what an all-gather gives, Chakra what a rank adds.
    fn bytes(&self, collective: CollectiveType, phase: Phase, pass: Pass) -> u64 {
        if self.workload.simai.is_some() && collective == CollectiveType::AllGather {
            return phase
                .bytes
                .div_ceil(u64::from(self.layout.size(kind(pass, phase.scope)).max(1)));
        }
        phase.bytes
    }

    fn remarks(&self) -> Vec<String> {
        let mut notices = Vec::new();
        let uses_dims = |policy: Policy| matches!(policy, Policy::HybridDataModel | Policy::HybridModelData);
        let mut policies = self
            .workload
            .layers
            .iter()
            .map(|layer| layer.policy.unwrap_or(self.workload.policy));
        if policies.any(uses_dims) {
            notices.push(match self.dims {
                None => "model and data parallelism are on different dimensions of the network (attribute involved_dim); say --dims to have them checked".into(),
                Some(1) => "the network has one dimension, which is the model's or the data's: collectives of the other are left out, as ASTRA-sim 1.0 does".into(),
                Some(_) => "model and data parallelism are on different dimensions of the network (attribute involved_dim)".to_owned(),
            });
        }
        let both = |layer: &Layer| {
            [layer.fwd, layer.ig, layer.wg]
                .iter()
                .any(|phase| phase.comm == Comm::AllReduceAllToAll)
        };
        if self.workload.layers.iter().any(both) {
            notices.push("ALLREDUCEALLTOALL becomes an all-reduce and an all-to-all after it; ASTRA-sim 1.0 knows the name and stops there".into());
        }
        if self.workload.policy == Policy::Micro && self.workload.layers.len() > 1 {
            notices.push(
                "MICRO: the weight-gradient collectives of all layers; ASTRA-sim 1.0 plays the first only"
                    .into(),
            );
        }
        if let Some(simai) = &self.workload.simai {
            notices.push("sizes of all-gathers are divided by their group: SimAI writes the output, Chakra the contribution of a rank".into());
            if simai.pp > 1 {
                notices.push(format!(
                    "{} pipeline stages: the file has the layers of one of them, and every rank plays these; transfers between stages{} are not in the file and not made",
                    simai.pp,
                    simai.pp_comm.map(|bytes| format!(" ({bytes} bytes)")).unwrap_or_default()
                ));
            }
        }
        notices
    }
}

/// Where the first dimensions make up just a model-parallel group.
fn split(workload: &TextWorkload, dims: &[u32], tp: u32) -> Option<usize> {
    if workload.simai.is_some() || workload.model_group.is_none() {
        return None;
    }
    let mut product = 1;
    let prefixes = std::iter::once(1).chain(dims.iter().map(|dim| {
        product *= dim;
        product
    }));
    (!dims.is_empty())
        .then(|| {
            prefixes
                .collect::<Vec<u32>>()
                .iter()
                .position(|prefix| *prefix == tp)
        })
        .flatten()
}

fn kind(pass: Pass, scope: Scope) -> Kind {
    match (scope, pass) {
        (Scope::Ep, _) => Kind::Ep,
        (Scope::DpEp, _) => Kind::DpEp,
        (Scope::Usual, Pass::WeightGradient) => Kind::Dp,
        (Scope::Usual, _) => Kind::Tp,
    }
}

/// What converted traces say of themselves.
pub(super) fn metadata() -> Metadata {
    Metadata {
        version: "0.0.4".into(),
        attributes: vec![Attribute::new("schema", "1.0.2-chakra.0.0.4")],
    }
}

/// One rank's thread through the layers.
struct Lowering<'a> {
    program: &'a Program,
    rank: u32,
    nodes: Vec<Node>,
    /// What the next step waits for.
    before: Vec<u64>,
    /// Of each layer, what ends its weight gradient's communication of the last pass.
    gradients: Vec<Vec<u64>>,
    suffix: String,
}

impl Lowering<'_> {
    fn pass(&mut self) {
        match self.program.workload.policy {
            Policy::Micro => self.micro(),
            Policy::Data => self.data(),
            Policy::HybridDlrm => self.dlrm(true),
            Policy::HybridDlrmEnhanced => self.dlrm(false),
            Policy::DistributedInference => self.forward(0..self.layers()),
            _ => self.hybrid(),
        }
    }

    fn layers(&self) -> usize {
        self.program.workload.layers.len()
    }

    fn micro(&mut self) {
        for index in 0..self.layers() {
            self.before.clear();
            self.communicate(index, Pass::WeightGradient);
        }
    }

    fn data(&mut self) {
        for index in 0..self.layers() {
            self.wait_for_gradient(index);
            self.compute(index, Pass::Forward);
        }
        for index in (0..self.layers()).rev() {
            self.compute(index, Pass::WeightGradient);
            self.gradients[index] = self.communicate(index, Pass::WeightGradient);
            if index > 0 {
                self.compute(index, Pass::InputGradient);
            }
        }
    }

    /// MODEL and the hybrids: forward collectives block, those of input gradients overlap with the
    /// compute of weight gradients, those of weight gradients with all that follows.
    fn hybrid(&mut self) {
        let policy = self.program.workload.policy;
        let transformer = matches!(
            policy,
            Policy::HybridTransformer | Policy::HybridTransformerFwdInBckwd
        );
        self.forward(0..self.layers());
        for index in (0..self.layers()).rev() {
            self.recompute(index);
            self.compute(index, Pass::InputGradient);
            let communicates = index > 0 || transformer;
            let input = if communicates {
                self.communicate(index, Pass::InputGradient)
            } else {
                Vec::new()
            };
            self.compute(index, Pass::WeightGradient);
            if policy != Policy::Model {
                self.gradients[index] = self.communicate(index, Pass::WeightGradient);
            }
            self.before.extend(input);
        }
    }

    /// The embedding's all-to-all overlaps with the bottom MLP, and back likewise.
    fn dlrm(&mut self, waits: bool) {
        let bottom = self.program.workload.last_bottom_layer.unwrap_or(0);
        let mut embedding = Vec::new();
        for index in 0..self.layers() {
            self.wait_for_gradient(index);
            self.compute(index, Pass::Forward);
            let all_to_all = Comm::One(CollectiveType::AllToAll);
            if self.program.workload.layers[index].fwd.comm == all_to_all {
                let made = self.communicate(index, Pass::Forward);
                if index == 0 {
                    embedding = made;
                }
            } else if index == bottom {
                self.before.append(&mut embedding);
            }
        }
        let mut gradient = Vec::new();
        for index in (0..self.layers()).rev() {
            self.compute(index, Pass::WeightGradient);
            self.gradients[index] = self.communicate(index, Pass::WeightGradient);
            if index > 0 {
                self.compute(index, Pass::InputGradient);
                if index == bottom + 1 {
                    gradient = self.communicate(0, Pass::InputGradient);
                }
            }
        }
        if waits {
            self.before.append(&mut gradient);
        }
    }

    fn forward(&mut self, layers: std::ops::Range<usize>) {
        for index in layers {
            self.wait_for_gradient(index);
            self.compute(index, Pass::Forward);
            let made = self.communicate(index, Pass::Forward);
            self.before.extend(made);
        }
    }

    /// The forward pass again, from the last checkpoint to before this layer.
    fn recompute(&mut self, index: usize) {
        let workload = &self.program.workload;
        if !workload.checkpoint_initiates.contains(&index) {
            return;
        }
        let checkpoints = workload
            .checkpoints
            .iter()
            .filter(|checkpoint| **checkpoint <= index);
        if let Some(checkpoint) = checkpoints.max() {
            let suffix = self.suffix.clone();
            self.suffix += " again";
            self.forward(*checkpoint..index);
            self.suffix = suffix;
        }
    }

    fn wait_for_gradient(&mut self, index: usize) {
        let mut gradient = std::mem::take(&mut self.gradients[index]);
        self.before.append(&mut gradient);
    }

    fn compute(&mut self, index: usize, pass: Pass) {
        let layer = &self.program.workload.layers[index];
        let (phase, name) = of(layer, pass);
        if phase.compute_ns > 0 {
            let name = format!("{} {name}{}", layer.name, self.suffix);
            let id = self.node(name, NodeKind::Comp, phase.compute_ns);
            self.before = vec![id];
        }
    }

    /// The collectives of a phase; gives what ends them.
    fn communicate(&mut self, index: usize, pass: Pass) -> Vec<u64> {
        let program = self.program;
        let layer = &program.workload.layers[index];
        let (phase, name) = of(layer, pass);
        let members = program.members(layer, index, pass, phase.scope, self.rank);
        let collectives: &[CollectiveType] = match &phase.comm {
            Comm::None => &[],
            Comm::One(one) => std::slice::from_ref(one),
            Comm::AllReduceAllToAll => &[CollectiveType::AllReduce, CollectiveType::AllToAll],
        };
        if members == Members::Nobody || phase.bytes == 0 || collectives.is_empty() {
            return Vec::new();
        }
        // A side branch: the thread goes on from where it was.
        let thread = self.before.clone();
        for collective in collectives {
            let id = self.node(
                format!("{} {name} {collective}{}", layer.name, self.suffix),
                NodeKind::CommColl,
                0,
            );
            let bytes = program.bytes(*collective, phase, pass);
            self.collective(*collective, bytes, &members);
            self.before = vec![id];
        }
        if layer.update_ns > 0 {
            let id = self.node(
                format!("{} {name} update{}", layer.name, self.suffix),
                NodeKind::Comp,
                layer.update_ns,
            );
            self.before = vec![id];
        }
        std::mem::replace(&mut self.before, thread)
    }

    fn node(&mut self, name: String, kind: NodeKind, ns: u64) -> u64 {
        let id = self.nodes.len() as u64;
        let mut node = Node::new(id, name, kind).with(IS_CPU_OP, false);
        node.set_duration_ns(ns);
        node.data_deps.clone_from(&self.before);
        self.nodes.push(node);
        id
    }

    /// Says of the last node which collective it is.
    fn collective(&mut self, collective: CollectiveType, bytes: u64, members: &Members) {
        let Some(node) = self.nodes.last_mut() else { return };
        let mut add = |name: &str, value: Value| node.attributes.push(Attribute::new(name, value));
        add(COMM_TYPE, Value::Int64(collective as i64));
        add(COMM_SIZE, size(bytes));
        match members {
            Members::Group(id) => add(PG_NAME, Value::String(id.to_string())),
            Members::Dims(mask) => add(INVOLVED_DIM, Value::BoolList(mask.clone())),
            Members::Everyone | Members::Nobody => {}
        }
    }
}

/// Feeders of version 1 want `int64`.
pub(super) fn size(bytes: u64) -> Value {
    i64::try_from(bytes).map_or(Value::Uint64(bytes), Value::Int64)
}

fn of(layer: &Layer, pass: Pass) -> (Phase, &'static str) {
    match pass {
        Pass::Forward => (layer.fwd, "fwd"),
        Pass::InputGradient => (layer.ig, "ig"),
        Pass::WeightGradient => (layer.wg, "wg"),
    }
}

#[cfg(test)]
mod tests {
    use super::super::parse::parse;
    use super::*;

    const TWO: &str = "a -1 10 ALLREDUCE 64 20 ALLGATHER 65 30 REDUCESCATTER 66 7\nb -1 11 ALLREDUCE 67 21 ALLGATHER 68 31 REDUCESCATTER 69 0\n";

    fn lowered(head: &str, options: Options, rank: u32) -> Vec<String> {
        let workload = parse(&format!("{head}\n2\n{TWO}"), "w").unwrap();
        let program = Program::new(workload.clone(), &options, "w").unwrap();
        let trace = program.trace(rank);
        let line = |node: &Node| {
            let group = node.group().unwrap();
            let dims = node.involved_dim().unwrap().unwrap_or_default();
            let dims: String = dims.iter().map(|dim| if *dim { '1' } else { '0' }).collect();
            let ns = node.duration_ns().unwrap();
            format!("{} {} {:?} {ns}{group}{dims}", node.id, node.name, node.data_deps)
        };
        trace.nodes.iter().map(line).collect()
    }

    fn four() -> Options {
        Options {
            npus: Some(4),
            ..Options::default()
        }
    }

    /// The gradient of b is on its way while a is computed; the second pass waits for the updates.
    #[test]
    fn data_parallel() {
        let twice = Options { passes: 2, ..four() };
        let nodes = lowered("DATA", twice, 0);
        let shown = nodes[..10].join("\n");
        let wanted = "0 a fwd [] 10\n1 b fwd [0] 11\n2 b wg [1] 31\n3 b wg REDUCE_SCATTER [2] 0\n\
                      4 b ig [2] 21\n5 a wg [4] 30\n6 a wg REDUCE_SCATTER [5] 0\n7 a wg update [6] 7\n\
                      8 a fwd pass 2 [5, 7] 10\n9 b fwd pass 2 [8, 3] 11";
        assert_eq!(shown, wanted);
    }

    #[test]
    fn model_parallel_waits_forward_and_overlaps_backward() {
        let nodes = lowered("MODEL", four(), 0).join("\n");
        let wanted = "0 a fwd [] 10\n1 a fwd ALL_REDUCE [0] 0\n2 a fwd update [1] 7\n3 b fwd [0, 2] 11\n\
                      4 b fwd ALL_REDUCE [3] 0\n5 b ig [3, 4] 21\n6 b ig ALL_GATHER [5] 0\n7 b wg [5] 31\n\
                      8 a ig [7, 6] 20\n9 a wg [8] 30";
        assert_eq!(nodes, wanted);
    }

    #[test]
    fn transformers_have_groups_or_dimensions() {
        let head = "HYBRID_TRANSFORMER model_parallel_NPU_group: 2";
        let grouped = lowered(head, four(), 3);
        // Ranks 2 and 3 are model-parallel group 2; ranks 1 and 3 are data-parallel group 4.
        assert!(grouped[1].ends_with("02"), "{}", grouped[1]);
        assert!(
            grouped
                .iter()
                .any(|line| line.contains("REDUCE_SCATTER") && line.ends_with("04"))
        );
        let dims = Options {
            dims: vec![2, 2],
            ..Options::default()
        };
        assert!(lowered(head, dims, 3)[1].ends_with("010"));
    }

    #[test]
    fn checkpoints_are_recomputed_from() {
        let head = "HYBRID_TRANSFORMER_FWD_IN_BCKWD model_parallel_NPU_group: 4 checkpoints: 1 0 checkpoint_initiates: 1 1";
        let nodes = lowered(head, four(), 0);
        assert!(
            nodes.iter().any(|line| line.contains("a fwd again [")),
            "{nodes:?}"
        );
        assert!(!nodes.iter().any(|line| line.contains("b fwd again")));
    }

    #[test]
    fn simai_gathers_are_divided() {
        let head = "HYBRID_TRANSFORMER_FWD_IN_BCKWD model_parallel_NPU_group: 2 ep: 1 pp: 1 vpp: 1 ga: 1 all_gpus: 4 checkpoints: 0 checkpoint_initiates: 0";
        let workload = parse(&format!("{head}\n2\n{TWO}"), "w").unwrap();
        let trace = Program::new(workload.clone(), &Options::default(), "w")
            .unwrap()
            .trace(0);
        let gathers = trace.nodes.iter().filter(|node| node.name == "b ig ALL_GATHER");
        let sizes: Vec<u64> = gathers
            .map(|node| node.required_u64(COMM_SIZE).unwrap())
            .collect();
        assert_eq!(sizes, [34]);
    }

    #[test]
    fn the_unsayable_is_refused() {
        let workload = parse(&format!("DATA\n2\n{TWO}"), "w").unwrap();
        let error = |options: Options| {
            Program::new(workload.clone(), &options, "w")
                .unwrap_err()
                .to_string()
        };
        assert!(error(Options::default()).contains("for how many ranks"));
        let passes = u32::MAX;
        assert!(error(Options { passes, ..four() }).contains("too many"));
        let dims = vec![3];
        assert!(error(Options { dims, ..four() }).contains("not the product"));
    }
}
