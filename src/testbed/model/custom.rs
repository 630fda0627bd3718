//! Custom collective algorithms from Chakra files, one per position: `<prefix>.<position>.et`.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use super::inputs::ModelError;
use crate::system::config::SystemConfig;
use crate::system::op::Collective;
use crate::system::phase::graph::{AlgorithmGraph, Step, StepKind};
use crate::system::setup::{COLLECTIVES, CustomAlgorithm, CustomSource};
use crate::workload::chakra::attributes::{COMM_DST, COMM_SIZE, COMM_SRC, COMM_TAG};
use crate::workload::chakra::{self, AttributeError, Node, NodeKind};

/// Algorithms of all positions, by prefix.
#[derive(Debug, Default)]
pub struct CustomFiles {
    /// Positions of each prefix; `None` where there is no file.
    algorithms: Vec<Vec<Option<Arc<AlgorithmGraph>>>>,
    by_node: BTreeMap<u64, usize>,
    by_collective: [Option<usize>; 4],
}

impl CustomFiles {
    /// Reads every algorithm that a configuration names, for up to `npus` positions; `None` if it
    /// names none.
    ///
    /// # Errors
    /// Files that cannot be read or hold no algorithm; a prefix without any file.
    pub fn read(
        config: &SystemConfig,
        by_node: &BTreeMap<u64, String>,
        npus: u32,
    ) -> Result<Option<Self>, ModelError> {
        let lists = [
            &config.all_reduce,
            &config.all_gather,
            &config.reduce_scatter,
            &config.all_to_all,
        ];
        let mut files = CustomFiles::default();
        let mut known: BTreeMap<String, usize> = BTreeMap::new();
        let mut place = |algorithms: &mut Vec<_>, prefix: &String| -> Result<usize, ModelError> {
            if let Some(&place) = known.get(prefix) {
                return Ok(place);
            }
            algorithms.push(positions(prefix, npus)?);
            known.insert(prefix.clone(), algorithms.len() - 1);
            Ok(algorithms.len() - 1)
        };
        for (at, list) in lists.into_iter().enumerate() {
            if let Some(prefix) = &list.custom {
                files.by_collective[at] = Some(place(&mut files.algorithms, prefix)?);
            }
        }
        for (&node, prefix) in by_node {
            let at = place(&mut files.algorithms, prefix)?;
            files.by_node.insert(node, at);
        }
        Ok((!files.algorithms.is_empty()).then_some(files))
    }
}

impl CustomSource for CustomFiles {
    fn algorithm(&self, node: u64, collective: Collective, position: u32) -> CustomAlgorithm {
        let list = COLLECTIVES.iter().position(|&c| c == collective);
        let of_collective = || list.and_then(|list| self.by_collective[list]);
        let Some(place) = self.by_node.get(&node).copied().or_else(of_collective) else {
            return CustomAlgorithm::Native;
        };
        match self.algorithms[place].get(position as usize) {
            Some(Some(graph)) => CustomAlgorithm::Graph(Arc::clone(graph)),
            _ => CustomAlgorithm::Missing,
        }
    }
}

fn positions(prefix: &str, npus: u32) -> Result<Vec<Option<Arc<AlgorithmGraph>>>, ModelError> {
    let position = |position: u32| {
        let path = PathBuf::from(format!("{prefix}.{position}.et"));
        if !path.exists() {
            return Ok(None);
        }
        let trace = chakra::open(&path).and_then(chakra::Reader::trace)?;
        let wrong = |what: String| ModelError::Trace {
            file: path.display().to_string(),
            what,
        };
        let steps: Result<Vec<Step>, AttributeError> = trace.nodes.iter().map(step).collect();
        let steps = steps.map_err(|e| wrong(e.to_string()))?;
        let graph = AlgorithmGraph::new(steps).map_err(|e| wrong(e.to_string()))?;
        Ok(Some(Arc::new(graph)))
    };
    let all: Vec<Option<Arc<AlgorithmGraph>>> = (0..npus).map(position).collect::<Result<_, ModelError>>()?;
    if all.iter().all(Option::is_none) {
        return Err(ModelError::NoAlgorithm {
            prefix: prefix.to_owned(),
        });
    }
    Ok(all)
}

/// A node as a step; the workload's sizes do not matter, the algorithm's own do.
fn step(node: &Node) -> Result<Step, AttributeError> {
    let kind = match node.kind {
        NodeKind::CommSend => StepKind::Send {
            to: node.required_u32(COMM_DST)?,
            bytes: node.required_u64(COMM_SIZE)?,
            tag: tag(node)?,
        },
        NodeKind::CommRecv => StepKind::Receive {
            from: node.required_u32(COMM_SRC)?,
            bytes: node.required_u64(COMM_SIZE)?,
            tag: tag(node)?,
        },
        NodeKind::Comp => StepKind::Wait(node.duration_ns()?.max(1)),
        _ => StepKind::Nothing,
    };
    Ok(Step {
        id: node.id,
        after: node.deps().collect(),
        kind,
    })
}

fn tag(node: &Node) -> Result<u32, AttributeError> {
    node.required_u32(COMM_TAG)
}
