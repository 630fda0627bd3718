//! The bus between NPU and memory by the LogGP model, as ASTRA-sim has it (`MemBus.cc`, `LogGP.cc`):
//! two ends that send to each other in turn; what arrives is processed, sent back or retired. The NPU's
//! end goes through a second, inner bus of the same kind at every such step.

use std::collections::VecDeque;

use super::action::Nanos;
use super::slab::Slab;

/// Reads in a row before the other end gets its turn.
const THRESHOLD: u32 = 8;

/// Nanoseconds per byte of the inner bus.
const INNER_GAP_PER_BYTE: f64 = 0.0038;

/// LogGP's figures.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct BusConfig {
    /// L: latency, ns.
    pub latency: u64,
    /// o: overhead of a transfer, ns.
    pub overhead: u64,
    /// g: gap between transfers, ns.
    pub gap: u64,
    /// G: gap per byte, ns.
    pub gap_per_byte: f64,
    /// Nanoseconds per 100 bytes of processing.
    pub reduction_delay: u64,
}

/// An end of a bus.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Npu = 0,
    Memory = 1,
    InnerNpu = 2,
    InnerMemory = 3,
}

/// What a bus's timer is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Event {
    Sent = 0,
    Received = 1,
    Processed = 2,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Free,
    Sending,
    Receiving,
}

/// Where a transfer goes on when it is over.
#[derive(Debug, Clone, Copy)]
enum Then {
    /// The machine is told.
    Tell(u64),
    /// The request that waits for the inner bus goes on.
    Resume(u64),
}

/// What a request does when the inner bus has carried it.
#[derive(Debug, Clone, Copy)]
enum Stage {
    Send,
    Process,
    Retire,
}

#[derive(Debug, Clone, Copy)]
struct Request {
    bytes: u64,
    processed: bool,
    send_back: bool,
    then: Then,
}

#[derive(Debug)]
struct Side {
    gap_per_byte: f64,
    state: State,
    before: State,
    last_transfer: Nanos,
    reads_in_a_row: u32,
    processing_now: bool,
    sends: VecDeque<Request>,
    receives: VecDeque<Request>,
    processing: VecDeque<Request>,
}

/// A bus and its inner one.
#[derive(Debug)]
pub(super) struct Bus {
    config: BusConfig,
    sides: [Side; 4],
    /// Requests that wait for the inner bus.
    held: Slab<(End, Stage, Request)>,
    /// Timers to be set: what for, and after how long.
    pub timers: Vec<(u64, Nanos)>,
    /// What follows from the timer that fired, the next one last: ASTRA-sim's calls return to it when
    /// the machine has done all that a request's end leads to.
    todo: Vec<Todo>,
}

/// What is left to be done.
#[derive(Debug, Clone, Copy)]
enum Todo {
    /// The machine is told that a request is over.
    Tell(u64),
    /// The next one is processed.
    Process(End),
    /// The next transfer begins.
    GoOn(End),
}

impl End {
    const ALL: [End; 4] = [End::Npu, End::Memory, End::InnerNpu, End::InnerMemory];

    fn partner(self) -> End {
        End::ALL[self as usize ^ 1]
    }
}

impl Bus {
    pub(super) fn new(config: BusConfig) -> Self {
        let side = |gap_per_byte| Side {
            gap_per_byte,
            state: State::Free,
            before: State::Free,
            last_transfer: 0,
            reads_in_a_row: 0,
            processing_now: false,
            sends: VecDeque::new(),
            receives: VecDeque::new(),
            processing: VecDeque::new(),
        };
        let (outer, inner) = (config.gap_per_byte, INNER_GAP_PER_BYTE);
        Bus {
            config,
            sides: [side(outer), side(outer), side(inner), side(inner)],
            held: Slab::default(),
            timers: Vec::new(),
            todo: Vec::new(),
        }
    }

    /// Carries `bytes` to or from memory; `token` comes back from [`Bus::next`].
    pub(super) fn request(&mut self, settle: super::phase::Settle, token: u64, now: Nanos) {
        let request = Request {
            bytes: settle.bytes,
            processed: settle.reduced,
            send_back: settle.send_back,
            then: Then::Tell(token),
        };
        self.read(
            if settle.to_memory { End::Npu } else { End::Memory },
            request,
            now,
        );
    }

    /// A timer fires; `false` if it is none of the bus's. [`Bus::next`] says what follows.
    pub(super) fn fire(&mut self, timer: u64, now: Nanos) -> bool {
        let Some(&end) = End::ALL.get((timer >> 2) as usize) else {
            return false;
        };
        self.todo.push(Todo::GoOn(end));
        match timer & 3 {
            0 => self.sent(end, now),
            1 if !self.side(end).receives.is_empty() => self.received(end, now),
            2 if !self.side(end).processing.is_empty() => self.processed(end, now),
            _ => {
                self.todo.clear();
                return false;
            }
        }
        true
    }

    /// Goes on until a request is over, and gives its token; `None` when there is nothing left to do.
    pub(super) fn next(&mut self, now: Nanos) -> Option<u64> {
        loop {
            match self.todo.pop()? {
                Todo::Tell(token) => return Some(token),
                Todo::Process(end) => self.process(end),
                Todo::GoOn(end) => self.go_on(end, now),
            }
        }
    }

