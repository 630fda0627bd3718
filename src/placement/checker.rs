//! Proves placements by other means: from nothing but lists of nodes and cross-connects it rebuilds who is
//! joined to whom, and walks every link of a job. Shares no code with the search, only plain data.

use std::collections::{BTreeSet, HashSet};

use super::circuit::CrossConnect;
use super::shape::Shape;

/// A job as it claims to be placed.
#[derive(Debug, Clone, Copy)]
pub struct Claim<'a> {
    /// What it asked for.
    pub shape: Shape,
    /// The machine's nodes by node of the job, first axis fastest.
    pub nodes: &'a [u32],
    /// Its circuits.
    pub circuits: &'a [CrossConnect],
    /// Whether its links must be one hop long.
    pub one_hop: bool,
}

/// What is wrong with a placement.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// Not as many nodes as asked for.
    #[error("{given} nodes for a job of {wanted}")]
    Count {
        /// Nodes that were given.
        given: usize,
        /// Nodes that were asked for.
        wanted: u64,
    },
    /// A node that is not there, has failed, or is another's or given twice.
    #[error("node {0} is not free")]
    Node(u32),
    /// A switch or port that is not there, dark, or of the wrong face.
    #[error("switch {} has no usable circuit from port {} to port {}", .0.switch, .0.north, .0.south)]
    Port(CrossConnect),
    /// A port that is in use.
    #[error("a port of switch {} is used twice, by the circuit from {} to {}", .0.switch, .0.north, .0.south)]
    Twice(CrossConnect),
    /// A circuit that ends at another job's node.
    #[error("the circuit of switch {} from {} to {} ends at a node of others", .0.switch, .0.north, .0.south)]
    Foreign(CrossConnect),
    /// A circuit that does not stand.
    #[error("no circuit stands on switch {} from {} to {}", .0.switch, .0.north, .0.south)]
    NotStanding(CrossConnect),
    /// Neighbours in the job that are not in the machine.
    #[error("nodes {0} and {1} are neighbours in the job but more than one hop apart")]
    Apart(u32, u32),
}

/// A machine, and what of it is in use.
#[derive(Debug, Clone)]
pub struct Ledger {
    side: u32,
    cubes: u32,
    nodes: Vec<bool>,
    ports: HashSet<(u32, u32)>,
    dark: BTreeSet<(u32, u32)>,
    /// On a fixed torus: all circuits that stand.
    standing: Option<HashSet<CrossConnect>>,
    /// There: the length of its axes, if they are equal.
    around: Option<u32>,
}

impl Ledger {
    /// A machine of `cubes` cubes of `side`, nothing in use but failed nodes; dark ports as switch and port.
    pub fn new(side: u32, cubes: u32, failed: &[u32], dark: impl IntoIterator<Item = (u32, u32)>) -> Self {
        let mut nodes = vec![false; (cubes * side * side * side) as usize];
        failed.iter().for_each(|node| nodes[*node as usize] = true);
        Ledger {
            side,
            cubes,
            nodes,
            ports: HashSet::new(),
            dark: dark.into_iter().collect(),
            standing: None,
            around: None,
        }
    }

    /// The same with circuits that stand still as one torus of `grid` cubes.
    pub fn standing(mut self, grid: [u32; 3]) -> Self {
        let mut all = HashSet::new();
        for from in 0..self.cubes {
            let at = [
                from % grid[0],
                from / grid[0] % grid[1],
                from / (grid[0] * grid[1]),
            ];
            for switch in 0..3 * self.side * self.side {
                let axis = (switch / (self.side * self.side)) as usize;
                let mut next = at;
                next[axis] = (at[axis] + 1) % grid[axis];
                let to = next[0] + grid[0] * (next[1] + grid[1] * next[2]);
                let (north, south) = (from, self.cubes + to);
                all.insert(CrossConnect { switch, north, south });
            }
        }
        self.standing = Some(all);
        self.around = Some(grid[0] * self.side).filter(|_| grid.iter().all(|cubes| *cubes == grid[0]));
        self
    }

    /// Whether an axis of a job must be a ring: with circuits of its own if it is made of whole cubes, on a fixed torus
    /// if it goes all the way round (whichever way it is turned, so only where all axes are equal).
    fn closes(&self, length: u32) -> bool {
        match self.standing {
            None => length.is_multiple_of(self.side),
            Some(_) => Some(length) == self.around,
        }
    }

    /// Verifies a placement beside those that were admitted, and notes what it uses.
    pub fn admit(&mut self, claim: &Claim<'_>) -> Result<(), Fault> {
        let own = self.check_nodes(claim)?;
        let (ports, joined) = self.check_circuits(claim, &own)?;
        if claim.one_hop {
            self.walk(claim, &joined)?;
        }
        self.ports.extend(ports);
        own.iter().for_each(|node| self.nodes[*node as usize] = true);
        Ok(())
    }

