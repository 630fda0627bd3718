//! What is in traces and what is wrong with them: figures of each rank, and findings within a rank
//! ([`graph`], [`node`]) and between ranks ([`pairs`]). [`explain`] says it in words.

pub mod explain;
pub mod graph;
pub mod node;
pub mod pairs;

use std::collections::BTreeMap;

use serde::Serialize;

use super::chakra::attributes::COMM_SIZE;
use super::chakra::{NodeKind, Trace};
use super::text;

/// All ranks that were looked at.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Inspection {
    /// Figures of each rank, by rank.
    pub ranks: BTreeMap<u32, Figures>,
    /// What is wrong or worth knowing, errors first.
    pub findings: Vec<Finding>,
    #[serde(skip)]
    pairs: pairs::Pairs,
}

/// Figures of one rank.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Figures {
    /// Nodes by kind.
    pub nodes: BTreeMap<&'static str, usize>,
    /// Compute of the GPU, as far as durations say, ns.
    pub gpu_compute_ns: u64,
    /// Compute of the CPU, ns.
    pub cpu_compute_ns: u64,
    /// Floating-point operations that nodes name.
    pub flops: u64,
    /// Collectives by group and type.
    pub collectives: Vec<Collective>,
    /// Messages sent, and their bytes.
    pub sends: Traffic,
    /// Messages received, and their bytes.
    pub recvs: Traffic,
    /// Dependencies.
    pub edges: usize,
    /// The longest chain of durations, ns (communication counts as its recorded duration, mostly 0).
    pub critical_path_ns: u64,
    /// Nodes on it.
    pub critical_path_nodes: usize,
    /// Attributes that nothing is done with: name and nodes.
    pub unknown_attributes: BTreeMap<String, usize>,
}

/// Collectives of one type in one group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Collective {
    /// The group, empty for all ranks.
    pub group: String,
    /// The type's name.
    pub collective: &'static str,
    /// How many.
    pub count: u64,
    /// Sum of `comm_size`.
    pub bytes: u64,
}

/// Messages and their bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Traffic {
    /// How many.
    pub count: u64,
    /// Their bytes.
    pub bytes: u64,
}

/// One thing to know.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Finding {
    /// How bad.
    pub severity: Severity,
    /// What.
    pub text: String,
    /// How many ranks it is true of.
    pub ranks: usize,
    /// The first of them; `None` if it is about all together.
    pub first_rank: Option<u32>,
}

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// The trace cannot be played.
    Error,
    /// ASTRA-sim, or the reader, may be misled.
    Warning,
    /// Worth knowing.
    Note,
}

/// Findings of one rank.
#[derive(Debug, Default)]
pub struct Findings(Vec<(Severity, String)>);

impl Findings {
    /// More of one kind than this are counted, not listed.
    const MOST: usize = 8;

    /// Adds one.
    pub fn add(&mut self, severity: Severity, text: impl Into<String>) {
        self.0.push((severity, text.into()));
    }

    /// Adds the first of a list, and how many there are more.
    pub fn list(&mut self, severity: Severity, texts: Vec<String>, what: &str) {
        let more = texts.len().saturating_sub(Findings::MOST);
        for text in texts.into_iter().take(Findings::MOST) {
            self.add(severity, text);
        }
        if more > 0 {
            self.add(severity, format!("{more} more {what}"));
        }
    }
}

impl Inspection {
    /// Looks at one rank's trace.
    pub fn add(&mut self, rank: u32, trace: &Trace) {
        let mut findings = Findings::default();
        let mut figures = node::figures(trace, &mut findings);
        graph::check(trace, &mut figures, &mut findings);
        units(trace, &mut findings);
        self.pairs.add(rank, trace);
        self.ranks.insert(rank, figures);
        for (severity, text) in findings.0 {
            self.found(severity, text, Some(rank));
        }
    }

    /// Looks at all ranks together, when each has been added. `complete`: there are no other ranks.
    pub fn finish(&mut self, complete: bool) {
        let ranks: Vec<u32> = self.ranks.keys().copied().collect();
        let last = ranks.last().copied().unwrap_or(0);
        if complete {
            let missing: Vec<String> = (0..last)
                .filter(|rank| !self.ranks.contains_key(rank))
                .take(9)
                .map(|rank| rank.to_string())
                .collect();
            if !missing.is_empty() {
                self.found(
                    Severity::Error,
                    format!(
                        "there are traces up to rank {last}, but none of rank {}",
                        missing.join(", ")
                    ),
                    None,
                );
            }
            let mut findings = Findings::default();
            self.pairs.check(&ranks, &mut findings);
            for (severity, text) in findings.0 {
                self.found(severity, text, None);
            }
        }
        self.findings.sort_by_key(|finding| finding.severity);
    }

    /// Whether there is an error among the findings.
    pub fn has_errors(&self) -> bool {
        self.findings
            .iter()
            .any(|finding| finding.severity == Severity::Error)
    }

    fn found(&mut self, severity: Severity, text: String, rank: Option<u32>) {
        match self.findings.iter_mut().find(|finding| finding.text == text) {
            Some(finding) => finding.ranks += 1,
            None => self.findings.push(Finding {
                severity,
                text,
                ranks: 1,
                first_rank: rank,
            }),
        }
    }
}

