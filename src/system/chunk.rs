//! One chunk's way through a schedule: which sends may go and which receives may be posted now.
//!
//! Cells are guarded so: a receive is posted only when every send of its round or before that reads
//! the same cells has been issued, and when no incomplete receive of an earlier round would conflict
//! with it. Up to [`ROUNDS_AHEAD`] rounds of receives are posted before their turn.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use super::action::Combine;
use super::collective::{Cells, Layout, Round, Schedule};

/// Receives of so many rounds beyond the current one are posted early.
pub const ROUNDS_AHEAD: usize = 2;

/// More sends of a chunk than [`Op::sends_in_flight`](super::op::Op::sends_in_flight) may be outstanding
/// as long as they have no more bytes than this together: small messages should not wait for each
/// other's latency.
pub const WINDOW_BYTES: u64 = 1 << 20;

/// A message that may be sent or expected now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Step {
    /// Position of the other side.
    pub peer: u32,
    /// Cells of this side.
    pub cells: Cells,
    /// Its turn among the messages of this pair and direction, in this chunk.
    pub turn: u32,
    /// Payload length, bytes.
    pub bytes: u64,
    /// Its round on this side.
    pub round: u32,
    /// What to do.
    pub side: Side,
}

/// Which side of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    Send,
    Receive(Combine),
}

/// A chunk on its way.
#[derive(Debug)]
pub(super) struct ChunkRun {
    schedule: Arc<dyn Schedule>,
    layout: Arc<Layout>,
    chunk: u32,
    position: u32,
    /// Sends that may be outstanding whatever their size.
    window: u32,
    rounds: u32,
    /// First round with incomplete receives.
    current: u32,
    /// Whether the sends of `current` are in `queue` or gone.
    entered: bool,
    /// Rounds from `current` on that have been generated.
    ahead: VecDeque<Pending>,
    /// Sends that may go but for the window.
    queue: VecDeque<Step>,
    outstanding: Outstanding,
    /// Messages so far to and from each peer.
    turns: BTreeMap<u32, [u32; 2]>,
}

/// Sends whose buffers are not free yet.
#[derive(Debug, Default)]
struct Outstanding {
    messages: u32,
    bytes: u64,
}

/// A round that is not over.
#[derive(Debug)]
struct Pending {
    sends: Vec<Step>,
    receives: Vec<Step>,
    /// Receives that have not come.
    missing: usize,
    posted: bool,
    /// Postable when all sends of rounds below this are issued...
    after_sends: u32,
    /// ... and all receives of rounds below this complete.
    after_receives: u32,
}

impl ChunkRun {
    pub(super) fn new(
        schedule: Arc<dyn Schedule>,
        layout: Arc<Layout>,
        chunk: u32,
        position: u32,
        window: u32,
    ) -> Self {
        ChunkRun {
            window,
            rounds: schedule.rounds(position),
            schedule,
            layout,
            chunk,
            position,
            current: 0,
            entered: false,
            ahead: VecDeque::new(),
            queue: VecDeque::new(),
            outstanding: Outstanding::default(),
            turns: BTreeMap::new(),
        }
    }

    /// A receive of a round is complete.
    pub(super) fn received(&mut self, round: u32) {
        let pending = round
            .checked_sub(self.current)
            .and_then(|i| self.ahead.get_mut(i as usize));
        pending
            .expect("a posted receive belongs to a round that is not over")
            .missing -= 1;
    }

    /// The buffer of a send is free again.
    pub(super) fn sent(&mut self, bytes: u64) {
        self.outstanding.messages -= 1;
        self.outstanding.bytes -= bytes;
    }

    /// All receives have come and all sends are gone.
    pub(super) fn is_complete(&self) -> bool {
        self.current == self.rounds && self.queue.is_empty() && self.outstanding.messages == 0
    }

    /// Adds to `steps` what may be done now, sends before receives.
    pub(super) fn advance(&mut self, steps: &mut Vec<Step>) {
        self.enter_rounds();
        self.issue_sends(steps);
        self.post_receives(steps);
    }

