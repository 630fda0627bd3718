//! The admission rule of the public RFold simulator, told anew from its description: each kind of block picks a
//! corner for itself, whether or not circuits can join them. Only to count what a port map forbids.

use super::shape::Dims;
use super::slice::turns;
use super::state::State;

/// What the rule would admit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Admitted {
    /// Box, turned.
    dims: Dims,
    kinds: Vec<Kind>,
    /// The cubes that it takes.
    pub cubes: u32,
    /// The nodes that it takes.
    pub nodes: Vec<u32>,
}

/// Blocks that are full or part along the same axes.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Kind {
    part: [bool; 3],
    need: u32,
    offset: Dims,
}

/// The first turn of the box for which all kinds of blocks find cubes.
pub fn admit(state: &State<'_>, dims: Dims) -> Option<Admitted> {
    if u64::from(state.free()) < dims.iter().map(|d| u64::from(*d)).product() {
        return None;
    }
    let turned = turns(dims).into_iter().map(|turn| {
        let mut to = [1; 3];
        (0..3).for_each(|axis| to[turn[axis]] = dims[axis]);
        to
    });
    turned.into_iter().find_map(|dims| admit_turned(state, dims))
}

fn admit_turned(state: &State<'_>, dims: Dims) -> Option<Admitted> {
    let side = state.machine.side;
    let (full, part) = (dims.map(|d| d / side), dims.map(|d| d % side));
    let mut admitted = Admitted {
        dims,
        kinds: Vec::new(),
        cubes: 0,
        nodes: Vec::new(),
    };
    let mut used = vec![false; state.machine.cubes() as usize];
    // Full blocks, face slabs, edge bars, the corner.
    let mut order: Vec<u32> = (0..8).collect();
    order.sort_by_key(|bits: &u32| bits.count_ones());
    for bits in order {
        let along = [0, 1, 2].map(|axis| bits >> axis & 1 == 1);
        let count = |axis: usize| {
            if along[axis] {
                u32::from(part[axis] > 0)
            } else {
                full[axis]
            }
        };
        let need = (0..3).map(count).product();
        if need == 0 {
            continue;
        }
        let size = [0, 1, 2].map(|axis| if along[axis] { part[axis] } else { side });
        let corners = full.iter().all(|blocks| *blocks > 0);
        let (offset, cubes) = offsets(size, side, corners)
            .into_iter()
            .find_map(|offset| Some((offset, take(state, &used, offset, size, need)?)))?;
        for cube in cubes {
            used[cube as usize] = true;
            admitted
                .nodes
                .extend(block(offset, size).map(|local| state.machine.node(cube, local)));
        }
        admitted.cubes += need;
        admitted.kinds.push(Kind {
            part: along,
            need,
            offset,
        });
    }
    Some(admitted)
}

/// Corners of the cube, or every place in it.
fn offsets(size: Dims, side: u32, corners: bool) -> Vec<Dims> {
    let of = |axis: usize| -> Vec<u32> {
        let last = side - size[axis];
        match corners {
            true if last > 0 => vec![0, last],
            _ => (0..=last).collect(),
        }
    };
    let (x, y, z) = (of(0), of(1), of(2));
    let mut all = Vec::new();
    for a in &x {
        for b in &y {
            all.extend(z.iter().map(|c| [*a, *b, *c]));
        }
    }
    all
}

fn block(offset: Dims, size: Dims) -> impl Iterator<Item = Dims> {
    let [a, b, _] = size;
    (0..size.iter().product())
        .map(move |n: u32| [offset[0] + n % a, offset[1] + n / a % b, offset[2] + n / (a * b)])
}

fn take(state: &State<'_>, used: &[bool], offset: Dims, size: Dims, need: u32) -> Option<Vec<u32>> {
    let side = state.machine.side;
    let mut mask = vec![0u64; state.words()];
    for [x, y, z] in block(offset, size) {
        let bit = x + side * (y + side * z);
        mask[bit as usize / 64] |= 1 << (bit % 64);
    }
    let fits = |cube: &u32| {
        let mut words = state.bits(*cube).iter().zip(&mask);
        !used[*cube as usize] && words.all(|(free, mask)| free & mask == *mask)
    };
    let cubes: Vec<u32> = (0..state.machine.cubes())
        .filter(fits)
        .take(need as usize)
        .collect();
    (cubes.len() == need as usize).then_some(cubes)
}

impl Admitted {
    /// Whether it is of more than one kind of block.
    pub fn mixed(&self) -> bool {
        self.kinds.len() > 1
    }

    /// Whether circuits can join the blocks where they are: along an axis, all parts begin at one offset,
    /// and beside full blocks at the face that joins.
    pub fn wireable(&self, side: u32) -> bool {
        (0..3).all(|axis| {
            let part = self.dims[axis] % side;
            let mut offsets = self
                .kinds
                .iter()
                .filter(|kind| kind.part[axis])
                .map(|kind| kind.offset[axis]);
            let Some(first) = offsets.next() else { return true };
            let joins = self.dims[axis] < side || first == 0 || first == side - part;
            joins && offsets.all(|offset| offset == first)
        })
    }
}
