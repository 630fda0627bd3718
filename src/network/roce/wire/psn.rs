//! Packet sequence numbers: 24 bits on the wire, 64 bits inside, so that nothing inside wraps.

/// A packet's place in the stream of a queue pair's direction.
pub type Sequence = u64;

const MODULUS: u64 = 1 << 24;

/// The first place of a stream whose first packet has this number on the wire. Not near zero:
/// places before it can be named.
pub fn first(wire: u32) -> Sequence {
    MODULUS + u64::from(wire) % MODULUS
}

/// The number on the wire.
pub fn wire(sequence: Sequence) -> u32 {
    (sequence % MODULUS) as u32
}

/// The place nearest to `reference` that has this number on the wire: right as long as fewer than
/// 2^23 packets are in flight.
pub fn nearest(reference: Sequence, wire: u32) -> Sequence {
    let ahead = (u64::from(wire).wrapping_sub(reference)) % MODULUS;
    if ahead < MODULUS / 2 {
        reference + ahead
    } else {
        (reference + ahead).saturating_sub(MODULUS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_place_is_found_around_the_wrap() {
        let reference = first(0xff_fffe);
        for distance in -1000i64..1000 {
            let place = reference.wrapping_add_signed(distance);
            assert_eq!(nearest(reference, wire(place)), place);
        }
        assert_eq!(wire(reference + 3), 1);
        assert_eq!(nearest(first(0), 0xff_ffff), first(0) - 1);
    }
}
