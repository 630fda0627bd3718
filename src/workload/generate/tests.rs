//! Whole jobs against closed forms that are written out here again, and against the rules that a
//! set of traces must keep.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use crate::workload::chakra::{CollectiveType, Node, NodeKind, attributes as at, read};

use super::device::{Device, Dtype};
use super::emit::Emitter;
use super::graph::{CommOrder, Op, OpKind};
use super::job::{Job, JobError, Recompute, Zero};
use super::memory::{Memory, layer_activations};
use super::model::{Model, Moe};
use super::parallel::{Group, Layout};
use super::schedule::Schedule;
use super::step::{self, stage_params};

fn small() -> Model {
    Model {
        layers: 8,
        sequence: 64,
        vocab: 1000,
        ..Model::named("llama3-8b").expect("known")
    }
}

fn small_moe() -> Model {
    Model {
        moe: Some(Moe {
            experts: 8,
            top_k: 2,
            ffn: 512,
            shared: 1,
            dense_layers: 1,
        }),
        ..small()
    }
}

fn layout(tp: u32, cp: u32, dp: u32, pp: u32, ep: u32) -> Layout {
    Layout { tp, cp, dp, pp, ep }
}

fn job(model: Model, layout: Layout) -> Job {
    Job {
        model,
        layout,
        zero: Zero::Off,
        sequence_parallel: true,
        schedule: Schedule::OneForwardOneBackward,
        chunks: 1,
        micro_batches: 1,
        micro_batch: 1,
        recompute: Recompute::None,
        causal: false,
        device: Device::named("h100").expect("known"),
        dtype: Dtype::Bf16,
        compute_efficiency: 0.5,
        memory_efficiency: 1.0,
        layer_ns: None,
        gradient_bytes: 4,
        bucket_bytes: 25 << 20,
        order: CommOrder::One,
        steps: 1,
    }
}

/// Graphs of all stages of a possible job.
fn stages(job: &Job) -> Vec<Vec<Op>> {
    job.check().expect("possible");
    (0..job.layout.pp).map(|stage| step::stage(job, stage)).collect()
}

fn flops(ops: &[Op]) -> f64 {
    let each = ops.iter().map(|op| match op.kind {
        OpKind::Compute { work, .. } => work.flops as f64,
        _ => 0.0,
    });
    each.sum()
}

/// Bytes of a stage's collectives of one kind.
fn bytes(ops: &[Op], wanted: CollectiveType, with: Group) -> u64 {
    let each = ops.iter().map(|op| match op.kind {
        OpKind::Collective {
            collective,
            group,
            bytes,
        } if collective == wanted && group == with => bytes,
        _ => 0,
    });
    each.sum()
}

/// Jobs of every kind of parallelism and their combinations.
fn jobs() -> Vec<Job> {
    let mut jobs = Vec::new();
    for zero in [Zero::Off, Zero::Optimizer, Zero::Gradients, Zero::Parameters] {
        for (chunks, micro_batches) in [(1, 3), (2, 4)] {
            for order in [CommOrder::One, CommOrder::Group] {
                jobs.push(Job {
                    zero,
                    chunks,
                    micro_batches,
                    order,
                    ..job(small_moe(), layout(2, 2, 2, 2, 4))
                });
            }
        }
    }
    let tied = Model {
        tied: true,
        ..small()
    };
    jobs.push(Job {
        micro_batches: 5,
        schedule: Schedule::GPipe,
        steps: 2,
        ..job(tied, layout(2, 1, 2, 4, 1))
    });
    jobs.push(Job {
        sequence_parallel: false,
        recompute: Recompute::Full,
        ..job(small_moe(), layout(4, 1, 2, 1, 1))
    });
    jobs.push(Job {
        zero: Zero::Parameters,
        recompute: Recompute::Selective,
        ..job(small(), layout(1, 1, 8, 1, 1))
    });
    jobs
}

