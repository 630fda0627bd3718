//! From TOML to a checked plan.
//!
//! * [`units`]: bytes, bandwidths and durations as types.
//! * [`section`]: the sections of a scenario file as plain data.
//! * [`load()`]: files and `--set` overrides to a [`Loaded`] scenario; in [`document`], [`overrides`]
//!   and [`read`].
//! * [`diagnostic`]: errors with file, line and caret; over the texts in [`source`], with names
//!   from [`suggest`].
//! * [`planner`]: a loaded scenario to a [`plan::Plan`].
//! * [`plan`]: the checked, resolved run; pure data.
//! * [`schema`]: the JSON schema that editors complete from.

pub mod diagnostic;
pub mod document;
mod load;
pub mod overrides;
pub mod plan;
pub mod planner;
pub mod read;
pub mod schema;
pub mod section;
pub mod source;
pub mod suggest;
pub mod units;

pub use diagnostic::{Diagnostic, Diagnostics};
pub use load::{Loaded, MAX_FILE_BYTES, load, load_text};
