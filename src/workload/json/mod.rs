//! Chakra traces as JSON, in both shapes that exist.
//!
//! * [`protobuf`]: protobuf's own JSON, one object after the other, as `chakra_jsonizer` writes it.
//! * [`graph`]: `{"workload_graph": [...]}`, which only feeder version 1 reads.

pub mod base64;
pub mod graph;
pub mod protobuf;

use serde_json::{Map, Value};

use super::error::FormatError;

/// An object of a file, and what it is called in errors.
struct Object<'a> {
    file: &'a str,
    place: String,
    map: &'a Map<String, Value>,
}

impl<'a> Object<'a> {
    fn new(file: &'a str, place: String, value: &'a Value) -> Result<Object<'a>, FormatError> {
        match value {
            Value::Object(map) => Ok(Object { file, place, map }),
            other => {
                Err(FormatError::new(file, format!("{} where an object belongs", kind(other))).at(place))
            }
        }
    }

    fn error(&self, what: impl Into<String>) -> FormatError {
        FormatError::new(self.file, what).at(self.place.clone())
    }

    /// The first of these keys that is there and not null.
    fn get(&self, keys: &[&str]) -> Option<&'a Value> {
        keys.iter()
            .find_map(|key| self.map.get(*key))
            .filter(|value| !value.is_null())
    }

    /// An unsigned integer; 64-bit ones may be texts.
    fn u64(&self, keys: &[&str]) -> Result<Option<u64>, FormatError> {
        let Some(value) = self.get(keys) else {
            return Ok(None);
        };
        let number = integer(value).and_then(|number| u64::try_from(number).ok());
        number.map(Some).ok_or_else(|| {
            self.error(format!(
                "`{}` is {}; a whole number from 0 on is wanted",
                keys[0],
                described(value)
            ))
        })
    }

    fn text(&self, keys: &[&str]) -> Result<String, FormatError> {
        match self.get(keys) {
            None => Ok(String::new()),
            Some(Value::String(text)) => Ok(text.clone()),
            Some(other) => {
                Err(self.error(format!("`{}` is {}; a text is wanted", keys[0], described(other))))
            }
        }
    }

    fn list(&self, keys: &[&str]) -> Result<&'a [Value], FormatError> {
        match self.get(keys) {
            None => Ok(&[]),
            Some(Value::Array(list)) => Ok(list),
            Some(other) => {
                Err(self.error(format!("`{}` is {}; a list is wanted", keys[0], described(other))))
            }
        }
    }

    fn ids(&self, keys: &[&str]) -> Result<Vec<u64>, FormatError> {
        let id = |value: &Value| {
            let number = integer(value).and_then(|number| u64::try_from(number).ok());
            number.ok_or_else(|| self.error(format!("{} in `{}` is no node id", described(value), keys[0])))
        };
        self.list(keys)?.iter().map(id).collect()
    }
}

/// A whole number, as a number or a text.
fn integer(value: &Value) -> Option<i128> {
    match value {
        Value::Number(number) => {
            let exact = number
                .as_i64()
                .map(i128::from)
                .or(number.as_u64().map(i128::from));
            exact.or(number
                .as_f64()
                .filter(|v| v.fract() == 0.0 && v.abs() < 9e15)
                .map(|v| v as i128))
        }
        Value::String(text) => text.parse().ok(),
        _ => None,
    }
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a truth value",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

fn described(value: &Value) -> String {
    match value {
        Value::Number(number) => format!("`{number}`"),
        Value::String(text) => format!("\"{}\"", super::error::shown(text)),
        other => kind(other).to_owned(),
    }
}

/// Reads JSON of either shape.
///
/// # Errors
/// It is no JSON, or no trace.
pub fn read(bytes: &[u8], name: &str) -> Result<super::chakra::Trace, FormatError> {
    let mut values = Vec::new();
    for value in serde_json::Deserializer::from_slice(bytes).into_iter::<Value>() {
        values.push(value.map_err(|error| syntax(name, &error))?);
    }
    match values.as_slice() {
        [] => Err(FormatError::new(name, "the file is empty")),
        [only] if only.get("workload_graph").is_some() => graph::read(only, name),
        _ => protobuf::read(&values, name),
    }
}

/// What is wrong with a text that is no JSON.
pub fn syntax(name: &str, error: &serde_json::Error) -> FormatError {
    let what = error.to_string();
    let what = what.split(" at line").next().unwrap_or_default().to_owned();
    FormatError::new(name, format!("no JSON: {what}")).at(format!(
        "line {}, column {}",
        error.line(),
        error.column()
    ))
}
