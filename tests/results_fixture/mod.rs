//! Made-up runs for the tests of results and report: every figure is chosen, none is measured.
#![allow(dead_code)] // each test file uses its part

use std::collections::BTreeMap;

use genie::event::{Calibration, Event, LinkCalibration, LinkCount, OpRecord, RankSummary, Status};
use genie::results::{Environment, Run, RunId};
use genie::scenario::plan::{
    Communicator, Expected, FabricKind, Link, Network, Node, NodeKind, OpPlan, Plan, PortRef, RankPlace,
    TcpOptions, Testbed, TransportKind, Wait,
};
use genie::scenario::units::{Bandwidth, Bytes, Duration, Share};
use genie::system::op::{Algorithm, Collective, DataType, Op, ReduceOp};

pub const MIB: u64 = 1 << 20;

/// Four hosts on a switch at 1 Gbit/s: all-reduce of 1 KiB and of 64 MiB, all-gather, broadcast, barrier.
pub fn plan() -> Plan {
    let hosts = 4;
    let node = |name: String, kind, addresses| Node {
        name,
        kind,
        addresses,
    };
    let mut nodes: Vec<Node> = (0..hosts)
        .map(|h| {
            node(
                format!("h{h}"),
                NodeKind::Host,
                vec![std::net::Ipv4Addr::new(10, 0, 0, h as u8 + 1)],
            )
        })
        .collect();
    nodes.push(node("s0".into(), NodeKind::Switch, Vec::new()));
    let link = |h: usize| Link {
        name: format!("h{h}-s0"),
        ends: [(h, "eth0".to_owned()), (hosts, format!("p{h}"))]
            .map(|(node, interface)| PortRef { node, interface }),
        rate: Some(Bandwidth(1_000_000_000)),
        delay: Duration(0),
        loss: Share(0),
    };
    let place = |host: usize| RankPlace {
        host,
        addresses: nodes[host]
            .addresses
            .iter()
            .map(|address| (*address).into())
            .collect(),
    };
    let ranks = (0..hosts).map(place).collect();
    Plan {
        name: "allreduce".into(),
        scenario: "name = \"allreduce\"\n".into(),
        seed: 7,
        dilation: 1.0,
        testbed: testbed(),
        ranks,
        network: Network {
            links: (0..hosts).map(link).collect(),
            nodes,
            routes: vec![Vec::new(); hosts + 1],
            mtu: 1500,
        },
        communicators: vec![Communicator {
            id: 0,
            name: "world".into(),
            ranks: vec![0, 1, 2, 3],
        }],
        ops: vec![
            op(Collective::AllReduce, Algorithm::RecursiveDoubling, 1024, 2048.0),
            op(
                Collective::AllReduce,
                Algorithm::Ring,
                64 * MIB,
                96.0 * MIB as f64,
            ),
            op(
                Collective::AllGather,
                Algorithm::Ring,
                16 * MIB,
                12.0 * MIB as f64,
            ),
            op(
                Collective::Broadcast,
                Algorithm::DoubleBinaryTree,
                16 * MIB,
                16.0 * MIB as f64,
            ),
            op(Collective::Barrier, Algorithm::RecursiveDoubling, 0, 0.0),
        ],
        cautions: Vec::new(),
        optical: None,
    }
}

fn testbed() -> Testbed {
    Testbed {
        fabric: FabricKind::Emulated,
        transport: TransportKind::Tcp,
        verify: false,
        wait: Wait::Auto,
        pin: None,
        deadline: Duration(10_000_000_000),
        setup_deadline: Duration(30_000_000_000),
        calibrate: true,
        record_messages: 1,
        tcp: TcpOptions {
            channels: 1,
            congestion_control: "cubic".into(),
            send_buffer: None,
            receive_buffer: None,
            dscp: 0,
            pacing: None,
            slot_bytes: Bytes(MIB),
            slots: 4,
        },
        rdma: Default::default(),
        roce: Default::default(),
    }
}

/// An operation that puts `link_bytes` of payload on each direction of each of the four links.
pub fn op(collective: Collective, algorithm: Algorithm, bytes: u64, link_bytes: f64) -> OpPlan {
    OpPlan {
        op: Op {
            collective,
            algorithm,
            communicator: 0,
            bytes,
            dtype: DataType::Float32,
            redop: ReduceOp::Sum,
            root: 0,
            chunk_bytes: 0,
            chunks_in_flight: 1,
            sends_in_flight: 2,
            matrix: None,
        },
        warmup: 2,
        iterations: 10,
        expected: Expected {
            seconds: Some((link_bytes / 119.55).round() / 1e6),
            wire_share: Some(1.0),
            busiest: Some((0, 0)),
            rounds: 6,
        },
        link_bytes: vec![[link_bytes; 2]; 4],
        trace: None,
    }
}

