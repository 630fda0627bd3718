//! A plan's network as namespaces and shaped links: nominal figures become real ones here.

use std::collections::BTreeMap;
use std::os::fd::BorrowedFd;
use std::time::Duration;

use genie_emu::journal::Journal;
use genie_emu::shaping::Shaper;
use genie_emu::soft_roce::Devices;
use genie_emu::spec::{FabricSpec, LinkSpec, NodeSpec, RouteSpec};
use tokio::sync::mpsc;

use super::soft_roce::{self, Port};
use crate::event::{Calibration, LinkCalibration, LinkCount};
use crate::scenario::plan::{FabricKind, Link, Network, NodeKind, Plan};
use crate::testbed::stages::Notice;

/// The fabric could not be brought up.
pub use genie_emu::fabric::FabricError as UpError;

/// Namespaces and shaped links that are up, and RDMA devices over them where the plan wants soft-RoCE.
#[derive(Debug)]
pub struct Emulated {
    /// Before the fabric, so that they go first.
    devices: Devices,
    fabric: genie_emu::fabric::Fabric,
    shared: bool,
    description: String,
}

/// What the emulator is to build for a plan.
pub fn spec(plan: &Plan, run_id: &str) -> FabricSpec {
    let network = &plan.network;
    let short = run_id.rsplit('-').next().unwrap_or(run_id);
    let nodes = network.nodes.iter().enumerate().map(|(index, node)| NodeSpec {
        name: node.name.clone(),
        shared: false,
        addresses: node.addresses.clone(),
        forwards: node.kind == NodeKind::Switch || ports(network, index) > 1,
        routes: network.routes[index]
            .iter()
            .map(|route| RouteSpec {
                to: route.to,
                interfaces: route
                    .via
                    .iter()
                    .map(|&link| interface(&network.links[link], index))
                    .collect(),
            })
            .collect(),
    });
    let links = network.links.iter().map(|link| LinkSpec {
        name: link.name.clone(),
        ends: link.ends.clone().map(|end| (end.node, end.interface)),
        rate_bps: real_rate(link, plan.dilation),
        delay: Duration::from_nanos((link.delay.0 as f64 * plan.dilation) as u64),
        loss: link.loss.fraction(),
    });
    FabricSpec {
        run: short.into(),
        nodes: nodes.collect(),
        links: links.collect(),
        mtu: network.mtu,
        congestion_control: plan.testbed.tcp.congestion_control.clone(),
    }
}

fn ports(network: &Network, node: usize) -> usize {
    network
        .links
        .iter()
        .flat_map(|l| &l.ends)
        .filter(|end| end.node == node)
        .count()
}

fn interface(link: &Link, node: usize) -> String {
    let end = link
        .ends
        .iter()
        .find(|end| end.node == node)
        .unwrap_or(&link.ends[0]);
    end.interface.clone()
}

/// A link's rate in real bits per second.
pub fn real_rate(link: &Link, dilation: f64) -> Option<u64> {
    link.rate
        .map(|rate| ((rate.0 as f64 / dilation).round() as u64).max(8))
}

impl Emulated {
    /// Builds the plan's network.
    pub fn up(plan: &Plan, run_id: &str, journal: &mut Journal) -> Result<Self, UpError> {
        let shared = plan.testbed.fabric == FabricKind::SoftRoce;
        let mut spec = spec(plan, run_id);
        if shared {
            spec = soft_roce::share_hosts(plan, spec);
        }
        let fabric = genie_emu::fabric::Fabric::up(&spec, journal)?;
        let devices = match shared {
            true => Devices::attach(&fabric)?,
            false => Devices::default(),
        };
        let own = spec.nodes.iter().filter(|node| !node.shared).count();
        let mut description = format!("{own} namespaces, {} links", spec.links.len());
        if shared {
            description += &format!(", {} soft-RoCE devices", devices.count());
        }
        Ok(Self {
            devices,
            fabric,
            shared,
            description,
        })
    }

