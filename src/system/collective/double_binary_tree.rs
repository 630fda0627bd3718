//! Two complementary binary trees, chunks alternating between them (Sanders, Speck and Träff,
//! "Two-tree algorithms for full bandwidth broadcast, reduction and scan", 2009). The root stands
//! above both; every other position is an inner node of at most one, so that links of all carry alike.

use crate::system::op::Collective;

use super::schedule::{Cells, Round, Schedule, ahead, behind};

/// Which of the two trees.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tree {
    /// Labels as they are.
    First,
    /// Labels mirrored or shifted by one, so that leaves and inner nodes change places.
    Second,
}

impl Tree {
    /// Both.
    pub const BOTH: [Tree; 2] = [Tree::First, Tree::Second];
}

/// One of the two trees of a collective.
#[derive(Debug, Clone)]
pub struct DoubleBinaryTree {
    /// Which collective.
    pub collective: Collective,
    /// Communicator size.
    pub n: u32,
    /// Position of the root (all-reduce and barrier reduce to position 0 and come back from there).
    pub root: u32,
    /// Which tree.
    pub tree: Tree,
}

/// Neighbours of a position in a tree.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Family {
    parent: Option<u32>,
    children: Vec<u32>,
}

impl DoubleBinaryTree {
    fn top(&self) -> u32 {
        match self.collective {
            Collective::Broadcast | Collective::Reduce => self.root,
            _ => 0,
        }
    }

    /// Label of a position: 0 for the top, 1 to n-1 for the others in in-order of this tree.
    fn label(&self, position: u32) -> u32 {
        match behind(position, self.top(), self.n) {
            0 => 0,
            v => match self.tree {
                Tree::First => v,
                Tree::Second if self.n % 2 == 1 => self.n - v,
                Tree::Second => v % (self.n - 1) + 1,
            },
        }
    }

    fn position(&self, label: u32) -> u32 {
        let v = match (label, self.tree) {
            (0, _) | (_, Tree::First) => label,
            (_, Tree::Second) if self.n % 2 == 1 => self.n - label,
            (_, Tree::Second) => (label + self.n - 3) % (self.n - 1) + 1,
        };
        ahead(self.top(), v, self.n)
    }

    fn family(&self, position: u32) -> Family {
        let label = self.label(position);
        Family {
            parent: parent(label, self.n).map(|label| self.position(label)),
            children: children(label, self.n)
                .into_iter()
                .flatten()
                .map(|l| self.position(l))
                .collect(),
        }
    }

    fn reduces(&self) -> bool {
        self.collective != Collective::Broadcast
    }

    fn broadcasts(&self) -> bool {
        self.collective != Collective::Reduce
    }
}

/// Parent of a label in the in-order tree of labels 1 to n-1 below the top 0. A label whose lowest
/// set bit is b is the middle of the labels within b of it.
fn parent(label: u32, n: u32) -> Option<u32> {
    if label == 0 {
        return None;
    }
    let bit = label & label.wrapping_neg();
    let below = label - bit;
    Some(below | (bit << 1)).filter(|&up| up < n).or(Some(below))
}

/// Children of a label: the left one and, as far as labels below n go, the right one.
fn children(label: u32, n: u32) -> [Option<u32>; 2] {
    if label == 0 {
        return [(n > 1).then(|| 1 << (n - 1).ilog2()), None];
    }
    let half = (label & label.wrapping_neg()) >> 1;
    let right = (0..32)
        .map(|i| half >> i)
        .take_while(|&h| h > 0)
        .map(|h| label + h)
        .find(|&r| r < n);
    [(half > 0).then(|| label - half), right]
}

impl Schedule for DoubleBinaryTree {
    fn rounds(&self, _position: u32) -> u32 {
        match (self.n, self.reduces(), self.broadcasts()) {
            (1, ..) => 0,
            (_, true, true) => 3,
            _ => 2,
        }
    }

    /// Up: from the children, then to the parent; down: from the parent, then to the children.
    fn round(&self, position: u32, k: u32, round: &mut Round) {
        let Family { parent, children } = self.family(position);
        let buffer = Cells::one(0);
        let down = if self.reduces() { 1 } else { 0 };
        if self.reduces() && k == 0 {
            children.iter().for_each(|&c| round.reduce(c, buffer));
        }
        if self.reduces() && k == 1 {
            parent.iter().for_each(|&p| round.send(p, buffer));
        }
        if self.broadcasts() && k == down {
            parent.iter().for_each(|&p| round.copy(p, buffer));
        }
        if self.broadcasts() && k == down + 1 {
            children.iter().for_each(|&c| round.send(c, buffer));
        }
    }

    fn depth(&self) -> u32 {
        let level = |mut label: u32| {
            let mut level = 0;
            while let Some(up) = parent(label, self.n) {
                (label, level) = (up, level + 1);
            }
            level
        };
        let height = (0..self.n).map(level).max().unwrap_or(0);
        height * (u32::from(self.reduces()) + u32::from(self.broadcasts()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trees(n: u32, root: u32) -> [DoubleBinaryTree; 2] {
        Tree::BOTH.map(|tree| DoubleBinaryTree {
            collective: Collective::Broadcast,
            n,
            root,
            tree,
        })
    }

    #[test]
    fn parents_and_children_agree_and_labels_are_a_permutation() {
        for n in 2..200 {
            for tree in trees(n, n / 3) {
                for position in 0..n {
                    assert_eq!(tree.position(tree.label(position)), position);
                    for child in tree.family(position).children {
                        assert_eq!(tree.family(child).parent, Some(position));
                    }
                }
                let edges: usize = (0..n).map(|p| tree.family(p).children.len()).sum();
                assert_eq!(edges, n as usize - 1, "a tree of {n} nodes has n-1 edges");
            }
        }
    }

    #[test]
    fn no_position_but_the_root_is_inner_in_both_trees() {
        for n in 2..200 {
            let root = n - 1;
            let [a, b] = trees(n, root);
            for position in (0..n).filter(|&p| p != root) {
                let inner = |t: &DoubleBinaryTree| !t.family(position).children.is_empty();
                assert!(!(inner(&a) && inner(&b)), "position {position} of {n}");
            }
        }
    }

    #[test]
    fn depth_grows_with_the_logarithm() {
        for n in 2_u32..1000 {
            let depth = trees(n, 0)[0].depth();
            assert!(depth <= (n - 1).ilog2() + 2, "{n} ranks: depth {depth}");
        }
    }
}