#[test]
fn a_step_has_6_flops_for_each_parameter_and_token_besides_attention() {
    for name in ["llama3-8b", "llama3-70b", "gpt3-175b"] {
        let model = Model::named(name).expect(name);
        let job = job(model.clone(), layout(1, 1, 1, 1, 1));
        let (s, h) = (model.sequence as f64, model.hidden as f64);
        // Products happen with all parameters but the input embedding, norms and biases; attention's two
        // products forward and four backward have 2 s^2 h flops each (Kaplan et al., arXiv 2001.08361, 2.1).
        let lookup = if model.tied { 0.0 } else { model.vocab as f64 * h };
        let params = model.params() as f64 - lookup - model.positions as f64 * h;
        let expected = 6.0 * params * s + f64::from(model.layers) * 12.0 * s * s * h;
        let got = flops(&stages(&job)[0]);
        assert!(
            (got / expected - 1.0).abs() < 1e-3,
            "{name}: {got} instead of {expected}"
        );
    }
}

#[test]
fn experts_cost_what_tokens_use_of_them() {
    let model = Model::named("mixtral-8x7b").expect("known");
    let (s, h) = (model.sequence as f64, model.hidden as f64);
    // 12.9 B parameters are active (arXiv 2401.04088, table 1), 32,000 x 4,096 of them a lookup.
    let active = 12.88e9 - 32_000.0 * h;
    let expected = 6.0 * active * s + 32.0 * 12.0 * s * s * h;
    let got = flops(&stages(&job(model, layout(1, 1, 1, 1, 1)))[0]);
    assert!(
        (got / expected - 1.0).abs() < 0.005,
        "{got} instead of {expected}"
    );
}

#[test]
fn flops_are_the_same_however_ranks_share_them() {
    let whole = flops(&stages(&job(small(), layout(1, 1, 1, 1, 1)))[0]);
    for (tp, cp, pp) in [(2, 1, 1), (8, 1, 1), (1, 2, 1), (1, 1, 4), (2, 2, 2)] {
        let job = job(small(), layout(tp, cp, 1, pp, 1));
        let all: f64 = stages(&job).iter().map(|ops| flops(ops)).sum();
        let all = all * f64::from(tp * cp);
        assert!((all / whole - 1.0).abs() < 1e-9, "{:?}", job.layout);
    }
    // Full recomputation is one more forward pass of the layers: 4/3 of their flops; heads as before.
    let full = Job {
        recompute: Recompute::Full,
        ..job(small(), layout(1, 1, 1, 1, 1))
    };
    let head = 6.0 * 64.0 * 4096.0 * 1000.0;
    let expected = (whole - head) * 4.0 / 3.0 + head;
    assert!((flops(&stages(&full)[0]) / expected - 1.0).abs() < 1e-9);
}

#[test]
fn gradients_and_parameters_move_as_many_bytes_as_zero_says() {
    // Section 7 of the ZeRO paper: plain data parallelism and ZeRO-1 and 2 move 2 psi, ZeRO-3 3 psi.
    let moved = |zero, micro_batches| {
        let job = Job {
            zero,
            micro_batches,
            gradient_bytes: 2,
            ..job(small(), layout(2, 1, 4, 1, 1))
        };
        let ops = &stages(&job)[0];
        let sum = |collective| bytes(ops, collective, Group::Data);
        (
            sum(CollectiveType::AllReduce),
            sum(CollectiveType::ReduceScatter),
            4 * sum(CollectiveType::AllGather),
        )
    };
    let params = stage_params(&job(small(), layout(2, 1, 4, 1, 1)), 0).total();
    let psi = 2 * params;
    // Shares are rounded up to whole bytes of each bucket: a few bytes in millions.
    let near = |got: u64, wanted: u64| got >= wanted && got < wanted + 1000;
    assert_eq!(moved(Zero::Off, 3), (psi, 0, 0));
    let (reduced, scattered, gathered) = moved(Zero::Optimizer, 3);
    assert!(reduced == 0 && scattered == psi && near(gathered, psi));
    let (_, scattered, gathered) = moved(Zero::Gradients, 3);
    assert!(scattered == 3 * psi && near(gathered, psi));
    let (_, scattered, gathered) = moved(Zero::Parameters, 1);
    // The head is not gathered twice in a row, nor the last layer's pass after it saved.
    let head = 2 * (4096 * 500 + 4096);
    assert!(scattered == psi && near(gathered, 2 * psi - head), "{gathered}");
    let fp32 = Job {
        gradient_bytes: 4,
        ..job(small(), layout(2, 1, 4, 1, 1))
    };
    assert_eq!(
        bytes(&stages(&fp32)[0], CollectiveType::AllReduce, Group::Data),
        4 * params
    );
}

