//! Training steps as the graph of one pipeline stage: passes in the pipeline's order, parameters
//! gathered one unit ahead (FSDP: Zhao et al., arXiv 2304.11277, section 3.3), gradients reduced
//! beside the backward pass (DDP: Li et al., arXiv 2006.15704, section 3.2), then the optimizer.

use std::collections::HashMap;

use crate::workload::chakra::CollectiveType;

use super::device::Kernel;
use super::graph::{Graph, Id, Message, Op};
use super::job::{Job, Zero};
use super::layer::{BYTES, Layers, Part};
use super::model::Params;
use super::parallel::Group;
use super::schedule::{Pass, Slot};

/// Bytes that Adam reads and writes for each parameter besides its gradient, in mixed precision (ZeRO,
/// arXiv 1910.02054, section 3.1): master copy and two moments of 4 bytes, both ways, and the new
/// parameter of 2.
const OPTIMIZER_BYTES: u64 = 2 * 12 + BYTES;

/// A piece of the model whose parameters go together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// Embeddings.
    Embedding,
    /// One layer.
    Layer(u32),
    /// Last norm and output matrix.
    Head,
}

/// A unit's turn in a pass.
#[derive(Debug, Clone, Copy)]
struct Turn {
    slot: Slot,
    unit: Unit,
    /// First and last of its slot.
    first: bool,
    last: bool,
}

/// The graph of `stage`, for a job that has been checked.
pub fn stage(job: &Job, stage: u32) -> Vec<Op> {
    let mut step = Step::new(job, stage);
    for number in 0..job.steps {
        step.play(number);
    }
    step.graph.ops
}

/// Units of a part of the pipeline, in the order of the model.
pub fn units(job: &Job, part: u32) -> Vec<Unit> {
    let first = (part == 0).then_some(Unit::Embedding);
    let last = (part + 1 == job.layout.pp * job.chunks).then_some(Unit::Head);
    let layers = job.layers(part).map(Unit::Layer);
    first.into_iter().chain(layers).chain(last).collect()
}

/// Parameters of a unit on one rank.
pub fn unit_params(job: &Job, unit: Unit) -> Params {
    let (tp, ep) = (job.layout.tp.into(), job.layout.ep.into());
    match unit {
        Unit::Embedding => job.model.embedding_params(tp),
        Unit::Layer(layer) => job.model.layer_params(layer, tp, ep),
        Unit::Head => job.model.head_params(tp, !job.model.tied || job.layout.pp > 1),
    }
}

/// Parameters of a stage on one rank.
pub fn stage_params(job: &Job, stage: u32) -> Params {
    let parts = (0..job.chunks).map(|chunk| chunk * job.layout.pp + stage);
    parts
        .flat_map(|part| units(job, part))
        .map(|unit| unit_params(job, unit))
        .sum()
}

struct Step<'a> {
    job: &'a Job,
    layers: Layers<'a>,
    stage: u32,
    number: u32,
    graph: Graph,
    /// What everything of this step comes after.
    start: Vec<Id>,
    /// Gathers of the next turn's parameters, and those of the running one.
    gathered: Vec<Id>,
    /// Where the backward pass of a micro-batch begins, on the last part.
    losses: HashMap<u32, Vec<Id>>,
    /// Gradients that wait for their bucket to be full.
    bucket: Params,
    /// Buckets of the last micro-batch, for sharing what the optimizer makes of them.
    buckets: Vec<Params>,
    /// Collectives that the optimizer waits for.
    reduced: Vec<Id>,
}

impl<'a> Step<'a> {
    fn new(job: &'a Job, stage: u32) -> Self {
        Step {
            job,
            layers: Layers::new(job),
            stage,
            number: 0,
            graph: Graph::new(job.roofline(), scale(job), job.order, job.layout.places()),
            start: Vec::new(),
            gathered: Vec::new(),
            losses: HashMap::new(),
            bucket: Params::default(),
            buckets: Vec::new(),
            reduced: Vec::new(),
        }
    }

    fn play(&mut self, number: u32) {
        self.number = number;
        let turns: Vec<Turn> = self
            .job
            .pipeline()
            .order(self.stage)
            .iter()
            .flat_map(|slot| self.turns(slot))
            .collect();
        // Where the turn before the running one ended: the next one's parameters may come then.
        let mut before = self.start.clone();
        for (index, turn) in turns.iter().enumerate() {
            if index == 0 {
                self.gathered = self.gather(turn, &before);
            }
            let gathered = self.gathered.clone();
            if let Some(next) = turns.get(index + 1).filter(|next| next.unit != turn.unit) {
                self.gathered = self.gather(next, &before);
            }
            self.take(turn, &gathered);
            before = self.graph.last_compute().into_iter().collect();
        }
        self.update();
    }

    fn part(&self, slot: &Slot) -> u32 {
        slot.chunk * self.job.layout.pp + self.stage
    }

