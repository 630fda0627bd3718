//! Generated jobs with the paper's mix: even sizes on a truncated exponential, one to three dimensions by size,
//! shapes of even lengths that the machine's cubes can hold (after the public RFold generator).

use super::durations::quantile;
use super::random::Random;
use super::{Job, micros};
use crate::placement::shape::{Dims, Shape};

/// Side of the cubes of which a job may need no more than there are, whatever the policy's cubes are.
const SIDE: u32 = 4;
/// The truncated exponential over the sizes ends at so many of its means.
const SKEW: f64 = 4.0;
/// Largest job of one dimension, nodes.
const LONGEST: u32 = 256;

/// What jobs of each size may look like.
#[derive(Debug, Clone)]
pub struct Mix {
    /// Ascending sizes, and shapes of one, two and three dimensions.
    sizes: Vec<(u32, [Vec<Dims>; 3])>,
}

impl Mix {
    /// The mix for a machine of so many nodes.
    pub fn new(nodes: u32) -> Self {
        let mut sizes = Vec::new();
        for size in (1..=nodes).filter(|s| *s <= 2 || s.is_multiple_of(2)) {
            let shapes = shapes(size, nodes);
            if shapes.iter().any(|of| !of.is_empty()) {
                sizes.push((size, shapes));
            }
        }
        Mix { sizes }
    }

    /// A size of the paper's distribution.
    pub fn size(&self, random: &mut Random) -> u32 {
        let count = self.sizes.len() as f64;
        let share = random.unit() * (1.0 - (-SKEW).exp());
        let index = -(1.0 - share).ln() * count / SKEW;
        self.sizes[(index as usize).min(self.sizes.len() - 1)].0
    }

    /// A shape of the least size in the mix that is not below `size`; `None` if it is larger than all.
    pub fn shape(&self, size: u32, random: &mut Random) -> Option<Shape> {
        let at = self.sizes.partition_point(|(known, _)| *known < size);
        let (size, shapes) = self.sizes.get(at)?;
        let weights = match size {
            0..=256 => [0.8, 0.2, 0.0],
            257..=1024 => [0.0, 0.8, 0.2],
            _ => [0.0, 0.2, 0.8],
        };
        let weight = |n: usize| if shapes[n].is_empty() { 0.0 } else { weights[n] };
        let total: f64 = (0..3).map(weight).sum();
        let mut left = random.unit() * total;
        let mut chosen = (0..3).rev().find(|n| weight(*n) > 0.0).unwrap_or(0);
        for n in 0..3 {
            if weight(n) > 0.0 && left < weight(n) {
                chosen = n;
                break;
            }
            left -= weight(n);
        }
        // A size whose only shapes have no weight takes what there is.
        let of = match shapes[chosen].is_empty() {
            true => shapes.iter().find(|of| !of.is_empty())?,
            false => &shapes[chosen],
        };
        Some(Shape::new(of[random.below(of.len())]))
    }
}

/// Shapes of one, two and three dimensions for a size.
fn shapes(size: u32, nodes: u32) -> [Vec<Dims>; 3] {
    let cubes = nodes / SIDE.pow(3);
    let fits = |dims: &Dims| dims.iter().map(|d| d.div_ceil(SIDE)).product::<u32>() <= cubes.max(1);
    let mut found = [Vec::new(), Vec::new(), Vec::new()];
    if size <= LONGEST {
        found[0].push([size, 1, 1]);
    }
    // Even divisors whose square is not above `n`, from `least` on: each pair of factors once.
    let even = |n: u32, least: u32| {
        let small = (least..).step_by(2).take_while(move |d| d * d <= n);
        small.filter(move |d| n.is_multiple_of(*d) && (n / d).is_multiple_of(2))
    };
    for a in even(size, 2) {
        let rest = size / a;
        found[1].push([a, rest, 1]);
        found[2].extend(even(rest, a).map(|b| [a, b, rest / b]));
    }
    found.iter_mut().for_each(|of| of.retain(fits));
    found
}

/// How jobs come.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Arrivals {
    /// How many jobs.
    pub jobs: u32,
    /// Mean number of arrivals in an hour, exponentially apart.
    pub per_hour: f64,
}

/// The jobs of one seed.
pub fn jobs(mix: &Mix, arrivals: Arrivals, seed: u64) -> Vec<Job> {
    let mut random = Random::new(seed);
    let mut seconds = 0.0;
    let mut jobs = Vec::with_capacity(arrivals.jobs as usize);
    for _ in 0..arrivals.jobs {
        let size = mix.size(&mut random);
        let Some(shape) = mix.shape(size, &mut random) else {
            continue;
        };
        jobs.push(Job {
            arrival: micros(seconds),
            duration: micros(quantile(random.unit())),
            shape,
        });
        seconds -= (1.0 - random.unit()).ln() * 3600.0 / arrivals.per_hour;
    }
    jobs
}
