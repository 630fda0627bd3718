//! The host execution trace: `{"schema": "1.1.1-chakra.0.0.4", "nodes": [{id, name, ctrl_deps, inputs,
//! outputs, attrs}]}`. Every schema from 1.0 on; a node's `rf_id` is Kineto's "Record function id".

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::super::error::FormatError;
use super::super::json::syntax;

/// What is kept of a host trace.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Host {
    /// Operators by `rf_id`.
    pub operators: BTreeMap<u64, Operator>,
    /// Process groups: name and ranks; empty ranks are all of `size`.
    pub groups: Vec<Group>,
    /// How many nodes the file has.
    pub nodes: usize,
}

/// One operator.
#[derive(Debug, Clone, PartialEq)]
pub struct Operator {
    /// Its node id.
    pub id: u64,
    /// Its name.
    pub name: String,
    /// Values of its inputs, as PyTorch wrote them.
    pub inputs: Vec<Value>,
    /// Types of its inputs.
    pub types: Vec<String>,
    /// Attributes that are no standard ones of every operator.
    pub attributes: Map<String, Value>,
}

/// A process group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    /// Its name: a number as text, mostly.
    pub name: String,
    /// Its ranks; empty means all.
    pub ranks: Vec<u32>,
    /// How many they are.
    pub size: u64,
}

/// Reads a host trace; `name` stands for its file.
///
/// # Errors
/// No JSON, or no host trace.
pub fn read(bytes: &[u8], name: &str) -> Result<Host, FormatError> {
    let value: Value = serde_json::from_slice(bytes).map_err(|error| syntax(name, &error))?;
    let Some(nodes) = value.get("nodes").and_then(Value::as_array) else {
        return Err(FormatError::new(name, "there is no list `nodes`")
            .help("a host trace is written by torch.profiler.ExecutionTraceObserver"));
    };
    let mut host = Host {
        nodes: nodes.len(),
        ..Host::default()
    };
    for (index, node) in nodes.iter().enumerate() {
        let error = |what: &str| FormatError::new(name, what).at(format!("node {index} of `nodes`"));
        let id = node
            .get("id")
            .and_then(Value::as_u64)
            .ok_or_else(|| error("`id` is missing or no number"))?;
        let title = node
            .get("name")
            .and_then(Value::as_str)
            .ok_or_else(|| error("`name` is missing or no text"))?;
        let inputs = part(node, "inputs", "values");
        if title.starts_with("## process_group:init") {
            host.groups = groups(&inputs).ok_or_else(|| error("the process groups cannot be read"))?;
            continue;
        }
        let (rf_id, attributes) = attributes(node);
        if let Some(rf_id) = rf_id {
            let types = part(node, "inputs", "types");
            let types = types
                .iter()
                .filter_map(Value::as_str)
                .map(str::to_owned)
                .collect();
            let operator = Operator {
                id,
                name: title.to_owned(),
                inputs,
                types,
                attributes,
            };
            host.operators.insert(rf_id, operator);
        }
    }
    Ok(host)
}

/// `inputs.values`, or `inputs` itself in schemas before 1.0.3; types likewise.
fn part(node: &Value, side: &str, what: &str) -> Vec<Value> {
    let found = match node.get(side) {
        Some(Value::Object(parts)) => parts.get(what),
        Some(list) if what == "values" => Some(list),
        _ => node.get(format!("{}_{what}", side.trim_end_matches('s'))),
    };
    found.and_then(Value::as_array).cloned().unwrap_or_default()
}

/// The `rf_id`, and what else there is.
fn attributes(node: &Value) -> (Option<u64>, Map<String, Value>) {
    let mut rf_id = node.get("rf_id").and_then(Value::as_u64);
    let mut rest = Map::new();
    for attribute in node.get("attrs").and_then(Value::as_array).into_iter().flatten() {
        let (Some(name), Some(value)) = (
            attribute.get("name").and_then(Value::as_str),
            attribute.get("value"),
        ) else {
            continue;
        };
        match name {
            "rf_id" => rf_id = value.as_u64(),
            "fw_parent" | "seq_id" | "scope" | "tid" | "fw_tid" | "op_schema" | "kernel_backend"
            | "kernel_file" | "tensor_range" => {}
            _ => {
                rest.insert(name.to_owned(), value.clone());
            }
        }
    }
    (rf_id, rest)
}

/// The list of groups is JSON in a text in JSON.
fn groups(inputs: &[Value]) -> Option<Vec<Group>> {
    let text = inputs.first()?.as_str()?;
    let list: Vec<Value> = serde_json::from_str(text).ok()?;
    let group = |value: &Value| {
        let name = value.get("pg_name")?;
        let ranks = value.get("ranks")?;
        let ranks: Vec<u32> = match ranks {
            Value::Array(list) => list
                .iter()
                .map(|rank| u32::try_from(rank.as_u64()?).ok())
                .collect::<Option<_>>()?,
            // Older PyTorch: rank -> rank in the group.
            Value::Object(map) => map.keys().map(|rank| rank.parse().ok()).collect::<Option<_>>()?,
            _ => return None,
        };
        let size = value
            .get("group_size")
            .and_then(Value::as_u64)
            .unwrap_or(ranks.len() as u64);
        let name = name.as_str().map_or_else(|| name.to_string(), str::to_owned);
        Some(Group { name, ranks, size })
    };
    list.iter().map(group).collect()
}
