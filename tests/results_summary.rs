//! From raw times to rows: the arithmetic, said as physics first.

mod results_fixture;

use genie::event::{Event, OpRecord, Status};
use genie::results::cautions::RowCaution;
use genie::results::summary::{Row, payload_limit};
use genie::scenario::plan::{Plan, Wait};
use genie::system::op::{Algorithm, Collective};
use results_fixture as made;

const CORES: u32 = 8;

fn row(plan: &Plan, record: &OpRecord) -> Row {
    Row::of(plan, CORES, record).expect("the plan has the operation")
}

fn close(a: f64, b: f64) {
    assert!((a / b - 1.0).abs() < 1e-6, "{a} is not {b}");
}

/// 1 Gbit/s is 125 MB/s of frames; of each 1514-byte frame 1448 bytes are payload: 119.55 MB/s.
#[test]
fn payload_limit_of_gigabit_ethernet() {
    close(payload_limit(1e9, 1500), 125e6 * 1448.0 / 1514.0);
    // Jumbo frames lose less: 8948 of 9014.
    close(payload_limit(1e9, 9000) / 125e6, 8948.0 / 9014.0);
}

/// Ring all-reduce over 4 ranks puts 2 x 3/4 of the buffer on each link, so a run at the payload
/// limit takes 96 MiB / 119.55 MB/s = 842 ms for 64 MiB, and busbw is the payload rate of the link.
#[test]
fn a_run_at_the_limit_has_share_one() {
    let plan = made::plan();
    let limit_us = 96.0 * made::MIB as f64 / payload_limit(1e9, 1500) * 1e6;
    let row = row(&plan, &made::record(&plan, 1, &[limit_us; 10]));
    assert!((row.link_share.unwrap() - 1.0).abs() < 1e-6);
    assert!((row.busbw_gbps.unwrap() - payload_limit(1e9, 1500) * 8.0 / 1e9).abs() < 1e-6);
    close(row.algbw_gbps.unwrap() * 1.5, row.busbw_gbps.unwrap());
    assert_eq!(row.cautions, []);
}

/// Iterations follow each other without a pause, so an iteration lasts from the last rank's end of the
/// one before to the last rank's end of its own, and the times add up to the wall time.
#[test]
fn an_iteration_takes_until_its_slowest_rank_has_finished() {
    let plan = made::plan();
    let mut us = [1000.0; 10];
    us[4] = 7000.0;
    let mut record = made::record(&plan, 1, &us);
    let time = row(&plan, &record).time.unwrap();
    assert_eq!((time.min, time.p50, time.p99), (1000.0, 1000.0, 7000.0));
    assert_eq!(time.mean, 1600.0);
    // A rank that is 500 us late in one iteration and in time in the next moves time from one to the
    // other, and adds none.
    record.end_ns[2][7] = record.end_ns[0][7] + 500_000;
    record.start_ns[2][8] = record.end_ns[2][7];
    let late = row(&plan, &record).time.unwrap();
    assert_eq!((late.min, late.p99, late.mean), (500.0, 7000.0, 1600.0));
}

/// Dilation 100: what took 84.2 s of real time on links 100 times slower counts as 842 ms.
#[test]
fn dilation_divides_times_and_not_cpu() {
    let mut plan = made::plan();
    let plain = row(&plan, &made::record(&plan, 1, &[842_000.0; 10]));
    plan.dilation = 100.0;
    let mut record = made::record(&plan, 1, &[84_200_000.0; 10]);
    record.cpu_s = vec![0.1; 4];
    let dilated = row(&plan, &record);
    close(dilated.time.unwrap().p50, plain.time.unwrap().p50);
    close(dilated.link_share.unwrap(), plain.link_share.unwrap());
    close(
        dilated.cpu_s_per_gb.unwrap(),
        0.4 / (4.0 * 960.0 * made::MIB as f64 / 1e9),
    );
}

