//! Follows a simulation: told by hooks what begins, waits and ends, it tells what each operation spent
//! its time on. It changes nothing, and nobody pays for it who does not ask.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use super::busy::Busy;
use super::live::{Instance, Live, LiveCollective, What};
use super::usage::Usage;
use super::{MessageSeen, OpRecord, Other, PhaseRecord, Seen, Split, WatchOptions};
use crate::network::analytical::Network;
use crate::network::message::{CommunicatorId, MessageKey, Rank};
use crate::system::action::Action;
use crate::system::npu::watch::{PhaseEvent, Settling};
use crate::system::npu::{Awaited, Direction, Npu};
use crate::system::setup::{CustomAlgorithm, Setup};
use crate::system::tag::chunk_of;
use crate::system::task::{POINT_TO_POINT, RENDEZVOUS};
use crate::workload::graph::{CollectiveWork, Graph, GraphNode, PeerWork, Work};

/// No node.
const NONE: u32 = u32::MAX;

/// A message's sender, receiver, tag and bytes.
type PairKey = (Rank, Rank, u32, u64);

/// The two sides of the messages of one key, in order: the k-th send is the k-th receive's.
#[derive(Debug, Default)]
struct Pair {
    /// Place and start of each send, and of each receive.
    sides: [Vec<(u32, u64)>; 2],
}

/// A rank.
#[derive(Debug)]
struct Watched {
    /// When it begins.
    begins: u64,
    /// When each node had nothing left to wait for, and for which node it waited last.
    ready: Vec<(u64, u32)>,
    busy: Busy,
    /// Collectives begun, by group.
    sequences: HashMap<CommunicatorId, u64>,
    live: Vec<Live>,
    /// Nodes that are over, by place.
    kept: Vec<Option<Box<OpRecord>>>,
}

/// Follows a simulation.
#[derive(Debug)]
pub struct Watch {
    options: WatchOptions,
    setup: Arc<Setup>,
    ranks: Vec<Watched>,
    instances: Vec<Instance>,
    instance_of: HashMap<(CommunicatorId, u64, Rank), u32>,
    pairs: Vec<(PairKey, Pair)>,
    pair_of: HashMap<PairKey, u32>,
    /// Numbers of messages sent and not taken.
    under_way: HashMap<(Rank, Rank, MessageKey, u64), VecDeque<u64>>,
    messages: u64,
    phases: Vec<PhaseEvent>,
    seen: Vec<Seen>,
    usage: Option<Usage>,
}

impl Watch {
    /// Follows ranks that execute these graphs, each from its time on.
    pub fn new(
        options: WatchOptions,
        setup: Arc<Setup>,
        ranks: &[(Arc<Graph>, u64)],
        network: &Network,
    ) -> Self {
        let rank = |(graph, begins): &(Arc<Graph>, u64)| Watched {
            begins: *begins,
            ready: vec![(*begins, NONE); graph.nodes().len()],
            busy: Busy::default(),
            sequences: HashMap::new(),
            live: Vec::new(),
            kept: vec![None; if options.explain { graph.nodes().len() } else { 0 }],
        };
        Watch {
            options,
            setup,
            ranks: ranks.iter().map(rank).collect(),
            instances: Vec::new(),
            instance_of: HashMap::new(),
            pairs: Vec::new(),
            pair_of: HashMap::new(),
            under_way: HashMap::new(),
            messages: 0,
            phases: Vec::new(),
            seen: Vec::new(),
            usage: options.explain.then(|| Usage::new(network)),
        }
    }

    /// What was told since the last time.
    pub fn take(&mut self) -> Vec<Seen> {
        std::mem::take(&mut self.seen)
    }

    /// When a rank begins, ns.
    pub fn beginning(&self, rank: Rank) -> u64 {
        self.ranks[rank as usize].begins
    }

    /// When a rank computes.
    pub fn busy(&self, rank: Rank) -> &Busy {
        &self.ranks[rank as usize].busy
    }

    /// Nodes of a rank that are over, by place.
    pub fn kept(&self, rank: Rank) -> &[Option<Box<OpRecord>>] {
        &self.ranks[rank as usize].kept
    }

