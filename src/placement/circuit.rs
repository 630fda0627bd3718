//! The port map of a torus of cubes: opposite faces' fibres of one position go to the same switch, so a
//! circuit joins equal face indices only (TPU v4, arXiv 2304.01433 and 2208.10041).

use super::shape::Dims;

/// Ports that a Palomar switch has; 8 of them are spare with 64 cubes.
pub const PALOMAR_PORTS: u32 = 136;

/// How cubes are wired: `side^2` switches an axis, one for each position on a face. Port `c` is the
/// fibre of cube `c`'s face in the positive direction, port `cubes + c` that in the negative one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PortMap {
    /// Cubes of the machine.
    pub cubes: u32,
    /// Nodes along a cube's edge.
    pub side: u32,
}

/// A circuit through one switch, between the positive face of a cube and the negative of one, maybe the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CrossConnect {
    /// Switch: `side^2 * axis + side * i + j` with the position `(i, j)` on the face.
    pub switch: u32,
    /// Port of the positive face.
    pub north: u32,
    /// Port of the negative face.
    pub south: u32,
}

impl PortMap {
    /// Switches of the machine.
    pub fn switches(&self) -> u32 {
        3 * self.side * self.side
    }

    /// Ports in use of each switch.
    pub fn used(&self) -> u32 {
        2 * self.cubes
    }

    /// Whether a Palomar switch has that many ports; if not, the machine is a what-if.
    pub fn buildable(&self) -> bool {
        self.used() <= PALOMAR_PORTS
    }

    /// The switch of the face position that a place within a cube has along `axis`.
    pub fn switch(&self, axis: usize, local: Dims) -> u32 {
        let [i, j] = across(axis).map(|other| local[other]);
        self.side * self.side * axis as u32 + self.side * i + j
    }

    /// The port of a cube's positive face.
    pub fn north(&self, cube: u32) -> u32 {
        cube
    }

    /// The port of a cube's negative face.
    pub fn south(&self, cube: u32) -> u32 {
        self.cubes + cube
    }

    /// The circuit from the positive face of `from` to the negative of `to`.
    pub fn join(&self, axis: usize, local: Dims, from: u32, to: u32) -> CrossConnect {
        CrossConnect {
            switch: self.switch(axis, local),
            north: self.north(from),
            south: self.south(to),
        }
    }
}

/// The two other axes.
pub fn across(axis: usize) -> [usize; 2] {
    [[1, 2], [0, 2], [0, 1]][axis]
}

/// The circuits that stand: what a change costs is counted against them.
#[derive(Debug, Clone)]
pub struct Standing {
    map: PortMap,
    /// By switch and cube: to which cube's negative face its positive one is joined; `MAX` for none.
    to: Vec<u32>,
    /// The same the other way: from which cube's positive face.
    from: Vec<u32>,
}

impl Standing {
    /// No circuit yet.
    pub fn dark(map: PortMap) -> Self {
        let none = vec![u32::MAX; (map.switches() * map.cubes) as usize];
        Standing {
            map,
            to: none.clone(),
            from: none,
        }
    }

    /// Makes circuits; those in their way are broken. Gives how many were not there already.
    pub fn make(&mut self, circuits: &[CrossConnect]) -> u64 {
        let mut changed = 0;
        for circuit in circuits {
            let row = circuit.switch * self.map.cubes;
            let (north, south) = (circuit.north, circuit.south - self.map.cubes);
            let at = |cube: u32| (row + cube) as usize;
            if self.to[at(north)] == south {
                continue;
            }
            let broken = (self.to[at(north)], self.from[at(south)]);
            if broken.0 != u32::MAX {
                self.from[at(broken.0)] = u32::MAX;
            }
            if broken.1 != u32::MAX {
                self.to[at(broken.1)] = u32::MAX;
            }
            (self.to[at(north)], self.from[at(south)]) = (south, north);
            changed += 1;
        }
        changed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_4096_node_machine_has_48_switches_with_128_of_136_ports_used() {
        let map = PortMap { cubes: 64, side: 4 };
        assert_eq!((map.switches(), map.used()), (48, 128));
        assert!(map.buildable());
        assert!(!PortMap { cubes: 512, side: 2 }.buildable());
        assert!(PortMap { cubes: 8, side: 8 }.buildable());
    }

    #[test]
    fn what_stands_already_is_no_change() {
        let map = PortMap { cubes: 64, side: 4 };
        let mut standing = Standing::dark(map);
        let ring = [map.join(0, [0, 1, 2], 3, 4), map.join(0, [0, 1, 2], 4, 3)];
        assert_eq!(standing.make(&ring), 2);
        assert_eq!(standing.make(&ring), 0);
        assert_eq!(standing.make(&[map.join(0, [0, 1, 2], 3, 3)]), 1);
        assert_eq!(standing.make(&ring), 2);
    }
}
