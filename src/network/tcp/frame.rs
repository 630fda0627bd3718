//! The framing on a connection: a 32-byte header before each slice of payload, little-endian.
//! Every byte of a connection belongs to a frame, so byte counts are proven by construction.
//!
//! | bytes | field |
//! |---|---|
//! | 0..2 | magic 0x6e67 |
//! | 2 | kind: 1 data, 2 credit |
//! | 3 | slots that the sender of this frame gives back |
//! | 4..8 | communicator |
//! | 8..16 | tag |
//! | 16..24 | payload bytes of the whole message |
//! | 24..28 | payload bytes that follow this header |
//! | 28..32 | 1 if the slice begins its message |

use crate::network::message::MessageKey;

/// Length of a header.
pub const HEADER: usize = 32;
const MAGIC: u16 = 0x6e67;

/// What follows the header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A slice of a message.
    Data,
    /// Nothing: only slots are given back.
    Credit,
}

/// A header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// Data or only credit.
    pub kind: Kind,
    /// Slots given back to the receiver of this frame.
    pub credit: u8,
    /// Communicator and tag (data only).
    pub key: MessageKey,
    /// Payload bytes of the whole message.
    pub message_bytes: u64,
    /// Payload bytes that follow.
    pub slice_bytes: u32,
    /// The slice is its message's first.
    pub first: bool,
}

/// The peer sent something that is no frame.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the peer sent bytes that are not a genie frame")]
pub struct BadFrame;

impl Header {
    /// A frame that only gives slots back.
    pub fn credit(slots: u8) -> Self {
        let key = MessageKey {
            communicator: 0,
            tag: 0,
        };
        Self {
            kind: Kind::Credit,
            credit: slots,
            key,
            message_bytes: 0,
            slice_bytes: 0,
            first: false,
        }
    }

    /// As bytes.
    pub fn encode(&self) -> [u8; HEADER] {
        let mut out = [0; HEADER];
        out[0..2].copy_from_slice(&MAGIC.to_le_bytes());
        out[2] = match self.kind {
            Kind::Data => 1,
            Kind::Credit => 2,
        };
        out[3] = self.credit;
        out[4..8].copy_from_slice(&self.key.communicator.to_le_bytes());
        out[8..16].copy_from_slice(&self.key.tag.to_le_bytes());
        out[16..24].copy_from_slice(&self.message_bytes.to_le_bytes());
        out[24..28].copy_from_slice(&self.slice_bytes.to_le_bytes());
        out[28] = u8::from(self.first);
        out
    }

    /// From bytes.
    pub fn decode(bytes: &[u8; HEADER]) -> Result<Self, BadFrame> {
        let word = |at: usize| u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
        let long = |at: usize| u64::from(word(at)) | (u64::from(word(at + 4)) << 32);
        let kind = match bytes[2] {
            1 => Kind::Data,
            2 => Kind::Credit,
            _ => return Err(BadFrame),
        };
        if u16::from_le_bytes([bytes[0], bytes[1]]) != MAGIC {
            return Err(BadFrame);
        }
        Ok(Self {
            kind,
            credit: bytes[3],
            key: MessageKey {
                communicator: word(4),
                tag: long(8),
            },
            message_bytes: long(16),
            slice_bytes: word(24),
            first: bytes[28] == 1,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn header_round_trip(credit: u8, communicator: u32, tag: u64, message_bytes: u64, slice_bytes: u32, first: bool) {
            let header = Header {
                kind: Kind::Data, credit, key: MessageKey { communicator, tag }, message_bytes, slice_bytes, first,
            };
            prop_assert_eq!(Header::decode(&header.encode()), Ok(header));
        }

        #[test]
        fn arbitrary_bytes_never_panic(bytes: [u8; HEADER]) {
            let _ = Header::decode(&bytes);
        }
    }
}
