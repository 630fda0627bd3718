//! RDMA devices of this machine, as the kernel's sysfs shows them: ports, GIDs, link state, firmware,
//! counters; what is wrong with them; and which one serves an address. Reading needs no privileges, no
//! libibverbs, and changes nothing.
//!
//! * [`finding`]: what is wrong, and what to do. [`select`]: device, port and GID for a rank.

pub mod finding;
pub mod select;
mod sysfs;

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};

use serde::{Deserialize, Serialize};

pub use finding::{Finding, findings};
pub use select::{SelectError, Selected, Wish, select};
pub use sysfs::{counters, list, list_in, named};

/// An RDMA device. `None`: the kernel does not say.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Device {
    /// Name (`mlx5_0`, `rxe0`).
    pub name: String,
    /// Kernel driver of the card (`mlx5_core`); soft-RoCE has none.
    pub driver: Option<String>,
    /// Model, as the driver names it.
    pub model: Option<String>,
    /// Firmware version.
    pub firmware: Option<String>,
    /// Revision of the hardware.
    pub revision: Option<String>,
    /// Identifier of the board, as its maker's tools know it.
    pub board: Option<String>,
    /// Its identifier in fabrics.
    pub guid: Option<String>,
    /// What it is in fabrics (`1: CA`).
    pub node_type: Option<String>,
    /// NUMA node that the card sits at.
    pub numa_node: Option<u32>,
    /// Its ports, from 1.
    pub ports: Vec<Port>,
}

/// A port of a device.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Port {
    /// Number, from 1.
    pub number: u8,
    /// Logical state (`ACTIVE`, `DOWN`, `INIT`, `ARMED`).
    pub state: String,
    /// Physical state (`LinkUp`, `Disabled`, `Polling`).
    pub physical: String,
    /// `Ethernet` or `InfiniBand`.
    pub link_layer: String,
    /// Rate, as the kernel words it (`100 Gb/sec (4X EDR)`).
    pub rate: Option<String>,
    /// Network interface under it.
    pub netdev: Option<String>,
    /// Largest packet of that interface.
    pub netdev_mtu: Option<u32>,
    /// That interface is set up and has a carrier.
    pub netdev_up: Option<bool>,
    /// Its GIDs that are not empty.
    pub gids: Vec<GidEntry>,
}

/// An entry of a port's GID table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GidEntry {
    /// Its index.
    pub index: u16,
    /// The GID.
    pub gid: [u8; 16],
    /// Which packets it stands for.
    pub kind: GidKind,
    /// Interface whose address it is.
    pub netdev: Option<String>,
}

/// Which packets a GID stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum GidKind {
    /// InfiniBand, or RoCE v1: not routable.
    Native,
    /// RoCE v2: UDP over IP.
    RoceV2,
}

impl Port {
    /// It carries traffic.
    pub fn active(&self) -> bool {
        self.state == "ACTIVE"
    }

    /// The largest path MTU that fits its interface: packets of RoCE v2 over IPv6 have up to 78 bytes
    /// of headers and checksum besides (IPv6 40, UDP 8, BTH 12, RETH 16 and ImmDt 4 less overlap, ICRC 4);
    /// the kernel allows for 80 (`rdma_roce_mtu` / `eth_mtu_int_to_enum`: IB_MAX headers).
    pub fn path_mtu(&self) -> Option<u32> {
        let room = self.netdev_mtu?.saturating_sub(80);
        [4096, 2048, 1024, 512, 256].into_iter().find(|mtu| *mtu <= room)
    }
}

impl GidEntry {
    /// The IP address that a RoCE v2 GID is.
    pub fn address(&self) -> IpAddr {
        let address = Ipv6Addr::from(self.gid);
        address.to_ipv4_mapped().map_or(address.into(), IpAddr::from)
    }
}

impl fmt::Display for GidKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            GidKind::Native => "IB/RoCE v1",
            GidKind::RoceV2 => "RoCE v2",
        })
    }
}
