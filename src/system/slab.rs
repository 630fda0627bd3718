//! Values under keys that are never given twice: a place is used again under a new generation, so a
//! stale key finds nothing.

/// Bits of a key above these are free for whoever stores it.
pub const KEY_BITS: u32 = 60;

const INDEX_BITS: u32 = 32;
const GENERATIONS: u32 = 1 << (KEY_BITS - INDEX_BITS);

/// Values under keys.
#[derive(Debug)]
pub(super) struct Slab<T> {
    places: Vec<Place<T>>,
    /// A free place; [`NONE`]: there is none.
    free: u32,
}

/// No place.
const NONE: u32 = u32::MAX;

#[derive(Debug)]
struct Place<T> {
    generation: u32,
    /// Another free place, if this one is.
    next: u32,
    value: Option<T>,
}

impl<T> Default for Slab<T> {
    fn default() -> Self {
        Slab {
            places: Vec::new(),
            free: NONE,
        }
    }
}

fn key(generation: u32, index: u32) -> u64 {
    u64::from(generation) << INDEX_BITS | u64::from(index)
}

impl<T> Slab<T> {
    /// Stores a value; its key is below 2^[`KEY_BITS`].
    #[inline]
    pub(super) fn insert(&mut self, value: T) -> u64 {
        if let Some(place) = self.places.get_mut(self.free as usize) {
            let index = std::mem::replace(&mut self.free, place.next);
            place.value = Some(value);
            return key(place.generation, index);
        }
        self.places.push(Place {
            generation: 0,
            next: NONE,
            value: Some(value),
        });
        (self.places.len() - 1) as u64
    }

    #[inline]
    pub(super) fn get(&self, key: u64) -> Option<&T> {
        let place = self.places.get(key as u32 as usize)?;
        place
            .value
            .as_ref()
            .filter(|_| u64::from(place.generation) == key >> INDEX_BITS)
    }

    #[inline]
    pub(super) fn get_mut(&mut self, key: u64) -> Option<&mut T> {
        let place = self.places.get_mut(key as u32 as usize)?;
        if u64::from(place.generation) != key >> INDEX_BITS {
            return None;
        }
        place.value.as_mut()
    }

    pub(super) fn remove(&mut self, key: u64) -> Option<T> {
        let index = key as u32;
        let place = self.places.get_mut(index as usize)?;
        if u64::from(place.generation) != key >> INDEX_BITS {
            return None;
        }
        let value = place.value.take()?;
        place.generation = (place.generation + 1) % GENERATIONS;
        place.next = std::mem::replace(&mut self.free, index);
        Some(value)
    }

    /// Removes a value that nobody needs any more.
    #[inline]
    pub(super) fn discard(&mut self, key: u64) {
        let index = key as u32;
        if let Some(place) = self.places.get_mut(index as usize)
            && u64::from(place.generation) == key >> INDEX_BITS
            && place.value.is_some()
        {
            place.value = None;
            place.generation = (place.generation + 1) % GENERATIONS;
            place.next = std::mem::replace(&mut self.free, index);
        }
    }

    /// Every value, in no meaningful order.
    pub(super) fn iter(&self) -> impl Iterator<Item = &T> {
        self.places.iter().filter_map(|place| place.value.as_ref())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_good_for_one_value() {
        let mut slab = Slab::default();
        let (a, b) = (slab.insert('a'), slab.insert('b'));
        assert_eq!(slab.remove(a), Some('a'));
        let c = slab.insert('c');
        assert_ne!(a, c, "the place is used again, the key is not");
        assert_eq!(
            (slab.get(a), slab.get(b), slab.get(c)),
            (None, Some(&'b'), Some(&'c'))
        );
        assert_eq!((slab.remove(a), slab.get_mut(99)), (None, None));
        assert_eq!(slab.iter().count(), 2);
    }
}
