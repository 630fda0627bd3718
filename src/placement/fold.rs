//! Folding: other boxes in which a job's links are all one hop long. An axis becomes a cycle through two
//! or three axes; two axes of 2 become one ring of 4. Every fold is tested link by link before it is given.

use super::grid::is_embedding;
use super::shape::{Closing, Dims, Shape};

/// A box that holds a job, and how the job lies in it.
#[derive(Debug, Clone)]
pub struct Fold {
    /// The box.
    pub dims: Dims,
    job: Dims,
    /// `None`: as it is.
    plan: Option<Plan>,
}

/// Most folds of one shape that are tried.
const MOST: usize = 24;

/// The shape as it is.
pub fn unfolded(shape: &Shape) -> Fold {
    Fold {
        dims: shape.dims,
        job: shape.dims,
        plan: None,
    }
}

impl Fold {
    /// By node of the job: node of the box.
    pub fn map(&self) -> Vec<u32> {
        match &self.plan {
            None => (0..self.job.iter().product()).collect(),
            Some(plan) => plan.map(self.job, self.dims),
        }
    }
}

/// All boxes that hold the job where axes close as `closing` says, itself among them, each set of lengths
/// once; the best by `cost` first. `None` from `cost` leaves a box out.
pub fn folds<K: Ord>(shape: &Shape, closing: Closing, cost: impl Fn(Dims) -> Option<K>) -> Vec<Fold> {
    let mut plans: Vec<(K, Dims, Plan)> = Vec::new();
    for plan in plans_of(shape) {
        let Some(dims) = plan.dims() else { continue };
        let sorted = sorted(dims);
        if plans.iter().any(|(_, known, _)| *known == sorted) {
            continue;
        }
        if let Some(key) = cost(dims) {
            plans.push((key, sorted, plan));
        }
    }
    plans.sort_by(|a, b| (&a.0, a.1).cmp(&(&b.0, b.1)));
    let tested = plans
        .into_iter()
        .filter_map(|(_, _, plan)| plan.fold(shape, closing));
    tested.take(MOST).collect()
}

fn sorted(mut dims: Dims) -> Dims {
    dims.sort_unstable();
    dims
}

/// How each axis of a job is split, and whether two axes of 2 become one of 4.
#[derive(Debug, Clone)]
struct Plan {
    /// Factors of each axis, one to three.
    splits: [Vec<u32>; 3],
    merge: Option<(usize, usize)>,
}

/// The plain plan first, then all others that leave at most three axes.
fn plans_of(shape: &Shape) -> Vec<Plan> {
    let plain = Plan {
        splits: shape.dims.map(|d| vec![d]),
        merge: None,
    };
    let mut plans = vec![plain];
    if shape.twisted {
        return plans;
    }
    let options = shape.dims.map(|d| splits(d, shape.order() == 1));
    for a in &options[0] {
        for b in &options[1] {
            for c in &options[2] {
                let splits = [a.clone(), b.clone(), c.clone()];
                plans.extend(Plan::merges(splits));
            }
        }
    }
    plans
}

/// The axis whole, in two factors, and if `three` in three.
fn splits(length: u32, three: bool) -> Vec<Vec<u32>> {
    let mut all = vec![vec![length]];
    let factors = |n: u32| (2..=n / 2).filter(move |p| n.is_multiple_of(*p));
    for p in factors(length) {
        all.push(vec![p, length / p]);
        if three {
            all.extend(factors(length / p).map(|q| vec![p, q, length / p / q]));
        }
    }
    all
}

impl Plan {
    /// The plan without and with each merge, as far as at most three axes are left.
    fn merges(splits: [Vec<u32>; 3]) -> Vec<Plan> {
        let axes: Vec<u32> = splits.iter().flatten().copied().collect();
        let long = axes.iter().filter(|d| **d > 1).count();
        let twos: Vec<usize> = (0..axes.len()).filter(|i| axes[*i] == 2).collect();
        let mut merges = Vec::new();
        if long <= 3 {
            merges.push(None);
        }
        if long <= 4 {
            let pairs = twos.iter().flat_map(|a| twos.iter().map(move |b| (*a, *b)));
            merges.extend(pairs.filter(|(a, b)| a < b).map(Some));
        }
        let plan = |merge| Plan {
            splits: splits.clone(),
            merge,
        };
        merges.into_iter().map(plan).collect()
    }

