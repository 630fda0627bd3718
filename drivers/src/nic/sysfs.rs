//! What `/sys/class/net` says of interfaces (Linux Documentation/ABI/testing/sysfs-class-net).
//! The root folder is passed in, so that tests can imitate cards that this machine does not have.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use super::{Nic, pci};

/// Interrupts that are told one by one.
const INTERRUPTS: usize = 64;

/// Every interface below `class`, by name; `interrupts` is `/proc/irq`.
pub(super) fn list(class: &Path, interrupts: &Path) -> Vec<Nic> {
    let Ok(entries) = fs::read_dir(class) else {
        return Vec::new();
    };
    let mut nics: Vec<Nic> = entries
        .flatten()
        .filter(|entry| entry.path().is_dir())
        .map(|entry| {
            let name = entry.file_name().to_string_lossy().into_owned();
            let mut nic = read(&entry.path(), name);
            nic.details.extend(processors(&entry.path(), interrupts));
            nic
        })
        .collect();
    nics.sort_by(|a, b| a.name.cmp(&b.name));
    nics
}

fn read(folder: &Path, name: String) -> Nic {
    let text = |file: &str| {
        let text = fs::read_to_string(folder.join(file)).ok()?;
        Some(text.trim().to_owned()).filter(|text| !text.is_empty())
    };
    let target = |link: &str| {
        let path = fs::read_link(folder.join(link)).ok()?;
        Some(path.file_name()?.to_string_lossy().into_owned())
    };
    // `speed` is in Mbit/s; -1 (or an error on reading) when there is none.
    let speed = text("speed").and_then(|speed| speed.parse::<i64>().ok());
    Nic {
        driver: target("device/driver"),
        bus: target("device"),
        speed_bps: speed
            .filter(|speed| *speed > 0)
            .map(|mbit| mbit as u64 * 1_000_000),
        mtu: text("mtu").and_then(|mtu| mtu.parse().ok()),
        state: text("operstate"),
        hardware: folder.join("device").exists(),
        details: details(folder),
        name,
        ..Nic::default()
    }
}

/// What decides how fast a card can be, beside its speed (Documentation/ABI/testing/sysfs-bus-pci).
fn details(folder: &Path) -> BTreeMap<String, String> {
    const FILES: &[(&str, &str)] = &[
        ("pci_vendor", "device/vendor"),
        ("pci_device", "device/device"),
        ("pci_subsystem_vendor", "device/subsystem_vendor"),
        ("pci_subsystem_device", "device/subsystem_device"),
        ("pcie_speed", "device/current_link_speed"),
        ("pcie_speed_max", "device/max_link_speed"),
        ("pcie_width", "device/current_link_width"),
        ("pcie_width_max", "device/max_link_width"),
        ("numa_node", "device/numa_node"),
        ("duplex", "duplex"),
        ("tx_queue_len", "tx_queue_len"),
        ("gro_flush_timeout", "gro_flush_timeout"),
    ];
    let value = |(name, file): &(&str, &str)| {
        let text = fs::read_to_string(folder.join(file)).ok()?;
        Some(((*name).to_owned(), text.trim().to_owned())).filter(|(_, text)| !text.is_empty())
    };
    let mut details: BTreeMap<String, String> = FILES.iter().filter_map(value).collect();
    let config = fs::read(folder.join("device/config")).unwrap_or_default();
    details.extend(pci::details(&config));
    for (kind, name) in [("rx-", "rx_queues"), ("tx-", "tx_queues")] {
        let listing = fs::read_dir(folder.join("queues"))
            .into_iter()
            .flatten()
            .flatten();
        let queues = listing
            .filter(|entry| entry.file_name().to_string_lossy().starts_with(kind))
            .count();
        if queues > 0 {
            details.insert(name.into(), queues.to_string());
        }
    }
    details
}

/// Which processors take a card's interrupts and share its queues' work.
fn processors(folder: &Path, interrupts: &Path) -> BTreeMap<String, String> {
    let text = |path: PathBuf| {
        Some(fs::read_to_string(path).ok()?.trim().to_owned()).filter(|text| !text.is_empty())
    };
    let mut found = BTreeMap::new();
    let affinity = |number: &u32| {
        let irq = interrupts.join(number.to_string());
        let list =
            text(irq.join("effective_affinity_list")).or_else(|| text(irq.join("smp_affinity_list")))?;
        Some(format!("{number}:{list}"))
    };
    let numbers = numbers_of_interrupts(folder);
    let told: Vec<String> = numbers.iter().take(INTERRUPTS).filter_map(affinity).collect();
    if !told.is_empty() {
        let more = numbers.len().saturating_sub(INTERRUPTS);
        let more = if more > 0 {
            format!(" and {more} more")
        } else {
            String::new()
        };
        found.insert("irq_processors".into(), told.join(" ") + &more);
    }
    for (name, file) in [
        ("rps_cpus", "queues/rx-0/rps_cpus"),
        ("xps_cpus", "queues/tx-0/xps_cpus"),
    ] {
        let mask = text(folder.join(file));
        // None chosen: all zeros.
        let chosen = mask.filter(|mask| mask.chars().any(|digit| !matches!(digit, '0' | ',')));
        found.extend(chosen.map(|mask| (name.into(), mask)));
    }
    found
}

