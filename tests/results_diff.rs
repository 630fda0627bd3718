//! Comparisons end to end in memory and on disk: what is proven, what is not, and what is said.

mod results_fixture;

use std::path::{Path, PathBuf};

use genie::event::Event;
use genie::report::diff as report;
use genie::report::style::Style;
use genie::results::diff::compare::{Comparison, Correction, Row, Unit, Verdict};
use genie::results::diff::options::Filter;
use genie::results::diff::{Field, Metric, Options, Series, compare, stored};
use genie::results::run::Repetition;
use genie::results::{Recorder, Run, RunId, Store};
use genie::scenario::plan::Plan;
use results_fixture as made;

/// Numbers that look random and are the same every time: splitmix64.
struct Noise(u64);

impl Noise {
    fn uniform(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 11) as f64 / (1u64 << 53) as f64
    }

    /// About normal, mean 0, deviation 1: twelve uniforms.
    fn normal(&mut self) -> f64 {
        (0..12).map(|_| self.uniform()).sum::<f64>() - 6.0
    }
}

/// Microseconds of the fixture's five rows, when nothing disturbs.
const TIMES: [f64; 5] = [120.0, 846_300.0, 105_700.0, 141_000.0, 80.0];
/// Deviation from run to run: small messages are the machine's, large ones the link's.
const SPREAD: [f64; 5] = [0.10, 0.004, 0.006, 0.006, 0.15];

/// A set of runs: `factor` on what the link carries. Each run has its own mood, each iteration its own.
fn set(results: &Path, id: &str, repetitions: u32, factor: f64, noise: &mut Noise) -> Vec<PathBuf> {
    let plan = made::plan();
    let mut folders = Vec::new();
    let group: RunId = format!("{id}a").parse().expect("an id");
    for number in 1..=repetitions {
        let id = format!("{id}{}", char::from(b'a' + number as u8 - 1));
        let mut run = Run::new(id.parse().expect("an id"), plan.clone(), made::environment());
        run.manifest.repetition = (repetitions > 1).then(|| Repetition {
            group: group.clone(),
            number,
            of: repetitions,
        });
        let mut recorder = Recorder::start(results, run);
        for event in events(&plan, factor, noise) {
            recorder.record(&event);
        }
        assert_eq!(recorder.loss(), None);
        folders.push(recorder.path().to_owned());
    }
    folders
}

fn events(plan: &Plan, factor: f64, noise: &mut Noise) -> Vec<Event> {
    let mut events = made::completed(plan);
    for event in &mut events {
        if let Event::OpFinished(record) = event {
            let op = record.op;
            let slow = if SPREAD[op] < 0.01 { factor } else { 1.0 };
            let mood = TIMES[op] * slow * (1.0 + SPREAD[op] * noise.normal()).max(0.2);
            let us: Vec<f64> = (0..10).map(|_| mood * (1.0 + 0.002 * noise.normal())).collect();
            *record = made::record(plan, op, &us);
        }
    }
    events
}

/// Two sides of so many repetitions, the second's times multiplied by `factor`.
fn sides(results: &Path, repetitions: u32, factor: f64, noise: &mut Noise) -> [Series; 2] {
    [
        ("a", "20261122-100000-a000", 1.0),
        ("b", "20261122-110000-b000", factor),
    ]
    .map(|(label, id, factor)| side(label, &set(results, id, repetitions, factor, noise)))
}

fn side(label: &str, folders: &[PathBuf]) -> Series {
    stored::series(label, folders, Metric::Time).expect("folders are whole")
}

fn of_bytes(comparison: &Comparison, op: &str, bytes: u64) -> Row {
    let is = |row: &&Row| {
        let text = |field| row.key.get(&field).map(ToString::to_string).unwrap_or_default();
        text(Field::Op) == op && text(Field::Bytes) == bytes.to_string()
    };
    comparison.rows.iter().find(is).expect("the row is there").clone()
}

