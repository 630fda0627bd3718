//! Ring, direct and halving-doubling: a window of packets that go round. Each packet is settled
//! (endpoint delay, reduction) before it is sent on; every arrival makes a new one.
//!
//! Packets come in blocks: a window that is not reduced, then some that are, if the collective reduces
//! (ASTRA-sim, `Ring.cc`, `AllToAll.cc`, `HalvingDoubling.cc`; an all-reduce in odd blocks only).

use crate::network::message::Rank;

use super::{Happening, Label, Move, Phase, Settle};
use crate::system::op::Collective;
use crate::system::setup::{Pattern, Ring};

/// A chunk in a phase of packets.
#[derive(Debug)]
pub(in crate::system) struct Packets {
    partners: Partners,
    /// Messages still to be sent.
    to_send: u64,
    /// Made and not yet sent.
    made: u32,
    /// Settled and not yet used for a send.
    settled: u32,
    /// Packets at a time.
    window: u32,
    received: u32,
    /// Direct all-reduce: the second half begins when so many have been received.
    barrier: u32,
    reduces: Reduces,
    /// Packets of a block, and made of the current one.
    block: u32,
    in_block: u32,
    odd_block: bool,
    fast: bool,
    /// Of the packet made last.
    bytes: u64,
}

/// Which packets behind the window of a block are reduced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reduces {
    None,
    OddBlocks,
    All,
}

/// To whom the next packet goes and from whom the next one comes.
#[derive(Debug)]
enum Partners {
    /// Always the neighbours.
    Neighbours { to: Rank, from: Rank },
    /// The next one at each turn.
    Everyone {
        ring: Ring,
        anticlockwise: bool,
        distance: u32,
    },
    /// At a distance that changes with each packet made.
    Halves {
        ring: Ring,
        partner: Rank,
        offset: u32,
        next_bytes: u64,
        shrinking: bool,
        turns_back: bool,
    },
}

impl Packets {
    /// A chunk of `phase`, whose ring runs one way or the other.
    pub(super) fn new(phase: &Phase, pattern: Pattern, anticlockwise: bool) -> Self {
        let (ring, collective) = (&phase.ring, phase.collective);
        let n = ring.size;
        let mut run = Packets {
            partners: Partners::neighbours(ring, anticlockwise),
            to_send: match collective {
                Collective::AllReduce => 2 * u64::from(n - 1),
                Collective::AllToAll => u64::from(n) * u64::from(n - 1) / 2,
                _ => u64::from(n - 1),
            },
            made: 0,
            settled: 0,
            window: 1,
            received: 0,
            barrier: 0,
            reduces: match collective {
                Collective::ReduceScatter => Reduces::All,
                Collective::AllReduce => Reduces::OddBlocks,
                _ => Reduces::None,
            },
            block: n,
            in_block: 0,
            odd_block: false,
            fast: ring.local,
            bytes: match collective {
                Collective::AllGather => phase.bytes,
                _ => phase.bytes / u64::from(n),
            },
        };
        match pattern {
            Pattern::Direct(window) => run.direct(ring, collective, window, anticlockwise),
            Pattern::HalvingDoubling => run.halving(ring, collective, phase.bytes),
            Pattern::Ring | Pattern::DoubleBinaryTree => {}
        }
        run
    }

    fn direct(&mut self, ring: &Ring, collective: Collective, window: Option<u32>, anticlockwise: bool) {
        let others = ring.size - 1;
        self.window = window.unwrap_or(others).clamp(1, others);
        let reduced = if ring.local {
            others.saturating_mul(self.window)
        } else {
            self.window
        };
        self.block = self.window.saturating_add(reduced);
        match collective {
            Collective::AllReduce => self.barrier = others,
            Collective::AllToAll => self.to_send = u64::from(others),
            _ => {}
        }
        self.partners = Partners::Everyone {
            ring: ring.clone(),
            anticlockwise,
            distance: 0,
        };
    }

