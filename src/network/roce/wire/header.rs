//! Transport headers, field by field, big-endian: BTH 12 bytes, RETH 16, AETH 4, immediate 4,
//! AtomicETH 28 and AtomicAckETH 8 (InfiniBand Architecture Specification volume 1, chapter 9).

use super::opcode::Opcode;

/// Length of the base transport header.
pub const BTH: usize = 12;
/// Length of the RDMA extended transport header.
pub const RETH: usize = 16;
/// Length of the acknowledge extended transport header.
pub const AETH: usize = 4;
/// Length of an immediate.
pub const IMMEDIATE: usize = 4;
/// Length of an atomic operation's header.
pub const ATOMIC: usize = 28;
/// Length of an atomic acknowledge's header.
pub const ATOMIC_ACK: usize = 8;
/// The default partition, full membership.
pub const DEFAULT_PARTITION: u16 = 0xffff;

/// Base transport header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bth {
    /// What the packet is for.
    pub opcode: Opcode,
    /// The receiver's completion should raise an event.
    pub solicited: bool,
    /// Migration state; set by rxe and by network cards in ordinary traffic.
    pub migration: bool,
    /// Bytes of padding after the payload, 0 to 3.
    pub pad: u8,
    /// Partition key.
    pub partition: u16,
    /// Forward explicit congestion notification.
    pub fecn: bool,
    /// Backward explicit congestion notification.
    pub becn: bool,
    /// Queue pair that this packet is for, 24 bits.
    pub destination: u32,
    /// The responder is asked to acknowledge.
    pub ack_request: bool,
    /// Packet sequence number, 24 bits.
    pub psn: u32,
}

impl Bth {
    /// A header with nothing special about it.
    pub fn new(opcode: Opcode, destination: u32, psn: u32) -> Self {
        Self {
            opcode,
            solicited: false,
            migration: true,
            pad: 0,
            partition: DEFAULT_PARTITION,
            fecn: false,
            becn: false,
            destination,
            ack_request: false,
            psn,
        }
    }

    /// As bytes.
    pub fn encode(&self) -> [u8; BTH] {
        let flags = u8::from(self.solicited) << 7 | u8::from(self.migration) << 6 | (self.pad & 3) << 4;
        let congestion = u8::from(self.fecn) << 7 | u8::from(self.becn) << 6;
        let [p0, p1] = self.partition.to_be_bytes();
        let [_, d0, d1, d2] = self.destination.to_be_bytes();
        let [_, s0, s1, s2] = self.psn.to_be_bytes();
        let ack = u8::from(self.ack_request) << 7;
        [
            self.opcode.number(),
            flags,
            p0,
            p1,
            congestion,
            d0,
            d1,
            d2,
            ack,
            s0,
            s1,
            s2,
        ]
    }

    /// The fields of a header whose opcode has been recognised.
    pub fn decode(opcode: Opcode, b: &[u8; BTH]) -> Self {
        Self {
            opcode,
            solicited: b[1] & 0x80 != 0,
            migration: b[1] & 0x40 != 0,
            pad: b[1] >> 4 & 3,
            partition: u16::from_be_bytes([b[2], b[3]]),
            fecn: b[4] & 0x80 != 0,
            becn: b[4] & 0x40 != 0,
            destination: u32::from_be_bytes([0, b[5], b[6], b[7]]),
            ack_request: b[8] & 0x80 != 0,
            psn: u32::from_be_bytes([0, b[9], b[10], b[11]]),
        }
    }
}

/// RDMA extended transport header: which memory a write or read is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reth {
    /// Address at the responder.
    pub address: u64,
    /// Key of the memory region there.
    pub key: u32,
    /// Bytes of the whole operation.
    pub length: u32,
}

impl Reth {
    /// As bytes.
    pub fn encode(&self) -> [u8; RETH] {
        let mut out = [0; RETH];
        out[..8].copy_from_slice(&self.address.to_be_bytes());
        out[8..12].copy_from_slice(&self.key.to_be_bytes());
        out[12..].copy_from_slice(&self.length.to_be_bytes());
        out
    }

