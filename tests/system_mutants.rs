//! The verifier can fail: schedules with one thing wrong at one place are caught, whatever the
//! collective, the algorithm and the place.

use std::fmt;
use std::sync::Arc;

use genie::system::action::Combine;
use genie::system::collective::verify::{Delivery, Flaw, Order, prove, prove_with};
use genie::system::collective::{Cells, Round, Schedule, schedules, supports};
use genie::system::op::{Algorithm, Collective, Op};

/// What is wrong.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Mutation {
    SendForgotten,
    ReceiveForgotten,
    SendMisdirected,
    SentFromWrongCell,
    ReceivedIntoWrongCell,
    CopiedInsteadOfReduced,
    ReducedInsteadOfCopied,
    SentARoundEarly,
    SentARoundLate,
    DoneTwice,
}

const ALL: [Mutation; 10] = [
    Mutation::SendForgotten,
    Mutation::ReceiveForgotten,
    Mutation::SendMisdirected,
    Mutation::SentFromWrongCell,
    Mutation::ReceivedIntoWrongCell,
    Mutation::CopiedInsteadOfReduced,
    Mutation::ReducedInsteadOfCopied,
    Mutation::SentARoundEarly,
    Mutation::SentARoundLate,
    Mutation::DoneTwice,
];

/// A schedule with something wrong in one round of one position.
struct Mutant {
    sound: Arc<dyn Schedule>,
    mutation: Mutation,
    n: u32,
    position: u32,
    round: u32,
}

impl fmt::Debug for Mutant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:?} at position {} in round {}",
            self.mutation, self.position, self.round
        )
    }
}

impl Mutant {
    fn sound(&self, position: u32, k: u32) -> Round {
        let mut round = Round::default();
        if k < self.sound.rounds(position) {
            self.sound.round(position, k, &mut round);
        }
        round
    }

    fn mutated(&self, position: u32, k: u32) -> Round {
        let mut round = self.sound(position, k);
        let here = position == self.position && k == self.round;
        match self.mutation {
            Mutation::SentARoundEarly if position == self.position => {
                let next = self.sound(position, k + 1);
                if k == self.round {
                    round.sends.extend(next.sends);
                } else if k == self.round + 1 {
                    round.sends.clear();
                }
            }
            Mutation::SentARoundLate if position == self.position && k == self.round + 1 => {
                let mut sends = self.sound(position, self.round).sends;
                sends.append(&mut round.sends);
                round.sends = sends;
            }
            Mutation::SentARoundLate if here => round.sends.clear(),
            Mutation::DoneTwice => self.twice(position, k, &mut round),
            _ if here => self.mutate(&mut round),
            _ => {}
        }
        round
    }

    /// The first send of the place happens twice, and its receiver expects it twice.
    fn twice(&self, position: u32, k: u32, round: &mut Round) {
        let Some(first) = self.sound(self.position, self.round).sends.first().copied() else {
            return;
        };
        if position == self.position && k == self.round {
            round.sends.insert(0, first);
        } else if position == first.peer && k == self.round {
            let received = round.receives.iter().position(|(m, _)| m.peer == self.position);
            if let Some(i) = received {
                round.receives.insert(i, round.receives[i]);
            }
        }
    }

    fn mutate(&self, round: &mut Round) {
        let shift = |cells: &mut Cells| cells.first = if cells.first == 0 { 1 } else { cells.first - 1 };
        let flip = |round: &mut Round, from, to| {
            round
                .receives
                .iter_mut()
                .filter(|(_, c)| *c == from)
                .take(1)
                .for_each(|(_, c)| *c = to);
        };
        match self.mutation {
            Mutation::SendForgotten if !round.sends.is_empty() => drop(round.sends.remove(0)),
            Mutation::ReceiveForgotten => drop(round.receives.pop()),
            Mutation::SendMisdirected => {
                round
                    .sends
                    .iter_mut()
                    .take(1)
                    .for_each(|m| m.peer = (m.peer + 1) % self.n);
            }
            Mutation::SentFromWrongCell => {
                round.sends.iter_mut().take(1).for_each(|m| shift(&mut m.cells));
            }
            Mutation::ReceivedIntoWrongCell => {
                round
                    .receives
                    .iter_mut()
                    .take(1)
                    .for_each(|(m, _)| shift(&mut m.cells));
            }
            Mutation::CopiedInsteadOfReduced => flip(round, Combine::Reduce, Combine::Copy),
            Mutation::ReducedInsteadOfCopied => flip(round, Combine::Copy, Combine::Reduce),
            _ => {}
        }
    }
}

impl Schedule for Mutant {
    fn rounds(&self, position: u32) -> u32 {
        self.sound.rounds(position)
    }

    fn round(&self, position: u32, k: u32, round: &mut Round) {
        let Round { sends, receives } = self.mutated(position, k);
        round.sends.extend(sends);
        round.receives.extend(receives);
    }

    fn depth(&self) -> u32 {
        self.sound.depth()
    }
}

