//! The protobuf messages of `et_def.proto` (package ChakraProtoMsg) for prost, and how they become
//! plain types and back. Field numbers are the schema's.

use super::node::{self, NodeKind};
use super::value::{self, Value};

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct GlobalMetadata {
    #[prost(string, tag = "1")]
    pub version: String,
    #[prost(message, repeated, tag = "2")]
    pub attr: Vec<AttributeProto>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Node {
    #[prost(uint64, tag = "1")]
    pub id: u64,
    #[prost(string, tag = "2")]
    pub name: String,
    /// An open enumeration: numbers beyond the schema are kept here and refused later.
    #[prost(int32, tag = "3")]
    pub kind: i32,
    #[prost(uint64, repeated, tag = "4")]
    pub ctrl_deps: Vec<u64>,
    #[prost(uint64, repeated, tag = "5")]
    pub data_deps: Vec<u64>,
    #[prost(uint64, tag = "6")]
    pub start_time_micros: u64,
    #[prost(uint64, tag = "7")]
    pub duration_micros: u64,
    #[prost(message, optional, tag = "8")]
    pub inputs: Option<IoInfo>,
    #[prost(message, optional, tag = "9")]
    pub outputs: Option<IoInfo>,
    #[prost(message, repeated, tag = "10")]
    pub attr: Vec<AttributeProto>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct IoInfo {
    #[prost(string, tag = "1")]
    pub values: String,
    #[prost(string, tag = "2")]
    pub shapes: String,
    #[prost(string, tag = "3")]
    pub types: String,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct AttributeProto {
    #[prost(string, tag = "1")]
    pub name: String,
    #[prost(string, tag = "2")]
    pub doc_string: String,
    #[prost(
        oneof = "Case",
        tags = "3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31, 32"
    )]
    pub value: Option<Case>,
}

/// Messages that hold nothing but a list, all of one shape.
macro_rules! lists {
    ($($name:ident($kind:ty, $encoding:ident),)*) => {
        $(#[derive(Clone, PartialEq, prost::Message)]
        pub(super) struct $name {
            #[prost($encoding, repeated, tag = "1")]
            pub values: Vec<$kind>,
        })*
    };
}

lists! {
    DoubleList(f64, double), FloatList(f32, float),
    Int32List(i32, int32), Int64List(i64, int64), Uint32List(u32, uint32), Uint64List(u64, uint64),
    Sint32List(i32, sint32), Sint64List(i64, sint64),
    Fixed32List(u32, fixed32), Fixed64List(u64, fixed64),
    Sfixed32List(i32, sfixed32), Sfixed64List(i64, sfixed64),
    BoolList(bool, bool), StringList(String, string),
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct BytesList {
    #[prost(bytes = "vec", repeated, tag = "1")]
    pub values: Vec<Vec<u8>>,
}

#[derive(Clone, PartialEq, prost::Oneof)]
pub(super) enum Case {
    #[prost(double, tag = "3")]
    Double(f64),
    #[prost(message, tag = "4")]
    DoubleList(DoubleList),
    #[prost(float, tag = "5")]
    Float(f32),
    #[prost(message, tag = "6")]
    FloatList(FloatList),
    #[prost(int32, tag = "7")]
    Int32(i32),
    #[prost(message, tag = "8")]
    Int32List(Int32List),
    #[prost(int64, tag = "9")]
    Int64(i64),
    #[prost(message, tag = "10")]
    Int64List(Int64List),
    #[prost(uint32, tag = "11")]
    Uint32(u32),
    #[prost(message, tag = "12")]
    Uint32List(Uint32List),
    #[prost(uint64, tag = "13")]
    Uint64(u64),
    #[prost(message, tag = "14")]
    Uint64List(Uint64List),
    #[prost(sint32, tag = "15")]
    Sint32(i32),
    #[prost(message, tag = "16")]
    Sint32List(Sint32List),
    #[prost(sint64, tag = "17")]
    Sint64(i64),
    #[prost(message, tag = "18")]
    Sint64List(Sint64List),
    #[prost(fixed32, tag = "19")]
    Fixed32(u32),
    #[prost(message, tag = "20")]
    Fixed32List(Fixed32List),
    #[prost(fixed64, tag = "21")]
    Fixed64(u64),
    #[prost(message, tag = "22")]
    Fixed64List(Fixed64List),
    #[prost(sfixed32, tag = "23")]
    Sfixed32(i32),
    #[prost(message, tag = "24")]
    Sfixed32List(Sfixed32List),
    #[prost(sfixed64, tag = "25")]
    Sfixed64(i64),
    #[prost(message, tag = "26")]
    Sfixed64List(Sfixed64List),
    #[prost(bool, tag = "27")]
    Bool(bool),
    #[prost(message, tag = "28")]
    BoolList(BoolList),
    #[prost(string, tag = "29")]
    String(String),
    #[prost(message, tag = "30")]
    StringList(StringList),
    #[prost(bytes = "vec", tag = "31")]
    Bytes(Vec<u8>),
    #[prost(message, tag = "32")]
    BytesList(BytesList),
}

/// Each case there and back.
macro_rules! cases {
    ($($scalar:ident $list:ident,)*) => {
        impl From<Case> for Value {
            fn from(case: Case) -> Value {
                match case {
                    $(Case::$scalar(v) => Value::$scalar(v),
                      Case::$list(v) => Value::$list(v.values),)*
                }
            }
        }

        impl From<&Value> for Case {
            fn from(value: &Value) -> Case {
                match value {
                    $(Value::$scalar(v) => Case::$scalar(v.clone()),
                      Value::$list(v) => Case::$list($list { values: v.clone() }),)*
                }
            }
        }
    };
}

cases! {
    Double DoubleList, Float FloatList, Int32 Int32List, Int64 Int64List, Uint32 Uint32List,
    Uint64 Uint64List, Sint32 Sint32List, Sint64 Sint64List, Fixed32 Fixed32List,
    Fixed64 Fixed64List, Sfixed32 Sfixed32List, Sfixed64 Sfixed64List, Bool BoolList,
    String StringList, Bytes BytesList,
}

impl From<AttributeProto> for value::Attribute {
    fn from(attr: AttributeProto) -> value::Attribute {
        value::Attribute {
            name: attr.name,
            doc: attr.doc_string,
            value: attr.value.map(Value::from),
        }
    }
}

impl From<&value::Attribute> for AttributeProto {
    fn from(attribute: &value::Attribute) -> AttributeProto {
        AttributeProto {
            name: attribute.name.clone(),
            doc_string: attribute.doc.clone(),
            value: attribute.value.as_ref().map(Case::from),
        }
    }
}

impl From<GlobalMetadata> for node::Metadata {
    fn from(metadata: GlobalMetadata) -> node::Metadata {
        node::Metadata {
            version: metadata.version,
            attributes: metadata.attr.into_iter().map(Into::into).collect(),
        }
    }
}

impl From<&node::Metadata> for GlobalMetadata {
    fn from(metadata: &node::Metadata) -> GlobalMetadata {
        GlobalMetadata {
            version: metadata.version.clone(),
            attr: metadata.attributes.iter().map(Into::into).collect(),
        }
    }
}

impl From<IoInfo> for node::Io {
    fn from(io: IoInfo) -> node::Io {
        node::Io {
            values: io.values,
            shapes: io.shapes,
            types: io.types,
        }
    }
}

/// Absent if there is nothing in it.
fn io_info(io: &node::Io) -> Option<IoInfo> {
    (*io != node::Io::default()).then(|| IoInfo {
        values: io.values.clone(),
        shapes: io.shapes.clone(),
        types: io.types.clone(),
    })
}

impl Node {
    /// The plain node, or its number of a kind that the schema has not.
    pub(super) fn into_plain(self) -> Result<node::Node, i32> {
        Ok(node::Node {
            id: self.id,
            name: self.name,
            kind: NodeKind::from_number(self.kind.into()).ok_or(self.kind)?,
            ctrl_deps: self.ctrl_deps,
            data_deps: self.data_deps,
            start_us: self.start_time_micros,
            duration_us: self.duration_micros,
            inputs: self.inputs.map(Into::into).unwrap_or_default(),
            outputs: self.outputs.map(Into::into).unwrap_or_default(),
            attributes: self.attr.into_iter().map(Into::into).collect(),
        })
    }
}

impl From<&node::Node> for Node {
    fn from(node: &node::Node) -> Node {
        Node {
            id: node.id,
            name: node.name.clone(),
            kind: node.kind as i32,
            ctrl_deps: node.ctrl_deps.clone(),
            data_deps: node.data_deps.clone(),
            start_time_micros: node.start_us,
            duration_micros: node.duration_us,
            inputs: io_info(&node.inputs),
            outputs: io_info(&node.outputs),
            attr: node.attributes.iter().map(Into::into).collect(),
        }
    }
}
