//! A node or a trace in words: what genie does with each node and attribute, and what ASTRA-sim ignores.

use super::super::chakra::attributes::{
    COMM_DST, COMM_PRIORITY, COMM_SIZE, COMM_SRC, COMM_TAG, COMM_TYPE, DURATION_NS, INPUTS, INVOLVED_DIM,
    IS_CPU_OP, NUM_OPS, OUTPUTS, PG_NAME, ROOT, TENSOR_LOC, TENSOR_SIZE,
};
use super::super::chakra::{Attribute, CollectiveType, Node, NodeKind, Trace, Value};
use super::super::error::shown;
use super::size;

/// A trace: each kind of node that is in it, and each attribute.
pub fn trace(trace: &Trace) -> Vec<String> {
    let mut lines = vec![format!(
        "{} nodes, schema version \"{}\".",
        trace.nodes.len(),
        shown(&trace.metadata.version)
    )];
    for kind in NodeKind::ALL {
        let count = trace.nodes.iter().filter(|node| node.kind == kind).count();
        if count > 0 {
            lines.push(format!("{count} x {kind}: {}", role(kind)));
        }
    }
    lines.push("A node begins when all its data_deps and ctrl_deps are over and its resource is free: one CPU operation, one GPU computation and one communication at a time by ASTRA-sim's rules; receives need none.".into());
    if trace.nodes.iter().any(|node| node.start_us != 0) {
        lines.push("start_time_micros is recorded and never read: order comes from dependencies.".into());
    }
    let mut names: Vec<&str> = trace
        .nodes
        .iter()
        .flat_map(|node| &node.attributes)
        .map(|attribute| attribute.name.as_str())
        .collect();
    names.sort_unstable();
    names.dedup();
    lines.extend(
        names
            .into_iter()
            .map(|name| format!("`{}`: {}", shown(name), meaning(name))),
    );
    lines
}

/// A node: what will be done, and each attribute with its value.
pub fn node(node: &Node) -> Vec<String> {
    let mut lines = vec![format!(
        "node {} `{}` is a {}: {}",
        node.id,
        shown(&node.name),
        node.kind,
        doing(node)
    )];
    let deps: Vec<String> = node.deps().take(20).map(|dep| dep.to_string()).collect();
    lines.push(match deps.len() {
        0 => "It waits for nothing: it is ready at time 0.".into(),
        _ => format!(
            "It waits for node{} {}.",
            if deps.len() == 1 { "" } else { "s" },
            deps.join(", ")
        ),
    });
    lines.extend(node.attributes.iter().map(|attribute| {
        format!(
            "`{}` = {}: {}",
            shown(&attribute.name),
            value(attribute),
            meaning(&attribute.name)
        )
    }));
    lines
}

fn role(kind: NodeKind) -> &'static str {
    match kind {
        NodeKind::Invalid => "no type is said; ASTRA-sim lets it take the communication slot for no time.",
        NodeKind::Metadata => "process groups as PyTorch lists them; makes groups, takes no time.",
        NodeKind::MemLoad => "loads tensor_size bytes from remote memory, by the memory configuration.",
        NodeKind::MemStore => "stores tensor_size bytes to remote memory, by the memory configuration.",
        NodeKind::Comp => {
            "computes for its duration, or by the roofline of num_ops and tensor_size if that is enabled; genie waits as long and does no arithmetic."
        }
        NodeKind::CommSend => "sends comm_size bytes to comm_dst; over when the whole message has arrived.",
        NodeKind::CommRecv => {
            "waits for comm_size bytes from comm_src with the same comm_tag; another size never matches."
        }
        NodeKind::CommColl => {
            "a collective of its group by the algorithms of the system configuration, in chunks."
        }
    }
}

