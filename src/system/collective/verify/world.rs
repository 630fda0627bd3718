//! The abstract network of the verifier: machines, symbolic buffers, and a queue of what may happen.

use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;
use std::sync::Arc;

use crate::network::message::{MessageKey, Rank};
use crate::system::action::{Action, Combine, Input, MessageId, Transfer};
use crate::system::collective::layout::Layout;
use crate::system::collective::promise::{self, Holds};
use crate::system::npu::{Awaited, Npu, ScheduleSource};
use crate::system::op::{Collective, Op};
use crate::system::payload::mix;

use super::{Delivery, Flaw, Order, Proof};

/// Contributions: (who << 32 | block, times), sorted.
type Content = Rc<Vec<(u64, u32)>>;

/// What cells hold that are given nothing; it must be in no result.
const STALE: u64 = u64::MAX;

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
                    _ => vec![(STALE, 1)],
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

/// All ranks' machines and buffers, and what is under way between them.
pub(super) struct World<'a> {
    ops: &'a [Op],
    n: u32,
    order: Order,
    delivery: Delivery,
    npus: Vec<Npu>,
    /// By operation, then position.
    buffers: Vec<Vec<Buffer>>,
    sends: BTreeMap<Pair, Sending>,
    receives: BTreeMap<Pair, Expecting>,
    /// Messages of each pair in the order in which they were sent (in-order delivery).
    lanes: BTreeMap<(u32, u32), VecDeque<MessageKey>>,
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
    pub(super) fn new(
        source: &ScheduleSource,
        ops: &'a [Op],
        n: u32,
        order: Order,
        delivery: Delivery,
    ) -> Self {
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
            lanes: BTreeMap::new(),
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

    /// Lets everything happen that can.
    pub(super) fn run(&mut self) -> Result<(), Flaw> {
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
                Action::Timer(..) | Action::Memory { .. } => {}
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
        if self.delivery == Delivery::InOrder {
            self.lanes.entry((from, to)).or_default().push_back(pair.2);
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

    /// Lets a message be delivered if both sides are there, and in order also the next of its pair.
    fn match_up(&mut self, pair: Pair) {
        let mut next = Some(pair);
        while let Some(pair) = next.take() {
            let turn = self
                .lanes
                .get(&(pair.0, pair.1))
                .is_none_or(|lane| lane.front() == Some(&pair.2));
            if !(turn && self.sends.contains_key(&pair) && self.receives.contains_key(&pair)) {
                return;
            }
            if let (Some(sending), Some(expecting)) = (self.sends.remove(&pair), self.receives.remove(&pair))
            {
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
            if let Some(lane) = self.lanes.get_mut(&(pair.0, pair.1)) {
                lane.pop_front();
                next = lane.front().map(|&key| (pair.0, pair.1, key));
            }
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

    /// Judges the end.
    pub(super) fn finish(self) -> Result<Proof, Flaw> {
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
