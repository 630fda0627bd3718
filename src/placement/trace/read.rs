//! Text of a trace to jobs. Public traces know sizes but no shapes: those are drawn from the paper's mix.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::generate::Mix;
use super::random::Random;
use super::{Job, csv, micros, philly};
use crate::placement::shape::Shape;

/// Formats of traces.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Format {
    /// `cluster_job_log` of Microsoft's Philly trace, JSON.
    Philly,
    /// `cluster_log.csv` of SenseTime's Helios trace.
    Helios,
    /// `trace_seren.csv` and `trace_kalos.csv` of the Acme trace.
    Acme,
    /// `pai_task_table.csv` of Alibaba's trace of 2020; without a header.
    #[serde(rename = "alibaba-2020")]
    Alibaba2020,
    /// `openb_pod_list_*.csv` of Alibaba's trace of 2023.
    #[serde(rename = "alibaba-2023")]
    Alibaba2023,
    /// The public RFold simulator's CSV, with shapes.
    Rfold,
}

/// What is wrong with a trace.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TraceError {
    /// A line, or an element of a list, counted from 1.
    #[error("{place} {number}: {what}")]
    At {
        /// `line` or `job`.
        place: &'static str,
        /// Its number.
        number: usize,
        /// What is wrong.
        what: String,
    },
    /// Not JSON.
    #[error("not a Philly job log: {0}")]
    Json(String),
    /// Nothing to play.
    #[error("no job in it ran on a GPU")]
    Empty,
}

/// A job as traces have it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Row {
    /// Arrival, seconds from any zero.
    pub arrival: f64,
    /// Seconds.
    pub duration: f64,
    /// GPUs.
    pub size: f64,
    /// Only where the trace has it.
    pub shape: Option<Shape>,
}

/// What was read.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Rows {
    /// In the order of arrival.
    pub rows: Vec<Row>,
    /// Jobs without a GPU, a start or an end.
    pub skipped: usize,
}

/// Most GPUs of a job that are taken for a number at all.
const MOST_GPUS: f64 = 1e7;
/// Longest span of a trace, seconds: a century.
const LONGEST: f64 = 3.2e9;

/// Reads a trace.
pub fn read(format: Format, text: &str) -> Result<Rows, TraceError> {
    let mut rows = match format {
        Format::Philly => philly::read(text)?,
        csv => csv::read(csv, text)?,
    };
    rows.rows.sort_by(|a, b| a.arrival.total_cmp(&b.arrival));
    let Some(first) = rows.rows.first().map(|row| row.arrival) else {
        return Err(TraceError::Empty);
    };
    rows.rows.iter_mut().for_each(|row| row.arrival -= first);
    Ok(rows)
}

impl Row {
    /// A row of plausible figures; `None` if the job never ran on a GPU.
    pub fn new(arrival: f64, duration: f64, size: f64) -> Result<Option<Row>, String> {
        if !(arrival.abs() <= LONGEST && duration.abs() <= LONGEST && (0.0..=MOST_GPUS).contains(&size)) {
            return Err("a time or a number of GPUs is out of range".into());
        }
        let row = Row {
            arrival,
            duration,
            size,
            shape: None,
        };
        Ok((duration > 0.0 && size > 0.0).then_some(row))
    }
}

impl Rows {
    /// The first `most` jobs with shapes; those larger than the machine are left out and counted.
    pub fn jobs(&self, mix: &Mix, most: usize, seed: u64) -> (Vec<Job>, usize) {
        let mut random = Random::new(seed);
        let (mut jobs, mut left_out) = (Vec::new(), 0);
        for row in &self.rows {
            if jobs.len() == most {
                break;
            }
            let drawn = || mix.shape(row.size.ceil() as u32, &mut random);
            match row.shape.or_else(drawn) {
                Some(shape) => jobs.push(Job {
                    arrival: micros(row.arrival),
                    duration: micros(row.duration),
                    shape,
                }),
                None => left_out += 1,
            }
        }
        (jobs, left_out)
    }
}
