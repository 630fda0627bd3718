//! The baseline file: which figures a scenario must reach, and by how much it may miss them. Small,
//! readable and committed, so its figures are ratios that hold from machine to machine.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::Mismatch;
use crate::results::diff::series::{Field, Key, Value};

/// The format of baselines that this genie writes; it reads all up to this.
pub const FORMAT: u32 = 1;
/// A link's share below this is more the machine's than the network's, and is not pinned.
const PINNED: f64 = 0.9;

/// A baseline.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Baseline {
    /// Version of the format.
    pub format: u32,
    /// Name of the scenario.
    pub scenario: String,
    /// Facts that must be so.
    #[serde(default)]
    pub require: BTreeMap<String, toml::Value>,
    /// By metric: what is better, and by how much a figure may be worse.
    pub thresholds: BTreeMap<Metric, Threshold>,
    /// The rows.
    pub rows: Vec<Row>,
}

/// A figure that can be held against a baseline.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Metric {
    /// Share of the busiest link's payload limit. Holds across machines while the link is the limit.
    LinkShare,
    /// (counted - payload) / payload of the busiest link. Holds across machines.
    LinkOverhead,
    /// Median time / the plan's expectation.
    TimeOverExpected,
    /// CPU time / (wall time x cores that the ranks can use).
    CpuUse,
    /// Median time, nominal microseconds. Belongs to a machine.
    TimeUs,
    /// Bus bandwidth, Gbit/s. Belongs to a machine.
    BusbwGbps,
    /// CPU seconds per 10^9 payload bytes sent. Belongs to a machine.
    CpuSPerGb,
}

/// Which way is better.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Better {
    /// More.
    Higher,
    /// Less.
    Lower,
}

/// How far a figure may be from its baseline.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Threshold {
    /// Which way is better.
    pub better: Better,
    /// Share of the baseline by which a figure may be worse.
    pub tolerance: f64,
}

/// A row of a baseline.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Row {
    /// Step, in runs that have them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub step: Option<String>,
    /// Collective.
    pub op: String,
    /// Algorithm.
    pub algorithm: String,
    /// Communicator.
    pub communicator: String,
    /// Ranks of the communicator.
    pub ranks: u64,
    /// Size, bytes.
    pub bytes: u64,
    /// The figures.
    pub figures: BTreeMap<Metric, f64>,
}

/// Why a baseline cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BaselineError {
    /// Not TOML, or not a baseline.
    #[error("not a baseline: {0}")]
    NotABaseline(String),
    /// Made by a later version.
    #[error("its format is {0}, this genie reads formats up to {FORMAT}")]
    TooNew(u32),
    /// A figure without a threshold.
    #[error("row {row}: there is no [thresholds.{metric}]")]
    NoThreshold {
        /// Number of the row, from 1.
        row: usize,
        /// The metric.
        metric: String,
    },
    /// A number that cannot be.
    #[error("{0}: not a share from 0 to 1, or a figure that is not finite")]
    Impossible(String),
    /// Nothing to hold a run against.
    #[error("it has no figures")]
    Empty,
    /// No row of a run can be pinned.
    #[error(
        "no row of the run reaches {PINNED} of its link's payload limit: its figures belong to this machine and would not hold on another"
    )]
    NothingHolds,
}

impl Baseline {
    /// Reads a baseline.
    ///
    /// # Errors
    /// [`BaselineError`].
    pub fn parse(text: &str) -> Result<Baseline, BaselineError> {
        #[derive(Deserialize)]
        struct Format {
            format: u32,
        }
        if let Ok(Format { format }) = toml::from_str::<Format>(text)
            && format > FORMAT
        {
            return Err(BaselineError::TooNew(format));
        }
        let wrong = |error: toml::de::Error| BaselineError::NotABaseline(error.to_string().trim_end().into());
        let baseline: Baseline = toml::from_str(text).map_err(wrong)?;
        baseline.check()?;
        Ok(baseline)
    }

    fn check(&self) -> Result<(), BaselineError> {
        for (metric, threshold) in &self.thresholds {
            if !(0.0..=1.0).contains(&threshold.tolerance) {
                return Err(BaselineError::Impossible(format!(
                    "tolerance of {}",
                    metric.name()
                )));
            }
        }
        for (place, row) in self.rows.iter().enumerate() {
            for (metric, value) in &row.figures {
                if !self.thresholds.contains_key(metric) {
                    return Err(BaselineError::NoThreshold {
                        row: place + 1,
                        metric: metric.name(),
                    });
                }
                if !value.is_finite() {
                    return Err(BaselineError::Impossible(format!(
                        "row {}: {}",
                        place + 1,
                        metric.name()
                    )));
                }
            }
        }
        match self.rows.iter().all(|row| row.figures.is_empty()) {
            true => Err(BaselineError::Empty),
            false => Ok(()),
        }
    }

