//! Real equipment. One module per kind; each says what it reads or writes and by which interface.
//!
//! * [`nic`]: network cards of this machine, as the kernel knows them.
//! * [`rdma`]: RDMA devices, likewise.

pub mod nic;
pub mod rdma;
