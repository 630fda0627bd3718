//! What queue pairs carry besides bulk data, little-endian: headers of small messages, grants in the
//! sender's ring, and immediates.
//!
//! Header, 32 bytes: magic 0x6772 (0..2), kind (2), credit given back (3), communicator (4..8), tag
//! (8..16), bytes of the message (16..24), slot (24..28), 0.
//! Grant, 48 bytes: communicator (0..4), key of the memory (4..8), tag (8..16), address (16..24), bytes
//! of the message (24..32), offset in it (32..40), bytes granted (40..44), slot (44..48).

use super::provider::Remote;
use crate::network::message::MessageKey;

/// Length of a header.
pub const HEADER: usize = 32;
/// Length of a grant.
pub const GRANT: usize = 48;
const MAGIC: [u8; 2] = [0x72, 0x67];

/// What a header announces.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A small message, which follows.
    Message,
    /// A large message waits for a grant while grants for others fill all slots.
    Announcement,
    /// Nothing: only credit is given back.
    Credit,
    /// The slot's bytes were written (verb `write`: without immediate).
    Written,
    /// The slot's bytes lie ready to be read (verb `read`).
    Offered,
    /// They were read.
    Fetched,
}

/// A header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// What it announces.
    pub kind: Kind,
    /// Credit for small messages that is given back.
    pub credit: u8,
    /// Communicator and tag.
    pub key: MessageKey,
    /// Bytes of the message, or of what was written.
    pub bytes: u64,
    /// Which slot.
    pub slot: u32,
}

/// The receiver of a large message has a slot for a piece of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Grant {
    /// Which message.
    pub key: MessageKey,
    /// Its whole length.
    pub message_bytes: u64,
    /// Where the piece begins in it.
    pub offset: u64,
    /// Length of the piece.
    pub bytes: u32,
    /// Which slot it goes to.
    pub slot: u32,
    /// Where the slot is.
    pub remote: Remote,
}

/// What came in is not of this protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the peer sent something that is not of genie's protocol")]
pub struct BadFrame;

impl Header {
    /// A header of this kind about nothing.
    pub fn new(kind: Kind) -> Self {
        let (communicator, tag) = (0, 0);
        Self {
            kind,
            credit: 0,
            key: MessageKey { communicator, tag },
            bytes: 0,
            slot: 0,
        }
    }

    /// As bytes.
    pub fn encode(&self) -> [u8; HEADER] {
        let mut out = [0; HEADER];
        out[0..2].copy_from_slice(&MAGIC);
        out[2] = match self.kind {
            Kind::Message => 1,
            Kind::Announcement => 2,
            Kind::Credit => 3,
            Kind::Written => 4,
            Kind::Offered => 5,
            Kind::Fetched => 6,
        };
        out[3] = self.credit;
        out[4..8].copy_from_slice(&self.key.communicator.to_le_bytes());
        out[8..16].copy_from_slice(&self.key.tag.to_le_bytes());
        out[16..24].copy_from_slice(&self.bytes.to_le_bytes());
        out[24..28].copy_from_slice(&self.slot.to_le_bytes());
        out
    }

    /// From bytes.
    pub fn decode(bytes: &[u8; HEADER]) -> Result<Self, BadFrame> {
        let kind = match bytes[2] {
            1 => Kind::Message,
            2 => Kind::Announcement,
            3 => Kind::Credit,
            4 => Kind::Written,
            5 => Kind::Offered,
            6 => Kind::Fetched,
            _ => return Err(BadFrame),
        };
        if bytes[0..2] != MAGIC {
            return Err(BadFrame);
        }
        Ok(Self {
            kind,
            credit: bytes[3],
            key: key(word(bytes, 4), long(bytes, 8)),
            bytes: long(bytes, 16),
            slot: word(bytes, 24),
        })
    }
}

impl Grant {
    /// As bytes.
    pub fn encode(&self) -> [u8; GRANT] {
        let mut out = [0; GRANT];
        out[0..4].copy_from_slice(&self.key.communicator.to_le_bytes());
        out[4..8].copy_from_slice(&self.remote.key.to_le_bytes());
        out[8..16].copy_from_slice(&self.key.tag.to_le_bytes());
        out[16..24].copy_from_slice(&self.remote.address.to_le_bytes());
        out[24..32].copy_from_slice(&self.message_bytes.to_le_bytes());
        out[32..40].copy_from_slice(&self.offset.to_le_bytes());
        out[40..44].copy_from_slice(&self.bytes.to_le_bytes());
        out[44..48].copy_from_slice(&self.slot.to_le_bytes());
        out
    }

    /// From bytes.
    pub fn decode(bytes: &[u8; GRANT]) -> Self {
        Self {
            key: key(word(bytes, 0), long(bytes, 8)),
            message_bytes: long(bytes, 24),
            offset: long(bytes, 32),
            bytes: word(bytes, 40),
            slot: word(bytes, 44),
            remote: Remote {
                address: long(bytes, 16),
                key: word(bytes, 4),
            },
        }
    }
}

/// The number that comes with a write: what was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Immediate {
    /// A piece (or a queue pair's part of it) into this slot.
    Slot(u32),
    /// Grants into the ring.
    Grants {
        /// Its first entry.
        first: u32,
        /// How many, wrapping around.
        count: u32,
    },
}

/// Bits of a slot's or entry's number; slots are far fewer (`testbed.rdma.slots`).
const BITS: u32 = 14;
const MASK: u32 = (1 << BITS) - 1;
/// Set for grants.
const GRANTS: u32 = 1 << 31;

impl Immediate {
    /// As the 32 bits that travel.
    pub fn encode(self) -> u32 {
        match self {
            Immediate::Slot(slot) => slot,
            Immediate::Grants { first, count } => GRANTS | (count << BITS) | first,
        }
    }

    /// From the 32 bits that travelled.
    pub fn decode(bits: u32) -> Self {
        if bits & GRANTS == 0 {
            return Immediate::Slot(bits);
        }
        Immediate::Grants {
            first: bits & MASK,
            count: (bits >> BITS) & MASK,
        }
    }
}

fn key(communicator: u32, tag: u64) -> MessageKey {
    MessageKey { communicator, tag }
}

fn word(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

fn long(bytes: &[u8], at: usize) -> u64 {
    u64::from(word(bytes, at)) | (u64::from(word(bytes, at + 4)) << 32)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn headers_survive_the_trip(credit: u8, communicator: u32, tag: u64, bytes: u64, slot: u32) {
            for kind in [Kind::Message, Kind::Announcement, Kind::Credit, Kind::Written, Kind::Offered, Kind::Fetched] {
                let header = Header { kind, credit, key: key(communicator, tag), bytes, slot };
                prop_assert_eq!(Header::decode(&header.encode()), Ok(header));
            }
        }

        #[test]
        fn grants_survive_the_trip(bytes: [u8; GRANT]) {
            prop_assert_eq!(Grant::decode(&bytes).encode(), bytes);
        }

        #[test]
        fn arbitrary_headers_never_panic(bytes: [u8; HEADER], bits: u32) {
            let _ = (Header::decode(&bytes), Immediate::decode(bits));
        }

        #[test]
        fn immediates_survive_the_trip(first in 0..=MASK, count in 0..=MASK) {
            for immediate in [Immediate::Slot(first), Immediate::Grants { first, count }] {
                prop_assert_eq!(Immediate::decode(immediate.encode()), immediate);
            }
        }
    }
}
