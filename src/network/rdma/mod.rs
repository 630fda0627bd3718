//! RDMA verbs as a transport: receiver credit (clear-to-send), then write with immediate.
//!
//! * [`opening`], [`transport`]: what a rank's loop uses.
//! * [`connection`]: everything between two ranks. [`landing`], [`departure`]: its two directions, without I/O.
//! * [`queue`]: a send queue. [`pace`]: the rate of a connection. [`frame`]: the bytes on the wire.
//! * [`failure`], [`counters`]: what went wrong, what was counted.
//! * [`provider`]: what the transport asks of whatever executes verbs. [`device`]: which device serves a rank.
//! * `verbs` (feature `rdma`): the provider over libibverbs.

pub mod connection;
pub mod counters;
pub mod departure;
pub mod device;
pub mod failure;
pub mod frame;
#[cfg(test)]
mod imitation;
pub mod io;
pub mod landing;
pub mod opening;
pub mod pace;
pub mod provider;
pub mod queue;
#[cfg(test)]
mod tests;
pub mod transport;
#[cfg(feature = "rdma")]
pub mod verbs;
