//! A run against a baseline, for CI: every figure of the baseline within its tolerance, or not, or
//! impossible to tell.
//!
//! * here: the judgement, a pure function. [`baseline`]: the file. [`measured`]: figures of runs.

pub mod baseline;
pub mod measured;

use std::collections::BTreeMap;

use serde::Serialize;

pub use baseline::{Baseline, Better, Metric, Threshold};

use super::diff::series::Key;
use super::statistics::median::{interval, median_of_sorted, sorted};

/// Of intervals.
const CONFIDENCE: f64 = 0.95;

/// What runs measured.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Measured {
    /// What the run depended on, by name.
    pub facts: BTreeMap<String, String>,
    /// Of each row and metric the figure of each repetition, or of blocks of a single run.
    pub figures: Vec<(Key, Metric, Vec<f64>)>,
}

/// What became of a figure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// Within its tolerance.
    Pass,
    /// Better than its baseline by more than the tolerance.
    Improved,
    /// Worse than its tolerance allows.
    Regression,
    /// The run does not have it.
    Missing,
    /// It spreads across its limit, by more than the tolerance.
    TooNoisy,
}

/// The judgement of a figure.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Judged {
    /// The row.
    pub key: Key,
    /// The figure.
    pub metric: Metric,
    /// What the baseline says.
    pub baseline: f64,
    /// What it may be at worst.
    pub limit: f64,
    /// The median of what was measured; `None` when missing.
    pub median: Option<f64>,
    /// Bounds of the median; where there are too few figures for bounds, the smallest and largest, from
    /// four on without the outermost.
    pub spread: Option<(f64, f64)>,
    /// How many figures.
    pub samples: usize,
    /// What became of it.
    pub outcome: Outcome,
}

/// A fact that is not as the baseline requires.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Mismatch {
    /// Its name.
    pub fact: String,
    /// What the baseline requires.
    pub required: String,
    /// What it is; `None`: not known.
    pub found: Option<String>,
}

/// The whole judgement.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Judgement {
    /// Name of the scenario.
    pub scenario: String,
    /// What of it all counts.
    pub verdict: Verdict,
    /// Facts that are not as required.
    pub mismatches: Vec<Mismatch>,
    /// Every figure of the baseline.
    pub figures: Vec<Judged>,
}

/// The verdict, the weightiest first: a run that was made in another way says nothing; a regression
/// weighs more than a figure that is missing or unclear.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// Not made as required.
    EnvironmentDiffers,
    /// A figure is worse than allowed.
    Regression,
    /// A figure is missing.
    MissingData,
    /// A figure spreads too much.
    TooNoisy,
    /// All figures are as they should be.
    Pass,
}

/// Holds figures against a baseline.
pub fn judge(baseline: &Baseline, measured: &Measured) -> Judgement {
    let mismatches = baseline.mismatches(&measured.facts);
    let mut figures = Vec::new();
    for row in &baseline.rows {
        let key = row.key();
        for (metric, value) in &row.figures {
            let values = measured.figures.iter().find(|(k, m, _)| *k == key && m == metric);
            let values = values.map_or(&[][..], |(_, _, values)| values);
            let threshold = baseline.thresholds[metric];
            figures.push(one(key.clone(), *metric, *value, threshold, values));
        }
    }
    let any = |outcome| figures.iter().any(|figure| figure.outcome == outcome);
    let verdict = match () {
        () if !mismatches.is_empty() => Verdict::EnvironmentDiffers,
        () if any(Outcome::Regression) => Verdict::Regression,
        () if any(Outcome::Missing) => Verdict::MissingData,
        () if any(Outcome::TooNoisy) => Verdict::TooNoisy,
        () => Verdict::Pass,
    };
    Judgement {
        scenario: baseline.scenario.clone(),
        verdict,
        mismatches,
        figures,
    }
}

fn one(key: Key, metric: Metric, baseline: f64, threshold: Threshold, values: &[f64]) -> Judged {
    let ordered = sorted(values);
    let median = median_of_sorted(&ordered);
    let bounds = interval(&ordered, CONFIDENCE);
    // Too few for bounds: all of them, from four on without the outermost.
    let out = usize::from(ordered.len() > 3);
    let range = ordered
        .get(out)
        .copied()
        .zip(ordered.iter().rev().nth(out).copied());
    let spread = range.map(|(least, most)| (bounds.low.unwrap_or(least), bounds.high.unwrap_or(most)));
    let allowance = baseline.abs() * threshold.tolerance;
    // From here on more is better.
    let sign = match threshold.better {
        Better::Higher => 1.0,
        Better::Lower => -1.0,
    };
    let outcome = match (median, spread) {
        (Some(median), Some((low, high))) => {
            let worst = sign * baseline - allowance;
            let across = (sign * low < worst) != (sign * high < worst);
            match sign * median {
                _ if across && (high - low) / 2.0 > allowance => Outcome::TooNoisy,
                median if median < worst => Outcome::Regression,
                median if median > sign * baseline + allowance => Outcome::Improved,
                _ => Outcome::Pass,
            }
        }
        _ => Outcome::Missing,
    };
    Judged {
        key,
        metric,
        baseline,
        limit: baseline - sign * allowance,
        median,
        spread,
        samples: values.len(),
        outcome,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(better: Better, values: &[f64]) -> Outcome {
        let threshold = Threshold {
            better,
            tolerance: 0.05,
        };
        one(Key::new(), Metric::LinkShare, 1.0, threshold, values).outcome
    }

    #[test]
    fn figures_pass_fail_and_are_unclear() {
        use Better::{Higher, Lower};
        for (better, values, expected) in [
            (Higher, &[0.99, 1.0, 1.01][..], Outcome::Pass),
            (Higher, &[0.96], Outcome::Pass),
            (Higher, &[0.90, 0.91, 0.92], Outcome::Regression),
            (Higher, &[1.2], Outcome::Improved),
            (Higher, &[0.8, 0.99, 1.1], Outcome::TooNoisy),
            (Higher, &[0.5, 0.99, 1.0, 1.0, 1.01], Outcome::Pass),
            (Higher, &[0.94, 0.949, 0.96], Outcome::Regression),
            (Lower, &[1.04], Outcome::Pass),
            (Lower, &[1.06, 1.07], Outcome::Regression),
            (Lower, &[0.9], Outcome::Improved),
            (Lower, &[0.9, 1.0, 1.2], Outcome::TooNoisy),
            (Lower, &[], Outcome::Missing),
        ] {
            assert_eq!(outcome(better, values), expected, "{better:?} {values:?}");
        }
    }
}
