//! A judgement of `genie gate` for people, for GitHub's job summary, for JUnit's readers and as JSON.

use quick_junit::{NonSuccessKind, Report, TestCase, TestCaseStatus, TestSuite};

use super::diff::escaped;
use super::style::{Style, Tone};
use crate::results::diff::compare::words;
use crate::results::gate::{Judged, Judgement, Outcome, Verdict};

/// For people.
pub fn text(judgement: &Judgement, style: Style) -> String {
    let mut out = String::new();
    for mismatch in &judgement.mismatches {
        let found = mismatch.found.as_deref().unwrap_or("unknown");
        let text = format!(
            "environment differs: {} is {found}, the baseline requires {}",
            mismatch.fact, mismatch.required
        );
        out += &style.paint(Tone::Error, &text);
        out.push('\n');
    }
    for figure in &judgement.figures {
        let text = format!(
            "{:<10}  {}: {}",
            word(figure.outcome),
            words(&figure.key),
            sentence(figure)
        );
        out += &style.paint(tone(figure.outcome), &text);
        out.push('\n');
    }
    let tone = if judgement.verdict == Verdict::Pass {
        Tone::Bold
    } else {
        Tone::Error
    };
    out += &style.paint(
        tone,
        &format!("gate {}: {}", judgement.scenario, verdict(judgement)),
    );
    out + "\n"
}

/// For `$GITHUB_STEP_SUMMARY`.
pub fn markdown(judgement: &Judgement) -> String {
    let mark = if judgement.verdict == Verdict::Pass {
        "✅"
    } else {
        "❌"
    };
    let scenario = escaped(&judgement.scenario);
    let mut out = format!(
        "<!-- genie gate -->\n### {mark} {scenario}: {}\n\n",
        escaped(&verdict(judgement))
    );
    for mismatch in &judgement.mismatches {
        let found = mismatch.found.as_deref().unwrap_or("unknown");
        let text = format!(
            "{} is {found}, the baseline requires {}",
            mismatch.fact, mismatch.required
        );
        out += &format!("- environment differs: {}\n", escaped(&text));
    }
    out += "\n| outcome | row | figure | baseline | limit | measured |\n|---|---|---|---:|---:|---:|\n";
    for figure in &judgement.figures {
        let measured = figure
            .median
            .map_or_else(|| "-".into(), |median| format!("{median:.4}"));
        let row = [
            word(figure.outcome).to_owned(),
            words(&figure.key),
            figure.metric.name(),
            format!("{:.4}", figure.baseline),
            format!("{:.4}", figure.limit),
            measured,
        ];
        out += &format!("| {} |\n", row.map(|cell| escaped(&cell)).join(" | "));
    }
    out + "\n"
}

/// JUnit XML: a test case for each figure, and one for the environment.
pub fn junit(judgement: &Judgement) -> String {
    let mut suite = TestSuite::new(judgement.scenario.as_str());
    let mut environment = TestCaseStatus::success();
    if !judgement.mismatches.is_empty() {
        let facts: Vec<&str> = judgement
            .mismatches
            .iter()
            .map(|mismatch| mismatch.fact.as_str())
            .collect();
        environment = TestCaseStatus::non_success(NonSuccessKind::Error);
        environment
            .set_type("environment-differs")
            .set_message(format!("not as the baseline requires: {}", facts.join(", ")));
    }
    suite.add_test_case(TestCase::new("environment", environment));
    for figure in &judgement.figures {
        let mut status = match figure.outcome {
            Outcome::Pass | Outcome::Improved => TestCaseStatus::success(),
            Outcome::Regression => TestCaseStatus::non_success(NonSuccessKind::Failure),
            Outcome::Missing | Outcome::TooNoisy => TestCaseStatus::non_success(NonSuccessKind::Error),
        };
        if !matches!(figure.outcome, Outcome::Pass | Outcome::Improved) {
            status
                .set_type(word(figure.outcome))
                .set_message(sentence(figure));
        }
        let mut case = TestCase::new(
            format!("{}: {}", words(&figure.key), figure.metric.name()),
            status,
        );
        case.set_classname(judgement.scenario.as_str());
        suite.add_test_case(case);
    }
    let mut report = Report::new("genie gate");
    report.add_test_suite(suite);
    report.to_string().expect("memory takes all")
}

/// One object.
pub fn json(judgement: &Judgement) -> String {
    serde_json::to_string_pretty(judgement).expect("plain data has a JSON form") + "\n"
}

fn verdict(judgement: &Judgement) -> String {
    let count = |outcome| {
        judgement
            .figures
            .iter()
            .filter(|figure| figure.outcome == outcome)
            .count()
    };
    let all = judgement.figures.len();
    match judgement.verdict {
        Verdict::Pass => format!("passed, {all} figures within their limits"),
        Verdict::Regression => format!("regression in {} of {all} figures", count(Outcome::Regression)),
        Verdict::MissingData => format!("{} of {all} figures are missing", count(Outcome::Missing)),
        Verdict::TooNoisy => format!(
            "{} of {all} figures spread too much to tell",
            count(Outcome::TooNoisy)
        ),
        Verdict::EnvironmentDiffers => "the run was not made as the baseline requires".into(),
    }
}

fn word(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Pass => "pass",
        Outcome::Improved => "improved",
        Outcome::Regression => "regression",
        Outcome::Missing => "missing",
        Outcome::TooNoisy => "too-noisy",
    }
}

fn tone(outcome: Outcome) -> Tone {
    match outcome {
        Outcome::Pass => Tone::Plain,
        Outcome::Improved => Tone::Bold,
        Outcome::Regression | Outcome::Missing => Tone::Error,
        Outcome::TooNoisy => Tone::Warning,
    }
}

/// `link_share 0.9312 (0.9290 to 0.9330, n=20), baseline 0.9880, limit 0.9386`.
fn sentence(figure: &Judged) -> String {
    let measured = match (figure.median, figure.spread) {
        (Some(median), Some((low, high))) if figure.samples > 1 => {
            format!("{median:.4} ({low:.4} to {high:.4}, n={})", figure.samples)
        }
        (Some(median), _) => format!("{median:.4}"),
        (None, _) => "not measured".into(),
    };
    let (metric, baseline, limit) = (figure.metric.name(), figure.baseline, figure.limit);
    format!("{metric} {measured}, baseline {baseline:.4}, limit {limit:.4}")
}
