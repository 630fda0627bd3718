//! Jobs of one dimension wound through cubes: each cube is entered and left on one lane, that is one position
//! of opposite faces, so that consecutive cubes join, and the last the first again where a ring is wanted. Where no
//! lane alone reaches, several are woven together ([`super::weave`]).

use std::collections::HashMap;

use super::circuit::{CrossConnect, across};
use super::path::{self, Field};
use super::shape::Dims;
use super::state::State;

/// Search steps that one job may cost.
pub const BUDGET: u64 = 600_000;

/// One lane through cubes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Lane {
    axis: usize,
    at: [u32; 2],
}

/// A part of the job in one cube: nodes of the cube in the job's order, and the lanes on which it comes and goes.
#[derive(Debug, Clone)]
pub(super) struct Leg {
    pub cube: u32,
    pub path: Vec<u32>,
    pub enter: Lane,
    pub leave: Lane,
}

/// The nodes of a job of `length`, in its order, and the circuits that join them.
pub type Wound = (Vec<u32>, Vec<CrossConnect>);

/// Winds a job of `length` nodes through as few cubes as it takes; closed if it is a `ring`.
pub fn find(state: &State<'_>, length: u32, ring: bool, budget: &mut u64) -> Option<Wound> {
    let whole = state.machine.cube_nodes();
    let side = state.machine.side;
    if side < 2 || length < 2 {
        return None;
    }
    let mut winding = Winding {
        state,
        ring,
        budget,
        longest: HashMap::new(),
    };
    let (full, rest) = (length / whole, length % whole);
    let lanes: Vec<Lane> = (0..3)
        .flat_map(|axis| {
            (0..side * side).map(move |n| Lane {
                axis,
                at: [n / side, n % side],
            })
        })
        .collect();
    let legs = winding
        .around_one(&lanes, full, rest)
        .or_else(|| winding.over_many(&lanes, length))
        .or_else(|| super::weave::legs(&mut winding, &lanes, length))?;
    Some(winding.join(&legs))
}

pub(super) struct Winding<'s, 'm, 'b> {
    pub state: &'s State<'m>,
    pub ring: bool,
    pub budget: &'b mut u64,
    /// What was found so far, by cube and lane.
    longest: HashMap<(u32, Lane), Option<Vec<u32>>>,
}

