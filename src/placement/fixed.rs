//! Boxes on a torus whose circuits stand still: the first free one, with wrap-around, by rows of bits.

use super::circuit::CrossConnect;
use super::grid::Grid;
use super::machine::Machine;
use super::shape::Dims;
use super::slice::turns;
use super::state::State;

/// Longest axis of a fixed torus: a row is one word.
pub const MAX_ROW: u32 = 64;

/// Nodes of the machine by node of the first free box, rows of the box being turned as need be; with
/// `ports`, only one whose links all have light. `links` are those that the box must have.
pub fn find(state: &State<'_>, dims: Dims, links: &Grid, map: &[u32], ports: bool) -> Option<Vec<u32>> {
    let torus = state.machine.torus();
    let rows = rows(state);
    for turn in turns(dims) {
        let mut turned = [1; 3];
        (0..3).for_each(|axis| turned[turn[axis]] = dims[axis]);
        if (0..3).any(|axis| turned[axis] > torus[axis]) {
            continue;
        }
        let starts = starts(&rows, torus, turned);
        let place = |start: Dims| nodes(state.machine, start, dims, turn, map);
        if !(ports && state.machine.has_dead_ports()) {
            if let Some(start) = first(&starts, torus).next() {
                return Some(place(start));
            }
            continue;
        }
        let lit = |nodes: &Vec<u32>| {
            circuits(state.machine, links, nodes)
                .iter()
                .all(|c| state.machine.alive(c.switch, c.north) && state.machine.alive(c.switch, c.south))
        };
        if let Some(nodes) = first(&starts, torus).map(place).find(lit) {
            return Some(nodes);
        }
    }
    None
}

/// Free nodes, a word for each row along x.
fn rows(state: &State<'_>) -> Vec<u64> {
    let [a, b, c] = state.machine.torus();
    let mut rows = vec![0; (b * c) as usize];
    for (number, row) in rows.iter_mut().enumerate() {
        let (y, z) = (number as u32 % b, number as u32 / b);
        for x in 0..a {
            *row |= u64::from(state.is_free(state.machine.node_at([x, y, z]))) << x;
        }
    }
    rows
}

/// Where boxes may begin: rows of bits again, thinned along each axis.
fn starts(rows: &[u64], [a, b, c]: Dims, dims: Dims) -> Vec<u64> {
    let all = if a == 64 { u64::MAX } else { (1 << a) - 1 };
    let turn = |row: u64, by: u32| match by % a {
        0 => row,
        by => (row >> by | row << (a - by)) & all,
    };
    let thin = |row: &u64| (1..dims[0]).fold(*row, |left, by| left & turn(*row, by));
    let along_x: Vec<u64> = rows.iter().map(thin).collect();
    let at = |y: u32, z: u32| (y % b + b * (z % c)) as usize;
    let grid = || (0..c).flat_map(|z| (0..b).map(move |y| (y, z)));
    let along_y: Vec<u64> = grid()
        .map(|(y, z)| (0..dims[1]).fold(u64::MAX, |left, by| left & along_x[at(y + by, z)]))
        .collect();
    grid()
        .map(|(y, z)| (0..dims[2]).fold(u64::MAX, |left, by| left & along_y[at(y, z + by)]))
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
pub fn circuits(machine: &Machine, links: &Grid, nodes: &[u32]) -> Vec<CrossConnect> {
    let torus = machine.torus();
    let ahead = |from: Dims, to: Dims| {
        (0..3).find(|axis| {
            let mut next = from;
            next[*axis] = (from[*axis] + 1) % torus[*axis];
            next == to
        })
    };
    let circuit = |(a, b): (u32, u32)| {
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
    links.links().filter_map(circuit).collect()
}
