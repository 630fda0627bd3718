//! What the kernel says of the machine itself: NUMA, power, memory pages, RDMA devices. Every file may be
//! missing; what is not there is left out.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use genie_drivers::rdma::{Device, list_in};

use super::text;

/// Names of the entries of a folder below `root`, sorted; empty if it is not there.
fn entries(root: &Path, folder: &str) -> Vec<String> {
    let Ok(listing) = fs::read_dir(root.join(folder)) else {
        return Vec::new();
    };
    let mut names: Vec<String> = listing
        .flatten()
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}

/// NUMA nodes by name: `cpus 0-15, 64311 MiB`.
pub(super) fn numa(root: &Path) -> BTreeMap<String, String> {
    let nodes = entries(root, "sys/devices/system/node");
    let is_node = |name: &String| {
        name.strip_prefix("node")
            .is_some_and(|n| n.parse::<u32>().is_ok())
    };
    let node = |name: String| {
        let folder = format!("sys/devices/system/node/{name}");
        let cpus = text(root, &format!("{folder}/cpulist")).unwrap_or_else(|| "none".into());
        let memory = text(root, &format!("{folder}/meminfo")).unwrap_or_default();
        let total = memory.lines().find(|line| line.contains("MemTotal:"));
        let kib = total.and_then(|line| line.split_whitespace().nth(3)?.parse::<u64>().ok());
        let memory = kib.map(|kib| format!(", {} MiB", kib >> 10)).unwrap_or_default();
        (name, format!("cpus {cpus}{memory}"))
    };
    nodes.into_iter().filter(is_node).map(node).collect()
}

/// Switches of power and scheduling that change how long things take, by name.
pub(super) fn switches(root: &Path, cpuinfo: &str) -> BTreeMap<String, String> {
    const FILES: &[(&str, &str)] = &[
        ("smt", "sys/devices/system/cpu/smt/control"),
        ("idle_driver", "sys/devices/system/cpu/cpuidle/current_driver"),
        (
            "frequency_driver",
            "sys/devices/system/cpu/cpu0/cpufreq/scaling_driver",
        ),
        ("boost", "sys/devices/system/cpu/cpufreq/boost"),
        ("no_turbo", "sys/devices/system/cpu/intel_pstate/no_turbo"),
        ("isolated_cpus", "sys/devices/system/cpu/isolated"),
        ("nohz_full", "sys/devices/system/cpu/nohz_full"),
        ("numa_balancing", "proc/sys/kernel/numa_balancing"),
        ("kernel_build", "proc/sys/kernel/version"),
        ("board", "sys/class/dmi/id/board_name"),
        ("bios", "sys/class/dmi/id/bios_version"),
    ];
    let mut found: BTreeMap<String, String> = FILES
        .iter()
        .filter_map(|(name, path)| Some(((*name).to_owned(), text(root, path)?)))
        .collect();
    let microcode = cpuinfo.lines().find(|line| line.starts_with("microcode"));
    let value = microcode.and_then(|line| Some(line.split_once(':')?.1.trim().to_owned()));
    found.extend(value.map(|value| ("microcode".to_owned(), value)));
    let states = entries(root, "sys/devices/system/cpu/cpu0/cpuidle");
    let state = |name: String| text(root, &format!("sys/devices/system/cpu/cpu0/cpuidle/{name}/name"));
    let states: Vec<String> = states.into_iter().filter_map(state).collect();
    found.extend((!states.is_empty()).then(|| ("idle_states".to_owned(), states.join(" "))));
    let units = entries(root, "sys/class/iommu");
    found.extend((!units.is_empty()).then(|| ("iommu".to_owned(), units.join(" "))));
    let memory = text(root, "proc/meminfo").unwrap_or_default();
    let pages = memory
        .lines()
        .find_map(|line| line.strip_prefix("HugePages_Total:"));
    found.extend(pages.map(|pages| ("huge_pages".to_owned(), pages.trim().to_owned())));
    found
}

/// The word in brackets: `always [madvise] never`.
pub(super) fn chosen(text: &str) -> Option<String> {
    let (_, rest) = text.split_once('[')?;
    Some(rest.split_once(']')?.0.to_owned())
}

