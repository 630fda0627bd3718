//! Proves schedules: runs the machines of all ranks against an abstract network in which every part
//! of every cell holds the multiset of contributions that were copied or reduced into it, and checks
//! that each rank ends with exactly what the collective promises, whatever the order of delivery.
//!
//! Found: wrong, missing and double contributions, unmatched messages, unequal sizes, reused tags,
//! deadlock (also when sends complete only at a waiting receiver), and, with zero-copy delivery,
//! cells that are overwritten while a send still reads them.

use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;

use thiserror::Error;

use crate::network::message::{MessageKey, Rank};
use crate::system::action::{Action, Combine, Input, MessageId, Transfer};
use crate::system::npu::{Awaited, HandleError, Npu, ScheduleSource};
use crate::system::op::{Collective, Op};
use crate::system::payload::mix;

use super::layout::Layout;
use super::promise::{self, Holds};

/// Which of the things that can happen next happens first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// What became possible first.
    First,
    /// What became possible last; others starve as long as that goes on.
    Last,
    /// Drawn from a seed.
    Random(u64),
    /// Every message takes one unit of time, everything else none; [`Proof::steps`] counts units.
    Clocked,
}

/// When a send takes its payload and when its buffer is free.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Delivery {
    /// Taken and free at once, as with a network that buffers without bound.
    Eager,
    /// Taken at once, free when the receiver, who must have posted its receive, has it.
    Rendezvous,
    /// Taken when the receiver has posted its receive, free some time later.
    ZeroCopy,
}

/// What one proof found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proof {
    /// Messages and bytes by (sender's, receiver's position).
    pub pairs: BTreeMap<(u32, u32), (u64, u64)>,
    /// Units of time until the last rank was done; 0 unless [`Order::Clocked`].
    pub steps: u64,
}

/// Why an operation does not do what it promises.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Flaw {
    /// A machine refused its input.
    #[error("the machine at position {position} refused: {error}")]
    Refused {
        /// Where.
        position: u32,
        /// Why.
        error: HandleError,
    },
    /// Nothing can happen any more, yet somebody is not done.
    #[error("deadlock; positions not done and what they wait for: {waiting:?}")]
    Deadlock {
        /// Positions and what they wait for.
        waiting: Vec<(u32, Vec<Awaited>)>,
    },
    /// Messages that nobody expected, or that never came, although everybody is done.
    #[error("{sends} sends and {receives} receives have no counterpart")]
    LeftOver {
        /// Sends without receive.
        sends: usize,
        /// Receives without send.
        receives: usize,
    },
    /// The two sides of a message, or its parts, differ in size.
    #[error("position {from} sends {sent} bytes where {to} expects {expected} (cell {cell})")]
    Sizes {
        /// Sender.
        from: u32,
        /// Receiver.
        to: u32,
        /// Cell of the receiver.
        cell: u32,
        /// Bytes of the sender.
        sent: u64,
        /// Bytes of the receiver.
        expected: u64,
    },
    /// Two messages of a pair are in flight under one tag.
    #[error("positions {from} and {to} have two messages under {key:?}")]
    TagReused {
        /// Sender.
        from: u32,
        /// Receiver.
        to: u32,
        /// The tag.
        key: MessageKey,
    },
    /// A receive changed a cell that a send still read.
    #[error("position {position}: cell {cell} of chunk {chunk} was overwritten while it was being sent")]
    Overwritten {
        /// Where.
        position: u32,
        /// Which cell.
        cell: u32,
        /// Which chunk.
        chunk: u32,
    },
    /// A cell does not hold what is promised.
    #[error("position {position}: cell {cell} of chunk {chunk} should hold {promised:?} but holds {found}")]
    Wrong {
        /// Where.
        position: u32,
        /// Which cell.
        cell: u32,
        /// Which chunk.
        chunk: u32,
        /// What it should hold.
        promised: Holds,
        /// What it holds: (position, block) x times.
        found: String,
    },
}

/// Proves `ops`, issued at once by each of `n` ranks, under genie's own schedules.
///
/// # Errors
/// The first flaw found.
pub fn prove(ops: &[Op], n: u32, order: Order, delivery: Delivery) -> Result<Proof, Flaw> {
    prove_with(Arc::new(super::schedules), ops, n, order, delivery)
}

