//! No text, no damage to a scenario and no override makes the reader, planner or printer panic, and
//! every refusal points at a place that exists.

use genie::cli;
use genie::scenario::{self, Diagnostics, planner};
use proptest::prelude::*;

/// Loads, plans and prints, whatever comes of it.
fn play(text: &str, sets: &[String]) -> Result<(), Diagnostics> {
    let planned = scenario::load_text("x.toml", text, sets).and_then(|loaded| planner::build(&loaded));
    match planned {
        Ok(plan) => {
            assert!(!cli::plan::text(&plan).is_empty());
            Ok(())
        }
        Err(refused) => Err(refused),
    }
}

fn check(text: &str, sets: &[String]) {
    let Err(refused) = play(text, sets) else {
        return;
    };
    assert!(!refused.list.is_empty());
    let shown = refused.to_string();
    assert!(shown.starts_with("error: "), "{shown}");
    assert!(!shown.contains('\x1b'), "{shown:?}");
    let colour = refused.render(true);
    assert!(colour.contains("error"), "{colour}");
    let json = serde_json::to_value(&refused).expect("plain JSON");
    for error in json.as_array().expect("a list") {
        assert!(
            error["line"]
                .as_u64()
                .is_some_and(|line| line as usize <= text.matches('\n').count() + 2)
        );
        assert!(error["column"].as_u64().is_some_and(|column| column >= 1));
    }
}

/// The scenarios of this repository that need no other file.
fn scenarios() -> impl Strategy<Value = &'static str> {
    prop_oneof![
        Just(include_str!("../scenarios/allreduce.toml")),
        Just(include_str!("../scenarios/hello.toml")),
        Just(include_str!("../scenarios/cluster-400g.toml")),
        Just(include_str!("../scenarios/alltoall.toml")),
        Just(include_str!("../scenarios/small.toml")),
        Just(include_str!("../topologies/two-islands.toml")),
    ]
}

/// Pieces that scenarios are made of, right and wrong.
fn piece() -> impl Strategy<Value = String> {
    prop_oneof![
        "[a-z_.\\[\\]={}\", 0-9\n-]{0,12}",
        Just("0".to_owned()),
        Just("-1".to_owned()),
        Just("nan".to_owned()),
        Just("inf".to_owned()),
        Just("1e300".to_owned()),
        Just("9223372036854775807".to_owned()),
        Just("18446744073709551615".to_owned()),
        Just("4294967295".to_owned()),
        Just("true".to_owned()),
        Just("\"\"".to_owned()),
        Just("\"0 B\"".to_owned()),
        Just("\"16000000 TiB\"".to_owned()),
        Just("\"1 ns\"".to_owned()),
        Just("[]".to_owned()),
        Just("[[\"1 B\"]]".to_owned()),
        Just("{}".to_owned()),
        Just("1979-05-27".to_owned()),
        Just("é\u{202e}\u{0}\r\t".to_owned()),
        Just("\n[[traffic.collective]]\n".to_owned()),
        Just("\n[topology]\n".to_owned()),
    ]
}

/// Replaces `take` characters at `at` (per mille of the length) by `put`.
fn damage(text: &str, at: usize, take: usize, put: &str) -> String {
    let chars: Vec<char> = text.chars().collect();
    let at = at * chars.len() / 1000;
    let end = (at + take).min(chars.len());
    chars[..at]
        .iter()
        .copied()
        .chain(put.chars())
        .chain(chars[end..].iter().copied())
        .collect()
}

/// Replaces the value of the `which`-th `key = value` line.
fn revalue(text: &str, which: usize, value: &str) -> String {
    let lines: Vec<&str> = text.lines().collect();
    let keys: Vec<usize> = (0..lines.len())
        .filter(|n| lines[*n].contains(" = ") && !lines[*n].starts_with('#'))
        .collect();
    let target = keys[which % keys.len()];
    let replace = |(n, line): (usize, &&str)| match line.split_once(" = ") {
        Some((key, _)) if n == target => format!("{key} = {value}"),
        _ => line.to_string(),
    };
    lines
        .iter()
        .enumerate()
        .map(replace)
        .collect::<Vec<_>>()
        .join("\n")
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn arbitrary_text(text in "\\PC{0,200}") {
        check(&text, &[]);
    }

    #[test]
    fn arbitrary_bytes_read_as_text(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        check(&String::from_utf8_lossy(&bytes), &[]);
    }

    #[test]
    fn damaged_scenarios(text in scenarios(), cuts in prop::collection::vec((0usize..1000, 0usize..20, piece()), 1..4)) {
        let text = cuts.iter().fold(text.to_owned(), |text, (at, take, put)| damage(&text, *at, *take, put));
        check(&text, &[]);
    }

    #[test]
    fn other_values(text in scenarios(), changes in prop::collection::vec((0usize..100, piece()), 1..3)) {
        let text = changes.iter().fold(text.to_owned(), |text, (which, value)| revalue(&text, *which, value));
        check(&text, &[]);
    }

    #[test]
    fn overrides(
        text in scenarios(),
        key in prop_oneof![
            "[a-z.\\[\\]0-9]{0,20}",
            Just("topology.star.hosts".to_owned()),
            Just("topology.star".to_owned()),
            Just("topology".to_owned()),
            Just("traffic.collective[0].sizes".to_owned()),
            Just("traffic.collective.0.matrix".to_owned()),
            Just("traffic.collective[0].sizes.factor".to_owned()),
            Just("traffic.collective[0].sizes.step".to_owned()),
            Just("time.dilation".to_owned()),
            Just("testbed.ranks".to_owned()),
            Just("testbed.fabric".to_owned()),
            Just("tcp.channels".to_owned()),
        ],
        value in piece(),
    ) {
        check(text, &[format!("{key}={value}")]);
        check(text, &[format!("{key}{value}")]);
    }
}
