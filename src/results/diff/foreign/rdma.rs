//! perftest (`ib_write_bw --out_json`): an object for each size with `test_info` and `results`
//! (perftest, `src/perftest_parameters.c`). Times are in microseconds. Rates are in MiB/s, or in
//! Gbit/s with `--report_gbits`, which the file does not say; the message rate does.

use serde_json::{Map, Value as Json, json};

use super::{Field, Key, Measured, Parsed, Value, text_of};

/// One object for each size.
pub fn json(documents: &[Json]) -> Option<Parsed> {
    let mut parsed = Parsed {
        source: "perftest",
        ..Parsed::default()
    };
    for document in documents {
        let test = document.pointer("/test_info/test")?.as_str()?;
        parsed.rows.push(row(test, document.get("results")?)?);
    }
    (!documents.is_empty()).then_some(parsed)
}

/// As perftest wrote it before 2024: keys and words without quotes, commas before closing brackets. `None` if it is
/// none of that.
pub fn loose(text: &str) -> Option<Parsed> {
    let mut documents = Vec::new();
    let (mut test, mut results) = (String::new(), None::<Map<String, Json>>);
    for line in text.lines() {
        // The bracket that closes the figures may follow the last of them.
        let line = line.trim().trim_end_matches(',');
        let (line, closes) = match line.strip_suffix('}') {
            Some(before) => (before.trim(), true),
            None => (line, false),
        };
        match (line.split_once(':'), &mut results) {
            (Some((key, value)), _) if key.trim() == "test" => test = value.trim().to_owned(),
            (Some((key, value)), _) if key.trim() == "results" && value.trim() == "{" => {
                results = Some(Map::new())
            }
            (Some((key, value)), Some(results)) => {
                if let Some(number) = number(value.trim()) {
                    results.insert(key.trim().to_owned(), number);
                }
            }
            _ => {}
        }
        if let Some(results) = results.take_if(|_| closes) {
            documents.push(json!({ "test_info": { "test": &test }, "results": results }));
        }
    }
    (!test.is_empty()).then(|| self::json(&documents)).flatten()
}

fn number(text: &str) -> Option<Json> {
    let whole = text.parse::<u64>().ok().map(Json::from);
    whole.or_else(|| text.parse::<f64>().ok().map(Json::from))
}

fn row(test: &str, results: &Json) -> Option<Measured> {
    let number = |name: &str| results.get(name).and_then(Json::as_f64);
    let mut key = Key::from([(Field::Op, text_of(test))]);
    let bytes = results.get("MsgSize").and_then(Json::as_u64);
    if let Some(bytes) = bytes {
        key.insert(Field::Bytes, Value::Number(bytes));
    }
    let time = number("t_typical")
        .or_else(|| number("t_avg"))
        .or_else(|| number("avg_lat"));
    let rate = number("BW_average")
        .or_else(|| number("bw_avg"))
        .map(|rate| gbps(rate, number("MsgRate"), bytes));
    (time.is_some() || rate.is_some()).then(|| Measured {
        key,
        time_us: time.into_iter().collect(),
        algbw_gbps: rate.into_iter().collect(),
        busbw_gbps: Vec::new(),
    })
}

/// Of the two units, the one that agrees with 10^6 messages per second of so many bytes.
fn gbps(rate: f64, millions: Option<f64>, bytes: Option<u64>) -> f64 {
    let mebibytes = rate * f64::from(1 << 20) * 8.0 / 1e9;
    let by_messages = millions
        .zip(bytes)
        .map(|(rate, bytes)| rate * 1e6 * bytes as f64 * 8.0 / 1e9);
    match by_messages.filter(|found| *found > 0.0) {
        Some(found) if (rate / found).ln().abs() < (mebibytes / found).ln().abs() => rate,
        _ => mebibytes,
    }
}
