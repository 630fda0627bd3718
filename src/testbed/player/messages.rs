//! When a rank's messages were posted and done: those of a row's first measured iterations, and so many at
//! most. While nothing is kept a message costs a look at a flag.

use std::collections::BTreeMap;

use crate::event::{MessageSeen, RankMessages};
use crate::scenario::plan::TransportKind;
use crate::system::action::{MessageId, Transfer, UNTRACKED};
use crate::testbed::clock::monotonic_ns;
use crate::testbed::control::{Assignment, MessageLimits};

/// Messages of a row.
#[derive(Debug)]
pub struct Messages {
    limits: MessageLimits,
    /// Connections of a pair.
    channels: u32,
    origin_ns: u64,
    /// The iteration whose messages are kept now.
    iteration: Option<u32>,
    /// Messages of the row that were kept.
    kept: u32,
    open: BTreeMap<MessageId, MessageSeen>,
    ended: RankMessages,
}

impl Messages {
    /// Within the limits of an assignment.
    pub fn new(assignment: &Assignment) -> Self {
        let channels = match assignment.transport {
            TransportKind::Tcp => assignment.tcp.channels,
            TransportKind::Rdma | TransportKind::RoceUser => assignment.rdma.channels,
        };
        Messages {
            limits: assignment.messages,
            channels: channels.max(1),
            origin_ns: assignment.origin_ns,
            iteration: None,
            kept: 0,
            open: BTreeMap::new(),
            ended: RankMessages::default(),
        }
    }

    /// An iteration begins; `measured`: its number among those that are measured.
    pub fn begin(&mut self, measured: Option<u32>) {
        self.iteration = measured.filter(|iteration| *iteration < self.limits.iterations);
    }

    /// A send or a receive is about to be posted.
    #[inline]
    pub fn posted(&mut self, transfer: &Transfer, sent: bool) {
        if let Some(iteration) = self.iteration {
            self.keep(iteration, transfer, sent);
        }
    }

    /// What was posted is done.
    #[inline]
    pub fn done(&mut self, message: MessageId, now: u64) {
        if !self.open.is_empty()
            && let Some(mut seen) = self.open.remove(&message)
        {
            seen.done_ns = Some(now.saturating_sub(self.origin_ns));
            self.ended.seen.push(seen);
        }
    }

    /// Messages of which no end was heard yet.
    pub fn open(&self) -> Vec<MessageSeen> {
        self.open.values().cloned().collect()
    }

    /// The row is over; messages of which no end was heard have none.
    pub fn end_row(&mut self) {
        self.iteration = None;
        self.kept = 0;
        let open = std::mem::take(&mut self.open);
        self.ended.seen.extend(open.into_values());
    }

    /// Messages that have come to an end since the last time, if any.
    pub fn take(&mut self) -> Option<RankMessages> {
        let none = self.ended.seen.is_empty() && self.ended.left_out == 0;
        (!none).then(|| std::mem::take(&mut self.ended))
    }

    fn keep(&mut self, iteration: u32, transfer: &Transfer, sent: bool) {
        if self.kept >= self.limits.most {
            self.ended.left_out += 1;
            return;
        }
        self.kept += 1;
        let seen = MessageSeen {
            iteration,
            sent,
            peer: transfer.peer,
            channel: transfer.channel % self.channels,
            communicator: transfer.key.communicator,
            tag: transfer.key.tag,
            bytes: transfer.bytes,
            posted_ns: monotonic_ns().saturating_sub(self.origin_ns),
            done_ns: None,
        };
        match transfer.message {
            // Its end is told to nobody.
            UNTRACKED => self.ended.seen.push(seen),
            message => drop(self.open.insert(message, seen)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::message::MessageKey;
    use crate::system::collective::Region;

    fn messages(iterations: u32, most: u32) -> Messages {
        Messages {
            limits: MessageLimits { iterations, most },
            channels: 2,
            origin_ns: 0,
            iteration: None,
            kept: 0,
            open: BTreeMap::new(),
            ended: RankMessages::default(),
        }
    }

    fn transfer(message: MessageId) -> Transfer {
        Transfer {
            message,
            peer: 1,
            key: MessageKey {
                communicator: 0,
                tag: message,
            },
            channel: 3,
            bytes: 8,
            node: 0,
            region: Region::default(),
        }
    }

    #[test]
    fn only_the_first_measured_iterations_are_kept_and_what_has_no_room_is_counted() {
        let mut messages = messages(1, 2);
        for (measured, first) in [(None, 0), (Some(0), 10), (Some(1), 20)] {
            messages.begin(measured);
            for id in first..first + 3 {
                messages.posted(&transfer(id), true);
                messages.done(id, u64::MAX);
            }
        }
        messages.end_row();
        let kept = messages.take().unwrap();
        let tags: Vec<u64> = kept.seen.iter().map(|seen| seen.tag).collect();
        assert_eq!((tags, kept.left_out), (vec![10, 11], 1));
        assert!(
            kept.seen
                .iter()
                .all(|seen| seen.channel == 1 && seen.done_ns == Some(u64::MAX))
        );
        assert!(messages.take().is_none());
        messages.begin(Some(0));
        messages.posted(&transfer(30), false);
        messages.end_row();
        assert_eq!(
            messages.take().unwrap().seen[0].done_ns,
            None,
            "the next row has room again"
        );
    }
}