/// A trace that chakra's converter made of a text workload keeps the text: its times are nanoseconds.
fn units(trace: &Trace, findings: &mut Findings) {
    let input = trace
        .metadata
        .attributes
        .iter()
        .find(|attribute| attribute.name == "input_file");
    let input = input.and_then(|attribute| attribute.value.as_ref()?.as_str());
    let Some(workload) = input.and_then(|input| text::parse(input, "input_file").ok()) else {
        return;
    };
    let computes = trace.nodes.iter().filter(|node| node.kind == NodeKind::Comp);
    let recorded: u64 = computes.map(|node| node.duration_us).fold(0, u64::saturating_add);
    let times = workload
        .layers
        .iter()
        .flat_map(|layer| [layer.fwd, layer.ig, layer.wg]);
    let written = times.map(|phase| phase.compute_ns).fold(0, u64::saturating_add);
    // One pass leaves some phases out; many passes repeat them all.
    if recorded > written / 4 && written > 0 {
        findings.add(
            Severity::Warning,
            "times look 1000 times too large: this was converted from a text workload whose times are nanoseconds, and its duration_micros are the same numbers; convert the text with `genie workload convert` for right units",
        );
    }
}

/// `comm_size` of a node, 0 if it has none.
fn size(node: &super::chakra::Node) -> u64 {
    node.u64(COMM_SIZE).ok().flatten().unwrap_or(0)
}

/// A name for a message: short and without control characters.
fn named(node: &super::chakra::Node) -> String {
    format!("node {} `{}`", node.id, super::error::shown(&node.name))
}

#[cfg(test)]
mod tests {
    use super::super::chakra::Node;
    use super::*;

    fn inspected(traces: Vec<Vec<Node>>) -> Vec<String> {
        let mut inspection = Inspection::default();
        for (rank, nodes) in traces.into_iter().enumerate() {
            inspection.add(
                rank as u32,
                &Trace {
                    nodes,
                    ..Trace::default()
                },
            );
        }
        inspection.finish(true);
        inspection
            .findings
            .into_iter()
            .map(|finding| finding.text)
            .collect()
    }

    fn comp(id: u64, deps: &[u64]) -> Node {
        let mut node = Node::new(id, format!("n{id}"), NodeKind::Comp);
        node.duration_us = 5;
        node.data_deps = deps.to_vec();
        node
    }

    #[test]
    fn cycles_and_missing_dependencies_are_named() {
        let cycle = inspected(vec![vec![
            comp(0, &[]),
            comp(1, &[3]),
            comp(2, &[1, 0]),
            comp(3, &[2]),
        ]]);
        assert!(
            cycle[0].contains("node 1 `n1` -> node 2 `n2` -> node 3 `n3` -> node 1 `n1`"),
            "{cycle:?}"
        );
        let missing = inspected(vec![vec![comp(0, &[9])]]);
        assert_eq!(missing, ["node 0 `n0` depends on node 9, which is not there"]);
    }

    #[test]
    fn messages_are_paired_across_ranks() {
        let message = |kind, size: i64, peer: &str, rank: i32| {
            Node::new(0, "m", kind)
                .with("comm_size", size)
                .with(peer, rank)
                .with("comm_tag", 0)
        };
        let send = |size| vec![message(NodeKind::CommSend, size, "comm_dst", 1)];
        let recv = |size| vec![message(NodeKind::CommRecv, size, "comm_src", 0)];
        assert!(inspected(vec![send(8), recv(8)]).is_empty());
        let unequal = inspected(vec![send(8), recv(9)]);
        assert!(
            unequal[0].contains("sends 8 bytes") && unequal[0].contains("9 bytes"),
            "{unequal:?}"
        );
        let lonely = inspected(vec![send(8), vec![]]);
        assert!(
            lonely[0].contains("rank 0 sends 1 messages") && lonely[0].contains("receives 0"),
            "{lonely:?}"
        );
    }

    #[test]
    fn members_of_a_group_must_agree() {
        let collective = |size: i64| {
            vec![
                Node::new(0, "c", NodeKind::CommColl)
                    .with("comm_type", 0)
                    .with("comm_size", size),
            ]
        };
        assert!(inspected(vec![collective(8), collective(8)]).is_empty());
        let unequal = inspected(vec![collective(8), collective(9)]);
        assert!(unequal[0].contains("ALL_REDUCE of 8 bytes"), "{unequal:?}");
    }

    #[test]
    fn the_critical_path_is_the_longest_chain() {
        let mut inspection = Inspection::default();
        let nodes = vec![comp(0, &[]), comp(1, &[0]), comp(2, &[0]), comp(3, &[2, 1])];
        inspection.add(
            0,
            &Trace {
                nodes,
                ..Trace::default()
            },
        );
        let figures = &inspection.ranks[&0];
        assert_eq!(
            (
                figures.critical_path_ns,
                figures.critical_path_nodes,
                figures.edges
            ),
            (15_000, 3, 4)
        );
        assert_eq!(figures.gpu_compute_ns, 20_000);
    }
}
