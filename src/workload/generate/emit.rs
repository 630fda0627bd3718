//! A stage's graph as Chakra nodes of one of its ranks. Attributes have the types that strict
//! feeders ask for: int64 for sizes, int32 for ranks and tags, bool and string.

use std::io::{self, Write};

use crate::workload::chakra::{Metadata, Node, NodeKind, Writer, attributes};

use super::graph::{Message, Op, OpKind};
use super::job::Job;
use super::parallel::GroupIds;

/// Version of the schema that is written.
const SCHEMA: &str = "0.0.4";

/// Makes nodes of a job's graphs.
#[derive(Debug)]
pub struct Emitter<'a> {
    job: &'a Job,
    ids: GroupIds,
}

impl<'a> Emitter<'a> {
    /// For a job that has been checked.
    pub fn new(job: &'a Job) -> Self {
        let ids = GroupIds::new(&job.layout, &job.groups());
        Emitter { job, ids }
    }

    /// The groups that the nodes name.
    pub fn ids(&self) -> &GroupIds {
        &self.ids
    }

    /// Writes the trace of a rank whose stage has these operations.
    ///
    /// # Errors
    /// Those of `out`.
    pub fn write<W: Write>(&self, rank: u32, ops: &[Op], out: W) -> io::Result<W> {
        let metadata = Metadata {
            version: SCHEMA.into(),
            attributes: Vec::new(),
        };
        let mut writer = Writer::new(out, &metadata)?;
        for (id, op) in (0..).zip(ops) {
            writer.node(&self.node(rank, id, op))?;
        }
        writer.finish()
    }

    /// The node of an operation.
    pub fn node(&self, rank: u32, id: u64, op: &Op) -> Node {
        let mut node = match &op.kind {
            OpKind::Compute { work, ns } => {
                // At least one: ASTRA-sim divides by the flops and skips nodes without bytes.
                let [flops, bytes] = [work.flops, work.bytes].map(|count| count.clamp(1, i64::MAX as u128));
                let mut node = Node::new(id, op.name.as_str(), NodeKind::Comp)
                    .with(attributes::IS_CPU_OP, false)
                    .with(attributes::NUM_OPS, flops as i64)
                    .with(attributes::TENSOR_SIZE, bytes as u64);
                node.set_duration_ns(*ns);
                node
            }
            OpKind::Collective {
                collective,
                group,
                bytes,
            } => {
                let node = Node::new(id, op.name.as_str(), NodeKind::CommColl)
                    .with(attributes::IS_CPU_OP, false)
                    .with(attributes::COMM_TYPE, *collective as i64)
                    .with(attributes::COMM_SIZE, *bytes as i64);
                match self.ids.of(&self.job.layout, rank, *group) {
                    Some(id) if id > 0 => node.with(attributes::PG_NAME, id.to_string()),
                    _ => node,
                }
            }
            OpKind::Send(message) => self.message(rank, id, op, message, NodeKind::CommSend),
            OpKind::Receive(message) => self.message(rank, id, op, message, NodeKind::CommRecv),
        };
        node.data_deps = op.data.iter().copied().map(u64::from).collect();
        node.ctrl_deps = op.ctrl.iter().copied().map(u64::from).collect();
        node
    }

    fn message(&self, rank: u32, id: u64, op: &Op, message: &Message, kind: NodeKind) -> Node {
        let peer = self.job.layout.at_stage(rank, message.stage);
        let (source, destination) = match kind {
            NodeKind::CommSend => (rank, peer),
            _ => (peer, rank),
        };
        Node::new(id, op.name.as_str(), kind)
            .with(attributes::IS_CPU_OP, false)
            .with(attributes::COMM_SRC, source as i32)
            .with(attributes::COMM_DST, destination as i32)
            .with(attributes::COMM_SIZE, message.bytes as i64)
            .with(attributes::COMM_TAG, message.tag as i32)
    }
}
