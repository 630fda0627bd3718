//! What comes in from one peer: posted receives, small messages, and slots in which pieces of large
//! messages land once they were granted. Decides; does no I/O.

use std::collections::{BTreeMap, HashMap, VecDeque};

use crate::network::message::{LengthMismatch, MessageKey, Rank};

/// A receive that is complete.
#[derive(Debug, PartialEq, Eq)]
pub struct Received {
    /// The caller's number for it.
    pub id: u64,
    /// Real payload (empty when there is none).
    pub data: Vec<u8>,
}

/// A piece of a large message may come into a slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Granted {
    /// Which slot.
    pub slot: u32,
    /// Which message.
    pub key: MessageKey,
    /// Its whole length.
    pub message_bytes: u64,
    /// Where the piece begins in it.
    pub offset: u64,
    /// Length of the piece.
    pub bytes: u32,
}

/// Sizes of the receiving side.
#[derive(Debug, Clone, Copy)]
pub struct LandingOptions {
    /// The peer.
    pub peer: Rank,
    /// Ordinary slots.
    pub slots: u32,
    /// Bytes of a slot.
    pub slot_bytes: u32,
    /// Longest small message: those come without a grant.
    pub small: u64,
    /// Keep what comes in.
    pub real_payload: bool,
}

/// The peer wrote into a slot that it had no grant for, or more than was granted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum LandingError {
    /// Beyond its grant.
    #[error("{bytes} bytes came into slot {slot} where {left} were granted")]
    NotGranted {
        /// Which slot.
        slot: u32,
        /// Bytes that came.
        bytes: u32,
        /// Bytes that might have come.
        left: u32,
    },
}

/// Everything expected from one peer.
///
/// Receives are granted slots in the order in which they are posted, before anyone knows whether the
/// peer has posted the matching sends. If the peer finds all ordinary slots granted to messages that
/// it does not have yet, it announces those that it has; for these there is one slot in reserve, so
/// messages posted on both sides always go on, in whatever order the two sides posted theirs.
#[derive(Debug)]
pub struct Landing {
    options: LandingOptions,
    /// What lands in each slot; the last is the reserve.
    slots: Vec<Option<Filling>>,
    free: VecDeque<u32>,
    /// Receives of small messages that have not come.
    small: HashMap<MessageKey, VecDeque<(u64, u64)>>,
    /// Small messages that nobody has asked for yet.
    unexpected: HashMap<MessageKey, VecDeque<(u64, Vec<u8>)>>,
    /// Receives of large messages by number.
    large: BTreeMap<u64, Large>,
    next: u64,
    /// Large receives not wholly granted, in order; first those that the peer has announced.
    announced: VecDeque<u64>,
    speculative: VecDeque<u64>,
    /// Announcements that came before the receive was posted.
    early: HashMap<MessageKey, u64>,
}

#[derive(Debug)]
struct Large {
    id: u64,
    key: MessageKey,
    bytes: u64,
    granted: u64,
    arrived: u64,
    data: Vec<u8>,
}

#[derive(Debug)]
struct Filling {
    receive: u64,
    offset: u64,
    bytes: u32,
    left: u32,
}

impl Landing {
    /// Nothing expected yet, all slots free.
    pub fn new(options: LandingOptions) -> Self {
        Self {
            slots: (0..=options.slots).map(|_| None).collect(),
            free: (0..options.slots).collect(),
            options,
            small: HashMap::new(),
            unexpected: HashMap::new(),
            large: BTreeMap::new(),
            next: 0,
            announced: VecDeque::new(),
            speculative: VecDeque::new(),
            early: HashMap::new(),
        }
    }

    /// Pieces are no longer than `bytes`, which the peer can send from. Before anything is granted.
    pub fn shrink(&mut self, bytes: u32) {
        self.options.slot_bytes = self.options.slot_bytes.min(bytes);
    }

    /// A receive was posted; complete at once if its message is here.
    pub fn post(&mut self, id: u64, key: MessageKey, bytes: u64) -> Result<Option<Received>, LengthMismatch> {
        if bytes > self.options.small {
            self.post_large(id, key, bytes)?;
            return Ok(None);
        }
        let Some((sent, data)) = take_first(&mut self.unexpected, key) else {
            self.small.entry(key).or_default().push_back((id, bytes));
            return Ok(None);
        };
        self.check(key, sent, bytes)?;
        Ok(Some(Received { id, data }))
    }

