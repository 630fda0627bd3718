//! Runs as one HTML file that opens offline, in a browser or a mail: no script, no request, every figure
//! with a table behind it.
//!
//! * [`side`]: what is read of each run. [`page`]: sections, figures and tables, and the file made of them.
//! * [`overview`]: cautions, what ran on what, results. [`scaling`]: against size. [`distribution`]: of times.
//! * [`ranks`] and [`links`]: heat maps. [`timeline`]: who was busy when. [`traces`]: measured beside modelled.
//! * [`comparison`]: several runs. [`machine`]: environment and scenario in full.

mod comparison;
mod distribution;
mod links;
mod machine;
mod overview;
pub mod page;
mod ranks;
mod scaling;
pub mod side;
mod timeline;
mod traces;

use crate::results::diff::Comparison;
use crate::scenario::units::Bytes;
use page::Page;
use side::Side;

/// The file. `comparison`: of the same sides in the same order, where there are several.
pub fn page(sides: &[Side], comparison: Option<&Comparison>) -> String {
    let mut sections = overview::sections(sides);
    sections.extend(comparison.map(comparison::section));
    sections.extend(scaling::section(sides));
    sections.extend(distribution::section(sides));
    for (place, side) in sides.iter().enumerate() {
        let several = sides.len() > 1;
        let of = |title: &str| match several {
            true => format!("{title}: {} {}", super::diff::letter(place), side.label),
            false => title.to_owned(),
        };
        sections.extend(ranks::section(side, of("Ranks"), place));
        sections.extend(links::section(side, of("Links"), place));
        sections.extend(timeline::section(side, of("Timeline"), place));
        sections.extend(traces::section(side, of("Traces"), place));
    }
    sections.push(machine::section(sides));
    let names: Vec<&str> = sides
        .iter()
        .map(|side| side.run().manifest.scenario.as_str())
        .collect();
    let title = match sides {
        [side] => format!("{} {}", names[0], side.run().manifest.run_id),
        _ => format!(
            "{} runs compared: {}",
            sides.len(),
            side::distinct(&names).join(", ")
        ),
    };
    Page { title, sections }.html()
}

/// A size as an axis and a name have it.
fn size(bytes: f64) -> String {
    Bytes(bytes.max(0.0) as u64).to_string()
}

/// About four figures, without a useless tail.
fn short(value: f64) -> String {
    let text = match value.abs() {
        v if v >= 1e6 || (v > 0.0 && v < 1e-3) => return format!("{value:.1e}"),
        v if v >= 100.0 => return format!("{value:.0}"),
        v if v >= 10.0 => format!("{value:.1}"),
        v if v >= 1.0 => format!("{value:.2}"),
        _ => format!("{value:.4}"),
    };
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// Microseconds in the unit that suits them.
fn micros(us: f64) -> String {
    match us {
        us if us >= 1e6 => format!("{} s", short(us / 1e6)),
        us if us >= 1e3 => format!("{} ms", short(us / 1e3)),
        us => format!("{} us", short(us)),
    }
}

/// A share as percent.
fn percent(share: f64) -> String {
    format!("{:.1} %", share * 100.0)
}

/// A share of change as percent, with its sign.
fn signed_percent(share: f64) -> String {
    format!("{:+.1} %", share * 100.0)
}