#[test]
fn experts_are_reduced_among_those_who_have_them() {
    let job = job(small_moe(), layout(1, 1, 8, 1, 4));
    let ops = &stages(&job)[0];
    let expert = 7 * 8 * 3 * 4096 * 512 / 4;
    assert_eq!(
        bytes(ops, CollectiveType::AllReduce, Group::ExpertData),
        4 * expert
    );
    // Each of 64 tokens goes to 2 experts as 4096 numbers of 2 bytes; there and back, both ways.
    assert_eq!(
        bytes(ops, CollectiveType::AllToAll, Group::Expert),
        7 * 4 * 2 * 64 * 2 * 4096
    );
}

#[test]
fn tensor_parallelism_moves_as_much_with_sequence_parallelism_as_without() {
    // 2205.05198, section 4.2.1: a reduce-scatter and an all-gather are an all-reduce. Per layer two of
    // them each way, and with sequence parallelism two gathers more (section 4.2.2).
    let layer = |sequence_parallel| {
        let job = Job {
            sequence_parallel,
            ..job(small(), layout(4, 1, 1, 1, 1))
        };
        let ops = &stages(&job)[0];
        let of_layers: Vec<Op> = ops
            .iter()
            .filter(|op| op.name.contains("layer"))
            .cloned()
            .collect();
        let sum = |collective| bytes(&of_layers, collective, Group::Tensor);
        (
            sum(CollectiveType::AllReduce),
            sum(CollectiveType::ReduceScatter),
            sum(CollectiveType::AllGather),
        )
    };
    let activation = 64 * 4096 * 2;
    assert_eq!(layer(false), (8 * 4 * activation, 0, 0));
    assert_eq!(layer(true), (0, 8 * 4 * activation, 8 * 6 * activation / 4));
}

#[test]
fn context_parallelism_gathers_keys_and_values() {
    let job = job(small(), layout(1, 4, 1, 1, 1));
    let ops = &stages(&job)[0];
    // 16 tokens of each rank, 2 x 8 heads of 128 numbers of 2 bytes; twice a layer, then reduced.
    let keys = 16 * 2 * 8 * 128 * 2;
    assert_eq!(
        bytes(ops, CollectiveType::AllGather, Group::Context),
        8 * 2 * keys
    );
    assert_eq!(
        bytes(ops, CollectiveType::ReduceScatter, Group::Context),
        8 * 4 * keys
    );
}

#[test]
fn a_pipeline_has_2_messages_for_each_boundary_and_micro_batch() {
    for (pp, chunks, m) in [(2, 1, 1), (4, 1, 8), (4, 2, 8)] {
        let job = Job {
            micro_batches: m,
            chunks,
            ..job(small(), layout(1, 1, 1, pp, 1))
        };
        let sends = |ops: &Vec<Op>| ops.iter().filter(|op| matches!(op.kind, OpKind::Send(_))).count();
        let all: usize = stages(&job).iter().map(sends).sum();
        assert_eq!(all, (2 * (pp * chunks - 1) * m) as usize);
    }
}

/// Nodes of every rank, read back from the bytes of its trace.
fn traces(job: &Job) -> Vec<Vec<Node>> {
    let emitter = Emitter::new(job);
    let mut traces = Vec::new();
    for (stage, ops) in (0..).zip(stages(job)) {
        for rank in (0..job.layout.ranks()).filter(|rank| job.layout.stage(*rank) == stage) {
            let text = emitter.write(rank, &ops, Vec::new()).expect("memory");
            traces.push(read(&text, "trace").expect("valid").nodes);
        }
    }
    traces
}

