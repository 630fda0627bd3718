//! Where packets that come in are looked at: checksum, queue pair, peer; then they are the queue
//! pair's.

use std::fs::File;
use std::io::{self, BufWriter};
use std::time::{SystemTime, UNIX_EPOCH};

use socket2::SockAddr;

use super::capture::Capture;
use super::counters::Counters;
use super::memory::Regions;
use super::port::{Datagram, Lane};
use super::queue::{QueuePair, Receive};
use super::wire::Packet;
use super::wire::icrc::{self, Envelope, Unidentified};

/// Queue pair numbers begin here: 0 and 1 are special.
pub const FIRST_NUMBER: u32 = 0x10;
/// A queue pair and where its packets go.
#[derive(Debug)]
pub struct Queue {
    /// Once it is connected.
    pub pair: Option<QueuePair>,
    /// Number of its first packet.
    pub first_psn: u32,
    /// Likewise.
    pub peer: Option<Peer>,
    /// Posted before the queue pair was connected.
    pub early: Vec<Receive>,
    /// Has been given something to do since it was last asked for packets.
    pub dirty: bool,
}

/// The other side of a queue pair.
#[derive(Debug)]
pub struct Peer {
    /// Headers around its packets.
    pub envelope: Envelope,
    /// Where they go.
    pub to: SockAddr,
    /// From which socket.
    pub lane: Lane,
    /// In which traffic class.
    pub class: u8,
}

/// Where packets that come in are looked at.
pub struct Desk<'a> {
    /// Registered memory.
    pub memory: &'a mut Regions,
    /// Queue pairs by number.
    pub queues: &'a mut [Queue],
    /// What no queue pair counts.
    pub counters: &'a mut Counters,
    /// Judge of checksums, if they are judged.
    pub identify: Option<&'a mut Unidentified>,
    /// Where packets are written.
    pub capture: Option<&'a mut Capture<BufWriter<File>>>,
    /// Nanoseconds.
    pub now: u64,
    /// The capture could not be written.
    pub failure: Option<io::Error>,
}

impl Desk<'_> {
    /// Takes a datagram.
    pub fn take(&mut self, datagram: &Datagram<'_>) {
        let seen = &datagram.seen;
        let Ok(packet) = Packet::read(seen.datagram) else {
            self.counters.rcvd_discards += 1;
            return;
        };
        let Some(envelope) = self.judge(datagram, &packet) else {
            self.counters.rx_icrc_encapsulated += 1;
            return;
        };
        if let Some(capture) = &mut self.capture
            && let Err(e) = capture.packet(since_epoch(), &envelope, seen.class, &[seen.datagram])
        {
            self.failure = Some(e);
        }
        let number = packet.bth.destination.checked_sub(FIRST_NUMBER);
        let queue = number.and_then(|number| self.queues.get_mut(number as usize));
        let known = queue.filter(|queue| {
            let peer = queue.peer.as_ref();
            peer.is_some_and(|peer| peer.envelope.destination == seen.envelope.source)
        });
        match known.and_then(|queue| queue.pair.as_mut().zip(Some(&mut queue.dirty))) {
            Some((pair, dirty)) => {
                // RFC 3168: both bits set is "congestion experienced".
                pair.handle(&packet, seen.class & 3 == 3, self.now, self.memory);
                *dirty = true;
            }
            None => self.counters.rcvd_discards += 1,
        }
    }

    /// The headers around a packet whose checksum is right, or is not judged.
    fn judge(&mut self, datagram: &Datagram<'_>, packet: &Packet<'_>) -> Option<Envelope> {
        let envelope = datagram.seen.envelope;
        let Some(identify) = &mut self.identify else {
            return Some(envelope);
        };
        let body = &datagram.seen.datagram[..datagram.seen.datagram.len() - icrc::LENGTH];
        if datagram.identified {
            return (icrc::icrc_of(&envelope, body) == packet.icrc).then_some(envelope);
        }
        let identification = identify.solve(&envelope, body, packet.icrc)?;
        Some(Envelope {
            identification,
            ..envelope
        })
    }
}

/// Nanoseconds since 1970, for captures.
pub fn since_epoch() -> u128 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_nanos())
}
