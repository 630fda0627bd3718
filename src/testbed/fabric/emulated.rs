//! A plan's network as namespaces and shaped links: nominal figures become real ones here.

use std::collections::BTreeMap;
use std::os::fd::BorrowedFd;
use std::sync::Arc;
use std::time::Duration;

use genie_emu::calibrate::Way;
use genie_emu::journal::Journal;
use genie_emu::shaping::Shaper;
use genie_emu::soft_roce::Devices;
use genie_emu::spec::{FabricSpec, LinkSpec, NodeSpec, Role, RouteSpec};
use tokio::sync::mpsc;

use super::optical::Optics;
use super::soft_roce::{self, Port};
use crate::event::{Calibration, LinkCalibration, LinkCount};
use crate::scenario::plan::optical::path;
use crate::scenario::plan::{FabricKind, Link, Network, NodeKind, Plan, Route};
use crate::testbed::beside::Stop;
use crate::testbed::stages::Notice;

/// The fabric could not be brought up.
pub use genie_emu::fabric::FabricError as UpError;

/// Namespaces and shaped links that are up, and RDMA devices over them where the plan wants soft-RoCE.
#[derive(Debug)]
pub struct Emulated {
    /// Before the fabric, so that they go first.
    devices: Devices,
    optics: Option<Arc<Optics>>,
    fabric: Arc<genie_emu::Fabric>,
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
        forwards: match node.kind {
            NodeKind::Switch | NodeKind::Management => true,
            NodeKind::Host => ports(network, index) > 1,
            NodeKind::Ocs => false,
        },
        routes: route_specs(&network.routes[index], |link| {
            interface(&network.links[link], index)
        }),
        role: match node.kind {
            NodeKind::Host | NodeKind::Switch => Role::Ordinary,
            NodeKind::Ocs => Role::Optical,
            NodeKind::Management => Role::Management,
        },
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

/// Links of a node, that to the management network left out.
fn ports(network: &Network, node: usize) -> usize {
    let managed = |link: &&Link| {
        let mut ends = link.ends.iter();
        ends.any(|end| network.nodes[end.node].kind == NodeKind::Management)
    };
    let links = network.links.iter().filter(|link| !managed(link));
    links
        .flat_map(|link| &link.ends)
        .filter(|end| end.node == node)
        .count()
}

fn route_specs(routes: &[Route], interface: impl Fn(usize) -> String) -> Vec<RouteSpec> {
    let spec = |route: &Route| RouteSpec {
        to: route.to,
        interfaces: route.via.iter().map(|&link| interface(link)).collect(),
    };
    routes.iter().map(spec).collect()
}

/// Routes of all nodes in the words of the emulator that has built `spec`.
///
/// # Errors
/// A route by a link that does not end at its node.
pub fn routes(spec: &FabricSpec, routes: &[Vec<Route>]) -> Result<Vec<Vec<RouteSpec>>, String> {
    let interface = |node: usize, link: usize| {
        let ends = spec.links.get(link).map(|link| link.ends.iter());
        let own = ends.and_then(|mut ends| ends.find(|(at, _)| *at == node));
        own.map(|(_, name)| name.clone()).ok_or_else(|| {
            let node = &spec.nodes[node].name;
            format!("a route of {node} leaves by link number {link}, which does not end there")
        })
    };
    let one = |node: usize, route: &Route| {
        let interfaces = route.via.iter().map(|&link| interface(node, link));
        Ok(RouteSpec {
            to: route.to,
            interfaces: interfaces.collect::<Result<_, String>>()?,
        })
    };
    let of_node =
        |(node, routes): (usize, &Vec<Route>)| routes.iter().map(|route| one(node, route)).collect();
    routes.iter().enumerate().map(of_node).collect()
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
        let fabric = Arc::new(genie_emu::Fabric::up(&spec, journal)?);
        let devices = match shared {
            true => Devices::attach(&fabric)?,
            false => Devices::default(),
        };
        let own = spec.nodes.iter().filter(|node| !node.shared).count();
        let mut description = format!("{own} namespaces, {} links", spec.links.len());
        if shared {
            description += &format!(", {} soft-RoCE devices", devices.count());
        }
        let optics = Optics::serve(plan, &fabric).map_err(UpError::Optical)?;
        if let Some(optics) = &optics {
            description += &format!("; optical switches {}", optics.describe());
        }
        Ok(Self {
            devices,
            optics: optics.map(Arc::new),
            fabric,
            shared,
            description,
        })
    }

    /// Its optical switches.
    pub fn optics(&self) -> Option<&Arc<Optics>> {
        self.optics.as_ref()
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

    /// The network, if [`calibrate`] can measure it: not where hosts share a namespace, because the measurement
    /// knows them by theirs.
    pub fn measurable(&self) -> Option<Arc<genie_emu::Fabric>> {
        (!self.shared).then(|| self.fabric.clone())
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
        left.extend(self.optics.take().map_or(Vec::new(), |optics| optics.down()));
        match Arc::get_mut(&mut self.fabric) {
            Some(fabric) => left.extend(fabric.down()),
            None => left.push("the fabric is still in use".into()),
        }
        left
    }
}

/// Measures one path for each kind of access link: between two hosts that hang on it. Asked to stop, it leaves out
/// what it has not measured yet.
pub fn calibrate(fabric: &genie_emu::Fabric, plan: &Plan, stop: &Stop) -> Result<Calibration, String> {
    let mut links = Vec::new();
    for (from, to, way) in pairs(plan).into_iter().take_while(|_| !stop.asked()) {
        let found = genie_emu::calibrate::measure_over(fabric, (from, to), &way)
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
    Ok(Calibration { links })
}

/// Two hosts for each access rate, the first that have it and a way between them.
fn pairs(plan: &Plan) -> Vec<(usize, usize, Way)> {
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
    let first = |hosts: Vec<usize>| {
        let joined = |(number, &from): (usize, &usize)| {
            let mut others = hosts[number + 1..].iter();
            others.find_map(|&to| Some((from, to, way(plan, from, to)?)))
        };
        hosts.iter().enumerate().find_map(joined)
    };
    by_rate.into_values().filter_map(first).collect()
}

/// The way between two hosts over the plan's first routes and circuits; never over the management network.
fn way(plan: &Plan, from: usize, to: usize) -> Option<Way> {
    let network = &plan.network;
    let first = plan.optical.as_ref().and_then(|optical| optical.steps.first());
    let circuits = first.map_or(&[][..], |step| step.wiring.circuits.as_slice());
    let path = path(network, &network.routes, circuits, (from, to))?;
    Some(Way {
        address: *network.nodes[to].addresses.first()?,
        links: path.links,
        hops: path.hops as u32,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_route_by_a_link_of_somebody_else_is_refused() {
        let spec = genie_emu::star::star("a", 2, None, 1500);
        let by = |link: usize| {
            let route = Route {
                to: None,
                via: vec![link],
            };
            routes(&spec, &[vec![], vec![route]])
        };
        assert_eq!(by(1).unwrap()[1][0].interfaces, ["eth0"]);
        for link in [0, 2] {
            let refused = by(link).unwrap_err();
            assert!(
                refused.contains("a route of h1 leaves by link number"),
                "{refused}"
            );
        }
    }
}
