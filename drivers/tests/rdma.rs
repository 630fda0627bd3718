//! RDMA devices out of an imitated `/sys/class`: what is read, what is found wrong, which device serves
//! an address.

use std::fs;
use std::net::IpAddr;
use std::path::Path;

use genie_drivers::rdma::{GidKind, SelectError, Wish, findings, list_in, select};

fn put(root: &Path, file: &str, text: &str) {
    let path = root.join(file);
    fs::create_dir_all(path.parent().expect("a folder")).expect("writable");
    fs::write(path, format!("{text}\n")).expect("writable");
}

/// A device with one port and the GIDs (text, type) on interface `net`.
fn device(root: &Path, name: &str, net: &str, state: &str, gids: &[(&str, &str)]) {
    let at = |file: &str| format!("infiniband/{name}/{file}");
    put(root, &at("fw_ver"), "20.35.1012");
    put(root, &at("hca_type"), "MT4123");
    put(root, &at("device/numa_node"), "1");
    put(root, &at("ports/1/state"), state);
    put(root, &at("ports/1/phys_state"), "5: LinkUp");
    put(root, &at("ports/1/link_layer"), "Ethernet");
    put(root, &at("ports/1/rate"), "100 Gb/sec (4X EDR)");
    for (index, (gid, kind)) in gids.iter().enumerate() {
        put(root, &at(&format!("ports/1/gids/{index}")), gid);
        put(root, &at(&format!("ports/1/gid_attrs/types/{index}")), kind);
        put(root, &at(&format!("ports/1/gid_attrs/ndevs/{index}")), net);
    }
    put(root, &format!("net/{net}/mtu"), "9000");
    put(root, &format!("net/{net}/operstate"), "up");
}

const LOCAL: (&str, &str) = ("fe80:0000:0000:0000:1234:56ff:fe78:9abc", "RoCE v2");
const EMPTY: (&str, &str) = ("0000:0000:0000:0000:0000:0000:0000:0000", "");
const OLD: (&str, &str) = ("0000:0000:0000:0000:0000:ffff:0a00:0001", "IB/RoCE v1");
const ONE: (&str, &str) = ("0000:0000:0000:0000:0000:ffff:0a00:0001", "RoCE v2");
const TWO: (&str, &str) = ("0000:0000:0000:0000:0000:ffff:0a00:0002", "RoCE v2");

fn two() -> tempfile::TempDir {
    let root = tempfile::tempdir().expect("a temporary folder");
    device(
        root.path(),
        "mlx5_0",
        "eth0",
        "4: ACTIVE",
        &[LOCAL, EMPTY, OLD, ONE],
    );
    device(root.path(), "mlx5_1", "eth1", "1: DOWN", &[LOCAL, TWO]);
    root
}

fn address(text: &str) -> Option<IpAddr> {
    Some(text.parse().expect("an address"))
}

#[test]
fn everything_that_the_kernel_says_is_read() {
    let root = two();
    let devices = list_in(root.path());
    let (first, port) = (&devices[0], &devices[0].ports[0]);
    assert_eq!(first.firmware.as_deref(), Some("20.35.1012"));
    assert_eq!((first.numa_node, first.driver.as_deref()), (Some(1), None));
    assert_eq!(
        (port.state.as_str(), port.physical.as_str()),
        ("ACTIVE", "LinkUp")
    );
    assert_eq!(
        (port.netdev.as_deref(), port.netdev_mtu),
        (Some("eth0"), Some(9000))
    );
    assert_eq!(port.path_mtu(), Some(4096));
    let indices: Vec<_> = port.gids.iter().map(|gid| (gid.index, gid.kind)).collect();
    let expected = [(0, GidKind::RoceV2), (2, GidKind::Native), (3, GidKind::RoceV2)];
    assert_eq!(indices, expected);
    assert!(list_in(Path::new("/nowhere")).is_empty());
}

#[test]
fn an_address_finds_its_roce_v2_gid_and_not_the_older_one() {
    let root = two();
    let devices = list_in(root.path());
    let wish = Wish {
        address: address("10.0.0.1"),
        ..Wish::default()
    };
    let found = select(&devices, &wish).unwrap();
    assert_eq!((found.device.name.as_str(), found.gid.index), ("mlx5_0", 3));
    // Nothing asked for: routable before link-local, active ports first.
    let any = select(&devices, &Wish::default()).unwrap();
    assert_eq!((any.device.name.as_str(), any.gid.index), ("mlx5_0", 3));
}

#[test]
fn what_does_not_fit_is_said_with_what_is_there() {
    let root = two();
    let devices = list_in(root.path());
    let wish = |change: &dyn Fn(&mut Wish)| {
        let mut wish = Wish::default();
        change(&mut wish);
        select(&devices, &wish).unwrap_err()
    };
    assert!(matches!(
        select(&[], &Wish::default()),
        Err(SelectError::NoDevice)
    ));
    let unknown = wish(&|w| w.device = Some("mlx5_9".into()));
    assert_eq!(
        unknown.to_string(),
        "there is no RDMA device `mlx5_9`\nhelp: there are mlx5_0, mlx5_1"
    );
    let down = wish(&|w| w.address = address("10.0.0.2"));
    assert!(
        down.to_string()
            .starts_with("port 1 of mlx5_1 is DOWN (LinkUp)\nhelp: `ip link set eth1 up`"),
        "{down}"
    );
    let none = wish(&|w| w.address = address("10.0.0.7"));
    assert!(
        none.to_string().contains("10.0.0.1 (RoCE v2) at mlx5_0 index 3"),
        "{none}"
    );
    let index = wish(&|w| (w.device, w.gid_index) = (Some("mlx5_0".into()), Some(1)));
    assert!(matches!(index, SelectError::NoGidAt { index: 1, .. }), "{index}");
    let port = wish(&|w| (w.device, w.port) = (Some("mlx5_0".into()), Some(2)));
    assert!(matches!(port, SelectError::NoPort { port: 2, .. }), "{port}");
}

#[test]
fn findings_name_the_port_and_the_remedy() {
    let root = two();
    device(root.path(), "rxe0", "veth0", "4: ACTIVE", &[LOCAL]);
    put(root.path(), "net/veth0/mtu", "1500");
    let found = findings(&list_in(root.path()));
    let lines: Vec<String> = found.iter().map(|f| format!("{}: {}", f.at, f.what)).collect();
    assert_eq!(
        lines,
        [
            "mlx5_1 port 1: the port is DOWN (LinkUp)",
            "rxe0 port 1: no RoCE v2 GID but link-local ones",
            "rxe0 port 1: veth0 has an MTU of 1500, so packets carry at most 1024 bytes",
        ]
    );
    assert!(found[2].help.contains("ip link set veth0 mtu 9000"));
    assert_eq!(findings(&[]).len(), 1);
}
