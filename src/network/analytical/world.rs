//! Virtual time: machines, the messages between them and the queue of what happens. Knows nothing of
//! collectives: a machine is told what happened and answers with sends, receives and timers.

use crate::network::message::{MessageKey, Rank};

use super::aware::Aware;
use super::matching::{Expectation, Key, Message, Messages};
use super::queue::{EventQueue, Kind};
use super::symmetry::Symmetry;
use super::topology::{Dimension, Topology};
use super::unaware::Unaware;
use super::wires::Wires;

/// A send or receive of whose end nobody wants to be told.
pub const NOBODY: u64 = u64::MAX;

/// What stands at the ends of the network: all ranks' machines.
pub trait Machine {
    /// A rank begins.
    fn start(&mut self, rank: Rank, network: &mut Network);
    /// A message of `rank` has arrived where it was sent to, or (over wires) has left its buffer.
    fn sent(&mut self, rank: Rank, token: u64, network: &mut Network);
    /// A message has arrived that `rank` expects.
    fn received(&mut self, rank: Rank, token: u64, network: &mut Network);
    /// A timer of `rank` fires.
    fn timer(&mut self, rank: Rank, token: u64, network: &mut Network);
}

/// A message's way over one link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hop {
    /// The dimension.
    pub dimension: usize,
    /// The link, below [`Network::links`].
    pub link: u32,
    /// Payload.
    pub bytes: u64,
    /// Nanoseconds that the message takes the link for.
    pub taken: u64,
}

/// How messages get in each other's way.
#[derive(Debug)]
enum Fabric {
    Unaware(Unaware),
    Aware(Aware),
    Wires(Wires),
}

/// The network and its clock.
#[derive(Debug)]
pub struct Network {
    queue: EventQueue,
    messages: Messages,
    fabric: Fabric,
    sent: u64,
    /// Rank 0 stands for all.
    symmetry: Option<Box<Symmetry>>,
}

impl Network {
    /// A network in which messages do not get in each other's way.
    pub fn unaware(topology: Topology) -> Self {
        Self::new(topology.npus(), Fabric::Unaware(Unaware::new(topology)))
    }

    /// A network in which messages wait for links.
    pub fn aware(topology: Topology) -> Self {
        Self::new(topology.npus(), Fabric::Aware(Aware::new(topology)))
    }

    /// A network of wires, which ends a send before its message is there.
    pub fn wired(wires: Wires) -> Self {
        Self::new(wires.ranks(), Fabric::Wires(wires))
    }

    /// The network for rank 0 that stands for all, as long as [`Network::is_symmetric`]. No message may take
    /// less than 1 ns, and a send that asks for its end, which is at another rank, ends it.
    pub fn symmetric(topology: Topology, aware: bool) -> Self {
        let fabric = if aware {
            Fabric::Aware(Aware::of_one(topology))
        } else {
            Fabric::Unaware(Unaware::new(topology))
        };
        let links = match &fabric {
            Fabric::Aware(aware) => aware.links(),
            _ => 0,
        };
        Network {
            symmetry: Some(Box::new(Symmetry::new(links))),
            ..Self::new(1, fabric)
        }
    }

    fn new(npus: u32, fabric: Fabric) -> Self {
        Network {
            queue: EventQueue::new(npus),
            messages: Messages::default(),
            fabric,
            sent: 0,
            symmetry: None,
        }
    }

    /// Whether rank 0 still stands for all. Once it does not, nothing that this network says is right.
    pub fn is_symmetric(&self) -> bool {
        self.symmetry
            .as_ref()
            .is_some_and(|symmetry| !symmetry.is_broken())
    }

    /// Its dimensions and ranks; wires have none.
    fn topology(&self) -> Option<&Topology> {
        match &self.fabric {
            Fabric::Unaware(unaware) => Some(unaware.topology()),
            Fabric::Aware(aware) => Some(aware.topology()),
            Fabric::Wires(_) => None,
        }
    }

    /// Nanoseconds since the start.
    pub fn now(&self) -> u64 {
        self.queue.now()
    }

    /// Messages sent so far.
    pub fn messages_sent(&self) -> u64 {
        self.sent
    }

