//! Regular shapes from a few numbers. Numbers are checked before ([`super::build()`]).

use super::graph::{Graph, Wire};
use super::spec::{FullMesh, LeafSpine, Rail, Ring, Star, Torus};

/// Hosts around one switch.
pub fn star(spec: &Star) -> Graph {
    let wire = Wire {
        rate: spec.rate.0,
        delay: spec.delay,
        loss: spec.loss,
    };
    let mut graph = Graph::default();
    let hosts = graph.hosts(spec.hosts);
    let switch = graph.switch("s0");
    for host in hosts {
        graph.link(host, switch, wire);
    }
    graph
}

/// Hosts in a circle; two hosts have one link.
pub fn ring(spec: &Ring) -> Graph {
    torus(&Torus {
        dims: vec![spec.hosts],
        rate: spec.rate,
        delay: spec.delay,
        loss: spec.loss,
    })
}

/// Every two hosts linked.
pub fn full_mesh(spec: &FullMesh) -> Graph {
    let wire = Wire {
        rate: spec.rate.0,
        delay: spec.delay,
        loss: spec.loss,
    };
    let mut graph = Graph::default();
    let hosts = graph.hosts(spec.hosts);
    for (number, &a) in hosts.iter().enumerate() {
        for &b in &hosts[number + 1..] {
            graph.link(a, b, wire);
        }
    }
    graph
}

/// Hosts on a grid, each dimension closed to a circle. Along a dimension of two hosts there is one
/// link, not two.
pub fn torus(spec: &Torus) -> Graph {
    let wire = Wire {
        rate: spec.rate.0,
        delay: spec.delay,
        loss: spec.loss,
    };
    let mut graph = Graph::default();
    let hosts = graph.hosts(spec.dims.iter().product());
    let mut stride = 1;
    for &dim in &spec.dims {
        let dim = dim as usize;
        for &host in &hosts {
            let along = host / stride % dim;
            let next = host - along * stride + (along + 1) % dim * stride;
            if dim > 2 || next > host {
                graph.link(host, next, wire);
            }
        }
        stride *= dim;
    }
    graph
}

/// Hosts on leaves, every leaf linked with every spine.
pub fn leaf_spine(spec: &LeafSpine) -> Graph {
    let wire = Wire {
        rate: spec.rate.0,
        delay: spec.delay,
        loss: spec.loss,
    };
    let uplink = Wire {
        rate: spec.uplink_rate.unwrap_or(spec.rate).0,
        delay: spec.delay,
        loss: spec.loss,
    };
    let mut graph = Graph::default();
    let hosts = graph.hosts(spec.leaves * spec.hosts_per_leaf);
    let leaves = graph.switches("leaf", spec.leaves);
    let spines = graph.switches("spine", spec.spines);
    for host in hosts {
        graph.link(host, leaves[host / spec.hosts_per_leaf as usize], wire);
    }
    for &leaf in &leaves {
        for &spine in &spines {
            graph.link(leaf, spine, uplink);
        }
    }
    graph
}

/// Network card r of every host on switch r; every rail switch linked with every spine.
pub fn rail(spec: &Rail) -> Graph {
    let wire = Wire {
        rate: spec.rate.0,
        delay: spec.delay,
        loss: spec.loss,
    };
    let uplink = Wire {
        rate: spec.uplink_rate.unwrap_or(spec.rate).0,
        delay: spec.delay,
        loss: spec.loss,
    };
    let mut graph = Graph::default();
    let hosts = graph.hosts(spec.hosts);
    let rails = graph.switches("rail", spec.rails);
    let spines = graph.switches("spine", spec.spines);
    for host in hosts {
        for &rail in &rails {
            graph.link(host, rail, wire);
        }
    }
    for &rail in &rails {
        for &spine in &spines {
            graph.link(rail, spine, uplink);
        }
    }
    graph
}
