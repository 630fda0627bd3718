//! Statistics against scipy's, against benchstat's definitions computed with scipy, and against what benchstat's own
//! code said: the tables are made by tests/statistics/reference.py and tests/statistics/benchstat.py.

use genie::results::statistics::{correction, mann_whitney, median};

const TABLES: [&str; 2] = [
    include_str!("statistics/reference.csv"),
    include_str!("statistics/benchstat.csv"),
];

/// Far below what any report shows; the two programs sum in different orders.
const NEAR: f64 = 1e-9;

fn numbers(text: &str) -> Vec<f64> {
    let number = |word: &str| word.parse::<f64>().expect("a number");
    text.split_whitespace().map(number).collect()
}

/// The cases of one test: a, b, expected.
fn cases(test: &str) -> Vec<[Vec<f64>; 3]> {
    let mut found = Vec::new();
    for line in TABLES.iter().flat_map(|table| table.lines()) {
        let fields: Vec<&str> = line.split(',').collect();
        assert_eq!(fields.len(), 4, "{line}");
        if fields[0] == test {
            found.push([numbers(fields[1]), numbers(fields[2]), numbers(fields[3])]);
        }
    }
    found
}

#[test]
fn mann_whitney_is_scipys() {
    let cases = cases("mwu");
    assert!(cases.len() > 300, "{}", cases.len());
    for [a, b, expected] in cases {
        let found = mann_whitney(&a, &b).expect("samples");
        assert_eq!(found.u, expected[0], "{a:?} {b:?}");
        assert!(
            (found.p - expected[1]).abs() <= NEAR * expected[1].max(1e-3),
            "{} is not {}: {a:?} {b:?}",
            found.p,
            expected[1]
        );
    }
}

#[test]
fn median_intervals_are_benchstats() {
    let cases = cases("median");
    assert!(cases.len() > 500, "{}", cases.len());
    for [n, confidence, expected] in cases {
        let found = median::orders(n[0] as usize, confidence[0]);
        assert_eq!(
            [found.low as f64, found.high as f64],
            expected[..2],
            "{n:?} at {confidence:?}"
        );
        assert!(
            (found.confidence - expected[2]).abs() < NEAR,
            "{} is not {}",
            found.confidence,
            expected[2]
        );
    }
}

#[test]
fn holm_is_the_definition() {
    let cases = cases("holm");
    assert!(cases.len() > 3);
    for [p, _, expected] in cases {
        for (found, expected) in correction::holm(&p).iter().zip(&expected) {
            assert!((found - expected).abs() < NEAR, "{p:?}");
        }
    }
}