impl Winding<'_, '_, '_> {
    /// Whole cubes, and what is left in the fullest other that has room for it.
    fn around_one(&mut self, lanes: &[Lane], full: u32, rest: u32) -> Option<Vec<Leg>> {
        if rest == 0 {
            return lanes.iter().find_map(|lane| self.empty(*lane, full));
        }
        let mut others: Vec<u32> = (0..self.state.machine.cubes()).collect();
        others.retain(|cube| self.state.free_in(*cube) >= rest);
        others.sort_by_key(|cube| (self.state.free_in(*cube), *cube));
        let whole = |lane: &Lane| Some((*lane, self.empty(*lane, full)?));
        let wholes: Vec<(Lane, Vec<Leg>)> = lanes.iter().filter_map(whole).collect();
        for cube in others {
            for (lane, legs) in &wholes {
                if *self.budget == 0 {
                    return None;
                }
                if legs.iter().any(|leg| leg.cube == cube) || !self.lit(*lane, cube) {
                    continue;
                }
                let Some(path) = self.leg(*lane, cube, rest, self.ring) else {
                    continue;
                };
                let mut all = legs.clone();
                all.push(lane.leg(cube, path));
                return Some(all);
            }
        }
        None
    }

    /// As many nodes as there are on one lane of each cube, until it is enough.
    fn over_many(&mut self, lanes: &[Lane], length: u32) -> Option<Vec<Leg>> {
        lanes.iter().find_map(|lane| self.along(*lane, length))
    }

    fn along(&mut self, lane: Lane, length: u32) -> Option<Vec<Leg>> {
        let mut cubes: Vec<u32> = (0..self.state.machine.cubes()).collect();
        cubes.retain(|cube| self.state.free_in(*cube) >= self.state.machine.side && self.lit(lane, *cube));
        cubes.sort_by_key(|cube| (std::cmp::Reverse(self.state.free_in(*cube)), *cube));
        let (mut legs, mut left) = (Vec::new(), length);
        for cube in cubes {
            if *self.budget == 0 || left == 0 {
                break;
            }
            let last = left <= self.state.free_in(cube);
            let path = match last {
                // The last one is left again only if the ring must close.
                true => self.leg(lane, cube, left, self.ring),
                false => self.longest(lane, cube),
            };
            let path = path.or_else(|| self.longest(lane, cube).filter(|path| path.len() < left as usize));
            if let Some(path) = path {
                left -= path.len() as u32;
                legs.push(lane.leg(cube, path));
            }
        }
        (left == 0).then_some(legs)
    }

    /// So many empty cubes, each walked whole.
    fn empty(&self, lane: Lane, count: u32) -> Option<Vec<Leg>> {
        let (side, whole) = (self.state.machine.side, self.state.machine.cube_nodes());
        if count > 0 && !side.is_multiple_of(2) {
            return None;
        }
        let empty = (0..self.state.machine.cubes())
            .filter(|cube| self.state.free_in(*cube) == whole && self.lit(lane, *cube));
        let legs: Vec<Leg> = empty
            .take(count as usize)
            .map(|cube| lane.leg(cube, path::through_all(side, lane.axis, lane.at)))
            .collect();
        (legs.len() == count as usize).then_some(legs)
    }

    fn leg(&mut self, lane: Lane, cube: u32, length: u32, through: bool) -> Option<Vec<u32>> {
        let (from, to) = self.ends(lane);
        self.field(cube).path(from, through.then_some(to), length)
    }

    /// As long a path through a cube on a lane as is found.
    pub fn longest(&mut self, lane: Lane, cube: u32) -> Option<Vec<u32>> {
        if let Some(known) = self.longest.get(&(cube, lane)) {
            return known.clone();
        }
        let (from, to) = self.ends(lane);
        let (side, free) = (self.state.machine.side, self.state.free_in(cube));
        let path = match free == self.state.machine.cube_nodes() && side.is_multiple_of(2) {
            true => Some(path::through_all(side, lane.axis, lane.at)),
            false => self.field(cube).longest(from, Some(to), free),
        };
        // What a spent budget cut short is not what there is.
        if *self.budget > 0 {
            self.longest.insert((cube, lane), path.clone());
        }
        path
    }

    /// The same between two lanes, of at most `most` nodes.
    pub fn between(&mut self, enter: Lane, leave: Lane, cube: u32, most: u32) -> Option<Leg> {
        let ((from, _), (_, to)) = (self.ends(enter), self.ends(leave));
        let most = most.min(self.state.free_in(cube));
        let path = self.field(cube).longest(from, Some(to), most)?;
        Some(Leg {
            cube,
            path,
            enter,
            leave,
        })
    }

    fn field(&mut self, cube: u32) -> Field<'_> {
        let bits = self.state.bits(cube);
        let nodes = self.state.machine.cube_nodes() as usize;
        Field {
            side: self.state.machine.side,
            free: (0..nodes)
                .map(|node| bits[node / 64] >> (node % 64) & 1 == 1)
                .collect(),
            budget: self.budget,
        }
    }

    /// Where a lane enters a cube and where it leaves it.
    fn ends(&self, lane: Lane) -> (u32, u32) {
        let side = self.state.machine.side;
        let mut local = lane.local();
        let number = |at: Dims| at[0] + side * (at[1] + side * at[2]);
        let from = number(local);
        local[lane.axis] = side - 1;
        (from, number(local))
    }

    /// Whether a cube's two ports on a lane are alive.
    pub fn lit(&self, lane: Lane, cube: u32) -> bool {
        let (machine, map) = (self.state.machine, self.state.machine.ports());
        let switch = map.switch(lane.axis, lane.local());
        machine.alive(switch, map.north(cube)) && machine.alive(switch, map.south(cube))
    }

    fn join(&self, legs: &[Leg]) -> Wound {
        let machine = self.state.machine;
        let start = |leg: &Leg| leg.cube * machine.cube_nodes();
        let nodes = legs
            .iter()
            .flat_map(|leg| leg.path.iter().map(move |node| start(leg) + node));
        let nodes: Vec<u32> = nodes.collect();
        let joints = if self.ring { legs.len() } else { legs.len() - 1 };
        let join = |n: usize| {
            let (from, to) = (&legs[n], &legs[(n + 1) % legs.len()]);
            debug_assert_eq!(from.leave, to.enter, "a circuit joins equal positions");
            let lane = from.leave;
            machine.ports().join(lane.axis, lane.local(), from.cube, to.cube)
        };
        (nodes, (0..joints).map(join).collect())
    }
}

impl Lane {
    /// A part of a job that comes and goes on it.
    pub fn leg(self, cube: u32, path: Vec<u32>) -> Leg {
        Leg {
            cube,
            path,
            enter: self,
            leave: self,
        }
    }

    /// Its place on the negative face.
    fn local(self) -> Dims {
        let mut local = [0; 3];
        let [i, j] = across(self.axis);
        (local[i], local[j]) = (self.at[0], self.at[1]);
        local
    }
}
