//! Queueing disciplines: token bucket, HTB, netem and FIFO as raw `TCA_OPTIONS` (the netlink crate
//! does not know them; layouts from `linux/pkt_sched.h`), and the counters of the root discipline.

use std::time::Duration;

use netlink_packet_core::{DefaultNla, Emitable};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::tc::{TcAttribute, TcHandle, TcMessage};

use super::{Netlink, NetlinkError, Request, attribute, read_u32, read_u64};

const TCA_KIND: u16 = 1;
const TCA_OPTIONS: u16 = 2;
const TCA_STATS2: u16 = 7;
const TCA_STATS_BASIC: u16 = 1;
const TCA_STATS_QUEUE: u16 = 3;
const TCA_STATS_PKT64: u16 = 8;
const TCMSG_LEN: usize = 20;
const LINKLAYER_ETHERNET: u8 = 1;
/// A scheduler tick (`PSCHED_SHIFT` 6).
const NANOSECONDS_PER_TICK: u64 = 64;
/// Handle of the discipline at the root of every shaped port, and its only class.
pub const ROOT: TcHandle = TcHandle { major: 1, minor: 0 };
/// Bytes between classes' turns. There is one class, but the kernel warns of odd values.
const QUANTUM: u32 = 60_000;
const CLASS: TcHandle = TcHandle { major: 1, minor: 1 };
const INNER: TcHandle = TcHandle { major: 2, minor: 0 };
/// Of the netem that takes the place of the shaper's queue: a handle never changes its kind.
const IMPAIRED: TcHandle = TcHandle { major: 3, minor: 0 };

fn message(index: u32, handle: TcHandle, parent: TcHandle, kind: &str, options: Vec<u8>) -> TcMessage {
    let mut message = TcMessage::with_index(index as i32);
    message.header.handle = handle;
    message.header.parent = parent;
    message.attributes.push(TcAttribute::Kind(kind.into()));
    if !options.is_empty() {
        message
            .attributes
            .push(TcAttribute::Other(DefaultNla::new(TCA_OPTIONS, options)));
    }
    message
}

fn add(index: u32, handle: TcHandle, parent: TcHandle, kind: &str, options: Vec<u8>) -> Request {
    let message = message(index, handle, parent, kind, options);
    Request::replace(
        format!("add qdisc {kind}"),
        RouteNetlinkMessage::NewQueueDiscipline(message),
    )
}

pub(super) fn nested(attributes: Vec<DefaultNla>) -> Vec<u8> {
    let attributes = attributes.as_slice();
    let mut bytes = vec![0; attributes.buffer_len()];
    attributes.emit(&mut bytes);
    bytes
}

/// `struct tc_ratespec` of a rate in bytes per second.
fn rate_spec(bytes_per_second: u64) -> [u8; 12] {
    let mut spec = [0; 12];
    spec[1] = LINKLAYER_ETHERNET;
    let rate = u32::try_from(bytes_per_second).unwrap_or(u32::MAX);
    spec[8..].copy_from_slice(&rate.to_ne_bytes());
    spec
}

fn ticks(bytes: u64, bytes_per_second: u64) -> u32 {
    let nanoseconds = u128::from(bytes) * 1_000_000_000 / u128::from(bytes_per_second.max(1));
    u32::try_from(nanoseconds / u128::from(NANOSECONDS_PER_TICK)).unwrap_or(u32::MAX)
}

/// A token bucket at the root.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TokenBucket {
    /// Rate, bytes per second.
    pub rate: u64,
    /// Bucket, bytes. Larger segmented packets are taken apart before they queue.
    pub burst: u32,
    /// Queue, bytes; more is dropped.
    pub limit: u32,
}

/// Puts a token bucket (`tbf`) at the root of an interface.
pub fn add_token_bucket(index: u32, shape: &TokenBucket) -> Request {
    let mut parameters = Vec::with_capacity(36);
    parameters.extend(rate_spec(shape.rate));
    parameters.extend([0; 12]);
    for value in [shape.limit, ticks(u64::from(shape.burst), shape.rate), 0] {
        parameters.extend(value.to_ne_bytes());
    }
    // TCA_TBF_PARMS, TCA_TBF_RATE64, TCA_TBF_BURST
    let options = nested(vec![
        DefaultNla::new(1, parameters),
        DefaultNla::new(4, shape.rate.to_ne_bytes().to_vec()),
        DefaultNla::new(6, shape.burst.to_ne_bytes().to_vec()),
    ]);
    add(index, ROOT, TcHandle::ROOT, "tbf", options)
}

/// A hierarchical token bucket with one class.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hierarchy {
    /// Rate, bytes per second.
    pub rate: u64,
    /// Bucket, bytes. Packets larger than it pass and leave a debt.
    pub burst: u32,
    /// Queue, bytes; more is dropped.
    pub limit: u32,
}

