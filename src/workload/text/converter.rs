//! What chakra's own converter (`chakra_converter Text`) makes of a text workload, node by node: its
//! graph, its names and its error of units, nanoseconds written as microseconds. For comparisons with
//! published ASTRA-sim results, which come from such traces.

use super::lower::{metadata, size};
use super::parse::{Comm, Layer, Phase, Policy, TextError, TextWorkload};
use crate::workload::chakra::attributes::{COMM_SIZE, COMM_TYPE};
use crate::workload::chakra::{Attribute, Node, NodeKind, Trace};

/// What must be said whenever these traces are made.
pub const NOTICE: &str = "as chakra's converter does it: every compute time is 1000 times too long (nanoseconds written as microseconds), update times are dropped";

/// What the converter knows of a workload.
#[derive(Debug)]
pub struct Converter {
    workload: TextWorkload,
    passes: u32,
}

impl Converter {
    /// Checks that the converter has the policy.
    ///
    /// # Errors
    /// It has not, or would stop on the layers.
    pub fn new(workload: TextWorkload, passes: u32, name: &str) -> Result<Converter, TextError> {
        let error = |what: String| {
            Err(TextError::new(name, None, what).help("convert it without `--like-chakra-converter`"))
        };
        match workload.policy {
            Policy::Micro
            | Policy::Data
            | Policy::Model
            | Policy::HybridDataModel
            | Policy::HybridModelData => {}
            Policy::HybridDlrm | Policy::HybridDlrmEnhanced => {
                if workload.layers[0].fwd.comm != Comm::One(crate::workload::chakra::CollectiveType::AllToAll)
                {
                    return error(
                        "chakra's converter wants an ALLTOALL in the forward pass of a DLRM's first layer"
                            .into(),
                    );
                }
            }
            policy => return error(format!("chakra's converter does not have {}", policy.name())),
        }
        if workload.layers.len() as u64 * u64::from(passes) > 2_000_000 {
            return error("too many passes".into());
        }
        Ok(Converter {
            workload,
            passes: passes.max(1),
        })
    }

    /// The trace of a rank. Ids go on from rank to rank, as the converter's do.
    pub fn trace(&self, rank: u32) -> Trace {
        let first = u64::from(rank) * self.nodes(0).len() as u64;
        let mut metadata = metadata();
        metadata.version = String::new();
        metadata
            .attributes
            .push(Attribute::new("input_file", self.workload.text.as_str()));
        Trace {
            metadata,
            nodes: self.nodes(first),
        }
    }

    fn nodes(&self, first: u64) -> Vec<Node> {
        let layers = &self.workload.layers;
        let mut conversion = Conversion {
            layers,
            first,
            nodes: Vec::new(),
            made: vec![Made::default(); layers.len()],
        };
        for _ in 0..self.passes {
            match self.workload.policy {
                Policy::Micro => conversion.micro(),
                Policy::Data => conversion.data(),
                Policy::Model => conversion.blocking(false, ""),
                Policy::HybridDataModel => conversion.blocking(true, "_IG_COMM_"),
                Policy::HybridModelData => conversion.blocking(true, ""),
                _ => conversion.dlrm(self.workload.last_bottom_layer.unwrap_or(0)),
            }
        }
        conversion.nodes
    }
}

/// Ids of the nodes that were made of a layer last.
#[derive(Debug, Clone, Copy, Default)]
struct Made {
    fwd: Option<u64>,
    fwd_comm: Option<u64>,
    ig: Option<u64>,
    ig_comm: Option<u64>,
    wg: Option<u64>,
    wg_comm: Option<u64>,
}

struct Conversion<'a> {
    layers: &'a [Layer],
    first: u64,
    nodes: Vec<Node>,
    made: Vec<Made>,
}

