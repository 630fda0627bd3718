//! Plays scenarios with the real `genie` binary, for every test that needs a whole run. Nothing
//! here can hang: each command has a deadline, and each process that was started is ended.
//!
//! * [`genie`]: a `genie` command, running and ended. [`guest`]: the guest with soft-RoCE.
//! * [`machine`]: a machine of its own for a test: what a run leaves there is seen to the last file.
#![allow(dead_code, unused_imports)] // each test file uses its part

pub mod genie;
pub mod guest;
pub mod machine;

use std::path::PathBuf;
use std::time::{Duration, Instant};

pub use genie::{Ended, Genie, Running};
pub use machine::Machine;
pub use serde_json::Value;

/// A file of the repository.
pub fn repository(path: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// Polls until `wanted` holds; `false` if it does not within that time.
pub fn eventually(within: Duration, mut wanted: impl FnMut() -> bool) -> bool {
    let until = Instant::now() + within;
    loop {
        if wanted() {
            return true;
        }
        if Instant::now() > until {
            return false;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// The texts of a JSON list of texts.
pub fn texts(list: &Value) -> Vec<&str> {
    let list = list.as_array().expect("a list");
    list.iter().map(|text| text.as_str().expect("a text")).collect()
}

/// Seconds after the start of `genie run` at which a stage was complete.
pub fn stage(report: &Value, name: &str) -> f64 {
    let stages = report["stages"].as_array().expect("stages are a list");
    let found = stages.iter().find(|stage| stage["stage"] == name);
    let found = found.unwrap_or_else(|| panic!("no stage {name} in {stages:?}"));
    found["at_s"].as_f64().expect("a time")
}

/// Rows of a table of a run folder, each by column name.
pub fn table(folder: &std::path::Path, name: &str) -> Vec<std::collections::BTreeMap<String, String>> {
    let text = std::fs::read_to_string(folder.join(name)).expect("a stored run has this table");
    let mut lines = text.lines();
    let header: Vec<&str> = lines.next().expect("a header").split(',').collect();
    let row = |line: &str| {
        let fields = line.split(',').map(str::to_owned);
        header.iter().map(|name| (*name).to_owned()).zip(fields).collect()
    };
    lines.map(row).collect()
}