/// Whether any of a few conditions finds a flaw in the mutated operation.
fn caught(op: &Op, n: u32, mutation: Mutation, position: u32, round: u32) -> bool {
    let source = move |op: &Op, n| {
        let mutate = |sound| -> Arc<dyn Schedule> {
            Arc::new(Mutant {
                sound,
                mutation,
                n,
                position,
                round,
            })
        };
        Ok(schedules(op, n)?.into_iter().map(mutate).collect())
    };
    let conditions = [
        (Order::First, Delivery::Eager),
        (Order::Last, Delivery::Rendezvous),
        (Order::Random(7), Delivery::Rendezvous),
    ];
    conditions.into_iter().any(|(order, delivery)| {
        prove_with(Arc::new(source), std::slice::from_ref(op), n, order, delivery).is_err()
    })
}

/// Whether the mutation changes anything that matters.
fn applies(op: &Op, n: u32, mutation: Mutation, position: u32, k: u32) -> bool {
    let sound = schedules(op, n).expect("supported").remove(0);
    let cells = genie::system::collective::Layout::new(op, n, position).cells();
    let mutant = Mutant {
        sound,
        mutation,
        n,
        position,
        round: k,
    };
    let (before, after) = (mutant.sound(position, k), mutant.mutated(position, k));
    let named = after.sends.iter().chain(after.receives.iter().map(|(m, _)| m));
    let inside = named
        .clone()
        .all(|m| m.peer != position && m.cells.iter().all(|cell| cell < cells));
    let matters = match mutation {
        // Without a receive between, a send is as good a round earlier or later.
        Mutation::SentARoundEarly => !before.receives.is_empty(),
        // Late is wrong only where the receives of its own round change what is sent.
        Mutation::SentARoundLate => {
            k + 1 < mutant.sound.rounds(position)
                && before.sends.iter().any(|s| {
                    let sent: Vec<u32> = s.cells.iter().collect();
                    before
                        .receives
                        .iter()
                        .any(|(r, _)| r.cells.iter().any(|cell| sent.contains(&cell)))
                })
        }
        // A copy that comes twice is the same copy.
        Mutation::DoneTwice => {
            let peer = before.sends.first().map(|m| m.peer);
            peer.is_some_and(|peer| {
                mutant
                    .sound(peer, k)
                    .receives
                    .iter()
                    .any(|(m, c)| m.peer == position && *c == Combine::Reduce)
            })
        }
        _ => true,
    };
    inside && matters && before != after
}

#[test]
fn mutants_of_every_algorithm_are_caught() {
    let mut by_mutation = std::collections::BTreeMap::<String, u32>::new();
    for collective in Collective::ALL.into_iter().filter(|&c| c != Collective::Barrier) {
        for algorithm in Algorithm::ALL
            .into_iter()
            .filter(|&a| supports(collective, a).is_ok())
        {
            for n in [6, 8] {
                let op = Op {
                    root: 2,
                    ..Op::new(collective, algorithm, u64::from(n) * 16)
                };
                let schedule = schedules(&op, n).unwrap().remove(0);
                for mutation in ALL {
                    for position in 0..n {
                        for k in 0..schedule.rounds(position) {
                            if applies(&op, n, mutation, position, k) {
                                let place =
                                    format!("{mutation:?}: {algorithm} {collective}, {n}, {position}, {k}");
                                assert!(caught(&op, n, mutation, position, k), "{place}");
                                *by_mutation.entry(format!("{mutation:?}")).or_default() += 1;
                            }
                        }
                    }
                }
            }
        }
    }
    println!("{by_mutation:?}");
    let tried = |mutation| {
        by_mutation
            .get(&format!("{mutation:?}"))
            .is_some_and(|&places| places >= 20)
    };
    assert!(
        ALL.into_iter().all(tried),
        "every kind was tried at many places: {by_mutation:?}"
    );
}

#[test]
fn overwriting_what_is_being_sent_is_caught() {
    // Recursive doubling reduces into the buffer from which it sends: wrong on a network that reads
    // the buffer late, right on one that takes the payload at once.
    let op = [Op::new(Collective::AllReduce, Algorithm::RecursiveDoubling, 64)];
    let flaw = prove(&op, 8, Order::First, Delivery::ZeroCopy).unwrap_err();
    assert!(matches!(flaw, Flaw::Overwritten { .. }), "{flaw}");
    assert!(prove(&op, 8, Order::First, Delivery::Rendezvous).is_ok());
}

/// Everybody waits for the previous position before sending to the next.
#[derive(Debug)]
struct Circular(u32);

impl Schedule for Circular {
    fn rounds(&self, _position: u32) -> u32 {
        2
    }

    fn round(&self, position: u32, k: u32, round: &mut Round) {
        match k {
            0 => round.copy((position + self.0 - 1) % self.0, Cells::one(1)),
            _ => round.send((position + 1) % self.0, Cells::one(0)),
        }
    }

    fn depth(&self) -> u32 {
        1
    }
}

#[test]
fn a_circle_of_waiting_ranks_is_reported_with_who_waits_for_whom() {
    let source = Arc::new(|_: &Op, n| Ok(vec![Arc::new(Circular(n)) as Arc<dyn Schedule>]));
    let op = [Op::new(Collective::SendRecv, Algorithm::Ring, 64)];
    match prove_with(source, &op, 4, Order::First, Delivery::Eager).unwrap_err() {
        Flaw::Deadlock { waiting } => {
            assert_eq!(waiting.len(), 4);
            assert!(waiting.iter().all(|(_, awaited)| awaited.len() == 1));
        }
        other => panic!("{other}"),
    }
}
