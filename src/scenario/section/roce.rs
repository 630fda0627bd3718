//! `[roce-user]`: options of the RoCE v2 endpoint in userspace. Those of its queue pairs are in `[rdma]`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::scenario::plan::roce::{Reaction, Receiver};
use crate::scenario::units::{Bandwidth, Bytes, Share};

/// Options of the RoCE v2 endpoint in userspace.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RoceUser {
    /// How packets are received: `udp` or `raw`.
    pub receiver: Receiver,
    /// Bytes in flight of each queue pair at most, 4 KiB to 64 MiB.
    pub window: Bytes,
    /// What congestion notifications do: `none`, `dcqcn` or `dcqcn-connectx`.
    pub congestion_control: Reaction,
    /// Rate that queue pairs begin with and return to under DCQCN; when absent that of the slowest link, and 100 Gbit/s
    /// where links have none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub line_rate: Option<Bandwidth>,
    /// Code point of congestion notifications, 0 to 63.
    pub cnp_dscp: u32,
    /// Share of own packets that is dropped on purpose, before they leave.
    pub loss: Share,
    /// Several packets go in one message, which the kernel or the device cuts.
    pub segmentation: bool,
    /// Every rank writes all its packets to a file `rank-N.pcap` in this folder.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub capture: Option<String>,
}

impl RoceUser {
    /// Nothing was chosen.
    pub fn is_default(&self) -> bool {
        *self == RoceUser::default()
    }
}

impl Default for RoceUser {
    fn default() -> Self {
        RoceUser {
            receiver: Receiver::Udp,
            window: Bytes(256 << 10),
            congestion_control: Reaction::None,
            line_rate: None,
            cnp_dscp: 48,
            loss: Share::default(),
            segmentation: true,
            capture: None,
        }
    }
}
