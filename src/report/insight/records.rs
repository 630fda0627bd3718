//! Rows of CSV: one for each node of each NPU, one for each phase of a chunk.

use crate::results::columns::Column;
use crate::results::csv;
use crate::testbed::model::insight::explain::kind;
use crate::testbed::model::insight::{OpRecord, PhaseRecord};
use crate::workload::graph::{Graph, Work};

/// Operations: columns with type, unit and meaning.
#[rustfmt::skip]
pub const OPERATIONS: &[Column] = &[
    ("npu", "integer", "", "rank"),
    ("node", "integer", "", "number of the node in its trace"),
    ("name", "text", "", "its name there"),
    ("kind", "text", "", "compute, cpu, collective, send, receive, memory, ..."),
    ("collective", "text", "", "which; empty for other nodes"),
    ("group", "integer", "", "communicator group; 0: all ranks"),
    ("sequence", "integer", "", "the how many-th collective of the group on this rank, from 0"),
    ("bytes", "integer", "B", "bytes, in ASTRA-sim's convention"),
    ("peer", "integer", "", "the other rank of a message"),
    ("ready_ns", "integer", "ns, virtual", "all that it depends on is over"),
    ("start_ns", "integer", "ns, virtual", "its slot is free: it begins"),
    ("met_ns", "integer", "ns, virtual", "all members, or the other side, have come"),
    ("end_ns", "integer", "ns, virtual", "it is over"),
    ("slot_ns", "integer", "ns, virtual", "serialisation: start - ready"),
    ("endpoint_ns", "integer", "ns, virtual", "of start to end: endpoint delay and reductions here"),
    ("peers_ns", "integer", "ns, virtual", "not so, and a member or the other side has not come"),
    ("network_ns", "integer", "ns, virtual", "the rest of a communication: messages are under way"),
    ("exposed_ns", "integer", "ns, virtual", "of ready to end: as much as no compute of the GPU hides"),
    ("dimension_ns", "text", "ns, virtual", "`d:t` for each dimension: t in which a phase ran there"),
];

/// Phases: likewise.
#[rustfmt::skip]
pub const PHASES: &[Column] = &[
    ("npu", "integer", "", "rank"),
    ("node", "integer", "", "number of the collective's node"),
    ("chunk", "integer", "", "chunk of the collective, from 0"),
    ("phase", "integer", "", "phase of the chunk, from 0"),
    ("dimension", "integer", "", "dimension in whose queues it waits"),
    ("queue", "integer", "", "queue of the dimension"),
    ("collective", "text", "", "what the phase carries out"),
    ("bytes", "integer", "B", "bytes that enter it; 0: a custom algorithm's"),
    ("queued_ns", "integer", "ns, virtual", "the chunk comes to the queue"),
    ("start_ns", "integer", "ns, virtual", "its turn has come"),
    ("end_ns", "integer", "ns, virtual", "the phase is over"),
];

/// The header of a table.
pub fn header(columns: &[Column]) -> String {
    csv::line(columns.iter().map(|column| column.0))
}

/// The row of a node that is over.
pub fn operation(op: &OpRecord, graph: &Graph) -> String {
    let node = &graph.nodes()[op.place as usize];
    let (mut collective, mut group, mut bytes, mut peer) = <(String, String, String, String)>::default();
    match &node.work {
        Work::Collective(work) => {
            collective = work.collective.to_string();
            (group, bytes) = (work.group.to_string(), work.bytes.to_string());
        }
        Work::Send(other) | Work::Receive(other) => {
            (peer, bytes) = (other.rank.to_string(), other.bytes.to_string());
        }
        Work::Memory(moved) => bytes = moved.to_string(),
        Work::Delay(_) | Work::Compute(_) | Work::Skip => {}
    }
    let dimensions: Vec<String> = op
        .dimensions
        .iter()
        .map(|(d, time)| format!("{d}:{time}"))
        .collect();
    csv::line([
        op.rank.to_string(),
        node.id.to_string(),
        node.name.to_string(),
        kind(node).to_owned(),
        collective,
        group,
        op.collective
            .map(|(sequence, _)| sequence.to_string())
            .unwrap_or_default(),
        bytes,
        peer,
        op.ready.to_string(),
        op.start.to_string(),
        op.met.to_string(),
        op.end.to_string(),
        (op.start - op.ready).to_string(),
        op.split.endpoint.to_string(),
        op.split.peers.to_string(),
        op.split.network.to_string(),
        (op.exposed_slot + op.exposed_running).to_string(),
        dimensions.join(" "),
    ])
}

/// The row of a phase that is over.
pub fn phase(record: &PhaseRecord) -> String {
    let phase = &record.phase;
    csv::line([
        record.rank.to_string(),
        phase.node.to_string(),
        phase.chunk.to_string(),
        phase.phase.to_string(),
        phase.dimension.to_string(),
        phase.queue.to_string(),
        phase.collective.to_string(),
        phase.bytes.to_string(),
        record.queued.to_string(),
        record.start.to_string(),
        phase.at.to_string(),
    ])
}