    /// Events so far.
    pub fn events(&self) -> u64 {
        self.queue.fired()
    }

    /// Sends a message; [`Machine::sent`] is told of its arrival, unless `token` is [`NOBODY`].
    pub fn send(&mut self, from: Rank, to: Rank, key: MessageKey, bytes: u64, token: u64) {
        let (from, to) = match (&self.symmetry, self.topology()) {
            (Some(_), Some(topology)) => (topology.opposite(to), from),
            _ => (from, to),
        };
        if token != NOBODY
            && let Some(symmetry) = &mut self.symmetry
        {
            symmetry.breaks();
        }
        let key = Key {
            source: from,
            destination: to,
            key,
            bytes,
        };
        self.sent += 1;
        if let Fabric::Wires(wires) = &mut self.fabric {
            let now = self.queue.now();
            let carried = wires.carry(from, to, bytes, now);
            let index = self.messages.send(key, NOBODY);
            self.queue.push(carried.arrives - now, Kind::Arrival, index, 0);
            if token != NOBODY {
                self.queue.push(carried.taken - now, Kind::Sent, from, token);
            }
            return;
        }
        let index = self.messages.send(key, token);
        match &mut self.fabric {
            Fabric::Unaware(unaware) => {
                let delay = unaware.delay(from, to, bytes);
                self.queue.push(delay, Kind::Arrival, index, 0);
            }
            Fabric::Aware(aware) => match aware.forward(&mut self.messages, &mut self.queue, index) {
                None => self.queue.push(0, Kind::Arrival, index, 0),
                Some(link) => {
                    if let Some(symmetry) = &mut self.symmetry {
                        symmetry.departs(self.queue.now(), index, link);
                    }
                }
            },
            Fabric::Wires(_) => unreachable!("wires carry their messages themselves"),
        }
    }

    /// Expects a message; [`Machine::received`] is told of it, in an event of its own if it is there
    /// already.
    pub fn receive(&mut self, to: Rank, from: Rank, key: MessageKey, bytes: u64, token: u64) {
        let key = Key {
            source: from,
            destination: to,
            key,
            bytes,
        };
        if self.messages.receive(key, token) == Expectation::Met {
            self.queue.push(0, Kind::Late, to, token);
        }
    }

    /// Sets a timer of `rank`.
    pub fn timer(&mut self, rank: Rank, delay: u64, token: u64) {
        self.queue.push(delay, Kind::Timer, rank, token);
    }

    /// Links on which [`Network::walk`] sees messages. Where messages do not get in each other's way, a
    /// link is what a rank sends in a dimension.
    pub fn links(&self) -> usize {
        match &self.fabric {
            Fabric::Unaware(unaware) => unaware.topology().npus() as usize * self.dimensions().len(),
            Fabric::Aware(aware) => aware.links(),
            Fabric::Wires(_) => 0,
        }
    }

    /// The dimensions.
    pub fn dimensions(&self) -> &[Dimension] {
        self.topology().map_or(&[], Topology::dimensions)
    }

    /// Between whom a link is.
    pub fn describe(&self, link: u32) -> String {
        match (&self.fabric, self.topology()) {
            (Fabric::Aware(aware), _) => aware.describe(link),
            (_, Some(topology)) => format!("what rank {} sends", link % topology.npus()),
            _ => format!("link {link}"),
        }
    }

    /// Shows each link that a message goes over.
    pub fn walk(&self, from: Rank, to: Rank, bytes: u64, mut visit: impl FnMut(Hop)) {
        match &self.fabric {
            Fabric::Unaware(unaware) => {
                let topology = unaware.topology();
                if let Some((dimension, ..)) = topology.differing(from, to) {
                    visit(Hop {
                        dimension,
                        link: dimension as u32 * topology.npus() + from,
                        bytes,
                        taken: (bytes as f64 / topology.dimensions()[dimension].bandwidth) as u64,
                    });
                }
            }
            Fabric::Aware(aware) => aware.walk(from, to, bytes, visit),
            Fabric::Wires(_) => {}
        }
    }

