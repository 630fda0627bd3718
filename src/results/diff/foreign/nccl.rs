//! nccl-tests: its table, and the JSON that `-J` writes (nccl-tests, `src/util.cu`). Times are in
//! microseconds, rates in 10^9 bytes per second. Out-of-place figures are taken, in-place ones where
//! there are no others.

use serde_json::Value as Json;

use super::{Field, Key, Measured, Parsed, Value, collective, dtype, text_of};

/// GB/s to Gbit/s.
const BITS: f64 = 8.0;

/// The table: `#` lines around rows of size, count, type, redop, root, time, algbw, busbw, #wrong.
pub fn text(text: &str) -> Option<Parsed> {
    let titles = |line: &&str| line.starts_with('#') && line.contains(" busbw") && line.contains(" count");
    text.lines().find(titles)?;
    let mut parsed = Parsed {
        source: "nccl-tests (text)",
        ..Parsed::default()
    };
    let ranks = text
        .lines()
        .filter(|line| line.trim_start_matches('#').trim_start().starts_with("Rank "));
    let ranks = ranks.count() as u64;
    let mut op = None;
    let mut first_figure = 5;
    for line in text.lines() {
        if let Some((_, program)) = line.split_once("Collective test starting:") {
            op = Some(collective(program.rsplit('/').next().unwrap_or(program)));
        }
        if titles(&line) {
            let words = line.trim_start_matches('#').split_whitespace();
            first_figure = words.take_while(|word| *word != "time").count();
        }
        let words: Vec<&str> = line.split_whitespace().collect();
        if let Some(row) = row(&words, first_figure, op.as_deref(), ranks) {
            parsed.rows.push(row);
        }
    }
    Some(parsed)
}

fn row(words: &[&str], first_figure: usize, op: Option<&str>, ranks: u64) -> Option<Measured> {
    let bytes: u64 = words.first()?.parse().ok()?;
    words.get(1)?.parse::<u64>().ok()?;
    let figure = |place: usize| words.get(first_figure + place)?.parse::<f64>().ok();
    // No out-of-place figures: the in-place ones move up, which is as well.
    let (time, algbw, busbw) = (figure(0)?, figure(1)?, figure(2)?);
    let redop = words.get(3).filter(|_| first_figure > 3);
    let root = words.get(4).filter(|_| first_figure > 4);
    Some(Measured {
        key: key(
            op,
            bytes,
            words.get(2).copied(),
            redop.copied(),
            root.copied(),
            ranks,
        ),
        time_us: vec![time],
        algbw_gbps: vec![algbw * BITS],
        busbw_gbps: vec![busbw * BITS],
    })
}

fn key(
    op: Option<&str>,
    bytes: u64,
    kind: Option<&str>,
    redop: Option<&str>,
    root: Option<&str>,
    ranks: u64,
) -> Key {
    let mut key = Key::from([(Field::Bytes, Value::Number(bytes))]);
    if let Some(op) = op {
        key.insert(Field::Op, text_of(op));
    }
    if let Some(kind) = kind {
        key.insert(Field::Dtype, text_of(dtype(kind)));
    }
    if let Some(redop) = redop {
        key.insert(Field::Redop, text_of(redop));
    }
    if let Some(root) = root {
        let root = if root.trim() == "-1" { "none" } else { root.trim() };
        key.insert(Field::Root, text_of(root));
    }
    if ranks > 0 {
        key.insert(Field::Ranks, Value::Number(ranks));
    }
    key
}

/// The report of `-J`.
pub fn json(documents: &[Json]) -> Option<Parsed> {
    let mut parsed = Parsed {
        source: "nccl-tests (JSON)",
        ..Parsed::default()
    };
    for document in documents {
        document.get("nccl_version").or_else(|| document.get("config"))?;
        let results = document.get("results")?.as_array()?;
        let ranks = document
            .pointer("/config/devices")
            .or_else(|| document.get("devices"));
        let ranks = ranks.and_then(Json::as_array).map_or(0, Vec::len) as u64;
        parsed
            .rows
            .extend(results.iter().filter_map(|result| record(result, ranks)));
    }
    (!documents.is_empty()).then_some(parsed)
}

fn record(result: &Json, ranks: u64) -> Option<Measured> {
    let bytes = result.get("size")?.as_u64()?;
    let word = |name: &str| result.get(name).and_then(Json::as_str);
    let place = ["out_of_place", "in_place"];
    let place = place
        .into_iter()
        .find(|place| result.get(*place).is_some_and(Json::is_object))?;
    let figure = |name: &str| result.get(place)?.get(name)?.as_f64();
    let each = result
        .get(format!("{place}_per_iter"))
        .and_then(|each| each.get("times_us"));
    let each: Vec<f64> = each
        .and_then(Json::as_array)
        .into_iter()
        .flatten()
        .filter_map(Json::as_f64)
        .collect();
    let op = word("experiment_name").map(collective);
    let time = figure("time").or_else(|| figure("cpu_time"));
    Some(Measured {
        key: key(
            op.as_deref(),
            bytes,
            word("type"),
            word("redop"),
            word("root"),
            ranks,
        ),
        time_us: if each.is_empty() {
            time.into_iter().collect()
        } else {
            each
        },
        algbw_gbps: figure("alg_bw").map(|rate| rate * BITS).into_iter().collect(),
        busbw_gbps: figure("bus_bw").map(|rate| rate * BITS).into_iter().collect(),
    })
}
