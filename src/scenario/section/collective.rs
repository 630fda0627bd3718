//! `[[traffic.collective]]`: a collective operation at one or more sizes.

use std::fmt;

use schemars::JsonSchema;
use serde::de::value::{MapAccessDeserializer, SeqAccessDeserializer};
use serde::de::{self, Deserializer, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Serialize, Serializer};

use crate::network::message::Rank;
use crate::scenario::units::{Bytes, Duration};
use crate::system::op::{self, Algorithm, DataType, ReduceOp};

/// A collective operation, warmed up and repeated at each of its sizes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Collective {
    /// Which collective.
    pub op: op::Collective,
    /// By which algorithm; "auto" chooses by collective, size and number of ranks.
    #[serde(default = "algorithm")]
    pub algorithm: Algorithm,
    /// Over which communicator.
    #[serde(default = "communicator")]
    pub communicator: String,
    /// Sizes as nccl-tests counts them: the larger of a rank's send and receive buffer.
    /// Not for a barrier, nor with `matrix`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sizes: Option<Sizes>,
    /// How often each size is measured; "auto": as many as fit `time_per_size`, 5 to 1000.
    #[serde(default)]
    pub iterations: Count,
    /// Real time that "auto" iterations of one size may take.
    #[serde(default = "time_per_size")]
    pub time_per_size: Duration,
    /// How often each size is played before it is measured; "auto": a tenth of `iterations`, 1 to 20.
    #[serde(default)]
    pub warmup: Count,
    /// Element type.
    #[serde(default = "dtype")]
    pub dtype: DataType,
    /// Reduction operator of collectives that reduce.
    #[serde(default = "redop")]
    pub redop: ReduceOp,
    /// Position of the root in the communicator, for collectives that have one.
    #[serde(default)]
    pub root: Rank,
    /// Largest piece that runs through the algorithm by itself; "0 B": never cut.
    #[serde(default = "chunk")]
    pub chunk: Bytes,
    /// How many pieces may be in flight at once, 1 to 256.
    #[serde(default = "chunks_in_flight")]
    pub chunks_in_flight: u32,
    /// all-to-all only: `matrix[s][d]` is what position s sends to position d.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub matrix: Option<Vec<Vec<Bytes>>>,
}

fn algorithm() -> Algorithm {
    Algorithm::Auto
}
fn communicator() -> String {
    "world".into()
}
fn time_per_size() -> Duration {
    Duration(1_000_000_000)
}
fn dtype() -> DataType {
    DataType::Float32
}
fn redop() -> ReduceOp {
    ReduceOp::Sum
}
fn chunk() -> Bytes {
    Bytes(4 << 20)
}
fn chunks_in_flight() -> u32 {
    4
}

/// The sizes of a collective.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[serde(untagged)]
pub enum Sizes {
    /// One.
    One(Bytes),
    /// These, in this order.
    List(Vec<Bytes>),
    /// A range.
    Range(SizeRange),
}

/// Sizes from one to another, both included.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SizeRange {
    /// First size.
    pub from: Bytes,
    /// Largest size; played even if no step lands on it exactly.
    pub to: Bytes,
    /// Each size is so many times the one before, more than 1; 2 when neither factor nor step is given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub factor: Option<f64>,
    /// Each size is so much more than the one before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub step: Option<Bytes>,
}

impl<'de> Deserialize<'de> for Sizes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(SizesVisitor)
    }
}

struct SizesVisitor;

impl<'de> Visitor<'de> for SizesVisitor {
    type Value = Sizes;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a size, a list of sizes, or { from = .., to = .., factor = .. }")
    }

    fn visit_str<E: de::Error>(self, size: &str) -> Result<Sizes, E> {
        size.parse().map(Sizes::One).map_err(E::custom)
    }

    fn visit_i64<E: de::Error>(self, number: i64) -> Result<Sizes, E> {
        self.visit_str(&number.to_string())
    }

    fn visit_f64<E: de::Error>(self, number: f64) -> Result<Sizes, E> {
        self.visit_str(&number.to_string())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, sizes: A) -> Result<Sizes, A::Error> {
        Deserialize::deserialize(SeqAccessDeserializer::new(sizes)).map(Sizes::List)
    }

    fn visit_map<A: MapAccess<'de>>(self, range: A) -> Result<Sizes, A::Error> {
        Deserialize::deserialize(MapAccessDeserializer::new(range)).map(Sizes::Range)
    }
}

/// A number of iterations, or `"auto"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Count {
    /// The planner chooses.
    #[default]
    Auto,
    /// So many.
    Exactly(u32),
}

impl Serialize for Count {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Count::Auto => serializer.serialize_str("auto"),
            Count::Exactly(count) => serializer.serialize_u32(*count),
        }
    }
}

impl<'de> Deserialize<'de> for Count {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(CountVisitor)
    }
}

struct CountVisitor;

impl Visitor<'_> for CountVisitor {
    type Value = Count;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a number, or \"auto\"")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Count, E> {
        match text {
            "auto" => Ok(Count::Auto),
            _ => Err(E::invalid_value(de::Unexpected::Str(text), &self)),
        }
    }

    fn visit_i64<E: de::Error>(self, count: i64) -> Result<Count, E> {
        let count = u32::try_from(count);
        count
            .map(Count::Exactly)
            .map_err(|_| E::custom("a count is not negative and fits 32 bits"))
    }

    fn visit_u64<E: de::Error>(self, count: u64) -> Result<Count, E> {
        self.visit_i64(i64::try_from(count).unwrap_or(i64::MAX))
    }
}

impl JsonSchema for Count {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Count".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "description": "A number of iterations, or \"auto\".",
            "anyOf": [{ "const": "auto" }, { "type": "integer", "minimum": 0, "maximum": u32::MAX }],
        })
    }
}