/// Of the device, or of the one that it sits on: virtio's interrupts are its PCI device's. What a PCI device sits on is
/// a bridge with interrupts of its own.
fn numbers_of_interrupts(folder: &Path) -> Vec<u32> {
    let Ok(device) = fs::canonicalize(folder.join("device")) else {
        return Vec::new();
    };
    let below = device.parent().filter(|_| !device.join("config").exists());
    let listed = [Some(device.as_path()), below]
        .into_iter()
        .flatten()
        .find_map(|device| fs::read_dir(device.join("msi_irqs")).ok());
    let names = listed
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.file_name());
    let mut numbers: Vec<u32> = names.filter_map(|name| name.to_str()?.parse().ok()).collect();
    numbers.sort_unstable();
    numbers
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn a_card_and_a_veth_are_told_apart() {
        let root = std::env::temp_dir().join(format!("genie-sysfs-{}", std::process::id()));
        let class = root.join("class/net");
        let device = root.join("devices/0000:01:00.0");
        fs::create_dir_all(class.join("ens1")).unwrap();
        fs::create_dir_all(class.join("veth0")).unwrap();
        fs::create_dir_all(&device).unwrap();
        fs::create_dir_all(root.join("drivers/mlx5_core")).unwrap();
        symlink(root.join("drivers/mlx5_core"), device.join("driver")).unwrap();
        symlink(&device, class.join("ens1/device")).unwrap();
        fs::write(class.join("ens1/speed"), "400000\n").unwrap();
        fs::write(class.join("ens1/mtu"), "9000\n").unwrap();
        fs::write(class.join("ens1/operstate"), "up\n").unwrap();
        fs::write(device.join("current_link_speed"), "32.0 GT/s PCIe\n").unwrap();
        fs::create_dir_all(class.join("ens1/queues/rx-0")).unwrap();
        fs::create_dir_all(class.join("ens1/queues/rx-1")).unwrap();
        fs::write(class.join("veth0/speed"), "-1\n").unwrap();
        for (irq, list) in [("24", "0"), ("131", "2-3")] {
            fs::create_dir_all(device.join("msi_irqs")).unwrap();
            fs::write(device.join("msi_irqs").join(irq), "msix\n").unwrap();
            fs::create_dir_all(root.join("irq").join(irq)).unwrap();
            fs::write(
                root.join("irq").join(irq).join("smp_affinity_list"),
                format!("{list}\n"),
            )
            .unwrap();
        }
        fs::write(class.join("ens1/queues/rx-0/rps_cpus"), "0,00000000\n").unwrap();
        let nics = list(&class, &root.join("irq"));
        fs::remove_dir_all(&root).unwrap();

        assert_eq!(nics.len(), 2);
        assert_eq!(nics[0].speed_bps, Some(400_000_000_000));
        assert_eq!(nics[0].driver.as_deref(), Some("mlx5_core"));
        assert_eq!(nics[0].bus.as_deref(), Some("0000:01:00.0"));
        assert_eq!((nics[0].mtu, nics[0].hardware), (Some(9000), true));
        assert_eq!(nics[0].details["pcie_speed"], "32.0 GT/s PCIe");
        assert_eq!(nics[0].details["rx_queues"], "2");
        assert_eq!(nics[0].details["irq_processors"], "24:0 131:2-3");
        assert!(!nics[0].details.contains_key("rps_cpus"), "none are chosen");
        assert_eq!((nics[1].speed_bps, nics[1].hardware), (None, false));
    }

    #[test]
    fn interrupts_of_the_device_below_are_a_cards_own_but_those_of_a_bridge_are_not() {
        let root = std::env::temp_dir().join(format!("genie-sysfs-bridge-{}", std::process::id()));
        let card = root.join("bridge/card");
        fs::create_dir_all(root.join("bridge/msi_irqs")).unwrap();
        fs::write(root.join("bridge/msi_irqs/24"), "msi\n").unwrap();
        fs::create_dir_all(&card).unwrap();
        fs::create_dir_all(root.join("ens1")).unwrap();
        symlink(&card, root.join("ens1/device")).unwrap();
        let virtio = numbers_of_interrupts(&root.join("ens1"));
        fs::write(card.join("config"), [0; 64]).unwrap();
        let pci = numbers_of_interrupts(&root.join("ens1"));
        let nothing = numbers_of_interrupts(&root.join("veth0"));
        fs::remove_dir_all(&root).unwrap();
        assert_eq!((virtio, pci, nothing), (vec![24], vec![], vec![]));
    }

    #[test]
    fn no_sysfs_is_no_cards() {
        let nowhere = Path::new("/nonexistent");
        assert!(list(&nowhere.join("net"), &nowhere.join("irq")).is_empty());
    }
}
