//! A box of nodes over cubes that circuits join: cut along each axis into cells, each in a cube of its own,
//! all at one offset so that faces join at equal indices. All cuts and turns of the box are tried.

use std::collections::BTreeMap;
use std::rc::Rc;

use super::circuit::{CrossConnect, across};
use super::shape::{Closing, Dims};
use super::state::State;

/// How one axis of a box lies over cubes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Cut {
    length: u32,
    side: u32,
    /// Where in the first cube it begins, and how many nodes of it are there.
    offset: u32,
    first: u32,
    cells: u32,
    wraps: bool,
}

/// Where a box was placed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Slice {
    /// By axis of the box: axis of the machine.
    turn: [usize; 3],
    cuts: [Cut; 3],
    twist: Option<u32>,
    /// By cell, row by row.
    cubes: Vec<u32>,
}

/// What is looked for.
#[derive(Debug, Clone, Copy)]
pub struct Wanted {
    /// The box.
    pub dims: Dims,
    /// Length of a twisted torus' short axes.
    pub twist: Option<u32>,
    /// Whether dead ports are looked at.
    pub ports: bool,
}

/// Steps of re-assignment that one cut may cost.
const AUGMENTATIONS: u32 = 20_000;

/// The place for a box that breaks the fewest empty cubes; the first such in a fixed order.
pub fn find(state: &State<'_>, wanted: &Wanted) -> Option<Slice> {
    let mut order: Vec<u32> = (0..state.machine.cubes())
        .filter(|c| state.free_in(*c) > 0)
        .collect();
    order.sort_by_key(|cube| (state.free_in(*cube), *cube));
    let mut best: Option<(u32, Slice)> = None;
    let mut room = Room::default();
    let turns = turns(wanted.dims);
    for turn in turns {
        let mut dims = [1; 3];
        (0..3).for_each(|axis| dims[turn[axis]] = wanted.dims[axis]);
        let cuts = dims.map(|length| cuts(length, state.machine.side));
        for a in &cuts[0] {
            for b in &cuts[1] {
                for c in &cuts[2] {
                    let cuts = [*a, *b, *c];
                    let Some((broken, cubes)) = Fit::new(state, cuts, wanted.ports).assign(&order, &mut room)
                    else {
                        continue;
                    };
                    if best.as_ref().is_none_or(|(least, _)| broken < *least) {
                        let twist = wanted.twist;
                        let done = broken <= cuts.iter().map(Cut::whole).product();
                        best = Some((
                            broken,
                            Slice {
                                turn,
                                cuts,
                                twist,
                                cubes,
                            },
                        ));
                        if done {
                            return best.map(|(_, slice)| slice);
                        }
                    }
                }
            }
        }
    }
    best.map(|(_, slice)| slice)
}

/// The turns of a box that differ.
pub fn turns(dims: Dims) -> Vec<[usize; 3]> {
    let all = [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]];
    let mut seen: Vec<Dims> = Vec::new();
    let turned = |turn: &[usize; 3]| {
        let mut to = [0; 3];
        (0..3).for_each(|axis| to[turn[axis]] = dims[axis]);
        to
    };
    let new = |turn: &[usize; 3]| {
        let to = turned(turn);
        let new = !seen.contains(&to);
        seen.push(to);
        new
    };
    all.into_iter().filter(new).collect()
}

/// All ways to lay `length` nodes over as few cubes as it takes.
fn cuts(length: u32, side: u32) -> Vec<Cut> {
    let cells = length.div_ceil(side);
    let cut = |offset, first| Cut {
        length,
        side,
        offset,
        first,
        cells,
        wraps: Closing::Multiple(side).closes(length),
    };
    let part = length % side;
    match (cells, part) {
        (1, _) => (0..=side - length).map(|offset| cut(offset, length)).collect(),
        (_, 0) => vec![cut(0, side)],
        // The part at the end, at the beginning, or some of it at each.
        _ => {
            let between = (part + 1..side).rev();
            let firsts = [side, part].into_iter().chain(between);
            firsts.map(|first| cut(side - first, first)).collect()
        }
    }
}

