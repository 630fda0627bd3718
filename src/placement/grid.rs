//! The graph of a box: its nodes, row by row, and their links; and whether one is a subgraph of another.

use super::shape::Dims;

/// A mesh or torus. A node's number is `x + X * (y + Y * z)`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Grid {
    /// Nodes along each axis.
    pub dims: Dims,
    /// Which axes close to rings.
    pub wraps: [bool; 3],
    /// If twisted: the length `n` of its short axes, and by how much their wrap-around links shift the long.
    pub twist: Option<u32>,
}

impl Grid {
    /// Its number of nodes.
    pub fn nodes(&self) -> usize {
        self.dims.iter().map(|d| *d as usize).product()
    }

    /// Number of the node at `at`.
    pub fn index(&self, at: Dims) -> u32 {
        at[0] + self.dims[0] * (at[1] + self.dims[1] * at[2])
    }

    /// Where node `index` is.
    pub fn at(&self, index: u32) -> Dims {
        let [a, b, _] = self.dims;
        [index % a, index / a % b, index / (a * b)]
    }

    /// The next node along an axis, if there is one that is not a neighbour already.
    pub fn next(&self, mut at: Dims, axis: usize) -> Option<Dims> {
        let length = self.dims[axis];
        if at[axis] + 1 < length {
            at[axis] += 1;
            return Some(at);
        }
        let twist = self.twist.filter(|n| length == *n);
        // The ring of two nodes is one link, unless a twist makes the second another's.
        if !self.wraps[axis] || length < 2 || (length == 2 && twist.is_none()) {
            return None;
        }
        at[axis] = 0;
        for (x, length) in at.iter_mut().zip(self.dims) {
            if let Some(n) = twist.filter(|n| length == 2 * n) {
                *x = (*x + n) % length;
            }
        }
        Some(at)
    }

    /// All links, each once.
    pub fn links(&self) -> impl Iterator<Item = (u32, u32)> + '_ {
        (0..self.nodes() as u32).flat_map(move |node| {
            let at = self.at(node);
            (0..3).filter_map(move |axis| Some((node, self.index(self.next(at, axis)?))))
        })
    }

    /// Whether two nodes are one hop apart.
    pub fn linked(&self, a: u32, b: u32) -> bool {
        let (a, b) = (self.at(a), self.at(b));
        (0..3).any(|axis| self.next(a, axis) == Some(b) || self.next(b, axis) == Some(a))
    }

    fn neighbours(&self) -> Vec<Vec<u32>> {
        let mut of = vec![Vec::new(); self.nodes()];
        for (a, b) in self.links() {
            of[a as usize].push(b);
            of[b as usize].push(a);
        }
        of
    }
}

/// Whether `map` takes each node of `guest` to a node of `host` of its own, and each link to a link.
pub fn is_embedding(guest: &Grid, host: &Grid, map: &[u32]) -> bool {
    let mut used = vec![false; host.nodes()];
    map.len() == guest.nodes()
        && map.iter().all(|to| {
            used.get_mut(*to as usize)
                .is_some_and(|seen| !std::mem::replace(seen, true))
        })
        && guest
            .links()
            .all(|(a, b)| host.linked(map[a as usize], map[b as usize]))
}

/// Looks for an embedding of `guest` in `host` by backtracking over at most `budget` search nodes:
/// the ground truth that constructions are held against.
pub fn embed(guest: &Grid, host: &Grid, budget: &mut u64) -> Option<Vec<u32>> {
    if guest.nodes() > host.nodes() {
        return None;
    }
    let (of_guest, of_host) = (guest.neighbours(), host.neighbours());
    let order = breadth_first(&of_guest);
    let mut search = Search {
        of_guest,
        of_host,
        order,
        to: vec![u32::MAX; guest.nodes()],
        used: vec![false; host.nodes()],
        budget,
    };
    search.from(0).then_some(search.to)
}

fn breadth_first(neighbours: &[Vec<u32>]) -> Vec<u32> {
    let (mut order, mut seen) = (vec![0], vec![false; neighbours.len()]);
    seen[0] = true;
    let mut done = 0;
    while let Some(&node) = order.get(done) {
        done += 1;
        for &next in &neighbours[node as usize] {
            if !std::mem::replace(&mut seen[next as usize], true) {
                order.push(next);
            }
        }
    }
    order
}

struct Search<'b> {
    of_guest: Vec<Vec<u32>>,
    of_host: Vec<Vec<u32>>,
    order: Vec<u32>,
    to: Vec<u32>,
    used: Vec<bool>,
    budget: &'b mut u64,
}

impl Search<'_> {
    /// Places the guest's nodes from the `depth`-th on.
    fn from(&mut self, depth: usize) -> bool {
        let Some(&node) = self.order.get(depth) else {
            return true;
        };
        for place in self.places(node) {
            if *self.budget == 0 {
                return false;
            }
            *self.budget -= 1;
            self.to[node as usize] = place;
            self.used[place as usize] = true;
            if self.from(depth + 1) {
                return true;
            }
            self.to[node as usize] = u32::MAX;
            self.used[place as usize] = false;
        }
        false
    }

    /// Free host nodes next to where all placed neighbours of `node` are.
    fn places(&self, node: u32) -> Vec<u32> {
        let placed: Vec<u32> = self.of_guest[node as usize]
            .iter()
            .map(|near| self.to[*near as usize])
            .filter(|to| *to != u32::MAX)
            .collect();
        let free = |place: &u32| !self.used[*place as usize];
        match placed.split_first() {
            None => (0..self.used.len() as u32).collect(),
            Some((first, rest)) => self.of_host[*first as usize]
                .iter()
                .copied()
                .filter(free)
                .filter(|place| rest.iter().all(|to| self.of_host[*to as usize].contains(place)))
                .collect(),
        }
    }
}