    fn side(&mut self, end: End) -> &mut Side {
        &mut self.sides[end as usize]
    }

    fn set(&mut self, end: End, event: Event, delay: Nanos) {
        self.timers.push(((end as u64) << 2 | event as u64, delay));
    }

    fn read(&mut self, end: End, request: Request, now: Nanos) {
        if end == End::Npu {
            self.through_inner(end, Stage::Send, request, false, now);
            return;
        }
        self.side(end).sends.push_back(request);
        self.go_on(end, now);
    }

    /// Sends the request through the inner bus first: to its memory or from it.
    fn through_inner(&mut self, end: End, stage: Stage, request: Request, to_memory: bool, now: Nanos) {
        let then = Then::Resume(self.held.insert((end, stage, request)));
        let inner = Request {
            bytes: request.bytes,
            processed: false,
            send_back: to_memory && !matches!(stage, Stage::Retire),
            then,
        };
        let entry = if to_memory {
            End::InnerNpu
        } else {
            End::InnerMemory
        };
        self.read(entry, inner, now);
    }

    /// The next transfer, if the end is free and has one and it is its turn.
    fn go_on(&mut self, end: End, now: Nanos) {
        if self.side(end).state != State::Free || self.side(end).sends.is_empty() {
            return;
        }
        let tired = self.side(end).reads_in_a_row > THRESHOLD;
        let partner = self.side(end.partner());
        if tired && !partner.sends.is_empty() && partner.reads_in_a_row <= THRESHOLD {
            self.go_on(end.partner(), now);
            return;
        }
        self.transfer(end, now);
    }

    fn transfer(&mut self, end: End, now: Nanos) {
        let BusConfig {
            latency,
            overhead,
            gap,
            ..
        } = self.config;
        let side = self.side(end);
        let Some(request) = side.sends.pop_front() else {
            return;
        };
        let since = now - side.last_transfer;
        let offset = if side.before == State::Sending && overhead + since <= gap {
            gap - since
        } else {
            overhead
        };
        // An empty packet takes a byte less than nothing, as there (the last one of halving-doubling, where a
        // chunk has a byte for each rank).
        let wire = (request.bytes as f64 - 1.0) * side.gap_per_byte;
        side.state = State::Sending;
        let partner = self.side(end.partner());
        partner.receives.push_back(request);
        partner.before = partner.state;
        partner.state = State::Receiving;
        partner.reads_in_a_row = 0;
        let arrival = offset as f64 + wire + latency as f64 + overhead as f64;
        self.set(end.partner(), Event::Received, arrival as u64);
        self.set(end, Event::Sent, (offset as f64 + wire) as u64);
    }

    fn sent(&mut self, end: End, now: Nanos) {
        let side = self.side(end);
        side.last_transfer = now;
        side.before = side.state;
        side.state = State::Free;
        side.reads_in_a_row += 1;
    }

    fn received(&mut self, end: End, now: Nanos) {
        let side = self.side(end);
        side.last_transfer = now;
        side.before = side.state;
        if side.receives.len() < 2 {
            side.state = State::Free;
        }
        let Some(mut request) = side.receives.pop_front() else {
            return;
        };
        if request.processed {
            request.processed = false;
            if end == End::Npu {
                self.through_inner(end, Stage::Process, request, true, now);
            } else {
                side.processing.push_back(request);
            }
            self.process(end);
        } else {
            self.send_back_or_end(end, request, now);
        }
    }

    fn processed(&mut self, end: End, now: Nanos) {
        let side = self.side(end);
        side.processing_now = false;
        let request = side.processing.pop_front();
        self.todo.push(Todo::Process(end));
        if let Some(request) = request {
            self.send_back_or_end(end, request, now);
        }
    }

    fn send_back_or_end(&mut self, end: End, mut request: Request, now: Nanos) {
        let inner = end == End::Npu;
        if request.send_back {
            request.send_back = false;
            if inner {
                self.through_inner(end, Stage::Send, request, true, now);
            } else {
                self.side(end).sends.push_back(request);
            }
        } else if inner {
            self.through_inner(end, Stage::Retire, request, true, now);
        } else {
            self.end(request);
        }
    }

    /// Processes the next one, if none is being processed.
    fn process(&mut self, end: End) {
        let delay = self.config.reduction_delay;
        let side = self.side(end);
        if side.processing_now {
            return;
        }
        if let Some(request) = side.processing.front() {
            side.processing_now = true;
            let delay = request.bytes / 100 * delay + 50;
            self.set(end, Event::Processed, delay);
        }
    }

    /// A transfer is over.
    fn end(&mut self, request: Request) {
        let key = match request.then {
            Then::Tell(token) => {
                self.todo.push(Todo::Tell(token));
                return;
            }
            Then::Resume(key) => key,
        };
        let Some((end, stage, request)) = self.held.remove(key) else {
            return;
        };
        self.todo.push(Todo::GoOn(end));
        match stage {
            Stage::Send => self.side(end).sends.push_back(request),
            Stage::Process => {
                self.side(end).processing.push_back(request);
                self.process(end);
            }
            Stage::Retire => self.end(request),
        }
    }
}
