//! A trace in virtual time: the same machines, lanes and algorithms as in wall time, over the planned
//! links with the rate and latency that calibration found. Modelled, never measured.
//!
//! A message occupies the links of its path one after another, as soon as its head is there and the
//! link is free (virtual cut-through; first come, first served): it arrives when its tail does. Its send
//! is over as soon as what has not left yet fits into the kernel's buffer.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, VecDeque};
use std::net::IpAddr;
use std::sync::Arc;

use super::player::pass::{input, node_times};
use crate::event::{Calibration, TraceModel};
use crate::network::message::{MessageKey, Rank};
use crate::network::tcp::mesh::send_buffer;
use crate::scenario::plan::{ETHERNET_HEADER, IP_TCP_HEADERS, Plan, payload_limit};
use crate::system::action::{Action, Input, MessageId, TimerId, Transfer, UNTRACKED};
use crate::system::npu::Npu;
use crate::workload::lanes::Lanes;
use crate::workload::trace::{Part, Recipe};

/// Iterations: the first begins with all ranks at rest, the last is reported.
const PASSES: u64 = 3;
/// Events after which a forecast is given up: it must not take longer than the run.
const MOST_EVENTS: u64 = 20_000_000;

/// What an iteration of the trace should be like; `None` when no shaped link is on the way, or the
/// trace is too large to be worth the wait.
pub fn forecast(plan: &Plan, recipe: &Recipe, calibration: Option<&Calibration>) -> Option<TraceModel> {
    let wires = Wires::of(plan, calibration)?;
    let ranks = plan.ranks.len() as u32;
    let mut seats = Vec::new();
    for rank in 0..ranks {
        let mut npu = Npu::new(rank);
        for group in recipe.groups.iter().filter(|group| group.ranks.contains(&rank)) {
            npu.add_communicator(group.communicator, group.ranks.clone())
                .ok()?;
        }
        let part = Arc::new(recipe.part(rank, ranks).ok()?);
        seats.push(Seat {
            npu,
            lanes: Lanes::new(Arc::clone(&part), recipe.lanes),
            times: vec![(0, 0); part.steps.len()],
            part,
            pass: 0,
            ends: Vec::new(),
        });
    }
    let network = wires.describe(calibration);
    let mut world = World {
        recipe,
        wires,
        seats,
        events: BinaryHeap::new(),
        count: 0,
        queues: HashMap::new(),
    };
    world.play()?;
    let end = |pass: usize| {
        world
            .seats
            .iter()
            .filter_map(|seat| seat.ends.get(pass))
            .max()
            .copied()
    };
    let last = PASSES as usize - 1;
    let times = world.seats.iter();
    Some(TraceModel {
        iteration_ns: end(last)?.saturating_sub(end(last - 1)?),
        times: times
            .map(|seat| node_times(&seat.part, 0, &seat.times, 0))
            .collect(),
        network,
    })
}

/// A link in one direction.
#[derive(Debug, Clone, Copy)]
struct Wire {
    /// Payload bytes per nanosecond; `None`: unlimited.
    rate: Option<f64>,
    /// Until the head of a message is at the far end, ns.
    delay: u64,
    /// Of a full frame, ns: a switch sends on what it has whole.
    frame: u64,
    free: u64,
}

/// All links, and the way between any two ranks.
struct Wires {
    wires: Vec<[Wire; 2]>,
    /// Payload that the kernel takes of a sender ahead of the wire, bytes.
    buffer: f64,
    paths: HashMap<(Rank, Rank), Vec<(usize, usize)>>,
}

impl Wires {
    fn of(plan: &Plan, calibration: Option<&Calibration>) -> Option<Self> {
        let network = &plan.network;
        network.links.iter().find(|link| link.rate.is_some())?;
        let wires = network.links.iter().map(|link| {
            let rate = link.rate.map(|rate| rate.0 as f64);
            let (share, extra) = rate.map_or((1.0, 0.0), |rate| found(calibration, rate / plan.dilation));
            let payload = rate.map(|rate| payload_limit(rate * share, network.mtu) / 1e9);
            let frame = f64::from(network.mtu) + ETHERNET_HEADER;
            let wire = Wire {
                rate: payload,
                delay: link.delay.0 + (extra * 1e3 / plan.dilation) as u64,
                frame: rate.map_or(0, |rate| (frame * 8.0 / (rate * share) * 1e9) as u64),
                free: 0,
            };
            [wire; 2]
        });
        let mut found = Wires {
            wires: wires.collect(),
            buffer: send_buffer(&plan.testbed.tcp, plan.ranks.len().saturating_sub(1)) as f64,
            paths: HashMap::new(),
        };
        for from in 0..plan.ranks.len() as Rank {
            for to in (0..plan.ranks.len() as Rank).filter(|to| *to != from) {
                found.paths.insert((from, to), path(plan, from, to)?);
            }
        }
        Some(found)
    }