fn doing(node: &Node) -> String {
    let number = |attribute| {
        node.u64(attribute)
            .ok()
            .flatten()
            .map_or("?".to_owned(), |number| number.to_string())
    };
    match node.kind {
        NodeKind::Comp => {
            let cpu = node.is_cpu_op().unwrap_or(false);
            let lane = if cpu { "the CPU" } else { "the GPU" };
            match node.duration_ns() {
                Ok(0) => format!(
                    "computes on {lane}; no duration is said, so it takes 1 ns unless the roofline says more."
                ),
                Ok(ns) => format!("computes on {lane} for {} us.", ns as f64 / 1000.0),
                Err(error) => format!("cannot be played: {error}."),
            }
        }
        NodeKind::CommColl => match node.collective() {
            Ok(collective) => {
                let group = node.group().unwrap_or_default();
                let group = if group.is_empty() || group == "0" {
                    "all ranks".to_owned()
                } else {
                    format!("group {}", shown(&group))
                };
                format!("{collective} among {group}: {}", bytes(collective, size(node)))
            }
            Err(error) => format!("cannot be played: {error}."),
        },
        NodeKind::CommSend => format!(
            "sends {} bytes to rank {} with tag {}.",
            size(node),
            number(COMM_DST),
            number(COMM_TAG)
        ),
        NodeKind::CommRecv => format!(
            "receives {} bytes from rank {} with tag {}.",
            size(node),
            number(COMM_SRC),
            number(COMM_TAG)
        ),
        kind => role(kind).to_owned(),
    }
}

fn bytes(collective: CollectiveType, bytes: u64) -> String {
    match collective {
        CollectiveType::AllGather => {
            format!("each rank adds {bytes} bytes, and all have them all in the end.")
        }
        CollectiveType::Broadcast => format!("{bytes} bytes; ASTRA-sim plays it as its duration, or 1 ns."),
        CollectiveType::AllReduce | CollectiveType::ReduceScatter | CollectiveType::AllToAll => {
            format!("{bytes} bytes of input on each rank.")
        }
        _ => format!("{bytes} bytes; ASTRA-sim stops on it."),
    }
}

fn value(attribute: &Attribute) -> String {
    match &attribute.value {
        None => "nothing".into(),
        Some(Value::String(text)) => format!("\"{}\"", shown(text)),
        Some(Value::Bool(value)) => value.to_string(),
        Some(Value::BoolList(list)) => format!("{:?}", &list[..list.len().min(16)]),
        Some(other) => match (other.as_integer(), other.as_f64()) {
            (Some(number), _) => number.to_string(),
            (None, Some(number)) => number.to_string(),
            _ => other.case().to_owned(),
        },
    }
}

/// What an attribute means, or that it means nothing.
fn meaning(name: &str) -> &'static str {
    match name {
        IS_CPU_OP => "true: the CPU's slot, else the GPU's; must not be true of communication.",
        NUM_OPS => "floating-point operations, used only where the roofline is enabled.",
        TENSOR_SIZE => "bytes: of the roofline's memory traffic, or that a memory node moves.",
        TENSOR_LOC => "ignored: ASTRA-sim reads it and uses it for nothing.",
        COMM_TYPE => "which collective; ignored on sends and receives.",
        COMM_SIZE => "bytes; of an all-gather what one rank adds. Custom collectives ignore it.",
        COMM_SRC => "rank that sends, of all ranks; a send's own rank if it is not said.",
        COMM_DST => "rank that receives, of all ranks; a receive's own rank if it is not said.",
        COMM_TAG => "messages of the same ranks, tag and size match in their order.",
        COMM_PRIORITY => "used only with the scheduling policy EXPLICIT; else silently ignored.",
        PG_NAME => "number of the communicator group; empty or 0 is all ranks.",
        INVOLVED_DIM => "which dimensions of the network take part; all four if it is not said.",
        ROOT => "rank at the root; ASTRA-sim ignores it.",
        INPUTS | OUTPUTS => "tensors for the tracker of local memory, else ignored.",
        DURATION_NS => {
            "genie's own: the duration to the nanosecond; ASTRA-sim reads duration_micros instead."
        }
        _ => "nothing is done with it, by genie or ASTRA-sim.",
    }
}
