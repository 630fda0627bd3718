//! Which nodes are free, a bit for each, cube by cube.

use super::machine::Machine;

/// The free nodes of a machine.
#[derive(Debug, Clone)]
pub struct State<'m> {
    /// The machine.
    pub machine: &'m Machine,
    words: usize,
    bits: Vec<u64>,
    /// Free nodes of each cube.
    counts: Vec<u32>,
    total: u32,
}

impl<'m> State<'m> {
    /// All but failed nodes are free.
    pub fn new(machine: &'m Machine) -> Self {
        let (cubes, nodes) = (machine.cubes() as usize, machine.cube_nodes());
        let words = (nodes as usize).div_ceil(64);
        let mut state = State {
            machine,
            words,
            bits: vec![0; words * cubes],
            counts: vec![0; cubes],
            total: 0,
        };
        for node in 0..machine.nodes() {
            state.set(node, true);
        }
        for node in machine.failed() {
            state.set(*node, false);
        }
        state
    }

    /// Free nodes of the machine.
    pub fn free(&self) -> u32 {
        self.total
    }

    /// Free nodes of a cube.
    pub fn free_in(&self, cube: u32) -> u32 {
        self.counts[cube as usize]
    }

    /// The free nodes of a cube, a bit for each, lowest first.
    pub fn bits(&self, cube: u32) -> &[u64] {
        let start = cube as usize * self.words;
        &self.bits[start..start + self.words]
    }

    /// Words of 64 bits that a cube has.
    pub fn words(&self) -> usize {
        self.words
    }

    /// Whether a node is free.
    pub fn is_free(&self, node: u32) -> bool {
        let (word, bit) = self.place(node);
        self.bits[word] >> bit & 1 == 1
    }

    /// Takes free nodes.
    pub fn take(&mut self, nodes: &[u32]) {
        nodes.iter().for_each(|node| self.set(*node, false));
    }

    /// Gives nodes back.
    pub fn release(&mut self, nodes: &[u32]) {
        nodes.iter().for_each(|node| self.set(*node, true));
    }

    fn place(&self, node: u32) -> (usize, u32) {
        let (cube, local) = (node / self.machine.cube_nodes(), node % self.machine.cube_nodes());
        (cube as usize * self.words + local as usize / 64, local % 64)
    }

    fn set(&mut self, node: u32, free: bool) {
        let (word, bit) = self.place(node);
        let was = self.bits[word] >> bit & 1 == 1;
        if was == free {
            return;
        }
        self.bits[word] ^= 1 << bit;
        let cube = (node / self.machine.cube_nodes()) as usize;
        match free {
            true => (self.counts[cube], self.total) = (self.counts[cube] + 1, self.total + 1),
            false => (self.counts[cube], self.total) = (self.counts[cube] - 1, self.total - 1),
        }
    }
}
