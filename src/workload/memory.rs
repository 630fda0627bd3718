//! ASTRA-sim's remote memory JSON: where the bytes of memory nodes come from and what that costs.

use crate::document::{Diagnostics, Fields, Parsed, Reader, json};

const TYPE: &str = "memory-type";
const LATENCY: &str = "remote-mem-latency";
const BANDWIDTH: &str = "remote-mem-bw";
const NODES: &str = "num-nodes";
const NPUS: &str = "num-npus-per-node";

/// What a transaction costs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MemoryCost {
    /// Of each transaction, ns.
    pub latency_ns: u64,
    /// GB/s (10^9), that is, bytes per ns; at least 1.
    pub bytes_per_ns: u64,
}

/// Remote memory of a system.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RemoteMemory {
    /// None: a memory node cannot be played.
    None,
    /// One for each NPU, without waiting.
    PerNpu(MemoryCost),
    /// One for each node, one transaction at a time, first come first served.
    PerNode {
        /// Nodes.
        nodes: u32,
        /// NPUs of each; consecutive ranks share a node.
        npus_per_node: u32,
        /// What a transaction costs.
        cost: MemoryCost,
    },
    /// One for all, one transaction at a time, first come first served.
    Pool(MemoryCost),
}

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    None,
    PerNpu,
    PerNode,
    Pool,
}

const KINDS: [(&str, Kind); 4] = [
    ("NO_MEMORY_EXPANSION", Kind::None),
    ("PER_NPU_MEMORY_EXPANSION", Kind::PerNpu),
    ("PER_NODE_MEMORY_EXPANSION", Kind::PerNode),
    ("MEMORY_POOL", Kind::Pool),
];

impl MemoryCost {
    /// ns that a transaction of `bytes` takes: latency + floor(bytes / bandwidth), as in ASTRA-sim's
    /// analytical memory backend.
    pub fn time_ns(&self, bytes: u64) -> u64 {
        self.latency_ns.saturating_add(bytes / self.bytes_per_ns)
    }
}

impl RemoteMemory {
    /// Reads the text of a file that is called `name`.
    pub fn parse(name: &str, text: &str) -> Result<Parsed<Self>, Diagnostics> {
        let (mut reader, root) = Reader::open(name, text, json::parse)?;
        let fields = reader.fields(root, "a memory file");
        let memory = fields.and_then(|fields| read(&mut reader, fields));
        reader.finish(memory)
    }

    /// What a transaction costs; `None` where there is no remote memory.
    pub fn cost(&self) -> Option<MemoryCost> {
        match self {
            RemoteMemory::None => None,
            RemoteMemory::PerNpu(cost) | RemoteMemory::Pool(cost) | RemoteMemory::PerNode { cost, .. } => {
                Some(*cost)
            }
        }
    }
}

fn read(reader: &mut Reader, mut fields: Fields) -> Option<RemoteMemory> {
    if !fields.has(TYPE) {
        let names = KINDS.map(|(name, _)| format!("\"{name}\""));
        reader.missing(&fields, TYPE, format!("it is one of {}", names.join(", ")));
    }
    let kind = reader.choice(&mut fields, TYPE, &KINDS)?;
    let memory = match kind {
        Kind::None => {
            // The other keys may stay when memory is switched off.
            let _ = [LATENCY, BANDWIDTH, NODES, NPUS].map(|key| fields.take(key));
            Some(RemoteMemory::None)
        }
        Kind::PerNpu => cost(reader, &mut fields).map(RemoteMemory::PerNpu),
        Kind::Pool => cost(reader, &mut fields).map(RemoteMemory::Pool),
        Kind::PerNode => per_node(reader, &mut fields),
    };
    reader.unknown(fields, &[TYPE, LATENCY, BANDWIDTH, NODES, NPUS]);
    memory
}

fn per_node(reader: &mut Reader, fields: &mut Fields) -> Option<RemoteMemory> {
    let nodes = needed(reader, fields, NODES, 1);
    let npus = needed(reader, fields, NPUS, 1);
    let cost = cost(reader, fields)?;
    Some(RemoteMemory::PerNode {
        nodes: u32::try_from(nodes?).ok()?,
        npus_per_node: u32::try_from(npus?).ok()?,
        cost,
    })
}

fn cost(reader: &mut Reader, fields: &mut Fields) -> Option<MemoryCost> {
    let latency = match fields.has(LATENCY) {
        true => needed(reader, fields, LATENCY, 0),
        false => Some(0),
    };
    let bandwidth = needed(reader, fields, BANDWIDTH, 1);
    Some(MemoryCost {
        latency_ns: latency?,
        bytes_per_ns: bandwidth?,
    })
}

fn needed(reader: &mut Reader, fields: &mut Fields, key: &str, low: u64) -> Option<u64> {
    if !fields.has(key) {
        reader.missing(fields, key, "this kind of memory needs it".into());
    }
    reader.whole(fields, key, low..=u64::from(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<RemoteMemory, String> {
        let parsed = RemoteMemory::parse("m.json", text);
        parsed
            .map(|parsed| parsed.value)
            .map_err(|wrong| wrong.to_string())
    }

    #[test]
    fn each_kind_is_read_and_costs_by_the_formula() {
        assert_eq!(
            parse("{\"memory-type\": \"NO_MEMORY_EXPANSION\"}"),
            Ok(RemoteMemory::None)
        );
        let rest = "\"remote-mem-latency\": 1000, \"remote-mem-bw\": 32";
        let pool = parse(&format!("{{\"memory-type\": \"MEMORY_POOL\", {rest}}}")).expect("valid");
        // 64 MiB at 32 bytes each ns: 2,097,152 ns after 1000 ns.
        assert_eq!(pool.cost().map(|cost| cost.time_ns(64 << 20)), Some(2_098_152));
        let nodes = format!(
            "{{\"memory-type\": \"PER_NODE_MEMORY_EXPANSION\", \"num-nodes\": 2, \"num-npus-per-node\": 4, {rest}}}"
        );
        assert!(matches!(
            parse(&nodes),
            Ok(RemoteMemory::PerNode {
                nodes: 2,
                npus_per_node: 4,
                ..
            })
        ));
    }

    #[test]
    fn what_is_missing_or_wrong_is_said() {
        let said = parse("{\"memory-type\": \"MEMORY_POLL\"}").expect_err("is refused");
        assert!(said.contains("did you mean `MEMORY_POOL`?"), "{said}");
        let said = parse("{\"memory-type\": \"MEMORY_POOL\"}").expect_err("is refused");
        assert!(
            !said.contains("latency"),
            "without one there is none, as in ASTRA-sim: {said}"
        );
        assert!(said.contains("missing key `remote-mem-bw`"), "{said}");
        let zero = "{\"memory-type\": \"MEMORY_POOL\", \"remote-mem-latency\": 1, \"remote-mem-bw\": 0}";
        assert!(parse(zero).is_err());
        assert!(parse("{}").is_err());
    }
}
