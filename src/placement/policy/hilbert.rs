//! Best effort on a Hilbert curve: the window of free nodes that spans the least of the curve, whatever the
//! shape. Its links are of any length, so its jobs pay for hops.

use super::{Placement, Policy, Refusal, fixed_closing};
use crate::placement::machine::Machine;
use crate::placement::shape::{Closing, Dims, Shape};
use crate::placement::state::State;

/// The policy, with the curve: nodes in its order, and each one's place on it.
#[derive(Debug, Clone)]
pub struct Hilbert {
    curve: Vec<(u64, u32)>,
}

impl Hilbert {
    /// The curve over a machine: that of the least cube of a power of two around it.
    pub fn new(machine: &Machine) -> Self {
        let longest = machine.torus().into_iter().max().unwrap_or(1);
        let bits = longest.next_power_of_two().trailing_zeros();
        let place = |node| (index(machine.place_of(node), bits), node);
        let mut curve: Vec<(u64, u32)> = (0..machine.nodes()).map(place).collect();
        curve.sort_unstable();
        Hilbert { curve }
    }
}

impl Policy for Hilbert {
    fn place(&mut self, shape: &Shape, state: &State<'_>) -> Result<Placement, Refusal> {
        if u64::from(state.free()) < shape.size() {
            return Err(Refusal::Resource);
        }
        let free = |(_, node): &&(u64, u32)| state.is_free(*node);
        let free: Vec<(u64, u32)> = self.curve.iter().filter(free).copied().collect();
        let windows = free.windows(shape.size() as usize);
        let tightest = windows.min_by_key(|window| window[window.len() - 1].0 - window[0].0);
        let window = tightest.ok_or(Refusal::Resource)?;
        Ok(Placement {
            nodes: window.iter().map(|(_, node)| *node).collect(),
            circuits: Vec::new(),
        })
    }

    fn closing(&self, machine: &Machine) -> Closing {
        fixed_closing(machine)
    }

    fn fixed(&self) -> bool {
        true
    }

    fn one_hop(&self) -> bool {
        false
    }
}

/// Place of a point on the Hilbert curve of `2^bits` a side (J. Skilling, AIP Conf. Proc. 707, 2004).
fn index(mut x: Dims, bits: u32) -> u64 {
    for bit in (1..bits).rev() {
        let (q, p) = (1 << bit, (1 << bit) - 1);
        for i in 0..3 {
            if x[i] & q != 0 {
                x[0] ^= p;
            } else {
                let t = (x[0] ^ x[i]) & p;
                x[0] ^= t;
                x[i] ^= t;
            }
        }
    }
    x[1] ^= x[0];
    x[2] ^= x[1];
    let t = (1..bits)
        .rev()
        .filter(|bit| x[2] >> bit & 1 == 1)
        .fold(0, |t, bit| t ^ ((1 << bit) - 1));
    let x = x.map(|v| v ^ t);
    let bit = |level: u32, axis: usize| u64::from(x[axis] >> level & 1);
    (0..bits)
        .rev()
        .flat_map(|level| (0..3).map(move |axis| (level, axis)))
        .fold(0, |index, (level, axis)| index << 1 | bit(level, axis))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::placement::machine::Failures;

    #[test]
    fn neighbours_on_the_curve_are_neighbours_in_the_torus() {
        let machine = Machine::new([8; 3], 4, &Failures::default()).unwrap();
        let curve = Hilbert::new(&machine).curve;
        assert!(curve.windows(2).all(|w| {
            let (a, b) = (machine.place_of(w[0].1), machine.place_of(w[1].1));
            (0..3).map(|axis| a[axis].abs_diff(b[axis])).sum::<u32>() == 1
        }));
    }
}
