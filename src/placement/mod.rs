//! Jobs on tori of cubes that optical circuit switches join. No files, no clock, no chance of its own.
//!
//! * [`shape`], [`grid`]: what a job wants. [`fold`]: other boxes that hold it; [`path`]: paths through a cube.
//! * [`machine`], [`state`], [`circuit`]: cubes, their free nodes, the port map.
//! * [`slice`], [`ring`] and its `weave`, [`fixed`]: finding room. [`policy`]: who looks for what. [`public_rule`]: the public simulator's.
//! * [`checker`]: proves placements by other means. [`trace`], [`replay`], [`study`]: jobs in virtual time; [`published`]: the paper's figures.

pub mod checker;
pub mod circuit;
pub mod fixed;
pub mod fold;
pub mod grid;
pub mod machine;
pub mod path;
pub mod policy;
pub mod public_rule;
pub mod published;
pub mod replay;
pub mod ring;
pub mod shape;
pub mod slice;
pub mod state;
pub mod study;
pub mod trace;
mod weave;

pub use circuit::CrossConnect;
pub use machine::Machine;
pub use policy::{Placement, Policy, Refusal};
pub use shape::{Closing, Shape};
pub use state::State;
