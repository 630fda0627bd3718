//! TCP sockets as a transport, without touching payload: constant bytes are sent by reference (slow
//! links) or from one block in the nearest cache (fast links), received bytes are dropped in the
//! kernel, and framing still proves every byte count.
//!
//! * [`transport`]: the transport of a rank. [`opening`]: before it is connected.
//! * [`mesh`]: listening, dialling and greeting until every pair is connected.
//! * [`connection`], [`frame`]: slices, credit, the bytes on the wire.
//! * [`matching`]: which message belongs to which receive.
//! * [`sys`]: system calls.

pub mod connection;
pub mod frame;
pub mod matching;
pub mod mesh;
pub mod opening;
pub mod sys;
pub mod transport;