/// Proves `ops` under other schedules.
///
/// # Errors
/// The first flaw found.
pub fn prove_with(
    source: ScheduleSource,
    ops: &[Op],
    n: u32,
    order: Order,
    delivery: Delivery,
) -> Result<Proof, Flaw> {
    let mut world = World::new(&source, ops, n, order, delivery);
    world.run()?;
    world.finish()
}

/// Contributions: (who << 32 | block, times), sorted.
type Content = Rc<Vec<(u64, u32)>>;

fn token(position: u32, block: u32) -> u64 {
    u64::from(position) << 32 | u64::from(block)
}

fn merge(a: &[(u64, u32)], b: &[(u64, u32)], together: impl Fn(u32, u32) -> u32) -> Content {
    let (mut merged, mut i, mut j) = (Vec::with_capacity(a.len() + b.len()), 0, 0);
    while i < a.len() && j < b.len() {
        match a[i].0.cmp(&b[j].0) {
            std::cmp::Ordering::Less => {
                merged.push(a[i]);
                i += 1;
            }
            std::cmp::Ordering::Greater => {
                merged.push(b[j]);
                j += 1;
            }
            std::cmp::Ordering::Equal => {
                merged.push((a[i].0, together(a[i].1, b[j].1)));
                (i, j) = (i + 1, j + 1);
            }
        }
    }
    merged.extend_from_slice(&a[i..]);
    merged.extend_from_slice(&b[j..]);
    Rc::new(merged)
}

/// One rank's buffer for one operation.
struct Buffer {
    layout: Layout,
    /// By cell and chunk.
    contents: Vec<Content>,
    /// Sends that still read, by cell and chunk (zero-copy).
    readers: Vec<u32>,
    done: bool,
}

impl Buffer {
    fn new(op: &Op, n: u32, position: u32) -> Self {
        let layout = Layout::new(op, n, position);
        let contents: Vec<Content> = (0..layout.cells())
            .flat_map(|cell| {
                let content = Rc::new(match promise::before(op, n, position, cell) {
                    Holds::One { position, block } => vec![(token(position, block), 1)],
                    _ => Vec::new(),
                });
                vec![content; layout.chunks() as usize]
            })
            .collect();
        Buffer {
            readers: vec![0; contents.len()],
            layout,
            contents,
            done: false,
        }
    }

    fn index(&self, cell: u32, chunk: u32) -> usize {
        (cell * self.layout.chunks() + chunk) as usize
    }

    fn length(&self, cell: u32, chunk: u32) -> u64 {
        let piece = self.layout.piece(cell, chunk);
        piece.end - piece.start
    }
}

/// A send under way.
struct Sending {
    from: u32,
    transfer: Transfer,
    /// Contents taken at once, unless delivery is zero-copy.
    taken: Option<Vec<Content>>,
    time: u64,
}

/// A receive that waits.
struct Expecting {
    transfer: Transfer,
    combine: Combine,
    time: u64,
}

enum Event {
    Issue {
        position: u32,
        op: usize,
    },
    Deliver {
        to: u32,
        sending: Sending,
        expecting: Expecting,
    },
    Sent {
        position: u32,
        message: MessageId,
    },
}

type Pair = (u32, u32, MessageKey);

struct World<'a> {
    ops: &'a [Op],
    n: u32,
    order: Order,
    delivery: Delivery,
    npus: Vec<Npu>,
    /// By operation, then position.
    buffers: Vec<Vec<Buffer>>,
    sends: BTreeMap<Pair, Sending>,
    receives: BTreeMap<Pair, Expecting>,
    events: BTreeMap<(u64, u64), Event>,
    born: u64,
    time: u64,
    proof: Proof,
}

/// World ranks of the positions: neither equal to them nor in their order.
fn rank_of(position: u32, n: u32) -> Rank {
    7 + 3 * (n - 1 - position)
}

fn position_of(rank: Rank, n: u32) -> u32 {
    n - 1 - (rank - 7) / 3
}

impl<'a> World<'a> {
    fn new(source: &ScheduleSource, ops: &'a [Op], n: u32, order: Order, delivery: Delivery) -> Self {
        let ranks: Vec<Rank> = (0..n).map(|position| rank_of(position, n)).collect();
        let npu = |position| {
            let mut npu = Npu::with_schedules(rank_of(position, n), Arc::clone(source));
            for op in ops.iter().filter(|op| op.root < n) {
                // Operations may share a communicator.
                let _ = npu.add_communicator(op.communicator, ranks.clone());
            }
            npu
        };
        World {
            ops,
            n,
            order,
            delivery,
            npus: (0..n).map(npu).collect(),
            buffers: ops
                .iter()
                .map(|op| (0..n).map(|p| Buffer::new(op, n, p)).collect())
                .collect(),
            sends: BTreeMap::new(),
            receives: BTreeMap::new(),
            events: BTreeMap::new(),
            born: 0,
            time: 0,
            proof: Proof {
                pairs: BTreeMap::new(),
                steps: 0,
            },
        }
    }