    /// The ratios of a measured run that hold from machine to machine.
    ///
    /// # Errors
    /// [`BaselineError::NothingHolds`].
    pub fn pin(scenario: &str, measured: &super::Measured) -> Result<Baseline, BaselineError> {
        let median = crate::results::statistics::median;
        let mut rows: Vec<Row> = Vec::new();
        let shares = measured
            .figures
            .iter()
            .filter(|(_, metric, _)| *metric == Metric::LinkShare);
        for (key, _, values) in shares {
            let Some(row) = median(values)
                .filter(|share| *share >= PINNED)
                .and_then(|_| Row::of(key))
            else {
                continue;
            };
            let figure = |(_, metric, values): &(Key, Metric, Vec<f64>)| {
                let holds = matches!(metric, Metric::LinkShare | Metric::LinkOverhead);
                let value = median(values).filter(|_| holds)?;
                Some((*metric, (value * 1e4).round() / 1e4))
            };
            let own = measured.figures.iter().filter(|(other, _, _)| other == key);
            rows.push(Row {
                figures: own.filter_map(figure).collect(),
                ..row
            });
        }
        if rows.is_empty() {
            return Err(BaselineError::NothingHolds);
        }
        let required = ["fabric", "transport", "ranks", "dilation", "verified"];
        let fact = |name: &str| {
            let value = measured.facts.get(name)?;
            Some((name.to_owned(), toml::Value::String(value.clone())))
        };
        let threshold = |better, tolerance| Threshold { better, tolerance };
        Ok(Baseline {
            format: FORMAT,
            scenario: scenario.into(),
            require: required.into_iter().filter_map(fact).collect(),
            thresholds: BTreeMap::from([
                (Metric::LinkShare, threshold(Better::Higher, 0.05)),
                (Metric::LinkOverhead, threshold(Better::Lower, 0.25)),
            ]),
            rows,
        })
    }

    /// The facts that are not as required. Numbers and truths may be written as such or as text.
    pub fn mismatches(&self, facts: &BTreeMap<String, String>) -> Vec<Mismatch> {
        let scenario = ("scenario".to_owned(), toml::Value::String(self.scenario.clone()));
        let all = std::iter::once((&scenario.0, &scenario.1)).chain(&self.require);
        let mismatch = |(name, value): (&String, &toml::Value)| {
            let required = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            let found = facts.get(name).cloned();
            (!found.as_deref().is_some_and(|found| same(found, &required))).then(|| Mismatch {
                fact: name.clone(),
                required,
                found,
            })
        };
        all.filter_map(mismatch).collect()
    }
}

/// Equal as text or as numbers: `1` is `1.0`.
fn same(a: &str, b: &str) -> bool {
    let number = |text: &str| text.parse::<f64>().ok();
    a == b || number(a).is_some_and(|a| number(b) == Some(a))
}

impl Row {
    /// What names the row in a run.
    pub fn key(&self) -> Key {
        let text = |text: &str| Value::Text(text.into());
        let step = self.step.as_deref().map(|step| (Field::Step, text(step)));
        let fields = [
            (Field::Op, text(&self.op)),
            (Field::Algorithm, text(&self.algorithm)),
            (Field::Communicator, text(&self.communicator)),
            (Field::Ranks, Value::Number(self.ranks)),
            (Field::Bytes, Value::Number(self.bytes)),
        ];
        step.into_iter().chain(fields).collect()
    }

    fn of(key: &Key) -> Option<Row> {
        let text = |field| key.get(&field).map(ToString::to_string);
        let number = |field| match key.get(&field) {
            Some(Value::Number(number)) => Some(*number),
            _ => None,
        };
        Some(Row {
            step: text(Field::Step),
            op: text(Field::Op)?,
            algorithm: text(Field::Algorithm)?,
            communicator: text(Field::Communicator)?,
            ranks: number(Field::Ranks)?,
            bytes: number(Field::Bytes)?,
            figures: BTreeMap::new(),
        })
    }
}

impl Metric {
    /// Its name in baselines.
    pub fn name(self) -> String {
        crate::results::summary::name_of(&self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = r#"
format = 1
scenario = "x"
[require]
ranks = 4
[thresholds.link_share]
better = "higher"
tolerance = 0.05
[[rows]]
op = "all-reduce"
algorithm = "ring"
communicator = "world"
ranks = 4
bytes = 1024
figures = { link_share = 0.9 }
"#;

    #[test]
    fn a_baseline_reads_back_and_wrong_ones_say_where() {
        let baseline = Baseline::parse(TEXT).unwrap();
        assert_eq!(
            Baseline::parse(&toml::to_string(&baseline).unwrap()),
            Ok(baseline)
        );
        for (from, to, why) in [
            ("format = 1", "format = 2", "its format is 2"),
            ("better", "beter", "not a baseline"),
            ("0.05", "-1", "tolerance of link_share"),
            (
                "link_share = 0.9",
                "link_overhead = 0.9",
                "row 1: there is no [thresholds.link_overhead]",
            ),
            ("link_share = 0.9", "link_share = nan", "row 1: link_share"),
            ("link_share = 0.9", "", "it has no figures"),
        ] {
            let error = Baseline::parse(&TEXT.replacen(from, to, 1))
                .unwrap_err()
                .to_string();
            assert!(error.contains(why), "{error}");
        }
    }

    #[test]
    fn facts_are_required_as_text_or_number() {
        let baseline = Baseline::parse(TEXT).unwrap();
        let facts =
            |ranks: &str| BTreeMap::from([("scenario".into(), "x".into()), ("ranks".into(), ranks.into())]);
        assert!(baseline.mismatches(&facts("4")).is_empty());
        assert_eq!(baseline.mismatches(&facts("8"))[0].required, "4");
        assert_eq!(baseline.mismatches(&BTreeMap::new()).len(), 2);
    }
}
