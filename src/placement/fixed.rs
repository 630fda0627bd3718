//! Boxes on a torus whose circuits stand still: the first free one, with wrap-around, by rows of bits.

use super::circuit::CrossConnect;
use super::fold::Fold;
use super::grid::Grid;
use super::machine::Machine;
use super::shape::Dims;
use super::slice::turns;
use super::state::State;

/// Longest axis of a fixed torus: a row is one word.
pub const MAX_ROW: u32 = 64;

/// The free nodes of a fixed torus, a word for each row along x.
pub struct Rows<'s, 'm> {
    state: &'s State<'m>,
    rows: Vec<u64>,
}

/// What is looked for: a box, how the job lies in it, and the links that the job must have.
pub struct Wanted<'a> {
    /// The box.
    pub fold: &'a Fold,
    /// The job's links.
    pub links: &'a Grid,
    /// Whether all of them must have light.
    pub ports: bool,
}

impl<'s, 'm> Rows<'s, 'm> {
    /// Those of a state.
    pub fn of(state: &'s State<'m>) -> Self {
        let (machine, side) = (state.machine, state.machine.side);
        let [cubes, b, c] = [machine.grid[0], machine.torus()[1], machine.torus()[2]];
        let mut rows = Vec::with_capacity((b * c) as usize);
        for z in 0..c {
            for y in 0..b {
                let cube = cubes * (y / side + machine.grid[1] * (z / side));
                let row = y % side + side * (z % side);
                let part = |n: u32| state.row(cube + n, row) << (n * side);
                rows.push((0..cubes).map(part).fold(0, |all, part| all | part));
            }
        }
        Rows { state, rows }
    }

    /// Nodes of the machine by node of the job, in the first free box, turned as need be.
    pub fn find(&self, wanted: &Wanted<'_>) -> Option<Vec<u32>> {
        let machine = self.state.machine;
        let (torus, dims) = (machine.torus(), wanted.fold.dims);
        for turn in turns(dims) {
            let mut turned = [1; 3];
            (0..3).for_each(|axis| turned[turn[axis]] = dims[axis]);
            if (0..3).any(|axis| turned[axis] > torus[axis]) {
                continue;
            }
            let starts = starts(&self.rows, torus, turned);
            let mut places = first(&starts, torus).peekable();
            if places.peek().is_none() {
                continue;
            }
            let map = wanted.fold.map();
            let mut found = places.map(|start| nodes(machine, start, dims, turn, &map));
            let lit = |nodes: &Vec<u32>| {
                // The first dark one decides: on a damaged machine most places have one.
                circuits(machine, wanted.links, nodes)
                    .all(|c| machine.alive(c.switch, c.north) && machine.alive(c.switch, c.south))
            };
            let nodes = match wanted.ports && machine.has_dead_ports() {
                true => found.find(lit),
                false => found.next(),
            };
            if nodes.is_some() {
                return nodes;
            }
        }
        None
    }
}

/// Where boxes may begin: rows of bits again, thinned along each axis.
fn starts(rows: &[u64], [a, b, c]: Dims, dims: Dims) -> Vec<u64> {
    let whole = if a == 64 { u64::MAX } else { (1 << a) - 1 };
    let turn = |row: u64, by: u32| match by % a {
        0 => row,
        by => (row >> by | row << (a - by)) & whole,
    };
    let thin = |row: &u64| match *row {
        0 => 0,
        row => (1..dims[0]).fold(row, |left, by| left & turn(row, by)),
    };
    let along_x: Vec<u64> = rows.iter().map(thin).collect();
    let at = |y: u32, z: u32| (y % b + b * (z % c)) as usize;
    let grid = || (0..c).flat_map(|z| (0..b).map(move |y| (y, z)));
    // What is empty stays empty.
    let all = |of: &[u64], next: &dyn Fn(u32) -> usize, count: u32| {
        let mut left = of[next(0)];
        let mut by = 1;
        while left != 0 && by < count {
            left &= of[next(by)];
            by += 1;
        }
        left
    };
    let along_y: Vec<u64> = grid()
        .map(|(y, z)| all(&along_x, &|by| at(y + by, z), dims[1]))
        .collect();
    grid()
        .map(|(y, z)| all(&along_y, &|by| at(y, z + by), dims[2]))
        .collect()
}

fn first(starts: &[u64], [a, b, _]: Dims) -> impl Iterator<Item = Dims> + '_ {
    starts.iter().enumerate().flat_map(move |(number, row)| {
        let (y, z) = (number as u32 % b, number as u32 / b);
        (0..a).filter(move |x| row >> x & 1 == 1).map(move |x| [x, y, z])
    })
}

fn nodes(machine: &Machine, start: Dims, dims: Dims, turn: [usize; 3], map: &[u32]) -> Vec<u32> {
    let (torus, shape) = (
        machine.torus(),
        super::Shape::new(dims).grid(super::Closing::Never),
    );
    let node = |index: &u32| {
        let (at, mut to) = (shape.at(*index), start);
        (0..3).for_each(|axis| to[turn[axis]] = (start[turn[axis]] + at[axis]) % torus[turn[axis]]);
        machine.node_at(to)
    };
    map.iter().map(node).collect()
}

/// The standing circuits over which a job's links go, if its nodes are neighbours.
pub fn circuits<'a>(
    machine: &'a Machine,
    links: &'a Grid,
    nodes: &'a [u32],
) -> impl Iterator<Item = CrossConnect> + 'a {
    let torus = machine.torus();
    let ahead = move |from: Dims, to: Dims| {
        (0..3).find(|axis| {
            let mut next = from;
            next[*axis] = (from[*axis] + 1) % torus[*axis];
            next == to
        })
    };
    let circuit = move |(a, b): (u32, u32)| {
        let (a, b) = (nodes[a as usize], nodes[b as usize]);
        let (from, to) = (machine.place_of(a), machine.place_of(b));
        let (axis, from, to, low, high) = match ahead(from, to) {
            Some(axis) => (axis, from, to, a, b),
            None => (ahead(to, from)?, to, from, b, a),
        };
        let crosses = to[axis].is_multiple_of(machine.side);
        debug_assert!(from != to || torus[axis] == 1);
        let (low, high) = (low / machine.cube_nodes(), high / machine.cube_nodes());
        let local = to.map(|x| x % machine.side);
        crosses.then(|| machine.ports().join(axis, local, low, high))
    };
    links.links().filter_map(circuit)
}