    /// The fields.
    pub fn decode(b: &[u8; RETH]) -> Self {
        Self {
            address: u64::from_be_bytes([b[0], b[1], b[2], b[3], b[4], b[5], b[6], b[7]]),
            key: u32::from_be_bytes([b[8], b[9], b[10], b[11]]),
            length: u32::from_be_bytes([b[12], b[13], b[14], b[15]]),
        }
    }
}

/// Why a responder refuses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Nak {
    /// A packet is missing: go back to the one named.
    Sequence,
    /// Not an operation that it understands at this point.
    InvalidRequest,
    /// Wrong key, address out of bounds or access not granted.
    RemoteAccess,
    /// It cannot complete the operation for reasons of its own.
    RemoteOperational,
    /// A number that is none of the above.
    Reserved(u8),
}

/// What an acknowledge says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Syndrome {
    /// All up to here has been taken; the number is a credit count, 31 for "not used".
    Ack(u8),
    /// No receive was posted; try again after the time that the number stands for.
    ReceiverNotReady(u8),
    /// Refused.
    Nak(Nak),
    /// A number of the reserved kind.
    Reserved(u8),
}

/// Acknowledge extended transport header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Aeth {
    /// Ack or refusal.
    pub syndrome: Syndrome,
    /// Messages completed by the responder, 24 bits.
    pub messages: u32,
}

impl Aeth {
    /// As bytes.
    pub fn encode(&self) -> [u8; AETH] {
        let syndrome = match self.syndrome {
            Syndrome::Ack(credits) => credits & 0x1f,
            Syndrome::ReceiverNotReady(timer) => 0x20 | timer & 0x1f,
            Syndrome::Nak(Nak::Sequence) => 0x60,
            Syndrome::Nak(Nak::InvalidRequest) => 0x61,
            Syndrome::Nak(Nak::RemoteAccess) => 0x62,
            Syndrome::Nak(Nak::RemoteOperational) => 0x63,
            Syndrome::Nak(Nak::Reserved(code)) => 0x60 | code & 0x1f,
            Syndrome::Reserved(number) => number,
        };
        let [_, m0, m1, m2] = self.messages.to_be_bytes();
        [syndrome, m0, m1, m2]
    }

    /// The fields.
    pub fn decode(b: &[u8; AETH]) -> Self {
        let low = b[0] & 0x1f;
        let syndrome = match (b[0] >> 5, low) {
            (0b000, credits) => Syndrome::Ack(credits),
            (0b001, timer) => Syndrome::ReceiverNotReady(timer),
            (0b011, 0) => Syndrome::Nak(Nak::Sequence),
            (0b011, 1) => Syndrome::Nak(Nak::InvalidRequest),
            (0b011, 2) => Syndrome::Nak(Nak::RemoteAccess),
            (0b011, 3) => Syndrome::Nak(Nak::RemoteOperational),
            (0b011, code) => Syndrome::Nak(Nak::Reserved(code)),
            _ => Syndrome::Reserved(b[0]),
        };
        Self {
            syndrome,
            messages: u32::from_be_bytes([0, b[1], b[2], b[3]]),
        }
    }
}

/// Header of an atomic operation: understood, and refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AtomicEth {
    /// Address at the responder.
    pub address: u64,
    /// Key of the memory region there.
    pub key: u32,
    /// What is swapped in or added.
    pub swap: u64,
    /// What is compared with.
    pub compare: u64,
}

impl AtomicEth {
    /// The fields.
    pub fn decode(b: &[u8; ATOMIC]) -> Self {
        let wide = |at: usize| {
            let mut eight = [0; 8];
            eight.copy_from_slice(&b[at..at + 8]);
            u64::from_be_bytes(eight)
        };
        Self {
            address: wide(0),
            key: u32::from_be_bytes([b[8], b[9], b[10], b[11]]),
            swap: wide(12),
            compare: wide(20),
        }
    }
}