    fn add(&mut self, time: u64, event: Event) {
        self.born += 1;
        let priority = match self.order {
            Order::First => 0,
            Order::Last => u64::MAX - self.born,
            Order::Random(seed) => mix(seed ^ mix(self.born)),
            Order::Clocked => time,
        };
        self.events.insert((priority, self.born), event);
    }

    fn run(&mut self) -> Result<(), Flaw> {
        if !self.ops.is_empty() {
            (0..self.n).for_each(|position| self.add(0, Event::Issue { position, op: 0 }));
        }
        while let Some(((priority, _), event)) = self.events.pop_first() {
            if self.order == Order::Clocked {
                self.time = priority;
            }
            match event {
                Event::Issue { position, op } => {
                    let issue = Input::Issue {
                        node: op as u64,
                        op: self.ops[op].clone(),
                    };
                    self.tell(position, issue)?;
                    if op + 1 < self.ops.len() {
                        self.add(self.time, Event::Issue { position, op: op + 1 });
                    }
                }
                Event::Sent { position, message } => self.tell(position, Input::Sent(message))?,
                Event::Deliver {
                    to,
                    sending,
                    expecting,
                } => self.deliver(to, &sending, &expecting)?,
            }
        }
        Ok(())
    }

    fn tell(&mut self, position: u32, input: Input) -> Result<(), Flaw> {
        let npu = &mut self.npus[position as usize];
        npu.handle(input, self.time)
            .map_err(|error| Flaw::Refused { position, error })?;
        while let Some(action) = self.npus[position as usize].poll_action() {
            match action {
                Action::Send(transfer) => self.send(position, transfer)?,
                Action::Receive(transfer, combine) => self.expect(position, transfer, combine)?,
                Action::Done(node) => self.done(position, node as usize)?,
                Action::Timer(..) => {}
            }
        }
        Ok(())
    }

    fn send(&mut self, from: u32, transfer: Transfer) -> Result<(), Flaw> {
        let to = position_of(transfer.peer, self.n);
        let (cells, chunk) = (transfer.region.cells(), transfer.region.chunk());
        let buffer = &mut self.buffers[transfer.node as usize][from as usize];
        let taken = if self.delivery == Delivery::ZeroCopy {
            for cell in cells.iter() {
                let index = buffer.index(cell, chunk);
                buffer.readers[index] += 1;
            }
            None
        } else {
            Some(
                cells
                    .iter()
                    .map(|cell| Rc::clone(&buffer.contents[buffer.index(cell, chunk)]))
                    .collect(),
            )
        };
        if self.delivery == Delivery::Eager {
            self.add(
                self.time,
                Event::Sent {
                    position: from,
                    message: transfer.message,
                },
            );
        }
        let pair = (from, to, transfer.key);
        let sending = Sending {
            from,
            transfer,
            taken,
            time: self.time,
        };
        if self.sends.insert(pair, sending).is_some() {
            return Err(Flaw::TagReused {
                from,
                to,
                key: pair.2,
            });
        }
        self.match_up(pair);
        Ok(())
    }

    fn expect(&mut self, to: u32, transfer: Transfer, combine: Combine) -> Result<(), Flaw> {
        let from = position_of(transfer.peer, self.n);
        let pair = (from, to, transfer.key);
        let expecting = Expecting {
            transfer,
            combine,
            time: self.time,
        };
        if self.receives.insert(pair, expecting).is_some() {
            return Err(Flaw::TagReused {
                from,
                to,
                key: pair.2,
            });
        }
        self.match_up(pair);
        Ok(())
    }

    fn match_up(&mut self, pair: Pair) {
        if !(self.sends.contains_key(&pair) && self.receives.contains_key(&pair)) {
            return;
        }
        if let (Some(sending), Some(expecting)) = (self.sends.remove(&pair), self.receives.remove(&pair)) {
            let arrival = expecting.time.max(sending.time + 1);
            self.add(
                arrival,
                Event::Deliver {
                    to: pair.1,
                    sending,
                    expecting,
                },
            );
        }
    }

