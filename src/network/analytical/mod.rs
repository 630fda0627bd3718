//! The network in virtual time, with ASTRA-sim's analytical equations.
//!
//! * [`config`]: the network YAML. [`logical`]: the logical topology JSON of its other backends.

pub mod config;
pub mod logical;
