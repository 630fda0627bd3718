//! The other JSON: `{"workload_graph": [{"Id", "Name", "NodeType", ...}]}`, which feeder version 1 of
//! mlcommons/chakra reads (`src/feeder/json_node.cpp`). Runtimes are microseconds.

use serde_json::{Map, Value as Json, json};

use super::super::chakra::attributes::{
    COMM_DST, COMM_PRIORITY, COMM_SIZE, COMM_SRC, COMM_TAG, COMM_TYPE, IS_CPU_OP, TENSOR_SIZE,
};
use super::super::chakra::{Attribute, Metadata, Node, NodeKind, Trace, Value};
use super::super::error::FormatError;
use super::{Object, described, integer};

/// Keys that are attributes of a node in Chakra.
const ATTRIBUTES: [&str; 7] = [
    TENSOR_SIZE,
    COMM_TYPE,
    COMM_PRIORITY,
    COMM_SIZE,
    COMM_SRC,
    COMM_DST,
    COMM_TAG,
];

pub(super) fn read(value: &Json, name: &str) -> Result<Trace, FormatError> {
    let file = Object::new(name, "top level".into(), value)?;
    let mut nodes = Vec::new();
    let mut seen = std::collections::HashMap::new();
    for (index, value) in file.list(&["workload_graph"])?.iter().enumerate() {
        let object = Object::new(name, format!("node {index} of workload_graph"), value)?;
        let node = node(&object)?;
        if let Some(first) = seen.insert(node.id, index) {
            return Err(object.error(format!("`Id` {} has been used before, by node {first}", node.id)));
        }
        nodes.push(node);
    }
    Ok(Trace {
        metadata: Metadata::default(),
        nodes,
    })
}

fn node(object: &Object<'_>) -> Result<Node, FormatError> {
    let missing = || object.error("`Id` is missing");
    let number = object.u64(&["NodeType"])?.unwrap_or(0);
    let kind = i64::try_from(number).ok().and_then(NodeKind::from_number);
    let kind =
        kind.ok_or_else(|| object.error(format!("`NodeType` {number} is none of the schema's (0 to 7)")))?;
    let mut node = Node::new(
        object.u64(&["Id"])?.ok_or_else(missing)?,
        object.text(&["Name"])?,
        kind,
    );
    node.duration_us = object.u64(&["runtime"])?.unwrap_or(0);
    node.data_deps = object.ids(&["data_deps"])?;
    node.ctrl_deps = object.ids(&["ctrl_deps"])?;
    for (key, json) in object.map {
        if matches!(
            key.as_str(),
            "Id" | "Name" | "NodeType" | "runtime" | "data_deps" | "ctrl_deps"
        ) || json.is_null()
        {
            continue;
        }
        let value = attribute(key, json);
        let value = value.ok_or_else(|| {
            object.error(format!(
                "`{}` is {}",
                super::super::error::shown(key),
                described(json)
            ))
        })?;
        node.attributes.push(Attribute::new(key, value));
    }
    Ok(node)
}

fn attribute(key: &str, json: &Json) -> Option<Value> {
    match json {
        Json::Bool(value) => Some(Value::Bool(*value)),
        Json::Number(_) if key == IS_CPU_OP => integer(json).map(|number| Value::Bool(number != 0)),
        Json::Number(number) => match integer(json) {
            Some(whole) => i64::try_from(whole)
                .map(Value::Int64)
                .or(u64::try_from(whole).map(Value::Uint64))
                .ok(),
            None => number.as_f64().map(Value::Double),
        },
        Json::String(text) if !ATTRIBUTES.contains(&key) => Some(Value::String(text.clone())),
        _ => None,
    }
}

/// A trace as text, and the names of attributes that this form has no place for.
pub fn write(trace: &Trace) -> (String, Vec<String>) {
    let mut lost = std::collections::BTreeSet::new();
    let nodes: Vec<Json> = trace
        .nodes
        .iter()
        .map(|node| node_json(node, &mut lost))
        .collect();
    let text = serde_json::to_string_pretty(&json!({ "workload_graph": nodes })).expect("plain JSON");
    (text + "\n", lost.into_iter().collect())
}

fn node_json(node: &Node, lost: &mut std::collections::BTreeSet<String>) -> Json {
    let deps: Vec<u64> = node.deps().collect();
    let cpu = node.is_cpu_op().unwrap_or(false);
    let mut map = Map::from_iter([
        ("Id".to_owned(), json!(node.id)),
        ("Name".to_owned(), json!(node.name)),
        ("NodeType".to_owned(), json!(node.kind as u8)),
        ("is_cpu_op".to_owned(), json!(cpu)),
        ("runtime".to_owned(), json!(node.duration_us)),
        ("data_deps".to_owned(), json!(deps)),
    ]);
    for attribute in node
        .attributes
        .iter()
        .filter(|attribute| attribute.name != IS_CPU_OP)
    {
        let number = attribute.value.as_ref().and_then(Value::as_integer);
        let number = number.and_then(|number| u64::try_from(number).ok());
        match number.filter(|_| ATTRIBUTES.contains(&attribute.name.as_str())) {
            Some(number) => {
                map.insert(attribute.name.clone(), json!(number));
            }
            None => {
                lost.insert(attribute.name.clone());
            }
        }
    }
    Json::Object(map)
}

#[cfg(test)]
mod tests {
    use super::super::read;
    use super::*;

    #[test]
    fn nodes_come_back() {
        let text = r#"{"workload_graph": [
            {"Id": 1, "Name": "a", "NodeType": 4, "is_cpu_op": false, "runtime": 5, "data_deps": []},
            {"Id": 2, "Name": "b", "NodeType": 7, "is_cpu_op": 0, "runtime": 0, "data_deps": [1], "comm_type": 0, "comm_size": 9}]}"#;
        let trace = read(text.as_bytes(), "x").unwrap();
        assert_eq!(trace.nodes[1].required_u64(COMM_SIZE), Ok(9));
        assert_eq!(trace.nodes[0].duration_us, 5);
        let (written, lost) = write(&trace);
        assert!(lost.is_empty());
        assert_eq!(read(written.as_bytes(), "x").unwrap().nodes[1].data_deps, [1]);
        let error = read(br#"{"workload_graph": [{"Name": "a"}]}"#, "x").unwrap_err();
        assert_eq!(
            error.to_string(),
            "`x`, node 0 of workload_graph: `Id` is missing"
        );
    }
}
