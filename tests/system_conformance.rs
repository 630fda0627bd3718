//! The conformance test of collective algorithms: every supported pair of collective and algorithm
//! is proven symbolically for every communicator size from 1 to 33 and some larger ones, under
//! several orders of delivery, with sizes that do not divide, chunks and several operations in flight.

use genie::system::collective::verify::{Delivery, Order, prove};
use genie::system::collective::{supports, traffic};
use genie::system::op::{Algorithm, Collective, Op};

/// Orders of delivery and what is asked of the network, most demanding last.
const CONDITIONS: [(Order, Delivery); 5] = [
    (Order::First, Delivery::Eager),
    (Order::Last, Delivery::Rendezvous),
    (Order::Random(1), Delivery::ZeroCopy),
    (Order::Random(2), Delivery::InOrder),
    (Order::Last, Delivery::ZeroCopy),
];

/// Recursive doubling sends from the buffer into which it reduces at the same time.
fn needs_copy(collective: Collective, algorithm: Algorithm) -> bool {
    (collective, algorithm) == (Collective::AllReduce, Algorithm::RecursiveDoubling)
}

fn prove_under(ops: &[Op], n: u32, order: Order, delivery: Delivery) {
    let copies = ops.iter().any(|op| needs_copy(op.collective, op.algorithm));
    let delivery = if copies && delivery == Delivery::ZeroCopy {
        Delivery::Rendezvous
    } else {
        delivery
    };
    let proof = prove(ops, n, order, delivery).unwrap_or_else(|flaw| {
        panic!(
            "{} {} among {n}, {order:?}, {delivery:?}: {flaw}",
            ops[0].algorithm, ops[0].collective
        )
    });
    let mut planned = std::collections::BTreeMap::new();
    for flow in ops.iter().flat_map(|op| traffic(op, n).expect("supported").flows) {
        let pair: &mut (u64, u64) = planned.entry((flow.from, flow.to)).or_default();
        *pair = (pair.0 + flow.messages, pair.1 + flow.bytes);
    }
    assert_eq!(proof.pairs, planned, "what is planned is what is sent");
}

fn conforms(collective: Collective, larger: &[u32]) {
    for algorithm in Algorithm::ALL
        .into_iter()
        .filter(|&a| supports(collective, a).is_ok())
    {
        for n in (1..=33).chain(larger.iter().copied()) {
            let op = Op {
                root: n * 2 / 3,
                communicator: 5,
                // No multiple of n elements; a few blocks are empty.
                ..Op::new(collective, algorithm, 4 * u64::from(n + n / 2) + 3)
            };
            let chunked = Op {
                root: n / 2,
                bytes: 4 * (u64::from(n) * 7 - 1),
                chunk_bytes: u64::from(n) * if n <= 16 { 8 } else { 16 },
                chunks_in_flight: 2,
                ..op.clone()
            };
            let conditions = match n {
                0..=16 => &CONDITIONS[..],
                17..=33 => &CONDITIONS[1..3],
                _ => &CONDITIONS[2..3],
            };
            for &(order, delivery) in conditions {
                prove_under(std::slice::from_ref(&op), n, order, delivery);
            }
            prove_under(
                std::slice::from_ref(&chunked),
                n,
                Order::Random(3),
                Delivery::ZeroCopy,
            );
            if n <= 12 {
                prove_under(
                    &[chunked.clone(), op.clone()],
                    n,
                    Order::Random(4),
                    Delivery::Rendezvous,
                );
                prove_under(
                    &[op.clone(), chunked.clone()],
                    n,
                    Order::Random(5),
                    Delivery::InOrder,
                );
            }
            let steps = prove(std::slice::from_ref(&op), n, Order::Clocked, Delivery::Eager)
                .expect("proven above")
                .steps;
            let rounds = traffic(&op, n).expect("supported").rounds;
            assert_eq!(
                steps,
                u64::from(rounds),
                "{algorithm} {collective} among {n}: critical path"
            );
        }
    }
}

#[test]
fn all_reduce_conforms() {
    conforms(Collective::AllReduce, &[64, 100, 128]);
}

#[test]
fn all_gather_conforms() {
    conforms(Collective::AllGather, &[64, 100, 128]);
}

#[test]
fn reduce_scatter_conforms() {
    conforms(Collective::ReduceScatter, &[64, 100, 128]);
}

#[test]
fn all_to_all_conforms() {
    conforms(Collective::AllToAll, &[64]);
}

#[test]
fn large_direct_all_to_all_conforms() {
    let op = Op {
        communicator: 1,
        ..Op::new(Collective::AllToAll, Algorithm::Direct, 128 * 6)
    };
    for n in [100, 128] {
        prove_under(std::slice::from_ref(&op), n, Order::Random(6), Delivery::ZeroCopy);
    }
}

#[test]
fn large_blocks_pass_through_the_send_window() {
    // Blocks far above the window's bytes: at most two sends of a chunk are outstanding.
    for collective in [Collective::AllToAll, Collective::AllReduce, Collective::Scatter] {
        for (order, delivery) in CONDITIONS {
            let op = Op {
                root: 3,
                ..Op::new(collective, Algorithm::Direct, 5 << 33)
            };
            prove_under(&[op.clone(), op], 11, order, delivery);
        }
    }
}

#[test]
fn all_to_all_with_a_matrix_conforms() {
    for algorithm in [Algorithm::Direct, Algorithm::Ring] {
        for n in 2..=17 {
            let size = |s: u64, d: u64| {
                if (s * 5 + d).is_multiple_of(4) {
                    0
                } else {
                    (s * 7 + d * 13) % 40
                }
            };
            let row = |s| (0..u64::from(n)).map(|d| size(s, d)).collect();
            let op = Op {
                matrix: Some((0..u64::from(n)).map(row).collect()),
                chunk_bytes: 64,
                chunks_in_flight: 3,
                ..Op::new(Collective::AllToAll, algorithm, 0)
            };
            for (order, delivery) in CONDITIONS {
                prove_under(std::slice::from_ref(&op), n, order, delivery);
            }
        }
    }
}

#[test]
fn the_same_run_twice_is_the_same() {
    let op = [Op {
        chunk_bytes: 64,
        chunks_in_flight: 3,
        ..Op::new(Collective::AllReduce, Algorithm::Ring, 1000)
    }];
    let run = || prove(&op, 9, Order::Random(9), Delivery::Rendezvous).unwrap();
    assert_eq!(run(), run());
}

#[test]
fn rooted_collectives_conform() {
    for collective in [
        Collective::Broadcast,
        Collective::Reduce,
        Collective::Gather,
        Collective::Scatter,
    ] {
        conforms(collective, &[64, 100, 128]);
    }
}

#[test]
fn barrier_and_send_recv_conform() {
    conforms(Collective::Barrier, &[64, 100, 128]);
    conforms(Collective::SendRecv, &[64, 100, 128]);
}
