//! PyTorch's traces of one rank as Chakra: the host execution trace (`ExecutionTraceObserver`) knows
//! operators, tensors and process groups, Kineto's (the profiler) knows times, threads and streams.
//!
//! * [`host`], [`kineto`]: what the two files say. [`comm`]: what a communication operator says.
//! * [`import`]: both together, with the order of every stream and thread rebuilt.

pub mod comm;
pub mod host;
pub mod import;
pub mod kineto;

pub use import::{Imported, Options, import};