    /// The members of a collective.
    pub fn instance(&self, instance: u32) -> &Instance {
        &self.instances[instance as usize]
    }

    /// How full links are.
    pub fn usage(&self) -> Option<&Usage> {
        self.usage.as_ref()
    }

    /// A node begins, which is about to be started in the rank's machine; `members`: how many ranks its group has.
    pub fn begins(
        &mut self,
        rank: Rank,
        place: u32,
        node: &GraphNode,
        (npu, members): (&Npu, u32),
        now: u64,
    ) {
        let what = match &node.work {
            Work::Collective(work) => {
                let planned = npu.planned(node.id, work.group, work.collective);
                let over = self.members(rank, planned, work, members);
                self.joins(rank, place, work.group, over, now)
            }
            Work::Send(peer) => self.meets((rank, peer.rank), peer, place, now, true),
            Work::Receive(peer) => self.meets((peer.rank, rank), peer, place, now, false),
            _ => What::Other,
        };
        let watched = &mut self.ranks[rank as usize];
        let start = now;
        watched.live.push(Live { place, start, what });
        if self.options.operations {
            self.seen.push(Seen::Begin { rank, place, at: now });
        }
    }

    /// A rank computes for so long.
    pub fn computes(&mut self, rank: Rank, now: u64, time: u64) {
        self.ranks[rank as usize].busy.add(now, now.saturating_add(time));
    }

    /// A rank's machine wants something done.
    pub fn action(&mut self, rank: Rank, npu: &mut Npu, action: &Action, graph: &Graph, network: &Network) {
        let now = network.now();
        self.phases(rank, npu, graph);
        match action {
            Action::Timer(timer, delay) => {
                if let Some(settling) = npu.settling(*timer) {
                    self.settles(rank, settling, *delay, graph, now);
                }
            }
            Action::Send(transfer) => {
                if let Some(usage) = &mut self.usage {
                    network.walk(rank, transfer.peer, transfer.bytes, |hop| usage.add(hop));
                }
                self.message(
                    rank,
                    (rank, transfer.peer),
                    transfer.key,
                    (transfer.bytes, transfer.node),
                    graph,
                    now,
                    true,
                );
            }
            _ => {}
        }
    }

    /// A message that a rank expects has come.
    pub fn received(&mut self, rank: Rank, message: Option<Awaited>, graph: &Graph, now: u64) {
        if let Some(awaited) = message.filter(|awaited| awaited.direction == Direction::Receive) {
            let Awaited {
                peer,
                key,
                bytes,
                node,
                ..
            } = awaited;
            self.message(rank, (peer, rank), key, (bytes, node), graph, now, false);
        }
    }

    /// Whether messages are looked at.
    pub fn wants_messages(&self) -> bool {
        self.options.messages
    }

    /// A node is over; nodes that waited for it may be ready.
    pub fn ends(&mut self, rank: Rank, place: u32, npu: &mut Npu, graph: &Graph, now: u64) {
        self.phases(rank, npu, graph);
        let watched = &mut self.ranks[rank as usize];
        let at = watched.live.iter().position(|live| live.place == place);
        if let Some(live) = at.map(|at| watched.live.swap_remove(at)) {
            self.record(rank, live, now);
        }
        self.frees(rank, place, graph, now);
    }

    /// A node without work is over.
    pub fn skips(&mut self, rank: Rank, place: u32, graph: &Graph, now: u64) {
        let what = What::Other;
        self.record(
            rank,
            Live {
                place,
                start: now,
                what,
            },
            now,
        );
        self.frees(rank, place, graph, now);
    }

    fn frees(&mut self, rank: Rank, place: u32, graph: &Graph, now: u64) {
        let ready = &mut self.ranks[rank as usize].ready;
        for &child in graph.children(place) {
            ready[child as usize] = (now, place);
        }
    }