    fn post_large(&mut self, id: u64, key: MessageKey, bytes: u64) -> Result<(), LengthMismatch> {
        let data = if self.options.real_payload {
            vec![0; bytes as usize]
        } else {
            Vec::new()
        };
        let number = self.next;
        self.next += 1;
        match self.early.remove(&key) {
            Some(sent) => {
                self.check(key, sent, bytes)?;
                self.announced.push_back(number);
            }
            None => self.speculative.push_back(number),
        }
        let (granted, arrived) = (0, 0);
        self.large.insert(
            number,
            Large {
                id,
                key,
                bytes,
                granted,
                arrived,
                data,
            },
        );
        Ok(())
    }

    /// A small message came in.
    pub fn small(
        &mut self,
        key: MessageKey,
        bytes: u64,
        data: Vec<u8>,
    ) -> Result<Option<Received>, LengthMismatch> {
        let Some((id, posted)) = take_first(&mut self.small, key) else {
            self.unexpected.entry(key).or_default().push_back((bytes, data));
            return Ok(None);
        };
        self.check(key, bytes, posted)?;
        Ok(Some(Received { id, data }))
    }

    /// The peer has a large message and no grant for it.
    pub fn announce(&mut self, key: MessageKey, bytes: u64) -> Result<(), LengthMismatch> {
        let mut posted = self.large.iter().filter(|(_, large)| large.key == key).peekable();
        if posted.peek().is_none() {
            self.early.insert(key, bytes);
            return Ok(());
        }
        for (number, large) in posted {
            self.check(key, bytes, large.bytes)?;
            if let Some(at) = self.speculative.iter().position(|n| n == number) {
                self.speculative.remove(at);
                self.announced.push_back(*number);
            }
        }
        Ok(())
    }

    /// The next piece to be granted, if there are a receive and a slot for it.
    pub fn grant(&mut self) -> Option<Granted> {
        let urgent = self.announced.front().copied();
        let number = urgent.or_else(|| self.speculative.front().copied())?;
        let slot = match self.free.pop_front() {
            Some(slot) => slot,
            None if urgent.is_some() && self.slots[self.options.slots as usize].is_none() => {
                self.options.slots
            }
            None => return None,
        };
        let large = self.large.get_mut(&number)?;
        let offset = large.granted;
        let bytes = (large.bytes - offset).min(u64::from(self.options.slot_bytes)) as u32;
        large.granted += u64::from(bytes);
        let (key, message_bytes) = (large.key, large.bytes);
        if large.granted == large.bytes {
            let queue = if urgent.is_some() {
                &mut self.announced
            } else {
                &mut self.speculative
            };
            queue.pop_front();
        }
        self.slots[slot as usize] = Some(Filling {
            receive: number,
            offset,
            bytes,
            left: bytes,
        });
        Some(Granted {
            slot,
            key,
            message_bytes,
            offset,
            bytes,
        })
    }

    /// Bytes of a slot came in. Once it is full, `copy` fills the given part of the message from it
    /// (real payload only) and the slot is free again.
    pub fn arrived(
        &mut self,
        slot: u32,
        bytes: u32,
        copy: impl FnOnce(&mut [u8]),
    ) -> Result<Option<Received>, LandingError> {
        let left = self.left(slot);
        let entry = self.slots.get_mut(slot as usize);
        let Some((entry, filling)) = entry.and_then(|e| e.take().map(|f| (e, f))) else {
            return Err(LandingError::NotGranted { slot, bytes, left });
        };
        if bytes > left {
            return Err(LandingError::NotGranted { slot, bytes, left });
        }
        if bytes < left {
            let left = left - bytes;
            *entry = Some(Filling { left, ..filling });
            return Ok(None);
        }
        if slot < self.options.slots {
            self.free.push_back(slot);
        }
        Ok(self.piece_done(&filling, copy))
    }

    /// What is granted of a slot and has not come yet: offset in the message, and bytes.
    pub fn left(&self, slot: u32) -> u32 {
        let filling = self.slots.get(slot as usize).and_then(Option::as_ref);
        filling.map_or(0, |filling| filling.left)
    }

    fn piece_done(&mut self, filling: &Filling, copy: impl FnOnce(&mut [u8])) -> Option<Received> {
        let large = self.large.get_mut(&filling.receive)?;
        if self.options.real_payload {
            let start = filling.offset as usize;
            copy(&mut large.data[start..start + filling.bytes as usize]);
        }
        large.arrived += u64::from(filling.bytes);
        if large.arrived < large.bytes {
            return None;
        }
        let Large { id, data, .. } = self.large.remove(&filling.receive)?;
        Some(Received { id, data })
    }

    fn check(&self, key: MessageKey, sent: u64, posted: u64) -> Result<(), LengthMismatch> {
        if sent == posted {
            return Ok(());
        }
        Err(LengthMismatch {
            peer: self.options.peer,
            sent,
            posted,
            tag: key.tag,
        })
    }
}

