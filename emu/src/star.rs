//! The simplest fabric: hosts on one switch. For tests, examples and measurements of the machine.

use std::net::Ipv4Addr;
use std::time::Duration;

use crate::spec::{FabricSpec, LinkSpec, NodeSpec, Role, RouteSpec};

/// The address of host `number` in [`star`].
pub fn star_address(number: usize) -> Ipv4Addr {
    Ipv4Addr::from(u32::from(Ipv4Addr::new(10, 0, 0, 1)) + number as u32)
}

/// `hosts` hosts `h0`... and one switch `sw`, the last node; link `n` is between host `n` and the switch.
pub fn star(run: &str, hosts: usize, rate_bps: Option<u64>, mtu: u32) -> FabricSpec {
    let host = |number| NodeSpec {
        name: format!("h{number}"),
        shared: false,
        addresses: vec![star_address(number)],
        forwards: false,
        routes: vec![RouteSpec {
            to: None,
            interfaces: vec!["eth0".into()],
        }],
        role: Role::Ordinary,
    };
    let route = |number| RouteSpec {
        to: Some(star_address(number)),
        interfaces: vec![format!("p{number}")],
    };
    let switch = NodeSpec {
        name: "sw".into(),
        shared: false,
        addresses: Vec::new(),
        forwards: true,
        routes: (0..hosts).map(route).collect(),
        role: Role::Ordinary,
    };
    let link = |number| LinkSpec {
        name: format!("h{number}-sw"),
        ends: [(number, "eth0".into()), (hosts, format!("p{number}"))],
        rate_bps,
        delay: Duration::ZERO,
        loss: 0.0,
    };
    FabricSpec {
        run: run.into(),
        nodes: (0..hosts).map(host).chain([switch]).collect(),
        links: (0..hosts).map(link).collect(),
        mtu,
        congestion_control: "cubic".into(),
    }
}