impl Conversion<'_> {
    fn micro(&mut self) {
        for index in 0..self.layers.len() {
            self.comm(index, "", self.layers[index].wg, []);
        }
    }

    fn data(&mut self) {
        let last = self.layers.len() - 1;
        for index in 0..=last {
            let before = index.checked_sub(1).and_then(|before| self.made[before].fwd);
            let update = self.made[index].wg_comm;
            self.made[index].fwd = self.compute(index, "FWD", [before, update]);
        }
        for index in (0..=last).rev() {
            let before = if index == last {
                self.made[last].fwd
            } else {
                self.made[index + 1].ig
            };
            let wg = self.compute(index, "BWD_WG", [before]);
            self.made[index].wg_comm = self.comm(index, "", self.layers[index].wg, [wg]);
            if index > 0 {
                self.made[index].ig = self.compute(index, "BWD_IG", [wg]);
            }
        }
    }

    /// MODEL, HYBRID_DATA_MODEL, HYBRID_MODEL_DATA.
    fn blocking(&mut self, weights: bool, mark: &str) {
        let last = self.layers.len() - 1;
        for index in 0..=last {
            let before = index.checked_sub(1).and_then(|before| self.made[before].fwd_comm);
            let parents = match weights {
                true => [self.made[index].wg_comm, before],
                false => [before, self.made[index].wg],
            };
            let fwd = self.compute(index, "FWD", parents);
            self.made[index].fwd_comm = self.comm(index, "", self.layers[index].fwd, [fwd]);
        }
        for index in (0..=last).rev() {
            let ig = match index == last {
                true => self.compute(index, "BWD_IG", [self.made[last].fwd_comm]),
                false => self.compute(
                    index,
                    "BWD_IG",
                    [self.made[index + 1].wg, self.made[index + 1].ig_comm],
                ),
            };
            if index > 0 {
                self.made[index].ig_comm = self.comm(index, mark, self.layers[index].ig, [ig]);
            }
            let wg = self.compute(index, "BWD_WG", [ig]);
            self.made[index].wg = wg;
            if weights {
                self.made[index].wg_comm = self.comm(index, "", self.layers[index].wg, [wg]);
            }
        }
    }

    fn dlrm(&mut self, bottom: usize) {
        let last = self.layers.len() - 1;
        for index in 0..=last {
            let update = self.made[index].wg_comm.or(self.made[index].wg);
            let before = index.checked_sub(1).and_then(|before| self.made[before].fwd);
            let embedding = (index == bottom).then(|| self.made[0].fwd_comm).flatten();
            let fwd = self.compute(index, "FWD", [update, before, embedding]);
            self.made[index].fwd = fwd;
            if self.layers[index].fwd.comm == Comm::One(crate::workload::chakra::CollectiveType::AllToAll) {
                self.made[index].fwd_comm = self.comm(index, "", self.layers[index].fwd, [fwd]);
            }
        }
        for index in (0..=last).rev() {
            let parents = match index == last {
                true => [self.made[last].fwd, None],
                false => [self.made[index + 1].ig, self.made[index].ig_comm],
            };
            let wg = self.compute(index, "BWD_WG", parents);
            self.made[index].wg = wg;
            if self.layers[index].wg.comm != Comm::None {
                self.made[index].wg_comm = self.comm(index, "", self.layers[index].wg, [wg]);
            }
            let ig = (index > 0).then(|| self.compute(index, "BWD_IG", [wg])).flatten();
            if index > 0 {
                self.made[index].ig = ig;
            }
            if index == bottom + 1 {
                self.made[0].ig_comm = self.comm(0, "", self.layers[0].ig, [ig]);
            }
        }
    }

    fn compute<const N: usize>(
        &mut self,
        index: usize,
        phase: &str,
        parents: [Option<u64>; N],
    ) -> Option<u64> {
        let layer = &self.layers[index];
        let time = match phase {
            "FWD" => layer.fwd.compute_ns,
            "BWD_IG" => layer.ig.compute_ns,
            _ => layer.wg.compute_ns,
        };
        let id = self.push(
            format!("COMP_NODE_{}_{phase}", layer.name),
            NodeKind::Comp,
            parents,
        );
        if let Some(node) = self.nodes.last_mut() {
            node.duration_us = time;
        }
        id
    }

    fn comm<const N: usize>(
        &mut self,
        index: usize,
        mark: &str,
        phase: Phase,
        parents: [Option<u64>; N],
    ) -> Option<u64> {
        // What the converter does not know, NONE too, is an all-reduce.
        let (number, word) = match phase.comm {
            Comm::One(collective) => (collective as i64, collective.name().replace('_', "")),
            Comm::None => (0, "NONE".into()),
            Comm::AllReduceAllToAll => (0, "ALLREDUCEALLTOALL".into()),
        };
        let name = format!("COMM_COLL_NODE_{}{mark}_{word}", self.layers[index].name);
        let id = self.push(name, NodeKind::CommColl, parents);
        if let Some(node) = self.nodes.last_mut() {
            node.attributes.push(Attribute::new(COMM_TYPE, number));
            node.attributes.push(Attribute::new(COMM_SIZE, size(phase.bytes)));
        }
        id
    }

    fn push<const N: usize>(
        &mut self,
        name: String,
        kind: NodeKind,
        parents: [Option<u64>; N],
    ) -> Option<u64> {
        let id = self.first + self.nodes.len() as u64;
        let mut node = Node::new(id, name, kind);
        node.data_deps = parents.into_iter().flatten().collect();
        self.nodes.push(node);
        Some(id)
    }
}
