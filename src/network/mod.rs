//! Moving messages and telling time. Knows nothing of collectives.
//!
//! * [`analytical`]: virtual time, by formula.
//! * [`message`]: how messages are named and matched, on every transport.
//! * [`roce`]: RoCE v2 spoken by Genie itself, over ordinary sockets.
//! * [`rdma`]: RDMA verbs over whatever executes them.
//! * [`tcp`]: TCP sockets, without touching payload.
//! * [`analytical`]: equations in virtual time.

pub mod analytical;
pub mod message;
pub mod rdma;
pub mod roce;
pub mod tcp;
