//! iperf3 (`-J`, `--json-stream`): bits per second of each interval, as algorithm bandwidth.

use serde_json::Value as Json;

use super::{Field, Key, Measured, Parsed, text_of};

/// One report, or the events of a stream.
pub fn json(documents: &[Json]) -> Option<Parsed> {
    let mut parsed = Parsed {
        source: "iperf3",
        ..Parsed::default()
    };
    for document in documents
        .iter()
        .filter(|document| document.get("event").is_none())
    {
        let start = document.get("start")?;
        let intervals = document.get("intervals")?.as_array()?;
        parsed
            .rows
            .push(row(start, intervals.iter(), document.get("end")));
    }
    parsed.rows.extend(stream(documents));
    (!parsed.rows.is_empty()).then_some(parsed)
}

fn stream(documents: &[Json]) -> Option<Measured> {
    let of = |name: &'static str| {
        let named = move |document: &&Json| document.get("event").and_then(Json::as_str) == Some(name);
        documents
            .iter()
            .filter(named)
            .filter_map(|document| document.get("data"))
    };
    Some(row(of("start").next()?, of("interval"), of("end").next()))
}

fn row<'a>(start: &Json, intervals: impl Iterator<Item = &'a Json>, end: Option<&Json>) -> Measured {
    let protocol = start
        .pointer("/test_start/protocol")
        .and_then(Json::as_str)
        .unwrap_or("TCP");
    let rate = |sum: &Json| {
        sum.get("bits_per_second")
            .and_then(Json::as_f64)
            .map(|rate| rate / 1e9)
    };
    let measured = |interval: &Json| {
        let sum = interval.get("sum")?;
        let omitted = sum.get("omitted").and_then(Json::as_bool).unwrap_or(false);
        (!omitted).then(|| rate(sum)).flatten()
    };
    let mut rates: Vec<f64> = intervals.filter_map(measured).collect();
    if rates.is_empty() {
        let received = end.and_then(|end| end.get("sum_received").or_else(|| end.get("sum")));
        rates.extend(received.and_then(rate));
    }
    Measured {
        key: Key::from([(Field::Op, text_of(format!("iperf3 {protocol}")))]),
        algbw_gbps: rates,
        ..Measured::default()
    }
}
