//! How fast the NPU machine turns operations into messages: one rank of a ring all-reduce, fed as if
//! every message arrived at once. Run with `cargo bench --bench npu`.

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use genie::system::action::{Action, Input};
use genie::system::npu::Npu;
use genie::system::op::{Algorithm, Collective, Op};

/// Runs one operation on rank 0 of `n` and counts the messages that it sent and received.
fn play(npu: &mut Npu, node: u64, op: &Op) -> u64 {
    let mut messages = 0;
    let mut inputs = vec![Input::Issue { node, op: op.clone() }];
    while let Some(input) = inputs.pop() {
        npu.handle(input, 0).expect("the machine takes what it asked for");
        while let Some(action) = npu.poll_action() {
            messages += 1;
            match action {
                Action::Send(transfer) => inputs.push(Input::Sent(transfer.message)),
                Action::Receive(transfer, _) => inputs.push(Input::Received(transfer.message)),
                Action::Timer(timer, _) => inputs.push(Input::TimerFired(timer)),
                Action::Done(_) | Action::Memory { .. } => {}
            }
        }
    }
    messages
}

fn ring_all_reduce(c: &mut Criterion) {
    let mut group = c.benchmark_group("ring all-reduce, messages of one rank");
    for n in [8u32, 64, 1024] {
        let op = Op::new(Collective::AllReduce, Algorithm::Ring, 1 << 26);
        let mut npu = Npu::new(0);
        npu.add_communicator(0, (0..n).collect())
            .expect("a fresh machine has no communicator");
        let mut node = 0;
        group.throughput(Throughput::Elements(4 * u64::from(n - 1)));
        group.bench_function(BenchmarkId::from_parameter(n), |b| {
            b.iter(|| {
                node += 1;
                play(&mut npu, node, &op)
            });
        });
    }
    group.finish();
}

criterion_group!(benches, ring_all_reduce);
criterion_main!(benches);
