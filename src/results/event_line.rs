//! An event as a line of `events.jsonl`, without the times of iterations and messages, which tables have. Nothing
//! that long is copied for it.

use serde::Serialize;

use crate::event::{Event, OpRecord, RankMessages};

/// The line.
///
/// # Errors
/// Those of `serde_json`: a number that JSON has not.
pub fn line(event: &Event) -> serde_json::Result<String> {
    let mut line = match event {
        Event::OpFinished(record) => serde_json::to_string(&Lean::OpFinished(op(record))),
        Event::MessagesSeen { op, ranks } => serde_json::to_string(&Lean::MessagesSeen {
            op: *op,
            ranks: ranks.iter().map(messages).collect(),
        }),
        event => serde_json::to_string(event),
    }?;
    line.push('\n');
    Ok(line)
}

/// As [`Event`] with empty lists.
#[derive(Serialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
enum Lean<'a> {
    OpFinished(LeanOp<'a>),
    MessagesSeen { op: usize, ranks: Vec<LeftOut> },
}

/// As [`OpRecord`].
#[derive(Serialize)]
struct LeanOp<'a> {
    op: usize,
    complete: bool,
    start_ns: [u64; 0],
    end_ns: [u64; 0],
    cpu_s: &'a [f64],
    sent_bytes: &'a [u64],
    wrong: &'a [u64],
    link_bytes: &'a [[u64; 2]],
    stolen_share: Option<f64>,
    others_share: Option<f64>,
}

/// As [`RankMessages`].
#[derive(Serialize)]
struct LeftOut {
    left_out: u64,
}

fn op(record: &OpRecord) -> LeanOp<'_> {
    let OpRecord {
        op,
        complete,
        start_ns: _,
        end_ns: _,
        cpu_s,
        sent_bytes,
        wrong,
        link_bytes,
        stolen_share,
        others_share,
    } = record;
    LeanOp {
        op: *op,
        complete: *complete,
        start_ns: [],
        end_ns: [],
        cpu_s,
        sent_bytes,
        wrong,
        link_bytes,
        stolen_share: *stolen_share,
        others_share: *others_share,
    }
}

fn messages(rank: &RankMessages) -> LeftOut {
    let RankMessages { seen: _, left_out } = rank;
    LeftOut { left_out: *left_out }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::MessageSeen;

    #[test]
    fn a_line_is_the_event_with_empty_lists() {
        let record = |times: Vec<Vec<u64>>| {
            Event::OpFinished(OpRecord {
                op: 3,
                complete: true,
                start_ns: times.clone(),
                end_ns: times,
                cpu_s: vec![0.5, 0.25],
                sent_bytes: vec![7, 8],
                wrong: vec![0],
                link_bytes: vec![[1, 2]],
                stolen_share: Some(0.125),
                others_share: None,
            })
        };
        let seen = MessageSeen {
            iteration: 0,
            sent: true,
            peer: 1,
            channel: 0,
            communicator: 0,
            tag: 1,
            bytes: 8,
            posted_ns: 5,
            done_ns: None,
        };
        let messages = |seen: Vec<MessageSeen>| {
            let rank = RankMessages { seen, left_out: 4 };
            Event::MessagesSeen {
                op: 3,
                ranks: vec![rank, RankMessages::default()],
            }
        };
        let progress = || Event::Progress { op: 1, iterations: 2 };
        for (event, lean) in [
            (record(vec![vec![1, 2], vec![3]]), record(Vec::new())),
            (messages(vec![seen]), messages(Vec::new())),
            (progress(), progress()),
        ] {
            let lean = serde_json::to_string(&lean).expect("numbers that JSON has");
            assert_eq!(line(&event).expect("likewise"), lean + "\n");
        }
    }
}
