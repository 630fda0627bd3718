//! The figures of a run, or of its repetitions, as a baseline wants them.

use std::path::{Path, PathBuf};

use super::{Measured, Metric};
use crate::results::cautions::RowCaution;
use crate::results::diff::series::{Field, Key};
use crate::results::diff::{facts, stored};
use crate::results::reader::{self, Damage};
use crate::results::statistics::blocks::block_medians;
use crate::results::summary::{Row, name_of};
use crate::results::{Run, iterations};

/// Reads the repetitions of a run.
///
/// # Errors
/// The folder whose manifest cannot be read, and why.
pub fn read(folders: &[PathBuf]) -> Result<Measured, (PathBuf, Damage)> {
    let mut measured = Measured::default();
    for (number, folder) in folders.iter().enumerate() {
        let run = reader::open(folder).map_err(|damage| (folder.clone(), damage))?;
        if number == 0 {
            measured.facts = facts(&run);
        }
        add(&mut measured, folder, &run, folders.len() == 1);
    }
    Ok(measured)
}

/// What baselines may require: the run's own words, and all that `genie diff` compares.
fn facts(run: &Run) -> std::collections::BTreeMap<String, String> {
    let plan = &run.manifest.plan;
    let mut facts = facts::of(&run.manifest);
    let own = [
        ("scenario", plan.name.clone()),
        ("fabric", name_of(&plan.testbed.fabric)),
        ("transport", name_of(&plan.testbed.transport)),
        ("ranks", plan.ranks.len().to_string()),
        ("dilation", plan.dilation.to_string()),
        ("verified", plan.testbed.verify.to_string()),
    ];
    facts.extend(own.map(|(name, value)| (name.to_owned(), value)));
    facts
}

fn add(measured: &mut Measured, folder: &Path, run: &Run, alone: bool) {
    let times = match alone {
        true => iterations::read(folder, run, &mut Vec::new()),
        false => Vec::new(),
    };
    let whole = |row: &&Row| row.complete && !row.cautions.contains(&RowCaution::Wrong);
    for row in run.rows.iter().filter(whole) {
        let blocks = times
            .get(row.index)
            .map(|times| block_medians(times))
            .unwrap_or_default();
        for (metric, values) in figures(row, &blocks) {
            let key = key(row);
            let known = measured
                .figures
                .iter_mut()
                .find(|(k, m, _)| *k == key && *m == metric);
            match known {
                Some((_, _, more)) => more.extend(values),
                None => measured.figures.push((key, metric, values)),
            }
        }
    }
}

/// A row's figures; those that follow from its time have one for each block's median time, if any.
fn figures(row: &Row, blocks_us: &[f64]) -> Vec<(Metric, Vec<f64>)> {
    let Some(p50) = row.time.map(|time| time.p50).filter(|p50| *p50 > 0.0) else {
        return Vec::new();
    };
    let times: Vec<f64> = match blocks_us {
        [] => vec![p50],
        blocks => blocks.iter().copied().filter(|us| *us > 0.0).collect(),
    };
    let rate = |at_p50: f64| times.iter().map(|us| at_p50 * p50 / us).collect::<Vec<f64>>();
    let over = |expected: f64| times.iter().map(|us| us / expected).collect::<Vec<f64>>();
    let single = |value: Option<f64>| value.map(|value| vec![value]);
    let found = [
        (Metric::LinkShare, row.link_share.map(rate)),
        (Metric::LinkOverhead, single(row.link_overhead)),
        (
            Metric::TimeOverExpected,
            row.expected_us.filter(|us| *us > 0.0).map(over),
        ),
        (Metric::CpuUse, single(row.cpu_use)),
        (Metric::TimeUs, Some(times.clone())),
        (Metric::BusbwGbps, row.busbw_gbps.map(rate)),
        (Metric::CpuSPerGb, single(row.cpu_s_per_gb)),
    ];
    let found = found
        .into_iter()
        .filter_map(|(metric, values)| Some((metric, values?)));
    found.collect()
}

/// The part of what names a row that baselines have.
fn key(row: &Row) -> Key {
    let mut key = stored::key(row);
    key.retain(|field, _| !matches!(field, Field::Dtype | Field::Redop | Field::Root));
    key
}