    /// A rank comes to a collective, the next one of its group.
    fn joins(
        &mut self,
        rank: Rank,
        place: u32,
        group: CommunicatorId,
        (base, members): (Rank, u32),
        now: u64,
    ) -> What {
        let sequence = self.ranks[rank as usize].sequences.entry(group).or_default();
        let turn = *sequence;
        *sequence += 1;
        let next = self.instances.len() as u32;
        let instance = *self.instance_of.entry((group, turn, base)).or_insert(next);
        if instance == next {
            self.instances.push(Instance {
                missing: members,
                last: (now, rank, place),
            });
        }
        let joined = &mut self.instances[instance as usize];
        joined.missing = joined.missing.saturating_sub(1);
        if now > joined.last.0 {
            joined.last = (now, rank, place);
        }
        What::Collective(Box::new(LiveCollective {
            sequence: turn,
            instance,
            since: now,
            ..LiveCollective::default()
        }))
    }

    /// How many ranks a collective has, and which one stands for them: those that differ from `rank`
    /// only in dimensions through which it goes. `node`: whose custom algorithm it takes, if that has one.
    fn members(&self, rank: Rank, node: u64, work: &CollectiveWork, members: u32) -> (Rank, u32) {
        let whole = work.group == 0 || members == self.setup.npus();
        let custom = self.setup.custom.as_ref().is_some_and(|source| {
            !matches!(
                source.algorithm(node, work.collective, 0),
                CustomAlgorithm::Native
            )
        });
        let Some((_, logical)) = self.setup.logical(work.collective).filter(|_| whole && !custom) else {
            return (0, members);
        };
        let involved = if work.group == 0 {
            work.dimensions
        } else {
            u64::MAX
        };
        let (mut base, mut count) = (rank, 1);
        for (d, dimension) in logical.iter().enumerate() {
            if involved >> d.min(63) & 1 == 1 {
                base -= rank / dimension.stride % dimension.size * dimension.stride;
                count *= dimension.size;
            }
        }
        (base, count)
    }

    /// A message's side begins: it and the side of the same turn belong together.
    fn meets(
        &mut self,
        (from, to): (Rank, Rank),
        peer: &PeerWork,
        place: u32,
        now: u64,
        sends: bool,
    ) -> What {
        let key = (from, to, peer.tag, peer.bytes);
        let next = self.pairs.len() as u32;
        let pair = *self.pair_of.entry(key).or_insert(next);
        if pair == next {
            self.pairs.push((key, Pair::default()));
        }
        let side = &mut self.pairs[pair as usize].1.sides[usize::from(!sends)];
        side.push((place, now));
        let turn = side.len() as u32 - 1;
        What::Message { pair, turn, sends }
    }

    /// Takes phases that have begun or ended on a rank.
    fn phases(&mut self, rank: Rank, npu: &mut Npu, graph: &Graph) {
        let mut phases = std::mem::take(&mut self.phases);
        npu.take_phases(&mut phases);
        for phase in phases.drain(..) {
            self.phase(rank, phase, graph);
        }
        self.phases = phases;
    }

    fn phase(&mut self, rank: Rank, phase: PhaseEvent, graph: &Graph) {
        let watched = &mut self.ranks[rank as usize];
        let Some(place) = graph.place(phase.node) else {
            return;
        };
        let live = watched.live.iter_mut().find(|live| live.place == place);
        let Some(Live {
            start,
            what: What::Collective(live),
            ..
        }) = live
        else {
            return;
        };
        let (queued, began) = live.chunks.entry(phase.chunk).or_insert((*start, *start));
        let told = if phase.begins {
            *began = phase.at;
            live.phase_begins(phase.dimension, phase.at);
            Seen::PhaseBegin { rank, place, phase }
        } else {
            let record = PhaseRecord {
                rank,
                place,
                phase,
                queued: *queued,
                start: *began,
            };
            (*queued, *began) = (phase.at, phase.at);
            live.phase_ends(phase.dimension, phase.at);
            Seen::Phase(record)
        };
        if self.options.operations {
            self.seen.push(told);
        }
    }

