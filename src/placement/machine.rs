//! A torus of cubes as it stands: its cubes, how they are numbered, and what has failed.

use super::circuit::{CrossConnect, PortMap, across};
use super::shape::Dims;

/// A machine of `grid` cubes of `side` nodes along each axis. A node's number is
/// `cube * side^3 + x + side * (y + side * z)` with its place within the cube.
#[derive(Debug, Clone, PartialEq)]
pub struct Machine {
    /// Cubes along each axis while all circuits stand as one torus.
    pub grid: Dims,
    /// Nodes along a cube's edge.
    pub side: u32,
    /// Nodes that have failed, ascending.
    failed: Vec<u32>,
    /// By switch and port; empty when all are well.
    dead_ports: Vec<bool>,
}

/// What has failed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Failures {
    /// Nodes by their place in the standing torus.
    pub nodes: Vec<Dims>,
    /// Ports by switch and port number.
    pub ports: Vec<(u32, u32)>,
    /// Whole switches.
    pub switches: Vec<u32>,
}

/// Most nodes of a machine.
pub const MAX_NODES: u64 = 1 << 20;

/// Why there is no such machine.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MachineError {
    /// The side does not divide the axes.
    #[error("cubes of {side} nodes a side do not fill a torus of {}x{}x{}", torus[0], torus[1], torus[2])]
    Side {
        /// Side of the cubes.
        side: u32,
        /// Nodes along the axes.
        torus: Dims,
    },
    /// Too large or empty.
    #[error("a torus has from 1 to {MAX_NODES} nodes")]
    Nodes,
    /// A failed part that is not there.
    #[error("the machine has no {0}")]
    Missing(String),
}

impl Machine {
    /// A torus of `torus` nodes made of cubes of `side`.
    pub fn new(torus: Dims, side: u32, failures: &Failures) -> Result<Self, MachineError> {
        let nodes = torus.iter().try_fold(1u64, |n, d| n.checked_mul(u64::from(*d)));
        if !nodes.is_some_and(|n| (1..=MAX_NODES).contains(&n)) {
            return Err(MachineError::Nodes);
        }
        if side == 0 || torus.iter().any(|d| !d.is_multiple_of(side)) {
            return Err(MachineError::Side { side, torus });
        }
        let mut machine = Machine {
            grid: torus.map(|d| d / side),
            side,
            failed: Vec::new(),
            dead_ports: Vec::new(),
        };
        machine.fail(failures)?;
        Ok(machine)
    }

    fn fail(&mut self, failures: &Failures) -> Result<(), MachineError> {
        let torus = self.torus();
        for at in &failures.nodes {
            if (0..3).any(|axis| at[axis] >= torus[axis]) {
                return Err(MachineError::Missing(format!(
                    "node {}-{}-{}",
                    at[0], at[1], at[2]
                )));
            }
            self.failed.push(self.node_at(*at));
        }
        self.failed.sort_unstable();
        self.failed.dedup();
        let map = self.ports();
        let all = failures
            .switches
            .iter()
            .flat_map(|s| (0..map.used()).map(|p| (*s, p)));
        for (switch, port) in failures.ports.iter().copied().chain(all) {
            if switch >= map.switches() || port >= map.used() {
                let what = format!("port {port} of switch {switch}");
                return Err(MachineError::Missing(what));
            }
            self.dead_ports
                .resize((map.switches() * map.used()) as usize, false);
            self.dead_ports[(switch * map.used() + port) as usize] = true;
        }
        Ok(())
    }

    /// Nodes along each axis of the standing torus.
    pub fn torus(&self) -> Dims {
        self.grid.map(|cubes| cubes * self.side)
    }

    /// How many cubes.
    pub fn cubes(&self) -> u32 {
        self.grid.iter().product()
    }

    /// Nodes in a cube.
    pub fn cube_nodes(&self) -> u32 {
        self.side.pow(3)
    }

    /// All nodes, failed ones too.
    pub fn nodes(&self) -> u32 {
        self.cubes() * self.cube_nodes()
    }

    /// Nodes that have failed, ascending.
    pub fn failed(&self) -> &[u32] {
        &self.failed
    }

    /// How its cubes are wired to switches.
    pub fn ports(&self) -> PortMap {
        PortMap {
            cubes: self.cubes(),
            side: self.side,
        }
    }

    /// Whether any port is dead.
    pub fn has_dead_ports(&self) -> bool {
        !self.dead_ports.is_empty()
    }

    /// Whether light passes a port.
    pub fn alive(&self, switch: u32, port: u32) -> bool {
        let at = switch * self.ports().used() + port;
        !self.dead_ports.get(at as usize).is_some_and(|dead| *dead)
    }

    /// The node at a place of the standing torus.
    pub fn node_at(&self, at: Dims) -> u32 {
        let cube = at.map(|x| x / self.side);
        let cube = cube[0] + self.grid[0] * (cube[1] + self.grid[1] * cube[2]);
        self.node(cube, at.map(|x| x % self.side))
    }

    /// The place of a node in the standing torus.
    pub fn place_of(&self, node: u32) -> Dims {
        let (cube, local) = (node / self.cube_nodes(), node % self.cube_nodes());
        let (s, [a, b, _]) = (self.side, self.grid);
        [
            cube % a * s + local % s,
            cube / a % b * s + local / s % s,
            cube / (a * b) * s + local / (s * s),
        ]
    }

    /// The nodes at whose faces a circuit ends: on the positive one, and on the negative one.
    pub fn ends(&self, circuit: &CrossConnect) -> (u32, u32) {
        let (side, square) = (self.side, self.side * self.side);
        let axis = (circuit.switch / square) as usize;
        let [i, j] = across(axis);
        let mut local = [0; 3];
        (local[i], local[j]) = (circuit.switch % square / side, circuit.switch % side);
        let south = self.node(circuit.south - self.cubes(), local);
        local[axis] = side - 1;
        (self.node(circuit.north, local), south)
    }

    /// The node at `local` within `cube`.
    pub fn node(&self, cube: u32, local: Dims) -> u32 {
        let s = self.side;
        cube * self.cube_nodes() + local[0] + s * (local[1] + s * local[2])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_and_numbers_are_each_others_inverse() {
        let machine = Machine::new([16, 8, 4], 4, &Failures::default()).unwrap();
        for node in 0..machine.nodes() {
            assert_eq!(machine.node_at(machine.place_of(node)), node);
        }
    }

    #[test]
    fn a_circuit_ends_where_it_was_joined() {
        let machine = Machine::new([8; 3], 4, &Failures::default()).unwrap();
        for (axis, local) in [(0, [0, 1, 2]), (1, [3, 0, 1]), (2, [1, 2, 0])] {
            let mut high: Dims = local;
            high[axis] = 3;
            let circuit = machine.ports().join(axis, local, 5, 6);
            assert_eq!(
                machine.ends(&circuit),
                (machine.node(5, high), machine.node(6, local))
            );
        }
    }

    #[test]
    fn what_is_not_there_cannot_fail() {
        let failures = Failures {
            switches: vec![48],
            ..Failures::default()
        };
        assert!(Machine::new([16; 3], 4, &failures).is_err());
        assert!(Machine::new([16; 3], 3, &Failures::default()).is_err());
        assert!(Machine::new([u32::MAX; 3], 1, &Failures::default()).is_err());
    }
}
