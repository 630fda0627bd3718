//! Values of attributes: every case of the schema's `oneof`, kept as it was written, and readings
//! that do not care in which of the integer types a number came.

/// A named value of a node or of a file's metadata (`AttributeProto`).
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Attribute {
    /// Its name.
    pub name: String,
    /// A comment; hardly anyone writes it.
    pub doc: String,
    /// `None` where the file gives a name only.
    pub value: Option<Value>,
}

impl Attribute {
    /// A name with a value.
    pub fn new(name: impl Into<String>, value: impl Into<Value>) -> Attribute {
        Attribute {
            name: name.into(),
            doc: String::new(),
            value: Some(value.into()),
        }
    }
}

/// Declares [`Value`] and what differs from case to case only in names.
macro_rules! values {
    ($($case:ident($kind:ty) $list:ident $name:literal $json:literal,)*) => {
        /// The value of an attribute: each scalar of protobuf, or a list of it.
        #[derive(Debug, Clone, PartialEq)]
        #[allow(missing_docs)]
        pub enum Value {
            $($case($kind), $list(Vec<$kind>),)*
        }

        impl Value {
            /// The name of its case in the schema: `int64_val`, `bool_list`.
            pub fn case(&self) -> &'static str {
                match self {
                    $(Value::$case(_) => concat!($name, "_val"),
                      Value::$list(_) => concat!($name, "_list"),)*
                }
            }

            /// The name of its case in protobuf's JSON: `int64Val`, `boolList`.
            pub fn json_case(&self) -> &'static str {
                match self {
                    $(Value::$case(_) => concat!($json, "Val"),
                      Value::$list(_) => concat!($json, "List"),)*
                }
            }
        }
    };
}

values! {
    Double(f64) DoubleList "double" "double",
    Float(f32) FloatList "float" "float",
    Int32(i32) Int32List "int32" "int32",
    Int64(i64) Int64List "int64" "int64",
    Uint32(u32) Uint32List "uint32" "uint32",
    Uint64(u64) Uint64List "uint64" "uint64",
    Sint32(i32) Sint32List "sint32" "sint32",
    Sint64(i64) Sint64List "sint64" "sint64",
    Fixed32(u32) Fixed32List "fixed32" "fixed32",
    Fixed64(u64) Fixed64List "fixed64" "fixed64",
    Sfixed32(i32) Sfixed32List "sfixed32" "sfixed32",
    Sfixed64(i64) Sfixed64List "sfixed64" "sfixed64",
    Bool(bool) BoolList "bool" "bool",
    String(String) StringList "string" "string",
    Bytes(Vec<u8>) BytesList "bytes" "bytes",
}

impl Value {
    /// An integer, whatever integer type it was written in; a truth value is 0 or 1.
    pub fn as_integer(&self) -> Option<i128> {
        Some(match *self {
            Value::Int32(v) | Value::Sint32(v) | Value::Sfixed32(v) => v.into(),
            Value::Int64(v) | Value::Sint64(v) | Value::Sfixed64(v) => v.into(),
            Value::Uint32(v) | Value::Fixed32(v) => v.into(),
            Value::Uint64(v) | Value::Fixed64(v) => v.into(),
            Value::Bool(v) => v.into(),
            _ => return None,
        })
    }

    /// A number; integers count as numbers.
    pub fn as_f64(&self) -> Option<f64> {
        match self {
            Value::Double(v) => Some(*v),
            Value::Float(v) => Some(f64::from(*v)),
            other => other.as_integer().map(|v| v as f64),
        }
    }

    /// A truth value; an integer is true unless 0.
    pub fn as_bool(&self) -> Option<bool> {
        self.as_integer().map(|v| v != 0)
    }

    /// A text.
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Value::String(text) => Some(text),
            _ => None,
        }
    }

    /// A list of integers, in whatever integer type.
    pub fn as_integers(&self) -> Option<Vec<i128>> {
        fn widened<T: Copy + Into<i128>>(list: &[T]) -> Option<Vec<i128>> {
            Some(list.iter().map(|v| (*v).into()).collect())
        }
        match self {
            Value::Int32List(v) | Value::Sint32List(v) | Value::Sfixed32List(v) => widened(v),
            Value::Int64List(v) | Value::Sint64List(v) | Value::Sfixed64List(v) => widened(v),
            Value::Uint32List(v) | Value::Fixed32List(v) => widened(v),
            Value::Uint64List(v) | Value::Fixed64List(v) => widened(v),
            Value::BoolList(v) => widened(v),
            _ => None,
        }
    }
}

macro_rules! from {
    ($($kind:ty => $case:ident,)*) => {
        $(impl From<$kind> for Value {
            fn from(value: $kind) -> Value {
                Value::$case(value)
            }
        })*
    };
}

from! {
    f64 => Double, f32 => Float, i32 => Int32, i64 => Int64, u32 => Uint32, u64 => Uint64,
    bool => Bool, String => String,
    Vec<bool> => BoolList, Vec<String> => StringList, Vec<i64> => Int64List, Vec<i32> => Int32List,
}

impl From<&str> for Value {
    fn from(value: &str) -> Value {
        Value::String(value.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_integer_is_an_integer_in_every_type() {
        for value in [
            Value::Int32(7),
            Value::Int64(7),
            Value::Uint32(7),
            Value::Uint64(7),
            Value::Sint32(7),
            Value::Sint64(7),
            Value::Fixed32(7),
            Value::Fixed64(7),
            Value::Sfixed32(7),
            Value::Sfixed64(7),
        ] {
            assert_eq!(value.as_integer(), Some(7), "{}", value.case());
            assert_eq!(value.as_f64(), Some(7.0));
        }
        assert_eq!(Value::Double(7.0).as_integer(), None);
        assert_eq!(Value::String("7".into()).as_integer(), None);
        assert_eq!(Value::Fixed64(u64::MAX).as_integer(), Some(u64::MAX.into()));
        assert_eq!(Value::Uint32List(vec![1, 2]).as_integers(), Some(vec![1, 2]));
    }
}
