//! One queue pair's send queue: never more outstanding than it is deep, a completion asked for every
//! so often, and what each outstanding request was for.

use std::collections::VecDeque;

use super::provider::{Payload, Provider, ProviderError, QueuePair, Request, Span, Verb};

/// Longest inline payload that can be asked for, bytes.
pub const LONGEST_INLINE: usize = 512;
/// Set in the ids of receives, so that those of requests are told from them even when they fail.
pub const RECEIVE: u64 = 1 << 63;

/// What a request was for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// A small message.
    Small {
        /// Index of its flow's counters.
        flow: usize,
        /// Its payload bytes.
        bytes: u64,
        /// The piece of staging memory that it lies in.
        staged: Option<u32>,
    },
    /// A piece of a large message, or a part of one.
    Piece {
        /// Number of the message.
        message: u64,
        /// Bytes of the part.
        bytes: u32,
        /// Slot of the peer that it goes to.
        slot: u32,
    },
    /// Fetching what the peer offers.
    Read {
        /// Slot that it lands in.
        slot: u32,
        /// Bytes.
        bytes: u32,
    },
    /// Credit, grants, announcements: nobody waits for their completion.
    Control,
}

/// Bytes of a request that waits to be posted.
#[derive(Debug, Clone, Copy)]
#[expect(
    clippy::large_enum_variant,
    reason = "small messages are the hot path: no allocation for each"
)]
pub enum Source {
    /// In registered memory.
    Span(Span),
    /// So many of these.
    Inline(usize, [u8; LONGEST_INLINE]),
}

impl Source {
    /// Bytes to be copied when posted: these one after another, together at most [`LONGEST_INLINE`].
    pub fn inline(parts: &[&[u8]]) -> Self {
        let mut bytes = [0; LONGEST_INLINE];
        let mut at = 0;
        for part in parts {
            bytes[at..at + part.len()].copy_from_slice(part);
            at += part.len();
        }
        Source::Inline(at, bytes)
    }

    fn payload(&self) -> Payload<'_> {
        match self {
            Source::Span(span) => Payload::Span(*span),
            Source::Inline(length, bytes) => Payload::Inline(&bytes[..*length]),
        }
    }
}

/// A request that waits to be posted.
#[derive(Debug, Clone, Copy)]
pub struct Work {
    /// What to do.
    pub verb: Verb,
    /// With which bytes.
    pub source: Source,
    /// A completion is wanted soon.
    pub signalled: bool,
    /// What for.
    pub purpose: Purpose,
}

/// The send queue of one queue pair.
#[derive(Debug)]
pub struct Queue {
    /// The provider's number for the queue pair.
    pub pair: QueuePair,
    /// The peer's number for its end, as `rdma resource` and captures show it.
    pub remote_number: u32,
    depth: usize,
    signal_every: u32,
    post_list: usize,
    posted: u64,
    unsignalled: u32,
    /// What the requests not known to be complete are for; the last is number `posted - 1`.
    outstanding: VecDeque<Purpose>,
    backlog: VecDeque<Work>,
}

impl Queue {
    /// An empty send queue of `depth` requests on `pair`; of every `signal_every` one is signalled, and
    /// at most `post_list` are posted in one call.
    pub fn new(pair: QueuePair, depth: u32, signal_every: u32, post_list: u32) -> Self {
        Self {
            pair,
            remote_number: 0,
            depth: depth as usize,
            signal_every,
            post_list: post_list.max(1) as usize,
            posted: 0,
            unsignalled: 0,
            outstanding: VecDeque::with_capacity(depth as usize),
            backlog: VecDeque::new(),
        }
    }

    /// Queues a request; [`flush`](Self::flush) posts it.
    pub fn push(&mut self, work: Work) {
        self.backlog.push_back(work);
    }

    /// Posts what there is room for.
    pub fn flush(&mut self, provider: &mut dyn Provider) -> Result<(), ProviderError> {
        while !self.backlog.is_empty() && self.outstanding.len() < self.depth {
            let room = (self.depth - self.outstanding.len()).min(self.post_list);
            let count = self.backlog.len().min(room);
            let first = self.posted;
            for work in self.backlog.range_mut(..count) {
                self.unsignalled += 1;
                let full = self.outstanding.len() + 1 == self.depth;
                work.signalled |= full || self.unsignalled >= self.signal_every;
                if work.signalled {
                    self.unsignalled = 0;
                }
                self.outstanding.push_back(work.purpose);
            }
            self.posted += count as u64;
            match count {
                // One request needs no list.
                1 => provider.post(self.pair, &[request(&self.backlog[0], first)])?,
                _ => provider.post(self.pair, &list(self.backlog.range(..count), first))?,
            }
            self.backlog.drain(..count);
        }
        Ok(())
    }

    /// The request of this id is complete, and all before it: hands over what they were for.
    pub fn completed(&mut self, id: u64, mut each: impl FnMut(Purpose)) {
        let before = self.posted - self.outstanding.len() as u64;
        for _ in before..=id.min(self.posted.saturating_sub(1)) {
            if let Some(purpose) = self.outstanding.pop_front() {
                each(purpose);
            }
        }
    }

    /// What the outstanding request of this id is for.
    pub fn purpose(&self, id: u64) -> Option<Purpose> {
        let before = self.posted - self.outstanding.len() as u64;
        self.outstanding.get(id.checked_sub(before)? as usize).copied()
    }
}

fn request(work: &Work, id: u64) -> Request<'_> {
    Request {
        id,
        verb: work.verb,
        payload: work.source.payload(),
        signalled: work.signalled,
        solicited: false,
    }
}

/// Requests with their ids, counted from `first`.
fn list<'a>(backlog: impl Iterator<Item = &'a Work>, first: u64) -> Vec<Request<'a>> {
    backlog.zip(first..).map(|(work, id)| request(work, id)).collect()
}