    /// The axes after merging, those of 1 left out.
    fn axes(&self) -> Vec<(usize, u32)> {
        let axes = self.splits.iter().flatten().copied().enumerate();
        let merged = axes.filter_map(|(i, length)| match self.merge {
            Some((a, _)) if i == a => Some((i, 4)),
            Some((_, b)) if i == b => None,
            _ => Some((i, length)),
        });
        merged.filter(|(_, length)| *length > 1).collect()
    }

    fn dims(&self) -> Option<Dims> {
        let axes = self.axes();
        if axes.len() > 3 {
            return None;
        }
        let mut dims = [1; 3];
        for (to, (_, length)) in dims.iter_mut().zip(axes) {
            *to = length;
        }
        Some(dims)
    }

    fn plain(&self) -> bool {
        self.splits.iter().all(|split| split.len() == 1) && self.merge.is_none()
    }

    /// The fold, if all links of the job stay links.
    fn fold(self, shape: &Shape, closing: Closing) -> Option<Fold> {
        if self.plain() {
            // As it is, its axes of 1 too.
            return Some(unfolded(shape));
        }
        let dims = self.dims()?;
        let tested = self.sound(shape.dims, closing);
        tested.then_some(Fold {
            dims,
            job: shape.dims,
            plan: Some(self),
        })
    }

    /// Whether all links stay links. Axes that no merge joins lie in the box independently of each other, so each
    /// is tested alone, and two that are merged together: what holds for them holds for their product.
    fn sound(&self, job: Dims, closing: Closing) -> bool {
        let merged = self.merge.map(|(a, b)| [self.axis_of(a), self.axis_of(b)]);
        (0..3).all(|axis| {
            let with = merged.filter(|axes| axes.contains(&axis)).unwrap_or([axis; 2]);
            let (mut part, mut dims) = (self.clone(), job);
            for other in (0..3).filter(|other| !with.contains(other)) {
                // As many factors as before, so that the merged ones keep their places.
                part.splits[other].fill(1);
                dims[other] = 1;
            }
            if merged.is_none_or(|axes| !axes.contains(&axis)) {
                part.merge = None;
            }
            let Some(to) = part.dims() else { return false };
            let (guest, host) = (Shape::new(dims).grid(closing), Shape::new(to).grid(closing));
            is_embedding(&guest, &host, &part.map(dims, to))
        })
    }

    /// The job's axis that a factor is of.
    fn axis_of(&self, factor: usize) -> usize {
        let mut axes = (0..3).flat_map(|axis| self.splits[axis].iter().map(move |_| axis));
        axes.nth(factor).unwrap_or(0)
    }

    /// By node of a job of these lengths: node of the box.
    fn map(&self, job: Dims, to: Dims) -> Vec<u32> {
        let tables = [0, 1, 2].map(|axis| table(&self.splits[axis]));
        let first = [
            0,
            self.splits[0].len(),
            self.splits[0].len() + self.splits[1].len(),
        ];
        // By factor: how far one step along it leads in the box.
        let mut strides = [0; MOST_FACTORS];
        let (mut stride, mut lengths) = (1, to.into_iter());
        for (factor, _) in self.axes() {
            strides[factor] = stride;
            stride *= lengths.next().unwrap_or(1);
        }
        let mut at = [0; MOST_FACTORS];
        let mut map = Vec::with_capacity(job.iter().product::<u32>() as usize);
        for z in 0..job[2] {
            for y in 0..job[1] {
                for x in 0..job[0] {
                    for (axis, place) in [x, y, z].into_iter().enumerate() {
                        let parts = &tables[axis][place as usize];
                        at[first[axis]..first[axis] + parts.len()].copy_from_slice(parts);
                    }
                    let mut all = at;
                    if let Some((a, b)) = self.merge {
                        // The four corners of a square, in the order of a ring.
                        all[a] = [0, 1, 3, 2][(2 * all[a] + all[b]) as usize];
                    }
                    map.push(all.iter().zip(&strides).map(|(at, stride)| at * stride).sum());
                }
            }
        }
        map
    }
}

/// Most factors of a plan: three of one axis and one each of the others, or two of each.
const MOST_FACTORS: usize = 9;

/// By position along an axis: position along each of its factors.
fn table(factors: &[u32]) -> Vec<Vec<u32>> {
    match *factors {
        [p, q] => cycle(p, q).into_iter().map(|(u, v)| vec![u, v]).collect(),
        [p, q, r] => {
            let three = |(u, v): (u32, u32)| {
                let (row, column) = (v / q, v % q);
                let column = if row % 2 == 0 { column } else { q - 1 - column };
                vec![u, column, row]
            };
            cycle(p, q * r).into_iter().map(three).collect()
        }
        _ => (0..factors[0]).map(|x| vec![x]).collect(),
    }
}

