//! One rank for all. Where every rank does the same over a network that looks the same from each, rank 0
//! stands for all of them: what it sends to rank p is what it gets from the rank as far on its other side,
//! and its links stand for the links of the others. A network of n ranks then costs as much as one rank.
//!
//! That is exact as long as no rank can tell itself from another by the order of what happens at one time:
//! events of one time happen in the order of registration, which differs from rank to rank where they come
//! from different places. So whatever meets at one time and place but comes from different ones ends it:
//! the network is then to be played rank by rank. (What goes up to a switch counts as one place, though each
//! rank has its own link there: a link begins one message of a time after the other, and all links the first,
//! the second, ... in turn, so what meets on the way down does so in the same order everywhere.)

use crate::network::message::MessageKey;

use super::matching::MessageIndex;

/// A place from which something comes: a link, a rank, or the rank itself.
pub type Origin = u32;

/// The rank's own machine.
pub const MACHINE: Origin = u32::MAX;

/// What has happened to the machine at one time.
#[derive(Debug, Clone, Copy)]
enum Told {
    /// Timers of its own, which fire in the order in which it has set them.
    Timers,
    /// Messages: all from one origin, which come in the order in which it has sent them, or all of one name,
    /// which are as good as each other (`None`: not so).
    Messages {
        origin: Option<Origin>,
        name: Option<(MessageKey, u64)>,
    },
}

/// Sees to it that nothing meets whose order differs from rank to rank.
#[derive(Debug)]
pub struct Symmetry {
    /// When the machine was told something last, and what.
    told: Option<(u64, Told)>,
    /// When each link was last given something to carry, and from where.
    given: Vec<Option<(u64, Origin)>>,
    /// The link over which each message came last.
    over: Vec<Origin>,
    broken: bool,
}

impl Symmetry {
    /// Of a rank with so many links.
    pub fn new(links: usize) -> Self {
        Symmetry {
            told: None,
            given: vec![None; links],
            over: Vec::new(),
            broken: false,
        }
    }

    /// Whether something met whose order differs from rank to rank.
    pub fn is_broken(&self) -> bool {
        self.broken
    }

    /// Something happens of which one rank cannot know how it is for all.
    pub fn breaks(&mut self) {
        self.broken = true;
    }

    /// A timer fires.
    pub fn timer(&mut self, now: u64) {
        self.broken |= matches!(self.told, Some((at, Told::Messages { .. })) if at == now);
        self.told = Some((now, Told::Timers));
    }

    /// A message is there: over its last link, or from `source` where there are no links.
    pub fn arrives(&mut self, now: u64, index: MessageIndex, source: Origin, name: (MessageKey, u64)) {
        let origin = self.over.get(index as usize).copied().unwrap_or(source);
        let (mut origin, mut name) = (Some(origin), Some(name));
        match self.told {
            Some((at, Told::Timers)) if at == now => self.broken = true,
            Some((at, Told::Messages { origin: o, name: n })) if at == now => {
                origin = origin.filter(|_| o == origin);
                name = name.filter(|_| n == name);
                self.broken |= origin.is_none() && name.is_none();
            }
            _ => {}
        }
        self.told = Some((now, Told::Messages { origin, name }));
    }

    /// The machine gives a link a message.
    pub fn departs(&mut self, now: u64, index: MessageIndex, link: u32) {
        let index = index as usize;
        if self.over.len() <= index {
            self.over.resize(index + 1, MACHINE);
        }
        self.over[index] = MACHINE;
        self.gives(now, index, link);
    }

    /// A link gives the next one a message.
    pub fn passes(&mut self, now: u64, index: MessageIndex, link: u32) {
        self.gives(now, index as usize, link);
    }

    fn gives(&mut self, now: u64, index: usize, link: u32) {
        let origin = std::mem::replace(&mut self.over[index], link);
        let given = &mut self.given[link as usize];
        self.broken |= given.is_some_and(|(at, from)| at == now && from != origin);
        *given = Some((now, origin));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAME: (MessageKey, u64) = (
        MessageKey {
            communicator: 0,
            tag: 1,
        },
        8,
    );
    const OTHER: (MessageKey, u64) = (NAME.0, 9);

    /// Whether it holds, after events of times.
    fn holds(play: impl FnOnce(&mut Symmetry)) -> bool {
        let mut symmetry = Symmetry::new(4);
        play(&mut symmetry);
        !symmetry.is_broken()
    }

    #[test]
    fn timers_are_a_ranks_own_but_do_not_meet_messages() {
        assert!(holds(|s| (0..3).for_each(|_| s.timer(5))));
        assert!(holds(|s| {
            s.timer(5);
            s.arrives(6, 0, 1, NAME);
            s.timer(7);
        }));
        assert!(!holds(|s| {
            s.timer(5);
            s.arrives(5, 0, 1, NAME);
        }));
        assert!(!holds(|s| {
            s.arrives(5, 0, 1, NAME);
            s.timer(5);
        }));
    }

    #[test]
    fn messages_of_one_time_come_from_one_place_or_are_alike() {
        assert!(holds(|s| (0..9).for_each(|from| s.arrives(5, from, from, NAME))));
        assert!(holds(|s| {
            s.arrives(5, 0, 1, NAME);
            s.arrives(5, 1, 1, OTHER);
        }));
        assert!(!holds(|s| {
            s.arrives(5, 0, 1, NAME);
            s.arrives(5, 1, 2, OTHER);
        }));
        assert!(!holds(|s| {
            s.arrives(5, 0, 1, NAME);
            s.arrives(5, 1, 2, NAME);
            s.arrives(5, 2, 2, OTHER);
        }));
    }

    /// What counts is the last link, not the rank that has sent it.
    #[test]
    fn messages_over_links_come_from_the_last_one() {
        let over = |links: [u32; 2], sources: [Origin; 2]| {
            holds(|s| {
                s.departs(1, 0, links[0]);
                s.departs(2, 1, links[1]);
                s.arrives(5, 0, sources[0], NAME);
                s.arrives(5, 1, sources[1], OTHER);
            })
        };
        assert!(over([1, 1], [2, 3]));
        assert!(!over([1, 2], [3, 3]));
    }

    /// Numbers of messages are used again: what departs comes from the machine, whatever link had that number before.
    #[test]
    fn a_message_that_departs_comes_from_the_machine() {
        assert!(holds(|s| {
            s.departs(5, 0, 1);
            s.arrives(6, 0, 1, NAME);
            s.departs(7, 0, 2);
            s.departs(7, 1, 2);
        }));
    }

    #[test]
    fn links_are_given_messages_from_one_place_at_a_time() {
        assert!(holds(|s| {
            s.departs(5, 0, 1);
            s.departs(5, 1, 1);
            s.passes(6, 0, 1);
            s.passes(6, 1, 2);
            s.departs(6, 2, 3);
        }));
        assert!(!holds(|s| {
            s.departs(5, 0, 1);
            s.passes(6, 0, 2);
            s.departs(6, 1, 2);
        }));
    }
}
