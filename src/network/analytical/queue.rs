//! The event queue of virtual time: a radix heap, so that an event costs a few sequential copies
//! whatever the number of pending times, and events of one time keep the order of registration.
//! Timers have ASTRA-sim's order: when the first timer of a rank at some time fires, all others of
//! that rank and time fire right behind it, those included that are set meanwhile.

/// What an event is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A timer of rank `who`.
    Timer = 0,
    /// Message `who` has reached the next device on its way.
    Arrival = 1,
    /// Link `who` may send again.
    LinkFree = 2,
    /// Rank `who` is told of a message that came before it was expected.
    Late = 3,
    /// Rank `who` is done with sending a message that may still be on its way.
    Sent = 4,
}

/// Something that happens at a time.
#[derive(Debug, Clone, Copy)]
pub struct Event {
    time: u64,
    /// Given back to the registrar.
    pub token: u64,
    /// Rank, message or link.
    pub who: u32,
    /// Bits 31 to 29: kind. Bit 28: fired through another timer of its rank. Rest: the next such timer.
    meta: u32,
}

const KIND_SHIFT: u32 = 29;
const CHAINED: u32 = 1 << 28;
const NEXT: u32 = CHAINED - 1;

impl Event {
    /// What it is about.
    pub fn kind(&self) -> Kind {
        match self.meta >> KIND_SHIFT {
            0 => Kind::Timer,
            1 => Kind::Arrival,
            2 => Kind::LinkFree,
            3 => Kind::Late,
            _ => Kind::Sent,
        }
    }

    fn next(&self) -> Option<usize> {
        Some(self.meta & NEXT)
            .filter(|&next| next != NEXT)
            .map(|next| next as usize)
    }
}

/// Where a rank's timers of the current time end.
#[derive(Debug, Clone, Copy, Default)]
struct Chain {
    /// The batch in which it is; stale if another one runs.
    batch: u32,
    tail: u32,
}

/// Pending events in order of time, then registration.
#[derive(Debug)]
pub struct EventQueue {
    now: u64,
    /// Bucket i: events whose time differs from `now` in bit i and in no higher one.
    buckets: Vec<Vec<Event>>,
    /// Bit i: bucket i holds something.
    filled: u64,
    /// Events of time `now`, fired up to `cursor`.
    current: Vec<Event>,
    cursor: usize,
    /// The timer that was fired last, while its rank may still lengthen its chain.
    open: Option<u32>,
    batch: u32,
    chains: Vec<Chain>,
    fired: u64,
}

impl EventQueue {
    /// An empty queue at time 0 for so many ranks.
    pub fn new(ranks: u32) -> Self {
        EventQueue {
            now: 0,
            buckets: (0..u64::BITS).map(|_| Vec::new()).collect(),
            filled: 0,
            current: Vec::new(),
            cursor: 0,
            open: None,
            batch: 1,
            chains: vec![Chain::default(); ranks as usize],
            fired: 0,
        }
    }

    /// Nanoseconds since the start.
    pub fn now(&self) -> u64 {
        self.now
    }

    /// Events so far.
    pub fn fired(&self) -> u64 {
        self.fired
    }

    /// Registers an event `delay` from now; one beyond the end of time is at the end of time.
    #[inline]
    pub fn push(&mut self, delay: u64, kind: Kind, who: u32, token: u64) {
        let event = Event {
            time: self.now.saturating_add(delay),
            token,
            who,
            meta: (kind as u32) << KIND_SHIFT | NEXT,
        };
        if event.time == self.now {
            self.current.push(event);
            self.chain(self.current.len() - 1);
        } else {
            self.keep(event);
        }
    }

    /// The next event, and time goes on to it.
    #[inline]
    pub fn pop(&mut self) -> Option<Event> {
        loop {
            if let Some(open) = self.open.take() {
                let last = self.current[open as usize];
                if let Some(next) = last.next() {
                    return Some(self.fire(next));
                }
                self.chains[last.who as usize].batch = 0;
            }
            while self.cursor < self.current.len() {
                let at = self.cursor;
                self.cursor += 1;
                if self.current[at].meta & CHAINED == 0 {
                    return Some(self.fire(at));
                }
            }
            self.advance()?;
        }
    }

