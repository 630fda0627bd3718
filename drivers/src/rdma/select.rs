//! Which device, port and GID serve a rank, by its address or by name; and in words why none does.

use std::net::IpAddr;

use super::{Device, GidEntry, GidKind, Port};

/// What is wanted.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Wish {
    /// Device by name; `None`: the one that has the address.
    pub device: Option<String>,
    /// Port, from 1; `None`: the one that has the address, or the first.
    pub port: Option<u8>,
    /// GID by index; `None`: the RoCE v2 one of the address.
    pub gid_index: Option<u16>,
    /// Address that the GID must be.
    pub address: Option<IpAddr>,
}

/// What was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Selected {
    /// Device.
    pub device: Device,
    /// Port.
    pub port: Port,
    /// GID.
    pub gid: GidEntry,
}

/// Why nothing was found. Messages end in what to do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SelectError {
    /// None at all.
    #[error("this machine has no RDMA device\nhelp: load the card's driver, or use fabric = \"soft-roce\"")]
    NoDevice,
    /// None of that name.
    #[error("there is no RDMA device `{name}`\nhelp: there are {known}")]
    UnknownDevice {
        /// The name.
        name: String,
        /// Those that are there.
        known: String,
    },
    /// No such port.
    #[error("{device} has no port {port}\nhelp: it has {ports} port(s), counted from 1")]
    NoPort {
        /// Device.
        device: String,
        /// The port.
        port: u8,
        /// How many it has.
        ports: usize,
    },
    /// The port does not carry traffic.
    #[error("port {port} of {device} is {state} ({physical})\nhelp: {help}")]
    Down {
        /// Device.
        device: String,
        /// The port.
        port: u8,
        /// Logical state.
        state: String,
        /// Physical state.
        physical: String,
        /// What to do.
        help: String,
    },
    /// No GID at that index.
    #[error("port {port} of {device} has no GID at index {index}\nhelp: it has {known}")]
    NoGidAt {
        /// Device.
        device: String,
        /// The port.
        port: u8,
        /// The index.
        index: u16,
        /// Those that are there.
        known: String,
    },
    /// No device has the address.
    #[error("no RDMA device has a RoCE v2 GID for {address}\nhelp: {known}")]
    NoGidFor {
        /// The address.
        address: String,
        /// GIDs that are there.
        known: String,
    },
}

/// Finds what is wanted among `devices`.
///
/// # Errors
/// The first thing that does not fit, with what is there instead.
pub fn select(devices: &[Device], wish: &Wish) -> Result<Selected, SelectError> {
    if devices.is_empty() {
        return Err(SelectError::NoDevice);
    }
    let candidates: Vec<&Device> = devices
        .iter()
        .filter(|device| wish.device.as_ref().is_none_or(|name| *name == device.name))
        .collect();
    if candidates.is_empty() {
        let known: Vec<&str> = devices.iter().map(|device| device.name.as_str()).collect();
        return Err(SelectError::UnknownDevice {
            name: wish.device.clone().unwrap_or_default(),
            known: known.join(", "),
        });
    }
    let (device, port, gid) = match wish.gid_index {
        Some(index) => by_index(&candidates, wish, index)?,
        None => by_address(&candidates, wish)?,
    };
    check(device, port)?;
    Ok(Selected {
        device: device.clone(),
        port: port.clone(),
        gid: gid.clone(),
    })
}

type Found<'a> = (&'a Device, &'a Port, &'a GidEntry);

fn by_index<'a>(candidates: &[&'a Device], wish: &Wish, index: u16) -> Result<Found<'a>, SelectError> {
    // Without a name the index is looked up on the device that has the address, else on the first.
    let device = match by_address(candidates, wish) {
        Ok((device, _, _)) => device,
        Err(_) => candidates[0],
    };
    let number = wish.port.unwrap_or(1);
    let port = port_of(device, number)?;
    let gid = port.gids.iter().find(|gid| gid.index == index);
    let gid = gid.ok_or_else(|| SelectError::NoGidAt {
        device: device.name.clone(),
        port: number,
        index,
        known: known(&[device]),
    })?;
    Ok((device, port, gid))
}

fn by_address<'a>(candidates: &[&'a Device], wish: &Wish) -> Result<Found<'a>, SelectError> {
    if let (Some(port), [device]) = (wish.port, candidates) {
        port_of(device, port)?;
    }
    let fits = |port: &Port, gid: &GidEntry| {
        let usable = gid.kind == GidKind::RoceV2 || port.link_layer == "InfiniBand";
        let address = wish.address.is_none_or(|address| gid.address() == address);
        usable && address && wish.port.is_none_or(|number| number == port.number)
    };
    let all = candidates.iter().flat_map(|device| {
        let ports = device.ports.iter();
        ports.flat_map(move |port| port.gids.iter().map(move |gid| (*device, port, gid)))
    });
    // Without an address: routable before link-local, IPv4 before IPv6, active ports before others.
    let rank = |(_, port, gid): &Found<'_>| {
        let local = gid.gid[0] == 0xfe && gid.gid[1] & 0xc0 == 0x80;
        (!port.active(), local, gid.address().is_ipv6(), gid.index)
    };
    all.filter(|(_, port, gid)| fits(port, gid))
        .min_by_key(rank)
        .ok_or_else(|| SelectError::NoGidFor {
            address: wish.address.map_or("any address".to_owned(), |a| a.to_string()),
            known: known(candidates),
        })
}

fn port_of(device: &Device, number: u8) -> Result<&Port, SelectError> {
    let port = device.ports.iter().find(|port| port.number == number);
    port.ok_or_else(|| SelectError::NoPort {
        device: device.name.clone(),
        port: number,
        ports: device.ports.len(),
    })
}

fn check(device: &Device, port: &Port) -> Result<(), SelectError> {
    if port.active() {
        return Ok(());
    }
    let help = match &port.netdev {
        Some(netdev) => format!("`ip link set {netdev} up`, and check cable and switch port"),
        None => "check cable and switch port".into(),
    };
    Err(SelectError::Down {
        device: device.name.clone(),
        port: port.number,
        state: port.state.clone(),
        physical: port.physical.clone(),
        help,
    })
}

/// The GIDs of some devices in words.
fn known(devices: &[&Device]) -> String {
    let mut list = Vec::new();
    for device in devices {
        for port in &device.ports {
            for gid in &port.gids {
                let (name, index) = (&device.name, gid.index);
                list.push(format!(
                    "{} ({}) at {name} index {index}",
                    gid.address(),
                    gid.kind
                ));
            }
        }
    }
    if list.is_empty() {
        return "there is no GID at all: give the interface an address".into();
    }
    let more = list.len().saturating_sub(8);
    list.truncate(8);
    let mut text = list.join(", ");
    if more > 0 {
        text += &format!(" and {more} more");
    }
    text
}
