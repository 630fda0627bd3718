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

    /// The free nodes of one row of a cube along its first axis, lowest first; rows are counted as nodes are.
    pub fn row(&self, cube: u32, row: u32) -> u64 {
        let (bits, side) = (self.bits(cube), self.machine.side);
        let (word, shift) = ((row * side / 64) as usize, row * side % 64);
        let low = bits[word] >> shift;
        let all = match bits.get(word + 1) {
            Some(high) if shift + side > 64 => low | high << (64 - shift),
            _ => low,
        };
        all & (u64::MAX >> (64 - side))
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::placement::machine::Failures;

    #[test]
    fn rows_of_cubes_are_their_nodes_whatever_the_side() {
        for side in [1, 2, 3, 4, 5, 8, 16] {
            let machine = Machine::new([side; 3], side, &Failures::default()).unwrap();
            let mut state = State::new(&machine);
            let taken: Vec<u32> = (0..machine.nodes())
                .filter(|n| n % 7 == 3 || n % 5 == 1)
                .collect();
            state.take(&taken);
            for node in 0..machine.nodes() {
                let bit = state.row(0, node / side) >> (node % side) & 1;
                assert_eq!(bit == 1, state.is_free(node), "side {side}, node {node}");
            }
        }
    }
}