/// A Hamiltonian cycle through a mesh of `p` x `q`, both at least 2: a snake through all columns but the
/// first, and back along that. Where both are odd there is none, and it is a snake.
pub fn cycle(p: u32, q: u32) -> Vec<(u32, u32)> {
    if !p.is_multiple_of(2) {
        if q.is_multiple_of(2) {
            return cycle(q, p).into_iter().map(|(u, v)| (v, u)).collect();
        }
        return (0..p)
            .flat_map(|u| (0..q).map(move |v| (u, if u % 2 == 0 { v } else { q - 1 - v })))
            .collect();
    }
    let snake = (0..p).flat_map(|u| (1..q).map(move |v| (u, if u % 2 == 0 { v } else { q - v })));
    snake.chain((0..p).rev().map(|u| (u, 0))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::placement::grid::embed;
    use proptest::prelude::*;

    fn dims_of(shape: &str, closing: Closing) -> Vec<Dims> {
        let shape: Shape = shape.parse().unwrap();
        let folds = folds(&shape, closing, |dims| Some(sorted(dims)));
        folds.into_iter().map(|fold| sorted(fold.dims)).collect()
    }

    #[test]
    fn the_folds_that_the_paper_names_are_found() {
        let four = Closing::Multiple(4);
        let found = dims_of("8x12x1", four);
        for wanted in [[2, 4, 12], [2, 6, 8], [4, 4, 6]] {
            assert!(found.contains(&wanted), "{wanted:?} not in {found:?}");
        }
        assert!(dims_of("16x12x1", four).contains(&[4, 4, 12]));
        assert!(dims_of("2x12x6", four).contains(&[4, 6, 6]));
        // A ring of 4 is a square, but no line is: on a fixed torus axes of 2 do not become one of 4.
        assert!(!dims_of("2x12x6", Closing::Never).contains(&[4, 6, 6]));
    }

    #[test]
    fn two_times_a_large_prime_only_folds_in_two() {
        assert_eq!(
            dims_of("158x1x1", Closing::Multiple(4)),
            [[1, 1, 158], [1, 2, 79]]
        );
    }

    #[test]
    fn the_search_agrees_with_the_constructions_and_refuses_what_cannot_be() {
        let ring = |dims| Shape::new(dims).grid(Closing::Multiple(2));
        let mut budget = 100_000;
        assert!(embed(&ring([12, 1, 1]), &ring([3, 4, 1]), &mut budget).is_some());
        // An odd mesh has no Hamiltonian cycle: colour it like a chessboard.
        let odd = Shape::new([3, 3, 1]).grid(Closing::Never);
        let closed = Shape::new([9, 1, 1]).grid(Closing::Multiple(3));
        assert!(embed(&closed, &odd, &mut budget).is_none());
        assert!(budget > 0, "the search was cut short");
    }

    proptest! {
        #[test]
        fn every_fold_is_a_subgraph(a in 1u32..10, b in 1u32..7, c in 1u32..5, side in 2u32..5) {
            let shape = Shape::new([a * 2, b, c]);
            let closing = Closing::Multiple(side);
            let guest = shape.grid(closing);
            for fold in folds(&shape, closing, Some) {
                let host = Shape::new(fold.dims).grid(closing);
                prop_assert_eq!(host.nodes(), guest.nodes());
                prop_assert!(is_embedding(&guest, &host, &fold.map()));
            }
        }

        #[test]
        fn small_folds_are_found_by_search_too(a in 1u32..5, b in 1u32..4) {
            let shape = Shape::new([a * 2, b, 1]);
            let closing = Closing::Multiple(4);
            for fold in folds(&shape, closing, Some) {
                let host = Shape::new(fold.dims).grid(closing);
                prop_assert!(embed(&shape.grid(closing), &host, &mut 1_000_000).is_some());
            }
        }

        #[test]
        fn a_cycle_steps_by_one_and_closes(p in 2u32..12, q in 2u32..12) {
            let all = cycle(p, q);
            let near = |a: (u32, u32), b: (u32, u32)| a.0.abs_diff(b.0) + a.1.abs_diff(b.1) == 1;
            prop_assert!(all.windows(2).all(|w| near(w[0], w[1])));
            prop_assert_eq!(near(all[0], all[all.len() - 1]), p * q % 2 == 0);
        }
    }
}
