//! Rows, ranks and links as lines of the folder's CSV tables, and rows back from them.

use std::str::FromStr;

use super::cautions::RowCaution;
use super::csv;
use super::links::LinkOp;
use super::messages::{End, Message};
use super::nodes::Node;
use super::run::Run;
use super::statistics::Times;
use super::summary::{Row, TRACE, name_of, named};
use crate::event::{LinkCount, OpRecord, RankSummary, TracePlayed};
use crate::scenario::plan::{Link, Plan};
use crate::system::op::Collective;

/// A null is an empty field.
pub(super) fn opt<T: ToString>(value: Option<T>) -> String {
    value.map(|value| value.to_string()).unwrap_or_default()
}

/// Always with a point or an exponent, so that readers do not take a column of whole values for integers.
fn num(value: f64) -> String {
    format!("{value:?}")
}

pub(super) fn opt_num(value: Option<f64>) -> String {
    value.map(num).unwrap_or_default()
}

/// A row of `ops.csv`.
pub fn op_line(row: &Row) -> String {
    let cautions: Vec<String> = row.cautions.iter().map(name_of).collect();
    csv::line([
        row.index.to_string(),
        row.title(),
        name_of(&row.algorithm),
        row.communicator.clone(),
        row.ranks.to_string(),
        row.bytes.to_string(),
        row.count.to_string(),
        name_of(&row.dtype),
        row.redop.as_ref().map(name_of).unwrap_or_default(),
        opt(row.root),
        row.warmup.to_string(),
        row.planned_iterations.to_string(),
        row.iterations.to_string(),
        row.complete.to_string(),
        opt_num(row.time.map(|time| time.min)),
        opt_num(row.time.map(|time| time.p50)),
        opt_num(row.time.map(|time| time.p99)),
        opt_num(row.time.map(|time| time.mean)),
        opt_num(row.algbw_gbps),
        opt_num(row.busbw_gbps),
        opt_num(row.link_share),
        opt_num(row.link_overhead),
        num(row.cpu_s),
        row.sent_bytes.to_string(),
        opt_num(row.cpu_s_per_gb),
        opt_num(row.cpu_use),
        opt_num(row.stolen_share),
        opt_num(row.others_share),
        opt(row.wrong),
        opt_num(row.expected_us),
        cautions.join(" "),
        row.trace.clone().unwrap_or_default(),
        row.step.clone().unwrap_or_default(),
    ])
}

/// The row of a record of `ops.csv` with this header. Columns are found by name, so that folders of
/// later versions with more columns can be read.
///
/// # Errors
/// The name of the first column that is missing or does not hold what it should.
pub fn op_row(header: &[String], record: &[String]) -> Result<Row, String> {
    let fields = Fields { header, record };
    let time = |column| fields.null::<f64>(column);
    let times = (
        time("time_min_us")?,
        time("time_p50_us")?,
        time("time_p99_us")?,
        time("time_mean_us")?,
    );
    let time = match times {
        (Some(min), Some(p50), Some(p99), Some(mean)) => Some(Times { min, p50, p99, mean }),
        _ => None,
    };
    let cautions = fields.text("cautions")?.split_whitespace();
    Ok(Row {
        index: fields.value("index")?,
        op: match fields.text("op")? {
            TRACE => Collective::Barrier,
            _ => fields.name("op")?,
        },
        algorithm: fields.name("algorithm")?,
        communicator: fields.text("communicator")?.to_owned(),
        ranks: fields.value("ranks")?,
        bytes: fields.value("bytes")?,
        count: fields.value("count")?,
        dtype: fields.name("dtype")?,
        redop: match fields.text("redop")? {
            "" => None,
            _ => Some(fields.name("redop")?),
        },
        root: fields.null("root")?,
        warmup: fields.value("warmup")?,
        planned_iterations: fields.value("planned_iterations")?,
        iterations: fields.value("iterations")?,
        complete: fields.value("complete")?,
        time,
        algbw_gbps: fields.null("algbw_gbps")?,
        busbw_gbps: fields.null("busbw_gbps")?,
        link_share: fields.null("link_share")?,
        link_overhead: fields.null("link_overhead")?,
        cpu_s: fields.value("cpu_s")?,
        sent_bytes: fields.value("sent_bytes")?,
        cpu_s_per_gb: fields.null("cpu_s_per_gb")?,
        cpu_use: fields.null("cpu_use")?,
        stolen_share: fields.added("stolen_share")?,
        others_share: fields.added("others_share")?,
        wrong: fields.null("wrong")?,
        expected_us: fields.null("expected_us")?,
        cautions: cautions.filter_map(named::<RowCaution>).collect(),
        trace: fields.added("trace")?,
        step: fields.added("step")?,
    })
}

