//! Imitation equipment for genie: hosts and switches as network namespaces, links as shaped veth
//! pairs, all made through netlink.
//!
//! * [`spec`]: what is to be built.

pub mod spec;