#[test]
fn a_link_slowed_by_five_per_cent_is_found_with_five_repetitions_each() {
    for seed in 0..20 {
        let (results, mut noise) = (tempfile::tempdir().unwrap(), Noise(seed));
        let [a, b] = sides(results.path(), 5, 1.05, &mut noise);
        let comparison = compare(&[a, b], &Options::default());
        assert_eq!(comparison.sample, Unit::Repetition);
        assert_eq!(comparison.columns[1].correction, Some(Correction::Joint));
        for (op, bytes) in [
            ("all-reduce", 64 << 20),
            ("all-gather", 16 << 20),
            ("broadcast", 16 << 20),
        ] {
            let change = of_bytes(&comparison, op, bytes).changes[0].expect("both sides have it");
            assert_eq!(change.verdict, Verdict::Worse, "seed {seed} {op}: {change:?}");
            let (low, high) = (change.low.unwrap(), change.high.unwrap());
            assert!(low < change.change && change.change < high, "{change:?}");
            assert!((change.change - 0.05).abs() < 0.02, "{change:?}");
        }
        assert!(comparison.has_regression());
    }
}

#[test]
fn one_per_cent_is_never_reversed() {
    let mut found = 0;
    for seed in 100..140 {
        let (results, mut noise) = (tempfile::tempdir().unwrap(), Noise(seed));
        let [a, b] = sides(results.path(), 5, 1.01, &mut noise);
        let comparison = compare(&[a, b], &Options::default());
        // The rows that the link bounds; the others are noise of 10 % and more.
        for row in &comparison.rows[1..4] {
            let verdict = row.changes[0].expect("both sides have it").verdict;
            assert_ne!(verdict, Verdict::Better, "seed {seed}: {row:?}");
            found += usize::from(verdict == Verdict::Worse);
        }
    }
    assert!(found > 0, "it can be found");
}

/// One pair in twenty at most may differ by chance.
#[test]
fn equal_runs_are_not_told_apart() {
    for (repetitions, pairs) in [(5, 60), (1, 60)] {
        let mut different = 0;
        for seed in 0..pairs {
            let (results, mut noise) = (tempfile::tempdir().unwrap(), Noise(1000 + seed));
            let a = side(
                "a",
                &set(
                    results.path(),
                    "20261122-100000-a000",
                    repetitions,
                    1.0,
                    &mut noise,
                ),
            );
            let b = side(
                "b",
                &set(
                    results.path(),
                    "20261122-110000-b000",
                    repetitions,
                    1.0,
                    &mut noise,
                ),
            );
            let comparison = compare(&[a, b], &Options::default());
            let rows = comparison.rows.iter().chain(&comparison.means);
            let proven = |row: &Row| row.changes[0].is_some_and(|change| change.verdict != Verdict::Unproven);
            different += u64::from(rows.into_iter().any(proven));
        }
        assert!(
            different * 20 <= pairs,
            "{different} of {pairs} with {repetitions} repetitions"
        );
    }
}

#[test]
fn single_runs_say_what_their_samples_are_and_find_what_is_large() {
    let (results, mut noise) = (tempfile::tempdir().unwrap(), Noise(7));
    let [a, b] = sides(results.path(), 1, 1.3, &mut noise);
    let comparison = compare(&[a, b], &Options::default());
    assert_eq!(comparison.sample, Unit::Block);
    assert!(
        comparison.notes[0].contains("block of iterations"),
        "{:?}",
        comparison.notes
    );
    let large = of_bytes(&comparison, "all-reduce", 64 << 20).changes[0].unwrap();
    assert_eq!(large.verdict, Verdict::Worse);
    assert!(large.noise_floor < 0.06, "{large:?}");
    let small = of_bytes(&comparison, "all-reduce", 1024).changes[0].unwrap();
    assert!(
        small.noise_floor > 0.5,
        "small messages are the machine's: {small:?}"
    );
}

