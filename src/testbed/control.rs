//! The words between controller and ranks: length-delimited JSON (u32 big-endian length, then one
//! object), readable on the wire.

use std::io::{self, Read, Write};
use std::net::IpAddr;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::event::{NodeLabel, NodeTime, RankMessages, RankSummary};
use crate::network::message::Rank;
use crate::network::transport::{DeviceUse, Endpoint};
use crate::scenario::plan::rdma::RdmaOptions;
use crate::scenario::plan::roce::RoceOptions;
use crate::scenario::plan::{Communicator, TcpOptions, TransportKind, Wait};
use crate::system::op::Op;
use crate::workload::trace::Recipe;

/// Longest object accepted, bytes.
pub const LONGEST: usize = 64 << 20;

/// What a rank is told.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "order", rename_all = "kebab-case")]
pub enum Order {
    /// Who it is and what will be played.
    Setup(Box<Assignment>),
    /// Where every rank listens.
    Book {
        /// `book[rank]`: how that rank is reached.
        book: Vec<Endpoint>,
    },
    /// Play this row now.
    Play {
        /// Index into the assignment's rows.
        row: usize,
    },
    /// Say what you have of the current row: the run is ending early.
    HandIn,
    /// Say your summary and end.
    Finish,
}

/// Everything that one rank needs to know.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Assignment {
    /// This rank.
    pub rank: Rank,
    /// Number of ranks.
    pub ranks: u32,
    /// Key that connections between ranks open with, hexadecimal.
    pub key: String,
    /// Addresses to listen on and dial from.
    pub addresses: Vec<IpAddr>,
    /// The interface of each address, to be named by whoever sends; empty: routes decide.
    #[serde(default)]
    pub interfaces: Vec<String>,
    /// The RDMA device of each address; empty: none were made for the run.
    #[serde(default)]
    pub devices: Vec<String>,
    /// Ranks to be connected with.
    pub peers: Vec<Rank>,
    /// Communicators that this rank is a member of.
    pub communicators: Vec<Communicator>,
    /// Rows in order.
    pub rows: Vec<Row>,
    /// What carries messages.
    pub transport: TransportKind,
    /// TCP options.
    pub tcp: TcpOptions,
    /// Options of verbs.
    pub rdma: RdmaOptions,
    /// Options of the RoCE v2 endpoint in userspace.
    pub roce: RoceOptions,
    /// Pacing of each connection in real bytes per second.
    pub pacing: Option<u64>,
    /// How to wait.
    pub wait: Wait,
    /// Fewer cores than ranks on this machine.
    pub oversubscribed: bool,
    /// Carry, reduce and check real data.
    pub verify: bool,
    /// Messages whose times are kept.
    #[serde(default)]
    pub messages: MessageLimits,
    /// Real rate of the slowest link, bits per second; `None`: links are not shaped.
    pub slowest_bps: Option<u64>,
    /// Core to be pinned to.
    pub core: Option<u32>,
    /// Real time is this many times slower than nominal.
    pub dilation: f64,
    /// Origin of reported times, nanoseconds of CLOCK_MONOTONIC.
    pub origin_ns: u64,
    /// The mesh must be connected within this time, milliseconds.
    pub setup_ms: u64,
}

/// How many messages a rank keeps the times of.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MessageLimits {
    /// Those of so many measured iterations of each row.
    pub iterations: u32,
    /// Sends and receives of a row: at most.
    pub most: u32,
}

/// One row as a rank plays it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Row {
    /// The operation.
    pub op: Op,
    /// Iterations that are not measured.
    pub warmup: u32,
    /// Iterations that are measured.
    pub iterations: u32,
    /// Real seconds for which the busiest link is busy with the operation, where its flows keep to their
    /// shares of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wire_s: Option<f64>,
    /// A trace is played in place of the operation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trace: Option<TraceRow>,
}

/// A trace as a rank plays it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct TraceRow {
    /// How the rank comes by its part.
    pub recipe: Recipe,
    /// Of so many measured iterations, times of nodes are kept.
    pub recorded: u32,
}

