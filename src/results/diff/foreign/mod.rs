//! Results of other programs as series to compare with, told apart by their content.
//!
//! * [`nccl`]: nccl-tests, text and JSON (`-J`). [`osu`]: OSU micro-benchmarks. [`rdma`]: perftest JSON.
//! * [`iperf`]: iperf3 JSON. [`astra`]: ASTRA-sim's standard output.

mod astra;
mod iperf;
mod nccl;
mod osu;
mod rdma;

use std::collections::HashMap;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::{fs, io};

use serde_json::Value as Json;

use super::series::{Field, Figure, Key, Metric, Series, Value};

/// Longest file, bytes.
const LONGEST: u64 = 256 << 20;

/// Why a file cannot be compared with.
#[derive(Debug, thiserror::Error)]
pub enum ForeignError {
    /// The file cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// No known format.
    #[error("{} is no run and no known result: {what}", path.display())]
    Unknown {
        /// The file.
        path: PathBuf,
        /// What was found.
        what: String,
    },
    /// It says nothing of the metric.
    #[error("{} ({source_name}) has no {metric}: it has {has}", path.display())]
    NoMetric {
        /// The file.
        path: PathBuf,
        /// The format.
        source_name: &'static str,
        /// What was asked for.
        metric: &'static str,
        /// What there is.
        has: String,
    },
}

impl ForeignError {
    /// What to do about it.
    pub fn help(&self) -> String {
        match self {
            ForeignError::Unreadable { .. } => "`genie runs` lists runs; anything else is taken for a file".into(),
            ForeignError::Unknown { .. } => {
                "known are nccl-tests (text, JSON), OSU micro-benchmarks (text), perftest (JSON), iperf3 (JSON), ASTRA-sim (standard output)"
                    .into()
            }
            ForeignError::NoMetric { has, .. } => {
                format!("--metric {}", has.split(", ").next().unwrap_or_default())
            }
        }
    }
}

/// A row of a result: what the program measured, in genie's units.
#[derive(Debug, Clone, PartialEq, Default)]
struct Measured {
    key: Key,
    time_us: Vec<f64>,
    algbw_gbps: Vec<f64>,
    busbw_gbps: Vec<f64>,
}

/// A result that was understood.
#[derive(Debug, Clone, PartialEq, Default)]
struct Parsed {
    source: &'static str,
    exact: bool,
    rows: Vec<Measured>,
    cautions: Vec<String>,
}

/// Reads a file of another program. A row that comes several times has been repeated.
///
/// # Errors
/// [`ForeignError`].
pub fn series(label: &str, path: &Path, metric: Metric) -> Result<Series, ForeignError> {
    let text = read(path).map_err(|source| ForeignError::Unreadable {
        path: path.into(),
        source,
    })?;
    let parsed = parse(&text).map_err(|what| ForeignError::Unknown {
        path: path.into(),
        what,
    })?;
    let figures = figures(&parsed.rows, metric);
    if figures.is_empty() {
        return Err(ForeignError::NoMetric {
            path: path.into(),
            source_name: parsed.source,
            metric: name(metric),
            has: has(&parsed.rows),
        });
    }
    Ok(Series {
        label: label.into(),
        source: parsed.source.into(),
        repetitions: figures
            .iter()
            .map(|figure| figure.repetition + 1)
            .max()
            .unwrap_or(1),
        exact: parsed.exact,
        cautions: parsed.cautions,
        figures,
        ..Series::default()
    })
}

fn read(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    let file = fs::File::open(path)?;
    if file.metadata()?.is_dir() {
        return Err(io::Error::other("it is a folder without manifest.json"));
    }
    match file.take(LONGEST + 1).read_to_string(&mut text)? as u64 {
        length if length > LONGEST => Err(io::Error::other("it is longer than 256 MiB")),
        _ => Ok(text),
    }
}

fn parse(text: &str) -> Result<Parsed, String> {
    let parsed = match text.trim_start().starts_with('{') {
        true => json(text)?,
        false => [nccl::text, osu::text, astra::text]
            .iter()
            .find_map(|parse| parse(text))
            .ok_or("neither JSON nor a table that is known")?,
    };
    match parsed.rows.is_empty() {
        true => Err(format!("{} without a single figure", parsed.source)),
        false => Ok(parsed),
    }
}

/// One document, or several one after another.
fn json(text: &str) -> Result<Parsed, String> {
    let documents = serde_json::Deserializer::from_str(text).into_iter::<Json>();
    let documents = match documents.collect::<Result<Vec<Json>, _>>() {
        Ok(documents) => documents,
        Err(error) => return rdma::loose(text).ok_or_else(|| format!("broken JSON: {error}")),
    };
    let parse = [nccl::json, rdma::json, iperf::json]
        .iter()
        .find_map(|parse| parse(&documents));
    parse.ok_or_else(|| "JSON of no program that is known".into())
}

fn figures(rows: &[Measured], metric: Metric) -> Vec<Figure> {
    let mut met: HashMap<&Key, usize> = HashMap::new();
    let mut figures = Vec::new();
    for row in rows {
        let samples: Vec<f64> = samples(row, metric)
            .iter()
            .copied()
            .filter(|sample| sample.is_finite() && *sample >= 0.0)
            .collect();
        if samples.is_empty() {
            continue;
        }
        let times = met.entry(&row.key).or_insert(0);
        figures.push(Figure {
            key: row.key.clone(),
            repetition: *times,
            samples,
            link_share: None,
            disturbed: false,
        });
        *times += 1;
    }
    figures
}

fn samples(row: &Measured, metric: Metric) -> &[f64] {
    match metric {
        Metric::Time => &row.time_us,
        Metric::Algbw => &row.algbw_gbps,
        Metric::Busbw => &row.busbw_gbps,
        Metric::Cpu => &[],
    }
}

fn name(metric: Metric) -> &'static str {
    match metric {
        Metric::Time => "time",
        Metric::Algbw => "algbw",
        Metric::Busbw => "busbw",
        Metric::Cpu => "cpu",
    }
}

fn has(rows: &[Measured]) -> String {
    let metrics = [Metric::Time, Metric::Busbw, Metric::Algbw];
    let found = metrics
        .into_iter()
        .filter(|metric| !figures(rows, *metric).is_empty());
    found.map(name).collect::<Vec<_>>().join(", ")
}

fn text_of(value: impl Into<String>) -> Value {
    Value::Text(value.into())
}

/// A collective as genie spells it, from any spelling: `AllReduce`, `all_reduce_perf`, `Allreduce`.
fn collective(name: &str) -> String {
    let letters: String = name
        .chars()
        .filter(char::is_ascii_alphabetic)
        .collect::<String>()
        .to_ascii_lowercase();
    let letters = letters.trim_end_matches("perf").trim_end_matches("mpi");
    let known = match letters {
        "allreduce" => "all-reduce",
        "allgather" => "all-gather",
        "reducescatter" => "reduce-scatter",
        "alltoall" | "alltoallpersonalizedexchange" => "all-to-all",
        "broadcast" | "bcast" => "broadcast",
        "sendrecv" => "send-recv",
        "reduce" | "gather" | "scatter" | "barrier" => letters,
        _ => return name.trim().to_owned(),
    };
    known.to_owned()
}

/// An element type as genie spells it.
fn dtype(name: &str) -> String {
    match name {
        "float" => "float32",
        "double" => "float64",
        "half" => "float16",
        other => other,
    }
    .to_owned()
}
