//! A packet as it stands in a UDP datagram: transport headers, payload, padding, checksum. Reading
//! borrows the payload; writing gives the headers, and leaves the payload where it is.

use super::header::{self, Aeth, AtomicEth, Bth, Reth};
use super::icrc;
use super::opcode::Opcode;

/// Longest transport headers that are written: BTH, RETH, immediate.
pub const LONGEST_HEADERS: usize = header::BTH + header::RETH + header::IMMEDIATE;
/// Bytes of a congestion notification after its base header, all reserved.
pub const NOTIFICATION: usize = 16;

/// A datagram that is no packet of a reliable connection.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PacketError {
    /// Fewer bytes than its headers, padding and checksum take.
    #[error("a RoCE packet of {have} bytes ends within its headers ({need} needed)")]
    Truncated {
        /// Bytes of the datagram.
        have: usize,
        /// Bytes that it must have at least.
        need: usize,
    },
    /// Not an opcode of a reliable connection.
    #[error("opcode {0:#04x} is not one of a reliable connection")]
    Opcode(u8),
    /// A version of the transport header that does not exist.
    #[error("transport header version {0}; only 0 is defined")]
    Version(u8),
}

/// A packet that was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Packet<'a> {
    /// Base header.
    pub bth: Bth,
    /// Of writes and reads.
    pub reth: Option<Reth>,
    /// Of acknowledges and responses.
    pub aeth: Option<Aeth>,
    /// For the receiver's completion.
    pub immediate: Option<u32>,
    /// Of atomic operations.
    pub atomic: Option<AtomicEth>,
    /// Original value, in the acknowledge of an atomic operation.
    pub original: Option<u64>,
    /// Payload without padding.
    pub payload: &'a [u8],
    /// Checksum as it was sent.
    pub icrc: [u8; icrc::LENGTH],
}

/// Takes `N` bytes off the front.
fn take<'a, const N: usize>(rest: &mut &'a [u8]) -> Option<&'a [u8; N]> {
    let (front, back) = rest.split_first_chunk::<N>()?;
    *rest = back;
    Some(front)
}

impl<'a> Packet<'a> {
    /// Reads a datagram's payload. The checksum is kept, not judged: see [`icrc`].
    pub fn read(datagram: &'a [u8]) -> Result<Self, PacketError> {
        let least = header::BTH + icrc::LENGTH;
        let truncated = |need: usize| PacketError::Truncated {
            have: datagram.len(),
            need,
        };
        let mut rest = datagram;
        let base = take::<{ header::BTH }>(&mut rest).ok_or(truncated(least))?;
        let opcode = Opcode::from_number(base[0]).ok_or(PacketError::Opcode(base[0]))?;
        if base[1] & 0x0f != 0 {
            return Err(PacketError::Version(base[1] & 0x0f));
        }
        let bth = Bth::decode(opcode, base);
        let need = headers_length(opcode) + usize::from(bth.pad) + icrc::LENGTH;
        let short = truncated(need);
        if datagram.len() < need {
            return Err(short);
        }
        let mut packet = Packet {
            bth,
            reth: None,
            aeth: None,
            immediate: None,
            atomic: None,
            original: None,
            payload: &[],
            icrc: [0; icrc::LENGTH],
        };
        if opcode.has_reth() {
            packet.reth = Some(Reth::decode(take(&mut rest).ok_or(short.clone())?));
        }
        if opcode.is_atomic() {
            packet.atomic = Some(AtomicEth::decode(take(&mut rest).ok_or(short.clone())?));
        }
        if opcode.has_aeth() {
            packet.aeth = Some(Aeth::decode(take(&mut rest).ok_or(short.clone())?));
        }
        if opcode == Opcode::AtomicAcknowledge {
            packet.original = Some(u64::from_be_bytes(*take(&mut rest).ok_or(short.clone())?));
        }
        if opcode.has_immediate() {
            packet.immediate = Some(u32::from_be_bytes(*take(&mut rest).ok_or(short.clone())?));
        }
        let (body, check) = rest.split_last_chunk::<{ icrc::LENGTH }>().ok_or(short)?;
        packet.icrc = *check;
        packet.payload = &body[..body.len() - usize::from(bth.pad)];
        Ok(packet)
    }
}

/// Bytes of the transport headers of a packet with this opcode.
pub fn headers_length(opcode: Opcode) -> usize {
    let mut length = header::BTH;
    for (there, size) in [
        (opcode.has_reth(), header::RETH),
        (opcode.is_atomic(), header::ATOMIC),
        (opcode.has_aeth(), header::AETH),
        (opcode == Opcode::AtomicAcknowledge, header::ATOMIC_ACK),
        (opcode.has_immediate(), header::IMMEDIATE),
    ] {
        length += if there { size } else { 0 };
    }
    length
}

/// Bytes of padding that make a payload a whole number of words.
pub fn padding(payload: usize) -> u8 {
    (payload.wrapping_neg() & 3) as u8
}

/// Transport headers that were written.
#[derive(Debug, Clone, Copy)]
pub struct Headers {
    bytes: [u8; LONGEST_HEADERS],
    length: u8,
}

