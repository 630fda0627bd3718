//! Protobuf's JSON of a trace: the metadata object, then one object per node (or all of them in a
//! list). Names in camelCase or as in the schema; 64-bit integers as texts or numbers.

use serde_json::{Map, Value as Json, json};

use super::super::chakra::{Attribute, Io, Metadata, Node, NodeKind, Trace, Value};
use super::super::error::FormatError;
use super::{Object, base64, described, integer};

/// Reads the objects of a file.
pub(super) fn read(values: &[Json], name: &str) -> Result<Trace, FormatError> {
    let objects = match values {
        [Json::Array(list)] => list.as_slice(),
        values => values,
    };
    let mut trace = Trace::default();
    let mut seen = std::collections::HashMap::new();
    for (index, value) in objects.iter().enumerate() {
        let object = Object::new(name, format!("object {}", index + 1), value)?;
        if index == 0 && is_metadata(object.map) {
            trace.metadata = metadata(&object)?;
            continue;
        }
        let node = node(&object)?;
        if let Some(first) = seen.insert(node.id, index + 1) {
            return Err(object.error(format!(
                "node id {} has been used before, in object {first}",
                node.id
            )));
        }
        trace.nodes.push(node);
    }
    Ok(trace)
}

/// A trace as text, indented as `chakra_jsonizer` does.
pub fn write(trace: &Trace) -> String {
    let mut text = pretty(&metadata_json(&trace.metadata));
    for node in &trace.nodes {
        text += &pretty(&node_json(node));
    }
    text
}

fn pretty(value: &Json) -> String {
    serde_json::to_string_pretty(value).expect("plain JSON") + "\n"
}

fn is_metadata(map: &Map<String, Json>) -> bool {
    map.keys().all(|key| matches!(key.as_str(), "version" | "attr"))
}

fn metadata(object: &Object<'_>) -> Result<Metadata, FormatError> {
    Ok(Metadata {
        version: object.text(&["version"])?,
        attributes: attributes(object)?,
    })
}

const NODE_KEYS: [&str; 16] = [
    "id",
    "name",
    "type",
    "ctrlDeps",
    "ctrl_deps",
    "dataDeps",
    "data_deps",
    "startTimeMicros",
    "start_time_micros",
    "durationMicros",
    "duration_micros",
    "inputs",
    "outputs",
    "attr",
    "version",
    "",
];

fn node(object: &Object<'_>) -> Result<Node, FormatError> {
    if let Some(key) = object.map.keys().find(|key| !NODE_KEYS.contains(&key.as_str())) {
        let what = format!("`{}` is no field of a node", super::super::error::shown(key));
        return Err(object.error(what).help("is it a Chakra trace in JSON?"));
    }
    Ok(Node {
        id: object.u64(&["id"])?.unwrap_or(0),
        name: object.text(&["name"])?,
        kind: kind(object)?,
        ctrl_deps: object.ids(&["ctrlDeps", "ctrl_deps"])?,
        data_deps: object.ids(&["dataDeps", "data_deps"])?,
        start_us: object
            .u64(&["startTimeMicros", "start_time_micros"])?
            .unwrap_or(0),
        duration_us: object.u64(&["durationMicros", "duration_micros"])?.unwrap_or(0),
        inputs: io(object, "inputs")?,
        outputs: io(object, "outputs")?,
        attributes: attributes(object)?,
    })
}

fn kind(object: &Object<'_>) -> Result<NodeKind, FormatError> {
    let Some(value) = object.get(&["type"]) else {
        return Ok(NodeKind::Invalid);
    };
    let named = value.as_str().and_then(NodeKind::from_name);
    let numbered = || {
        integer(value)
            .and_then(|n| i64::try_from(n).ok())
            .and_then(NodeKind::from_number)
    };
    let kind = named.or_else(numbered);
    kind.ok_or_else(|| object.error(format!("`type` is {}, none of the schema's", described(value))))
}

fn io(object: &Object<'_>, key: &str) -> Result<Io, FormatError> {
    let Some(value) = object.get(&[key]) else {
        return Ok(Io::default());
    };
    let io = Object::new(object.file, format!("{}, `{key}`", object.place), value)?;
    Ok(Io {
        values: io.text(&["values"])?,
        shapes: io.text(&["shapes"])?,
        types: io.text(&["types"])?,
    })
}