    #[inline]
    fn fire(&mut self, at: usize) -> Event {
        let event = self.current[at];
        self.fired += 1;
        if event.kind() == Kind::Timer {
            self.open = Some(at as u32);
        }
        event
    }

    #[inline]
    fn keep(&mut self, event: Event) {
        let bucket = (u64::BITS - 1) - (event.time ^ self.now).leading_zeros();
        self.buckets[bucket as usize].push(event);
        self.filled |= 1 << bucket;
    }

    /// Makes the events of the next time the current ones.
    fn advance(&mut self) -> Option<()> {
        self.current.clear();
        self.cursor = 0;
        self.batch = self.batch.checked_add(1).unwrap_or_else(|| {
            self.chains.fill(Chain::default());
            1
        });
        if self.filled == 0 {
            return None;
        }
        let bucket = self.filled.trailing_zeros() as usize;
        self.filled &= !(1 << bucket);
        let mut events = std::mem::take(&mut self.buckets[bucket]);
        self.now = events.iter().map(|event| event.time).min()?;
        if bucket == 0 {
            std::mem::swap(&mut self.current, &mut events);
        } else {
            for event in events.drain(..) {
                if event.time == self.now {
                    self.current.push(event);
                } else {
                    self.keep(event);
                }
            }
        }
        self.buckets[bucket] = events;
        for at in 0..self.current.len() {
            self.chain(at);
        }
        Some(())
    }

    /// Links a timer of the current time to the one of its rank before it.
    #[inline]
    fn chain(&mut self, at: usize) {
        let event = self.current[at];
        if event.kind() != Kind::Timer {
            return;
        }
        let chain = &mut self.chains[event.who as usize];
        if chain.batch == self.batch {
            assert!(at < NEXT as usize, "at one time happen fewer than 2^28 events");
            let tail = &mut self.current[chain.tail as usize];
            tail.meta = tail.meta & !NEXT | at as u32;
            self.current[at].meta |= CHAINED;
        }
        *chain = Chain {
            batch: self.batch,
            tail: at as u32,
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drain(queue: &mut EventQueue) -> Vec<(u64, u64)> {
        std::iter::from_fn(|| queue.pop().map(|event| (queue.now(), event.token))).collect()
    }

    #[test]
    fn events_come_in_order_of_time_then_registration() {
        let mut queue = EventQueue::new(1);
        let times = [1000, 3, 7, 1000, 3, 1 << 40, 0, 1024, 1023];
        for (token, time) in times.into_iter().enumerate() {
            queue.push(time, Kind::Arrival, 0, token as u64);
        }
        let expected = [
            (0, 6),
            (3, 1),
            (3, 4),
            (7, 2),
            (1000, 0),
            (1000, 3),
            (1023, 8),
            (1024, 7),
            (1 << 40, 5),
        ];
        assert_eq!(drain(&mut queue), expected);
    }

    #[test]
    fn a_ranks_timers_of_one_time_fire_together() {
        let mut queue = EventQueue::new(2);
        for (who, token) in [(0, 0), (1, 1), (0, 2), (1, 3)] {
            queue.push(5, Kind::Timer, who, token);
        }
        queue.push(5, Kind::Arrival, 0, 4);
        assert_eq!(queue.pop().map(|e| e.token), Some(0));
        queue.push(0, Kind::Timer, 0, 5);
        queue.push(0, Kind::Timer, 1, 6);
        let order: Vec<u64> = drain(&mut queue).into_iter().map(|(_, token)| token).collect();
        assert_eq!(order, [2, 5, 1, 3, 6, 4], "those set meanwhile included");
    }

    #[test]
    fn a_chain_that_has_ended_begins_anew_at_the_end() {
        let mut queue = EventQueue::new(2);
        queue.push(5, Kind::Timer, 0, 0);
        queue.push(5, Kind::Arrival, 0, 1);
        queue.push(5, Kind::Arrival, 0, 2);
        assert_eq!(queue.pop().map(|e| e.token), Some(0));
        assert_eq!(queue.pop().map(|e| e.token), Some(1));
        queue.push(0, Kind::Timer, 0, 3);
        let order: Vec<u64> = drain(&mut queue).into_iter().map(|(_, token)| token).collect();
        assert_eq!(order, [2, 3]);
    }
}
