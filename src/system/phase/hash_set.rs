//! The order in which ASTRA-sim issues the steps of a custom algorithm that may begin at once: that in
//! which libstdc++ iterates the hash sets in which it keeps them (`std::unordered_set` of numbers, each
//! its own hash; a new number comes first in its bucket, a new bucket first of all).

/// Nothing, or the place before the first number.
const NONE: u32 = u32::MAX;
const FRONT: u32 = u32::MAX - 1;

/// Buckets of a set that grows number by number (`_Prime_rehash_policy`); as many numbers fit in.
const SIZES: [u32; 22] = [
    13, 29, 59, 127, 257, 541, 1109, 2357, 5087, 10273, 20753, 42043, 85229, 172_933, 351_061, 712_697,
    1_447_153, 2_938_679, 5_967_347, 12_117_689, 24_607_243, 49_969_847,
];

/// A set of different numbers, each with what belongs to it, in libstdc++'s order.
#[derive(Debug)]
pub(super) struct HashSet {
    numbers: Vec<(u64, u32)>,
    /// The next number in order, by place.
    next: Vec<u32>,
    first: u32,
    /// Before the first number of each bucket: a place, [`FRONT`], or [`NONE`] if it is empty.
    buckets: Vec<u32>,
    /// Which of [`SIZES`] is next.
    size: usize,
}

impl HashSet {
    /// A set that has grown so far ([`HashSet::size`]; 0: never used) and is empty again.
    pub(super) fn emptied(size: usize) -> Self {
        let buckets = size.checked_sub(1).map_or(0, |size| SIZES[size]);
        HashSet {
            numbers: Vec::new(),
            next: Vec::new(),
            first: NONE,
            buckets: vec![NONE; buckets as usize],
            size,
        }
    }

    /// How far it has grown.
    pub(super) fn size(&self) -> usize {
        self.size
    }

    /// Adds a number that is not in it.
    pub(super) fn insert(&mut self, number: u64, with: u32) {
        let place = self.numbers.len() as u32;
        self.numbers.push((number, with));
        self.next.push(NONE);
        if self.numbers.len() > self.buckets.len() && self.size < SIZES.len() {
            self.grow(place);
        }
        self.link(place);
    }

    /// Takes all numbers out; their buckets stay.
    pub(super) fn clear(&mut self) {
        for place in 0..self.numbers.len() as u32 {
            let bucket = self.bucket(place);
            self.buckets[bucket] = NONE;
        }
        self.numbers.clear();
        self.next.clear();
        self.first = NONE;
    }

    /// What belongs to the numbers, in order.
    pub(super) fn iter(&self) -> impl Iterator<Item = u32> + '_ {
        self.places().map(|place| self.numbers[place as usize].1)
    }

    fn places(&self) -> impl Iterator<Item = u32> + '_ {
        let mut at = self.first;
        std::iter::from_fn(move || {
            let place = at;
            at = *self.next.get(place as usize)?;
            Some(place)
        })
    }

    fn bucket(&self, place: u32) -> usize {
        (self.numbers[place as usize].0 % self.buckets.len() as u64) as usize
    }

    /// More buckets, into which all but the newest number go again in their old order.
    fn grow(&mut self, newest: u32) {
        let order: Vec<u32> = self.places().filter(|&place| place != newest).collect();
        self.buckets = vec![NONE; SIZES[self.size] as usize];
        self.size += 1;
        self.first = NONE;
        for place in order {
            self.link(place);
        }
    }

    fn link(&mut self, place: u32) {
        let bucket = self.bucket(place);
        match self.buckets[bucket] {
            NONE => {
                self.next[place as usize] = self.first;
                if self.first != NONE {
                    let second = self.bucket(self.first);
                    self.buckets[second] = place;
                }
                self.first = place;
                self.buckets[bucket] = FRONT;
            }
            FRONT => {
                self.next[place as usize] = self.first;
                self.first = place;
            }
            before => {
                self.next[place as usize] = self.next[before as usize];
                self.next[before as usize] = place;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order(numbers: impl IntoIterator<Item = u64>) -> Vec<u32> {
        let mut set = HashSet::emptied(0);
        numbers
            .into_iter()
            .for_each(|number| set.insert(number, number as u32));
        set.iter().collect()
    }

    #[test]
    fn numbers_come_as_a_program_built_with_libstdcxx_prints_them() {
        assert_eq!(order([0, 1, 2, 3]), [3, 2, 1, 0]);
        assert_eq!(order([5, 18, 31, 0, 13, 4]), [4, 13, 0, 31, 18, 5]);
        assert_eq!(
            order((0..15).map(|i| i * 7 % 31)),
            [5, 29, 0, 7, 14, 1, 21, 8, 28, 15, 4, 11, 18, 25, 22],
            "once more than 13 are in it, they go into other buckets"
        );
        assert_eq!(
            order((0..20).map(|i| i * 13)),
            [
                247, 234, 221, 208, 195, 182, 169, 0, 13, 26, 39, 52, 65, 78, 91, 104, 117, 130, 143, 156
            ]
        );
    }

    #[test]
    fn a_set_that_was_large_keeps_its_buckets() {
        let mut set = HashSet::emptied(0);
        (0..14).for_each(|number| set.insert(number, number as u32));
        set.clear();
        for number in [3, 32, 61, 7, 36] {
            set.insert(number, number as u32);
        }
        assert_eq!(set.iter().collect::<Vec<_>>(), [36, 7, 61, 32, 3]);
    }
}
