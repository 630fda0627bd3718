//! What only several ranks together show: messages without their other end or of another size, members
//! of a group that do not call the same collectives.

use std::collections::{BTreeMap, BTreeSet};

use super::super::chakra::attributes::{COMM_DST, COMM_SRC, COMM_TAG};
use super::super::chakra::{NodeKind, Trace};
use super::{Findings, Severity, size};

/// (source, destination, tag).
type Channel = (u32, u32, u32);
/// Group, collective, bytes.
type Call = (String, &'static str, u64);

/// Messages and collectives of all ranks.
#[derive(Debug, Clone, Default)]
pub struct Pairs {
    sends: BTreeMap<Channel, Vec<u64>>,
    recvs: BTreeMap<Channel, Vec<u64>>,
    calls: BTreeMap<Call, BTreeMap<u32, u64>>,
    members: BTreeMap<String, BTreeSet<u32>>,
}

impl Pairs {
    /// Adds one rank's nodes, in the order of their ids.
    pub fn add(&mut self, rank: u32, trace: &Trace) {
        let mut nodes: Vec<_> = trace.nodes.iter().collect();
        nodes.sort_by_key(|node| node.id);
        for node in nodes {
            let number = |attribute| node.u32(attribute).ok().flatten();
            let tag = number(COMM_TAG).unwrap_or(0);
            match node.kind {
                NodeKind::CommSend => {
                    let Some(to) = number(COMM_DST) else { continue };
                    let from = number(COMM_SRC).unwrap_or(rank);
                    self.sends.entry((from, to, tag)).or_default().push(size(node));
                }
                NodeKind::CommRecv => {
                    let Some(from) = number(COMM_SRC) else { continue };
                    let to = number(COMM_DST).unwrap_or(rank);
                    self.recvs.entry((from, to, tag)).or_default().push(size(node));
                }
                NodeKind::CommColl => {
                    let (Ok(group), Ok(collective)) = (node.group(), node.collective()) else {
                        continue;
                    };
                    let group = if group == "0" { String::new() } else { group };
                    self.members.entry(group.clone()).or_default().insert(rank);
                    *self
                        .calls
                        .entry((group, collective.name(), size(node)))
                        .or_default()
                        .entry(rank)
                        .or_default() += 1;
                }
                _ => {}
            }
        }
    }

    /// Compares the ranks.
    pub fn check(&self, ranks: &[u32], findings: &mut Findings) {
        let mut wrong = Vec::new();
        let channels: BTreeSet<&Channel> = self.sends.keys().chain(self.recvs.keys()).collect();
        for channel in channels {
            wrong.extend(self.channel(channel, ranks));
        }
        findings.list(Severity::Error, wrong, "pairs of ranks whose messages do not fit");
        let mut wrong = Vec::new();
        for (call, counts) in &self.calls {
            wrong.extend(self.call(call, counts, ranks));
        }
        findings.list(
            Severity::Error,
            wrong,
            "collectives that members of a group do not share",
        );
    }

    fn channel(&self, channel: &Channel, ranks: &[u32]) -> Option<String> {
        let (from, to, tag) = channel;
        let none = Vec::new();
        let sends = self.sends.get(channel).unwrap_or(&none);
        let recvs = self.recvs.get(channel).unwrap_or(&none);
        if let Some(rank) = [from, to].into_iter().find(|rank| !ranks.contains(rank)) {
            return Some(format!(
                "rank {from} sends to rank {to} (tag {tag}), and there is no trace of rank {rank}"
            ));
        }
        if from == to {
            return Some(format!("rank {from} sends to itself (tag {tag})"));
        }
        if sends.len() != recvs.len() {
            let (sent, received) = (sends.len(), recvs.len());
            return Some(format!(
                "rank {from} sends {sent} messages to rank {to} (tag {tag}), which receives {received}"
            ));
        }
        let at = sends
            .iter()
            .zip(recvs)
            .position(|(sent, received)| sent != received)?;
        Some(format!(
            "message {} of rank {from} to rank {to} (tag {tag}): the sender sends {} bytes, the receiver wants {} bytes; ASTRA-sim would wait for ever",
            at + 1,
            sends[at],
            recvs[at]
        ))
    }

    fn call(&self, call: &Call, counts: &BTreeMap<u32, u64>, ranks: &[u32]) -> Option<String> {
        let (group, collective, bytes) = call;
        let everyone: BTreeSet<u32> = ranks.iter().copied().collect();
        let members = if group.is_empty() {
            &everyone
        } else {
            self.members.get(group)?
        };
        // Of several groups of one number (each pipeline stage its own) nothing is known here.
        let most = counts.iter().max_by_key(|(_, count)| **count)?;
        let few = members
            .iter()
            .map(|rank| (rank, counts.get(rank).copied().unwrap_or(0)))
            .min_by_key(|(_, count)| *count)?;
        let name = if group.is_empty() {
            "among all ranks".to_owned()
        } else {
            format!("in group {}", super::super::error::shown(group))
        };
        (few.1 < *most.1).then(|| {
            format!(
                "{collective} of {bytes} bytes {name}: rank {} calls it {} times, rank {} {} times",
                most.0, most.1, few.0, few.1
            )
        })
    }
}
