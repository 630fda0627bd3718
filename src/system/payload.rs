//! Real data for `verify = true`: what buffers hold at first, how they are reduced, and how many
//! elements of a result are wrong. Values are small integers whose sums are exact in every element
//! type (modulo 256 in int8), so results are the same to the last bit in whatever order they are reduced.
//!
//! Element x of block b of position p in iteration i is `a(p, i) + e(b, x, i)`, each term in 0 to 63:
//! a reduction over positions then has a closed form, and a check costs no more than one pass.

use super::action::Combine;
use super::collective::promise::{Holds, after, before};
use super::collective::{Layout, Region};
use super::op::{Collective, DataType, Op, ReduceOp};

/// Terms of a value are below this: sums of 2^17 ranks stay exact in float32 (2^24).
const TERM: u64 = 64;

/// What cells hold that are given nothing: no value and no sum of few values.
const STALE: u8 = 0xEE;

/// Bytes of the buffer of `op` at `position` of `n`.
pub fn buffer_bytes(op: &Op, n: u32, position: u32) -> u64 {
    Layout::new(op, n, position).buffer_bytes()
}

/// Fills a buffer with what `op` is given at `position` of `n` in `iteration`; what it is not given
/// is filled with stale bytes. `buffer` has [`buffer_bytes`] bytes.
pub fn fill(op: &Op, n: u32, position: u32, iteration: u64, buffer: &mut [u8]) {
    let layout = Layout::new(op, n, position);
    buffer.fill(STALE);
    for cell in 0..layout.cells() {
        if let Holds::One { position, block } = before(op, n, position, cell) {
            let cell = layout.cell(cell);
            let bytes = &mut buffer[cell.start as usize..cell.end as usize];
            let term = rank_term(position, iteration);
            for (x, element) in (0..).zip(bytes.chunks_exact_mut(element_bytes(op))) {
                write(op, term + element_term(block, x, iteration), element);
            }
        }
    }
}

/// How many elements of the promised result of `op` are wrong in a buffer.
pub fn wrong(op: &Op, n: u32, position: u32, iteration: u64, buffer: &[u8]) -> u64 {
    if op.collective == Collective::Barrier {
        return 0;
    }
    let layout = Layout::new(op, n, position);
    let all = Reduced::of(op.redop, n, iteration);
    let mut wrong = 0;
    let mut expected = [0; 8];
    for cell in 0..layout.cells() {
        let (block, times, sum) = match after(op, n, position, cell) {
            Holds::Anything => continue,
            Holds::One { position, block } => (block, 1, rank_term(position, iteration)),
            Holds::All { block } => (block, all.times, all.terms),
        };
        let cell = layout.cell(cell);
        let bytes = &buffer[cell.start as usize..cell.end as usize];
        for (x, element) in (0..).zip(bytes.chunks_exact(element_bytes(op))) {
            let expected = &mut expected[..element.len()];
            write(op, sum + times * element_term(block, x, iteration), expected);
            wrong += u64::from(expected != element);
        }
    }
    wrong
}

/// A reduction over all ranks is `terms + times x (the element's own term)`.
struct Reduced {
    terms: u64,
    times: u64,
}

impl Reduced {
    fn of(redop: ReduceOp, n: u32, iteration: u64) -> Self {
        let ranks = (0..n).map(|position| rank_term(position, iteration));
        match redop {
            ReduceOp::Sum => Reduced {
                terms: ranks.sum(),
                times: u64::from(n),
            },
            ReduceOp::Max => Reduced {
                terms: ranks.max().unwrap_or(0),
                times: 1,
            },
            ReduceOp::Min => Reduced {
                terms: ranks.min().unwrap_or(0),
                times: 1,
            },
        }
    }
}

fn element_bytes(op: &Op) -> usize {
    // A barrier's buffer is one byte, whatever its element type.
    if op.collective == Collective::Barrier {
        1
    } else {
        op.dtype.bytes() as usize
    }
}

/// The part of a value that tells ranks apart.
fn rank_term(position: u32, iteration: u64) -> u64 {
    mix(mix(iteration) ^ u64::from(position)) % TERM
}

/// The part of a value that tells elements apart; no two of 64 neighbours are alike (37 is odd).
fn element_term(block: u32, x: u64, iteration: u64) -> u64 {
    (mix(mix(iteration ^ u64::from(block) << 40) ^ (x / TERM)) % TERM + 37 * (x % TERM)) % TERM
}

