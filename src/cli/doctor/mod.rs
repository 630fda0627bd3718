//! `genie doctor`: what this machine can do, what it cannot, and what to do about it.
//!
//! * [`machine`]: cores, clock, power. [`rights`]: privileges and limits. [`network`]: what can be emulated,
//!   TCP, RDMA, the small virtual machine.

mod machine;
mod network;
mod rights;

use std::borrow::Cow;

use serde::Serialize;

use crate::report::style::{Style, Tone, wrap};
use crate::results::Environment;
use crate::results::environment::Modules;
use crate::results::summary::name_of;
use crate::testbed::exit;

/// Arguments of `genie doctor`.
#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    /// Print one JSON object instead of the list.
    #[arg(long)]
    json: bool,
}

/// How it stands with something.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum State {
    /// As it should be.
    Fine,
    /// It works, but figures suffer or something has to stand in for it.
    Degraded,
    /// It is not there: what needs it cannot be played here.
    Missing,
}

/// Something that was looked at.
#[derive(Debug, Clone, Serialize)]
struct Finding {
    /// What it belongs to.
    area: &'static str,
    /// What was looked at.
    what: &'static str,
    /// How it stands.
    state: State,
    /// What was found.
    found: String,
    /// What to do about it, unless it is fine.
    #[serde(skip_serializing_if = "Option::is_none")]
    advice: Option<Cow<'static, str>>,
}

#[derive(Serialize)]
struct Report<'a> {
    genie_version: &'a str,
    /// Whether scenarios on emulated networks can be played.
    emulated: bool,
    findings: &'a [Finding],
}

/// Looks at everything; 0 if emulated networks can be played here.
pub fn run(args: &Args) -> i32 {
    // First of all: the kernel refuses it to a process with threads.
    let privilege = genie_emu::privilege::ensure();
    let environment = Environment::capture(&mut Modules::default());
    let capabilities = genie_emu::capability::probe();
    let mut findings = machine::findings(&environment);
    findings.extend(rights::findings(&privilege));
    findings.extend(network::findings(&capabilities, &environment));
    let emulated = privilege.is_ok() && capabilities.veth;
    let report = Report {
        genie_version: &environment.genie_version,
        emulated,
        findings: &findings,
    };
    super::print(&match args.json {
        true => serde_json::to_string_pretty(&report).expect("plain data has a JSON form") + "\n",
        false => text(&report, Style::of_stdout()),
    });
    if emulated { exit::OK } else { exit::USAGE }
}

fn text(report: &Report<'_>, style: Style) -> String {
    let mut out = format!("genie {}\n", report.genie_version);
    let mut area = "";
    let widest = report.findings.iter().map(|f| f.what.len()).max().unwrap_or(0);
    for finding in report.findings {
        if finding.area != area {
            area = finding.area;
            out += &format!("\n{}\n", style.paint(Tone::Bold, area));
        }
        let (mark, tone) = match finding.state {
            State::Fine => ("fine    ", Tone::Plain),
            State::Degraded => ("degraded", Tone::Warning),
            State::Missing => ("missing ", Tone::Error),
        };
        let (what, found) = (finding.what, &finding.found);
        let rest = " ".repeat(widest + 14);
        let line = wrap(found, style.width, &format!("  {mark}  {what:<widest$}  "), &rest);
        out += &style.paint(tone, line.trim_end());
        out.push('\n');
        if let Some(advice) = &finding.advice {
            out += &wrap(advice, style.width, &format!("{rest}do: "), &rest);
        }
    }
    let count = |state: State| report.findings.iter().filter(|f| f.state == state).count();
    let counted = [State::Fine, State::Degraded, State::Missing]
        .map(|state| format!("{} {}", count(state), name_of(&state)))
        .join(", ");
    let verdict = match report.emulated {
        true => "emulated networks can be played here",
        false => "emulated networks cannot be played here; `fabric = \"host\"` plays over loopback",
    };
    out + &format!("\n{counted}: {verdict}\n")
}

impl Finding {
    fn fine(area: &'static str, what: &'static str, found: impl Into<String>) -> Finding {
        Finding {
            area,
            what,
            state: State::Fine,
            found: found.into(),
            advice: None,
        }
    }

    /// Fine if `good`, otherwise degraded.
    fn wanted(
        area: &'static str,
        what: &'static str,
        good: bool,
        found: impl Into<String>,
        advice: impl Into<Cow<'static, str>>,
    ) -> Finding {
        Finding::fine(area, what, found).unless(good, State::Degraded, advice)
    }

    /// Fine if `good`, otherwise missing.
    fn needed(
        area: &'static str,
        what: &'static str,
        good: bool,
        found: impl Into<String>,
        advice: impl Into<Cow<'static, str>>,
    ) -> Finding {
        Finding::fine(area, what, found).unless(good, State::Missing, advice)
    }

    fn unless(mut self, good: bool, state: State, advice: impl Into<Cow<'static, str>>) -> Finding {
        if !good {
            (self.state, self.advice) = (state, Some(advice.into()));
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_fine_has_advice_and_lines_fit() {
        let findings = [
            Finding::fine("machine", "cores", "8"),
            Finding::wanted("machine", "load", false, "load average 3.0", "wait"),
            Finding::needed("rights", "namespaces", false, "no", "become root"),
        ];
        assert!(
            findings
                .iter()
                .all(|f| (f.state == State::Fine) == f.advice.is_none())
        );
        let report = Report {
            genie_version: "0",
            emulated: false,
            findings: &findings,
        };
        let text = text(&report, Style::PLAIN);
        assert!(
            text.contains("missing   namespaces") && text.contains("do: become root"),
            "{text}"
        );
        assert!(text.contains("1 fine, 1 degraded, 1 missing"), "{text}");
    }
}
