//! `genie clean`: removes what the journals of killed runs say was made, puts back the circuits that they
//! changed, and touches nothing else.

use genie_emu::journal::{self, CleanReport};

use crate::testbed::exit;

/// Arguments of `genie clean`.
#[derive(Debug, clap::Args)]
pub struct Args {}

/// Cleans and says what was done.
pub fn run(_args: Args) -> i32 {
    let circuits = super::ocs::recover(&super::ocs::lease_folder(None));
    let namespaces = namespaces();
    circuits.max(namespaces)
}

fn namespaces() -> i32 {
    match journal::clean_dead() {
        Ok(report) => {
            super::print(&(describe(&report) + "\n"));
            if report.failed.is_empty() {
                exit::OK
            } else {
                exit::INTERNAL
            }
        }
        Err(error) => {
            super::complain(&error.to_string());
            exit::INTERNAL
        }
    }
}

/// One line for each thing that was done, left alone, or could not be done.
fn describe(report: &CleanReport) -> String {
    let each = |what: &str, list: &[String]| -> Vec<String> {
        list.iter().map(|item| format!("{what} {item}")).collect()
    };
    let mut lines = each("cleaned run", &report.cleaned);
    lines.extend(each("  removed", &report.removed));
    lines.extend(each("left alone (not what was recorded):", &report.foreign));
    lines.extend(each("left alone (alive): run", &report.alive));
    lines.extend(each("could not remove", &report.failed));
    if lines.is_empty() {
        "nothing to clean".into()
    } else {
        lines.join("\n")
    }
}