    fn describe(&self, calibration: Option<&Calibration>) -> String {
        let wire = self
            .wires
            .iter()
            .map(|pair| pair[0])
            .find(|wire| wire.rate.is_some());
        let (rate, delay) = wire.map_or((0.0, 0), |wire| (wire.rate.unwrap_or(0.0), wire.delay));
        let source = match calibration {
            Some(_) => "as calibrated",
            None => "as planned, not calibrated",
        };
        let gbps = rate * 8.0;
        format!(
            "{gbps:.4} Gbit/s of payload and {:.1} us on a link, {source}",
            delay as f64 / 1e3
        )
    }

    /// When the buffer of a message that is sent now is free again, and when the message arrives.
    fn carry(&mut self, from: Rank, to: Rank, bytes: u64, now: u64) -> (u64, u64) {
        let Some(path) = self.paths.get(&(from, to)) else {
            return (now, now);
        };
        let (mut head, mut tail, mut taken) = (now, now, now);
        for (hop, &(link, direction)) in path.iter().enumerate() {
            let wire = &mut self.wires[link][direction];
            let Some(rate) = wire.rate else {
                (head, tail) = (head + wire.delay, tail + wire.delay);
                continue;
            };
            let time = (bytes as f64 / rate) as u64;
            if hop > 0 {
                head += wire.frame.min(time + time * IP_TCP_HEADERS as u64 / 1448);
            }
            let start = head.max(wire.free);
            wire.free = start + time;
            if hop == 0 {
                taken = now.max(wire.free.saturating_sub((self.buffer / rate) as u64));
            }
            (head, tail) = (start + wire.delay, (start + time).max(tail) + wire.delay);
        }
        (taken, tail)
    }
}

/// Measured over wanted rate, and microseconds that a message takes longer on each hop than the wire
/// explains, both real, of links of this real rate.
fn found(calibration: Option<&Calibration>, rate: f64) -> (f64, f64) {
    let links = calibration.map_or(&[][..], |calibration| &calibration.links);
    let alike = links.iter().find(|link| {
        link.wanted_bps
            .is_some_and(|wanted| (wanted / rate - 1.0).abs() < 0.02)
    });
    let Some(link) = alike else {
        return (1.0, 0.0);
    };
    let share = link.wanted_bps.map_or(1.0, |wanted| link.measured_bps / wanted);
    let extra = link
        .measured_one_way_us
        .zip(link.wanted_one_way_us)
        .map(|(m, w)| m - w);
    (share, extra.unwrap_or(0.0).max(0.0) / f64::from(link.hops.max(1)))
}

/// Links and directions between the hosts of two ranks; empty on the same host.
fn path(plan: &Plan, from: Rank, to: Rank) -> Option<Vec<(usize, usize)>> {
    let (from, to) = (&plan.ranks[from as usize], &plan.ranks[to as usize]);
    let address = to.addresses.first()?;
    let (mut node, mut path) = (from.host, Vec::new());
    while node != to.host {
        let routes = plan.network.routes.get(node)?;
        let exact = routes
            .iter()
            .find(|route| route.to.map(IpAddr::V4) == Some(*address));
        let route = exact.or_else(|| routes.iter().find(|route| route.to.is_none()))?;
        let number = *route.via.first()?;
        let link = plan.network.links.get(number)?;
        let direction = usize::from(link.ends[0].node != node);
        path.push((number, direction));
        node = link.ends[1 - direction].node;
        if path.len() > plan.network.nodes.len() {
            return None;
        }
    }
    Some(path)
}

/// A rank.
struct Seat {
    npu: Npu,
    lanes: Lanes,
    part: Arc<Part>,
    times: Vec<(u64, u64)>,
    pass: u64,
    /// When each pass ended.
    ends: Vec<u64>,
}

