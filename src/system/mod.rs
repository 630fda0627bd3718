//! The per-NPU machine: communicators, chunking, queues and collective algorithms. It turns
//! operations into sends, receives and timers, and knows nothing of sockets, clocks or files.
//!
//! * [`op`]: what an operation is: collective, sizes, data type, reduction.
//! * [`action`]: what goes into the machine and what comes out of it.
//! * [`npu`]: the machine; [`tag`]: how its messages are told apart.
//! * [`task`], [`setup`]: nodes of execution graphs and ASTRA-sim's way of carrying them out, by
//!   phases ([`phase`]), queues and delays; [`bus`]: its model of the memory bus.
//! * [`communicator`]: groups of ranks.
//! * [`collective`]: one file per algorithm, and the verifier that proves them.
//! * [`config`]: ASTRA-sim's system file.
//! * [`payload`]: real data for `verify = true`: initial contents, reduction, expected result.

pub mod action;
pub mod bus;
mod chunk;
pub mod collective;
pub mod communicator;
pub mod config;
pub mod npu;
pub mod op;
pub mod payload;
pub mod phase;
pub mod setup;
mod slab;
pub mod tag;
pub mod task;

pub use npu::Npu;