fn attributes(object: &Object<'_>) -> Result<Vec<Attribute>, FormatError> {
    let list = object.list(&["attr"])?.iter().enumerate();
    list.map(|(index, value)| {
        let place = format!("{}, attribute {}", object.place, index + 1);
        attribute(&Object::new(object.file, place, value)?)
    })
    .collect()
}

fn attribute(object: &Object<'_>) -> Result<Attribute, FormatError> {
    let mut attribute = Attribute {
        name: object.text(&["name"])?,
        doc: object.text(&["docString", "doc_string"])?,
        value: None,
    };
    for (key, json) in object.map {
        if matches!(key.as_str(), "name" | "docString" | "doc_string") || json.is_null() {
            continue;
        }
        let wrong = || {
            let name = super::super::error::shown(&attribute.name);
            object.error(format!(
                "`{}` of `{name}` is {}",
                super::super::error::shown(key),
                described(json)
            ))
        };
        let read = value(key, json).ok_or_else(wrong)?;
        attribute.value = Some(read);
    }
    Ok(attribute)
}

/// Each case of the `oneof`: how a scalar of it is read and written.
macro_rules! cases {
    ($($case:ident $list:ident $read:expr, $write:expr;)*) => {
        /// The value under a key such as `int64Val` or `int64_val`.
        fn value(key: &str, json: &Json) -> Option<Value> {
            let key = key.replace('_', "").to_lowercase();
            $(
                if key == concat!(stringify!($case), "val").to_lowercase() {
                    return $read(json).map(Value::$case);
                }
                if key == concat!(stringify!($case), "list").to_lowercase() {
                    // An empty list leaves `values` out.
                    let none = Vec::new();
                    let values = match json.as_object()?.get("values") {
                        Some(values) => values.as_array()?,
                        None => &none,
                    };
                    return values.iter().map($read).collect::<Option<Vec<_>>>().map(Value::$list);
                }
            )*
            None
        }

        fn value_json(value: &Value) -> Json {
            match value {
                $(
                    Value::$case(v) => $write(v),
                    Value::$list(list) => json!({ "values": list.iter().map($write).collect::<Vec<Json>>() }),
                )*
            }
        }
    };
}

fn whole<T: TryFrom<i128>>(json: &Json) -> Option<T> {
    integer(json).and_then(|number| T::try_from(number).ok())
}

fn real(json: &Json) -> Option<f64> {
    match json.as_str() {
        Some("NaN") => Some(f64::NAN),
        Some("Infinity") => Some(f64::INFINITY),
        Some("-Infinity") => Some(f64::NEG_INFINITY),
        Some(text) => text.parse().ok(),
        None => json.as_f64(),
    }
}

fn real_json(value: f64) -> Json {
    match value {
        v if v.is_nan() => json!("NaN"),
        v if v == f64::INFINITY => json!("Infinity"),
        v if v == f64::NEG_INFINITY => json!("-Infinity"),
        v => json!(v),
    }
}

fn text<T: ToString>(value: &T) -> Json {
    Json::String(value.to_string())
}

cases! {
    Double DoubleList real, |v: &f64| real_json(*v);
    Float FloatList |json: &Json| real(json).map(|v| v as f32), |v: &f32| real_json(f64::from(*v));
    Int32 Int32List whole, |v: &i32| json!(v);
    Int64 Int64List whole, text;
    Uint32 Uint32List whole, |v: &u32| json!(v);
    Uint64 Uint64List whole, text;
    Sint32 Sint32List whole, |v: &i32| json!(v);
    Sint64 Sint64List whole, text;
    Fixed32 Fixed32List whole, |v: &u32| json!(v);
    Fixed64 Fixed64List whole, text;
    Sfixed32 Sfixed32List whole, |v: &i32| json!(v);
    Sfixed64 Sfixed64List whole, text;
    Bool BoolList Json::as_bool, |v: &bool| json!(v);
    String StringList |json: &Json| json.as_str().map(str::to_owned), |v: &String| json!(v);
    Bytes BytesList |json: &Json| json.as_str().and_then(base64::decode), |v: &Vec<u8>| json!(base64::encode(v));
}

