//! Jobs over time: read from public traces, or generated.
//!
//! * [`generate`]: the paper's mix of sizes and shapes, over [`durations`] as in the Philly trace; [`random`].
//! * [`read`]: text of any format to jobs: [`csv`] for Helios, Acme, Alibaba and RFold, [`philly`] for its JSON.

pub mod csv;
pub mod durations;
pub mod generate;
pub mod philly;
pub mod random;
mod read;

pub use read::{Format, Row, Rows, TraceError, read};

use super::shape::Shape;

/// A job of a trace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Job {
    /// When it arrives, microseconds from the start.
    pub arrival: u64,
    /// How long it runs on a placement of its own shape, microseconds.
    pub duration: u64,
    /// What it asks for.
    pub shape: Shape,
}

/// Seconds as microseconds; at least one.
pub fn micros(seconds: f64) -> u64 {
    ((seconds * 1e6).round() as u64).max(1)
}
