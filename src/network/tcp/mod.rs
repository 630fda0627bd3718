//! TCP sockets as a transport, without touching payload: one small constant block is sent again and
//! again, received bytes are dropped in the kernel, and framing still proves every byte count.
//! (Sending pages by reference with sendfile costs more than it saves: a segment holds at most 17
//! pages of 4 KiB then, and half as much CPU again was measured for the many small segments.)
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
