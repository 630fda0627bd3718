//! A plan's network with soft-RoCE: switches are namespaces as in the emulated fabric, the hosts'
//! interfaces stand together in this process's namespace, each with an RDMA device.

use genie_emu::soft_roce;
use genie_emu::spec::{FabricSpec, RouteSpec};

use crate::scenario::plan::{NodeKind, Plan};

/// What one address of a host is reached by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Port {
    /// Network interface.
    pub interface: String,
    /// RDMA device over it.
    pub device: String,
}

/// Why this kernel cannot carry the plan's soft-RoCE; `None`: it can.
pub fn obstacle(plan: &Plan) -> Option<String> {
    let addresses: Vec<_> = plan
        .network
        .nodes
        .iter()
        .flat_map(|node| node.addresses.clone())
        .collect();
    soft_roce::obstacle(&addresses)
}

/// The emulated fabric's specification with hosts that share a namespace: interface names that are
/// unique there, and a route to each address of another host.
pub fn share_hosts(plan: &Plan, mut spec: FabricSpec) -> FabricSpec {
    let is_host = |node: usize| plan.network.nodes[node].kind == NodeKind::Host;
    let mut renamed = Vec::new();
    for (number, link) in spec.links.iter_mut().enumerate() {
        for (node, interface) in link.ends.iter_mut().filter(|end| is_host(end.0)) {
            let name = format!("g{}{number:x}", spec.run);
            renamed.push((*node, std::mem::replace(interface, name.clone()), name));
        }
    }
    let new_name = |node: usize, old: &String| {
        let found = renamed.iter().find(|(n, name, _)| *n == node && name == old);
        found.map_or(old.clone(), |(_, _, new)| new.clone())
    };
    let addresses: Vec<_> = spec.nodes.iter().map(|node| node.addresses.clone()).collect();
    for (number, node) in spec
        .nodes
        .iter_mut()
        .enumerate()
        .filter(|(number, _)| is_host(*number))
    {
        let others = addresses.iter().enumerate().filter(|(other, _)| *other != number);
        let others: Vec<_> = others.flat_map(|(_, addresses)| addresses).copied().collect();
        let routes = node.routes.iter().flat_map(|route| {
            let interfaces: Vec<String> = route.interfaces.iter().map(|old| new_name(number, old)).collect();
            let to = route.to.map_or(others.clone(), |to| vec![to]);
            to.into_iter().map(move |to| RouteSpec {
                to: Some(to),
                interfaces: interfaces.clone(),
            })
        });
        node.routes = routes.collect();
        (node.shared, node.forwards) = (true, false);
    }
    spec
}
