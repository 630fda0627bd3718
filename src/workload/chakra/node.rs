//! A trace and its nodes as plain data. Field names follow the schema; units are in names and docs.

use std::fmt;

use super::value::{Attribute, Value};

/// What one rank executes: a graph of nodes.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Trace {
    /// What the file says of itself.
    pub metadata: Metadata,
    /// In the order of the file, which means nothing: dependencies do.
    pub nodes: Vec<Node>,
}

/// What a file says of itself (`GlobalMetadata`).
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Metadata {
    /// Version of the schema, such as `0.0.4`.
    pub version: String,
    /// Anything else: `schema`, `input_file`, ...
    pub attributes: Vec<Attribute>,
}

/// One node of the graph.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Node {
    /// Unique within the trace; need not be dense.
    pub id: u64,
    /// For people.
    pub name: String,
    /// What it is.
    pub kind: NodeKind,
    /// Ids of nodes that must be over before this one begins, by control flow.
    pub ctrl_deps: Vec<u64>,
    /// Ids of nodes that must be over before this one begins, because they make its input.
    pub data_deps: Vec<u64>,
    /// When it began where it was recorded, microseconds. ASTRA-sim never reads it.
    pub start_us: u64,
    /// How long it takes, microseconds. See also [`Node::duration_ns`].
    pub duration_us: u64,
    /// Tensors read, in the words of PyTorch.
    pub inputs: Io,
    /// Tensors written.
    pub outputs: Io,
    /// Everything else that is known of it.
    pub attributes: Vec<Attribute>,
}

/// Tensors of a node (`IOInfo`), as PyTorch prints them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Io {
    /// Values or tensor ids.
    pub values: String,
    /// Shapes.
    pub shapes: String,
    /// Types.
    pub types: String,
}

/// What a node is (`NodeType`; the discriminants are those of the schema).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum NodeKind {
    /// Not said.
    #[default]
    Invalid = 0,
    /// Names process groups.
    Metadata = 1,
    /// Loads from remote memory.
    MemLoad = 2,
    /// Stores to remote memory.
    MemStore = 3,
    /// Computes.
    Comp = 4,
    /// Sends a message.
    CommSend = 5,
    /// Receives a message.
    CommRecv = 6,
    /// Takes part in a collective.
    CommColl = 7,
}

/// Which collective (`CollectiveCommType`; the discriminants are those of the schema).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[allow(missing_docs)]
pub enum CollectiveType {
    AllReduce = 0,
    Reduce = 1,
    AllGather = 2,
    Gather = 3,
    Scatter = 4,
    Broadcast = 5,
    AllToAll = 6,
    ReduceScatter = 7,
    ReduceScatterBlock = 8,
    Barrier = 9,
}

impl Node {
    /// A node without dependencies, duration or attributes.
    pub fn new(id: u64, name: impl Into<String>, kind: NodeKind) -> Node {
        Node {
            id,
            name: name.into(),
            kind,
            ..Node::default()
        }
    }

    /// With one attribute more.
    #[must_use]
    pub fn with(mut self, name: impl Into<String>, value: impl Into<Value>) -> Node {
        self.attributes.push(Attribute::new(name, value));
        self
    }

    /// All dependencies, data before control; one that is given as both comes twice.
    pub fn deps(&self) -> impl Iterator<Item = u64> + '_ {
        self.data_deps.iter().chain(&self.ctrl_deps).copied()
    }
}

impl NodeKind {
    /// Every kind, by its number.
    pub const ALL: [NodeKind; 8] = [
        NodeKind::Invalid,
        NodeKind::Metadata,
        NodeKind::MemLoad,
        NodeKind::MemStore,
        NodeKind::Comp,
        NodeKind::CommSend,
        NodeKind::CommRecv,
        NodeKind::CommColl,
    ];

    /// The kind of this number of the schema.
    pub fn from_number(number: i64) -> Option<NodeKind> {
        usize::try_from(number)
            .ok()
            .and_then(|index| NodeKind::ALL.get(index).copied())
    }

    /// Its name in the schema.
    pub fn name(self) -> &'static str {
        match self {
            NodeKind::Invalid => "INVALID_NODE",
            NodeKind::Metadata => "METADATA_NODE",
            NodeKind::MemLoad => "MEM_LOAD_NODE",
            NodeKind::MemStore => "MEM_STORE_NODE",
            NodeKind::Comp => "COMP_NODE",
            NodeKind::CommSend => "COMM_SEND_NODE",
            NodeKind::CommRecv => "COMM_RECV_NODE",
            NodeKind::CommColl => "COMM_COLL_NODE",
        }
    }

    /// The kind of this name of the schema.
    pub fn from_name(name: &str) -> Option<NodeKind> {
        NodeKind::ALL.into_iter().find(|kind| kind.name() == name)
    }
}

impl CollectiveType {
    /// Every collective, by its number.
    pub const ALL: [CollectiveType; 10] = [
        CollectiveType::AllReduce,
        CollectiveType::Reduce,
        CollectiveType::AllGather,
        CollectiveType::Gather,
        CollectiveType::Scatter,
        CollectiveType::Broadcast,
        CollectiveType::AllToAll,
        CollectiveType::ReduceScatter,
        CollectiveType::ReduceScatterBlock,
        CollectiveType::Barrier,
    ];

    /// The collective of this number of the schema.
    pub fn from_number(number: i64) -> Option<CollectiveType> {
        usize::try_from(number)
            .ok()
            .and_then(|index| CollectiveType::ALL.get(index).copied())
    }

    /// Its name in the schema.
    pub fn name(self) -> &'static str {
        match self {
            CollectiveType::AllReduce => "ALL_REDUCE",
            CollectiveType::Reduce => "REDUCE",
            CollectiveType::AllGather => "ALL_GATHER",
            CollectiveType::Gather => "GATHER",
            CollectiveType::Scatter => "SCATTER",
            CollectiveType::Broadcast => "BROADCAST",
            CollectiveType::AllToAll => "ALL_TO_ALL",
            CollectiveType::ReduceScatter => "REDUCE_SCATTER",
            CollectiveType::ReduceScatterBlock => "REDUCE_SCATTER_BLOCK",
            CollectiveType::Barrier => "BARRIER",
        }
    }
}

impl fmt::Display for NodeKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl fmt::Display for CollectiveType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_those_of_the_schema() {
        for (number, kind) in NodeKind::ALL.into_iter().enumerate() {
            assert_eq!(kind as usize, number);
            assert_eq!(NodeKind::from_name(kind.name()), Some(kind));
        }
        for (number, kind) in CollectiveType::ALL.into_iter().enumerate() {
            assert_eq!(kind as usize, number);
        }
        assert_eq!(NodeKind::from_number(8), None);
        assert_eq!(CollectiveType::from_number(-1), None);
    }
}