/// The summary of a record of `ranks.csv`; `None` for a rank that gave none.
///
/// # Errors
/// As [`op_row`].
pub fn rank_summary(header: &[String], record: &[String]) -> Result<Option<RankSummary>, String> {
    let fields = Fields { header, record };
    let Some(pid) = fields.null("pid")? else {
        return Ok(None);
    };
    Ok(Some(RankSummary {
        rank: fields.value("rank")?,
        pid,
        core: fields.null("core")?,
        user_s: fields.value("user_s")?,
        system_s: fields.value("system_s")?,
        sent_bytes: fields.value("sent_bytes")?,
        received_bytes: fields.value("received_bytes")?,
        messages: fields.value("messages")?,
        retransmits: fields.value("retransmits")?,
        timers: fields.value("timers")?,
        timer_late_p99_us: fields.value("timer_late_p99_us")?,
        max_rss_bytes: fields.value("max_rss_bytes")?,
        context_switches: [
            fields.value("voluntary_switches")?,
            fields.value("involuntary_switches")?,
        ],
    }))
}

/// The two directions of each link over the whole run, from the records of `links.csv`.
///
/// # Errors
/// As [`op_row`].
pub fn link_counts(header: &[String], records: &[Vec<String>]) -> Result<Vec<LinkCount>, String> {
    let mut links: Vec<LinkCount> = Vec::new();
    let mut second = false;
    for record in records {
        let fields = Fields { header, record };
        if fields.null::<usize>("op")?.is_some() {
            continue;
        }
        let (bytes, drops) = (fields.value("counted_bytes")?, fields.value("drops")?);
        match links.last_mut().filter(|_| second) {
            Some(link) => (link.bytes[1], link.drops[1]) = (bytes, drops),
            None => links.push(LinkCount {
                link: fields.text("link")?.to_owned(),
                bytes: [bytes, 0],
                drops: [drops, 0],
            }),
        }
        second = !second;
    }
    Ok(links)
}

/// What a link direction carried during an operation, from a record of `links.csv`; `None` for the
/// records of the whole run.
///
/// # Errors
/// As [`op_row`].
pub fn link_op(header: &[String], record: &[String]) -> Result<Option<LinkOp>, String> {
    let fields = Fields { header, record };
    let Some(op) = fields.null("op")? else {
        return Ok(None);
    };
    Ok(Some(LinkOp {
        op,
        link: fields.text("link")?.to_owned(),
        direction: fields.text("direction")?.to_owned(),
        counted_bytes: fields.value("counted_bytes")?,
        payload_bytes: fields.null("payload_bytes")?,
    }))
}

/// A node of a trace, from a record of `nodes.csv`.
///
/// # Errors
/// As [`op_row`].
pub fn node(header: &[String], record: &[String]) -> Result<Node, String> {
    let fields = Fields { header, record };
    Ok(Node {
        op: fields.value("op")?,
        rank: fields.value("rank")?,
        iteration: fields.value("iteration")?,
        node: fields.value("node")?,
        name: fields.text("name")?.to_owned(),
        kind: fields.text("kind")?.to_owned(),
        lane: fields.text("lane")?.to_owned(),
        start_ns: fields.value("start_ns")?,
        end_ns: fields.value("end_ns")?,
        bytes: fields.value("bytes")?,
        wait_ns: fields.value("wait_ns")?,
    })
}