    fn turns(&self, slot: &Slot) -> Vec<Turn> {
        let mut units = units(self.job, self.part(slot));
        if slot.pass == Pass::Backward {
            units.reverse();
        }
        let last = units.len() - 1;
        let turn = |(index, unit)| Turn {
            slot: *slot,
            unit,
            first: index == 0,
            last: index == last,
        };
        units.into_iter().enumerate().map(turn).collect()
    }

    fn take(&mut self, turn: &Turn, gathered: &[Id]) {
        if turn.first {
            self.begin(&turn.slot);
        }
        self.graph.heads.extend(gathered);
        let (mark, parts) = self.parts(turn);
        for part in parts {
            let name = |what: &str| format!("{mark} {what}");
            match part {
                Part::Compute(what, kernels) => {
                    self.graph.compute(name(what), &kernels);
                }
                Part::Collective(what, collective, group, bytes) => {
                    self.graph.collective(name(what), collective, group, bytes);
                }
                Part::Beside(what, collective, group, bytes) => {
                    self.graph.collective_beside(name(what), collective, group, bytes);
                }
            }
        }
        if turn.slot.pass == Pass::Backward {
            self.gradients(turn, &mark);
        }
        if turn.last {
            self.end(&turn.slot);
        }
    }

    fn parts(&self, turn: &Turn) -> (String, Vec<Part>) {
        let Slot {
            pass, micro_batch, ..
        } = turn.slot;
        let forward = pass == Pass::Forward;
        let (place, parts) = match turn.unit {
            Unit::Embedding if forward => (String::from("embed"), self.layers.embed()),
            Unit::Embedding => (String::from("embed"), self.layers.embed_backward()),
            Unit::Layer(layer) if forward => (format!("layer {layer}"), self.layers.forward(layer)),
            Unit::Layer(layer) => (format!("layer {layer}"), self.layers.backward(layer)),
            Unit::Head if forward => (String::from("head"), self.layers.head()),
            Unit::Head => (String::from("head"), self.layers.head_backward()),
        };
        (format!("{} {micro_batch} {place}:", direction(pass)), parts)
    }

    /// Input of a pass: from the neighbouring stage, from the loss, or from nobody.
    fn begin(&mut self, slot: &Slot) {
        let part = self.part(slot);
        self.graph.heads = self.start.clone();
        let from = match slot.pass {
            Pass::Forward if part == 0 => return,
            Pass::Forward => part - 1,
            Pass::Backward if part + 1 == self.job.layout.pp * self.job.chunks => {
                self.graph.heads = self.losses.remove(&slot.micro_batch).unwrap_or_default();
                return;
            }
            Pass::Backward => part + 1,
        };
        let message = self.message(slot, from, from);
        let name = format!("{} {} receive", direction(slot.pass), slot.micro_batch);
        self.graph.receive(name, message);
    }

    /// Output of a pass: to the neighbouring stage, kept for the backward pass, or nothing.
    fn end(&mut self, slot: &Slot) {
        let part = self.part(slot);
        let last = part + 1 == self.job.layout.pp * self.job.chunks;
        let to = match slot.pass {
            Pass::Forward if last => {
                self.losses.insert(slot.micro_batch, self.graph.heads.clone());
                return;
            }
            Pass::Forward => part + 1,
            Pass::Backward if part == 0 => return,
            Pass::Backward => part - 1,
        };
        let message = self.message(slot, to, part);
        let name = format!("{} {} send", direction(slot.pass), slot.micro_batch);
        self.graph.send(name, message);
    }

    /// The tag names the pass, micro-batch, step and the part that sends.
    fn message(&self, slot: &Slot, peer: u32, sender: u32) -> Message {
        let Job { layout, chunks, .. } = self.job;
        let batch = self.number * self.job.micro_batches + slot.micro_batch;
        let tag = (batch * layout.pp * chunks + sender) * 2 + u32::from(slot.pass == Pass::Backward);
        Message {
            stage: peer % layout.pp,
            tag,
            bytes: self.layers.message_bytes(),
        }
    }

    /// Parameters of a unit from the ranks that share them; not before `after`.
    fn gather(&mut self, turn: &Turn, after: &[Id]) -> Vec<Id> {
        if self.job.zero < Zero::Parameters {
            return Vec::new();
        }
        let mark = format!("{} {}", direction(turn.slot.pass), turn.slot.micro_batch);
        let params = unit_params(self.job, turn.unit);
        self.share(
            &format!("{mark} {:?}: gather parameters", turn.unit),
            params,
            after,
        )
    }

    /// All-gathers of parameters, each rank's part being its share of them.
    fn share(&mut self, name: &str, params: Params, after: &[Id]) -> Vec<Id> {
        let mut ids = Vec::new();
        for (group, count) in self.shared(params) {
            let own = (count * BYTES).div_ceil(self.job.layout.size(group).into());
            let gather = CollectiveType::AllGather;
            ids.push(
                self.graph
                    .apart(name.into(), gather, group, own, Vec::new(), after.to_vec()),
            );
        }
        ids
    }

