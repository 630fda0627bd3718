//! Links as TCP uses them: a message occupies the wires of its path one after another, as soon as its head
//! is there and the wire is free (virtual cut-through; first come, first served), and arrives when its tail
//! does. Its sender is done as soon as what has not left yet fits into the kernel's buffer.

use std::collections::HashMap;

use crate::network::message::Rank;

/// A link in one direction.
#[derive(Debug, Clone, Copy)]
pub struct Wire {
    /// Payload bytes per nanosecond; `None`: unlimited.
    pub rate: Option<f64>,
    /// Until the head of a message is at the far end, ns.
    pub delay: u64,
    /// Of a full frame, ns: a switch sends on what it has whole.
    pub frame: u64,
    /// When it is free again, ns.
    free: u64,
}

/// A message on its way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Carried {
    /// When its sender is done, ns from the start.
    pub taken: u64,
    /// When it is there.
    pub arrives: u64,
}

/// All links, and the way between any two ranks.
#[derive(Debug)]
pub struct Wires {
    ranks: u32,
    wires: Vec<[Wire; 2]>,
    /// Payload that the kernel takes of a sender ahead of the wire, bytes.
    buffer: f64,
    /// Headers over payload, which a frame that waits in a switch has besides.
    overhead: f64,
    paths: HashMap<(Rank, Rank), Vec<(usize, usize)>>,
}

impl Wire {
    /// An idle one.
    pub fn new(rate: Option<f64>, delay: u64, frame: u64) -> Self {
        Wire {
            rate,
            delay,
            frame,
            free: 0,
        }
    }
}

impl Wires {
    /// Links of so many ranks, each with its two directions, without any path.
    pub fn new(ranks: u32, wires: Vec<[Wire; 2]>, buffer: f64, overhead: f64) -> Self {
        Wires {
            ranks,
            wires,
            buffer,
            overhead,
            paths: HashMap::new(),
        }
    }

    /// Messages from one rank to another go over these links, each in one of its directions.
    pub fn lead(&mut self, from: Rank, to: Rank, path: Vec<(usize, usize)>) {
        self.paths.insert((from, to), path);
    }

    /// Ranks.
    pub fn ranks(&self) -> u32 {
        self.ranks
    }

    /// The first link with a limited rate.
    pub fn limited(&self) -> Option<&Wire> {
        self.wires
            .iter()
            .map(|pair| &pair[0])
            .find(|wire| wire.rate.is_some())
    }

    /// Takes a message that is sent now.
    pub fn carry(&mut self, from: Rank, to: Rank, bytes: u64, now: u64) -> Carried {
        let Some(path) = self.paths.get(&(from, to)) else {
            return Carried {
                taken: now,
                arrives: now,
            };
        };
        let (mut head, mut tail, mut taken) = (now, now, now);
        for (hop, &(link, direction)) in path.iter().enumerate() {
            let wire = &mut self.wires[link][direction];
            let Some(rate) = wire.rate else {
                (head, tail) = (head.saturating_add(wire.delay), tail.saturating_add(wire.delay));
                continue;
            };
            let time = (bytes as f64 / rate) as u64;
            if hop > 0 {
                let whole = time.saturating_add((time as f64 * self.overhead) as u64);
                head = head.saturating_add(wire.frame.min(whole));
            }
            let start = head.max(wire.free);
            wire.free = start.saturating_add(time);
            if hop == 0 {
                taken = now.max(wire.free.saturating_sub((self.buffer / rate) as u64));
            }
            head = start.saturating_add(wire.delay);
            tail = wire.free.max(tail).saturating_add(wire.delay);
        }
        Carried { taken, arrives: tail }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_cut_through_and_wait_for_each_other() {
        let wire = Wire::new(Some(0.125), 1000, 12_000);
        let mut wires = Wires::new(3, vec![[wire; 2]; 2], 0.0, 0.0);
        wires.lead(0, 1, vec![(0, 0), (1, 1)]);
        // 1 MB at 1 Gbit/s take 8 ms; the second link begins a frame and a delay later.
        let first = wires.carry(0, 1, 1_000_000, 0);
        assert_eq!((first.taken, first.arrives), (8_000_000, 8_014_000));
        let second = wires.carry(0, 1, 1_000_000, 0);
        assert_eq!((second.taken, second.arrives), (16_000_000, 16_014_000));
        let elsewhere = wires.carry(2, 2, 5, 7);
        assert_eq!((elsewhere.taken, elsewhere.arrives), (7, 7), "on the same host");
    }

    #[test]
    fn what_never_ends_is_there_at_the_end_of_time() {
        let wire = Wire::new(Some(0.0), 1000, 12_000);
        let mut wires = Wires::new(2, vec![[wire; 2]; 2], 0.0, 0.03);
        wires.lead(0, 1, vec![(0, 0), (1, 1)]);
        for _ in 0..2 {
            assert_eq!(wires.carry(0, 1, 1, 5).arrives, u64::MAX);
        }
    }

    #[test]
    fn a_buffer_takes_what_it_holds_at_once() {
        let wire = Wire::new(Some(0.125), 0, 0);
        let mut wires = Wires::new(2, vec![[wire; 2]], 1e6, 0.0);
        wires.lead(0, 1, vec![(0, 0)]);
        assert_eq!(wires.carry(0, 1, 1_000_000, 0).taken, 0);
        assert_eq!(wires.carry(0, 1, 1_000_000, 0).taken, 8_000_000);
    }
}
