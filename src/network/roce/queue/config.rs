//! How a queue pair travels and how patient it is, in the units that its machine computes with.

use crate::network::rdma::provider::PathOptions;
use crate::network::roce::dcqcn;

/// Settings of a queue pair.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// Payload of a full packet, bytes: 256, 512, 1024, 2048 or 4096.
    pub mtu: u32,
    /// Without progress for so long, nanoseconds, packets are sent again; `None`: never.
    pub timeout: Option<u64>,
    /// Repetitions without progress before the queue pair fails.
    pub retries: u8,
    /// Repetitions after "receiver not ready"; 7: for ever.
    pub rnr_retries: u8,
    /// Code of the time that senders are asked to wait when no receive is posted.
    pub min_rnr_timer: u8,
    /// Reads outstanding.
    pub reads: u8,
    /// Packets in flight at most.
    pub window: u32,
    /// An acknowledge is asked for after so many packets, besides at the end of each message.
    pub ack_every: u32,
    /// Least time between two congestion notifications, nanoseconds.
    pub cnp_interval: u64,
    /// Congestion control; `None`: notifications are counted and ignored.
    pub dcqcn: Option<dcqcn::Parameters>,
}

/// "Receiver not ready" for ever.
pub const FOR_EVER: u8 = 7;
/// The paper's N: one notification in 50 us.
const CNP_INTERVAL: u64 = 50_000;

impl Config {
    /// What a queue pair's path options mean, with a path MTU that both sides can carry.
    pub fn of(path: &PathOptions, mtu: u32, window_bytes: u64) -> Self {
        let window = (window_bytes / u64::from(mtu)).clamp(2, 1 << 20) as u32;
        Self {
            mtu,
            timeout: (path.timeout > 0).then(|| 4096u64 << path.timeout.min(31)),
            retries: path.retry_count,
            rnr_retries: path.rnr_retry,
            min_rnr_timer: path.min_rnr_timer,
            reads: path.reads.max(1),
            window,
            ack_every: (window / 4).max(1),
            cnp_interval: CNP_INTERVAL,
            dcqcn: None,
        }
    }
}

/// Nanoseconds that a "receiver not ready" code stands for (InfiniBand Architecture Specification
/// volume 1, table "Encoding for RNR NAK Timer Field").
pub fn rnr_wait(code: u8) -> u64 {
    const MICROSECONDS: [u64; 32] = [
        655_360, 10, 20, 30, 40, 60, 80, 120, 160, 240, 320, 480, 640, 960, 1_280, 1_920, 2_560, 3_840,
        5_120, 7_680, 10_240, 15_360, 20_480, 30_720, 40_960, 61_440, 81_920, 122_880, 163_840, 245_760,
        327_680, 491_520,
    ];
    MICROSECONDS[usize::from(code & 0x1f)] * 1_000
}