/// RDMA devices by name, each with what sysfs says of it and of its ports, under sysfs' names.
pub(super) fn rdma(root: &Path) -> BTreeMap<String, BTreeMap<String, String>> {
    let devices = list_in(&root.join("sys/class"));
    devices
        .into_iter()
        .map(|device| (device.name.clone(), facts(device)))
        .collect()
}

fn facts(device: Device) -> BTreeMap<String, String> {
    let own = [
        ("fw_ver", device.firmware),
        ("hca_type", device.model),
        ("hw_rev", device.revision),
        ("board_id", device.board),
        ("node_guid", device.guid),
        ("node_type", device.node_type),
    ];
    let own = own.into_iter().map(|(name, value)| (name.to_owned(), value));
    let of_ports = device.ports.into_iter().flat_map(|port| {
        let first = port.gids.first();
        let facts = [
            ("state", Some(port.state)),
            ("phys_state", Some(port.physical)),
            ("link_layer", Some(port.link_layer)),
            ("rate", port.rate),
            ("netdev", port.netdev),
            ("gid", first.map(|entry| entry.address().to_string())),
        ];
        facts.map(|(name, value)| (format!("port_{}_{name}", port.number), value))
    });
    let known = own
        .chain(of_ports)
        .filter_map(|(name, value)| Some((name, value?)));
    known.filter(|(_, value)| !value.is_empty()).collect()
}

/// Limits of this process that networking meets, soft and hard (proc_pid_limits(5)).
pub(super) fn limits(root: &Path) -> BTreeMap<String, String> {
    const NAMES: &[(&str, &str)] = &[
        ("open_files", "Max open files"),
        ("locked_memory", "Max locked memory"),
        ("processes", "Max processes"),
        ("realtime_priority", "Max realtime priority"),
    ];
    let limits = text(root, "proc/self/limits").unwrap_or_default();
    let of = |(name, title): &(&str, &str)| {
        let line = limits.lines().find_map(|line| line.strip_prefix(title))?;
        let mut words = line.split_whitespace();
        Some((
            (*name).to_owned(),
            format!("{} of {}", words.next()?, words.next()?),
        ))
    };
    NAMES.iter().filter_map(of).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_with_two_numa_nodes_and_a_card() {
        let root = tempfile::tempdir().unwrap();
        let write = |path: &str, text: &str| {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        write("sys/devices/system/node/node0/cpulist", "0-7\n");
        write(
            "sys/devices/system/node/node0/meminfo",
            "Node 0 MemTotal:  2097152 kB\n",
        );
        write("sys/devices/system/node/node1/cpulist", "8-15\n");
        write("sys/devices/system/node/possible", "0-1\n");
        write("sys/class/infiniband/mlx5_0/fw_ver", "28.43.1014\n");
        write(
            "sys/class/infiniband/mlx5_0/ports/1/rate",
            "400 Gb/sec (4X NDR)\n",
        );
        write(
            "proc/self/limits",
            "Limit  Soft  Hard  Units\nMax open files            1024                 524288  files\n",
        );
        write("sys/devices/system/cpu/smt/control", "on\n");
        let numa = numa(root.path());
        assert_eq!(numa["node0"], "cpus 0-7, 2048 MiB");
        assert_eq!((numa["node1"].as_str(), numa.len()), ("cpus 8-15", 2));
        let rdma = rdma(root.path());
        assert_eq!(rdma["mlx5_0"]["fw_ver"], "28.43.1014");
        assert_eq!(rdma["mlx5_0"]["port_1_rate"], "400 Gb/sec (4X NDR)");
        assert_eq!(limits(root.path())["open_files"], "1024 of 524288");
        let switches = switches(root.path(), "microcode\t: 0xa1\n");
        assert_eq!(
            (switches["smt"].as_str(), switches["microcode"].as_str()),
            ("on", "0xa1")
        );
        assert_eq!(chosen("always [madvise] never").as_deref(), Some("madvise"));
    }

    #[test]
    fn a_machine_that_says_nothing() {
        let root = Path::new("/nonexistent");
        assert!(
            numa(root).is_empty()
                && switches(root, "").is_empty()
                && rdma(root).is_empty()
                && limits(root).is_empty()
        );
    }
}
