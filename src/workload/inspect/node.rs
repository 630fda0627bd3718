//! Figures of one rank, and what single nodes say wrongly or in a way that misleads ASTRA-sim.

use std::collections::{BTreeMap, BTreeSet};

use super::super::chakra::attributes::{
    COMM_DST, COMM_PRIORITY, COMM_SIZE, COMM_SRC, COMM_TAG, COMM_TYPE, IS_CPU_OP, NUM_OPS, PG_NAME,
    TENSOR_SIZE,
};
use super::super::chakra::{AttributeError, CollectiveType, Node, NodeKind, Trace, Value};
use super::{Collective, Figures, Findings, Severity, size};

/// Adds up a trace, and says what is wrong with its nodes.
pub fn figures(trace: &Trace, findings: &mut Findings) -> Figures {
    let mut figures = Figures {
        unknown_attributes: trace.unknown_attributes(),
        ..Figures::default()
    };
    let mut collectives: BTreeMap<(String, &'static str), (u64, u64)> = BTreeMap::new();
    let mut errors = Vec::new();
    for node in &trace.nodes {
        *figures.nodes.entry(node.kind.name()).or_default() += 1;
        if let Err(error) = add(node, &mut figures, &mut collectives) {
            errors.push(error.to_string());
        }
    }
    let listed = collectives.into_iter();
    figures.collectives = listed
        .map(|((group, collective), (count, bytes))| Collective {
            group,
            collective,
            count,
            bytes,
        })
        .collect();
    findings.list(Severity::Error, errors, "nodes with wrong attributes");
    warn(trace, findings);
    figures
}

fn add(
    node: &Node,
    figures: &mut Figures,
    collectives: &mut BTreeMap<(String, &'static str), (u64, u64)>,
) -> Result<(), AttributeError> {
    let duration = node.duration_ns()?;
    let traffic = match node.kind {
        NodeKind::Comp => {
            let sum = if node.is_cpu_op()? {
                &mut figures.cpu_compute_ns
            } else {
                &mut figures.gpu_compute_ns
            };
            *sum = sum.saturating_add(duration);
            figures.flops = figures.flops.saturating_add(node.u64(NUM_OPS)?.unwrap_or(0));
            return Ok(());
        }
        NodeKind::MemLoad | NodeKind::MemStore => return node.required_u64(TENSOR_SIZE).map(drop),
        NodeKind::CommColl => {
            let bytes = match node.collective()? {
                CollectiveType::Barrier => size(node),
                _ => node.required_u64(COMM_SIZE)?,
            };
            let sum = collectives
                .entry((node.group()?, node.collective()?.name()))
                .or_default();
            *sum = (sum.0 + 1, sum.1.saturating_add(bytes));
            node.involved_dim()?;
            return Ok(());
        }
        NodeKind::CommSend => {
            node.required_u32(COMM_DST)?;
            &mut figures.sends
        }
        NodeKind::CommRecv => {
            node.required_u32(COMM_SRC)?;
            &mut figures.recvs
        }
        NodeKind::Invalid | NodeKind::Metadata => return Ok(()),
    };
    node.required_u32(COMM_TAG)?;
    traffic.count += 1;
    traffic.bytes = traffic.bytes.saturating_add(node.required_u64(COMM_SIZE)?);
    Ok(())
}

/// Traps of ASTRA-sim and of its feeders.
fn warn(trace: &Trace, findings: &mut Findings) {
    let mut zero_group = 0;
    let mut unnumbered = BTreeSet::new();
    let mut cpu_comm = 0;
    let mut empty = 0;
    let mut idle = 0;
    let mut gathers = 0;
    let mut foreign = BTreeSet::new();
    let mut unread: BTreeSet<String> = BTreeSet::new();
    for node in &trace.nodes {
        let communicates = matches!(
            node.kind,
            NodeKind::CommColl | NodeKind::CommSend | NodeKind::CommRecv
        );
        let group = node.group().unwrap_or_default();
        zero_group += usize::from(group == "0");
        if !group.is_empty() && group.parse::<u32>().is_err() {
            unnumbered.insert(super::super::error::shown(&group));
        }
        cpu_comm += usize::from(communicates && node.is_cpu_op().unwrap_or(false));
        let collective = node.collective().ok().filter(|_| node.kind == NodeKind::CommColl);
        empty += usize::from(
            communicates
                && node.value(COMM_SIZE).is_some()
                && size(node) == 0
                && collective != Some(CollectiveType::Barrier),
        );
        idle += usize::from(
            node.kind == NodeKind::Comp && node.duration_ns() == Ok(0) && node.value(NUM_OPS).is_none(),
        );
        gathers += usize::from(collective == Some(CollectiveType::AllGather));
        foreign.extend(
            collective
                .filter(|collective| !simulated(*collective))
                .map(CollectiveType::name),
        );
        unread.extend(
            node.attributes
                .iter()
                .filter_map(|attribute| feeder_one(&attribute.name, attribute.value.as_ref()?)),
        );
    }
    let mut say = |count: usize, severity, text: String| {
        if count > 0 {
            findings.add(severity, text);
        }
    };
    say(
        zero_group,
        Severity::Warning,
        format!(
            "{zero_group} nodes are in group \"0\", which means all ranks, whatever a group file says of \"0\""
        ),
    );
    let names: Vec<String> = unnumbered
        .iter()
        .take(5)
        .map(|name| format!("\"{name}\""))
        .collect();
    say(
        unnumbered.len(),
        Severity::Error,
        format!(
            "groups must be decimal numbers; these are not: {}",
            names.join(", ")
        ),
    );
    say(
        cpu_comm,
        Severity::Warning,
        format!("{cpu_comm} nodes of communication say is_cpu_op = true; ASTRA-sim stops on them"),
    );
    say(
        empty,
        Severity::Warning,
        format!(
            "{empty} nodes communicate 0 bytes; ASTRA-sim stops on messages of no size and rounds collectives up"
        ),
    );
    say(
        idle,
        Severity::Note,
        format!("{idle} compute nodes say neither a duration nor operations; ASTRA-sim gives each 1 ns"),
    );
    say(
        gathers,
        Severity::Note,
        format!(
            "{gathers} all-gathers: comm_size is what one rank adds, not the output as nccl-tests counts it"
        ),
    );
    let names: Vec<&str> = foreign.into_iter().collect();
    say(
        names.len(),
        Severity::Warning,
        format!(
            "{}: ASTRA-sim plays a BROADCAST as its duration (or 1 ns) and stops on the others",
            names.join(", ")
        ),
    );
    for text in unread {
        findings.add(Severity::Warning, text);
    }
}

fn simulated(collective: CollectiveType) -> bool {
    use CollectiveType::{AllGather, AllReduce, AllToAll, ReduceScatter};
    matches!(collective, AllReduce | AllGather | ReduceScatter | AllToAll)
}

/// Feeder version 1 (mlcommons/chakra) reads one case of each attribute and takes 0 from others.
fn feeder_one(name: &str, value: &Value) -> Option<String> {
    let wanted = match name {
        IS_CPU_OP => "bool_val",
        NUM_OPS | COMM_TYPE | COMM_SIZE => "int64_val",
        TENSOR_SIZE => "uint64_val",
        COMM_PRIORITY | COMM_SRC | COMM_DST | COMM_TAG => "int32_val",
        PG_NAME => "string_val",
        _ => return None,
    };
    (value.case() != wanted && value.as_integer() != Some(0)).then(|| {
        format!(
            "`{name}` is written as {}: feeders of version 1 want {wanted} and silently read 0",
            value.case()
        )
    })
}