    /// Walks over rounds that are over; queues the sends of every round that is entered.
    fn enter_rounds(&mut self) {
        loop {
            self.generate();
            let Some(front) = self.ahead.front_mut() else {
                return;
            };
            if !self.entered {
                self.entered = true;
                self.queue.extend(front.sends.drain(..));
            }
            if front.missing > 0 {
                return;
            }
            self.ahead.pop_front();
            self.current += 1;
            self.entered = false;
        }
    }

    fn issue_sends(&mut self, steps: &mut Vec<Step>) {
        while let Some(step) = self.queue.front() {
            let Outstanding { messages, bytes } = &mut self.outstanding;
            if *messages >= self.window && *bytes + step.bytes > WINDOW_BYTES {
                return;
            }
            *messages += 1;
            *bytes += step.bytes;
            steps.extend(self.queue.pop_front());
        }
    }

    fn post_receives(&mut self, steps: &mut Vec<Step>) {
        let issued_below = self.queue.front().map_or(self.current + 1, |step| step.round);
        for pending in &mut self.ahead {
            if pending.posted {
                continue;
            }
            if pending.after_sends > issued_below || pending.after_receives > self.current {
                return;
            }
            pending.posted = true;
            steps.extend_from_slice(&pending.receives);
        }
    }

    /// Generates rounds up to [`ROUNDS_AHEAD`] beyond the current one.
    fn generate(&mut self) {
        while self.ahead.len() <= ROUNDS_AHEAD {
            let k = self.current + self.ahead.len() as u32;
            if k >= self.rounds {
                return;
            }
            let mut round = Round::default();
            self.schedule.round(self.position, k, &mut round);
            let pending = self.pending(k, round);
            self.ahead.push_back(pending);
        }
    }

    fn pending(&mut self, k: u32, round: Round) -> Pending {
        let mut sends = Vec::with_capacity(round.sends.len());
        for message in round.sends {
            sends.extend(self.step(k, message.peer, message.cells, Side::Send));
        }
        let mut receives = Vec::with_capacity(round.receives.len());
        for (message, combine) in round.receives {
            receives.extend(self.step(k, message.peer, message.cells, Side::Receive(combine)));
        }
        Pending {
            after_sends: self
                .last_reader(k, &sends, &receives)
                .map_or(0, |round| round + 1),
            after_receives: self.last_writer(&receives).map_or(0, |round| round + 1),
            missing: receives.len(),
            sends,
            receives,
            posted: false,
        }
    }

    /// A message with its turn and size; `None` if it has no bytes, which both sides know.
    fn step(&mut self, round: u32, peer: u32, cells: Cells, side: Side) -> Option<Step> {
        let counter = &mut self.turns.entry(peer).or_default()[usize::from(side != Side::Send)];
        let turn = *counter;
        *counter += 1;
        let bytes = self.layout.bytes(cells, self.chunk);
        (bytes > 0).then_some(Step {
            peer,
            cells,
            turn,
            bytes,
            round,
            side,
        })
    }

    /// The last round, `k` or before, with a send that may not be issued yet and reads what
    /// `receives` of round `k` write.
    fn last_reader(&self, k: u32, sends: &[Step], receives: &[Step]) -> Option<u32> {
        let written = CellSet::of(receives);
        let reads = |step: &&Step| written.meets(step.cells);
        if sends.iter().any(|step| reads(&step)) {
            return Some(k);
        }
        let ahead = self.ahead.iter().rev().flat_map(|pending| &pending.sends);
        ahead
            .chain(self.queue.iter().rev())
            .find(reads)
            .map(|step| step.round)
    }

    /// The last earlier round with incomplete receives that must be over before `receives` of a
    /// later one may come, because either side overwrites.
    fn last_writer(&self, receives: &[Step]) -> Option<u32> {
        let overwrites = |step: &Step| step.side == Side::Receive(Combine::Copy);
        let (written, copied) = (CellSet::of(receives), receives.iter().any(overwrites));
        let conflicts = |step: &&Step| (copied || overwrites(step)) && written.meets(step.cells);
        let incomplete = self.ahead.iter().rev().filter(|pending| pending.missing > 0);
        incomplete
            .flat_map(|pending| &pending.receives)
            .find(conflicts)
            .map(|step| step.round)
    }
}