/// SplitMix64's finaliser (Steele, Lea and Flood, 2014).
pub(super) fn mix(seed: u64) -> u64 {
    let z = seed.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

/// Writes an integer as an element; int8 keeps its lowest 8 bits.
fn write(op: &Op, value: u64, element: &mut [u8]) {
    match element.len() {
        1 => element[0] = value as u8,
        _ => match op.dtype {
            DataType::Int8 => element[0] = value as u8,
            DataType::Int32 => element.copy_from_slice(&(value as i32).to_ne_bytes()),
            DataType::Int64 => element.copy_from_slice(&(value as i64).to_ne_bytes()),
            DataType::Float32 => element.copy_from_slice(&(value as f32).to_ne_bytes()),
            DataType::Float64 => element.copy_from_slice(&(value as f64).to_ne_bytes()),
        },
    }
}

/// Reduces `src` into `dst`, element by element; both of the same length. Integers wrap.
pub fn combine(dtype: DataType, redop: ReduceOp, dst: &mut [u8], src: &[u8]) {
    macro_rules! reduce {
        ($type:ty, $add:expr) => {{
            let f: fn($type, $type) -> $type = match redop {
                ReduceOp::Sum => $add,
                ReduceOp::Max => |a, b| if b > a { b } else { a },
                ReduceOp::Min => |a, b| if b < a { b } else { a },
            };
            let (dst, _) = dst.as_chunks_mut();
            let (src, _) = src.as_chunks();
            for (to, from) in dst.iter_mut().zip(src) {
                *to = f(<$type>::from_ne_bytes(*to), <$type>::from_ne_bytes(*from)).to_ne_bytes();
            }
        }};
    }
    debug_assert_eq!(dst.len(), src.len());
    match dtype {
        DataType::Int8 => reduce!(i8, i8::wrapping_add),
        DataType::Int32 => reduce!(i32, i32::wrapping_add),
        DataType::Int64 => reduce!(i64, i64::wrapping_add),
        DataType::Float32 => reduce!(f32, |a, b| a + b),
        DataType::Float64 => reduce!(f64, |a, b| a + b),
    }
}

/// The payload of a message, taken from its operation's buffer.
pub fn gather(region: &Region, buffer: &[u8]) -> Vec<u8> {
    let ranges = region.ranges().map(|r| &buffer[r.start as usize..r.end as usize]);
    ranges.collect::<Vec<_>>().concat()
}

/// Puts an arrived payload where it belongs in its operation's buffer.
pub fn scatter(op: &Op, combined: Combine, region: &Region, payload: &[u8], buffer: &mut [u8]) {
    let mut at = 0;
    for range in region.ranges() {
        let into = &mut buffer[range.start as usize..range.end as usize];
        let from = &payload[at..at + into.len()];
        at += into.len();
        match combined {
            Combine::Copy => into.copy_from_slice(from),
            Combine::Reduce => combine(op.dtype, op.redop, into, from),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::system::op::Algorithm;

    #[test]
    fn sums_do_not_depend_on_the_order() {
        for dtype in [
            DataType::Int8,
            DataType::Int32,
            DataType::Int64,
            DataType::Float32,
            DataType::Float64,
        ] {
            let op = Op {
                dtype,
                ..Op::new(Collective::AllReduce, Algorithm::Ring, 512)
            };
            let buffers: Vec<Vec<u8>> = (0..100)
                .map(|position| {
                    let mut buffer = vec![0; 512];
                    fill(&op, 100, position, 3, &mut buffer);
                    buffer
                })
                .collect();
            let reduced = |order: &mut dyn Iterator<Item = &Vec<u8>>| {
                let mut sum = vec![0; 512];
                order.for_each(|buffer| combine(dtype, ReduceOp::Sum, &mut sum, buffer));
                sum
            };
            let up = reduced(&mut buffers.iter());
            assert_eq!(up, reduced(&mut buffers.iter().rev()), "{dtype:?}");
            assert_eq!(
                wrong(&op, 100, 7, 3, &up),
                0,
                "{dtype:?}: the closed form is the sum"
            );
        }
    }

    #[test]
    fn a_missing_rank_a_swapped_element_and_an_old_iteration_are_seen() {
        let op = Op::new(Collective::AllReduce, Algorithm::Ring, 4 * 100);
        let reduce = |ranks: std::ops::Range<u32>, iteration| {
            let (mut sum, mut buffer) = (vec![0; 400], vec![0; 400]);
            for position in ranks {
                fill(&op, 4, position, iteration, &mut buffer);
                combine(op.dtype, op.redop, &mut sum, &buffer);
            }
            sum
        };
        assert_eq!(wrong(&op, 4, 0, 1, &reduce(0..4, 1)), 0);
        assert_eq!(wrong(&op, 4, 0, 1, &reduce(0..3, 1)), 100);
        assert!(wrong(&op, 4, 0, 1, &reduce(0..4, 0)) > 90);
        let mut swapped = reduce(0..4, 1);
        swapped.swap(0, 4);
        swapped.swap(1, 5);
        swapped.swap(2, 6);
        swapped.swap(3, 7);
        assert_eq!(wrong(&op, 4, 0, 1, &swapped), 2);
    }

    #[test]
    fn nothing_is_right_before_it_is_done() {
        for collective in Collective::ALL.into_iter().filter(|&c| c != Collective::Barrier) {
            let op = Op {
                root: 1,
                ..Op::new(collective, Algorithm::Auto, 4 * 64)
            };
            let wrong_at = |position| {
                let mut buffer = vec![0; buffer_bytes(&op, 4, position) as usize];
                fill(&op, 4, position, 0, &mut buffer);
                wrong(&op, 4, position, 0, &buffer)
            };
            assert!((0..4).map(wrong_at).sum::<u64>() > 0, "{collective}");
        }
    }
}