    /// Receives that nothing was sent for, and sends that nobody expects.
    pub fn unmatched(&self) -> (Vec<Message>, Vec<Message>) {
        self.messages.unmatched()
    }

    /// Starts every rank at time 0, in order.
    pub fn start(&mut self, machine: &mut impl Machine, npus: u32) {
        for rank in 0..npus {
            machine.start(rank, self);
        }
    }

    /// Lets up to `events` events happen; `false` when none is left, or the symmetry is broken.
    pub fn run(&mut self, machine: &mut impl Machine, events: u64) -> bool {
        for _ in 0..events {
            if let Some(symmetry) = &self.symmetry
                && symmetry.is_broken()
            {
                return false;
            }
            let Some(event) = self.queue.pop() else {
                return false;
            };
            match event.kind() {
                Kind::Timer => {
                    if let Some(symmetry) = &mut self.symmetry {
                        symmetry.timer(self.queue.now());
                    }
                    machine.timer(event.who, event.token, self);
                }
                Kind::Arrival => self.arrival(machine, event.who),
                Kind::Late => machine.received(event.who, event.token, self),
                Kind::Sent => machine.sent(event.who, event.token, self),
                Kind::LinkFree => {
                    if let Fabric::Aware(aware) = &mut self.fabric {
                        aware.release(&self.messages, &mut self.queue, event.who);
                    }
                }
            }
        }
        true
    }

    /// A message has reached the next device, or its destination.
    fn arrival(&mut self, machine: &mut impl Machine, index: u32) {
        if let Fabric::Aware(aware) = &mut self.fabric
            && let Some(link) = aware.forward(&mut self.messages, &mut self.queue, index)
        {
            if let Some(symmetry) = &mut self.symmetry {
                symmetry.passes(self.queue.now(), index, link);
            }
            return;
        }
        if let Some(symmetry) = &mut self.symmetry {
            let Key {
                source, key, bytes, ..
            } = self.messages.get(index).key;
            symmetry.arrives(self.queue.now(), index, source, (key, bytes));
        }
        let arrived = self.messages.arrive(index);
        if arrived.send != NOBODY {
            machine.sent(arrived.source, arrived.send, self);
        }
        if arrived.expected && arrived.receive != NOBODY {
            machine.received(arrived.destination, arrived.receive, self);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::analytical::config::{BlockKind, Dim, NetworkConfig};

    /// Each rank sends to the next one and wants to be told of the end; who was told is kept.
    #[derive(Default)]
    struct Ring(Vec<Rank>);

    impl Machine for Ring {
        fn start(&mut self, rank: Rank, network: &mut Network) {
            let key = MessageKey {
                communicator: 0,
                tag: 0,
            };
            network.receive(rank, (rank + 3) % 4, key, 8, NOBODY);
            network.send(rank, (rank + 1) % 4, key, 8, 7);
        }

        fn sent(&mut self, rank: Rank, _: u64, _: &mut Network) {
            self.0.push(rank);
        }

        fn received(&mut self, _: Rank, _: u64, _: &mut Network) {}

        fn timer(&mut self, _: Rank, _: u64, _: &mut Network) {}
    }

    /// Rank 0 would be told of its message's end when another's arrives: in which order the two happen, nobody knows.
    #[test]
    fn one_rank_does_not_stand_for_all_where_sends_ask_for_their_end() {
        let config = NetworkConfig {
            dims: vec![Dim {
                kind: BlockKind::Ring,
                npus: 4,
                bandwidth_gib_per_s: 1.0,
                latency_ns: 5.0,
            }],
        };
        for aware in [false, true] {
            let topology = || Topology::new(&config).expect("4 NPUs");
            let (mut one, mut told) = (Network::symmetric(topology(), aware), Ring::default());
            one.start(&mut told, 1);
            assert!(!one.run(&mut told, 1000));
            assert_eq!((one.is_symmetric(), &told.0[..]), (false, &[][..]));

            let mut all = match aware {
                true => Network::aware(topology()),
                false => Network::unaware(topology()),
            };
            all.start(&mut told, 4);
            assert!(!all.run(&mut told, 1000));
            assert_eq!(told.0, [0, 1, 2, 3]);
        }
    }
}
