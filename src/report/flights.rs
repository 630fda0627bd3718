//! Messages on a timeline: for each rank and channel a track of sends and one of receives (more where messages overlap),
//! an arrow from each send to its receive, and how many bytes of a rank are under way.

use std::collections::BTreeMap;

use super::perfetto::{Argument, Slice, Trace, Track};
use crate::network::message::Rank;
use crate::results::Run;
use crate::results::messages::{End, Message};
use crate::scenario::units::Bytes;

/// Tracks of a rank before those of its channels: its iterations.
const OTHER_TRACKS: u32 = 1;

/// Messages to be shown.
#[derive(Debug)]
pub struct Flights<'a> {
    run: &'a Run,
    messages: Vec<Message>,
    /// Tracks by rank, channel and direction, each with the end of what is on it.
    rows: BTreeMap<(Rank, u32, bool), Vec<(u32, u64)>>,
    /// Tracks of each rank so far.
    tracks: BTreeMap<Rank, u32>,
    /// The next arrow's number.
    arrow: u64,
}

/// One end of a message, to be laid on a track.
#[derive(Debug, Clone, Copy)]
struct Side {
    message: usize,
    sent: bool,
    from: u64,
    to: u64,
}

impl<'a> Flights<'a> {
    /// Of the messages of a run; arrows are numbered from `arrow` on.
    pub fn of(messages: Vec<Message>, run: &'a Run, arrow: u64) -> Self {
        Flights {
            run,
            messages,
            rows: BTreeMap::new(),
            tracks: BTreeMap::new(),
            arrow,
        }
    }

    /// Shows all of them.
    pub fn show(mut self, trace: &mut Trace) {
        let messages = std::mem::take(&mut self.messages);
        let mut sides: Vec<Side> = messages.iter().enumerate().flat_map(sides).collect();
        sides.sort_by_key(|side| (side.from, side.message));
        let mut places = BTreeMap::new();
        for side in sides {
            let message = &messages[side.message];
            let track = self.track(trace, message, &side);
            self.slice(trace, track, message, &side);
            places.insert((side.message, side.sent), (track, side));
        }
        let arrived = messages
            .iter()
            .enumerate()
            .filter(|(_, message)| arrived(message));
        for (place, _) in arrived {
            if let (Some(&(from, send)), Some(&(to, receive))) =
                (places.get(&(place, true)), places.get(&(place, false)))
            {
                // Arrows begin and end within slices, the end of which is no longer within.
                trace.arrow_from(from, "message", self.arrow, send.from);
                trace.arrow_to(to, "message", self.arrow, receive.to - 1);
                self.arrow += 1;
            }
        }
        under_way(trace, &messages);
    }

    fn slice(&self, trace: &mut Trace, track: Track, message: &Message, side: &Side) {
        let size = Bytes(message.bytes);
        let name = match side.sent {
            true => format!("{size} to rank {}", message.receiver),
            false => format!("{size} from rank {}", message.sender),
        };
        let op = self.run.manifest.plan.ops.get(message.op).map(|op| op.label());
        let op = op.unwrap_or_default();
        let mut arguments = vec![
            ("operation", Argument::Text(&op)),
            ("iteration", Argument::Number(u64::from(message.iteration))),
            ("bytes", Argument::Number(message.bytes)),
            ("communicator", Argument::Number(u64::from(message.communicator))),
        ];
        let whole = message.send.zip(message.receive.and_then(|end| end.done_ns));
        if let Some(time) = whole.and_then(|(send, done)| done.checked_sub(send.posted_ns)) {
            arguments.push(("posted_to_received_ns", Argument::Number(time)));
        }
        trace.slice(
            track,
            &Slice {
                name: &name,
                category: if side.sent { "send" } else { "receive" },
                from: side.from,
                to: side.to,
                arguments: &arguments,
            },
        );
    }

    /// The first track of this rank, channel and direction on which nothing lies any more.
    fn track(&mut self, trace: &mut Trace, message: &Message, side: &Side) -> Track {
        let rank = if side.sent {
            message.sender
        } else {
            message.receiver
        };
        let row = self.rows.entry((rank, message.channel, side.sent)).or_default();
        let track = |thread| Track {
            process: rank,
            thread,
        };
        if let Some((thread, end)) = row.iter_mut().find(|(_, end)| *end <= side.from) {
            *end = side.to;
            return track(*thread);
        }
        let next = self.tracks.entry(rank).or_insert(OTHER_TRACKS);
        let thread = *next;
        *next += 1;
        row.push((thread, side.to));
        let way = if side.sent { "sends" } else { "receives" };
        let name = match row.len() {
            1 => format!("channel {} {way}", message.channel),
            several => format!("channel {} {way} ({several})", message.channel),
        };
        let place = message
            .channel
            .saturating_mul(2)
            .saturating_add(u32::from(!side.sent));
        trace.thread(track(thread), &name, place.saturating_add(OTHER_TRACKS));
        track(thread)
    }
}

/// Both ends are known, and the later one is.
fn arrived(message: &Message) -> bool {
    let done = message.receive.and_then(|end| end.done_ns);
    message
        .send
        .zip(done)
        .is_some_and(|(send, done)| done > send.posted_ns)
}

fn sides((place, message): (usize, &Message)) -> impl Iterator<Item = Side> {
    let side = move |end: Option<End>, sent| {
        end.map(|end| Side {
            message: place,
            sent,
            from: end.posted_ns,
            // Never empty: an arrow needs something to begin in.
            to: end
                .done_ns
                .unwrap_or(end.posted_ns)
                .max(end.posted_ns.saturating_add(1)),
        })
    };
    side(message.send, true)
        .into_iter()
        .chain(side(message.receive, false))
}

/// Bytes posted by each rank that nobody has received yet.
fn under_way(trace: &mut Trace, messages: &[Message]) {
    let mut steps: BTreeMap<(Rank, u64), i64> = BTreeMap::new();
    for message in messages {
        let done = message.receive.and_then(|end| end.done_ns);
        if let (Some(send), Some(done)) = (message.send, done) {
            let bytes = i64::try_from(message.bytes).unwrap_or(i64::MAX);
            let mut step = |at, bytes: i64| {
                let sum = steps.entry((message.sender, at)).or_default();
                *sum = sum.saturating_add(bytes);
            };
            step(send.posted_ns, bytes);
            step(done, -bytes);
        }
    }
    let mut level: (Option<Rank>, i64) = (None, 0);
    for ((rank, at), step) in steps {
        if level.0 != Some(rank) {
            level = (Some(rank), 0);
        }
        level.1 = level.1.saturating_add(step);
        trace.counter(rank, "bytes under way", at, level.1.max(0) as u64);
    }
}
