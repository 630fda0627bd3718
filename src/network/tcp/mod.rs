//! TCP sockets as a transport, without touching payload: constant bytes are sent by reference (slow
//! links) or from one block in the nearest cache (fast links), received bytes are dropped in the
//! kernel, and framing still proves every byte count.
//!
//! * [`transport`]: what a rank's loop uses: post sends and receives, poll completions.
//! * [`mesh`]: listening, dialling and greeting until every pair is connected.
//! * [`connection`], [`frame`]: slices, credit, the bytes on the wire.
//! * [`matching`]: which message belongs to which receive.
//! * [`counters`]: ready, transmitted, done of each flow.
//! * [`sys`]: system calls.

pub mod connection;
pub mod counters;
pub mod frame;
pub mod matching;
pub mod mesh;
pub mod sys;
pub mod transport;
