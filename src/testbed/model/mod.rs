//! Plays execution graphs in virtual time: every rank's feeder and machine around the analytical
//! network. The machine is the one that drives sockets.
//!
//! * [`inputs`]: ASTRA-sim's files, read and put together. [`custom`]: algorithms from files.
//! * [`simulation`]: the ranks and their loop. [`memory`]: remote memory that they share.
//! * [`insight`]: what each operation and NPU spent its time on.
//! * [`outcome`]: what came of it: when each rank finished, or what it waits for.

pub mod custom;
pub mod inputs;
pub mod insight;
pub mod memory;
pub mod outcome;
pub mod simulation;

pub use inputs::{Backend, Inputs, ModelError, Options};
pub use outcome::{Finished, Outcome, Stuck};
pub use simulation::Simulation;
