//! `genie run FILE` of a scenario with a `[placement]`: replays it in virtual time and prints the comparison.

use std::io::Read;

use crate::placement::study::{self, Source, Study};
use crate::placement::trace;
use crate::report;
use crate::scenario::Loaded;
use crate::scenario::section::placement::Trace;
use crate::testbed::exit;

/// Largest trace file, bytes.
const MAX_TRACE_BYTES: u64 = 1 << 30;

/// Replays the study; gives the exit code.
pub fn run(loaded: &Loaded, mut study: Study, json: bool) -> i32 {
    let section = loaded.scenario.placement.as_ref();
    if let Some(trace) = section.and_then(|section| section.trace.as_ref()) {
        let most = section.map_or(0, |section| section.jobs as usize);
        match rows(trace) {
            Ok(rows) => study.source = Source::Trace(rows, most),
            Err(error) => {
                super::complain(&error);
                return exit::USAGE;
            }
        }
    }
    let threads = std::thread::available_parallelism().map_or(1, |n| n.get());
    let report = match study::run(&study, threads) {
        Ok(report) => report,
        Err(error) => {
            super::complain(&error.to_string());
            return exit::USAGE;
        }
    };
    match json {
        true => super::print(&report::placement::json(&loaded.scenario.name, &report)),
        false => super::print(&report::placement::text(&loaded.scenario.name, &report)),
    }
    match report.fault {
        None => exit::OK,
        Some(fault) => {
            super::complain(&format!("a placement was found wrong by the checker: {fault}"));
            exit::WRONG_DATA
        }
    }
}

fn rows(trace: &Trace) -> Result<trace::Rows, String> {
    let failed = |what: String| format!("cannot read the trace `{}`: {what}", trace.file);
    let file = std::fs::File::open(&trace.file).map_err(|error| failed(error.to_string()))?;
    let mut bytes = Vec::new();
    let read = file.take(MAX_TRACE_BYTES + 1).read_to_end(&mut bytes);
    read.map_err(|error| failed(error.to_string()))?;
    if bytes.len() as u64 > MAX_TRACE_BYTES {
        return Err(failed(format!("it is larger than {} MiB", MAX_TRACE_BYTES >> 20)));
    }
    let text = String::from_utf8(bytes).map_err(|_| failed("it is not UTF-8 text".into()))?;
    trace::read(trace.format, &text).map_err(|error| failed(error.to_string()))
}
