//! What is compared: one series for each column, with the figures of each row of each repetition.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Serialize, Serializer};

/// A figure of merit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Metric {
    /// Time of an iteration, nominal microseconds.
    #[default]
    Time,
    /// Bus bandwidth, Gbit/s, as nccl-tests defines it.
    Busbw,
    /// Size / time, Gbit/s.
    Algbw,
    /// CPU seconds per 10^9 payload bytes sent.
    Cpu,
}

impl Metric {
    /// Its unit.
    pub fn unit(self) -> &'static str {
        match self {
            Metric::Time => "us",
            Metric::Busbw | Metric::Algbw => "Gbit/s",
            Metric::Cpu => "s/GB",
        }
    }

    /// Whether more is better.
    pub fn more_is_better(self) -> bool {
        matches!(self, Metric::Busbw | Metric::Algbw)
    }
}

/// What tells rows apart, in the order of columns.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Field {
    /// Name of the step, where circuits were changed between steps.
    Step,
    /// The collective, or what else was played.
    Op,
    /// By which algorithm.
    Algorithm,
    /// Name of the communicator.
    Communicator,
    /// Ranks of the communicator.
    Ranks,
    /// Element type.
    Dtype,
    /// Reduction operator.
    Redop,
    /// Position of the root.
    Root,
    /// Size, bytes, as nccl-tests counts it.
    Bytes,
    /// Which of several equal rows, from 1.
    Occurrence,
}

impl Field {
    /// All that a source may know.
    pub const ALL: [Field; 9] = [
        Field::Step,
        Field::Op,
        Field::Algorithm,
        Field::Communicator,
        Field::Ranks,
        Field::Dtype,
        Field::Redop,
        Field::Root,
        Field::Bytes,
    ];

    /// Its name on the command line and in columns.
    pub fn name(self) -> &'static str {
        match self {
            Field::Step => "step",
            Field::Op => "op",
            Field::Algorithm => "algorithm",
            Field::Communicator => "communicator",
            Field::Ranks => "ranks",
            Field::Dtype => "dtype",
            Field::Redop => "redop",
            Field::Root => "root",
            Field::Bytes => "bytes",
            Field::Occurrence => "occurrence",
        }
    }
}

/// The value of a field.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Value {
    /// A count or a size.
    Number(u64),
    /// A name.
    Text(String),
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::Number(number) => write!(f, "{number}"),
            Value::Text(text) => f.write_str(text),
        }
    }
}

impl Serialize for Value {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Value::Number(number) => serializer.serialize_u64(*number),
            Value::Text(text) => serializer.serialize_str(text),
        }
    }
}

/// What names a row: the fields that its source knows.
pub type Key = BTreeMap<Field, Value>;

/// One row of one repetition.
#[derive(Debug, Clone, PartialEq)]
pub struct Figure {
    /// The row.
    pub key: Key,
    /// The repetition, from 0.
    pub repetition: usize,
    /// The metric in each iteration, in order; one figure where the source has no iterations.
    pub samples: Vec<f64>,
    /// Share of the link's payload limit that was reached (0 to 1), where known: the rest of the time
    /// is software's, which varies from run to run.
    pub link_share: Option<f64>,
    /// Others were at work on the machine meanwhile.
    pub disturbed: bool,
}

/// One column of a comparison.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Series {
    /// What it was called on the command line.
    pub label: String,
    /// Where it comes from: `run <id>`, `nccl-tests (JSON)`, ...
    pub source: String,
    /// How many repetitions there are.
    pub repetitions: usize,
    /// Computed, not measured: every difference is one.
    pub exact: bool,
    /// Name and value of what the run depended on: `environment.kernel`, `scenario.topology.star.hosts`.
    pub facts: BTreeMap<String, String>,
    /// What the reader must know.
    pub cautions: Vec<String>,
    /// All rows of all repetitions.
    pub figures: Vec<Figure>,
}
