//! Plays execution graphs in virtual time: every rank's feeder and machine around the analytical
//! network. The machine is the one that drives sockets.
//!
//! * [`inputs`]: ASTRA-sim's files, read and put together; `job_files`: those of a job, `traces` among
//!   them. [`custom`]: algorithms from files.
//! * [`parts`]: network and jobs. [`simulation`]: the ranks and their loop. [`symmetry`]: when one of them
//!   stands for all. [`memory`]: remote memory that they share.
//! * [`insight`]: what each operation and NPU spent its time on.
//! * [`outcome`]: what came of it: when each rank finished, or what it waits for.

pub mod custom;
pub mod inputs;
pub mod insight;
mod job_files;
pub mod memory;
pub mod outcome;
pub mod parts;
pub mod simulation;
pub mod symmetry;
mod traces;

pub use inputs::{Inputs, ModelError, Options};
pub use outcome::{Finished, Outcome, Stuck};
pub use parts::Backend;
pub use simulation::Simulation;
