//! Soft-RoCE: RDMA devices in software (the kernel's `rdma_rxe`) over the interfaces of a fabric's shared
//! nodes. Before Linux 7 the driver knows no network namespaces, so these nodes share the first one;
//! their packets still leave by their own interface and cross the fabric's switches.

use std::fs;
use std::io;
use std::net::Ipv4Addr;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use crate::fabric::Fabric;
use crate::netlink::NetlinkError;
use crate::netlink::rdma::RdmaNetlink;
use crate::privilege::{self, Privilege};

/// Devices are ready within milliseconds; an emulated processor takes longer.
const READY: Duration = Duration::from_secs(5);
const DEVICES: &str = "/sys/class/infiniband";

/// Why a device could not be made.
#[derive(Debug, thiserror::Error)]
pub enum DeviceError {
    /// The kernel refused.
    #[error("{source}{}", hint(.source))]
    Refused {
        /// What, and why.
        #[from]
        source: NetlinkError,
    },
    /// There is no RDMA in this kernel, or this process may not use it.
    #[error("cannot speak to the kernel's RDMA subsystem: {0}")]
    NoRdma(io::Error),
    /// It is there, but not for use.
    #[error("soft-RoCE device {0} does not become active with its address")]
    NotReady(String),
}

fn hint(error: &NetlinkError) -> &'static str {
    match error.raw_os_error() {
        // Linux 6.1 and 6.12 do not say so themselves.
        Some(libc::ENOENT) => {
            "\nhelp: the driver needs the checksum of module crc32_generic: sudo modprobe crc32_generic"
        }
        Some(libc::EINVAL) => "\nhelp: sudo modprobe rdma_rxe",
        _ => "",
    }
}

/// A soft-RoCE device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Device {
    /// The node it belongs to.
    pub node: usize,
    /// Its name, and that of the interface under it.
    pub name: String,
    /// The interface.
    pub interface: String,
    /// Its address; the device has a GID for it.
    pub address: Ipv4Addr,
}

/// Why soft-RoCE devices for these addresses cannot be made here; `None`: nothing is in the way.
pub fn obstacle(addresses: &[Ipv4Addr]) -> Option<String> {
    if !Path::new("/sys/module/rdma_rxe").exists() {
        return Some("the module `rdma_rxe` is not loaded in this kernel".into());
    }
    if privilege::current() != Some(Privilege::Root) {
        return Some("making RDMA devices needs root".into());
    }
    let strict =
        fs::read_to_string("/proc/sys/net/ipv4/conf/all/rp_filter").is_ok_and(|text| text.trim() == "1");
    if strict {
        return Some("net.ipv4.conf.all.rp_filter is 1, so that packets between two of this machine's own addresses are dropped".into());
    }
    let routes = fs::read_to_string("/proc/net/route").unwrap_or_default();
    let taken = addresses
        .iter()
        .find_map(|&address| Some((address, covering(&routes, address)?)));
    taken.map(|(address, interface)| {
        format!(
            "{address}, an address of the fabric, is in a network that this machine reaches by {interface}"
        )
    })
}

/// The interface of a route (but the default route) to an address, by `/proc/net/route`.
fn covering(routes: &str, address: Ipv4Addr) -> Option<&str> {
    let covers = |line: &&str| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let number = |field: usize| u32::from_str_radix(fields.get(field)?, 16).ok();
        let (Some(to), Some(mask)) = (number(1), number(7)) else {
            return false;
        };
        // Written as the processor holds what is in network order.
        let address = u32::from_ne_bytes(address.octets());
        mask != 0 && address & mask == to & mask
    };
    routes.lines().find(covers)?.split_whitespace().next()
}

/// The devices of a fabric. They go with their interfaces, at the latest.
#[derive(Debug, Default)]
pub struct Devices {
    devices: Vec<Device>,
}

impl Devices {
    /// Makes one over each interface of the fabric's shared nodes.
    pub fn attach(fabric: &Fabric) -> Result<Self, DeviceError> {
        let mut rdma = RdmaNetlink::open().map_err(DeviceError::NoRdma)?;
        let devices = planned(fabric);
        for device in &devices {
            rdma.add_rxe(&device.name, &device.interface)?;
        }
        for device in &devices {
            wait_ready(device)?;
        }
        Ok(Self { devices })
    }

    /// Those of a node, in the order of its addresses.
    pub fn of(&self, node: usize) -> impl Iterator<Item = &Device> {
        self.devices.iter().filter(move |device| device.node == node)
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.devices.len()
    }

    /// Deletes them; gives what could not be deleted.
    pub fn detach(&mut self) -> Vec<String> {
        if self.devices.is_empty() {
            return Vec::new();
        }
        let mut rdma = match RdmaNetlink::open() {
            Ok(rdma) => rdma,
            Err(e) => return vec![e.to_string()],
        };
        let devices = self.devices.drain(..);
        devices
            .filter_map(|device| rdma.delete(&device.name).err())
            .map(|e| e.to_string())
            .collect()
    }
}

fn planned(fabric: &Fabric) -> Vec<Device> {
    let spec = fabric.spec();
    let mut devices = Vec::new();
    for (number, node) in spec.nodes.iter().enumerate().filter(|(_, node)| node.shared) {
        let ends = spec.links.iter().flat_map(|link| &link.ends);
        let own = ends.filter(|end| end.0 == number).zip(&node.addresses);
        devices.extend(own.map(|((_, interface), &address)| Device {
            node: number,
            name: format!("rxe-{interface}"),
            interface: interface.clone(),
            address,
        }));
    }
    devices
}

/// Active, and with a GID for its address: `::ffff:a.b.c.d`.
fn wait_ready(device: &Device) -> Result<(), DeviceError> {
    let port = Path::new(DEVICES).join(&device.name).join("ports/1");
    let [a, b, c, d] = device.address.octets();
    let wanted = format!("0000:0000:0000:0000:0000:ffff:{a:02x}{b:02x}:{c:02x}{d:02x}");
    let has_gid = || {
        (0..16).any(|index| {
            let gid = fs::read_to_string(port.join(format!("gids/{index}")));
            gid.is_ok_and(|gid| gid.trim() == wanted)
        })
    };
    let active = || fs::read_to_string(port.join("state")).is_ok_and(|state| state.contains("ACTIVE"));
    let start = Instant::now();
    while !(active() && has_gid()) {
        if start.elapsed() > READY {
            return Err(DeviceError::NotReady(device.name.clone()));
        }
        thread::sleep(Duration::from_millis(2));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_in_use_are_seen() {
        let routes = "Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\tMTU\tWindow\tIRTT\n\
            eth0\t00000000\t010011AC\t0003\t0\t0\t0\t00000000\t0\t0\t0\n\
            eth1\t0000000A\t00000000\t0001\t0\t0\t0\t0000FFFF\t0\t0\t0\n";
        assert_eq!(covering(routes, Ipv4Addr::new(10, 0, 0, 1)), Some("eth1"));
        assert_eq!(covering(routes, Ipv4Addr::new(10, 1, 0, 1)), None);
        assert_eq!(covering("", Ipv4Addr::LOCALHOST), None);
    }
}