#[test]
fn dependencies_point_back_and_computes_are_one_chain() {
    for job in jobs() {
        for nodes in traces(&job) {
            let mut last = None;
            for (id, node) in (0..).zip(&nodes) {
                assert_eq!(node.id, id);
                assert!(node.deps().all(|dep| dep < id), "{}", node.name);
                let unique: BTreeSet<u64> = node.deps().collect();
                assert_eq!(unique.len(), node.deps().count(), "{}", node.name);
                if node.kind == NodeKind::Comp {
                    assert!(
                        last.is_none_or(|last| node.deps().any(|dep| dep == last)),
                        "{}",
                        node.name
                    );
                    last = Some(id);
                }
            }
            assert!(nodes.iter().any(|node| node.deps().next().is_none()));
        }
    }
}

#[test]
fn every_send_has_its_receive() {
    for job in jobs().into_iter().filter(|job| job.layout.pp > 1) {
        let mut open: HashMap<[u64; 4], i64> = HashMap::new();
        for (rank, nodes) in (0u64..).zip(traces(&job)) {
            for node in nodes {
                let (one, own) = match node.kind {
                    NodeKind::CommSend => (1, at::COMM_SRC),
                    NodeKind::CommRecv => (-1, at::COMM_DST),
                    _ => continue,
                };
                assert_eq!(node.required_u64(own), Ok(rank));
                let key = [at::COMM_SRC, at::COMM_DST, at::COMM_TAG, at::COMM_SIZE];
                let key = key.map(|name| node.required_u64(name).expect(name));
                let count = open.entry(key).or_default();
                *count += one;
                assert!(count.abs() <= 1, "a tag names one message: {key:?}");
            }
        }
        assert!(!open.is_empty() && open.values().all(|count| *count == 0));
    }
}

#[test]
fn members_of_a_group_issue_the_same_collectives_in_the_same_order() {
    for job in jobs() {
        let groups = Emitter::new(&job).ids().to_groups();
        let mut issued: BTreeMap<String, BTreeMap<u32, Vec<(u64, u64)>>> = BTreeMap::new();
        for (rank, nodes) in (0..).zip(traces(&job)) {
            for node in nodes.iter().filter(|node| node.kind == NodeKind::CommColl) {
                let sizes = [at::COMM_TYPE, at::COMM_SIZE].map(|name| node.required_u64(name).expect(name));
                let group = node.group().expect("text");
                issued
                    .entry(group)
                    .or_default()
                    .entry(rank)
                    .or_default()
                    .push(sizes.into());
            }
        }
        for (group, by_rank) in issued {
            let members: Vec<u32> = match group.parse() {
                Ok(id) => groups.ranks(id).expect("listed").to_vec(),
                Err(_) => (0..job.layout.ranks()).collect(),
            };
            assert!(by_rank.keys().eq(&members), "group {group}");
            let lists: BTreeSet<_> = by_rank.values().collect();
            assert_eq!(lists.len(), 1, "group {group}");
        }
    }
}

