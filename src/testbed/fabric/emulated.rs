//! A plan's network as namespaces and shaped links: nominal figures become real ones here.

use std::collections::BTreeMap;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

use genie_emu::journal::Journal;
use genie_emu::spec::{FabricSpec, LinkSpec, NodeSpec, RouteSpec};
use tokio::sync::mpsc;

use crate::event::{Calibration, LinkCalibration, LinkCount};
use crate::scenario::plan::{Link, Network, NodeKind, Plan};
use crate::testbed::stages::Notice;

/// The fabric could not be brought up.
pub use genie_emu::fabric::FabricError as UpError;

/// Namespaces and shaped links that are up.
#[derive(Debug)]
pub struct Emulated {
    fabric: genie_emu::fabric::Fabric,
    description: String,
}

/// What the emulator is to build for a plan.
pub fn spec(plan: &Plan, run_id: &str) -> FabricSpec {
    let network = &plan.network;
    let short = run_id.rsplit('-').next().unwrap_or(run_id);
    let nodes = network.nodes.iter().enumerate().map(|(index, node)| NodeSpec {
        name: node.name.clone(),
        addresses: node.addresses.clone(),
        forwards: node.kind == NodeKind::Switch || ports(network, index) > 1,
        routes: network.routes[index]
            .iter()
            .map(|route| RouteSpec {
                to: route.to,
                interfaces: route.via.iter().map(|&link| interface(&network.links[link], index)).collect(),
            })
            .collect(),
    });
    let links = network.links.iter().map(|link| LinkSpec {
        name: link.name.clone(),
        ends: link.ends.clone().map(|end| (end.node, end.interface)),
        rate_bps: real_rate(link, plan.dilation),
        delay: Duration::from_nanos((link.delay.0 as f64 * plan.dilation) as u64),
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
    network.links.iter().flat_map(|l| &l.ends).filter(|end| end.node == node).count()
}

fn interface(link: &Link, node: usize) -> String {
    let end = link.ends.iter().find(|end| end.node == node).unwrap_or(&link.ends[0]);
    end.interface.clone()
}

/// A link's rate in real bits per second.
pub fn real_rate(link: &Link, dilation: f64) -> Option<u64> {
    link.rate.map(|rate| ((rate.0 as f64 / dilation).round() as u64).max(8))
}

impl Emulated {
    /// Builds the plan's network.
    pub fn up(plan: &Plan, run_id: &str, journal: &mut Journal) -> Result<Self, UpError> {
        let spec = spec(plan, run_id);
        let fabric = genie_emu::fabric::Fabric::up(&spec, journal)?;
        let description = format!("{} namespaces, {} links", spec.nodes.len(), spec.links.len());
        Ok(Self { fabric, description })
    }

    /// What it is, in a sentence.
    pub fn describe(&self) -> String {
        self.description.clone()
    }

    /// What could not be emulated.
    pub fn cautions(&self) -> Vec<String> {
        self.fabric.cautions().to_vec()
    }

    /// Network namespace of a node.
    pub fn namespace(&self, node: usize) -> BorrowedFd<'_> {
        self.fabric.namespace(node).as_fd()
    }

    /// Measures one path for each kind of access link: between two hosts that hang on it.
    pub fn calibrate(&self, plan: &Plan) -> Result<Calibration, String> {
        let mut links = Vec::new();
        for (rate, (from, to)) in pairs(plan) {
            let hops = hops(&plan.network, from, to);
            let measured = genie_emu::calibrate::measure(&self.fabric, from, to, rate, hops)
                .map_err(|e| format!("calibration between two hosts failed: {e}"))?;
            links.push(LinkCalibration {
                shaper: measured.shaper,
                wanted_bps: rate.map(|r| r as f64),
                measured_bps: measured.bps,
                hops,
                wanted_one_way_us: rate.map(|r| {
                    genie_emu::shaping::wire_time_us(r, plan.network.mtu, hops, genie_emu::calibrate::MESSAGE)
                }),
                measured_one_way_us: measured.one_way_us,
            });
        }
        Ok(Calibration { links })
    }

    /// Reports links that others delete or set down.
    pub fn watch(&self, notices: mpsc::UnboundedSender<Notice>) -> Result<(), String> {
        let watch = self.fabric.watch().map_err(|e| format!("cannot watch links: {e}"))?;
        std::thread::spawn(move || {
            while let Some(link) = watch.next_lost() {
                if notices.send(Notice::LinkLost(link)).is_err() {
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
                .map(|c| LinkCount {
                    link: c.link,
                    bytes: c.directions.map(|d| d.bytes),
                    drops: c.directions.map(|d| d.drops),
                })
                .collect(),
        )
    }

    /// Takes everything down; gives a sentence for each thing that could not be removed.
    pub fn down(&mut self) -> Vec<String> {
        self.fabric.down()
    }
}

/// Two hosts for each access rate, the first that have it.
fn pairs(plan: &Plan) -> Vec<(Option<u64>, (usize, usize))> {
    let mut by_rate: BTreeMap<Option<u64>, Vec<usize>> = BTreeMap::new();
    for place in &plan.ranks {
        let access = plan.network.links.iter().find(|l| l.ends.iter().any(|end| end.node == place.host));
        let hosts = by_rate.entry(access.and_then(|l| real_rate(l, plan.dilation))).or_default();
        if !hosts.contains(&place.host) {
            hosts.push(place.host);
        }
    }
    let pair = |(rate, hosts): (Option<u64>, Vec<usize>)| match hosts[..] {
        [from, to, ..] => Some((rate, (from, to))),
        _ => None,
    };
    by_rate.into_iter().filter_map(pair).collect()
}

/// Links on a shortest path between two nodes.
fn hops(network: &Network, from: usize, to: usize) -> u32 {
    let mut distance = vec![u32::MAX; network.nodes.len()];
    distance[from] = 0;
    let mut frontier = std::collections::VecDeque::from([from]);
    while let Some(node) = frontier.pop_front() {
        for link in network.links.iter().filter(|l| l.ends.iter().any(|e| e.node == node)) {
            for end in &link.ends {
                if distance[end.node] == u32::MAX {
                    distance[end.node] = distance[node] + 1;
                    frontier.push_back(end.node);
                }
            }
        }
    }
    distance[to]
}