/// Which cell along an axis: the first (or only), one between, the last.
const KINDS: usize = 3;

impl Cut {
    fn kind(&self, cell: u32) -> usize {
        match cell {
            0 => 0,
            cell if cell + 1 == self.cells => 2,
            _ => 1,
        }
    }

    fn count(&self, kind: usize) -> u32 {
        [1, self.cells.saturating_sub(2), u32::from(self.cells > 1)][kind]
    }

    /// Where the cells of a kind begin, and how many nodes they have.
    fn segment(&self, kind: usize) -> (u32, u32) {
        match kind {
            0 => (self.offset, self.first),
            1 => (0, self.side),
            _ => (0, self.length - self.first - self.side * (self.cells - 2)),
        }
    }

    /// Cells that fill their cube along this axis.
    fn whole(&self) -> u32 {
        let whole = |kind: &usize| self.segment(*kind).1 == self.side;
        let kinds = (0..KINDS).filter(|kind| self.count(*kind) > 0);
        kinds.filter(whole).map(|kind| self.count(kind)).sum()
    }

    /// Cell and place within the cube of the `x`-th node.
    fn place(&self, x: u32) -> (u32, u32) {
        match x.checked_sub(self.first) {
            None => (0, self.offset + x),
            Some(rest) => (1 + rest / self.side, rest % self.side),
        }
    }

    /// Whether cells of a kind go on in the positive and in the negative direction.
    fn goes_on(&self, kind: usize) -> [bool; 2] {
        let last = kind == 2 || self.cells == 1;
        [!last || self.wraps, kind != 0 || self.wraps]
    }
}

/// Cells of one kind along each axis.
struct Class {
    kinds: [usize; 3],
    need: u32,
    size: u32,
    /// Cubes that can take one, the fullest first.
    cubes: Rc<[u32]>,
}

/// What decides which cubes can take a cell: along each axis where it begins, its length, and whether it goes on at
/// its ends (that only counts where ports are looked at).
type Cell = [((u32, u32), [bool; 2]); 3];

/// The cubes that can take a cell. Classes and cuts of one search have many cells alike.
type Room = BTreeMap<Cell, Rc<[u32]>>;

/// The search for a cube for every cell.
struct Fit<'s, 'm> {
    state: &'s State<'m>,
    cuts: [Cut; 3],
    ports: bool,
    classes: Vec<Class>,
}

impl<'s, 'm> Fit<'s, 'm> {
    fn new(state: &'s State<'m>, cuts: [Cut; 3], ports: bool) -> Self {
        let ports = ports && state.machine.has_dead_ports();
        let mut fit = Fit {
            state,
            cuts,
            ports,
            classes: Vec::new(),
        };
        for number in 0..KINDS.pow(3) {
            let kinds = [number % KINDS, number / KINDS % KINDS, number / KINDS / KINDS];
            let need = (0..3).map(|axis| cuts[axis].count(kinds[axis])).product();
            if need > 0 {
                let size = (0..3).map(|axis| cuts[axis].segment(kinds[axis]).1).product();
                fit.classes.push(Class {
                    kinds,
                    need,
                    size,
                    cubes: Rc::default(),
                });
            }
        }
        fit.classes.sort_by_key(|class| std::cmp::Reverse(class.size));
        fit
    }

    /// How many empty cubes it breaks, and a cube for every cell.
    fn assign(mut self, order: &[u32], room: &mut Room) -> Option<(u32, Vec<u32>)> {
        if self.classes.iter().map(|class| class.need).sum::<u32>() as usize > order.len() {
            return None;
        }
        for number in 0..self.classes.len() {
            let class = &self.classes[number];
            let cubes = room.entry(self.cell(class.kinds)).or_insert_with(|| {
                let mask = self.mask(class.kinds);
                let start = order.partition_point(|cube| self.state.free_in(*cube) < class.size);
                let cubes = order[start..].iter().copied();
                cubes
                    .filter(|cube| self.fits(class.kinds, &mask, *cube))
                    .collect()
            });
            if cubes.len() < class.need as usize {
                return None;
            }
            self.classes[number].cubes = cubes.clone();
        }
        let owners = self.matched()?;
        Some(self.settle(&owners))
    }

