//! Real equipment. One module per kind; each says what it reads or writes and by which interface.
//!
//! * [`nic`]: network cards of this machine, as the kernel knows them.
//! * [`ocs`]: optical circuit switches, over the network.
//! * [`rdma`]: RDMA devices of this machine, likewise as the kernel knows them.

pub mod nic;
pub mod ocs;
pub mod rdma;