#[test]
fn a_single_run_that_others_disturbed_proves_nothing() {
    let (results, mut noise) = (tempfile::tempdir().unwrap(), Noise(7));
    let [a, mut b] = sides(results.path(), 1, 1.3, &mut noise);
    for figure in &mut b.figures {
        figure.disturbed = true;
    }
    let comparison = compare(&[a, b], &Options::default());
    let large = of_bytes(&comparison, "all-reduce", 64 << 20).changes[0].unwrap();
    assert_eq!(large.verdict, Verdict::Unproven, "{large:?}");
    assert!(
        comparison.notes.iter().any(|note| note.contains("of 5 rows")),
        "{:?}",
        comparison.notes
    );
    let [a, mut b] = sides(&results.path().join("repeated"), 5, 1.3, &mut noise);
    for figure in &mut b.figures {
        figure.disturbed = true;
    }
    let comparison = compare(&[a, b], &Options::default());
    let large = of_bytes(&comparison, "all-reduce", 64 << 20).changes[0].unwrap();
    assert_eq!(large.verdict, Verdict::Worse, "repetitions speak for themselves");
}

#[test]
fn three_repetitions_are_told_to_be_too_few() {
    let (results, mut noise) = (tempfile::tempdir().unwrap(), Noise(8));
    let [a, b] = sides(results.path(), 3, 1.5, &mut noise);
    let comparison = compare(&[a, b], &Options::default());
    assert!(!comparison.has_regression());
    assert!(
        comparison
            .notes
            .iter()
            .any(|note| note.contains("at least 4 times")),
        "{:?}",
        comparison.notes
    );
}

#[test]
fn rows_are_filtered_grouped_projected_and_missing_ones_named() {
    let (results, mut noise) = (tempfile::tempdir().unwrap(), Noise(9));
    let folders = set(results.path(), "20261122-100000-a000", 1, 1.0, &mut noise);
    let a = side("a", &folders);
    let mut b = a.clone();
    b.label = "b".into();
    b.figures
        .retain(|figure| figure.key[&Field::Op].to_string() != "broadcast");
    let comparison = compare(&[a.clone(), b.clone()], &Options::default());
    assert_eq!(comparison.missing.len(), 1);
    assert!(
        comparison.missing[0].starts_with("b lacks op broadcast"),
        "{:?}",
        comparison.missing
    );
    let options = Options {
        filters: vec![Filter::parse("op=all-reduce,all-gather").unwrap()],
        group: Some(Field::Op),
        ..Options::default()
    };
    let comparison = compare(&[a.clone(), b.clone()], &options);
    assert_eq!(comparison.rows.len(), 3);
    assert_eq!(comparison.means.len(), 1, "the mean of one row is that row");
    let ignoring = Options {
        ignored: vec![Field::Op, Field::Algorithm, Field::Redop, Field::Root],
        ..Options::default()
    };
    let comparison = compare(&[a, b], &ignoring);
    assert!(
        comparison
            .rows
            .iter()
            .any(|row| row.key.contains_key(&Field::Occurrence))
    );
    // 64 MiB in 846.3 ms is 0.634 Gbit/s; a ring of four moves 3/2 of it.
    let busbw = stored::series("a", &folders, Metric::Busbw).unwrap();
    let comparison = compare(&[busbw.clone(), busbw], &Options::default());
    let cell = of_bytes(&comparison, "all-reduce", 64 << 20).cells[0]
        .clone()
        .unwrap();
    assert!((cell.median / 0.9516 - 1.0).abs() < 0.03, "{}", cell.median);
    let cpu = stored::series("a", &folders, Metric::Cpu).unwrap();
    assert!(cpu.figures.iter().all(|figure| figure.samples.len() == 1));
}

