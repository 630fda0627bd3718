//! RDMA verbs as a transport: receiver credit (clear-to-send), then write with immediate.
//!
//! * [`provider`]: what the transport asks of whatever executes verbs.

pub mod provider;
