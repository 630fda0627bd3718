//! Matches arriving messages with posted receives, by source, communicator and tag, in order.
//! A message that nobody has asked for yet keeps the credit slots that it took.

use std::collections::{HashMap, VecDeque};

use super::frame::Header;
use crate::network::message::{LengthMismatch, MessageKey, Rank};

/// A receive that was completed.
#[derive(Debug)]
pub struct Completed {
    /// The caller's number for the receive.
    pub id: u64,
    /// Real payload (empty when discarded).
    pub data: Vec<u8>,
}

/// What to do after a step: slots to give back to a connection, and a completed receive.
#[derive(Debug, Default)]
pub struct Outcome {
    /// (connection, slots to give back).
    pub give_back: Option<(usize, u32)>,
    /// A receive that is complete now.
    pub completed: Option<Completed>,
}

#[derive(Debug)]
struct Incoming {
    connection: usize,
    receive: Option<u64>,
    bytes: u64,
    arrived: u64,
    slots_held: u32,
    data: Vec<u8>,
}

#[derive(Debug, Default)]
struct Queue {
    /// Receives that no message has begun for: (caller's number, bytes).
    posted: VecDeque<(u64, u64)>,
    /// Messages begun, oldest first; those without a receive come after those with one.
    incoming: VecDeque<Incoming>,
}

/// All receives and messages of one rank.
#[derive(Debug, Default)]
pub struct Matching {
    queues: HashMap<(Rank, MessageKey), Queue>,
}

impl Matching {
    /// A receive was posted.
    pub fn post(
        &mut self,
        id: u64,
        peer: Rank,
        key: MessageKey,
        bytes: u64,
    ) -> Result<Outcome, LengthMismatch> {
        let queue = self.queues.entry((peer, key)).or_default();
        let Some(at) = queue.incoming.iter().position(|m| m.receive.is_none()) else {
            queue.posted.push_back((id, bytes));
            return Ok(Outcome::default());
        };
        let message = &mut queue.incoming[at];
        check(peer, key, message.bytes, bytes)?;
        message.receive = Some(id);
        let slots = std::mem::take(&mut message.slots_held);
        let give_back = Some((message.connection, slots)).filter(|(_, slots)| *slots > 0);
        let completed = self.complete(peer, key, at);
        Ok(Outcome { give_back, completed })
    }

    /// A slice came in on a connection.
    pub fn slice(
        &mut self,
        connection: usize,
        peer: Rank,
        header: &Header,
        data: Vec<u8>,
    ) -> Result<Outcome, LengthMismatch> {
        let queue = self.queues.entry((peer, header.key)).or_default();
        if header.first {
            let receive = queue.posted.pop_front();
            if let Some((_, bytes)) = receive {
                check(peer, header.key, header.message_bytes, bytes)?;
            }
            queue.incoming.push_back(Incoming {
                connection,
                receive: receive.map(|(id, _)| id),
                bytes: header.message_bytes,
                arrived: 0,
                slots_held: 0,
                data: Vec::new(),
            });
        }
        let unfinished = |m: &Incoming| m.connection == connection && m.arrived < m.bytes;
        let Some(at) = queue.incoming.iter().position(unfinished) else {
            let (sent, tag) = (header.message_bytes, header.key.tag);
            return Err(LengthMismatch {
                peer,
                sent,
                posted: 0,
                tag,
            });
        };
        let message = &mut queue.incoming[at];
        message.arrived += u64::from(header.slice_bytes);
        if message.data.is_empty() {
            message.data = data;
        } else {
            message.data.extend_from_slice(&data);
        }
        let give_back = if message.receive.is_some() {
            Some((connection, 1))
        } else {
            message.slots_held += 1;
            None
        };
        let completed = self.complete(peer, header.key, at);
        Ok(Outcome { give_back, completed })
    }

    /// Takes out the message at `at` if it is whole and asked for.
    fn complete(&mut self, peer: Rank, key: MessageKey, at: usize) -> Option<Completed> {
        let queue = self.queues.get_mut(&(peer, key))?;
        let message = &queue.incoming[at];
        let id = message.receive.filter(|_| message.arrived >= message.bytes)?;
        let data = queue.incoming.remove(at).map_or_else(Vec::new, |m| m.data);
        if queue.incoming.is_empty() && queue.posted.is_empty() {
            self.queues.remove(&(peer, key));
        }
        Some(Completed { id, data })
    }
}

fn check(peer: Rank, key: MessageKey, sent: u64, posted: u64) -> Result<(), LengthMismatch> {
    if sent == posted {
        Ok(())
    } else {
        Err(LengthMismatch {
            peer,
            sent,
            posted,
            tag: key.tag,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::tcp::frame::Kind;

    const KEY: MessageKey = MessageKey {
        communicator: 0,
        tag: 7,
    };

    fn slice(message_bytes: u64, slice_bytes: u32, first: bool) -> Header {
        Header {
            kind: Kind::Data,
            credit: 0,
            key: KEY,
            message_bytes,
            slice_bytes,
            first,
        }
    }

    #[test]
    fn posted_before_arrival_gives_each_slot_back_at_once() {
        let mut m = Matching::default();
        assert!(m.post(1, 3, KEY, 20).unwrap().completed.is_none());
        let first = m.slice(0, 3, &slice(20, 10, true), vec![]).unwrap();
        assert_eq!(first.give_back, Some((0, 1)));
        assert!(first.completed.is_none());
        assert_eq!(
            m.slice(0, 3, &slice(20, 10, false), vec![])
                .unwrap()
                .completed
                .unwrap()
                .id,
            1
        );
        assert!(m.queues.is_empty());
    }

    #[test]
    fn unexpected_messages_keep_their_slots_until_asked_for() {
        let mut m = Matching::default();
        for first in [true, false] {
            assert_eq!(
                m.slice(5, 3, &slice(20, 10, first), vec![]).unwrap().give_back,
                None
            );
        }
        let outcome = m.post(9, 3, KEY, 20).unwrap();
        assert_eq!(outcome.give_back, Some((5, 2)));
        assert_eq!(outcome.completed.unwrap().id, 9);
    }

    #[test]
    fn same_key_matches_in_posting_order() {
        let mut m = Matching::default();
        m.post(1, 3, KEY, 4).unwrap();
        m.post(2, 3, KEY, 4).unwrap();
        assert_eq!(
            m.slice(0, 3, &slice(4, 4, true), vec![])
                .unwrap()
                .completed
                .unwrap()
                .id,
            1
        );
        assert_eq!(
            m.slice(0, 3, &slice(4, 4, true), vec![])
                .unwrap()
                .completed
                .unwrap()
                .id,
            2
        );
    }

    #[test]
    fn wrong_length_is_an_error() {
        let mut m = Matching::default();
        m.post(1, 3, KEY, 5).unwrap();
        let error = m.slice(0, 3, &slice(4, 4, true), vec![]).unwrap_err();
        assert_eq!(
            error,
            LengthMismatch {
                peer: 3,
                sent: 4,
                posted: 5,
                tag: 7
            }
        );
    }
}
