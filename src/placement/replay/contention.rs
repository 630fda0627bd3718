//! What scattered placements pay: their links are routed over the torus, axis by axis the short way, and share
//! its links with each other and with other scattered jobs. A job of contiguous nodes has every link to itself.

use crate::placement::grid::Grid;
use crate::placement::machine::Machine;
use crate::placement::shape::Dims;

/// How many routes pass each link of the torus: by node and axis, in the positive direction.
#[derive(Debug, Clone)]
pub struct Loads<'m> {
    machine: &'m Machine,
    by_link: Vec<u32>,
}

impl<'m> Loads<'m> {
    /// Idle links.
    pub fn new(machine: &'m Machine) -> Self {
        Loads {
            machine,
            by_link: vec![0; 3 * machine.nodes() as usize],
        }
    }

    /// Adds a job's routes; gives the mean over its links of the busiest link on their way, at least 1.
    pub fn add(&mut self, links: &Grid, nodes: &[u32]) -> f64 {
        let routes: Vec<Vec<usize>> = links
            .links()
            .map(|(a, b)| self.route(nodes[a as usize], nodes[b as usize]))
            .collect();
        routes.iter().flatten().for_each(|link| self.by_link[*link] += 1);
        let busiest = |route: &Vec<usize>| route.iter().map(|link| self.by_link[*link]).max();
        let sum: u64 = routes.iter().filter_map(busiest).map(u64::from).sum();
        (sum as f64 / routes.len().max(1) as f64).max(1.0)
    }

    /// Takes a job's routes away.
    pub fn remove(&mut self, links: &Grid, nodes: &[u32]) {
        for (a, b) in links.links() {
            for link in self.route(nodes[a as usize], nodes[b as usize]) {
                self.by_link[link] -= 1;
            }
        }
    }

    fn route(&self, from: u32, to: u32) -> Vec<usize> {
        let (mut at, to) = (self.machine.place_of(from), self.machine.place_of(to));
        let torus = self.machine.torus();
        let mut links = Vec::new();
        for (axis, length) in torus.into_iter().enumerate() {
            let ahead = (to[axis] + length - at[axis]) % length;
            let forward = ahead <= length - ahead;
            while at[axis] != to[axis] {
                let back = (at[axis] + length - 1) % length;
                let next = if forward { (at[axis] + 1) % length } else { back };
                let mut low = at;
                low[axis] = if forward { at[axis] } else { next };
                links.push(self.link(low, axis));
                at[axis] = next;
            }
        }
        links
    }

    fn link(&self, at: Dims, axis: usize) -> usize {
        3 * self.machine.node_at(at) as usize + axis
    }
}

/// By how much longer a job runs when the share `communication` of its time is spent on links that are
/// `load` times shared: bandwidth divides, so that part stretches by the load.
pub fn slowdown(communication: f64, load: f64) -> f64 {
    1.0 + communication * (load - 1.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::placement::machine::Failures;
    use crate::placement::shape::{Closing, Shape};

    #[test]
    fn a_row_has_its_links_to_itself_and_a_scattered_one_has_not() {
        let machine = Machine::new([8; 3], 4, &Failures::default()).unwrap();
        let links = Shape::new([4, 1, 1]).grid(Closing::Never);
        let row: Vec<u32> = (0..4).map(|x| machine.node_at([x, 0, 0])).collect();
        let mixed: Vec<u32> = [0, 2, 1, 3].map(|x| machine.node_at([x, 0, 0])).to_vec();
        let mut loads = Loads::new(&machine);
        assert_eq!(loads.add(&links, &row), 1.0);
        loads.remove(&links, &row);
        // 0-2 and 2-1 share the link between 1 and 2, 1-3 too.
        assert_eq!(loads.add(&links, &mixed), 3.0);
        loads.remove(&links, &mixed);
        assert!(loads.by_link.iter().all(|load| *load == 0));
        assert_eq!(slowdown(0.5, 3.0), 2.0);
    }
}
