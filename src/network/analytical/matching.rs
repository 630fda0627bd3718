//! Messages under way and which receive belongs to which send: the k-th receive of a key is the k-th
//! send of that key, whichever is posted first. Sizes are part of the key, as in ASTRA-sim.

use crate::network::message::{MessageKey, Rank};

/// A message's place in [`Messages`].
pub type MessageIndex = u32;

/// Nothing.
const NONE: u32 = u32::MAX;

/// What a send and a receive must agree on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Key {
    /// The sender.
    pub source: Rank,
    /// The receiver.
    pub destination: Rank,
    /// Communicator and tag.
    pub key: MessageKey,
    /// Payload length.
    pub bytes: u64,
}

/// How far a message is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Expected, not sent.
    Expected,
    /// Sent, not expected.
    Sent,
    /// Arrived, not expected.
    Arrived,
    /// Sent and expected.
    Both,
}

/// A message that is sent, expected or both.
#[derive(Debug, Clone, Copy)]
pub struct Message {
    /// What its sides agree on.
    pub key: Key,
    /// The sender's number for it.
    pub send: u64,
    /// The receiver's number for it.
    pub receive: u64,
    /// Where it is on its way, in its fabric's terms.
    pub at: u32,
    /// The next message waiting for the same link.
    pub behind: u32,
    /// The next of the same key that lacks its other side, or the next free place.
    next: u32,
    state: State,
}

/// Messages of one key that lack their other side, all the same one, oldest first.
#[derive(Debug, Clone, Copy)]
struct Entry {
    hash: u32,
    head: u32,
    tail: u32,
}

const VACANT: Entry = Entry {
    hash: 0,
    head: NONE,
    tail: NONE,
};

/// What posting a receive finds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expectation {
    /// It will come.
    Pending,
    /// It has come.
    Met,
}

/// What is to be told of a message that has arrived.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Arrived {
    /// The sender.
    pub source: Rank,
    /// The receiver.
    pub destination: Rank,
    /// The sender's number for it.
    pub send: u64,
    /// The receiver's number for it, if it is expected.
    pub receive: u64,
    /// Whether it is.
    pub expected: bool,
}

/// All messages that are sent, expected or both.
#[derive(Debug)]
pub struct Messages {
    messages: Vec<Message>,
    free: u32,
    /// Open addressing, linear probing, at most half full.
    table: Vec<Entry>,
    entries: usize,
}

impl Default for Messages {
    fn default() -> Self {
        Messages {
            messages: Vec::new(),
            free: NONE,
            table: vec![VACANT; 64],
            entries: 0,
        }
    }
}

impl Messages {
    /// Posts a send; gives the message.
    pub fn send(&mut self, key: Key, token: u64) -> MessageIndex {
        let (slot, hash) = self.find(&key);
        let head = self.table[slot].head;
        if head != NONE && self.messages[head as usize].state == State::Expected {
            self.unlink(slot);
            let message = &mut self.messages[head as usize];
            message.send = token;
            message.state = State::Both;
            return head;
        }
        let index = self.insert(key, token, State::Sent);
        self.link(slot, hash, index);
        index
    }

    /// Posts a receive.
    pub fn receive(&mut self, key: Key, token: u64) -> Expectation {
        let (slot, hash) = self.find(&key);
        let head = self.table[slot].head;
        if head == NONE || self.messages[head as usize].state == State::Expected {
            let index = self.insert(key, token, State::Expected);
            self.link(slot, hash, index);
            return Expectation::Pending;
        }
        self.unlink(slot);
        let message = &mut self.messages[head as usize];
        if message.state == State::Arrived {
            self.remove(head);
            return Expectation::Met;
        }
        message.receive = token;
        message.state = State::Both;
        Expectation::Pending
    }

    /// A message has reached its destination; if it was expected, it is gone.
    #[inline]
    pub fn arrive(&mut self, index: MessageIndex) -> Arrived {
        let message = &mut self.messages[index as usize];
        let expected = message.state == State::Both;
        let arrived = Arrived {
            source: message.key.source,
            destination: message.key.destination,
            send: message.send,
            receive: message.receive,
            expected,
        };
        message.state = State::Arrived;
        if expected {
            self.remove(index);
        }
        arrived
    }

    /// A message.
    pub fn get(&self, index: MessageIndex) -> &Message {
        &self.messages[index as usize]
    }

    /// A message, to be moved on.
    pub fn get_mut(&mut self, index: MessageIndex) -> &mut Message {
        &mut self.messages[index as usize]
    }

    /// Receives without a send: who waits for whom for ever.
    pub fn unmatched(&self) -> (Vec<Message>, Vec<Message>) {
        let (mut expected, mut sent) = (Vec::new(), Vec::new());
        for entry in &self.table {
            let mut index = entry.head;
            while index != NONE {
                let message = self.messages[index as usize];
                match message.state {
                    State::Expected => expected.push(message),
                    _ => sent.push(message),
                }
                index = message.next;
            }
        }
        let order = |m: &Message| (m.key.destination, m.receive, m.key.source, m.send);
        expected.sort_unstable_by_key(order);
        sent.sort_unstable_by_key(order);
        (expected, sent)
    }