#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Happening {
    Sent(MessageId),
    Received(MessageId),
    Arrived { from: Rank, key: Name },
    Timer(TimerId),
}

/// Communicator and tag.
type Name = (u32, u64);

#[derive(Default)]
struct Queue {
    arrived: u64,
    posted: VecDeque<MessageId>,
}

struct World<'a> {
    recipe: &'a Recipe,
    wires: Wires,
    seats: Vec<Seat>,
    events: BinaryHeap<Reverse<(u64, u64, Rank, Happening)>>,
    count: u64,
    queues: HashMap<(Rank, Rank, Name), Queue>,
}

fn name(key: &MessageKey) -> Name {
    (key.communicator, key.tag)
}

impl World<'_> {
    /// Plays all passes; `None` if it takes too long or does not end.
    fn play(&mut self) -> Option<()> {
        for rank in 0..self.seats.len() as Rank {
            self.go_on(rank, 0)?;
        }
        while let Some(Reverse((now, _, rank, what))) = self.events.pop() {
            if self.count > MOST_EVENTS {
                return None;
            }
            let npu = &mut self.seats[rank as usize].npu;
            match what {
                Happening::Sent(message) => npu.sent(message, now).ok()?,
                Happening::Received(message) => npu.received(message, now).ok()?,
                Happening::Timer(timer) => npu.timer_fired(timer, now).ok()?,
                Happening::Arrived { from, key } => {
                    let queue = self.queues.entry((from, rank, key)).or_default();
                    match queue.posted.pop_front() {
                        Some(message) => npu.received(message, now).ok()?,
                        None => queue.arrived += 1,
                    }
                }
            }
            self.go_on(rank, now)?;
        }
        self.seats.iter().all(|seat| seat.pass == PASSES).then_some(())
    }

    /// Lets a rank act until it waits.
    fn go_on(&mut self, rank: Rank, now: u64) -> Option<()> {
        let mut begin = Vec::new();
        loop {
            let seat = &mut self.seats[rank as usize];
            if seat.pass < PASSES && seat.lanes.is_over() {
                seat.pass += 1;
                seat.ends.push(now);
                if seat.pass < PASSES {
                    seat.lanes = Lanes::new(Arc::clone(&seat.part), self.recipe.lanes);
                }
            }
            seat.lanes.issue(&mut begin);
            let first = seat.pass * seat.part.steps.len() as u64;
            for place in begin.drain(..) {
                seat.times[place as usize].0 = now;
                let step = &seat.part.steps[place as usize];
                let input: Input = input(first + u64::from(place), step, seat.pass);
                seat.npu.handle(input, now).ok()?;
            }
            if !self.act(rank, first, now) {
                return Some(());
            }
        }
    }

    /// Carries out what a machine wants; whether a node is over.
    fn act(&mut self, rank: Rank, first: u64, now: u64) -> bool {
        let mut over = false;
        while let Some(action) = self.seats[rank as usize].npu.poll_action() {
            match action {
                Action::Send(transfer) => self.send(rank, &transfer, now),
                Action::Receive(transfer, _) => {
                    let key = (transfer.peer, rank, name(&transfer.key));
                    let queue = self.queues.entry(key).or_default();
                    if queue.arrived > 0 {
                        queue.arrived -= 1;
                        self.happen(now, rank, Happening::Received(transfer.message));
                    } else {
                        queue.posted.push_back(transfer.message);
                    }
                }
                Action::Timer(timer, delay) => self.happen(now + delay, rank, Happening::Timer(timer)),
                Action::Memory { .. } => {}
                Action::Done(node) => {
                    let seat = &mut self.seats[rank as usize];
                    let place = node - first;
                    seat.times[place as usize].1 = now;
                    seat.lanes.finish(place as u32);
                    over = true;
                }
            }
        }
        over
    }

    fn send(&mut self, rank: Rank, transfer: &Transfer, now: u64) {
        let (taken, arrives) = self.wires.carry(rank, transfer.peer, transfer.bytes, now);
        let arrived = Happening::Arrived {
            from: rank,
            key: name(&transfer.key),
        };
        self.happen(arrives, transfer.peer, arrived);
        if transfer.message != UNTRACKED {
            self.happen(taken, rank, Happening::Sent(transfer.message));
        }
    }

    fn happen(&mut self, at: u64, rank: Rank, what: Happening) {
        self.count += 1;
        self.events.push(Reverse((at, self.count, rank, what)));
    }
}