/// Cells that some messages name.
struct CellSet(Vec<u32>);

impl CellSet {
    fn of(steps: &[Step]) -> Self {
        let mut cells: Vec<u32> = steps.iter().flat_map(|step| step.cells.iter()).collect();
        cells.sort_unstable();
        CellSet(cells)
    }

    fn meets(&self, cells: Cells) -> bool {
        cells.iter().any(|cell| self.0.binary_search(&cell).is_ok())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::system::collective::schedules;
    use crate::system::op::{Algorithm, Collective, Op};

    /// Position 0 of 8 ranks at the start of an operation, and what it does first.
    fn start(collective: Collective, algorithm: Algorithm, bytes: u64) -> (ChunkRun, Vec<Step>) {
        let op = Op::new(collective, algorithm, bytes);
        let schedule = schedules(&op, 8).unwrap().remove(0);
        let mut run = ChunkRun::new(
            schedule,
            Arc::new(Layout::new(&op, 8, 0)),
            0,
            0,
            op.sends_in_flight,
        );
        let mut steps = Vec::new();
        run.advance(&mut steps);
        (run, steps)
    }

    fn is_send(step: &&Step) -> bool {
        step.side == Side::Send
    }

    #[test]
    fn large_sends_walk_their_destinations_two_at_a_time() {
        let (mut run, steps) = start(Collective::AllToAll, Algorithm::Direct, 8 << 30);
        let sends: Vec<Step> = steps.iter().filter(is_send).copied().collect();
        assert_eq!(sends.iter().map(|s| s.peer).collect::<Vec<_>>(), [1, 2]);
        assert_eq!(steps.len() - sends.len(), 7, "every receive is posted at once");
        run.sent(1 << 30);
        let mut steps = Vec::new();
        run.advance(&mut steps);
        assert_eq!(steps.iter().map(|s| s.peer).collect::<Vec<_>>(), [3]);
    }

    #[test]
    fn small_sends_do_not_wait_for_each_other() {
        let (_, steps) = start(Collective::AllToAll, Algorithm::Direct, 1024);
        assert_eq!(steps.iter().filter(is_send).count(), 7);
    }

    #[test]
    fn receives_of_later_rounds_are_posted_where_their_cells_are_free() {
        let rounds = |algorithm| {
            let (_, steps) = start(Collective::AllReduce, algorithm, 1024);
            steps
                .iter()
                .filter(|s| s.side != Side::Send)
                .map(|s| s.round)
                .collect::<Vec<_>>()
        };
        assert_eq!(
            rounds(Algorithm::Ring),
            [0, 1, 2],
            "each round has a block of its own"
        );
        assert_eq!(
            rounds(Algorithm::RecursiveDoubling),
            [0],
            "each round sends what the last received"
        );
    }

    /// Two peers overwrite the same cell, one after the other.
    #[derive(Debug)]
    struct Overwriting;

    impl Schedule for Overwriting {
        fn rounds(&self, _position: u32) -> u32 {
            2
        }

        fn round(&self, _position: u32, k: u32, round: &mut Round) {
            round.copy(k + 1, Cells::one(0));
        }

        fn depth(&self) -> u32 {
            1
        }
    }

    #[test]
    fn a_receive_that_overwrites_waits_for_those_that_it_overwrites() {
        let op = Op::new(Collective::Broadcast, Algorithm::Ring, 64);
        let layout = Arc::new(Layout::new(&op, 3, 0));
        let mut run = ChunkRun::new(Arc::new(Overwriting), layout, 0, 0, 2);
        let mut steps = Vec::new();
        run.advance(&mut steps);
        assert_eq!(steps.iter().map(|s| s.peer).collect::<Vec<_>>(), [1]);
        run.received(0);
        run.advance(&mut steps);
        assert_eq!(steps.iter().map(|s| s.peer).collect::<Vec<_>>(), [1, 2]);
    }
}
