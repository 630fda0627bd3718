//! A packet that is to be sent, described: headers that are written, payload that stays where it is.

use bytes::Bytes;

use crate::network::roce::wire::packet::Headers;

/// A packet to be sent.
#[derive(Debug, Clone)]
pub struct Segment {
    /// Transport headers.
    pub headers: Headers,
    /// Payload.
    pub payload: Chunk,
    /// A congestion notification: goes in its own traffic class.
    pub notification: bool,
}

/// Where a packet's payload is.
#[derive(Debug, Clone)]
pub enum Chunk {
    /// There is none.
    Empty,
    /// In registered memory.
    Memory {
        /// Key of the region.
        key: u32,
        /// First byte.
        address: u64,
        /// How many.
        bytes: u32,
    },
    /// Here.
    Inline(Bytes),
}

impl Chunk {
    /// Length in bytes.
    pub fn bytes(&self) -> usize {
        match self {
            Chunk::Empty => 0,
            Chunk::Memory { bytes, .. } => *bytes as usize,
            Chunk::Inline(bytes) => bytes.len(),
        }
    }

    /// The piece of packet number `index` when cut into packets of `mtu` bytes.
    pub fn piece(&self, index: u64, mtu: u32) -> Chunk {
        let from = index * u64::from(mtu);
        let left = (self.bytes() as u64).saturating_sub(from).min(u64::from(mtu));
        match self {
            _ if left == 0 => Chunk::Empty,
            Chunk::Empty => Chunk::Empty,
            Chunk::Memory { key, address, .. } => Chunk::Memory {
                key: *key,
                address: address + from,
                bytes: left as u32,
            },
            Chunk::Inline(bytes) => Chunk::Inline(bytes.slice(from as usize..(from + left) as usize)),
        }
    }
}
