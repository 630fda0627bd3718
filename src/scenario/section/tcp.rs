//! `[tcp]`: options of the TCP transport.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::scenario::units::{Bandwidth, Bytes};

/// Options of the TCP transport.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Tcp {
    /// Parallel connections between two ranks, 1 to 64.
    pub channels: u32,
    /// Congestion control by the kernel's name for it.
    pub congestion_control: String,
    /// SO_SNDBUF; when absent the transport chooses.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub send_buffer: Option<Bytes>,
    /// SO_RCVBUF; when absent the kernel tunes it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub receive_buffer: Option<Bytes>,
    /// Differentiated services code point of all packets, 0 to 63.
    pub dscp: u32,
    /// Largest rate of one connection, nominal. When absent, large messages of direct all-to-all, all-gather,
    /// reduce-scatter and all-reduce keep to their shares of the busiest shaped link, and nothing else is paced.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pacing: Option<Bandwidth>,
    /// Largest slice of a message that one credit of the receiver covers, 1 KiB to 64 MiB.
    pub slot: Bytes,
    /// Slots per flow, 1 to 1024: the receiver's credit is slots x slot.
    pub slots: u32,
}

impl Default for Tcp {
    fn default() -> Self {
        Tcp {
            channels: 1,
            congestion_control: "cubic".into(),
            send_buffer: None,
            receive_buffer: None,
            dscp: 0,
            pacing: None,
            slot: Bytes(512 << 10),
            slots: 32,
        }
    }
}
