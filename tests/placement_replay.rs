//! The RFold comparison on generated traces: who completes what, in which order of JCT and utilisation, each
//! admitted placement verified by the checker; the same answer every time and on any number of threads.

use genie::placement::machine::Failures;
use genie::placement::policy::Kind;
use genie::placement::replay::Rules;
use genie::placement::study::{self, Entry, Report, Row, Source, Study};
use genie::placement::trace::generate::Arrivals;

const RULES: Rules = Rules {
    reconfiguration: 10_000_000,
    backfill: 0,
    communication: 0.3,
    check: true,
};

fn entry(policy: Kind, cube: u32) -> Entry {
    Entry {
        policy,
        cube,
        backfill: 0,
    }
}

fn study(seeds: u32, jobs: u32, loads: &[f64], entries: Vec<Entry>) -> Study {
    Study {
        torus: [16; 3],
        seeds: (1, seeds),
        source: Source::Generated(Arrivals { jobs, per_hour: 0.2 }),
        loads: loads.to_vec(),
        entries,
        rules: RULES,
        failures: Failures::default(),
    }
}

fn all() -> Vec<Entry> {
    vec![
        entry(Kind::FirstFit, 4),
        entry(Kind::Folding, 4),
        entry(Kind::Hilbert, 4),
        entry(Kind::Reconfiguration, 4),
        entry(Kind::Rfold, 4),
        entry(Kind::Reconfiguration, 2),
        entry(Kind::Rfold, 2),
        entry(Kind::Reconfiguration, 8),
        entry(Kind::Rfold, 8),
    ]
}

fn find(report: &Report, policy: Kind, cube: u32, load: f64) -> &Row {
    let found = report
        .rows
        .iter()
        .find(|row| row.policy == policy && row.cube == Some(cube) && row.load == load);
    found.expect("it was asked for")
}

#[test]
fn the_papers_orders_come_out_and_every_placement_is_sound() {
    let report = study::run(&study(6, 200, &[1.0, 20.0], all()), 2).unwrap();
    assert_eq!(report.fault, None);
    assert!(report.rows.iter().all(|row| row.verified > 0));
    let rate = |policy, cube| find(&report, policy, cube, 20.0).completion_rate;
    assert!(
        (0.06..0.16).contains(&rate(Kind::FirstFit, 16)),
        "{}",
        rate(Kind::FirstFit, 16)
    );
    assert!(
        (0.37..0.51).contains(&rate(Kind::Folding, 16)),
        "{}",
        rate(Kind::Folding, 16)
    );
    for (policy, cube) in [
        (Kind::Reconfiguration, 4),
        (Kind::Rfold, 4),
        (Kind::Reconfiguration, 2),
        (Kind::Rfold, 2),
    ] {
        assert_eq!(rate(policy, cube), 1.0, "{policy} {cube}");
    }
    for load in [1.0, 20.0] {
        let jct = |policy, cube| find(&report, policy, cube, load).jct_h.p50.unwrap();
        assert!(jct(Kind::Rfold, 2) < jct(Kind::Rfold, 4), "load {load}");
        assert!(jct(Kind::Rfold, 4) < jct(Kind::Reconfiguration, 4), "load {load}");
    }
    let order = [
        (Kind::FirstFit, 16),
        (Kind::Folding, 16),
        (Kind::Reconfiguration, 4),
        (Kind::Rfold, 4),
        (Kind::Rfold, 2),
    ];
    let used = order.map(|(policy, cube)| find(&report, policy, cube, 20.0).utilisation_event);
    assert!(used.windows(2).all(|w| w[0] < w[1]), "{used:?}");
}

#[test]
fn threads_and_repetition_change_nothing() {
    let study = study(3, 60, &[20.0], all());
    assert_eq!(study::run(&study, 1), study::run(&study, 3));
}

#[test]
fn backfilling_does_not_make_jobs_wait_longer_in_the_mean() {
    let filled = |backfill| Entry {
        backfill,
        ..entry(Kind::Reconfiguration, 4)
    };
    let report = study::run(&study(3, 100, &[20.0], vec![filled(0), filled(16)]), 2).unwrap();
    assert_eq!(report.fault, None);
    let wait = |row: &Row| row.waiting_h.resource + row.waiting_h.shape + row.waiting_h.wiring;
    assert!(wait(&report.rows[1]) < wait(&report.rows[0]));
}
