//! Configuration files of other simulators as one tree with positions, whether JSON, YAML or
//! `key: value` text, so that everything wrong in them is shown where it stands.
//!
//! * [`json`], [`yaml`], [`lines`]: text to a [`Node`]. [`reader`]: typed values out of it.
//! * [`notice`]: what is worth saying about a file that is not wrong.

pub mod json;
pub mod lines;
pub mod notice;
pub mod reader;
pub mod yaml;

pub use crate::scenario::diagnostic::{Diagnostic, Diagnostics};
pub use crate::scenario::source::{Place, Span};
pub use crate::scenario::suggest;
pub use notice::{Notice, NoticeKind, Parsed};
pub use reader::{Fields, Reader};

/// Longest text that is parsed, bytes.
pub const MAX_BYTES: usize = 64 << 20;
/// Lists and maps may be nested this deep.
pub const MAX_DEPTH: usize = 64;

/// A value and where it is written.
#[derive(Debug, Clone, PartialEq)]
pub struct Node {
    /// Bytes of the text.
    pub span: Span,
    /// What is written there.
    pub value: Value,
}

/// A value.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// `null`, or nothing.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A number.
    Number(Number),
    /// Text.
    Text(String),
    /// A list.
    List(Vec<Node>),
    /// A map, in the order of the text; keys may repeat.
    Map(Vec<Entry>),
}

/// A number as it was written.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Number {
    /// A whole number from 0.
    Whole(u64),
    /// Anything else that is finite.
    Real(f64),
}

/// A key of a map with its value.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// The key.
    pub key: String,
    /// Where the key is written.
    pub span: Span,
    /// Its value.
    pub value: Node,
}

impl Number {
    /// Reads decimal digits with sign, fraction and exponent; nothing else, and nothing infinite.
    pub fn parse(text: &str) -> Option<Self> {
        let plain = |b: u8| b.is_ascii_digit() || matches!(b, b'+' | b'-' | b'.' | b'e' | b'E');
        if !text.bytes().all(plain) {
            return None;
        }
        if let Ok(whole) = text.parse() {
            return Some(Number::Whole(whole));
        }
        let real = text.parse().ok().filter(|real: &f64| real.is_finite())?;
        Some(Number::Real(real))
    }

    /// As a floating-point number.
    pub fn as_f64(self) -> f64 {
        match self {
            Number::Whole(whole) => whole as f64,
            Number::Real(real) => real,
        }
    }
}

impl Value {
    /// What it is, with its article, for messages.
    pub fn kind(&self) -> &'static str {
        match self {
            Value::Null => "nothing",
            Value::Bool(_) => "a truth value",
            Value::Number(_) => "a number",
            Value::Text(_) => "text",
            Value::List(_) => "a list",
            Value::Map(_) => "a map",
        }
    }
}
