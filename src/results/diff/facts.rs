//! What runs depended on, as names and values that can be laid side by side.

use std::collections::BTreeMap;

use serde::Serialize;

use super::series::Series;
use crate::results::digest::Digest;
use crate::results::run::Manifest;
use crate::scenario::plan::Plan;

/// What changes from run to run and says nothing of the machine: the moment, and how the run was asked for.
const MOMENTARY: &[&str] = &["environment.load", "environment.command", "environment.scheduler"];

/// The same of every module.
const TEMPERATURE: &str = ".module_temperature";

/// A fact in which sides differ; `None`: a side does not know it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// Its name.
    pub fact: String,
    /// Its value on each side, in order.
    pub values: Vec<Option<String>>,
}

/// Environment, scenario as resolved, and seed of a run.
pub fn of(manifest: &Manifest) -> BTreeMap<String, String> {
    let mut facts = BTreeMap::new();
    let environment = serde_json::to_value(&manifest.environment).unwrap_or_default();
    flatten("environment", &environment, &mut facts);
    let scenario: Option<toml::Value> = toml::from_str(&manifest.plan.scenario).ok();
    let scenario = serde_json::to_value(scenario).unwrap_or_default();
    flatten("scenario", &scenario, &mut facts);
    facts.insert("seed".into(), manifest.seed.to_string());
    // Enough of it to tell two apart, and to read.
    let topology = topology_sha256(&manifest.plan)[..12].to_owned();
    facts.insert("topology_sha256".into(), topology);
    facts.retain(|name, value| {
        let momentary = MOMENTARY.iter().any(|momentary| name.starts_with(momentary));
        !momentary && !name.ends_with(TEMPERATURE) && !is_imitations_address(name, value)
    });
    facts
}

/// An imitation listens wherever this machine has a port for it.
fn is_imitations_address(name: &str, value: &str) -> bool {
    name.starts_with("environment.equipment.") && name.ends_with(".address") && value.starts_with("127.")
}

/// SHA-256 of the network as resolved: nodes, links and routes, as JSON.
pub fn topology_sha256(plan: &Plan) -> String {
    Digest::of(&serde_json::to_vec(&plan.network).unwrap_or_default()).sha256
}

/// SHA-256 of the scenario as resolved.
pub fn scenario_sha256(plan: &Plan) -> String {
    Digest::of(plan.scenario.as_bytes()).sha256
}

/// The facts in which sides that have any differ, environment first.
pub fn differences(series: &[Series]) -> Vec<Difference> {
    let told: Vec<&Series> = series.iter().filter(|side| !side.facts.is_empty()).collect();
    let mut names: Vec<&String> = told.iter().flat_map(|side| side.facts.keys()).collect();
    names.sort();
    names.dedup();
    let differs = |name: &&&String| {
        let mut values = told.iter().map(|side| side.facts.get(**name));
        let first = values.next();
        values.any(|value| Some(value) != first)
    };
    let difference = |name: &String| Difference {
        fact: name.clone(),
        values: series.iter().map(|side| side.facts.get(name).cloned()).collect(),
    };
    names
        .iter()
        .filter(differs)
        .map(|name| difference(name))
        .collect()
}

fn flatten(name: &str, value: &serde_json::Value, facts: &mut BTreeMap<String, String>) {
    match value {
        serde_json::Value::Null => {}
        serde_json::Value::Object(fields) => {
            for (field, value) in fields {
                flatten(&format!("{name}.{field}"), value, facts);
            }
        }
        serde_json::Value::Array(items) if items.iter().any(|item| item.is_object() || item.is_array()) => {
            for (place, item) in items.iter().enumerate() {
                flatten(&format!("{name}.{place}"), item, facts);
            }
        }
        serde_json::Value::String(text) => drop(facts.insert(name.into(), text.clone())),
        other => drop(facts.insert(name.into(), other.to_string())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_an_imitation_listens_says_nothing_of_the_machine() {
        assert!(is_imitations_address(
            "environment.equipment.o.address",
            "127.0.0.1:4711"
        ));
        assert!(!is_imitations_address(
            "environment.equipment.o.address",
            "10.0.0.5:5025"
        ));
        assert!(!is_imitations_address("environment.equipment.o.serial", "127.0"));
    }

    #[test]
    fn only_what_differs_is_told_and_unknown_is_not_different_from_nothing() {
        let side = |facts: &[(&str, &str)]| Series {
            facts: facts.iter().map(|(k, v)| ((*k).into(), (*v).into())).collect(),
            ..Series::default()
        };
        let (a, b) = (
            side(&[("kernel", "6.1"), ("seed", "1")]),
            side(&[("kernel", "6.12"), ("seed", "1")]),
        );
        let found = differences(&[a.clone(), b, Series::default()]);
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].fact, "kernel");
        assert_eq!(found[0].values, [Some("6.1".into()), Some("6.12".into()), None]);
        assert!(differences(&[a, Series::default()]).is_empty());
    }
}