fn metadata_json(metadata: &Metadata) -> Json {
    let mut map = Map::new();
    if !metadata.version.is_empty() {
        map.insert("version".into(), json!(metadata.version));
    }
    insert_attributes(&mut map, &metadata.attributes);
    Json::Object(map)
}

fn node_json(node: &Node) -> Json {
    let mut map = Map::new();
    let mut add = |key: &str, there: bool, value: Json| {
        if there {
            map.insert(key.into(), value);
        }
    };
    let ids = |ids: &[u64]| Json::Array(ids.iter().map(text).collect());
    // Even a 0: an object without any key would be read as metadata.
    add("id", true, text(&node.id));
    add("name", !node.name.is_empty(), json!(node.name));
    add("type", node.kind != NodeKind::Invalid, json!(node.kind.name()));
    add("ctrlDeps", !node.ctrl_deps.is_empty(), ids(&node.ctrl_deps));
    add("dataDeps", !node.data_deps.is_empty(), ids(&node.data_deps));
    add("startTimeMicros", node.start_us != 0, text(&node.start_us));
    add("durationMicros", node.duration_us != 0, text(&node.duration_us));
    for (key, io) in [("inputs", &node.inputs), ("outputs", &node.outputs)] {
        let fields = json!({ "values": io.values, "shapes": io.shapes, "types": io.types });
        add(key, *io != Io::default(), fields);
    }
    insert_attributes(&mut map, &node.attributes);
    Json::Object(map)
}

fn insert_attributes(map: &mut Map<String, Json>, attributes: &[Attribute]) {
    if attributes.is_empty() {
        return;
    }
    let one = |attribute: &Attribute| {
        let mut one = Map::from_iter([("name".to_owned(), json!(attribute.name))]);
        if !attribute.doc.is_empty() {
            one.insert("docString".into(), json!(attribute.doc));
        }
        if let Some(value) = &attribute.value {
            one.insert(value.json_case().into(), value_json(value));
        }
        Json::Object(one)
    };
    map.insert("attr".into(), Json::Array(attributes.iter().map(one).collect()));
}

#[cfg(test)]
mod tests {
    use super::super::read;
    use super::*;

    #[test]
    fn both_spellings_are_read() {
        let text = r#"{"version": "0.0.4"}
            {"id": "3", "type": "COMM_COLL_NODE", "dataDeps": ["1", 2], "attr": [{"name": "comm_size", "int64Val": "7"}]}
            {"id": 4, "type": 4, "duration_micros": "5", "attr": [{"name": "involved_dim", "bool_list": {"values": [true]}}, {"name": "e", "boolList": {}}]}"#;
        let trace = read(text.as_bytes(), "x").unwrap();
        assert_eq!(trace.metadata.version, "0.0.4");
        assert_eq!(trace.nodes[0].data_deps, [1, 2]);
        assert_eq!(trace.nodes[0].required_u64("comm_size"), Ok(7));
        assert_eq!(
            (trace.nodes[1].kind, trace.nodes[1].duration_us),
            (NodeKind::Comp, 5)
        );
        assert_eq!(trace.nodes[1].involved_dim(), Ok(Some(vec![true])));
        assert_eq!(read(write(&trace).as_bytes(), "x").unwrap(), trace);
    }

    #[test]
    fn errors_say_where() {
        let error = |text: &str| read(text.as_bytes(), "x.json").unwrap_err().to_string();
        assert_eq!(
            error("{} {\"id\": -1}"),
            "`x.json`, object 2: `id` is `-1`; a whole number from 0 on is wanted"
        );
        assert!(error("{\"id\": 0, \"hue\": 1}").contains("`hue` is no field of a node"));
        assert!(error("{\"id\": 0} {\"id\": \"0\"}").contains("used before, in object 1"));
        assert!(
            error("{\"id\": 0, \"attr\": [{\"name\": \"a\", \"int32Val\": 1e10}]}")
                .contains("`int32Val` of `a`")
        );
        assert!(error("{\"id\": ").contains("line 1, column"));
        assert!(error("[1]").contains("a number where an object belongs"));
    }
}
