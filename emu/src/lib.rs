//! Imitation equipment for genie: hosts and switches as network namespaces, links as shaped veth
//! pairs, all made through netlink.
//!
//! * [`spec`]: what is to be built. [`check`]: whether it can be. [`star`]: the simplest one.
//! * [`fabric`]: building it, counting on it, watching it, removing it.
//! * [`shaping`]: how a link is made to act like a wire. [`calibrate`]: how well it does.
//! * [`privilege`], [`capability`]: what this process may do and what this kernel can.
//! * [`soft_roce`]: RDMA devices over its interfaces.
//! * [`guest`]: a small virtual machine for what this kernel cannot.
//! * [`journal`]: what a run has made, so that a later one can remove it. [`state`]: where that is kept.
//! * [`ocs`]: optical circuit switches that speak the real protocols.
//! * [`namespace`], [`netlink`]: the kernel's side.

pub mod calibrate;
pub mod capability;
pub mod check;
pub mod fabric;
pub mod guest;
pub mod journal;
pub mod namespace;
pub mod netlink;
pub mod ocs;
pub mod privilege;
pub mod shaping;
pub mod soft_roce;
pub mod spec;
pub mod star;
pub mod state;

pub use fabric::{Fabric, FabricError};
pub use namespace::enter;
