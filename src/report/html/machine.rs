//! Everything else that is known: the environment fact by fact, and the scenario as resolved.

use std::collections::BTreeSet;

use super::page::{Block, Section, Table};
use super::side::Side;
use crate::report::diff::letter;
use crate::results::diff::facts;

/// The environment of all sides and their scenarios.
pub(super) fn section(sides: &[Side]) -> Section {
    let facts: Vec<_> = sides.iter().map(|side| facts::of(&side.run().manifest)).collect();
    let names: BTreeSet<&String> = facts.iter().flat_map(|facts| facts.keys()).collect();
    let titles = (0..sides.len()).map(|place| {
        if sides.len() == 1 {
            "value".to_owned()
        } else {
            letter(place)
        }
    });
    let mut table = Table::new(
        "The environment in which it was run, fact by fact",
        std::iter::once("fact".to_owned()).chain(titles),
    );
    for name in names.into_iter().filter(|name| !name.starts_with("scenario.")) {
        let value = |facts: &std::collections::BTreeMap<String, String>| {
            facts.get(name).cloned().unwrap_or_else(|| "-".into())
        };
        table.rows.push(
            std::iter::once(name.clone())
                .chain(facts.iter().map(value))
                .collect(),
        );
    }
    let mut blocks = vec![Block::Table { table, folded: true }];
    let mut told: Vec<&str> = Vec::new();
    for (place, side) in sides.iter().enumerate() {
        let scenario = &side.run().manifest.plan.scenario;
        if !told.contains(&scenario.as_str()) {
            told.push(scenario);
            let of = if sides.len() == 1 {
                String::new()
            } else {
                format!(" of {}", letter(place))
            };
            blocks.push(Block::Text {
                title: format!("The scenario{of} as resolved: play it with `genie run`"),
                text: scenario.clone(),
            });
        }
    }
    Section {
        id: "machine".into(),
        title: "Environment and scenario".into(),
        blocks,
        ..Section::default()
    }
}