/// The busiest link decides: half the bytes on a link of a tenth of the rate is 5 times the share.
#[test]
fn the_share_is_that_of_the_link_with_the_least_room() {
    let mut plan = made::plan();
    plan.ops[1].link_bytes[3] = [0.0, 48.0 * made::MIB as f64];
    plan.network.links[3].rate = Some(genie::scenario::units::Bandwidth(100_000_000));
    let slow = row(&plan, &made::record(&plan, 1, &[5_000_000.0; 10]));
    close(
        slow.link_share.unwrap(),
        48.0 * made::MIB as f64 / 5.0 / payload_limit(1e8, 1500),
    );
    for link in &mut plan.network.links {
        link.rate = None;
    }
    let unshaped = row(&plan, &made::record(&plan, 1, &[5_000_000.0; 10]));
    assert_eq!(unshaped.link_share, None);
}

#[test]
fn counts_are_those_of_nccl_tests() {
    let plan = made::plan();
    let count = |op| row(&plan, &made::record(&plan, op, &[100.0; 10])).count;
    assert_eq!(count(1), 16 * made::MIB, "all-reduce: elements of the buffer");
    assert_eq!(
        count(2),
        made::MIB,
        "all-gather of 16 MiB by 4 ranks: elements that one rank sends"
    );
    assert_eq!(count(3), 4 * made::MIB, "broadcast: elements of the buffer");
}

#[test]
fn a_barrier_has_times_and_no_bandwidth() {
    let plan = made::plan();
    let row = row(&plan, &made::record(&plan, 4, &[50.0; 10]));
    assert_eq!(row.time.unwrap().p50, 50.0);
    let figures = (row.algbw_gbps, row.busbw_gbps, row.link_share, row.cpu_s_per_gb);
    assert_eq!(figures, (None, None, None, None));
}

#[test]
fn only_iterations_that_all_members_finished_count() {
    let plan = made::plan();
    let mut record = made::record(&plan, 1, &[1e6, 1e6, 1e6]);
    record.end_ns[2].pop();
    let short = row(&plan, &record);
    assert_eq!(
        (short.iterations, short.planned_iterations, short.complete),
        (2, 10, false)
    );
    assert_eq!(
        short.cautions,
        [RowCaution::Incomplete, RowCaution::FewIterations]
    );
    // A member that is gone and handed nothing in does not take the others' figures along.
    record.end_ns[1].clear();
    assert_eq!(row(&plan, &record).iterations, 2);
    record.end_ns.iter_mut().for_each(Vec::clear);
    let none = row(&plan, &record);
    assert_eq!((none.iterations, none.time, none.busbw_gbps), (0, None, None));
    record.start_ns.clear();
    record.end_ns.clear();
    assert_eq!(
        row(&plan, &record).iterations,
        0,
        "a record without ranks is no reason to panic"
    );
}

#[test]
fn a_communicator_of_some_ranks_ignores_the_others() {
    let mut plan = made::plan();
    plan.communicators.push(genie::scenario::plan::Communicator {
        id: 5,
        name: "pair".into(),
        ranks: vec![1, 3],
    });
    plan.ops[1].op.communicator = 5;
    let mut record = made::record(&plan, 1, &[1000.0; 10]);
    for outside in [0, 2] {
        record.start_ns[outside].clear();
        record.end_ns[outside].clear();
    }
    let row = row(&plan, &record);
    assert_eq!(
        (row.ranks, row.iterations, row.communicator.as_str()),
        (2, 10, "pair")
    );
    close(row.busbw_gbps.unwrap(), row.algbw_gbps.unwrap());
}

