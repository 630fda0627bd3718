//! Genie plays the network traffic of machine-learning jobs from CPUs, over real NICs, RDMA or an
//! emulated network, while the GPUs' compute is only timed.
//!
//! The way of a run: [`scenario`] text becomes a [`scenario::plan::Plan`]; [`testbed`] brings the
//! fabric up and starts rank processes; each rank drives a [`system::Npu`] over [`network`];
//! [`results`] keeps what was measured and [`report`] shows it. [`document`] reads other simulators' files.
//! [`placement`] finds room for jobs on tori of cubes and replays traces of them.

pub mod cli;
pub mod document;
pub mod event;
pub mod network;
pub mod placement;
pub mod report;
pub mod results;
pub mod scenario;
pub mod system;
pub mod testbed;
pub mod topology;
pub mod workload;