    /// What it is, in a sentence.
    pub fn describe(&self) -> String {
        self.description.clone()
    }

    /// What could not be emulated.
    pub fn cautions(&self) -> Vec<String> {
        self.fabric.cautions().to_vec()
    }

    /// Network namespace of a host, if not ours.
    pub fn namespace(&self, node: usize) -> Option<BorrowedFd<'_>> {
        (!self.shared).then(|| self.fabric.namespace(node))
    }

    /// Interface and device of each address of a host that shares our namespace.
    pub fn ports(&self, host: usize) -> Vec<Port> {
        let port = |device: &genie_emu::soft_roce::Device| Port {
            interface: device.interface.clone(),
            device: device.name.clone(),
        };
        self.devices.of(host).map(port).collect()
    }

    /// Measures one path for each kind of access link: between two hosts that hang on it. `None` where
    /// hosts share a namespace: the measurement knows them by theirs.
    pub fn calibrate(&self, plan: &Plan) -> Result<Option<Calibration>, String> {
        if self.shared {
            return Ok(None);
        }
        let mut links = Vec::new();
        for (from, to) in pairs(plan) {
            let found = genie_emu::calibrate::measure(&self.fabric, from, to)
                .map_err(|e| format!("calibration failed: {e}"))?;
            let shaper = |rate| Shaper::for_link(rate, plan.network.mtu).to_string();
            links.push(LinkCalibration {
                shaper: found.nominal_bps.map_or_else(|| "none".into(), shaper),
                wanted_bps: found.nominal_bps.map(|rate| rate as f64),
                measured_bps: found.measured_bps,
                hops: found.hops,
                wanted_one_way_us: found.wire_us,
                measured_one_way_us: found.one_way_us,
            });
        }
        Ok(Some(Calibration { links }))
    }

    /// Reports links that others delete or set down.
    pub fn watch(&self, notices: mpsc::UnboundedSender<Notice>) -> Result<(), String> {
        let mut watch = self.fabric.watch().map_err(|e| e.to_string())?;
        std::thread::spawn(move || {
            while !watch.closed() {
                let Ok(lost) = watch.wait(Duration::from_secs(1)) else {
                    return;
                };
                if lost.is_some_and(|link| notices.send(Notice::LinkLost(link.name)).is_err()) {
                    return;
                }
            }
        });
        Ok(())
    }

    /// Bytes and drops counted so far on each link.
    pub fn link_counts(&self) -> Option<Vec<LinkCount>> {
        let counts = self.fabric.counters().ok()?;
        Some(
            counts
                .into_iter()
                .zip(&self.fabric.spec().links)
                .map(|(c, link)| LinkCount {
                    link: link.name.clone(),
                    bytes: c.directions.map(|d| d.bytes),
                    drops: c.directions.map(|d| d.drops),
                })
                .collect(),
        )
    }

    /// Takes everything down; gives a sentence for each thing that could not be removed.
    pub fn down(&mut self) -> Vec<String> {
        let mut left = self.devices.detach();
        left.extend(self.fabric.down());
        left
    }
}

/// Two hosts for each access rate, the first that have it.
fn pairs(plan: &Plan) -> Vec<(usize, usize)> {
    let mut by_rate: BTreeMap<Option<u64>, Vec<usize>> = BTreeMap::new();
    for place in &plan.ranks {
        let access = plan
            .network
            .links
            .iter()
            .find(|l| l.ends.iter().any(|end| end.node == place.host));
        let hosts = by_rate
            .entry(access.and_then(|l| real_rate(l, plan.dilation)))
            .or_default();
        if !hosts.contains(&place.host) {
            hosts.push(place.host);
        }
    }
    by_rate
        .into_values()
        .filter(|hosts| hosts.len() > 1)
        .map(|hosts| (hosts[0], hosts[1]))
        .collect()
}