    fn insert(&mut self, key: Key, token: u64, state: State) -> MessageIndex {
        let message = Message {
            key,
            send: token,
            receive: token,
            at: key.source,
            behind: NONE,
            next: NONE,
            state,
        };
        if self.free == NONE {
            self.messages.push(message);
            return (self.messages.len() - 1) as u32;
        }
        let index = self.free;
        self.free = self.messages[index as usize].next;
        self.messages[index as usize] = message;
        index
    }

    fn remove(&mut self, index: MessageIndex) {
        self.messages[index as usize].next = self.free;
        self.free = index;
    }

    /// The key's place in the table, or the vacant one where it belongs.
    fn find(&self, key: &Key) -> (usize, u32) {
        let hash = hash(key);
        let mask = self.table.len() - 1;
        let mut slot = hash as usize & mask;
        loop {
            let entry = self.table[slot];
            if entry.head == NONE || entry.hash == hash && self.messages[entry.head as usize].key == *key {
                return (slot, hash);
            }
            slot = (slot + 1) & mask;
        }
    }

    /// Adds a message that lacks its other side to those of its key.
    fn link(&mut self, slot: usize, hash: u32, index: MessageIndex) {
        let entry = &mut self.table[slot];
        if entry.head != NONE {
            self.messages[entry.tail as usize].next = index;
            entry.tail = index;
            return;
        }
        *entry = Entry {
            hash,
            head: index,
            tail: index,
        };
        self.entries += 1;
        if 2 * self.entries > self.table.len() {
            self.grow();
        }
    }

    /// Takes the oldest message of a key away.
    fn unlink(&mut self, slot: usize) {
        let entry = &mut self.table[slot];
        let next = self.messages[entry.head as usize].next;
        entry.head = next;
        if next == NONE {
            self.vacate(slot);
        }
    }

    /// Empties a slot; moves up those behind it that would not be found any more.
    fn vacate(&mut self, mut hole: usize) {
        let mask = self.table.len() - 1;
        self.entries -= 1;
        let mut slot = hole;
        loop {
            slot = (slot + 1) & mask;
            let entry = self.table[slot];
            if entry.head == NONE {
                break;
            }
            let home = entry.hash as usize & mask;
            if (slot.wrapping_sub(home) & mask) >= (slot.wrapping_sub(hole) & mask) {
                self.table[hole] = entry;
                hole = slot;
            }
        }
        self.table[hole] = VACANT;
    }

    fn grow(&mut self) {
        let double = vec![VACANT; 2 * self.table.len()];
        let mask = double.len() - 1;
        for entry in std::mem::replace(&mut self.table, double) {
            if entry.head != NONE {
                let mut slot = entry.hash as usize & mask;
                while self.table[slot].head != NONE {
                    slot = (slot + 1) & mask;
                }
                self.table[slot] = entry;
            }
        }
    }
}

/// Mixes a key; multiplicative, by odd constants of high entropy.
fn hash(key: &Key) -> u32 {
    let ranks = u64::from(key.source) << 32 | u64::from(key.destination);
    let tag = key.key.tag ^ u64::from(key.key.communicator) << 32;
    let mixed = (ranks.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ key.bytes)
        .rotate_left(29)
        .wrapping_mul(0xD6E8_FEB8_6659_FD93)
        ^ tag;
    (mixed.wrapping_mul(0xC2B2_AE3D_27D4_EB4F) >> 32) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(source: Rank, tag: u64, bytes: u64) -> Key {
        let key = MessageKey { communicator: 0, tag };
        Key {
            source,
            destination: 0,
            key,
            bytes,
        }
    }

    #[test]
    fn sides_meet_in_order_whichever_comes_first() {
        let mut messages = Messages::default();
        let first = messages.send(key(1, 7, 8), 10);
        let second = messages.send(key(1, 7, 8), 11);
        assert_eq!(messages.receive(key(1, 7, 8), 20), Expectation::Pending);
        let first = messages.arrive(first);
        assert_eq!((first.expected, first.send, first.receive), (true, 10, 20));
        assert!(!messages.arrive(second).expected, "nobody expects the second yet");
        assert_eq!(messages.receive(key(1, 7, 8), 21), Expectation::Met);
        assert_eq!(messages.receive(key(1, 7, 8), 22), Expectation::Pending);
        let third = messages.send(key(1, 7, 8), 12);
        assert_eq!(messages.arrive(third).receive, 22);
        assert!(messages.unmatched().0.is_empty());
    }

    #[test]
    fn another_size_is_another_message() {
        let mut messages = Messages::default();
        messages.send(key(1, 7, 8), 10);
        assert_eq!(messages.receive(key(1, 7, 9), 20), Expectation::Pending);
        let (expected, sent) = messages.unmatched();
        assert_eq!((expected.len(), sent.len()), (1, 1));
        assert_eq!((expected[0].receive, sent[0].send), (20, 10));
    }

    #[test]
    fn many_keys_stay_apart_while_the_table_grows_and_shrinks() {
        let mut messages = Messages::default();
        for round in 0..3u64 {
            for tag in 0..1000 {
                messages.receive(key((tag % 7) as Rank, tag, 8), 1000 * round + tag);
            }
            for tag in (0..1000).rev() {
                let index = messages.send(key((tag % 7) as Rank, tag, 8), tag);
                let arrived = messages.arrive(index);
                assert!(arrived.expected);
                assert_eq!(arrived.receive, 1000 * round + tag);
            }
        }
        assert_eq!(messages.entries, 0);
        assert_eq!(messages.messages.len(), 1000, "places are used again");
    }
}
