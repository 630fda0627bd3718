//! A series from run folders: a run, or its repetitions.

use std::path::{Path, PathBuf};

use super::facts;
use super::series::{Field, Figure, Key, Metric, Series, Value};
use crate::results::reader::{self, Damage};
use crate::results::summary::{Row, name_of};
use crate::results::{Run, State, iterations};

/// Reads the repetitions of a run. What cannot be read within a folder becomes a caution.
///
/// # Errors
/// The folder whose manifest cannot be read, and why.
pub fn series(label: &str, folders: &[PathBuf], metric: Metric) -> Result<Series, (PathBuf, Damage)> {
    let mut series = Series {
        label: label.into(),
        repetitions: folders.len(),
        ..Series::default()
    };
    for (repetition, folder) in folders.iter().enumerate() {
        let run = reader::open(folder).map_err(|damage| (folder.clone(), damage))?;
        if repetition == 0 {
            let more = match folders.len() {
                1 => String::new(),
                n => format!(", {n} repetitions"),
            };
            series.source = format!("run {}{more}", run.manifest.run_id);
            series.facts = facts::of(&run.manifest);
        }
        add(&mut series, repetition, folder, &run, metric);
    }
    Ok(series)
}

fn add(series: &mut Series, repetition: usize, folder: &Path, run: &Run, metric: Metric) {
    let mut cautions = run.manifest.cautions.clone();
    if run.manifest.status != State::Completed {
        cautions.push(format!(
            "run {} is {}",
            run.manifest.run_id,
            name_of(&run.manifest.status)
        ));
    }
    let times = match metric {
        Metric::Cpu => Vec::new(),
        _ => iterations::read(folder, run, &mut cautions),
    };
    for row in &run.rows {
        let times = times.get(row.index).map_or(&[][..], Vec::as_slice);
        let samples = samples(row, times, metric);
        if !samples.is_empty() {
            series.figures.push(Figure {
                key: key(row),
                repetition,
                samples,
                link_share: row.link_share,
                disturbed: row.cautions.iter().any(|caution| caution.disturbs()),
            });
        }
    }
    for caution in cautions {
        if !series.cautions.contains(&caution) {
            series.cautions.push(caution);
        }
    }
}

/// The metric of each iteration; of the row as a whole where iterations are not stored.
fn samples(row: &Row, times_us: &[f64], metric: Metric) -> Vec<f64> {
    let median = row.time.map(|time| [time.p50]);
    let times = match (times_us, &median) {
        ([], Some(median)) => &median[..],
        (times, _) => times,
    };
    let algbw = |us: &f64| row.bytes as f64 * 8.0 / 1e3 / us;
    let moves = row.algbw_gbps.is_some();
    let samples: Vec<f64> = match metric {
        Metric::Time => times.to_vec(),
        Metric::Algbw if moves => times.iter().map(algbw).collect(),
        Metric::Busbw if moves => {
            let factor = row.op.busbw_factor(row.ranks);
            times.iter().map(|us| algbw(us) * factor).collect()
        }
        Metric::Algbw | Metric::Busbw => Vec::new(),
        Metric::Cpu => row.cpu_s_per_gb.into_iter().collect(),
    };
    samples.into_iter().filter(|sample| sample.is_finite()).collect()
}

/// What names a row of a run.
pub fn key(row: &Row) -> Key {
    let text = |text: String| Value::Text(text);
    let none = || "none".to_owned();
    let step = row.step.clone().map(|step| (Field::Step, text(step)));
    let fields = [
        (
            Field::Op,
            text(
                row.trace
                    .as_ref()
                    .map_or_else(|| name_of(&row.op), |name| format!("trace {name}")),
            ),
        ),
        (Field::Algorithm, text(name_of(&row.algorithm))),
        (Field::Communicator, text(row.communicator.clone())),
        (Field::Ranks, Value::Number(row.ranks.into())),
        (Field::Dtype, text(name_of(&row.dtype))),
        (Field::Redop, text(row.redop.as_ref().map_or_else(none, name_of))),
        (
            Field::Root,
            text(row.root.map_or_else(none, |root| root.to_string())),
        ),
        (Field::Bytes, Value::Number(row.bytes)),
    ];
    step.into_iter().chain(fields).collect()
}