/// A message, from a record of `messages.csv`.
///
/// # Errors
/// As [`op_row`].
pub fn message(header: &[String], record: &[String]) -> Result<Message, String> {
    let fields = Fields { header, record };
    let end = |posted: &str, done: &str| -> Result<Option<End>, String> {
        let done_ns = fields.null(done)?;
        let posted_ns: Option<u64> = fields.null(posted)?;
        Ok(posted_ns.map(|posted_ns| End { posted_ns, done_ns }))
    };
    Ok(Message {
        op: fields.value("op")?,
        iteration: fields.value("iteration")?,
        sender: fields.value("sender")?,
        receiver: fields.value("receiver")?,
        channel: fields.value("channel")?,
        communicator: fields.value("communicator")?,
        tag: fields.value("tag")?,
        bytes: fields.value("bytes")?,
        send: end("send_posted_ns", "send_done_ns")?,
        receive: end("receive_posted_ns", "receive_done_ns")?,
    })
}

/// The lines of `iterations.csv` for one operation.
pub fn iteration_lines(record: &OpRecord, dilation: f64) -> String {
    let mut text = String::new();
    let iterations = record.end_ns.iter().map(Vec::len).max().unwrap_or(0);
    for iteration in 0..iterations {
        for (rank, (starts, ends)) in record.start_ns.iter().zip(&record.end_ns).enumerate() {
            let (Some(start), Some(end)) = (starts.get(iteration), ends.get(iteration)) else {
                continue;
            };
            let time_us = end.saturating_sub(*start) as f64 / 1e3 / dilation;
            let op = record.op;
            text.push_str(&format!("{op},{iteration},{rank},{start},{end},{time_us:?}\n"));
        }
    }
    text
}

/// `ranks.csv` without its header: every rank of the plan.
pub fn rank_lines(run: &Run) -> String {
    let ranks = 0..run.manifest.plan.ranks.len() as u32;
    ranks.map(|rank| rank_line(run, rank)).collect()
}

fn rank_line(run: &Run, rank: u32) -> String {
    let summary = run.ranks.iter().find(|summary| summary.rank == rank);
    let lost = run.manifest.lost_ranks.iter().find(|loss| loss.rank == rank);
    csv::line([
        rank.to_string(),
        run.host_of(rank).to_owned(),
        opt(summary.map(|s| s.pid)),
        opt(summary.and_then(|s| s.core)),
        opt_num(summary.map(|s| s.user_s)),
        opt_num(summary.map(|s| s.system_s)),
        opt(summary.map(|s| s.sent_bytes)),
        opt(summary.map(|s| s.received_bytes)),
        opt(summary.map(|s| s.messages)),
        opt(summary.map(|s| s.retransmits)),
        opt(summary.map(|s| s.timers)),
        opt_num(summary.map(|s| s.timer_late_p99_us)),
        opt(summary.map(|s| s.max_rss_bytes)),
        opt(summary.map(|s| s.context_switches[0])),
        opt(summary.map(|s| s.context_switches[1])),
        opt(lost.map(|loss| &loss.what)),
    ])
}

/// The lines of `nodes.csv` for one rank.
pub fn node_lines(played: &TracePlayed) -> String {
    let lines = played
        .times
        .iter()
        .filter_map(|[iteration, node, start, end, wait]| {
            let label = played.labels.get(*node as usize)?;
            Some(csv::line([
                played.op.to_string(),
                played.rank.to_string(),
                iteration.to_string(),
                label.id.to_string(),
                label.name.clone(),
                label.kind.clone(),
                label.lane.clone(),
                start.to_string(),
                end.to_string(),
                label.bytes.to_string(),
                wait.to_string(),
            ]))
        });
    lines.collect()
}

/// The lines of `messages.csv` for one operation.
pub fn message_lines(messages: &[Message]) -> String {
    let line = |message: &Message| {
        let posted = |end: Option<End>| opt(end.map(|end| end.posted_ns));
        let done = |end: Option<End>| opt(end.and_then(|end| end.done_ns));
        csv::line([
            message.op.to_string(),
            message.iteration.to_string(),
            message.sender.to_string(),
            message.receiver.to_string(),
            message.channel.to_string(),
            message.communicator.to_string(),
            message.tag.to_string(),
            message.bytes.to_string(),
            posted(message.send),
            done(message.send),
            posted(message.receive),
            done(message.receive),
        ])
    };
    messages.iter().map(line).collect()
}

