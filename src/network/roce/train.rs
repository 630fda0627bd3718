//! Packets of one queue pair that go out in one message, which the kernel or the device cuts into datagrams
//! (udp(7), `UDP_SEGMENT`), and what is added at the end of each.

use std::collections::VecDeque;

use super::memory::Regions;
use super::queue::{Chunk, Segment};
use super::wire::icrc::{self, Envelope};
use super::wire::packet;
use crate::network::rdma::provider::QueuePair as Number;

/// Bytes and datagrams that one message carries at most (udp(7): 64 segments; IPv4: 65,535 bytes).
const LONGEST_TRAIN: usize = 65_000;
const MOST_SEGMENTS: usize = 64;

/// Packets of one queue pair that go in one message.
#[derive(Debug)]
pub struct Train {
    /// Whose packets.
    pub queue: Number,
    /// In order.
    pub segments: Vec<Segment>,
    /// Bytes of its datagrams; the last may be shorter.
    pub datagram: usize,
}

/// Bytes of UDP payload of a packet.
fn datagram_bytes(segment: &Segment) -> usize {
    let payload = segment.payload.bytes();
    let pad = usize::from(packet::padding(payload));
    segment.headers.as_bytes().len() + payload + pad + icrc::LENGTH
}

/// The bytes of a chunk: bounds were checked when the request was taken, and regions are never removed.
pub fn bytes_of<'a>(memory: &'a Regions, chunk: &'a Chunk) -> &'a [u8] {
    match chunk {
        Chunk::Empty => &[],
        Chunk::Inline(bytes) => bytes,
        Chunk::Memory { key, address, bytes } => {
            memory.slice(*key, *address, *bytes as usize).unwrap_or_default()
        }
    }
}

/// Adds a packet to the last message, or to a new one.
pub fn append(waiting: &mut VecDeque<Train>, queue: Number, segment: Segment, segmentation: bool) {
    let bytes = datagram_bytes(&segment);
    let joins = |train: &&mut Train| {
        let last = train.segments.last();
        segmentation
            && train.queue == queue
            && bytes <= train.datagram
            && train.segments.len() < MOST_SEGMENTS
            && (train.segments.len() + 1) * train.datagram <= LONGEST_TRAIN
            // Only the last may be shorter than the others.
            && last.is_some_and(|last| datagram_bytes(last) == train.datagram && last.notification == segment.notification)
    };
    match waiting.back_mut().filter(joins) {
        Some(train) => train.segments.push(segment),
        None => waiting.push_back(Train {
            queue,
            segments: vec![segment],
            datagram: bytes,
        }),
    }
}

/// Padding and checksum at the end of a packet.
#[derive(Debug, Clone, Copy)]
pub struct Tail {
    bytes: [u8; 3 + icrc::LENGTH],
    pad: u8,
}

impl Tail {
    /// Of a packet within these headers.
    pub fn of(envelope: &Envelope, segment: &Segment, payload: &[u8]) -> Self {
        let pad = packet::padding(payload.len());
        let check = icrc::icrc(envelope, segment.headers.as_bytes(), payload, pad);
        let mut bytes = [0; 3 + icrc::LENGTH];
        bytes[3..].copy_from_slice(&check);
        Self { bytes, pad }
    }

    /// The bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[3 - usize::from(self.pad)..]
    }
}
