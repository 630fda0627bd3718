//! Jobs in virtual time on one machine under one policy.
//!
//! * [`engine`]: the event loop. [`backfill`]: who may overtake whom.
//! * [`contention`]: what scattered placements pay. [`outcome`]: what came of it, as figures.

pub mod backfill;
pub mod contention;
mod engine;
pub mod outcome;

pub use engine::{Rules, replay};
pub use outcome::Outcome;