/// Takes the oldest of a key, and the key with the last.
pub fn take_first<T>(queues: &mut HashMap<MessageKey, VecDeque<T>>, key: MessageKey) -> Option<T> {
    let queue = queues.get_mut(&key)?;
    let first = queue.pop_front();
    if queue.is_empty() {
        queues.remove(&key);
    }
    first
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(tag: u64) -> MessageKey {
        MessageKey { communicator: 1, tag }
    }

    fn landing(slots: u32) -> Landing {
        Landing::new(LandingOptions {
            peer: 3,
            slots,
            slot_bytes: 100,
            small: 10,
            real_payload: false,
        })
    }

    #[test]
    fn small_messages_match_in_order_whichever_side_is_first() {
        let mut l = landing(2);
        assert_eq!(l.post(1, key(7), 4).unwrap(), None);
        assert_eq!(l.small(key(7), 4, vec![]).unwrap().unwrap().id, 1);
        assert_eq!(l.small(key(7), 5, vec![1]).unwrap(), None);
        let done = l.post(2, key(7), 5).unwrap().unwrap();
        assert_eq!((done.id, done.data), (2, vec![1]));
        assert!(l.small.is_empty() && l.unexpected.is_empty());
    }

    #[test]
    fn a_large_message_is_granted_in_pieces_as_slots_become_free() {
        let mut l = landing(2);
        l.post(1, key(7), 250).unwrap();
        let granted: Vec<_> = std::iter::from_fn(|| l.grant())
            .map(|g| (g.slot, g.offset, g.bytes))
            .collect();
        assert_eq!(granted, [(0, 0, 100), (1, 100, 100)]);
        assert_eq!(l.arrived(1, 100, |_| {}).unwrap(), None);
        let last = l.grant().unwrap();
        assert_eq!((last.slot, last.offset, last.bytes), (1, 200, 50));
        assert_eq!(l.arrived(1, 50, |_| {}).unwrap(), None);
        assert_eq!(l.arrived(0, 60, |_| {}).unwrap(), None);
        assert_eq!(l.arrived(0, 40, |_| {}).unwrap().unwrap().id, 1);
    }

    #[test]
    fn more_than_was_granted_is_an_error() {
        let mut l = landing(2);
        l.post(1, key(7), 50).unwrap();
        l.grant().unwrap();
        assert!(l.arrived(0, 51, |_| {}).is_err());
        assert!(l.arrived(1, 1, |_| {}).is_err());
        assert!(l.arrived(99, 1, |_| {}).is_err());
    }

    #[test]
    fn what_is_announced_goes_on_although_all_slots_are_granted_to_others() {
        let mut l = landing(1);
        l.post(1, key(7), 100).unwrap();
        l.post(2, key(8), 150).unwrap();
        assert_eq!(l.grant().unwrap().key, key(7));
        assert_eq!(l.grant(), None);
        l.announce(key(8), 150).unwrap();
        let first = l.grant().unwrap();
        assert_eq!((first.slot, first.key), (1, key(8)));
        assert_eq!(l.grant(), None);
        assert_eq!(l.arrived(1, 100, |_| {}).unwrap(), None);
        let second = l.grant().unwrap();
        assert_eq!((second.slot, second.offset, second.bytes), (1, 100, 50));
        assert_eq!(l.arrived(1, 50, |_| {}).unwrap().unwrap().id, 2);
    }

    #[test]
    fn an_announcement_may_come_before_the_receive_is_posted() {
        let mut l = landing(1);
        l.post(1, key(7), 100).unwrap();
        l.grant().unwrap();
        l.announce(key(9), 20).unwrap();
        l.post(2, key(9), 20).unwrap();
        assert_eq!(l.grant().unwrap().key, key(9));
    }

    #[test]
    fn lengths_that_differ_are_an_error() {
        let mut l = landing(1);
        l.post(1, key(7), 5).unwrap();
        let error = l.small(key(7), 4, vec![]).unwrap_err();
        let expected = LengthMismatch {
            peer: 3,
            sent: 4,
            posted: 5,
            tag: 7,
        };
        assert_eq!(error, expected);
        l.post(2, key(8), 100).unwrap();
        assert!(l.announce(key(8), 99).is_err());
    }

    #[test]
    fn real_payload_is_put_together_in_whatever_order_it_comes() {
        let mut l = landing(2);
        l.options.real_payload = true;
        l.post(1, key(7), 150).unwrap();
        while l.grant().is_some() {}
        assert_eq!(l.arrived(1, 50, |part| part.fill(2)).unwrap(), None);
        let data = l.arrived(0, 100, |part| part.fill(1)).unwrap().unwrap().data;
        assert_eq!((data[0], data[99], data[100], data[149]), (1, 1, 2, 2));
    }
}