#[test]
fn what_differs_is_said_first() {
    let (results, mut noise) = (tempfile::tempdir().unwrap(), Noise(10));
    let a = side(
        "a",
        &set(results.path(), "20261122-100000-a000", 1, 1.0, &mut noise),
    );
    let mut b = a.clone();
    b.facts.insert("environment.kernel".into(), "6.99".into());
    let comparison = compare(&[a, b], &Options::default());
    let text = report::text(&comparison, Style::PLAIN);
    assert_eq!(
        text.lines().nth(2),
        Some("# differs: environment.kernel: 6.12.0-test | 6.99"),
        "{text}"
    );
    assert!(report::markdown(&comparison).contains("differs: environment.kernel"));
    let json: serde_json::Value = serde_json::from_str(&report::json(&comparison)).unwrap();
    assert_eq!(json["differences"][0]["values"][1], "6.99");
    assert_eq!(json["rows"][0]["changes"][0]["verdict"], "unproven");
    let csv = genie::results::csv::records(&report::csv(&comparison));
    assert_eq!(
        csv.len(),
        1 + 2 * (comparison.rows.len() + comparison.means.len())
    );
    assert!(csv.iter().all(|line| line.len() == csv[0].len()));
}

#[test]
fn the_table() {
    let (results, mut noise) = (tempfile::tempdir().unwrap(), Noise(11));
    let a = side(
        "latest~1",
        &set(results.path(), "20261122-100000-a000", 5, 1.0, &mut noise),
    );
    let b = side(
        "latest",
        &set(results.path(), "20261122-110000-b000", 5, 1.05, &mut noise),
    );
    let comparison = compare(&[a, b], &Options::default());
    insta::assert_snapshot!("table", report::text(&comparison, Style::PLAIN));
    insta::assert_snapshot!("markdown", report::markdown(&comparison));
}

#[test]
fn repetitions_are_selected_together_or_one_by_one() {
    let (results, mut noise) = (tempfile::tempdir().unwrap(), Noise(12));
    let a = set(results.path(), "20261122-100000-a000", 3, 1.0, &mut noise);
    let b = set(results.path(), "20261122-110000-b000", 2, 1.0, &mut noise);
    let store = Store::new(results.path());
    let select = |text: &str| store.select(&text.parse().unwrap()).unwrap();
    assert_eq!(select("latest"), b);
    assert_eq!(select("latest~1"), a);
    assert_eq!(select("a000a"), a, "the first names them all");
    assert_eq!(select("a000b"), a[1..2], "any other is itself");
    assert_eq!(select("latest~1#3"), a[2..]);
    assert_eq!(select(a[0].to_str().unwrap()), a[..1], "a path is itself");
    assert!(store.select(&"latest~2".parse().unwrap()).is_err());
    let most = format!("latest~{}", usize::MAX);
    assert!(store.select(&most.parse().unwrap()).is_err(), "{most}");
    assert!(store.select(&"latest#3".parse().unwrap()).is_err());
}

#[test]
fn iterations_read_back_are_those_of_the_live_run() {
    let (results, mut noise) = (tempfile::tempdir().unwrap(), Noise(13));
    let folder = &set(results.path(), "20261122-100000-a000", 1, 1.0, &mut noise)[0];
    let run = genie::results::reader::open(folder).unwrap();
    let mut found = Vec::new();
    let times = genie::results::iterations::read(folder, &run, &mut found);
    assert_eq!(found, [""; 0]);
    for row in &run.rows {
        let read = genie::results::statistics::Times::of(&times[row.index]).unwrap();
        assert_eq!(Some(read), row.time);
    }
    let path = folder.join("iterations.csv");
    let text = std::fs::read_to_string(&path)
        .unwrap()
        .replacen("0,0,1,", "0,99999999999,1,", 1);
    std::fs::write(&path, text + "9,1,1,1,1,1\nnonsense\n1,2").unwrap();
    genie::results::iterations::read(folder, &run, &mut found);
    assert!(
        found[0].starts_with("iterations.csv is not as it was written"),
        "{found:?}"
    );
    assert!(
        found[1].starts_with("3 lines of iterations.csv are left out"),
        "{found:?}"
    );
}