    fn cell(&self, kinds: [usize; 3]) -> Cell {
        [0, 1, 2].map(|axis| {
            let cut = &self.cuts[axis];
            let goes_on = if self.ports {
                cut.goes_on(kinds[axis])
            } else {
                [false; 2]
            };
            (cut.segment(kinds[axis]), goes_on)
        })
    }

    fn mask(&self, kinds: [usize; 3]) -> Vec<u64> {
        let side = self.cuts[0].side;
        let [x, y, z] = [0, 1, 2].map(|axis| {
            let (start, length) = self.cuts[axis].segment(kinds[axis]);
            start..start + length
        });
        let mut mask = vec![0; self.state.words()];
        for z in z {
            for y in y.clone() {
                for x in x.clone() {
                    let bit = x + side * (y + side * z);
                    mask[bit as usize / 64] |= 1 << (bit % 64);
                }
            }
        }
        mask
    }

    fn fits(&self, kinds: [usize; 3], mask: &[u64], cube: u32) -> bool {
        let free = self.state.bits(cube).iter().zip(mask);
        free.into_iter().all(|(free, mask)| free & mask == *mask) && (!self.ports || self.lit(kinds, cube))
    }

    /// Whether all ports that a cell of these kinds needs are alive.
    fn lit(&self, kinds: [usize; 3], cube: u32) -> bool {
        let map = self.state.machine.ports();
        (0..3).all(|axis| {
            let [north, south] = self.cuts[axis].goes_on(kinds[axis]);
            self.face(axis, kinds).into_iter().all(|local| {
                let switch = map.switch(axis, local);
                let alive = |port| self.state.machine.alive(switch, port);
                (!north || alive(map.north(cube))) && (!south || alive(map.south(cube)))
            })
        })
    }

    /// Places on the face across `axis` that cells of these kinds have.
    fn face(&self, axis: usize, kinds: [usize; 3]) -> Vec<Dims> {
        face(&self.cuts, axis, kinds)
    }

    /// A cube for each needed cell, class by class: the fullest that fits, and where none is left, by moving
    /// others (augmenting paths).
    fn matched(&self) -> Option<Vec<Option<usize>>> {
        let mut owner: Vec<Option<usize>> = vec![None; self.state.machine.cubes() as usize];
        let mut steps = AUGMENTATIONS;
        for (number, class) in self.classes.iter().enumerate() {
            // What has an owner once has one for ever.
            let mut cubes = class.cubes.iter();
            for _ in 0..class.need {
                match cubes.find(|cube| owner[**cube as usize].is_none()) {
                    Some(cube) => owner[*cube as usize] = Some(number),
                    None => {
                        let mut seen = vec![false; owner.len()];
                        if !self.augment(number, &mut owner, &mut seen, &mut steps) {
                            return None;
                        }
                    }
                }
            }
        }
        Some(owner)
    }

    fn augment(&self, class: usize, owner: &mut [Option<usize>], seen: &mut [bool], steps: &mut u32) -> bool {
        for &cube in self.classes[class].cubes.iter() {
            if *steps == 0 {
                return false;
            }
            *steps -= 1;
            if std::mem::replace(&mut seen[cube as usize], true) {
                continue;
            }
            let moved = match owner[cube as usize] {
                None => true,
                Some(other) if other == class => false,
                Some(other) => self.augment(other, owner, seen, steps),
            };
            if moved {
                owner[cube as usize] = Some(class);
                return true;
            }
        }
        false
    }

