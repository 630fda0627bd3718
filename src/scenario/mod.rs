//! From TOML to a checked plan.
//!
//! * [`units`]: bytes, bandwidths and durations as types.
//! * [`plan`]: the checked, resolved run; pure data.

pub mod plan;
pub mod units;
