//! RoCE v2 on the wire, for reliable connections: what stands in a UDP datagram to port 4791.
//!
//! * [`opcode`]: what a packet is for. [`header`]: base and extended transport headers.
//! * [`packet`]: a whole packet, read and written. [`psn`]: its number.
//! * [`icrc`]: the checksum at its end. [`frame`]: the Ethernet, IP and UDP headers around it.

pub mod frame;
pub mod header;
pub mod icrc;
pub mod opcode;
pub mod packet;
pub mod psn;

pub use header::{Aeth, Bth, Reth, Syndrome};
pub use icrc::Envelope;
pub use opcode::Opcode;
pub use packet::{Packet, PacketError};

/// UDP port of RoCE v2 (IANA: `roce`).
pub const PORT: u16 = 4791;
