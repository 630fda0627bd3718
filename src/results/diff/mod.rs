//! Runs side by side: what differs, by how much, and whether that is proven.
//!
//! * [`series`]: what is compared, wherever it comes from: [`stored`] runs or [`foreign`] files.
//! * [`compare`]: the comparison, a pure function; [`options`]: what of it is asked for.
//! * [`facts`]: how the machines and scenarios differ; [`noise`]: how much runs differ anyway.

pub mod compare;
pub mod facts;
pub mod foreign;
pub mod noise;
pub mod options;
pub mod series;
pub mod stored;

pub use compare::{Comparison, compare};
pub use options::Options;
pub use series::{Field, Metric, Series};
