//! The invariant CRC at the end of a packet: CRC-32 of Ethernet over all that routers leave alone,
//! with what they may change read as ones (annex A17 of the InfiniBand specification, "ICRC").

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crc32fast::Hasher;

use super::PORT;
use super::header::BTH;

/// Bytes of the checksum.
pub const LENGTH: usize = 4;
/// Bytes of an IPv4 header without options.
pub const IPV4: usize = 20;
/// Bytes of an IPv6 header.
pub const IPV6: usize = 40;
/// Bytes of a UDP header.
pub const UDP: usize = 8;

/// What the checksum covers of the headers around a packet. The destination port is [`PORT`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Envelope {
    /// From where.
    pub source: IpAddr,
    /// To where, of the same family.
    pub destination: IpAddr,
    /// UDP source port.
    pub source_port: u16,
    /// IPv4 identification; IPv6 has none.
    pub identification: u16,
}

impl Envelope {
    /// Bytes of the IP header.
    pub fn ip_length(&self) -> usize {
        if self.destination.is_ipv4() { IPV4 } else { IPV6 }
    }

    /// IP and UDP headers as the checksum reads them, around `datagram` bytes of UDP payload.
    fn masked(&self, datagram: usize, out: &mut Vec<u8>) {
        let udp = (datagram + UDP) as u16;
        match (self.source, self.destination) {
            (IpAddr::V4(source), IpAddr::V4(destination)) => {
                out.extend_from_slice(&ipv4_masked(source, destination, udp, self.identification));
            }
            (source, destination) => {
                out.extend_from_slice(&ipv6_masked(as_v6(source), as_v6(destination), udp));
            }
        }
        for field in [self.source_port, PORT, udp, 0xffff] {
            out.extend_from_slice(&field.to_be_bytes());
        }
    }
}

fn as_v6(address: IpAddr) -> Ipv6Addr {
    match address {
        IpAddr::V4(v4) => v4.to_ipv6_mapped(),
        IpAddr::V6(v6) => v6,
    }
}

/// Type of service, time to live and checksum as ones; "don't fragment" is set.
fn ipv4_masked(source: Ipv4Addr, destination: Ipv4Addr, udp: u16, identification: u16) -> [u8; IPV4] {
    let mut out = [0; IPV4];
    out[0] = 0x45;
    out[1] = 0xff;
    out[2..4].copy_from_slice(&(udp + IPV4 as u16).to_be_bytes());
    out[4..6].copy_from_slice(&identification.to_be_bytes());
    out[6] = 0x40;
    (out[8], out[9]) = (0xff, 17);
    (out[10], out[11]) = (0xff, 0xff);
    out[12..16].copy_from_slice(&source.octets());
    out[16..].copy_from_slice(&destination.octets());
    out
}

/// Traffic class, flow label and hop limit as ones.
fn ipv6_masked(source: Ipv6Addr, destination: Ipv6Addr, udp: u16) -> [u8; IPV6] {
    let mut out = [0; IPV6];
    out[..4].copy_from_slice(&[0x6f, 0xff, 0xff, 0xff]);
    out[4..6].copy_from_slice(&udp.to_be_bytes());
    (out[6], out[7]) = (17, 0xff);
    out[8..24].copy_from_slice(&source.octets());
    out[24..].copy_from_slice(&destination.octets());
    out
}

/// The checksum of a packet: `headers` are its transport headers, `pad` its bytes of padding.
pub fn icrc(envelope: &Envelope, headers: &[u8], payload: &[u8], pad: u8) -> [u8; LENGTH] {
    let datagram = headers.len() + payload.len() + usize::from(pad) + LENGTH;
    let mut front = Vec::with_capacity(8 + IPV6 + UDP + headers.len());
    front.extend_from_slice(&[0xff; 8]);
    envelope.masked(datagram, &mut front);
    let bth = front.len();
    front.extend_from_slice(headers);
    if headers.len() >= BTH {
        front[bth + 4] = 0xff;
    }
    let mut hasher = Hasher::new();
    hasher.update(&front);
    hasher.update(payload);
    hasher.update(&[0; 3][..usize::from(pad & 3)]);
    hasher.finalize().to_le_bytes()
}

/// The checksum of a whole UDP payload, without the checksum at its end.
pub fn icrc_of(envelope: &Envelope, body: &[u8]) -> [u8; LENGTH] {
    let (headers, rest) = body.split_at(body.len().min(BTH));
    icrc(envelope, headers, rest, 0)
}

/// Judges checksums where the IPv4 identification is not known, as on a UDP socket. A CRC is linear:
/// what an identification adds to it depends on its bits and on the packet's length only, so the
/// one that explains the difference can be solved for. Corruption is missed in 2^-16 of all cases, not
/// 2^-32: those that look like another identification.
#[derive(Debug, Default)]
pub struct Unidentified {
    /// By length of the datagram: what each bit of the identification adds, in echelon form.
    bases: HashMap<usize, [(u32, u16); 16]>,
}

