//! Routes of all nodes: at bring-up, and later when circuits have changed where links lead.

use std::collections::{BTreeMap, HashMap};
use std::net::Ipv4Addr;
use std::sync::{MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::{Fabric, FabricError};
use crate::netlink::Request;
use crate::netlink::route::{self, Route};
use crate::shaping;
use crate::spec::{NodeSpec, Role, RouteSpec};

/// Between two looks at links that are coming up: the first and the longest. Every look takes the lock under which
/// the kernel brings links up, of all namespaces.
const LOOK: (Duration, Duration) = (Duration::from_micros(100), Duration::from_millis(2));

/// Interface number of each node's interfaces by their names.
type Indices<'a> = HashMap<(usize, &'a str), u32>;

impl Fabric {
    /// Gives all nodes the routes `routes[node]` instead of those that they have. Packets that are under way
    /// meanwhile go one way or the other, or are lost. Not for nodes that share a namespace.
    ///
    /// # Errors
    /// An interface that a node does not have: nothing was changed then. Where the kernel refuses, nodes before
    /// that one have their new routes, and this one some of them.
    pub fn reroute(&self, routes: &[Vec<RouteSpec>]) -> Result<(), FabricError> {
        let (indices, mut current) = (self.indices(), self.current_routes());
        let pairs = current.iter().zip(routes).enumerate();
        let requests = pairs.map(|(number, (old, new))| self.route_changes(number, (old, new), &indices));
        let requests: Vec<Vec<Request>> = requests.collect::<Result<_, _>>()?;
        for (number, requests) in requests.iter().enumerate().filter(|(_, some)| !some.is_empty()) {
            let applied = self.nodes[number].netlink().apply(requests);
            applied.map_err(|source| FabricError::Netlink {
                node: self.spec.nodes[number].name.clone(),
                source,
            })?;
            current[number].clone_from(&routes[number]);
        }
        Ok(())
    }

    /// What gives a node its new routes instead of the old ones.
    fn route_changes(
        &self,
        number: usize,
        (old, new): (&[RouteSpec], &[RouteSpec]),
        indices: &Indices<'_>,
    ) -> Result<Vec<Request>, FabricError> {
        let node = &self.spec.nodes[number];
        let mut requests = Vec::new();
        for route in new.iter().filter(|route| !old.contains(route)) {
            let interfaces = self.interfaces(number, route, indices)?;
            requests.push(route::replace_route(&self.route(
                node,
                route.to,
                &interfaces,
                None,
            )));
        }
        let gone = |route: &&RouteSpec| !new.iter().any(|other| other.to == route.to);
        requests.extend(old.iter().filter(gone).map(|route| route::delete_route(route.to)));
        Ok(requests)
    }

    /// Waits until the links are up at every end that is not an optical switch's; gives those that are not
    /// after `patience`.
    pub fn wait_up(&self, links: &[usize], patience: Duration) -> Result<Vec<usize>, FabricError> {
        let start = Instant::now();
        let (mut down, mut pause) = (self.without_carrier(links)?, LOOK.0);
        while !down.is_empty() && start.elapsed() < patience {
            std::thread::sleep(pause);
            pause = (2 * pause).min(LOOK.1);
            down = self.without_carrier(&down)?;
        }
        Ok(down)
    }

    /// Which of these links have no carrier at an end that is not an optical switch's.
    pub fn without_carrier(&self, links: &[usize]) -> Result<Vec<usize>, FabricError> {
        let mut of_node: BTreeMap<usize, Vec<(u32, usize)>> = BTreeMap::new();
        for &link in links {
            for ((node, _), &port) in self.spec.links[link].ends.iter().zip(&self.ports[link]) {
                of_node.entry(*node).or_default().push((port, link));
            }
        }
        let mut down = Vec::new();
        for (number, ends) in of_node {
            if self.spec.nodes[number].role == Role::Optical {
                continue;
            }
            let ports: Vec<u32> = ends.iter().map(|(port, _)| *port).collect();
            let found = self.nodes[number].netlink().links_of(&ports);
            let found = found.map_err(|source| FabricError::Netlink {
                node: self.spec.nodes[number].name.clone(),
                source,
            })?;
            let up = |port: u32| found.iter().any(|l| l.index == port && l.operational);
            let dark = ends.into_iter().filter(|(port, _)| !up(*port));
            down.extend(dark.map(|(_, link)| link));
        }
        down.sort_unstable();
        down.dedup();
        Ok(down)
    }

    pub(super) fn route_requests(&self) -> Result<Vec<Vec<Request>>, FabricError> {
        let indices = self.indices();
        let routes = |(number, node): (usize, &NodeSpec)| {
            let mut requests = Vec::new();
            for r in &node.routes {
                let interfaces = self.interfaces(number, r, &indices)?;
                let mut add = |interfaces: &[u32], priority| {
                    requests.push(route::add_route(&self.route(node, r.to, interfaces, priority)));
                };
                // Whoever sends in a shared namespace names the interface; without a name packets to
                // addresses of this machine never leave it, so these routes are nobody else's.
                match node.shared {
                    true => interfaces.iter().for_each(|&i| add(&[i], Some(i))),
                    false => add(&interfaces, None),
                }
            }
            Ok(requests)
        };
        self.spec.nodes.iter().enumerate().map(routes).collect()
    }

    fn route<'a>(
        &'a self,
        node: &NodeSpec,
        to: Option<Ipv4Addr>,
        interfaces: &'a [u32],
        priority: Option<u32>,
    ) -> Route<'a> {
        let slowest = self.spec.links.iter().filter_map(|link| link.rate_bps).min();
        Route {
            to,
            interfaces,
            source: node.addresses.first().copied().filter(|_| !node.shared),
            priority,
            congestion_control: Some(&self.spec.congestion_control),
            initial_window: Some(shaping::initial_window(slowest, self.spec.mtu)),
        }
    }

    fn indices(&self) -> Indices<'_> {
        let mut indices = HashMap::new();
        for (link, ports) in self.spec.links.iter().zip(&self.ports) {
            for ((node, name), &index) in link.ends.iter().zip(ports) {
                indices.insert((*node, name.as_str()), index);
            }
        }
        indices
    }

    /// Numbers of the interfaces by which a node's route leaves.
    fn interfaces(
        &self,
        node: usize,
        route: &RouteSpec,
        indices: &Indices<'_>,
    ) -> Result<Vec<u32>, FabricError> {
        let of = |name: &String| {
            let index = indices.get(&(node, name.as_str())).copied();
            index.ok_or_else(|| FabricError::NoInterface {
                node: self.spec.nodes[node].name.clone(),
                interface: name.clone(),
            })
        };
        route.interfaces.iter().map(of).collect()
    }

    fn current_routes(&self) -> MutexGuard<'_, Vec<Vec<RouteSpec>>> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