    fn deliver(&mut self, to: u32, sending: &Sending, expecting: &Expecting) -> Result<(), Flaw> {
        let (from, sent, expected) = (sending.from, &sending.transfer, &expecting.transfer);
        let op = sent.node as usize;
        let mismatch = |cell, sent, expected| Flaw::Sizes {
            from,
            to,
            cell,
            sent,
            expected,
        };
        if (sent.bytes, sent.node) != (expected.bytes, expected.node)
            || sent.region.cells().count != expected.region.cells().count
            || sent.region.bytes() != sent.bytes
            || expected.region.bytes() != expected.bytes
        {
            return Err(mismatch(
                expected.region.cells().first,
                sent.bytes,
                expected.bytes,
            ));
        }
        let chunk = sent.region.chunk();
        let cells = sent.region.cells().iter().zip(expected.region.cells().iter());
        for (i, (source, landing)) in cells.enumerate() {
            let buffer = &mut self.buffers[op][from as usize];
            let length = buffer.length(source, chunk);
            let index = buffer.index(source, chunk);
            let content = match &sending.taken {
                Some(taken) => Rc::clone(&taken[i]),
                None => {
                    buffer.readers[index] -= 1;
                    Rc::clone(&buffer.contents[index])
                }
            };
            let buffer = &mut self.buffers[op][to as usize];
            if length != buffer.length(landing, chunk) {
                return Err(mismatch(landing, length, buffer.length(landing, chunk)));
            }
            let index = buffer.index(landing, chunk);
            let barrier = self.ops[op].collective == Collective::Barrier;
            if buffer.readers[index] > 0 && !barrier {
                return Err(Flaw::Overwritten {
                    position: to,
                    cell: landing,
                    chunk,
                });
            }
            let held = &mut buffer.contents[index];
            *held = match expecting.combine {
                // What a barrier's byte stands for is who is known to have come.
                _ if barrier => merge(held, &content, u32::max),
                Combine::Copy => content,
                Combine::Reduce => merge(held, &content, |a, b| a + b),
            };
        }
        let pair = self.proof.pairs.entry((from, to)).or_default();
        *pair = (pair.0 + 1, pair.1 + sent.bytes);
        if self.delivery != Delivery::Eager {
            self.add(
                self.time,
                Event::Sent {
                    position: from,
                    message: sent.message,
                },
            );
        }
        self.tell(to, Input::Received(expected.message))
    }

    fn done(&mut self, position: u32, op: usize) -> Result<(), Flaw> {
        self.buffers[op][position as usize].done = true;
        self.proof.steps = self.time;
        self.check(position, op)
    }

    fn check(&self, position: u32, op: usize) -> Result<(), Flaw> {
        let buffer = &self.buffers[op][position as usize];
        for cell in 0..buffer.layout.cells() {
            let promised = promise::after(&self.ops[op], self.n, position, cell);
            for chunk in (0..buffer.layout.chunks()).filter(|&chunk| buffer.length(cell, chunk) > 0) {
                let content = &buffer.contents[buffer.index(cell, chunk)];
                let kept = match promised {
                    Holds::Anything => true,
                    Holds::One { position, block } => content[..] == [(token(position, block), 1)],
                    Holds::All { block } => {
                        let all = (0..self.n).map(|position| (token(position, block), 1));
                        content.iter().copied().eq(all)
                    }
                };
                if !kept {
                    let found = content
                        .iter()
                        .map(|(t, times)| format!("({}, {})x{times} ", t >> 32, *t as u32));
                    let found = found.collect();
                    return Err(Flaw::Wrong {
                        position,
                        cell,
                        chunk,
                        promised,
                        found,
                    });
                }
            }
        }
        Ok(())
    }

    fn finish(self) -> Result<Proof, Flaw> {
        let unfinished = |position: &u32| self.buffers.iter().any(|op| !op[*position as usize].done);
        let waiting: Vec<(u32, Vec<Awaited>)> = (0..self.n)
            .filter(unfinished)
            .map(|p| (p, self.npus[p as usize].waiting()))
            .collect();
        if !waiting.is_empty() {
            return Err(Flaw::Deadlock { waiting });
        }
        if !self.sends.is_empty() || !self.receives.is_empty() {
            return Err(Flaw::LeftOver {
                sends: self.sends.len(),
                receives: self.receives.len(),
            });
        }
        for op in 0..self.ops.len() {
            (0..self.n).try_for_each(|position| self.check(position, op))?;
        }
        Ok(self.proof)
    }
}
