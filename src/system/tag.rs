//! How messages of one communicator are told apart. Both sides derive a message's tag from the
//! operation, the chunk and the message's turn among those of its pair, without a word between them:
//!
//! | bits     | field | bound |
//! |----------|-------|-------|
//! | 63 to 44 | sequence number of the operation in its communicator | modulo 2^20: fewer than that may be in flight |
//! | 43 to 24 | chunk | [`MAX_CHUNKS`] |
//! | 23 to 0  | turn: how many messages of this chunk went from this sender to this receiver before | [`MAX_MESSAGES`] |

/// Chunks of one operation.
pub const MAX_CHUNKS: u32 = 1 << 20;

/// Messages of one chunk from one rank to one other.
pub const MAX_MESSAGES: u32 = 1 << 24;

/// The tag of message number `turn` of a pair in a chunk of the `sequence`-th operation.
pub fn tag(sequence: u64, chunk: u32, turn: u32) -> u64 {
    debug_assert!(chunk < MAX_CHUNKS && turn < MAX_MESSAGES);
    (sequence % (1 << 20)) << 44 | u64::from(chunk) << 24 | u64::from(turn)
}

/// The chunk of a message, by its tag.
pub fn chunk_of(tag: u64) -> u32 {
    (tag >> 24) as u32 & (MAX_CHUNKS - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_do_not_touch() {
        assert_eq!(tag(1, 0, 0), 1 << 44);
        assert_eq!(tag(0, MAX_CHUNKS - 1, MAX_MESSAGES - 1), (1 << 44) - 1);
        assert_eq!(tag(1 << 20, 3, 4), tag(0, 3, 4), "sequence numbers wrap");
        assert_eq!(chunk_of(tag(7, 3, MAX_MESSAGES - 1)), 3);
    }
}