    /// Deals each class' cubes out to its cells, in the order of both.
    fn settle(&self, owner: &[Option<usize>]) -> (u32, Vec<u32>) {
        let mut owned = vec![Vec::new(); self.classes.len()];
        for (cube, class) in (0..).zip(owner) {
            if let Some(class) = class {
                owned[*class].push(cube);
            }
        }
        let mut dealt: Vec<_> = owned.into_iter().map(Vec::into_iter).collect();
        let [a, b, c] = self.cuts.map(|cut| cut.cells);
        let class_of = |cell: u32| {
            let at = [cell % a, cell / a % b, cell / (a * b)];
            let kinds = [0, 1, 2].map(|axis| self.cuts[axis].kind(at[axis]));
            self.classes.iter().position(|class| class.kinds == kinds)
        };
        let cubes: Vec<u32> = (0..a * b * c)
            .filter_map(|cell| dealt[class_of(cell)?].next())
            .collect();
        let whole = self.state.machine.cube_nodes();
        let broken = cubes.iter().filter(|cube| self.state.free_in(**cube) == whole);
        (broken.count() as u32, cubes)
    }
}

fn face(cuts: &[Cut; 3], axis: usize, kinds: [usize; 3]) -> Vec<Dims> {
    let [i, j] = across(axis);
    let range = |axis: usize| {
        let (start, length) = cuts[axis].segment(kinds[axis]);
        start..start + length
    };
    let at = |u, v| {
        let mut local = [0; 3];
        (local[i], local[j]) = (u, v);
        local
    };
    range(i).flat_map(|u| range(j).map(move |v| at(u, v))).collect()
}

impl Slice {
    /// The machine's nodes by node of the box.
    pub fn nodes(&self, state: &State<'_>) -> Vec<u32> {
        let [a, b, c] = [0, 1, 2].map(|axis| self.cuts[self.turn[axis]].length);
        let mut nodes = Vec::with_capacity((a * b * c) as usize);
        for z in 0..c {
            for y in 0..b {
                for x in 0..a {
                    let (mut cell, mut local) = ([0; 3], [0; 3]);
                    for (axis, at) in [x, y, z].into_iter().enumerate() {
                        let to = self.turn[axis];
                        (cell[to], local[to]) = self.cuts[to].place(at);
                    }
                    nodes.push(state.machine.node(self.cube(cell), local));
                }
            }
        }
        nodes
    }

    fn cube(&self, cell: Dims) -> u32 {
        let [a, b, _] = self.cuts.map(|cut| cut.cells);
        self.cubes[(cell[0] + a * (cell[1] + b * cell[2])) as usize]
    }

    /// The circuits that join its cells.
    pub fn circuits(&self, state: &State<'_>) -> Vec<CrossConnect> {
        let map = state.machine.ports();
        let [a, b, c] = self.cuts.map(|cut| cut.cells);
        let mut circuits = Vec::new();
        for number in 0..a * b * c {
            let cell = [number % a, number / a % b, number / (a * b)];
            let kinds = [0, 1, 2].map(|axis| self.cuts[axis].kind(cell[axis]));
            for axis in 0..3 {
                let Some(next) = self.next(cell, axis) else {
                    continue;
                };
                let (from, to) = (self.cube(cell), self.cube(next));
                let face = face(&self.cuts, axis, kinds);
                circuits.extend(face.into_iter().map(|local| map.join(axis, local, from, to)));
            }
        }
        circuits
    }

    /// The cell after this one.
    fn next(&self, mut cell: Dims, axis: usize) -> Option<Dims> {
        let cut = &self.cuts[axis];
        cell[axis] += 1;
        if cell[axis] < cut.cells {
            return Some(cell);
        }
        if !cut.wraps {
            return None;
        }
        cell[axis] = 0;
        if let Some(n) = self.twist.filter(|n| cut.length == *n) {
            for (at, long) in cell.iter_mut().zip(&self.cuts) {
                if long.length == 2 * n {
                    *at = (*at + n / cut.side) % long.cells;
                }
            }
        }
        Some(cell)
    }
}
