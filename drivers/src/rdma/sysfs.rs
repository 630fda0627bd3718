//! Reads `/sys/class/infiniband` (Linux, Documentation/ABI/stable/sysfs-class-infiniband).

use std::fs::{self, File};
use std::io::Read;
use std::net::Ipv6Addr;
use std::path::{Path, PathBuf};

use super::{Device, GidEntry, GidKind, Port};

const ROOT: &str = "/sys/class";
/// GID tables are 256 entries long at most.
const GIDS: u16 = 256;

/// All RDMA devices that this network namespace sees, by name.
pub fn list() -> Vec<Device> {
    list_in(Path::new(ROOT))
}

/// The device of this name, if there is one. Much less is read than for all of them: a port can have hundreds of GIDs.
pub fn named(name: &str) -> Option<Device> {
    let class = Path::new(ROOT);
    let folder = class.join("infiniband");
    let known = names(&folder).iter().any(|known| known == name);
    known.then(|| device(class, &folder.join(name), name.to_owned()))
}

/// All devices, of another `/sys/class`.
pub fn list_in(class: &Path) -> Vec<Device> {
    let folder = class.join("infiniband");
    names(&folder)
        .into_iter()
        .map(|name| device(class, &folder.join(&name), name))
        .collect()
}

/// Counters of a port, and of its device, by name: those of `counters` and `hw_counters`.
pub fn counters(device: &str, port: u8) -> Vec<(String, u64)> {
    let device = Path::new(ROOT).join("infiniband").join(device);
    let port = device.join("ports").join(port.to_string());
    let folders = [
        port.join("counters"),
        port.join("hw_counters"),
        device.join("hw_counters"),
    ];
    folders.iter().flat_map(|folder| numbers(folder)).collect()
}

fn numbers(folder: &Path) -> Vec<(String, u64)> {
    let number = |name: String| Some((read(&folder.join(&name))?.parse().ok()?, name));
    let settings = |name: &String| name == "lifespan";
    names(folder)
        .into_iter()
        .filter(|name| !settings(name))
        .filter_map(number)
        .map(|(value, name)| (name, value))
        .collect()
}

fn device(class: &Path, folder: &Path, name: String) -> Device {
    let driver = fs::read_link(folder.join("device/driver")).ok();
    let numa: Option<i32> = read(&folder.join("device/numa_node")).and_then(|n| n.parse().ok());
    let mut ports: Vec<Port> = names(&folder.join("ports"))
        .into_iter()
        .filter_map(|number| number.parse().ok())
        .map(|number| port(class, folder, number))
        .collect();
    ports.sort_by_key(|port| port.number);
    Device {
        driver: driver.as_deref().and_then(Path::file_name).map(text_of),
        model: read(&folder.join("hca_type")),
        firmware: read(&folder.join("fw_ver")),
        revision: read(&folder.join("hw_rev")),
        board: read(&folder.join("board_id")),
        guid: read(&folder.join("node_guid")),
        node_type: read(&folder.join("node_type")),
        numa_node: numa.and_then(|node| u32::try_from(node).ok()),
        ports,
        name,
    }
}

fn port(class: &Path, device: &Path, number: u8) -> Port {
    let folder = device.join("ports").join(number.to_string());
    let gids = gids(&folder);
    let netdev = gids
        .iter()
        .find_map(|gid| gid.netdev.clone())
        .or_else(|| read(&device.join("parent")))
        .or_else(|| netdev_of_card(device, number));
    let interface = netdev.as_ref().map(|name| class.join("net").join(name));
    let of_interface = |file: &str| interface.as_ref().and_then(|path| read(&path.join(file)));
    Port {
        number,
        state: after_number(read(&folder.join("state"))),
        physical: after_number(read(&folder.join("phys_state"))),
        link_layer: read(&folder.join("link_layer")).unwrap_or_default(),
        rate: read(&folder.join("rate")),
        netdev_mtu: of_interface("mtu").and_then(|mtu| mtu.parse().ok()),
        netdev_up: of_interface("operstate").map(|state| state == "up" || state == "unknown"),
        netdev,
        gids,
    }
}

/// A card with one port per PCI function has its interface beside the RDMA device.
fn netdev_of_card(device: &Path, number: u8) -> Option<String> {
    let at = |name: &String| {
        let file = device.join("device/net").join(name).join("dev_port");
        read(&file).and_then(|n| n.parse::<u8>().ok()) == number.checked_sub(1)
    };
    names(&device.join("device/net")).into_iter().find(at)
}

fn gids(port: &Path) -> Vec<GidEntry> {
    (0..GIDS).map_while(|index| gid(port, index)).flatten().collect()
}

/// An entry; `None` at the end of the table, `Some(None)` for an empty one.
fn gid(port: &Path, index: u16) -> Option<Option<GidEntry>> {
    let file = |folder: &str| -> PathBuf { port.join(folder).join(index.to_string()) };
    let text = read(&file("gids"))?;
    let Some(address) = text.parse::<Ipv6Addr>().ok().filter(|gid| !gid.is_unspecified()) else {
        return Some(None);
    };
    let kind = match read(&file("gid_attrs/types")).as_deref() {
        Some("RoCE v2") => GidKind::RoceV2,
        _ => GidKind::Native,
    };
    Some(Some(GidEntry {
        index,
        gid: address.octets(),
        kind,
        netdev: read(&file("gid_attrs/ndevs")).filter(|name| !name.is_empty()),
    }))
}

/// `4: ACTIVE` is `ACTIVE`.
fn after_number(text: Option<String>) -> String {
    let text = text.unwrap_or_default();
    text.split_once(": ")
        .map_or(text.clone(), |(_, word)| word.to_owned())
}

fn names(folder: &Path) -> Vec<String> {
    let Ok(entries) = fs::read_dir(folder) else {
        return Vec::new();
    };
    let mut names: Vec<String> = entries
        .flatten()
        .map(|entry| text_of(&entry.file_name()))
        .collect();
    names.sort();
    names
}

fn text_of(name: &std::ffi::OsStr) -> String {
    name.to_string_lossy().into_owned()
}

/// A file of sysfs comes in one read, and holds a page at most.
fn read(path: &Path) -> Option<String> {
    let mut page = [0; 4096];
    let count = File::open(path).ok()?.read(&mut page).ok()?;
    let text = std::str::from_utf8(&page[..count]).ok()?;
    Some(text.trim().to_owned())
}