    /// Forgets a placement that was admitted.
    pub fn release(&mut self, nodes: &[u32], circuits: &[CrossConnect]) {
        nodes.iter().for_each(|node| self.nodes[*node as usize] = false);
        for circuit in circuits {
            self.ports.remove(&(circuit.switch, circuit.north));
            self.ports.remove(&(circuit.switch, circuit.south));
        }
    }

    fn check_nodes(&self, claim: &Claim<'_>) -> Result<HashSet<u32>, Fault> {
        let wanted = claim.shape.dims.iter().map(|d| u64::from(*d)).product();
        if claim.nodes.len() as u64 != wanted {
            let given = claim.nodes.len();
            return Err(Fault::Count { given, wanted });
        }
        let mut own = HashSet::with_capacity(claim.nodes.len());
        for node in claim.nodes {
            let busy = self.nodes.get(*node as usize).is_none_or(|busy| *busy);
            if busy || !own.insert(*node) {
                return Err(Fault::Node(*node));
            }
        }
        Ok(own)
    }

    /// The ports in use, and the pairs of nodes that circuits join.
    #[allow(clippy::type_complexity)]
    fn check_circuits(
        &self,
        claim: &Claim<'_>,
        own: &HashSet<u32>,
    ) -> Result<(HashSet<(u32, u32)>, HashSet<(u32, u32)>), Fault> {
        let (mut ports, mut joined) = (HashSet::new(), HashSet::new());
        for circuit in claim.circuits {
            let (a, b) = self.ends(circuit).ok_or(Fault::Port(*circuit))?;
            if self.standing.as_ref().is_some_and(|all| !all.contains(circuit)) {
                return Err(Fault::NotStanding(*circuit));
            }
            if !own.contains(&a) || !own.contains(&b) {
                return Err(Fault::Foreign(*circuit));
            }
            for port in [circuit.north, circuit.south] {
                let port = (circuit.switch, port);
                if self.ports.contains(&port) || !ports.insert(port) {
                    return Err(Fault::Twice(*circuit));
                }
            }
            joined.insert((a.min(b), a.max(b)));
        }
        Ok((ports, joined))
    }

    /// The nodes at whose faces a circuit ends, if its ports are what they should be.
    fn ends(&self, circuit: &CrossConnect) -> Option<(u32, u32)> {
        let square = self.side * self.side;
        let axis = circuit.switch / square;
        let south = circuit.south.checked_sub(self.cubes)?;
        let there = axis < 3 && circuit.north < self.cubes && south < self.cubes;
        let dark = |port| self.dark.contains(&(circuit.switch, port));
        if !there || dark(circuit.north) || dark(circuit.south) {
            return None;
        }
        let (i, j) = (circuit.switch % square / self.side, circuit.switch % self.side);
        let local = |x: u32| match axis {
            0 => x + self.side * i + square * j,
            1 => i + self.side * x + square * j,
            _ => i + self.side * j + square * x,
        };
        let cube = square * self.side;
        Some((
            circuit.north * cube + local(self.side - 1),
            south * cube + local(0),
        ))
    }

    fn walk(&self, claim: &Claim<'_>, joined: &HashSet<(u32, u32)>) -> Result<(), Fault> {
        let [a, b, c] = claim.shape.dims;
        let node = |at: [u32; 3]| claim.nodes[(at[0] + a * at[1] + a * b * at[2]) as usize];
        for number in 0..a * b * c {
            let at = [number % a, number / a % b, number / a / b];
            for axis in 0..3 {
                let Some(next) = self.ahead(&claim.shape, at, axis) else {
                    continue;
                };
                let (x, y) = (node(at), node(next));
                if x != y && !self.beside(x, y) && !joined.contains(&(x.min(y), x.max(y))) {
                    return Err(Fault::Apart(x, y));
                }
            }
        }
        Ok(())
    }

    /// Whether two nodes share an inner link of a cube.
    fn beside(&self, x: u32, y: u32) -> bool {
        let (s, cube) = (self.side, self.side.pow(3));
        let local = |n: u32| [n % cube % s, n % cube / s % s, n % cube / s / s];
        let (p, q) = (local(x), local(y));
        let apart: u32 = p.iter().zip(&q).map(|(p, q)| p.abs_diff(*q)).sum();
        x / cube == y / cube && apart == 1
    }

    /// The neighbour that a node of a job must have along an axis, round the ring where it closes.
    fn ahead(&self, shape: &Shape, mut at: [u32; 3], axis: usize) -> Option<[u32; 3]> {
        let dims = shape.dims;
        let length = dims[axis];
        if at[axis] + 1 < length {
            at[axis] += 1;
            return Some(at);
        }
        if !self.closes(length) {
            return None;
        }
        at[axis] = 0;
        let shortest = dims.into_iter().min()?;
        if shape.twisted && length == shortest {
            for (x, d) in at.iter_mut().zip(dims) {
                *x = if d == 2 * shortest {
                    (*x + shortest) % d
                } else {
                    *x
                };
            }
        }
        Some(at)
    }
}