pub fn environment() -> Environment {
    Environment {
        hostname: "bench".into(),
        os: Some("Debian GNU/Linux 13 (trixie)".into()),
        kernel: "6.12.0-test".into(),
        architecture: "x86_64".into(),
        cpu: Some("Made-up CPU 3000".into()),
        cores: 8,
        usable_cores: 8,
        governor: None,
        memory_bytes: 16 << 30,
        load: [0.1, 0.1, 0.1],
        virtualisation: None,
        tcp: BTreeMap::from([("net.ipv4.tcp_congestion_control".into(), "cubic".into())]),
        nics: Vec::new(),
        genie_version: "0.1.0".into(),
        genie_commit: None,
        ..Environment::default()
    }
}

pub fn run(plan: Plan) -> Run {
    let id: RunId = "20261122-153254-k3v9x".parse().expect("a run id");
    Run::new(id, plan, environment())
}

/// Operation `op` whose iterations take `us` real microseconds on rank 0, and 1 us less on each next rank.
pub fn record(plan: &Plan, op: usize, us: &[f64]) -> OpRecord {
    let ranks = plan.ranks.len();
    let mut clock = 1_000_000;
    let (mut start_ns, mut end_ns) = (vec![Vec::new(); ranks], vec![Vec::new(); ranks]);
    for us in us {
        for rank in 0..ranks {
            start_ns[rank].push(clock);
            end_ns[rank].push(clock + (us * 1e3) as u64 - rank as u64 * 1000);
        }
        clock += (us * 1e3) as u64;
    }
    let planned = &plan.ops[op];
    let payload = planned.link_bytes.first().map_or(0.0, |bytes| bytes[0]);
    let all = f64::from(planned.warmup + planned.iterations);
    OpRecord {
        op,
        complete: us.len() == planned.iterations as usize,
        start_ns,
        end_ns,
        cpu_s: vec![0.01 * us.iter().sum::<f64>() / 1e6; ranks],
        sent_bytes: vec![(payload * us.len() as f64) as u64; ranks],
        wrong: if plan.testbed.verify {
            vec![0; ranks]
        } else {
            Vec::new()
        },
        link_bytes: vec![[(payload * all * 1.046) as u64; 2]; plan.network.links.len()],
        stolen_share: Some(0.0),
        others_share: Some(0.0),
    }
}

/// Ten iterations around `us`.
pub fn around(us: f64) -> Vec<f64> {
    (0..10).map(|i| us * (1.0 + f64::from(i) * 0.001)).collect()
}

pub fn started() -> Event {
    Event::RunStarted {
        run_id: "20261122-153254-k3v9x".into(),
        at: "2026-11-22T15:32:54.123Z".into(),
    }
}

pub fn finished(status: Status, reason: Option<&str>, exit_code: i32) -> Event {
    Event::RunFinished {
        status,
        reason: reason.map(Into::into),
        at_s: 21.5,
        exit_code,
    }
}

pub fn calibrated(measured_bps: f64, one_way_us: f64) -> Event {
    let link = LinkCalibration {
        shaper: "tbf".into(),
        wanted_bps: Some(1e9),
        measured_bps,
        hops: 2,
        wanted_one_way_us: Some(560.0),
        measured_one_way_us: Some(one_way_us),
    };
    Event::Calibrated(Calibration { links: vec![link] })
}

pub fn rank_finished(rank: u32) -> Event {
    Event::RankFinished(RankSummary {
        rank,
        pid: 1000 + rank,
        core: Some(rank),
        user_s: 0.125,
        system_s: 1.5,
        sent_bytes: 1 << 30,
        received_bytes: 1 << 30,
        messages: 1234,
        retransmits: 0,
        timers: 0,
        timer_late_p99_us: 0.0,
        max_rss_bytes: 9 << 20,
        context_switches: [40, 2],
    })
}

pub fn link_counters(plan: &Plan) -> Event {
    let counts = plan.network.links.iter().enumerate().map(|(number, link)| {
        let payload: f64 = plan.ops.iter().map(|op| op.link_bytes[number][0] * 12.0).sum();
        LinkCount {
            link: link.name.clone(),
            bytes: [(payload * 1.047) as u64; 2],
            drops: [0, 0],
        }
    });
    Event::LinkCounters(counts.collect())
}

/// A run without trouble.
pub fn completed(plan: &Plan) -> Vec<Event> {
    let scale = plan.dilation;
    let times = [120.0, 846_300.0, 105_700.0, 141_000.0, 80.0];
    let mut events = vec![started(), calibrated(0.9996e9, 563.0)];
    for (number, us) in times.iter().enumerate().take(plan.ops.len()) {
        events.push(Event::OpStarted {
            op: number,
            at_s: 1.0 + number as f64,
        });
        events.push(Event::Progress {
            op: number,
            iterations: 6,
        });
        events.push(Event::OpFinished(record(plan, number, &around(us * scale))));
    }
    events.extend((0..plan.ranks.len() as u32).map(rank_finished));
    if !plan.network.links.is_empty() {
        events.push(link_counters(plan));
    }
    events.push(finished(Status::Completed, None, 0));
    events
}
