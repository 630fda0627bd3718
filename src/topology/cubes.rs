//! Hosts in cubes whose faces end at optical switches, wired as TPU v4 is (arXiv 2304.01433): within a cube by
//! cable, between faces of equal index by circuits.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::graph::{Graph, Wire};
use super::optical::Ocs;
use super::spec::Rate;
use crate::placement::Machine;
use crate::placement::machine::{Failures, MachineError};
use crate::scenario::units::{Duration, Share};

/// Hosts `n<x>-<y>-<z>` in cubes, and switches `ocs0`, `ocs1`, ... between their faces.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Cubes {
    /// Hosts along each axis of the torus that all cubes would make together, for example [4, 4, 2].
    pub torus: [u32; 3],
    /// Hosts along an edge of a cube, 2 to 8; divides all three.
    pub side: u32,
    /// Rate of each direction of each link.
    pub rate: Rate,
    /// One-way propagation delay of each link; circuits have two.
    #[serde(default)]
    pub delay: Duration,
    /// Packets lost at random on each link and direction.
    #[serde(default, skip_serializing_if = "Share::is_zero")]
    pub loss: Share,
    /// The switches: all are alike, and have neither name nor number of ports here.
    #[serde(default)]
    pub ocs: Ocs,
}

impl Cubes {
    /// Its cubes, numbered and wired as placements see them.
    pub fn machine(&self) -> Result<Machine, MachineError> {
        Machine::new(self.torus, self.side, &Failures::default())
    }

    /// Hosts, optical switches and links that it has.
    pub fn size(&self) -> (u64, u64, u64) {
        let nodes = self.torus.iter().fold(1u64, |n, d| n.saturating_mul((*d).into()));
        let side = u64::from(self.side);
        // Each host has three links outward and three inward, of which those within cubes are shared.
        (nodes, 3 * side * side, nodes.saturating_mul(6))
    }
}

/// The name of the host at a place.
pub fn host_name([x, y, z]: [u32; 3]) -> String {
    format!("n{x}-{y}-{z}")
}

/// The graph; hosts are numbered as the machine's nodes, then come the switches.
pub fn cubes(spec: &Cubes, machine: &Machine) -> Graph {
    let wire = Wire {
        rate: spec.rate.0,
        delay: spec.delay,
        loss: spec.loss,
    };
    let mut graph = Graph::default();
    for node in 0..machine.nodes() {
        graph.host(host_name(machine.place_of(node)));
    }
    let map = machine.ports();
    let switches = graph.ocses("ocs", map.switches());
    let side = machine.side;
    for cube in 0..machine.cubes() {
        for local in places(side) {
            let node = machine.node(cube, local) as usize;
            for axis in 0..3 {
                let switch = switches[map.switch(axis, local) as usize];
                if local[axis] + 1 < side {
                    let mut next = local;
                    next[axis] += 1;
                    graph.link(node, machine.node(cube, next) as usize, wire);
                } else {
                    graph.link(node, switch, wire);
                    graph.set_port(graph.links.len() - 1, 1, map.north(cube) as u16 + 1);
                }
                if local[axis] == 0 {
                    graph.link(node, switch, wire);
                    graph.set_port(graph.links.len() - 1, 1, map.south(cube) as u16 + 1);
                }
            }
        }
    }
    graph
}

/// All places in a cube, the first axis fastest.
fn places(side: u32) -> impl Iterator<Item = [u32; 3]> {
    (0..side.pow(3)).map(move |n| [n % side, n / side % side, n / (side * side)])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::topology::graph::Kind;

    #[test]
    fn two_cubes_of_eight_have_twelve_switches_of_four_ports() {
        let spec = Cubes {
            torus: [4, 2, 2],
            side: 2,
            rate: Rate(None),
            delay: Duration(0),
            loss: Share::default(),
            ocs: Ocs::default(),
        };
        let machine = spec.machine().unwrap();
        let graph = cubes(&spec, &machine);
        let switches: Vec<usize> = (0..graph.nodes.len())
            .filter(|node| graph.nodes[*node].kind == Kind::Ocs)
            .collect();
        assert_eq!((graph.host_numbers().len(), switches.len()), (16, 12));
        // 12 edges in a cube, 24 fibres out of it.
        assert_eq!(graph.links.len(), 2 * (12 + 24));
        for switch in switches {
            let mut ports: Vec<u16> = graph.nodes[switch]
                .links
                .iter()
                .map(|link| graph.port(*link, 1).unwrap())
                .collect();
            ports.sort_unstable();
            assert_eq!(ports, [1, 2, 3, 4]);
        }
    }
}
