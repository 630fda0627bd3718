//! What is wrong with RDMA devices, and what to do about it.

use serde::{Deserialize, Serialize};

use super::{Device, GidKind, Port};

/// Something that will keep a run from using a device, or from using it well.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// Device and port, e.g. `mlx5_0 port 1`; just `rdma` when it is about the machine.
    pub at: String,
    /// What is wrong.
    pub what: String,
    /// What to do.
    pub help: String,
}

/// What is wrong with these devices, all of the machine; nothing found: an empty list.
pub fn findings(devices: &[Device]) -> Vec<Finding> {
    if devices.is_empty() {
        return vec![Finding {
            at: "rdma".into(),
            what: "this machine has no RDMA device".into(),
            help: "load the card's driver (e.g. `modprobe mlx5_ib`), or soft-RoCE: `modprobe rdma_rxe` and \
                   `rdma link add rxe0 type rxe netdev eth0`; fabric = \"soft-roce\" needs neither"
                .into(),
        }];
    }
    devices.iter().flat_map(of_device).collect()
}

fn of_device(device: &Device) -> Vec<Finding> {
    let at = |port: &Port| format!("{} port {}", device.name, port.number);
    let of_port = |port: &Port| -> Vec<Finding> {
        let found = |(what, help): (String, String)| Finding {
            at: at(port),
            what,
            help,
        };
        checks(port).into_iter().map(found).collect()
    };
    device.ports.iter().flat_map(of_port).collect()
}

fn checks(port: &Port) -> Vec<(String, String)> {
    let netdev = port.netdev.as_deref().unwrap_or("its interface");
    let mut wrong = Vec::new();
    if !port.active() {
        let what = format!("the port is {} ({})", port.state, port.physical);
        let help = if port.netdev_up == Some(false) {
            format!("its interface is down: `ip link set {netdev} up`, and check cable and switch port")
        } else {
            "check cable and switch port; on InfiniBand, that a subnet manager runs".to_owned()
        };
        wrong.push((what, help));
    }
    if port.link_layer == "Ethernet" {
        let v2 = port.gids.iter().filter(|gid| gid.kind == GidKind::RoceV2);
        let routable = v2.filter(|gid| !link_local(gid.gid)).count();
        if routable == 0 {
            wrong.push((
                "no RoCE v2 GID but link-local ones".into(),
                format!("give {netdev} an address: `ip address add 192.0.2.1/24 dev {netdev}`"),
            ));
        }
        if let Some(mtu) = port.netdev_mtu.filter(|_| port.path_mtu() < Some(4096)) {
            let path = port.path_mtu().unwrap_or(0);
            wrong.push((
                format!("{netdev} has an MTU of {mtu}, so packets carry at most {path} bytes"),
                format!("if every switch on the way can: `ip link set {netdev} mtu 9000`"),
            ));
        }
    }
    wrong
}

/// fe80::/10.
fn link_local(gid: [u8; 16]) -> bool {
    gid[0] == 0xfe && gid[1] & 0xc0 == 0x80
}
