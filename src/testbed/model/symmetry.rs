//! Where all ranks do the same, over a network that looks the same from each of them, one stands for all.

use std::sync::Arc;

use super::parts::{Job, Parts, Wiring};
use crate::system::op::Collective;
use crate::system::setup::{COLLECTIVES, Pattern, Setup};
use crate::workload::graph::{Graph, Work};

/// Whether one rank may stand for all: they execute one graph of compute and of collectives over all ranks,
/// by patterns that only know how far another rank is. The network may still end it
/// ([`crate::network::analytical::symmetry`]).
pub fn applies(wiring: &Wiring, parts: &Parts) -> bool {
    let [job] = &parts.jobs[..] else { return false };
    let Some((first, others)) = job.members.split_first() else {
        return false;
    };
    let same = others.iter().all(|other| {
        Arc::ptr_eq(&first.graph, &other.graph)
            && Arc::ptr_eq(&first.setup, &other.setup)
            && other.begins == first.begins
    });
    // Endpoints with a bus, and receivers that ask, act on a message when it arrives.
    let setup = &first.setup;
    let endpoints = setup.bus.is_none() && !setup.rendezvous && setup.custom.is_none();
    let mut latencies = wiring.topology.dimensions().iter().map(|dim| dim.latency);
    let (start, npus) = (job.start + first.begins, wiring.topology.npus());
    parts.symmetry
        && (start, job.npus.is_none(), job.ranks()) == (0, true, npus)
        && same
        && endpoints
        && latencies.all(|ns| ns >= 1.0)
        && first
            .graph
            .nodes()
            .iter()
            .all(|node| alike(&node.work, &first.graph, job, setup))
}

/// Whether every rank does this in the same way.
fn alike(work: &Work, graph: &Graph, job: &Job, setup: &Setup) -> bool {
    match work {
        Work::Delay(_) | Work::Compute(_) | Work::Skip => true,
        Work::Collective(collective) => {
            let over_all = collective.group == 0 || job.members_of(graph, work) == job.ranks();
            over_all && is_relative(collective.collective, setup)
        }
        Work::Send(_) | Work::Receive(_) | Work::Memory(_) => false,
    }
}

/// Whether a rank's partners are as far from it as those of any other rank.
fn is_relative(collective: Collective, setup: &Setup) -> bool {
    let Some(list) = COLLECTIVES.iter().position(|&known| known == collective) else {
        return false;
    };
    let relative = |pattern| matches!(pattern, Pattern::Ring | Pattern::Direct(_));
    let mut implementations = setup.implementations[list].iter();
    implementations.all(|one| relative(one.pattern) && (!one.flat || setup.dimensions.len() == 1))
}