/// Plays all ranks with ASTRA-sim's one slot for communication, `slow` ranks computing longer; returns
/// the number of nodes that were never played.
fn stuck(job: &Job, slow: impl Fn(usize) -> u64) -> usize {
    let traces = traces(job);
    let groups = Emitter::new(job).ids().to_groups();
    let all: Vec<u32> = (0..job.layout.ranks()).collect();
    let mut done: Vec<Vec<bool>> = traces.iter().map(|nodes| vec![false; nodes.len()]).collect();
    let mut slot: Vec<Option<usize>> = vec![None; traces.len()];
    let mut running: Vec<Option<(usize, u64)>> = vec![None; traces.len()];
    let mut next: HashMap<(u32, usize), usize> = HashMap::new();
    let order = |rank: usize, group: &str| -> Vec<usize> {
        let own = |node: &&Node| node.kind == NodeKind::CommColl && node.group().expect("text") == group;
        traces[rank]
            .iter()
            .filter(own)
            .map(|node| node.id as usize)
            .collect()
    };
    let mut orders: HashMap<(usize, String), Vec<usize>> = HashMap::new();
    let mut sent = BTreeSet::new();
    let message =
        |node: &Node| [at::COMM_SRC, at::COMM_DST, at::COMM_TAG].map(|n| node.required_u64(n).expect(n));
    for _ in 0..1_000_000 {
        let mut moved = false;
        for rank in 0..traces.len() {
            if let Some((id, left)) = running[rank] {
                moved = true;
                running[rank] = (left > 1).then_some((id, left.saturating_sub(1)));
                done[rank][id] = left <= 1;
            }
            for (id, node) in traces[rank].iter().enumerate() {
                let ready = !done[rank][id] && node.deps().all(|dep| done[rank][dep as usize]);
                match node.kind {
                    _ if !ready => {}
                    NodeKind::Comp if running[rank].is_none() => {
                        running[rank] = Some((id, slow(rank)));
                        moved = true;
                    }
                    NodeKind::CommRecv if sent.contains(&message(node)) => {
                        (done[rank][id], moved) = (true, true);
                    }
                    NodeKind::CommSend if slot[rank].is_none() => {
                        sent.insert(message(node));
                        (done[rank][id], moved) = (true, true);
                    }
                    NodeKind::CommColl if slot[rank].is_none() => {
                        (slot[rank], moved) = (Some(id), true);
                    }
                    _ => {}
                }
            }
        }
        // A collective is over when every member's slot holds the group's next one.
        for rank in 0..traces.len() {
            let Some(id) = slot[rank] else { continue };
            let group = traces[rank][id].group().expect("text");
            let number: u32 = group.parse().unwrap_or(0);
            let members = groups.ranks(number).unwrap_or(&all);
            let holds = members.iter().all(|member| {
                let member = *member as usize;
                let count = next.get(&(number, member)).copied().unwrap_or(0);
                let list = orders
                    .entry((member, group.clone()))
                    .or_insert_with(|| order(member, &group));
                slot[member] == Some(list[count])
            });
            if holds {
                for member in members.iter().map(|member| *member as usize) {
                    let id = slot[member].take().expect("it holds one");
                    done[member][id] = true;
                    *next.entry((number, member)).or_default() += 1;
                }
                moved = true;
            }
        }
        if !moved {
            break;
        }
    }
    done.iter().flatten().filter(|done| !**done).count()
}

#[test]
fn one_slot_for_communication_never_locks_even_if_ranks_differ_in_speed() {
    let shallow = |model: Model| Model { layers: 4, ..model };
    for mut job in jobs() {
        job.order = CommOrder::One;
        job.model = shallow(job.model);
        for seed in 0..2u64 {
            let slow = |rank: usize| 1 + (rank as u64 * 7 + seed * 3) % 5;
            assert_eq!(stuck(&job, slow), 0, "{:?} {:?}", job.layout, job.zero);
        }
    }
}

#[test]
fn parameters_are_gathered_one_unit_ahead() {
    let job = Job {
        zero: Zero::Parameters,
        ..job(small(), layout(1, 1, 4, 1, 1))
    };
    let ops = &stages(&job)[0];
    let find = |name: &str| ops.iter().position(|op| op.name == name).expect(name);
    let gather = find("F 0 Layer(3): gather parameters");
    let (two_before, before, own) = (
        find("F 0 layer 1: mlp"),
        find("F 0 layer 2: attention"),
        find("F 0 layer 3: attention"),
    );
    assert!(
        ops[gather].ctrl.contains(&(two_before as u32)),
        "{:?}",
        ops[gather]
    );
    assert!(
        gather < before,
        "it is issued before the unit that it goes beside"
    );
    assert!(ops[own].data.contains(&(gather as u32)));
    assert!(!ops[before].data.contains(&(gather as u32)));
}

#[test]
fn a_given_time_of_a_layer_scales_all_times() {
    let given = Job {
        layer_ns: Some(2_000_000),
        ..job(small(), layout(1, 1, 1, 1, 1))
    };
    let forward = |ops: &[Op]| -> u64 {
        let own = ops.iter().filter(|op| op.name.starts_with("F 0 layer 7:"));
        own.map(|op| {
            if let OpKind::Compute { ns, .. } = op.kind {
                ns
            } else {
                0
            }
        })
        .sum()
    };
    let ops = stages(&given).remove(0);
    assert!(forward(&ops).abs_diff(2_000_000) <= 2, "{}", forward(&ops));
}