    /// Parameters by the group that has copies of them, where there is more than one.
    fn shared(&self, params: Params) -> impl Iterator<Item = (Group, u64)> + use<> {
        let layout = self.job.layout;
        let list = [(Group::Data, params.dense), (Group::ExpertData, params.expert)];
        list.into_iter()
            .filter(move |(group, count)| *count > 0 && layout.size(*group) > 1)
    }

    fn gradients(&mut self, turn: &Turn, mark: &str) {
        let last = turn.slot.micro_batch + 1 == self.job.micro_batches;
        if !last && self.job.zero < Zero::Gradients {
            return;
        }
        self.bucket = self.bucket + unit_params(self.job, turn.unit);
        let full = self.bucket.total() * self.job.gradient_bytes >= self.job.bucket_bytes;
        if full || turn.last || self.job.zero == Zero::Parameters {
            self.reduce(mark, last);
        }
    }

    fn reduce(&mut self, mark: &str, last: bool) {
        let bucket = std::mem::take(&mut self.bucket);
        let collective = match self.job.zero {
            Zero::Off => CollectiveType::AllReduce,
            _ => CollectiveType::ReduceScatter,
        };
        let data: Vec<Id> = self.graph.last_compute().into_iter().collect();
        for (group, count) in self.shared(bucket) {
            let bytes = count * self.job.gradient_bytes;
            let name = format!("{mark} reduce gradients");
            let id = self
                .graph
                .apart(name, collective, group, bytes, data.clone(), Vec::new());
            self.reduced.push(id);
        }
        if last {
            self.buckets.push(bucket);
        }
    }

    /// The end of a step: gradients of what several ranks have, the optimizer, and new parameters.
    fn update(&mut self) {
        self.reduce_replicated();
        self.reduce_embedding();
        self.graph.heads = std::mem::take(&mut self.reduced);
        let params = self.optimized();
        let bytes = u128::from(params) * u128::from(OPTIMIZER_BYTES + self.job.gradient_bytes);
        let optimizer = self
            .graph
            .compute(String::from("optimizer"), &[Kernel { flops: 0, bytes }]);
        self.start = vec![optimizer];
        let buckets = std::mem::take(&mut self.buckets);
        if matches!(self.job.zero, Zero::Optimizer | Zero::Gradients) {
            for bucket in buckets {
                let gathers = self.share("gather new parameters", bucket, &[optimizer]);
                self.start.extend(gathers);
            }
        }
    }

    /// Parameters that this rank updates.
    fn optimized(&self) -> u64 {
        let params = stage_params(self.job, self.stage);
        let size = |group| match self.job.zero {
            Zero::Off => 1,
            _ => u64::from(self.job.layout.size(group)),
        };
        params.dense.div_ceil(size(Group::Data)) + params.expert.div_ceil(size(Group::ExpertData))
    }

    /// With sequence parallelism each tensor-parallel rank has seen other tokens, so gradients of norms
    /// and routers are summed (as Megatron-LM does).
    fn reduce_replicated(&mut self) {
        if self.job.shares_sequence() {
            let params = stage_params(self.job, self.stage).replicated;
            self.reduce_late("reduce gradients of norms", Group::Tensor, params);
        }
    }

    /// A tied embedding lies on the first and the last stage (2104.04473 calls it the embedding group in
    /// Megatron-LM's code).
    fn reduce_embedding(&mut self) {
        let pp = self.job.layout.pp;
        if self.job.model.tied && pp > 1 && (self.stage == 0 || self.stage + 1 == pp) {
            let model = &self.job.model;
            let params = model.vocab.div_ceil(self.job.layout.tp.into()) * model.hidden;
            self.reduce_late("reduce gradients of the embedding", Group::Embedding, params);
        }
    }

    /// After all other gradients; of shared gradients only the own part.
    fn reduce_late(&mut self, name: &str, group: Group, params: u64) {
        let share = match self.job.zero {
            Zero::Off => 1,
            _ => u64::from(self.job.layout.replicas()),
        };
        let bytes = params.div_ceil(share) * self.job.gradient_bytes;
        let mut data = std::mem::take(&mut self.reduced);
        data.extend(self.graph.last_compute());
        let id = self.graph.apart(
            name.into(),
            CollectiveType::AllReduce,
            group,
            bytes,
            data,
            Vec::new(),
        );
        self.reduced = vec![id];
    }
}

fn direction(pass: Pass) -> &'static str {
    match pass {
        Pass::Forward => "F",
        Pass::Backward => "B",
    }
}

/// A given time of the last layer's forward pass over that of the roofline.
fn scale(job: &Job) -> f64 {
    let Some(given) = job.layer_ns else {
        return 1.0;
    };
    let roofline = job.roofline();
    let parts = Layers::new(job).forward(job.model.layers - 1);
    let kernels = parts.iter().flat_map(|part| match part {
        Part::Compute(_, kernels) => kernels.as_slice(),
        _ => &[],
    });
    given as f64 / kernels.map(|kernel| roofline.ns(kernel)).sum::<f64>()
}
