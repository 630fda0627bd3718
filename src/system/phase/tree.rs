//! All-reduce on one of two complementary binary trees: whole chunks go up, are reduced at every inner
//! node, and come down again (ASTRA-sim, `DoubleBinaryTreeAllReduce.cc`). The trees are numbered in
//! order; one has its root behind all others, the other before them.

use super::{Happening, Label, Move, Settle};
use crate::system::setup::Ring;

/// A position's place in a tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Root { child: u32 },
    Inner { parent: u32, left: u32, right: u32 },
    Leaf { parent: u32 },
}

impl Place {
    /// The same place with ranks for positions.
    fn among(self, ring: &Ring) -> Place {
        let rank = |position| ring.rank(position);
        match self {
            Place::Root { child } => Place::Root { child: rank(child) },
            Place::Leaf { parent } => Place::Leaf { parent: rank(parent) },
            Place::Inner { parent, left, right } => Place::Inner {
                parent: rank(parent),
                left: rank(left),
                right: rank(right),
            },
        }
    }
}

/// What a position waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Begin,
    /// So many children.
    Children(u32),
    /// Both children's data to be reduced, or the own data to be ready.
    Up,
    Parent,
    Down,
}

/// A chunk in a tree.
#[derive(Debug)]
pub(in crate::system) struct TreeRun {
    /// Ranks, not positions.
    place: Place,
    state: State,
    /// An inner node's first child is reduced.
    one_reduced: bool,
    bytes: u64,
}

/// The place of `position` among `n` (a power of two), in the tree whose root is the first or the last.
fn place(position: u32, n: u32, root_first: bool) -> Place {
    // Positions in the perfect tree below the root, counted from 1.
    let number = |position: u32| if root_first { position } else { position + 1 };
    let position_of = |number: u32| if root_first { number } else { number - 1 };
    let root = if root_first { 0 } else { n - 1 };
    if position == root {
        return Place::Root {
            child: position_of(n / 2),
        };
    }
    let number = number(position);
    let level = number & number.wrapping_neg();
    let parent = if number == n / 2 {
        root
    } else {
        position_of((number ^ level) | level << 1)
    };
    if level == 1 {
        return Place::Leaf { parent };
    }
    Place::Inner {
        parent,
        left: position_of(number - level / 2),
        right: position_of(number + level / 2),
    }
}

impl TreeRun {
    pub(super) fn new(ring: &Ring, root_first: bool, bytes: u64) -> Self {
        TreeRun {
            place: place(ring.position, ring.size, root_first).among(ring),
            state: State::Begin,
            one_reduced: false,
            bytes,
        }
    }

    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    pub(super) fn on(&mut self, happening: Happening, moves: &mut Vec<Move>) {
        match self.place {
            Place::Leaf { parent } => self.leaf(parent, moves),
            Place::Root { child } => self.root(child, moves),
            Place::Inner { parent, left, right } => self.inner(happening, parent, [left, right], moves),
        }
    }

    fn leaf(&mut self, parent: u32, moves: &mut Vec<Move>) {
        match self.state {
            State::Begin => {
                moves.push(self.settle(false, true, false));
                self.state = State::Up;
            }
            State::Up => {
                moves.extend([self.send(parent), self.receive(parent)]);
                self.state = State::Parent;
            }
            State::Parent => {
                moves.push(self.settle(false, false, false));
                self.state = State::Down;
            }
            State::Children(_) | State::Down => moves.push(Move::End),
        }
    }

    fn root(&mut self, child: u32, moves: &mut Vec<Move>) {
        match self.state {
            State::Begin => {
                moves.push(self.receive(child));
                self.state = State::Children(1);
            }
            State::Children(_) => {
                moves.push(self.settle(true, false, true));
                self.state = State::Down;
            }
            State::Up | State::Parent | State::Down => {
                moves.extend([self.send(child), Move::End]);
            }
        }
    }

    fn inner(&mut self, happening: Happening, parent: u32, children: [u32; 2], moves: &mut Vec<Move>) {
        let came = matches!(happening, Happening::Over(_));
        match self.state {
            State::Begin => {
                moves.extend(children.map(|child| self.receive(child)));
                self.state = State::Children(2);
            }
            State::Children(2) if came => {
                moves.push(self.settle(true, false, false));
                self.state = State::Children(1);
            }
            State::Children(_) if came => {
                moves.push(self.settle(true, false, true));
                self.state = State::Up;
            }
            _ if !self.one_reduced && !came => self.one_reduced = true,
            State::Up => {
                moves.extend([self.send(parent), self.receive(parent)]);
                self.state = State::Parent;
            }
            State::Parent if came => {
                moves.push(self.settle(true, false, true));
                self.state = State::Down;
            }
            State::Down => {
                moves.extend(children.map(|child| self.send(child)));
                moves.push(Move::End);
            }
            State::Children(_) | State::Parent => {}
        }
    }

    fn settle(&self, reduced: bool, to_memory: bool, send_back: bool) -> Move {
        Move::Settle(Settle {
            bytes: self.bytes,
            reduced,
            to_memory,
            send_back,
            fast: false,
        })
    }

    fn send(&self, to: u32) -> Move {
        let (bytes, label) = (self.bytes, Label::Plain);
        Move::Send { to, bytes, label }
    }

    fn receive(&self, from: u32) -> Move {
        let (bytes, label) = (self.bytes, Label::Plain);
        Move::Receive { from, bytes, label }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parents_and_children_agree() {
        for n in [2u32, 4, 8, 64] {
            for root_first in [false, true] {
                let mut children = vec![0; n as usize];
                for position in 0..n {
                    let parent = match place(position, n, root_first) {
                        Place::Root { child } => {
                            assert!(child < n && position == if root_first { 0 } else { n - 1 });
                            continue;
                        }
                        Place::Inner { parent, left, right } => {
                            assert!(left < position && position < right && right < n);
                            parent
                        }
                        Place::Leaf { parent } => parent,
                    };
                    children[parent as usize] += 1;
                    let known = match place(parent, n, root_first) {
                        Place::Root { child } => child == position,
                        Place::Inner { left, right, .. } => left == position || right == position,
                        Place::Leaf { .. } => false,
                    };
                    assert!(known, "{parent} of {n} does not know its child {position}");
                }
                assert_eq!(children.iter().sum::<u32>(), n - 1);
            }
        }
    }
}
