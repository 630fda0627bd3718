//! What `/sys/class/net` says of interfaces (Linux Documentation/ABI/testing/sysfs-class-net).
//! The root folder is passed in, so that tests can imitate cards that this machine does not have.

use std::fs;
use std::path::Path;

use super::Nic;

/// Every interface below `class`, by name.
pub(super) fn list(class: &Path) -> Vec<Nic> {
    let Ok(entries) = fs::read_dir(class) else {
        return Vec::new();
    };
    let mut nics: Vec<Nic> = entries
        .flatten()
        .filter(|entry| entry.path().is_dir())
        .map(|entry| read(&entry.path(), entry.file_name().to_string_lossy().into_owned()))
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
        name,
        ..Nic::default()
    }
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
        fs::write(class.join("veth0/speed"), "-1\n").unwrap();
        let nics = list(&class);
        fs::remove_dir_all(&root).unwrap();

        assert_eq!(nics.len(), 2);
        assert_eq!(nics[0].speed_bps, Some(400_000_000_000));
        assert_eq!(nics[0].driver.as_deref(), Some("mlx5_core"));
        assert_eq!(nics[0].bus.as_deref(), Some("0000:01:00.0"));
        assert_eq!((nics[0].mtu, nics[0].hardware), (Some(9000), true));
        assert_eq!((nics[1].speed_bps, nics[1].hardware), (None, false));
    }

    #[test]
    fn no_sysfs_is_no_cards() {
        assert!(list(Path::new("/nonexistent/net")).is_empty());
    }
}
