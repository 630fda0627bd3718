//! Real data through the machine: every rank's buffer is filled, messages are carried by a small
//! in-memory network in random order, and the results are checked to the last bit.

use std::collections::BTreeMap;

use genie::network::message::{MessageKey, Rank};
use genie::system::action::{Action, Combine, Input, MessageId};
use genie::system::collective::{Region, supports};
use genie::system::npu::Npu;
use genie::system::op::{Algorithm, Collective, DataType, Op, ReduceOp};
use genie::system::payload;

/// A message whose receive is posted and whose payload has arrived.
struct Arrival {
    to: u32,
    message: MessageId,
    region: Region,
    combine: Combine,
    payload: Vec<u8>,
}

/// Carries out `op` among `n` ranks and counts wrong elements.
fn wrong_elements(op: &Op, n: u32, iteration: u64, seed: u64) -> u64 {
    let mut npus: Vec<Npu> = (0..n).map(Npu::new).collect();
    let mut buffers: Vec<Vec<u8>> = (0..n)
        .map(|position| {
            let mut buffer = vec![0; payload::buffer_bytes(op, n, position) as usize];
            payload::fill(op, n, position, iteration, &mut buffer);
            buffer
        })
        .collect();
    let mut sent: BTreeMap<(Rank, Rank, MessageKey), Vec<u8>> = BTreeMap::new();
    let mut posted: BTreeMap<(Rank, Rank, MessageKey), (MessageId, Region, Combine)> = BTreeMap::new();
    let mut arrivals: Vec<Arrival> = Vec::new();
    let mut done = 0;
    let mut random = seed;

    for npu in &mut npus {
        npu.add_communicator(0, (0..n).collect()).expect("a member");
        npu.handle(
            Input::Issue {
                node: 9,
                op: op.clone(),
            },
            0,
        )
        .expect("supported");
    }
    loop {
        for npu in &mut npus {
            let me = npu.rank();
            while let Some(action) = npu.poll_action() {
                match action {
                    Action::Send(transfer) => {
                        let payload = payload::gather(&transfer.region, &buffers[me as usize]);
                        assert_eq!(payload.len() as u64, transfer.bytes);
                        assert!(sent.insert((me, transfer.peer, transfer.key), payload).is_none());
                        npu.handle(Input::Sent(transfer.message), 0).expect("was sent");
                    }
                    Action::Receive(transfer, combine) => {
                        let key = (transfer.peer, me, transfer.key);
                        posted.insert(key, (transfer.message, transfer.region, combine));
                    }
                    Action::Done(node) => {
                        assert_eq!(node, 9);
                        done += 1;
                    }
                    Action::Timer(..) | Action::Memory { .. } => unreachable!("no delays are asked for"),
                }
            }
        }
        let matched: Vec<_> = posted
            .keys()
            .filter(|key| sent.contains_key(key))
            .copied()
            .collect();
        for key in matched {
            let (message, region, combine) = posted.remove(&key).expect("matched");
            let payload = sent.remove(&key).expect("matched");
            arrivals.push(Arrival {
                to: key.1,
                message,
                region,
                combine,
                payload,
            });
        }
        if arrivals.is_empty() {
            break;
        }
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        let arrival = arrivals.swap_remove((random >> 33) as usize % arrivals.len());
        land(op, &arrival, &mut buffers[arrival.to as usize]);
        npus[arrival.to as usize]
            .handle(Input::Received(arrival.message), 0)
            .expect("was posted");
    }
    assert_eq!(done, n, "everybody is done");
    (0..n)
        .map(|position| payload::wrong(op, n, position, iteration, &buffers[position as usize]))
        .sum()
}

fn land(op: &Op, arrival: &Arrival, buffer: &mut [u8]) {
    let mut at = 0;
    for range in arrival.region.ranges() {
        let landing = &mut buffer[range.start as usize..range.end as usize];
        let piece = &arrival.payload[at..at + landing.len()];
        at += landing.len();
        match arrival.combine {
            Combine::Copy => landing.copy_from_slice(piece),
            Combine::Reduce => payload::combine(op.dtype, op.redop, landing, piece),
        }
    }
    assert_eq!(at, arrival.payload.len());
}

#[test]
fn results_are_right_to_the_last_bit() {
    let dtypes = [
        DataType::Int8,
        DataType::Int32,
        DataType::Int64,
        DataType::Float32,
        DataType::Float64,
    ];
    let redops = [ReduceOp::Sum, ReduceOp::Max, ReduceOp::Min];
    let mut case = 0;
    for collective in Collective::ALL {
        for algorithm in Algorithm::ALL
            .into_iter()
            .filter(|&a| supports(collective, a).is_ok())
        {
            for n in [1, 2, 3, 4, 7, 8, 12] {
                for (bytes, chunk_bytes) in [(4099, 0), (8 * 777, 512), (8, 0)] {
                    case += 1;
                    let op = Op {
                        dtype: dtypes[case % dtypes.len()],
                        redop: redops[case % redops.len()],
                        root: case as u32 % n,
                        chunk_bytes,
                        chunks_in_flight: 3,
                        ..Op::new(collective, algorithm, bytes)
                    };
                    assert_eq!(wrong_elements(&op, n, case as u64, 1), 0, "{op:?} among {n}");
                }
            }
        }
    }
}

#[test]
fn all_to_all_takes_any_matrix() {
    let n = 5;
    for algorithm in [Algorithm::Direct, Algorithm::Ring] {
        for chunk_bytes in [0, 256] {
            let cell = |s: u64, d: u64| {
                if (s + d).is_multiple_of(3) {
                    0
                } else {
                    s * 100 + d * 31 + 7
                }
            };
            let matrix = (0..n).map(|s| (0..n).map(|d| cell(s, d)).collect()).collect();
            let op = Op {
                matrix: Some(matrix),
                chunk_bytes,
                chunks_in_flight: 2,
                ..Op::new(Collective::AllToAll, algorithm, 0)
            };
            assert_eq!(
                wrong_elements(&op, n as u32, 1, 5),
                0,
                "{algorithm}, chunks of {chunk_bytes}"
            );
        }
    }
}
