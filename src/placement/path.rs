//! Simple paths of a wanted length through the free nodes of one cube: from a shortest path, an edge at
//! a time is replaced by a detour over two free neighbours. Costs are counted in steps, not in seconds.

use std::collections::VecDeque;

/// The free nodes of a cube, and how many steps may still be made.
#[derive(Debug)]
pub struct Field<'a> {
    /// Nodes along an edge.
    pub side: u32,
    /// By node of the cube.
    pub free: Vec<bool>,
    /// Steps that are left.
    pub budget: &'a mut u64,
}

impl Field<'_> {
    /// A path of `length` nodes from `from` to `to`, or to anywhere. `None` also when the budget is spent.
    pub fn path(&mut self, from: u32, to: Option<u32>, length: u32) -> Option<Vec<u32>> {
        let path = self.longest(from, to, length)?;
        (path.len() == length as usize).then_some(path)
    }

    /// As long a path as detours make, of at most `length` nodes.
    pub fn longest(&mut self, from: u32, to: Option<u32>, length: u32) -> Option<Vec<u32>> {
        let mut path = match to {
            Some(to) => self.shortest(from, to)?,
            None if self.free[from as usize] => vec![from],
            None => return None,
        };
        if path.len() > length as usize {
            return None;
        }
        path.iter().for_each(|node| self.free[*node as usize] = false);
        if to.is_none() {
            self.stretch(&mut path, length as usize);
        }
        self.detour(&mut path, length as usize);
        Some(path)
    }

    /// Appends free neighbours to the end, those first that have the fewest free neighbours themselves.
    fn stretch(&mut self, path: &mut Vec<u32>, length: usize) {
        while path.len() < length {
            let end = path[path.len() - 1];
            let next = self.open(end).min_by_key(|node| self.open(*node).count());
            let Some(next) = next.filter(|_| self.spend(1)) else {
                return;
            };
            self.free[next as usize] = false;
            path.push(next);
        }
    }

    /// Replaces edges by detours of two more nodes while there is need and room.
    fn detour(&mut self, path: &mut Vec<u32>, length: usize) {
        let mut at = 0;
        while path.len() + 2 <= length && at + 1 < path.len() && self.spend(1) {
            let (a, b) = (path[at], path[at + 1]);
            match self.bridge(a, b) {
                Some((c, d)) => {
                    self.free[c as usize] = false;
                    self.free[d as usize] = false;
                    path.splice(at + 1..at + 1, [c, d]);
                }
                None => at += 1,
            }
        }
    }

    /// Free `c` beside `a` and `d` beside `b` that are neighbours.
    fn bridge(&self, a: u32, b: u32) -> Option<(u32, u32)> {
        let step = i64::from(b) - i64::from(a);
        self.open(a).find_map(|c| {
            let d = u32::try_from(i64::from(c) + step).ok()?;
            let near = near(self.side, c).any(|n| n == d) && near(self.side, b).any(|n| n == d);
            (near && *self.free.get(d as usize)?).then_some((c, d))
        })
    }

    fn shortest(&mut self, from: u32, to: u32) -> Option<Vec<u32>> {
        if !self.free[from as usize] || !self.free[to as usize] {
            return None;
        }
        // From the end, so that following the parents leads forward.
        let mut parent = vec![u32::MAX; self.free.len()];
        parent[to as usize] = to;
        let mut queue = VecDeque::from([to]);
        while let Some(node) = queue.pop_front() {
            if node == from {
                break;
            }
            if !self.spend(1) {
                return None;
            }
            for next in near(self.side, node) {
                if self.free[next as usize] && parent[next as usize] == u32::MAX {
                    parent[next as usize] = node;
                    queue.push_back(next);
                }
            }
        }
        let mut path = vec![from];
        let mut node = from;
        while node != to {
            node = parent[node as usize];
            if node == u32::MAX {
                return None;
            }
            path.push(node);
        }
        Some(path)
    }

    fn open(&self, node: u32) -> impl Iterator<Item = u32> + '_ {
        near(self.side, node).filter(|next| self.free[*next as usize])
    }

    fn spend(&mut self, steps: u64) -> bool {
        let enough = *self.budget >= steps;
        *self.budget = self.budget.saturating_sub(steps);
        enough
    }
}

/// The neighbours of a node within its cube.
pub fn near(side: u32, node: u32) -> impl Iterator<Item = u32> {
    let strides = [1, side, side * side];
    strides.into_iter().flat_map(move |stride| {
        let x = node / stride % side;
        let low = (x > 0).then(|| node - stride);
        let high = (x + 1 < side).then(|| node + stride);
        low.into_iter().chain(high)
    })
}

/// All nodes of a cube of even side, from `(0, i, j)` to `(side - 1, i, j)` along `axis`: each layer along one
/// cycle, forth and back.
pub fn through_all(side: u32, axis: usize, at: [u32; 2]) -> Vec<u32> {
    let cycle = super::fold::cycle(side, side);
    let start = cycle.iter().position(|p| *p == (at[0], at[1])).unwrap_or(0);
    let (layer, [i, j]) = (side.pow(axis as u32), super::circuit::across(axis));
    let (i, j) = (side.pow(i as u32), side.pow(j as u32));
    let count = cycle.len();
    let mut path = Vec::with_capacity(count * side as usize);
    for x in 0..side {
        for k in 0..count {
            let k = if x % 2 == 0 { k } else { count - 1 - k };
            let (u, v) = cycle[(start + k) % count];
            path.push(x * layer + u * i + v * j);
        }
    }
    path
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_path(side: u32, path: &[u32]) -> bool {
        let mut seen = path.to_vec();
        seen.sort_unstable();
        seen.dedup();
        seen.len() == path.len() && path.windows(2).all(|w| near(side, w[0]).any(|n| n == w[1]))
    }

    #[test]
    fn a_whole_cube_is_one_path_along_every_lane() {
        for side in [2, 4, 8] {
            for (axis, lane) in [(0, [0, 0]), (1, [1, 0]), (2, [side - 1, 1])] {
                let path = through_all(side, axis, lane);
                assert!(is_path(side, &path));
                assert_eq!(path.len() as u32, side.pow(3));
                assert_eq!(path[path.len() - 1] - path[0], (side - 1) * side.pow(axis as u32));
            }
        }
    }

    #[test]
    fn paths_have_the_wanted_length_and_use_free_nodes_only() {
        let taken = [5, 6, 21, 40];
        for length in [4, 8, 20, 32] {
            let mut free = vec![true; 64];
            taken.iter().for_each(|node| free[*node as usize] = false);
            let mut budget = 10_000;
            let mut field = Field {
                side: 4,
                free,
                budget: &mut budget,
            };
            let path = field.path(0, Some(3), length).expect("there is room");
            assert!(is_path(4, &path) && path.iter().all(|node| !taken.contains(node)));
            assert_eq!((path[0], path[path.len() - 1]), (0, 3));
        }
    }

    #[test]
    fn a_spent_budget_ends_the_search() {
        let mut budget = 3;
        let mut field = Field {
            side: 4,
            free: vec![true; 64],
            budget: &mut budget,
        };
        assert_eq!(field.path(0, Some(63), 64), None);
        assert_eq!(budget, 0);
    }
}
