//! Network cards of this machine: name, driver, firmware, speed, MTU and what else decides how fast they
//! are, read from sysfs and by ethtool requests. Reading needs no privileges and changes nothing.

mod dcb;
mod ethtool;
mod module;
mod pci;
mod sysfs;

use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Serialize};

pub use ethtool::{DriverInfo, driver_info};

/// What the kernel says of one network interface. `None` and empty: the kernel does not say.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Nic {
    /// Interface name.
    pub name: String,
    /// Kernel driver (`mlx5_core`, `veth`).
    pub driver: Option<String>,
    /// The driver's version; for drivers in the kernel tree the kernel's.
    pub driver_version: Option<String>,
    /// Firmware version.
    pub firmware: Option<String>,
    /// Where it sits, e.g. its PCI address.
    pub bus: Option<String>,
    /// Negotiated speed in bits per second.
    pub speed_bps: Option<u64>,
    /// Largest packet without link header, bytes.
    pub mtu: Option<u32>,
    /// `up`, `down`, `unknown`, ... (RFC 2863 operational state).
    pub state: Option<String>,
    /// Backed by a device (PCI, USB, virtio), as opposed to one made of software (veth, bridge).
    pub hardware: bool,
    /// Further facts by name: PCI ids, PCIe speed, width and sizes, NUMA node, queues, processors of interrupts, ring
    /// sizes, pause frames, error correction, module or cable, data centre bridging.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub details: BTreeMap<String, String>,
}

/// What modules and cables have said. Their memories are slow to read and hardly change, so each is read once.
#[derive(Debug, Default)]
pub struct Modules(BTreeMap<String, Vec<(String, String)>>);

impl Modules {
    fn details(
        &mut self,
        interface: &str,
        memory: impl FnOnce(&str) -> Vec<u8>,
    ) -> impl Iterator<Item = (String, String)> {
        let known = self.0.entry(interface.to_owned());
        let known = known.or_insert_with(|| module::details(&memory(interface)));
        known.clone().into_iter()
    }
}

/// All interfaces of this network namespace by name. Empty when sysfs is not there.
pub fn list(modules: &mut Modules) -> Vec<Nic> {
    let mut nics = sysfs::list(Path::new("/sys/class/net"), Path::new("/proc/irq"));
    for nic in &mut nics {
        if let Ok(info) = driver_info(&nic.name) {
            nic.add(info);
        }
        if nic.hardware {
            nic.details.extend(ethtool::details(&nic.name));
            nic.details
                .extend(modules.details(&nic.name, ethtool::module_memory));
            nic.details.extend(dcb::details(&nic.name));
        }
    }
    nics
}

/// Whether an interface of this network namespace has a carrier; `None`: there is no such interface, or
/// it is set down.
pub fn carrier(name: &str) -> Option<bool> {
    let plain = !name.is_empty() && !name.contains('/') && name != "." && name != "..";
    let path = Path::new("/sys/class/net").join(name).join("carrier");
    let text = std::fs::read_to_string(path).ok().filter(|_| plain)?;
    Some(text.trim() == "1")
}

impl Nic {
    fn add(&mut self, info: DriverInfo) {
        let said = |text: String| Some(text).filter(|text| !text.is_empty() && text != "N/A");
        self.driver = said(info.driver).or(self.driver.take());
        self.driver_version = said(info.version);
        self.firmware = said(info.firmware);
        self.bus = said(info.bus).or(self.bus.take());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_linux_machine_has_loopback() {
        let nics = list(&mut Modules::default());
        let loopback = nics.iter().find(|nic| nic.name == "lo").unwrap();
        assert!(!loopback.hardware, "loopback is made of software");
        assert!(loopback.mtu.unwrap() >= 1500, "{loopback:?}");
    }

    #[test]
    fn the_memory_of_a_module_is_read_once() {
        let (mut modules, mut read) = (Modules::default(), 0);
        for (name, memory) in [
            ("a", vec![0x03; 512]),
            ("b", Vec::new()),
            ("a", Vec::new()),
            ("b", Vec::new()),
        ] {
            let said = modules.details(name, |_| {
                read += 1;
                memory
            });
            assert_eq!(said.count() > 0, name == "a");
        }
        assert_eq!(read, 2);
    }

    #[test]
    fn loopback_has_a_carrier_and_what_is_no_interface_has_none() {
        assert_eq!(carrier("lo"), Some(true));
        assert_eq!(
            [carrier("genie-no-such"), carrier("../net/lo"), carrier("")],
            [None; 3]
        );
    }

    #[test]
    fn what_ethtool_says_wins_and_its_blanks_do_not() {
        let mut nic = Nic {
            driver: Some("from-sysfs".into()),
            bus: Some("0000:01:00.0".into()),
            ..Nic::default()
        };
        let info = DriverInfo {
            driver: "mlx5_core".into(),
            version: "6.8.0".into(),
            firmware: "N/A".into(),
            bus: String::new(),
        };
        nic.add(info);
        assert_eq!(nic.driver.as_deref(), Some("mlx5_core"));
        assert_eq!(nic.firmware, None);
        assert_eq!(nic.bus.as_deref(), Some("0000:01:00.0"));
    }
}