/// Puts an HTB with one class and a FIFO bounded in bytes at the root of an interface.
pub fn add_hierarchy(index: u32, shape: &Hierarchy) -> [Request; 3] {
    // struct tc_htb_glob {version, rate2quantum, defcls, debug, direct_pkts}
    let global: Vec<u8> = [3u32, 10, u32::from(CLASS.minor), 0, 0]
        .iter()
        .flat_map(|v| v.to_ne_bytes())
        .collect();
    // TCA_HTB_INIT
    let root = add(
        index,
        ROOT,
        TcHandle::ROOT,
        "htb",
        nested(vec![DefaultNla::new(2, global)]),
    );

    // struct tc_htb_opt {rate, ceil, buffer, cbuffer, quantum, level, prio}
    let mut parameters = Vec::with_capacity(44);
    parameters.extend(rate_spec(shape.rate));
    parameters.extend(rate_spec(shape.rate));
    let buffer = ticks(u64::from(shape.burst), shape.rate);
    for value in [buffer, buffer, QUANTUM, 0, 0] {
        parameters.extend(value.to_ne_bytes());
    }
    // TCA_HTB_PARMS, TCA_HTB_RATE64, TCA_HTB_CEIL64
    let options = nested(vec![
        DefaultNla::new(1, parameters),
        DefaultNla::new(6, shape.rate.to_ne_bytes().to_vec()),
        DefaultNla::new(7, shape.rate.to_ne_bytes().to_vec()),
    ]);
    let class = Request::replace(
        "add class of htb",
        RouteNetlinkMessage::NewTrafficClass(message(index, CLASS, ROOT, "htb", options)),
    );
    [
        root,
        class,
        add(index, INNER, CLASS, "bfifo", shape.limit.to_ne_bytes().to_vec()),
    ]
}

/// What `netem` does to packets.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Impairment {
    /// Each is held back for so long.
    pub delay: Duration,
    /// This share is lost at random, 0 to 1.
    pub loss: f64,
    /// So many may be under way.
    pub packets: u32,
}

/// Puts `netem` at the root, or inside the shaper that is there.
pub fn add_impairment(index: u32, inside_shaper: bool, impairment: &Impairment) -> Request {
    let nanoseconds = u64::try_from(impairment.delay.as_nanos()).unwrap_or(i64::MAX as u64);
    // Of all 32-bit numbers, so many mean loss.
    let loss = (impairment.loss.clamp(0.0, 1.0) * f64::from(u32::MAX)) as u32;
    let latency = u32::try_from(nanoseconds / NANOSECONDS_PER_TICK).unwrap_or(u32::MAX);
    // struct tc_netem_qopt {latency, limit, loss, gap, duplicate, jitter}, then TCA_NETEM_LATENCY64
    let mut options: Vec<u8> = [latency, impairment.packets, loss, 0, 0, 0]
        .iter()
        .flat_map(|v| v.to_ne_bytes())
        .collect();
    options.extend(nested(vec![DefaultNla::new(
        10,
        nanoseconds.to_ne_bytes().to_vec(),
    )]));
    let (handle, parent) = if inside_shaper {
        (IMPAIRED, CLASS)
    } else {
        (ROOT, TcHandle::ROOT)
    };
    add(index, handle, parent, "netem", options)
}

/// Puts a FIFO bounded in bytes at the root: it counts every frame and holds none back.
pub fn add_fifo(index: u32, limit: u32) -> Request {
    add(index, ROOT, TcHandle::ROOT, "bfifo", limit.to_ne_bytes().to_vec())
}

/// Puts a discipline without options at the root; used to find out whether the kernel has it.
pub fn add_plain(index: u32, kind: &str) -> Request {
    add(index, ROOT, TcHandle::ROOT, kind, Vec::new())
}

/// Removes the discipline at the root.
pub fn delete_root(index: u32) -> Request {
    let mut message = TcMessage::with_index(index as i32);
    message.header.parent = TcHandle::ROOT;
    Request::new(
        "delete qdisc",
        0,
        RouteNetlinkMessage::DelQueueDiscipline(message),
    )
}

/// What a root discipline has counted since it was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct QdiscCount {
    /// Interface index.
    pub index: u32,
    /// Bytes of Ethernet frames sent, headers of every segment included.
    pub bytes: u64,
    /// Frames sent, segments counted one by one.
    pub packets: u64,
    /// Packets dropped.
    pub drops: u64,
}

fn count(body: &[u8]) -> Option<QdiscCount> {
    let handle = read_u32(body, 8)?;
    if handle != u32::from(ROOT) {
        return None;
    }
    let attributes = body.get(TCMSG_LEN..)?;
    attribute(attributes, TCA_KIND)?;
    let stats = attribute(attributes, TCA_STATS2)?;
    let basic = attribute(stats, TCA_STATS_BASIC)?;
    let packets = attribute(stats, TCA_STATS_PKT64).and_then(|b| read_u64(b, 0));
    Some(QdiscCount {
        index: read_u32(body, 4)?,
        bytes: read_u64(basic, 0)?,
        packets: packets.or_else(|| read_u32(basic, 8).map(u64::from))?,
        // struct gnet_stats_queue {qlen, backlog, drops, requeues, overlimits}
        drops: attribute(stats, TCA_STATS_QUEUE)
            .and_then(|b| read_u32(b, 8))
            .unwrap_or(0)
            .into(),
    })
}

impl Netlink {
    /// Counters of the disciplines that genie put at the root of the namespace's interfaces.
    pub fn qdisc_counts(&mut self) -> Result<Vec<QdiscCount>, NetlinkError> {
        let mut found = Vec::new();
        let question = RouteNetlinkMessage::GetQueueDiscipline(TcMessage::default());
        self.dump("read qdisc counters", &question, |_, body| {
            found.extend(count(body))
        })?;
        Ok(found)
    }
}
