//! The analytical network: virtual time, and costs by formula instead of packets. The rules are those
//! of ASTRA-sim's analytical backends, to the nanosecond.
//!
//! * [`config`]: the network YAML. [`logical`]: the logical topology JSON of its other backends.
//! * [`topology`]: dimensions of rings, switches and full meshes.
//! * [`world`]: the clock and its loop; [`queue`]: what happens next; [`matching`]: who sends what to whom.
//! * [`symmetry`]: one rank for all, where nothing tells them apart.
//! * [`unaware`]: messages that never meet; [`aware`]: messages that wait for links; [`wires`]: messages of
//!   TCP, which cut through.

pub mod aware;
pub mod config;
pub mod logical;
pub mod matching;
pub mod queue;
pub mod symmetry;
pub mod topology;
pub mod unaware;
pub mod wires;
pub mod world;

pub use topology::Topology;
pub use world::{Machine, Network};