#[test]
fn memory_is_that_of_the_papers() {
    // Megatron's 530 B model is not among ours: GPT-3 at t = 8, b = 1 in equation 4 of 2205.05198.
    let job = |recompute, tp| Job {
        recompute,
        ..job(Model::named("gpt3-175b").expect("known"), layout(tp, 1, 1, 1, 1))
    };
    let (s, h, a) = (2048, 12288, 96);
    let none = s * h * 34 / 8 + 5 * a * s * s / 8;
    assert_eq!(layer_activations(&job(Recompute::None, 8), 0), none);
    assert_eq!(
        layer_activations(&job(Recompute::Selective, 8), 0),
        s * h * 34 / 8
    );
    assert_eq!(layer_activations(&job(Recompute::Full, 1), 0), 2 * s * h);
    let unshared = Job {
        sequence_parallel: false,
        ..job(Recompute::Selective, 8)
    };
    assert_eq!(layer_activations(&unshared, 0), s * h * 10 + s * h * 24 / 8);
    // ZeRO, section 3.1: 16 bytes a parameter with gradients of 2 bytes.
    let plain = Job {
        gradient_bytes: 2,
        ..job(Recompute::Full, 1)
    };
    let memory = Memory::of(&plain, 0);
    assert_eq!(memory.total() - memory.activations, 16 * plain.model.params());
}

#[test]
fn impossible_jobs_are_refused() {
    let refused = |job: Job| job.check().expect_err("is refused");
    assert_eq!(
        refused(job(small(), layout(1, 1, 2, 1, 2))),
        JobError::NoExperts("llama3-8b".into())
    );
    for layout in [
        layout(3, 1, 1, 1, 1),
        layout(0, 1, 1, 1, 1),
        layout(1, 3, 1, 1, 1),
        layout(1, 1, 1, 9, 1),
        layout(64, 1, 1, 1, 1),
        layout(1, 1, u32::MAX, 8, 1),
        layout(1, 1 << 16, 1 << 16, 1, 1),
        layout(1, 1, 3, 1, 2),
    ] {
        assert!(job(small_moe(), layout).check().is_err(), "{layout:?}");
    }
    let base = || job(small(), layout(1, 1, 1, 2, 1));
    refused(Job {
        chunks: 2,
        micro_batches: 3,
        ..base()
    });
    refused(Job {
        chunks: 2,
        micro_batches: 2,
        schedule: Schedule::GPipe,
        ..base()
    });
    refused(Job {
        compute_efficiency: f64::NAN,
        ..base()
    });
    refused(Job {
        memory_efficiency: 1.5,
        ..base()
    });
    refused(Job {
        steps: 60_000,
        micro_batches: 60_000,
        ..base()
    });
    refused(Job {
        device: Device::named("a100").expect("known"),
        dtype: Dtype::Fp8,
        ..base()
    });
    let huge = Model {
        hidden: 1 << 24,
        ffn: 1 << 24,
        layers: 60_000,
        ..small()
    };
    assert_eq!(
        refused(job(huge, layout(1, 1, 1, 1, 1))),
        JobError::TooLarge("the model")
    );
    let long = Model {
        sequence: 1 << 24,
        ..small()
    };
    let long = Job {
        micro_batch: 1 << 16,
        ..job(long, layout(1, 1, 1, 1, 1))
    };
    assert_eq!(refused(long), JobError::TooLarge("a micro-batch"));
}

#[test]
fn the_same_job_gives_the_same_bytes() {
    for job in jobs().into_iter().take(2) {
        let ops = step::stage(&job, 0);
        let write = || Emitter::new(&job).write(1, &ops, Vec::new()).expect("memory");
        assert_eq!(write(), write());
        assert_eq!(step::stage(&job, 0), ops);
    }
}
