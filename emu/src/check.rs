//! Checks that a specification can be built, before anything is made.

use std::collections::BTreeSet;

use crate::spec::{FabricSpec, LinkSpec};

/// What is wrong with a specification.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("fabric cannot be built: {0}")]
pub struct SpecError(String);

fn require(condition: bool, message: impl FnOnce() -> String) -> Result<(), SpecError> {
    if condition {
        Ok(())
    } else {
        Err(SpecError(message()))
    }
}

/// Finds the first fault.
pub fn check(spec: &FabricSpec) -> Result<(), SpecError> {
    let id = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    require(
        (1..=10).contains(&spec.run.len()) && spec.run.chars().all(id),
        || format!("run id {:?} is not 1 to 10 of a-z and 0-9", spec.run),
    )?;
    require((576..=65535).contains(&spec.mtu), || {
        format!("MTU {} is not in 576..65535", spec.mtu)
    })?;
    require(spec.links.len() < 1 << 24, || "more than 16 million links".into())?;
    check_names(spec)?;
    spec.links.iter().try_for_each(|link| check_link(spec, link))?;
    check_ports(spec)?;
    check_shared(spec)
}

fn check_names(spec: &FabricSpec) -> Result<(), SpecError> {
    let mut nodes = BTreeSet::new();
    for node in &spec.nodes {
        let good = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
        require(
            (1..=200).contains(&node.name.len()) && node.name.chars().all(good),
            || {
                format!(
                    "node name {:?} is not 1 to 200 of letters, digits, `.`, `_` and `-`",
                    node.name
                )
            },
        )?;
        require(nodes.insert(&node.name), || {
            format!("two nodes are named {}", node.name)
        })?;
    }
    let mut links = BTreeSet::new();
    spec.links.iter().try_for_each(|link| {
        require(links.insert(&link.name), || {
            format!("two links are named {}", link.name)
        })
    })
}

fn check_link(spec: &FabricSpec, link: &LinkSpec) -> Result<(), SpecError> {
    let name = &link.name;
    // 1 kbit/s is a frame of 1500 B each 12 s; less is certainly a slip of units. Scenarios have the same limit.
    require(link.rate_bps.is_none_or(|rate| rate >= 1000), || {
        format!("link {name} is slower than 1 kbit/s")
    })?;
    require((0.0..=1.0).contains(&link.loss), || {
        format!("link {name} loses a share of {}", link.loss)
    })?;
    for (node, interface) in &link.ends {
        require(*node < spec.nodes.len(), || {
            format!("link {name} ends at node {node}, which is not there")
        })?;
        let good = |c: char| c.is_ascii_graphic() && c != '/' && c != ':';
        let reserved = ["lo", ".", "..", "all", "default"].contains(&interface.as_str());
        require(
            (1..=15).contains(&interface.len()) && interface.chars().all(good) && !reserved,
            || format!("link {name} has an interface name that the kernel refuses: {interface:?}"),
        )?;
    }
    Ok(())
}

fn check_ports(spec: &FabricSpec) -> Result<(), SpecError> {
    let mut ports = BTreeSet::new();
    for (node, interface) in spec.links.iter().flat_map(|link| &link.ends) {
        require(ports.insert((*node, interface.as_str())), || {
            format!(
                "node {} has two interfaces named {interface}",
                spec.nodes[*node].name
            )
        })?;
    }
    for (number, node) in spec.nodes.iter().enumerate() {
        for route in &node.routes {
            require(!route.interfaces.is_empty(), || {
                format!("a route of {} has no interface", node.name)
            })?;
            for interface in &route.interfaces {
                require(ports.contains(&(number, interface.as_str())), || {
                    format!(
                        "a route of {} leaves by {interface}, which is not there",
                        node.name
                    )
                })?;
            }
        }
    }
    Ok(())
}

/// What shared nodes cannot be, and names that would meet in their namespace.
fn check_shared(spec: &FabricSpec) -> Result<(), SpecError> {
    let mut names = BTreeSet::new();
    for (number, node) in spec.nodes.iter().enumerate().filter(|(_, node)| node.shared) {
        let ends = || spec.links.iter().flat_map(|link| &link.ends);
        let own: Vec<&str> = ends()
            .filter(|end| end.0 == number)
            .map(|end| end.1.as_str())
            .collect();
        let name = &node.name;
        require(!node.forwards, || {
            format!("{name} shares a namespace and cannot forward")
        })?;
        require(node.addresses.len() == own.len(), || {
            format!(
                "{name} has {} addresses for {} interfaces",
                node.addresses.len(),
                own.len()
            )
        })?;
        require(node.routes.iter().all(|route| route.to.is_some()), || {
            format!("{name} shares a namespace and cannot have a default route")
        })?;
        for interface in own {
            require(names.insert(interface), || {
                format!("two shared interfaces are named {interface}")
            })?;
        }
    }
    let both = |link: &&LinkSpec| link.ends.iter().all(|(node, _)| spec.nodes[*node].shared);
    match spec.links.iter().find(both) {
        Some(link) => Err(SpecError(format!("link {} joins two shared nodes", link.name))),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::star::star;

    #[test]
    fn each_fault_is_named() {
        let good = star("a1", 2, Some(1_000_000_000), 1500);
        assert_eq!(check(&good), Ok(()));
        let fault = |change: fn(&mut FabricSpec)| {
            let mut spec = good.clone();
            change(&mut spec);
            check(&spec).unwrap_err().to_string()
        };
        assert!(fault(|s| s.run = "A/1".into()).contains("run id"));
        assert!(fault(|s| s.mtu = 100).contains("MTU"));
        assert!(fault(|s| s.nodes[1].name = "h0".into()).contains("two nodes"));
        assert!(fault(|s| s.nodes[1].name = "../h0".into()).contains("node name"));
        assert!(fault(|s| s.links[1].name = s.links[0].name.clone()).contains("two links"));
        assert!(fault(|s| s.links[0].rate_bps = Some(0)).contains("slower"));
        assert!(fault(|s| s.links[0].loss = f64::NAN).contains("loses"));
        assert!(fault(|s| s.links[0].ends[0].0 = 9).contains("not there"));
        assert!(fault(|s| s.links[0].ends[0].1 = "a-name-of-16-byte".into()).contains("refuses"));
        assert!(fault(|s| s.links[1].ends[1].1 = s.links[0].ends[1].1.clone()).contains("two interfaces"));
        assert!(fault(|s| s.nodes[0].routes[0].interfaces.clear()).contains("no interface"));
        assert!(fault(|s| s.nodes[0].routes[0].interfaces[0] = "x".into()).contains("leaves by x"));
        assert!(fault(|s| s.nodes[0].shared = true).contains("default route"));
        assert!(fault(|s| (s.nodes[2].shared, s.nodes[2].forwards) = (true, false)).contains("2 interfaces"));
        assert!(fault(|s| s.nodes[2].shared = true).contains("cannot forward"));
        let share = |s: &mut FabricSpec| {
            for node in &mut s.nodes[..2] {
                node.shared = true;
                node.routes[0].to = Some(node.addresses[0]);
            }
        };
        let mut spec = good.clone();
        share(&mut spec);
        assert!(
            check(&spec)
                .unwrap_err()
                .to_string()
                .contains("two shared interfaces")
        );
    }
}