/// As many lengths of packets are remembered; more than a sender at one MTU uses.
const LENGTHS: usize = 4096;

impl Unidentified {
    /// The identification that makes the checksum right, if there is one. `envelope` has any other.
    pub fn solve(&mut self, envelope: &Envelope, body: &[u8], sent: [u8; LENGTH]) -> Option<u16> {
        let plain = Envelope {
            identification: 0,
            ..*envelope
        };
        let mut difference = u32::from_le_bytes(icrc_of(&plain, body)) ^ u32::from_le_bytes(sent);
        if difference == 0 || envelope.destination.is_ipv6() {
            return (difference == 0).then_some(0);
        }
        if self.bases.len() >= LENGTHS {
            self.bases.clear();
        }
        let basis = self
            .bases
            .entry(body.len())
            .or_insert_with(|| basis(body.len() + UDP + 14));
        let mut identification = 0;
        for &(vector, bits) in basis.iter() {
            if difference & (1 << vector.ilog2()) != 0 {
                difference ^= vector;
                identification ^= bits;
            }
        }
        (difference == 0).then_some(identification)
    }
}

/// What each bit of two bytes with `after` bytes behind them adds to a CRC: independent vectors, the
/// highest bit of each absent from all others, with the bits that they stand for.
fn basis(after: usize) -> [(u32, u16); 16] {
    let behind = vec![0; after];
    let crc_of = |value: u16| {
        let mut hasher = Hasher::new();
        hasher.update(&value.to_be_bytes());
        hasher.update(&behind);
        hasher.finalize()
    };
    let zero = crc_of(0);
    let mut basis: [(u32, u16); 16] = std::array::from_fn(|bit| ((crc_of(1 << bit) ^ zero), 1u16 << bit));
    for row in 0..basis.len() {
        let (vector, bits) = basis[row];
        let top = 1 << vector.ilog2();
        for (other, entry) in basis.iter_mut().enumerate() {
            if other != row && entry.0 & top != 0 {
                *entry = (entry.0 ^ vector, entry.1 ^ bits);
            }
        }
    }
    basis
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn bytes(hex: &str) -> Vec<u8> {
        hex.as_bytes()
            .chunks(2)
            .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap())
            .collect()
    }

    fn v4(identification: u16, source_port: u16) -> Envelope {
        Envelope {
            source: "10.0.0.1".parse().unwrap(),
            destination: "10.0.0.2".parse().unwrap(),
            source_port,
            identification,
        }
    }

    /// Packets and checksums as `scapy.contrib.roce` computes them.
    #[test]
    fn checksums_are_those_of_an_independent_program() {
        let write = bytes("0a70ffff00000011801234560000700000001000000001020000000568656c6c6f000000cbde8ad7");
        let acknowledge = bytes("1140ffff00000022000000071f0000037eb170e5");
        for (envelope, datagram) in [(v4(0, 49152), write), (v4(0xbeef, 4791), acknowledge)] {
            let (body, sent) = datagram.split_last_chunk::<4>().unwrap();
            assert_eq!(icrc_of(&envelope, body), *sent);
            let (headers, payload) = body.split_at(16.min(body.len()));
            assert_eq!(icrc(&envelope, headers, payload, 0), *sent);
        }
    }

    /// Computed field by field with Python's `zlib.crc32`.
    #[test]
    fn ipv6_reads_class_label_and_hops_as_ones() {
        let envelope = Envelope {
            source: "fd00::1".parse().unwrap(),
            destination: "fd00::2".parse().unwrap(),
            source_port: 49153,
            identification: 0,
        };
        let body = bytes("0440ffff00000033800000017369787465656e206279746573202e2e");
        assert_eq!(icrc_of(&envelope, &body).to_vec(), bytes("6fcf9527"));
    }

    proptest! {
        #[test]
        fn an_unknown_identification_is_found_and_corruption_is_not_taken_for_one(
            identification: u16,
            body in proptest::collection::vec(any::<u8>(), 12..600),
            place: proptest::sample::Index,
            bit in 0..8u8,
        ) {
            let mut judge = Unidentified::default();
            let sent = icrc_of(&v4(identification, 49152), &body);
            prop_assert_eq!(judge.solve(&v4(7, 49152), &body, sent), Some(identification));
            let mut corrupt = body.clone();
            let place = place.index(body.len());
            corrupt[place] ^= 1u8 << bit;
            // One bit that changed looks like no identification, but for the byte that is masked.
            let found = judge.solve(&v4(7, 49152), &corrupt, sent);
            prop_assert_eq!(found, (place == 4).then_some(identification));
        }
    }
}
