//! `genie run FILE` of a scenario with a `[placement]`: replays it in virtual time and prints the comparison;
//! `genie plan FILE` says what that would be.

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
pub fn run(loaded: &Loaded, study: Study, json: bool) -> i32 {
    let threads = std::thread::available_parallelism().map_or(1, |n| n.get());
    let done = with_trace(loaded, study)
        .and_then(|study| study::run(&study, threads).map_err(|error| error.to_string()));
    let report = match done {
        Ok(report) => report,
        Err(error) => return wrong(&error),
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

/// Prints what would be replayed; gives the exit code.
pub fn plan(loaded: &Loaded, study: Study, json: bool) -> i32 {
    let done = with_trace(loaded, study).and_then(|study| {
        let outlook = study::outlook(&study).map_err(|error| error.to_string())?;
        Ok((study, outlook))
    });
    let (study, outlook) = match done {
        Ok(done) => done,
        Err(error) => return wrong(&error),
    };
    let name = &loaded.scenario.name;
    match json {
        true => super::print(&report::placement_plan::json(name, &study, &outlook)),
        false => super::print(&report::placement_plan::text(name, &study, &outlook)),
    }
    exit::OK
}

fn wrong(error: &str) -> i32 {
    super::complain(error);
    exit::USAGE
}

/// The study with the jobs of its trace, if it has one.
fn with_trace(loaded: &Loaded, study: Study) -> Result<Study, String> {
    let section = loaded.scenario.placement.as_ref();
    let Some((section, trace)) = section.and_then(|section| Some((section, section.trace.as_ref()?))) else {
        return Ok(study);
    };
    let source = Source::Trace(rows(trace)?, section.jobs as usize);
    Ok(Study { source, ..study })
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
