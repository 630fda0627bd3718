//! How a port is made to act like a wire of a given rate, and what a wire would do.
//!
//! A token bucket is not a wire: it lets its burst pass at memory speed, and timers that release single
//! frames come too late on a busy machine. What is chosen here was measured (issue 2); what remains
//! is measured at bring-up.

use std::fmt;
use std::time::Duration;

use crate::netlink::Request;
use crate::netlink::qdisc::{self, Hierarchy};

/// Ethernet header, bytes. The frame check sequence is not seen by the kernel and not counted.
const ETHERNET: u32 = 14;
/// IPv4 (20) and TCP with timestamps (32), bytes.
const IP_TCP: u32 = 52;
/// Largest segmented packet that TCP may build: the kernel's limit (`GSO_MAX_SIZE`, 8 x 65535), bytes.
/// TCP itself keeps to about a millisecond of its rate. Large packets save most of the work per packet.
pub(crate) const SEGMENTED: u32 = 524_280;
/// Bytes that a port queues before it drops. Deep on purpose: the fabrics of training clusters are
/// kept from dropping by flow control, and here the senders' socket buffers bound what queues.
pub(crate) const QUEUE: u32 = 256 << 20;

/// The settings of one direction of a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shaper {
    /// Rate in bits per second of Ethernet frames, without preamble and gap.
    pub rate_bps: u64,
    /// What may pass at once after idleness, bytes. HTB lets a larger segmented packet pass whole and
    /// makes the next one wait, so that rates hold without taking packets apart.
    pub burst: u32,
    /// Bytes queued before dropping.
    pub limit: u32,
}

impl Shaper {
    /// The settings that act most like a wire of this rate.
    ///
    /// The bucket refills in 80 us (50 us for large frames), about the lateness of the kernel's timers:
    /// smaller loses rate, larger makes short messages too fast.
    pub fn for_link(rate_bps: u64, mtu: u32) -> Self {
        let microseconds = if mtu <= 3000 { 80 } else { 50 };
        let burst = u128::from(rate_bps) * microseconds / 8_000_000;
        let burst = u32::try_from(burst).unwrap_or(u32::MAX).max(1600);
        Self {
            rate_bps,
            burst,
            limit: QUEUE,
        }
    }

    /// The requests that put it on an interface.
    pub(crate) fn requests(&self, index: u32) -> Vec<Request> {
        let shape = Hierarchy {
            rate: self.rate_bps / 8,
            burst: self.burst,
            limit: self.limit,
        };
        qdisc::add_hierarchy(index, &shape).into()
    }
}

impl fmt::Display for Shaper {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "htb {} bit/s, burst {} B, queue {} MiB",
            self.rate_bps,
            self.burst,
            self.limit >> 20
        )
    }
}

/// Window that TCP connections begin with, segments: 10 ms of the slowest link's rate. Slow start is
/// over in an instant on the short paths of a cluster; here, with packets of a millisecond, TCP takes
/// their queueing for congestion and would need seconds to fill the link.
pub fn initial_window(slowest_bps: Option<u64>, mtu: u32) -> u32 {
    let segments = slowest_bps.unwrap_or(10_000_000_000) / 800 / u64::from(mtu);
    segments.clamp(10, 20_000) as u32
}

/// The share of a link's rate that TCP can give to payload: (MTU - 52) / (MTU + 14).
pub fn payload_limit(mtu: u32) -> f64 {
    f64::from(mtu.saturating_sub(IP_TCP)) / f64::from(mtu + ETHERNET)
}

/// Bytes of Ethernet frames that carry this payload over TCP in segments of full size.
pub fn frame_bytes(mtu: u32, payload: u64) -> u64 {
    let segment = u64::from(mtu.saturating_sub(IP_TCP).max(1));
    payload + payload.div_ceil(segment) * u64::from(IP_TCP + ETHERNET)
}

/// What one message of `payload` bytes takes from first bit sent to last bit received, microseconds,
/// over `hops` wires of `rate_bps` with store-and-forward switches of no delay between them: all frames
/// once, and one full frame for each further hop.
pub fn wire_time_us(rate_bps: u64, mtu: u32, hops: u32, payload: u64) -> f64 {
    let bytes = frame_bytes(mtu, payload);
    let full = u64::from(mtu + ETHERNET).min(bytes) * u64::from(hops.saturating_sub(1));
    (bytes + full) as f64 * 8e6 / rate_bps.max(1) as f64
}

/// Packets under way in a delay of this length, with room to spare.
pub(crate) fn packets_in_flight(rate_bps: Option<u64>, mtu: u32, delay: Duration) -> u32 {
    let rate = rate_bps.unwrap_or(40_000_000_000) as f64;
    let frames = rate * delay.as_secs_f64() / (8.0 * f64::from(mtu + ETHERNET));
    (2.0 * frames + 10_000.0).min(1e9) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wire_times_are_those_of_the_physics() {
        // 64 KiB in 46 segments of 1448 B: 65,536 + 46 x 66 = 68,572 B, 548.6 us at 1 Gbit/s.
        assert!((wire_time_us(1_000_000_000, 1500, 1, 65536) - 548.576).abs() < 1e-6);
        // A second hop adds one frame of 1514 B: 12.1 us.
        assert!((wire_time_us(1_000_000_000, 1500, 2, 65536) - 560.688).abs() < 1e-6);
        // 8 B fit one frame of 74 B, sent twice.
        assert!((wire_time_us(1_000_000_000, 1500, 2, 8) - 1.184).abs() < 1e-6);
    }

    #[test]
    fn payload_limits_are_those_of_the_headers() {
        assert!((payload_limit(1500) - 1448.0 / 1514.0).abs() < 1e-12);
        assert!((payload_limit(9000) - 8948.0 / 9014.0).abs() < 1e-12);
    }

    #[test]
    fn a_burst_passes_at_least_one_frame_and_grows_with_the_rate() {
        assert_eq!(Shaper::for_link(1_000_000, 1500).burst, 1600);
        assert_eq!(Shaper::for_link(1_000_000_000, 1500).burst, 10_000);
        assert_eq!(Shaper::for_link(10_000_000_000, 9000).burst, 62_500);
    }
}
