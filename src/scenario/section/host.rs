//! `[host]`: the machine's own interfaces, for `fabric = "host"`.

use std::net::{IpAddr, Ipv4Addr};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The machine's own interfaces.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Host {
    /// Addresses that every rank listens on and dials from; channel c uses the c-th, round robin.
    #[schemars(with = "Vec<String>")]
    pub addresses: Vec<IpAddr>,
}

impl Default for Host {
    fn default() -> Self {
        Host {
            addresses: vec![IpAddr::V4(Ipv4Addr::LOCALHOST)],
        }
    }
}
