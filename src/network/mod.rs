//! Moving messages and telling time. Knows nothing of collectives.
//!
//! * [`analytical`]: virtual time, by formula.
//! * [`message`]: how messages are named and matched, on every transport.
//! * [`roce`]: RoCE v2 spoken by Genie itself, over ordinary sockets.
//! * [`rdma`]: RDMA verbs over whatever executes them.
//! * [`transport`]: what every transport offers. [`flows`]: the counters that it keeps. [`waiting`]: polling or blocking.
//! * [`tcp`]: TCP sockets, without touching payload.

pub mod analytical;
pub mod flows;
pub mod message;
pub mod rdma;
pub mod roce;
pub mod tcp;
pub mod transport;
pub mod waiting;