impl Headers {
    /// Writes the headers of a packet that carries `payload` bytes; padding is filled in.
    pub fn write(
        mut bth: Bth,
        reth: Option<Reth>,
        aeth: Option<Aeth>,
        immediate: Option<u32>,
        payload: usize,
    ) -> Self {
        bth.pad = padding(payload);
        let mut headers = Headers {
            bytes: [0; LONGEST_HEADERS],
            length: 0,
        };
        headers.push(&bth.encode());
        if let Some(reth) = reth {
            headers.push(&reth.encode());
        }
        if let Some(aeth) = aeth {
            headers.push(&aeth.encode());
        }
        if let Some(immediate) = immediate {
            headers.push(&immediate.to_be_bytes());
        }
        headers
    }

    fn push(&mut self, bytes: &[u8]) {
        let at = usize::from(self.length);
        self.bytes[at..at + bytes.len()].copy_from_slice(bytes);
        self.length += bytes.len() as u8;
    }

    /// The bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..usize::from(self.length)]
    }
}

#[cfg(test)]
mod tests {
    use super::super::header::{Nak, Syndrome};
    use super::*;
    use proptest::prelude::*;

    fn whole(headers: &Headers, payload: &[u8]) -> Vec<u8> {
        let mut bytes = headers.as_bytes().to_vec();
        bytes.extend_from_slice(payload);
        bytes.resize(bytes.len() + usize::from(padding(payload.len())), 0);
        bytes.extend_from_slice(&[1, 2, 3, 4]);
        bytes
    }

    fn any_opcode() -> impl Strategy<Value = Opcode> {
        (0u8..=0x11).prop_map(|number| Opcode::from_number(number).expect("all of these exist"))
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(
            opcode in any_opcode(),
            destination in 0u32..1 << 24,
            psn in 0u32..1 << 24,
            ack_request: bool,
            solicited: bool,
            address: u64,
            key: u32,
            length: u32,
            code in 0u8..=255,
            messages in 0u32..1 << 24,
            immediate: u32,
            payload in proptest::collection::vec(any::<u8>(), 0..300),
        ) {
            let mut bth = Bth::new(opcode, destination, psn);
            (bth.ack_request, bth.solicited) = (ack_request, solicited);
            let reth = opcode.has_reth().then_some(Reth { address, key, length });
            let aeth = opcode.has_aeth().then(|| Aeth { messages, ..Aeth::decode(&[code, 0, 0, 0]) });
            let immediate = opcode.has_immediate().then_some(immediate);
            let headers = Headers::write(bth, reth, aeth, immediate, payload.len());
            prop_assert_eq!(headers.as_bytes().len(), headers_length(opcode));
            let bytes = whole(&headers, &payload);
            prop_assert_eq!(bytes.len() % 4, 0);
            let read = Packet::read(&bytes).expect("it was just written");
            bth.pad = padding(payload.len());
            prop_assert_eq!(read.bth, bth);
            prop_assert_eq!((read.reth, read.aeth, read.immediate), (reth, aeth, immediate));
            prop_assert_eq!(read.payload, &payload[..]);
            prop_assert_eq!(read.icrc, [1, 2, 3, 4]);
        }

        #[test]
        fn any_bytes_are_a_packet_or_an_error(bytes in proptest::collection::vec(any::<u8>(), 0..120)) {
            if let Ok(packet) = Packet::read(&bytes) {
                prop_assert!(packet.payload.len() + header::BTH + icrc::LENGTH <= bytes.len());
            }
        }
    }

    #[test]
    fn every_truncation_of_every_kind_is_an_error() {
        for opcode in (0..=255).filter_map(Opcode::from_number) {
            let mut bytes = vec![0; headers_length(opcode) + 3 + icrc::LENGTH];
            bytes[0] = opcode.number();
            bytes[1] = 3 << 4;
            assert!(Packet::read(&bytes).is_ok(), "{opcode:?}");
            for length in 0..bytes.len() {
                assert!(
                    matches!(Packet::read(&bytes[..length]), Err(PacketError::Truncated { have, need }) if have == length && need > have),
                    "{opcode:?} cut to {length}"
                );
            }
        }
        assert_eq!(Packet::read(&[0x20; 40]), Err(PacketError::Opcode(0x20)));
        let mut version = [0; 40];
        version[1] = 5;
        assert_eq!(Packet::read(&version), Err(PacketError::Version(5)));
    }

    #[test]
    fn syndromes_have_their_numbers() {
        for (number, syndrome) in [
            (0x1f, Syndrome::Ack(31)),
            (0x2c, Syndrome::ReceiverNotReady(12)),
            (0x60, Syndrome::Nak(Nak::Sequence)),
            (0x62, Syndrome::Nak(Nak::RemoteAccess)),
            (0x65, Syndrome::Nak(Nak::Reserved(5))),
            (0xe1, Syndrome::Reserved(0xe1)),
        ] {
            let aeth = Aeth::decode(&[number, 0, 1, 2]);
            assert_eq!((aeth.syndrome, aeth.messages), (syndrome, 258));
            assert_eq!(aeth.encode(), [number, 0, 1, 2]);
        }
    }
}
