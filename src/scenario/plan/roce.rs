//! Options of the RoCE v2 endpoint in userspace, checked and resolved.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::scenario::units::{Bandwidth, Bytes, Share};

/// Options of the RoCE v2 endpoint in userspace.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RoceOptions {
    /// How packets are received.
    pub receiver: Receiver,
    /// Bytes in flight of each queue pair at most.
    pub window: Bytes,
    /// What congestion notifications do.
    pub congestion_control: Reaction,
    /// Rate that queue pairs begin with; `None`: that of the slowest link.
    pub line_rate: Option<Bandwidth>,
    /// Code point of congestion notifications.
    pub cnp_dscp: u8,
    /// Share of own packets that is dropped on purpose.
    pub loss: Share,
    /// Several packets go in one message, which the kernel or the device cuts.
    pub segmentation: bool,
    /// Folder for captures, one for each rank.
    pub capture: Option<String>,
}

/// How an endpoint receives packets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Receiver {
    /// On a UDP socket, several in one call.
    #[default]
    Udp,
    /// Whole frames, by a raw socket: needs CAP_NET_RAW, and another interface than loopback.
    Raw,
}

/// What an endpoint does when it is notified of congestion.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Reaction {
    /// Nothing: notifications are counted.
    #[default]
    None,
    /// DCQCN with the parameters of its paper (SIGCOMM 2015).
    Dcqcn,
    /// DCQCN with the parameters that ConnectX cards come with.
    DcqcnConnectx,
}