    /// Something passes through a rank's endpoint.
    fn settles(&mut self, rank: Rank, settling: Settling, delay: u64, graph: &Graph, now: u64) {
        let place = match settling {
            Settling::Node(node) => graph.place(node),
            Settling::Bus => None,
        };
        let watched = &mut self.ranks[rank as usize];
        for live in watched
            .live
            .iter_mut()
            .filter(|live| place.is_none_or(|place| live.place == place))
        {
            if let What::Collective(live) = &mut live.what {
                let complete = self.instances[live.instance as usize].complete();
                live.integrate(now, complete, &watched.busy);
                live.settle(now, delay);
            }
        }
    }

    /// A message of a collective passes a side.
    #[expect(clippy::too_many_arguments, reason = "a message and where it is seen")]
    fn message(
        &mut self,
        rank: Rank,
        (from, to): (Rank, Rank),
        key: MessageKey,
        (bytes, node): (u64, u64),
        graph: &Graph,
        now: u64,
        sent: bool,
    ) {
        if !self.options.messages || key.communicator == POINT_TO_POINT || key.communicator & RENDEZVOUS != 0
        {
            return;
        }
        let Some(place) = graph.place(node) else { return };
        let waiting = self.under_way.entry((from, to, key, bytes)).or_default();
        let id = if sent {
            self.messages += 1;
            waiting.push_back(self.messages);
            self.messages
        } else {
            let id = waiting.pop_front();
            if waiting.is_empty() {
                self.under_way.remove(&(from, to, key, bytes));
            }
            let Some(id) = id else { return };
            id
        };
        let chunk = chunk_of(key.tag);
        let seen = MessageSeen {
            id,
            rank,
            place,
            chunk,
            bytes,
            at: now,
        };
        self.seen.push(if sent {
            Seen::Sent(seen)
        } else {
            Seen::Received(seen)
        });
    }

    /// Accounts for a node that is over.
    fn record(&mut self, rank: Rank, live: Live, now: u64) {
        let watched = &mut self.ranks[rank as usize];
        let (place, start) = (live.place, live.start);
        let (ready, parent) = watched.ready[place as usize];
        let bare = |from: u64, to: u64| to.saturating_sub(from) - watched.busy.covered(from, to);
        let mut record = OpRecord {
            rank,
            place,
            parent: (parent != NONE).then_some(parent),
            ready,
            start,
            met: start,
            end: now,
            split: Split::default(),
            exposed: Split::default(),
            exposed_slot: bare(ready, start),
            exposed_running: bare(start, now),
            collective: None,
            other: None,
            dimensions: Vec::new(),
        };
        match live.what {
            What::Collective(mut live) => {
                live.integrate(
                    now,
                    self.instances[live.instance as usize].complete(),
                    &watched.busy,
                );
                (record.split, record.exposed) = (live.split, live.exposed);
                let complete = self.instances[live.instance as usize].complete();
                record.met = complete.unwrap_or(now).clamp(start, now);
                record.collective = Some((live.sequence, live.instance));
                let seen = (0..)
                    .zip(&live.dimensions)
                    .filter(|(_, dimension)| dimension.seen);
                record.dimensions = seen.map(|(d, dimension)| (d, dimension.busy)).collect();
            }
            What::Message { pair, turn, sends } => {
                let (key, pair) = &self.pairs[pair as usize];
                let other = pair.sides[usize::from(sends)].get(turn as usize);
                let rank = if sends { key.1 } else { key.0 };
                record.other = other.map(|&(place, start)| Other { rank, place, start });
                // A send is under way at once, unless the receiver has to ask for it.
                let waits = !sends || self.setup.rendezvous;
                let came = record.other.map_or(now, |other| other.start);
                let met = if waits { came.clamp(start, now) } else { start };
                record.met = met;
                record.split = Split {
                    endpoint: 0,
                    peers: met - start,
                    network: now - met,
                };
                record.exposed = Split {
                    endpoint: 0,
                    peers: bare(start, met),
                    network: bare(met, now),
                };
            }
            What::Other => {}
        }
        if self.options.explain {
            watched.kept[place as usize] = Some(Box::new(record.clone()));
        }
        if self.options.operations {
            self.seen.push(Seen::Op(Box::new(record)));
        }
    }
}
