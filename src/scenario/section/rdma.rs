//! `[rdma]`: options of the transports that speak verbs. Defaults are NCCL's where NCCL has the option
//! (docs/rdma.md has the names side by side), but for time-outs, which fit `testbed.deadline`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::scenario::plan::rdma::{Ecn, QpSplit, RdmaVerb, Service};
use crate::scenario::units::{Bandwidth, Bytes};

/// Options of the transports that speak verbs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Rdma {
    /// Device, e.g. `mlx5_0`; when absent the one that has the rank's address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub device: Option<String>,
    /// Port of the device, from 1.
    pub port: u32,
    /// Index of the GID; when absent the RoCE v2 GID of the rank's address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gid_index: Option<u32>,
    /// Service of the queue pairs: `rc` or `uc`.
    pub service: Service,
    /// How pieces of large messages move: `write-imm`, `write`, `send` or `read`.
    pub verb: RdmaVerb,
    /// Channels between two ranks, 1 to 64: collectives spread their traffic over them.
    pub channels: u32,
    /// Queue pairs of a channel, 1 to 64.
    pub queue_pairs: u32,
    /// How pieces are spread over a channel's queue pairs: `round-robin`, `split` or `hash`.
    pub split: QpSplit,
    /// Largest piece of a message that one grant covers, 4 KiB to 64 MiB.
    pub slot: Bytes,
    /// Slots that a receiver grants to each of its peers, 1 to 256.
    pub slots: u32,
    /// Longest message that is sent without waiting for a grant, up to 64 KiB.
    pub small: Bytes,
    /// Small messages that may be under way on each channel, 4 to 255.
    pub credits: u32,
    /// Longest inline payload, 64 to 512 bytes; when absent as much as the device takes, up to 256.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub inline: Option<u32>,
    /// Requests of a queue pair outstanding at most, 8 to 16384.
    pub depth: u32,
    /// Of so many requests of a queue pair one asks for a completion; at most half of `depth`.
    pub signal_every: u32,
    /// Requests posted in one call at most, 1 to 64.
    pub post_list: u32,
    /// Memory is registered in huge pages (transport `rdma`).
    pub huge_pages: bool,
    /// Largest rate of what goes in pieces over one connection, nominal; when absent not paced.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pacing: Option<Bandwidth>,
    /// Path MTU: 256, 512, 1024, 2048 or 4096 bytes; when absent what both ports can carry.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mtu: Option<u32>,
    /// Service level, 0 to 15.
    pub service_level: u32,
    /// Differentiated services code point of all packets, 0 to 63.
    pub dscp: u32,
    /// ECN bits of all packets: `not-ect`, `ect0` or `ect1`.
    pub ecn: Ecn,
    /// IPv6 flow labels, 20 bits each; queue pair i takes label i, wrapping around. Most devices make
    /// the UDP source port of it.
    pub flow_labels: Vec<u32>,
    /// IP time to live, 1 to 255.
    pub hop_limit: u32,
    /// Index into the port's table of partition keys.
    pub pkey_index: u32,
    /// Time-out of an acknowledgement: 4.096 us x 2^timeout, 1 to 31; 0 never.
    pub timeout: u32,
    /// Retransmissions before a queue pair fails, 0 to 7; soft-RoCE takes 7 as for ever.
    pub retry_count: u32,
    /// Repetitions after "receiver not ready", 0 to 6; 7: for ever.
    pub rnr_retry: u32,
    /// Code of the pause that is asked for with "receiver not ready", 0 to 31 (12: 0.64 ms).
    pub min_rnr_timer: u32,
}

impl Rdma {
    /// Nothing was chosen.
    pub fn is_default(&self) -> bool {
        *self == Rdma::default()
    }
}

impl Default for Rdma {
    fn default() -> Self {
        Rdma {
            device: None,
            port: 1,
            gid_index: None,
            service: Service::Rc,
            verb: RdmaVerb::WriteImm,
            channels: 1,
            queue_pairs: 1,
            split: QpSplit::RoundRobin,
            slot: Bytes(512 << 10),
            slots: 8,
            small: Bytes(4 << 10),
            credits: 64,
            inline: None,
            depth: 128,
            signal_every: 16,
            post_list: 16,
            huge_pages: false,
            pacing: None,
            mtu: None,
            service_level: 0,
            dscp: 0,
            ecn: Ecn::NotEct,
            flow_labels: Vec::new(),
            hop_limit: 64,
            pkey_index: 0,
            timeout: 16,
            retry_count: 6,
            rnr_retry: 7,
            min_rnr_timer: 12,
        }
    }
}
