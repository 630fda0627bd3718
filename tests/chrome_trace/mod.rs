//! A timeline held against the Trace Event Format and what Perfetto's importer makes of it, without Perfetto.

#![allow(clippy::unwrap_used)] // clippy takes helpers of integration tests for code

use std::collections::{BTreeMap, BTreeSet, HashMap};

use serde_json::Value;

/// The events of a trace, each checked: fields and types of its phase, times that are not negative,
/// slices of a thread within each other, arrows with both ends on slices, metadata once.
pub fn strict(text: &str) -> Vec<Value> {
    let json: Value = serde_json::from_str(text).unwrap();
    let events = json["traceEvents"].as_array().unwrap().clone();
    let mut threads: BTreeMap<(u64, u64), Vec<(u64, u64)>> = BTreeMap::new();
    let mut named = BTreeSet::new();
    // Perfetto looks threads up by their numbers alone.
    let mut processes: BTreeMap<u64, u64> = BTreeMap::new();
    let ns = |value: &Value| (value.as_f64().unwrap() * 1000.0).round() as u64;
    for event in &events {
        let pid = event["pid"].as_u64().unwrap();
        assert!(pid > 0 && event["name"].is_string(), "{event}");
        let tid = || event["tid"].as_u64().unwrap();
        if let Some(tid) = event["tid"].as_u64().filter(|tid| *tid != pid) {
            assert_eq!(
                *processes.entry(tid).or_insert(pid),
                pid,
                "thread of two processes: {event}"
            );
        }
        match event["ph"].as_str().unwrap() {
            "M" => {
                let thread = event.get("tid").and_then(Value::as_u64);
                assert!(
                    named.insert((event["name"].to_string(), pid, thread)),
                    "named twice: {event}"
                );
            }
            "X" => {
                let (from, length) = (ns(&event["ts"]), ns(&event["dur"]));
                assert!(event["cat"].is_string() && event["args"].is_object());
                threads
                    .entry((pid, tid()))
                    .or_default()
                    .push((from, from + length));
            }
            "b" | "e" => assert!(event["id"].is_u64() && event["cat"].is_string() && event["ts"].is_f64()),
            "s" | "f" => assert!(event["id"].is_u64() && event["ts"].is_f64()),
            "i" => assert!(event["s"].is_string() && event["ts"].is_f64()),
            "C" => assert!(event["args"]["value"].is_u64() && event["ts"].is_f64()),
            other => panic!("phase {other}: {event}"),
        }
    }
    for slices in threads.values_mut() {
        slices.sort_unstable_by_key(|&(from, to)| (from, std::cmp::Reverse(to)));
        let mut open: Vec<u64> = Vec::new();
        for &(from, to) in slices.iter() {
            open.retain(|&end| end > from);
            assert!(
                open.last().is_none_or(|&end| to <= end),
                "{from}..{to} crosses another"
            );
            open.push(to);
        }
    }
    let mut arrows: HashMap<(String, u64), [Option<u64>; 2]> = HashMap::new();
    for event in events
        .iter()
        .filter(|event| event["ph"] == "s" || event["ph"] == "f")
    {
        let (pid, tid, at) = (
            event["pid"].as_u64().unwrap(),
            event["tid"].as_u64().unwrap(),
            ns(&event["ts"]),
        );
        let on = threads[&(pid, tid)]
            .iter()
            .any(|&(from, to)| from <= at && at <= to);
        assert!(on, "an arrow without a slice: {event}");
        let name = (event["name"].to_string(), event["id"].as_u64().unwrap());
        let ends = arrows.entry(name).or_default();
        let end = &mut ends[usize::from(event["ph"] == "f")];
        assert!(end.replace(at).is_none(), "twice: {event}");
    }
    for (id, ends) in arrows {
        let [Some(from), Some(to)] = ends else {
            panic!("arrow {id:?} has one end")
        };
        assert!(from <= to, "arrow {id:?} goes back in time");
    }
    events
}