/// 4 ranks on 8 cores have 4 cores to use: 3.8 CPU seconds in 1 second of wall time is 95 %.
#[test]
fn cpu_bound_ranks_are_found_unless_they_only_poll() {
    let mut plan = made::plan();
    let mut long = made::record(&plan, 1, &[100_000.0; 10]);
    long.cpu_s = vec![0.95; 4];
    assert_eq!(
        row(&plan, &long).cautions,
        [RowCaution::CpuBound, RowCaution::AboveLimit]
    );
    let mut short = made::record(&plan, 0, &[100.0; 10]);
    short.cpu_s = vec![0.00095; 4];
    assert_eq!(
        row(&plan, &short).cautions,
        [],
        "ranks that poll use all of their core"
    );
    plan.testbed.wait = Wait::Block;
    assert_eq!(
        row(&plan, &short).cautions,
        [RowCaution::CpuBound],
        "ranks that block do not"
    );
}

#[test]
fn an_operation_that_the_plan_has_not_makes_no_row() {
    let plan = made::plan();
    let mut record = made::record(&plan, 1, &[100.0; 10]);
    record.op = 99;
    assert_eq!(Row::of(&plan, CORES, &record), None);
}

#[test]
fn a_run_is_cautious_about_every_disturbance() {
    let mut plan = made::plan();
    plan.cautions.push("from the planner".into());
    let mut run = made::run(plan.clone());
    run.manifest.environment.load[0] = 0.3 * 8.0;
    let mut late = made::rank_finished(1);
    if let Event::RankFinished(summary) = &mut late {
        summary.timers = 10;
        summary.timer_late_p99_us = 250.0;
        summary.retransmits = 12;
    }
    let mut counters = made::link_counters(&plan);
    if let Event::LinkCounters(links) = &mut counters {
        links[2].drops = [0, 5];
    }
    let twice = Event::Caution {
        text: "from the planner".into(),
    };
    for event in [
        made::started(),
        twice,
        late,
        counters,
        made::finished(Status::Failed, None, 3),
    ] {
        run.apply(&event);
    }
    assert_eq!(
        run.manifest.cautions,
        [
            "from the planner",
            "the machine was not quiet: load average 2.40 on 8 cores at start",
            "timers fired late: p99 250 us (rank 1)",
            "TCP sent 12 segments again (rank 1: 12)",
            "links dropped 5 packets (link h2-s0: 5)",
        ]
    );
}

/// Issue 2: a rate within 1 % is good at 1 Gbit/s; 5 % is good from 5 Gbit/s on; one-way time within 10 %.
#[test]
fn calibration_errors_are_told_beyond_what_is_allowed() {
    let cautions = |wanted: f64, measured: f64, one_way: f64| {
        let plan = made::plan();
        let mut run = made::run(plan);
        let mut event = made::calibrated(measured, one_way);
        if let Event::Calibrated(calibration) = &mut event {
            calibration.links[0].wanted_bps = Some(wanted);
        }
        run.apply(&event);
        run.apply(&made::finished(Status::Completed, None, 0));
        run.manifest.cautions.len()
    };
    assert_eq!(cautions(1e9, 0.991e9, 560.0), 0);
    assert_eq!(cautions(1e9, 0.989e9, 560.0), 1);
    assert_eq!(cautions(10e9, 9.6e9, 600.0), 0);
    assert_eq!(cautions(10e9, 10.6e9, 630.0), 2);
}

/// Narrow or wide, every table fits, and never loses size, operation, median, busbw and share.
#[test]
fn every_table_fits_its_width() {
    use genie::report::columns::{Column, Layout};
    let mut plan = made::plan();
    plan.testbed.verify = true;
    plan.ops.push(made::op(
        Collective::ReduceScatter,
        Algorithm::DoubleBinaryTree,
        1 << 40,
        1.0,
    ));
    plan.ops[0].op.communicator = 1;
    for width in [80, 100, 120] {
        let layout = Layout::of(&plan, width);
        let title = layout.line('#', |column| column.title().into());
        assert!(title.len() <= width, "{} > {width}: {title}", title.len());
        for column in [
            Column::Size,
            Column::Op,
            Column::P50,
            Column::Busbw,
            Column::Limit,
            Column::Wrong,
        ] {
            assert!(layout.has(column), "no {column:?} at {width}");
        }
    }
}
