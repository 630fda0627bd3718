//! Who has to be connected with whom, before anything is started.

use std::collections::BTreeSet;

use super::player::barrier;
use crate::network::message::Rank;
use crate::scenario::plan::Plan;
use crate::system::collective;

/// Whom each rank exchanges messages with, by the schedules of all rows and the barrier.
pub fn peers(plan: &Plan) -> Vec<Vec<Rank>> {
    let mut sets = vec![BTreeSet::new(); plan.ranks.len()];
    let barrier = barrier();
    let mut seen = Vec::new();
    for op in plan.ops.iter().map(|o| &o.op).chain([&barrier]) {
        let shape = (
            op.collective,
            op.algorithm,
            op.communicator,
            op.root,
            op.bytes.min(1 << 20),
            &op.matrix,
        );
        if seen.contains(&shape) {
            continue;
        }
        let Some(members) = plan.communicators.iter().find(|c| c.id == op.communicator) else {
            continue;
        };
        let traffic = collective::traffic(op, members.ranks.len() as u32);
        for pair in traffic.map(|t| t.flows).unwrap_or_default() {
            let (a, b) = (members.ranks[pair.from as usize], members.ranks[pair.to as usize]);
            sets[a as usize].insert(b);
            sets[b as usize].insert(a);
        }
        seen.push(shape);
    }
    for &(a, b) in plan.ops.iter().flat_map(|op| &op.trace).flat_map(|t| &t.pairs) {
        sets[a as usize].insert(b);
        sets[b as usize].insert(a);
    }
    sets.into_iter().map(|set| set.into_iter().collect()).collect()
}
