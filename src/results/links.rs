//! Bytes counted on links during each operation, back from `links.csv`.

use std::path::Path;

use super::run::Run;
use super::{csv, reader, tables};

/// What a link direction carried during an operation, warm-up included.
#[derive(Debug, Clone, PartialEq)]
pub struct LinkOp {
    /// The operation's place in the plan.
    pub op: usize,
    /// Name of the link.
    pub link: String,
    /// `from->to`, names of nodes.
    pub direction: String,
    /// Bytes of frames counted.
    pub counted_bytes: u64,
    /// Payload expected by the plan; `None` where the operation did not complete.
    pub payload_bytes: Option<f64>,
}

/// Reads them in the order in which they stand; what cannot be read is left out and told in `found`.
pub fn read(folder: &Path, run: &Run, found: &mut Vec<String>) -> Vec<LinkOp> {
    let Some(text) = reader::file(folder, "links.csv", &run.manifest, found) else {
        return Vec::new();
    };
    let records = csv::records(&text);
    let Some((header, records)) = records.split_first() else {
        return Vec::new();
    };
    let mut links = Vec::new();
    for (number, record) in records.iter().enumerate() {
        match tables::link_op(header, record) {
            Ok(link) => links.extend(link.filter(|link| link.op < run.manifest.plan.ops.len())),
            Err(why) => found.push(format!("row {} of links.csv is left out: {why}", number + 1)),
        }
    }
    links
}
