//! What goes out to one peer in pieces: large messages that wait for grants, and grants that came
//! before their message was posted. Decides; does no I/O.

use std::collections::{BTreeMap, HashMap, VecDeque};

use super::frame::Grant;
use super::landing::take_first;
use crate::network::message::{Channel, LengthMismatch, MessageKey, Rank};

/// A message to be sent.
#[derive(Debug)]
pub struct Outgoing {
    /// The caller's number for it.
    pub id: u64,
    /// Communicator and tag.
    pub key: MessageKey,
    /// Payload bytes.
    pub bytes: u64,
    /// Real payload, or constant bytes.
    pub data: Option<Vec<u8>>,
    /// Index of its flow's counters.
    pub flow: usize,
    /// On which channel.
    pub channel: Channel,
}

/// A piece that may leave: of which message, and where to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Piece {
    /// Number of the message.
    pub message: u64,
    /// The grant it uses.
    pub grant: Grant,
}

/// All large messages to one peer.
#[derive(Debug)]
pub struct Departure {
    peer: Rank,
    /// Ordinary slots of the peer.
    slots: u32,
    messages: BTreeMap<u64, Large>,
    next: u64,
    /// Messages not wholly granted.
    waiting: HashMap<MessageKey, VecDeque<u64>>,
    /// Grants for messages that were not posted yet.
    unused: HashMap<MessageKey, VecDeque<Grant>>,
    unused_count: u32,
    /// A message was posted or a grant came since announcements were last asked for.
    changed: bool,
}

#[derive(Debug)]
struct Large {
    message: Outgoing,
    granted: u64,
    done: u64,
    announced: bool,
}

impl Departure {
    /// Nothing to send yet.
    pub fn new(peer: Rank, slots: u32) -> Self {
        Self {
            peer,
            slots,
            messages: BTreeMap::new(),
            next: 0,
            waiting: HashMap::new(),
            unused: HashMap::new(),
            unused_count: 0,
            changed: false,
        }
    }

    /// A message was posted; pieces that have a grant already go to `ready`.
    pub fn post(&mut self, message: Outgoing, ready: &mut VecDeque<Piece>) -> Result<(), LengthMismatch> {
        let (number, key) = (self.next, message.key);
        self.next += 1;
        let (granted, done, announced) = (0, 0, false);
        self.messages.insert(
            number,
            Large {
                message,
                granted,
                done,
                announced,
            },
        );
        self.waiting.entry(key).or_default().push_back(number);
        self.changed = true;
        while self.waiting_for(key).is_some() {
            let Some(grant) = take_first(&mut self.unused, key) else {
                break;
            };
            self.unused_count -= 1;
            self.granted(grant, ready)?;
        }
        Ok(())
    }

    /// A grant came in.
    pub fn granted(&mut self, grant: Grant, ready: &mut VecDeque<Piece>) -> Result<(), LengthMismatch> {
        let Some(number) = self.waiting_for(grant.key) else {
            self.unused.entry(grant.key).or_default().push_back(grant);
            self.unused_count += 1;
            self.changed = true;
            return Ok(());
        };
        let Some(large) = self.messages.get_mut(&number) else {
            return Ok(());
        };
        let bytes = large.message.bytes;
        if bytes != grant.message_bytes || grant.offset + u64::from(grant.bytes) > bytes {
            return Err(LengthMismatch {
                peer: self.peer,
                sent: bytes,
                posted: grant.message_bytes,
                tag: grant.key.tag,
            });
        }
        large.granted += u64::from(grant.bytes);
        if large.granted >= bytes {
            take_first(&mut self.waiting, grant.key);
        }
        ready.push_back(Piece {
            message: number,
            grant,
        });
        Ok(())
    }

    fn waiting_for(&self, key: MessageKey) -> Option<u64> {
        self.waiting.get(&key)?.front().copied()
    }

    /// Messages that must be announced: the peer has granted all its ordinary slots to others, which
    /// are not here, and knows nothing of these.
    pub fn announcements(&mut self) -> Vec<(MessageKey, u64)> {
        if !std::mem::take(&mut self.changed) || self.unused_count < self.slots {
            return Vec::new();
        }
        let unknown = |large: &&mut Large| large.granted < large.message.bytes && !large.announced;
        self.messages
            .values_mut()
            .filter(unknown)
            .map(|large| {
                large.announced = true;
                (large.message.key, large.message.bytes)
            })
            .collect()
    }

    /// A message that is under way.
    pub fn message(&self, number: u64) -> Option<&Outgoing> {
        self.messages.get(&number).map(|large| &large.message)
    }

    /// Bytes of a message that are left for later pieces than this one; 0: the piece is the last.
    pub fn after(&self, piece: &Piece) -> u64 {
        let end = piece.grant.offset + u64::from(piece.grant.bytes);
        self.message(piece.message)
            .map_or(0, |m| m.bytes.saturating_sub(end))
    }

    /// Bytes of a message have arrived; gives the caller's number once all have.
    pub fn done(&mut self, number: u64, bytes: u64) -> Option<u64> {
        let large = self.messages.get_mut(&number)?;
        large.done += bytes;
        if large.done < large.message.bytes {
            return None;
        }
        self.messages.remove(&number).map(|large| large.message.id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::rdma::provider::Remote;

    fn message(id: u64, tag: u64, bytes: u64) -> Outgoing {
        Outgoing {
            id,
            key: MessageKey { communicator: 1, tag },
            bytes,
            data: None,
            flow: 0,
            channel: 0,
        }
    }

    fn grant(tag: u64, message_bytes: u64, offset: u64, bytes: u32) -> Grant {
        Grant {
            key: MessageKey { communicator: 1, tag },
            message_bytes,
            offset,
            bytes,
            slot: 0,
            remote: Remote { address: 0, key: 0 },
        }
    }

    #[test]
    fn grants_before_or_after_the_message_set_its_pieces_free() {
        let (mut d, mut ready) = (Departure::new(3, 8), VecDeque::new());
        d.granted(grant(7, 150, 0, 100), &mut ready).unwrap();
        assert!(ready.is_empty());
        d.post(message(5, 7, 150), &mut ready).unwrap();
        assert_eq!(ready.len(), 1);
        d.granted(grant(7, 150, 100, 50), &mut ready).unwrap();
        assert_eq!(ready.len(), 2);
        assert_eq!((d.after(&ready[0]), d.after(&ready[1])), (50, 0));
        assert_eq!(d.done(ready[1].message, 50), None);
        assert_eq!(d.done(ready[0].message, 100), Some(5));
        assert!(d.messages.is_empty() && d.waiting.is_empty() && d.unused.is_empty());
    }

    #[test]
    fn announces_only_when_every_slot_is_granted_to_messages_not_here() {
        let (mut d, mut ready) = (Departure::new(3, 2), VecDeque::new());
        d.post(message(5, 7, 100), &mut ready).unwrap();
        assert_eq!(d.announcements(), []);
        d.granted(grant(8, 100, 0, 100), &mut ready).unwrap();
        assert_eq!(d.announcements(), []);
        d.granted(grant(9, 100, 0, 100), &mut ready).unwrap();
        assert_eq!(
            d.announcements(),
            [(
                MessageKey {
                    communicator: 1,
                    tag: 7
                },
                100
            )]
        );
        assert_eq!(d.announcements(), []);
    }

    #[test]
    fn a_grant_for_another_length_is_an_error() {
        let (mut d, mut ready) = (Departure::new(3, 2), VecDeque::new());
        d.post(message(5, 7, 100), &mut ready).unwrap();
        assert!(d.granted(grant(7, 101, 0, 100), &mut ready).is_err());
    }
}
