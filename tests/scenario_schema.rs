//! The checked-in JSON schema, and that the reference names every key in it.

use std::collections::BTreeSet;

use genie::scenario::{read, schema};
use serde_json::Value;

#[test]
fn the_checked_in_schema_is_current() {
    let current = schema::json();
    if std::env::var_os("GENIE_UPDATE_SCHEMA").is_some() {
        std::fs::write("scenarios/schema.json", &current).expect("writable");
    }
    let stored = std::fs::read_to_string("scenarios/schema.json").unwrap_or_default();
    assert!(
        stored == current,
        "write it anew: genie schema > scenarios/schema.json"
    );
}

/// Keys and fixed values of all tables in the schema.
fn names(value: &Value, names: &mut BTreeSet<String>) {
    match value {
        Value::Object(object) => {
            if let Some(Value::Object(properties)) = object.get("properties") {
                names.extend(properties.keys().cloned());
            }
            if let Some(Value::String(fixed)) = object.get("const") {
                names.insert(fixed.clone());
            }
            object.values().for_each(|value| self::names(value, names));
        }
        Value::Array(array) => array.iter().for_each(|value| self::names(value, names)),
        _ => {}
    }
}

#[test]
fn the_reference_mentions_every_key_and_choice() {
    let schema: Value = serde_json::from_str(&schema::json()).expect("JSON");
    let mut all = BTreeSet::new();
    names(&schema, &mut all);
    assert!(all.len() > 50, "{all:?}");
    let reference = std::fs::read_to_string("docs/scenario-reference.md").expect("it is there");
    let missing: Vec<_> = all
        .iter()
        .filter(|name| {
            !reference.contains(&format!("`{name}`")) && !reference.contains(&format!("`\"{name}\"`"))
        })
        .collect();
    assert!(
        missing.is_empty(),
        "docs/scenario-reference.md says nothing of {missing:?}"
    );
}

/// `[time]` of the reference is a section of the schema and the other way round.
#[test]
fn the_reader_knows_the_sections_of_the_schema() {
    let schema: Value = serde_json::from_str(&schema::json()).expect("JSON");
    let keys = |value: &Value| -> BTreeSet<String> {
        value["properties"]
            .as_object()
            .map(|keys| keys.keys().cloned().collect())
            .unwrap_or_default()
    };
    let known = |list: &[&str]| -> BTreeSet<String> { list.iter().map(|name| name.to_string()).collect() };
    assert_eq!(keys(&schema), known(read::SECTIONS));
    assert_eq!(keys(&schema["$defs"]["Traffic"]), known(read::TRAFFIC));
}

#[test]
fn the_scenarios_in_the_reference_are_right() {
    let reference = std::fs::read_to_string("docs/scenario-reference.md").expect("it is there");
    let blocks = reference
        .split("```toml\n")
        .skip(1)
        .filter_map(|rest| rest.split("```").next());
    let mut count = 0;
    for text in blocks {
        let planned = genie::scenario::load_text("reference", text, &[])
            .and_then(|loaded| genie::scenario::planner::build(&loaded));
        planned.unwrap_or_else(|diagnostics| panic!("{diagnostics}"));
        count += 1;
    }
    assert!(count > 0);
}
