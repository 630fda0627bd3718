//! RoCE v2 spoken by Genie itself, over ordinary sockets: reliable connections that interoperate
//! with network cards and with Linux's rxe, on machines that have neither.
//!
//! * [`endpoint`]: the provider of verbs that the RDMA transport uses. [`desk`]: packets that come in.
//!   [`train`]: packets that go out.
//! * [`queue`]: queue pairs, without sockets and clocks. [`memory`]: registered regions.
//! * [`wire`]: packets, byte by byte. [`dcqcn`]: the rate under congestion notifications.
//! * [`port`], [`raw`], [`sys`]: sockets and system calls.
//! * [`counters`], [`capture`], [`loss`]: what is counted, recorded and dropped on purpose.

pub mod capture;
pub mod counters;
pub mod dcqcn;
pub mod desk;
pub mod endpoint;
pub mod loss;
pub mod memory;
pub mod port;
pub mod queue;
pub mod raw;
pub mod sys;
pub mod train;
pub mod wire;
