//! Messages with both of their ends: what sender and receiver saw brought together, and back from
//! `messages.csv`. Ends match as transports match them: by communicator and tag, in order.

use std::collections::{BTreeMap, VecDeque};
use std::path::Path;

use super::run::Run;
use super::{csv, reader, tables};
use crate::event::{MessageSeen, RankMessages};
use crate::network::message::Rank;

/// A message. Times are real nanoseconds since the common start of all ranks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// The operation's place in the plan.
    pub op: usize,
    /// Measured iteration, from 0.
    pub iteration: u32,
    /// Who sent it.
    pub sender: Rank,
    /// Who received it.
    pub receiver: Rank,
    /// The connection of the pair that it took.
    pub channel: u32,
    /// Its communicator.
    pub communicator: u32,
    /// Its tag.
    pub tag: u64,
    /// Payload bytes.
    pub bytes: u64,
    /// What the sender saw; `None`: not recorded.
    pub send: Option<End>,
    /// What the receiver saw; `None`: not recorded.
    pub receive: Option<End>,
}

/// One end of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct End {
    /// When it was posted.
    pub posted_ns: u64,
    /// When it was done; `None`: not within the operation.
    pub done_ns: Option<u64>,
}

impl Message {
    /// Its first known time.
    pub fn begins(&self) -> u64 {
        let ends = [self.send, self.receive];
        ends.iter().flatten().map(|end| end.posted_ns).min().unwrap_or(0)
    }
}

/// Messages of an operation by `(iteration, begin)`, from what each rank saw.
pub fn joined(op: usize, ranks: &[RankMessages]) -> Vec<Message> {
    let mut messages: Vec<Message> = Vec::new();
    let mut sent: BTreeMap<_, VecDeque<usize>> = BTreeMap::new();
    for (rank, seen) in each_seen(ranks, true) {
        let message = one_end(op, rank, seen);
        sent.entry(key(&message)).or_default().push_back(messages.len());
        messages.push(message);
    }
    for (rank, seen) in each_seen(ranks, false) {
        let message = one_end(op, rank, seen);
        let known = sent.get_mut(&key(&message)).and_then(VecDeque::pop_front);
        match known {
            Some(place) => messages[place].receive = message.receive,
            None => messages.push(message),
        }
    }
    messages.sort_by_key(|message| (message.iteration, message.begins()));
    messages
}

/// Sends or receives of each rank in the order in which they were posted.
fn each_seen(ranks: &[RankMessages], sent: bool) -> impl Iterator<Item = (Rank, &MessageSeen)> {
    (0..).zip(ranks).flat_map(move |(rank, messages)| {
        let mut seen: Vec<&MessageSeen> = messages.seen.iter().filter(|seen| seen.sent == sent).collect();
        seen.sort_by_key(|seen| seen.posted_ns);
        seen.into_iter().map(move |seen| (rank, seen))
    })
}

fn key(message: &Message) -> (u32, Rank, Rank, u32, u64) {
    let Message {
        iteration,
        sender,
        receiver,
        communicator,
        tag,
        ..
    } = *message;
    (iteration, sender, receiver, communicator, tag)
}

fn one_end(op: usize, rank: Rank, seen: &MessageSeen) -> Message {
    let end = Some(End {
        posted_ns: seen.posted_ns,
        done_ns: seen.done_ns,
    });
    let (sender, receiver) = if seen.sent {
        (rank, seen.peer)
    } else {
        (seen.peer, rank)
    };
    Message {
        op,
        iteration: seen.iteration,
        sender,
        receiver,
        channel: seen.channel,
        communicator: seen.communicator,
        tag: seen.tag,
        bytes: seen.bytes,
        send: end.filter(|_| seen.sent),
        receive: end.filter(|_| !seen.sent),
    }
}

/// Shows every message that a run has kept, in the order of the file; what cannot be read is left out and told in `found`.
pub fn each(folder: &Path, run: &Run, found: &mut Vec<String>, mut show: impl FnMut(Message)) {
    let manifest = &run.manifest;
    if !manifest.files.iter().any(|file| file.name == "messages.csv") {
        return;
    }
    let Some(text) = reader::file(folder, "messages.csv", manifest, found) else {
        return;
    };
    let (mut header, mut wrong) = (None, 0);
    csv::each(&text, |record| match &header {
        None => header = Some(record.to_vec()),
        Some(header) => match tables::message(header, record) {
            Ok(message) if fits(&message, run) => show(message),
            _ => wrong += 1,
        },
    });
    if wrong > 0 {
        found.push(format!(
            "{wrong} lines of messages.csv are left out: not a message of the plan"
        ));
    }
}

fn fits(message: &Message, run: &Run) -> bool {
    let plan = &run.manifest.plan;
    let rank = |rank: Rank| (rank as usize) < plan.ranks.len();
    message.op < plan.ops.len() && rank(message.sender) && rank(message.receiver)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(sent: bool, peer: Rank, tag: u64, posted_ns: u64) -> MessageSeen {
        MessageSeen {
            iteration: 0,
            sent,
            peer,
            channel: 0,
            communicator: 0,
            tag,
            bytes: 8,
            posted_ns,
            done_ns: Some(posted_ns + 10),
        }
    }

    fn rank(seen: Vec<MessageSeen>) -> RankMessages {
        RankMessages { seen, left_out: 0 }
    }

    #[test]
    fn ends_of_equal_tags_match_in_order_and_lone_ends_stay() {
        let sender = rank(vec![
            seen(true, 1, 7, 200),
            seen(true, 1, 7, 100),
            seen(true, 1, 8, 300),
        ]);
        let receiver = rank(vec![
            seen(false, 0, 7, 150),
            seen(false, 0, 7, 50),
            seen(false, 0, 9, 5),
            seen(true, 0, 8, 60),
        ]);
        let messages = joined(3, &[sender, receiver]);
        let ends = |message: &Message| {
            let posted = |end: Option<End>| end.map(|end| end.posted_ns);
            (
                message.sender,
                message.tag,
                posted(message.send),
                posted(message.receive),
            )
        };
        let all: Vec<_> = messages.iter().map(ends).collect();
        assert_eq!(
            all,
            [
                (0, 9, None, Some(5)),
                (0, 7, Some(100), Some(50)),
                (1, 8, Some(60), None),
                (0, 7, Some(200), Some(150)),
                (0, 8, Some(300), None),
            ]
        );
    }
}
