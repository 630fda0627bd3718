//! Which links a packet takes, as the specification's routes have it.

use std::net::Ipv4Addr;

use crate::spec::FabricSpec;

/// More hops than any fabric has: the routes go in a circle.
const MOST_HOPS: usize = 255;

/// The links from a node to an address, each with the side it is entered by (0 or 1), by the first of
/// equal-cost paths. `None`: the routes do not lead there.
pub fn path(spec: &FabricSpec, from: usize, to: Ipv4Addr) -> Option<Vec<(usize, usize)>> {
    let mut path = Vec::new();
    let mut node = from;
    while !spec.nodes.get(node)?.addresses.contains(&to) {
        let routes = &spec.nodes[node].routes;
        let exact = routes.iter().find(|route| route.to == Some(to));
        let route = exact.or_else(|| routes.iter().find(|route| route.to.is_none()))?;
        let interface = route.interfaces.first()?;
        let port = |(number, link): (usize, &crate::spec::LinkSpec)| {
            let side = link
                .ends
                .iter()
                .position(|(n, name)| *n == node && name == interface)?;
            Some((number, side))
        };
        let (link, side) = spec.links.iter().enumerate().find_map(port)?;
        path.push((link, side));
        node = spec.links[link].ends[1 - side].0;
        if path.len() > MOST_HOPS {
            return None;
        }
    }
    Some(path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::star::{star, star_address};

    #[test]
    fn a_star_has_two_hops_between_hosts() {
        let mut spec = star("a", 3, None, 1500);
        assert_eq!(path(&spec, 0, star_address(2)), Some(vec![(0, 0), (2, 1)]));
        assert_eq!(path(&spec, 0, star_address(0)), Some(vec![]));
        assert_eq!(path(&spec, 0, star_address(9)), None);
        spec.nodes[3].routes[2].interfaces = vec!["p0".into()];
        assert_eq!(path(&spec, 0, star_address(2)), None);
    }
}
