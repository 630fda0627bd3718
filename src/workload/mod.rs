//! What a rank plays, in which order.
//!
//! * [`groups`]: comm groups. [`memory`]: remote memory and its cost.

pub mod groups;
pub mod memory;
