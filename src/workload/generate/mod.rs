//! Chakra traces of training steps: from the shape of a model, a device and a way of laying both
//! over many ranks. docs/workload-generation.md derives every formula and names its source.
//!
//! * [`model`]: shapes and parameters. [`device`]: peaks and roofline. [`job`]: what is asked for.
//! * [`parallel`]: ranks and groups. [`layer`]: compute and collectives of a layer. [`schedule`]:
//!   order of micro-batches. [`step`]: all of it as a [`graph`]. [`emit`]: the graph as Chakra nodes.
//! * [`memory`]: bytes on each device. [`summary`]: what it amounts to. [`spec`]: as a scenario asks for it.

pub mod device;
pub mod emit;
pub mod graph;
pub mod job;
pub mod layer;
pub mod memory;
pub mod model;
pub mod parallel;
pub mod schedule;
pub mod spec;
pub mod step;
pub mod summary;

pub use job::{Job, JobError};

#[cfg(test)]
mod tests;