/// What a rank says.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "report", rename_all = "kebab-case")]
pub enum Report {
    /// First word: who it is, and the run's token.
    Hello {
        /// The run's token.
        token: String,
        /// Which rank.
        rank: Rank,
        /// Its process.
        pid: u32,
    },
    /// It listens.
    Listening {
        /// Here.
        endpoint: Endpoint,
    },
    /// It is connected with all of its peers.
    Connected,
    /// It lives.
    Heartbeat(Heartbeat),
    /// A row is played.
    RowDone(RowDone),
    /// What it has of a row that was not played to its end.
    RowPart(RowDone),
    /// The RDMA device that it used.
    Device(DeviceUse),
    /// Its last word.
    Finished(RankSummary),
    /// It cannot go on.
    Failed {
        /// Why.
        what: String,
        /// The rank that it blames.
        peer: Option<Rank>,
        /// Where it was.
        at: Heartbeat,
    },
}

/// Where a rank is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Heartbeat {
    /// Row that it plays.
    pub row: Option<usize>,
    /// Iterations of the row that it has finished, warm-up included.
    pub iterations: u64,
    /// Payload bytes sent and received so far: any change is progress.
    pub moved_bytes: u64,
    /// Ranks that it waits for, when it has been waiting for a while.
    pub waiting: Vec<Rank>,
    /// The node of a trace in which it waits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node: Option<String>,
    /// Counts while a timer runs: computing is progress.
    #[serde(default)]
    pub timed: u64,
}

/// What a rank measured in a row.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct RowDone {
    /// Which row.
    pub row: usize,
    /// Start of each measured iteration, nanoseconds since the origin.
    pub start_ns: Vec<u64>,
    /// End of each.
    pub end_ns: Vec<u64>,
    /// User and system CPU seconds spent in the measured iterations.
    pub cpu_s: f64,
    /// Payload bytes sent in the measured iterations.
    pub sent_bytes: u64,
    /// Elements found wrong, when verified.
    pub wrong: Option<u64>,
    /// Nodes of a trace.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub labels: Vec<NodeLabel>,
    /// When they were played.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub times: Vec<NodeTime>,
    /// Messages that it sent and received.
    #[serde(default)]
    pub messages: RankMessages,
}

/// One object as it is written, without its length.
///
/// # Errors
/// It would be longer than any reader accepts, and why that may be.
pub fn body<T: Serialize>(value: &T) -> io::Result<Vec<u8>> {
    let body = serde_json::to_vec(value)?;
    if body.len() > LONGEST {
        return Err(io::Error::new(
            io::ErrorKind::InvalidData,
            format!(
                "{} bytes are to be said at once, at most {LONGEST} can be: measure fewer `iterations`, record fewer messages \
                 (`testbed.record_messages`) or play smaller traces",
                body.len()
            ),
        ));
    }
    Ok(body)
}

/// Writes one object.
///
/// # Errors
/// Those of [`body`], and of what is written to.
pub fn write<T: Serialize>(mut to: impl Write, value: &T) -> io::Result<()> {
    let body = body(value)?;
    let mut frame = Vec::with_capacity(body.len() + 4);
    frame.extend_from_slice(&(body.len() as u32).to_be_bytes());
    frame.extend_from_slice(&body);
    to.write_all(&frame)
}

/// Reads one object.
pub fn read<T: DeserializeOwned>(mut from: impl Read) -> io::Result<T> {
    let mut length = [0; 4];
    from.read_exact(&mut length)?;
    let length = u32::from_be_bytes(length) as usize;
    if length > LONGEST {
        return Err(io::Error::new(
            io::ErrorKind::InvalidData,
            "control message too long",
        ));
    }
    let mut body = vec![0; length];
    from.read_exact(&mut body)?;
    Ok(serde_json::from_slice(&body)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is too long is refused where it is said, with a reason, and nothing of it is written.
    #[test]
    fn what_readers_would_not_accept_is_not_written() {
        let report = |length: usize| Report::Failed {
            what: "x".repeat(length),
            peer: None,
            at: Heartbeat::default(),
        };
        let around = serde_json::to_vec(&report(0)).unwrap().len();
        let mut written = Vec::new();
        let error = write(&mut written, &report(LONGEST - around + 1)).unwrap_err();
        assert!(written.is_empty());
        assert!(error.to_string().contains("record_messages"), "{error}");
        write(&mut written, &report(LONGEST - around)).unwrap();
        assert!(matches!(read(&written[..]), Ok(Report::Failed { .. })));
    }
}
