//! `[time]`: how time passes.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How time passes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Time {
    /// Real time is this many times slower than nominal: rates are divided by it, delays multiplied,
    /// and reported times divided again. More than 0, at most 1e6.
    pub dilation: f64,
}

impl Default for Time {
    fn default() -> Self {
        Time { dilation: 1.0 }
    }
}