    fn halving(&mut self, ring: &Ring, collective: Collective, bytes: u64) {
        let steps = ring.size.ilog2();
        let gathers = collective == Collective::AllGather;
        let all_reduce = collective == Collective::AllReduce;
        self.to_send = u64::from(if all_reduce { 2 * steps } else { steps });
        self.block = steps;
        self.partners = Partners::Halves {
            ring: ring.clone(),
            partner: 0,
            offset: if gathers { ring.size / 2 } else { 1 },
            next_bytes: if gathers { bytes } else { bytes / 2 },
            shrinking: !gathers,
            turns_back: all_reduce,
        };
    }

    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    pub(super) fn on(&mut self, happening: Happening, moves: &mut Vec<Move>) {
        match happening {
            Happening::Start => (0..self.window).for_each(|_| self.make(moves)),
            Happening::Over(_) => {
                self.received += 1;
                self.make(moves);
            }
            Happening::Settled => self.settle(moves),
        }
    }

    /// A new packet.
    fn make(&mut self, moves: &mut Vec<Move>) {
        if self.in_block == 0 {
            self.odd_block = !self.odd_block;
        }
        let behind_window = self.in_block >= self.window;
        let reduced = behind_window
            && match self.reduces {
                Reduces::None => false,
                Reduces::OddBlocks => self.odd_block,
                Reduces::All => true,
            };
        let send_back = behind_window && self.block - self.in_block > self.window;
        self.in_block = if self.in_block + 1 >= self.block {
            0
        } else {
            self.in_block + 1
        };
        self.partners.make(&mut self.bytes);
        self.made += 1;
        moves.push(Move::Settle(Settle {
            bytes: self.bytes,
            reduced,
            to_memory: !behind_window,
            send_back,
            fast: self.fast,
        }));
    }

    /// A packet is settled: one may be sent, or after the barrier of a direct all-reduce a window.
    fn settle(&mut self, moves: &mut Vec<Move>) {
        self.settled += 1;
        let mut turns = 1;
        if self.barrier > 0 && self.to_send <= u64::from(self.barrier) {
            if self.received < self.barrier {
                return;
            }
            turns = self.window;
        }
        for _ in 0..turns {
            if self.made == 0 || self.to_send == 0 || self.settled == 0 {
                break;
            }
            self.send(moves);
        }
        if self.to_send == 0 && self.settled == self.window {
            moves.push(Move::End);
        }
    }

    fn send(&mut self, moves: &mut Vec<Move>) {
        (self.made, self.settled, self.to_send) = (self.made - 1, self.settled - 1, self.to_send - 1);
        let (to, from) = self.partners.next();
        let (bytes, label) = (self.bytes, Label::Plain);
        moves.push(Move::Send { to, bytes, label });
        moves.push(Move::Receive { from, bytes, label });
    }
}

impl Partners {
    fn neighbours(ring: &Ring, anticlockwise: bool) -> Self {
        let (next, previous) = (ring.rank(ring.ahead(1)), ring.rank(ring.behind(1)));
        if anticlockwise {
            Partners::Neighbours {
                to: previous,
                from: next,
            }
        } else {
            Partners::Neighbours {
                to: next,
                from: previous,
            }
        }
    }

    /// A packet is made; halving-doubling settles its partner and size now.
    fn make(&mut self, bytes: &mut u64) {
        let Partners::Halves {
            ring,
            partner,
            offset,
            next_bytes,
            shrinking,
            turns_back,
        } = self
        else {
            return;
        };
        let clockwise = *offset == 0 || (ring.position / *offset).is_multiple_of(2);
        *partner = ring.rank(if clockwise {
            ring.ahead(*offset)
        } else {
            ring.behind(*offset)
        });
        *bytes = *next_bytes;
        if *shrinking {
            (*offset, *next_bytes) = (*offset * 2, *next_bytes / 2);
            if *offset == ring.size && *turns_back {
                *shrinking = false;
                (*offset, *next_bytes) = (*offset / 2, *next_bytes * 2);
            }
        } else {
            (*offset, *next_bytes) = (*offset / 2, next_bytes.saturating_mul(2));
        }
    }

    /// The rank that the next packet goes to, and from which one is expected in turn.
    fn next(&mut self) -> (Rank, Rank) {
        match self {
            Partners::Neighbours { to, from } => (*to, *from),
            Partners::Halves { partner, .. } => (*partner, *partner),
            Partners::Everyone {
                ring,
                anticlockwise,
                distance,
            } => {
                *distance = if *distance + 1 == ring.size {
                    1
                } else {
                    *distance + 1
                };
                let ahead = ring.rank(ring.ahead(*distance));
                let behind = ring.rank(ring.behind(*distance));
                if *anticlockwise {
                    (behind, ahead)
                } else {
                    (ahead, behind)
                }
            }
        }
    }
}