/// The lines of `links.csv` for one operation.
pub fn link_lines(plan: &Plan, record: &OpRecord) -> String {
    let Some(planned) = plan.ops.get(record.op) else {
        return String::new();
    };
    let iterations = f64::from(planned.warmup + planned.iterations);
    let mut text = String::new();
    for (number, (link, counted)) in plan.network.links.iter().zip(&record.link_bytes).enumerate() {
        let payload = planned.link_bytes.get(number).filter(|_| record.complete);
        for (direction, counted) in counted.iter().enumerate() {
            let payload = opt_num(payload.map(|payload| payload[direction] * iterations));
            let (name, way) = (link.name.clone(), way(plan, link, direction));
            text.push_str(&csv::line([
                name,
                way,
                record.op.to_string(),
                counted.to_string(),
                payload,
                String::new(),
            ]));
        }
    }
    text
}

/// The lines of `links.csv` for the whole run.
pub fn link_total_lines(run: &Run) -> String {
    let plan = &run.manifest.plan;
    let mut text = String::new();
    for count in &run.links {
        let Some(number) = plan.network.links.iter().position(|link| link.name == count.link) else {
            continue;
        };
        for direction in 0..2 {
            let link = &plan.network.links[number];
            let (name, way) = (link.name.clone(), way(plan, link, direction));
            let counted = count.bytes[direction].to_string();
            let payload = opt_num(planned_payload(run, number, direction));
            let drops = count.drops[direction].to_string();
            text.push_str(&csv::line([name, way, String::new(), counted, payload, drops]));
        }
    }
    text
}

/// Payload bytes that the plan puts on a link direction over the whole run, warm-up included;
/// `None` unless all operations completed.
pub fn planned_payload(run: &Run, link: usize, direction: usize) -> Option<f64> {
    let plan = &run.manifest.plan;
    if run.rows.len() != plan.ops.len() || !run.rows.iter().all(|row| row.complete) {
        return None;
    }
    let bytes = plan
        .ops
        .iter()
        .filter_map(|op| Some(op.link_bytes.get(link)?[direction] * f64::from(op.warmup + op.iterations)));
    Some(bytes.sum())
}

/// `h0->s0`.
pub fn way(plan: &Plan, link: &Link, direction: usize) -> String {
    let name = |end: usize| {
        plan.network
            .nodes
            .get(link.ends[end].node)
            .map_or("?", |node| node.name.as_str())
    };
    format!("{}->{}", name(direction), name(1 - direction))
}

/// Fields of a record by the names of the header.
struct Fields<'a> {
    header: &'a [String],
    record: &'a [String],
}

impl<'a> Fields<'a> {
    fn text(&self, column: &str) -> Result<&'a str, String> {
        let place = self.header.iter().position(|name| name == column);
        let field = place.and_then(|place| self.record.get(place));
        field.map(String::as_str).ok_or_else(|| format!("no `{column}`"))
    }

    fn value<T: FromStr>(&self, column: &str) -> Result<T, String> {
        let text = self.text(column)?;
        text.parse()
            .map_err(|_| format!("`{text}` is not a value of `{column}`"))
    }

    fn null<T: FromStr>(&self, column: &str) -> Result<Option<T>, String> {
        match self.text(column)? {
            "" => Ok(None),
            _ => self.value(column).map(Some),
        }
    }

    /// A column that folders of earlier versions do not have.
    fn added<T: FromStr>(&self, column: &str) -> Result<Option<T>, String> {
        if self.header.iter().any(|name| name == column) {
            self.null(column)
        } else {
            Ok(None)
        }
    }

    fn name<T: serde::Deserialize<'a>>(&self, column: &str) -> Result<T, String> {
        let text = self.text(column)?;
        named(text).ok_or_else(|| format!("`{text}` is not a value of `{column}`"))
    }
}
