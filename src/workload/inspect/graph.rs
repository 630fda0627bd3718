//! Dependencies: those on nothing, cycles, the longest chain of durations.

use std::collections::HashMap;

use super::super::chakra::{Node, Trace};
use super::{Figures, Findings, Severity, named};

/// Nodes of a cycle that a message names.
const MOST_NAMED: usize = 12;

/// Checks the graph of a trace and finds its critical path.
pub fn check(trace: &Trace, figures: &mut Figures, findings: &mut Findings) {
    let index: HashMap<u64, usize> = trace
        .nodes
        .iter()
        .enumerate()
        .map(|(at, node)| (node.id, at))
        .collect();
    let mut missing = Vec::new();
    let mut deps: Vec<Vec<usize>> = Vec::with_capacity(trace.nodes.len());
    for node in &trace.nodes {
        let known = node.deps().filter_map(|dep| {
            let at = index.get(&dep).copied();
            if at.is_none() {
                missing.push(format!(
                    "{} depends on node {dep}, which is not there",
                    named(node)
                ));
            }
            at
        });
        deps.push(known.collect());
    }
    figures.edges = trace.nodes.iter().map(|node| node.deps().count()).sum();
    findings.list(
        Severity::Error,
        missing,
        "dependencies on nodes that are not there",
    );
    let order = topological(&deps);
    if order.len() < deps.len() {
        findings.add(
            Severity::Error,
            format!("dependencies go in a circle: {}", cycle(trace, &deps, &order)),
        );
    }
    (figures.critical_path_ns, figures.critical_path_nodes) = longest(trace, &deps, &order);
}

/// Nodes in an order in which every dependency comes first, as far as there is one.
fn topological(deps: &[Vec<usize>]) -> Vec<usize> {
    let mut waiting: Vec<usize> = deps.iter().map(Vec::len).collect();
    let mut followers: Vec<Vec<usize>> = vec![Vec::new(); deps.len()];
    for (node, deps) in deps.iter().enumerate() {
        for dep in deps {
            followers[*dep].push(node);
        }
    }
    let mut order: Vec<usize> = (0..deps.len()).filter(|node| waiting[*node] == 0).collect();
    let mut next = 0;
    while let Some(node) = order.get(next).copied() {
        next += 1;
        for follower in &followers[node] {
            waiting[*follower] -= 1;
            if waiting[*follower] == 0 {
                order.push(*follower);
            }
        }
    }
    order
}

/// A cycle, in the order in which its nodes would run, in words.
fn cycle(trace: &Trace, deps: &[Vec<usize>], order: &[usize]) -> String {
    let mut free = vec![false; deps.len()];
    order.iter().for_each(|node| free[*node] = true);
    // Every node that is not free depends on another such: walking back must come round.
    let mut at = free.iter().position(|free| !free).unwrap_or(0);
    let mut seen: HashMap<usize, usize> = HashMap::new();
    let mut path = Vec::new();
    while !seen.contains_key(&at) {
        seen.insert(at, path.len());
        path.push(at);
        let Some(dep) = deps[at].iter().find(|dep| !free[**dep]) else {
            break;
        };
        at = *dep;
    }
    let mut round: Vec<usize> = path[seen.get(&at).copied().unwrap_or(0)..].to_vec();
    round.reverse();
    let least = (0..round.len())
        .min_by_key(|place| trace.nodes[round[*place]].id)
        .unwrap_or(0);
    round.rotate_left(least);
    let name = |at: &usize| named(&trace.nodes[*at]);
    let mut names: Vec<String> = round.iter().take(MOST_NAMED).map(name).collect();
    if round.len() > MOST_NAMED {
        names.push(format!("({} more)", round.len() - MOST_NAMED));
    }
    names.extend(round.first().map(name));
    names.join(" -> ")
}

/// The longest chain of durations, ns, and how many nodes it has.
fn longest(trace: &Trace, deps: &[Vec<usize>], order: &[usize]) -> (u64, usize) {
    let duration = |node: &Node| node.duration_ns().unwrap_or(0);
    let mut ends: Vec<(u64, usize)> = vec![(0, 0); deps.len()];
    for node in order {
        let (start, nodes) = deps[*node].iter().map(|dep| ends[*dep]).max().unwrap_or((0, 0));
        ends[*node] = (start.saturating_add(duration(&trace.nodes[*node])), nodes + 1);
    }
    ends.into_iter().max().unwrap_or((0, 0))
}
