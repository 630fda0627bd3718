//! OSU micro-benchmarks: `# OSU MPI Allreduce Latency Test v7.4` (or `MPI-CUDA`, `NCCL`, ...), a title line, then rows
//! of size and figures. Latencies are in microseconds, bandwidths in 10^6 bytes per second.

use super::{Field, Key, Measured, Parsed, Value, collective, text_of};

/// The tables of one or several tests.
pub fn text(text: &str) -> Option<Parsed> {
    let mut parsed = Parsed {
        source: "OSU micro-benchmarks",
        ..Parsed::default()
    };
    let (mut op, mut titles) = (None, Vec::new());
    for line in text.lines() {
        if let Some(test) = line.strip_prefix("# OSU ") {
            (op, titles) = (Some(name(test)), Vec::new());
        } else if let Some(title) = line.strip_prefix('#').filter(|title| is_title(title)) {
            titles = columns(title);
        } else if let (Some(op), false) = (&op, titles.is_empty()) {
            parsed.rows.extend(row(line, op, &titles));
        }
    }
    op.as_ref()?;
    if parsed.rows.iter().any(blocks) {
        parsed.cautions.push(
            "OSU counts one rank's block where nccl-tests and genie count all ranks' for all-gather, reduce-scatter, \
             all-to-all, gather and scatter"
                .into(),
        );
    }
    Some(parsed)
}

/// `MPI-CUDA Allreduce Latency Test v7.4`: what was tested.
fn name(test: &str) -> String {
    // The library, with the kind of memory behind a dash; `MPI_Put` is a name of its own.
    let library = |word: &&str| {
        matches!(
            word.split('-').next(),
            Some("MPI" | "NCCL" | "OpenSHMEM" | "UPC" | "UPC++")
        )
    };
    let words = test.split_whitespace().skip_while(library);
    let words: Vec<&str> = words
        .take_while(|word| !matches!(*word, "Test" | "Latency" | "latency"))
        .collect();
    match words.as_slice() {
        [] => "latency".into(),
        words => collective(&words.join(" ")),
    }
}

fn blocks(row: &Measured) -> bool {
    let op = row
        .key
        .get(&Field::Op)
        .map(ToString::to_string)
        .unwrap_or_default();
    matches!(
        op.as_str(),
        "all-gather" | "reduce-scatter" | "all-to-all" | "gather" | "scatter"
    )
}

fn is_title(title: &str) -> bool {
    title.contains("(us)") || title.contains("MB/s")
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Column {
    Size,
    Latency,
    Bandwidth,
    Other,
}

/// Titles are words with units in brackets: `Size`, `Avg Latency(us)`, `Bandwidth (MB/s)`.
fn columns(title: &str) -> Vec<Column> {
    let spaced = title.replace(" (", "(");
    // Two spaces part columns; within a title there is one.
    let names = spaced.split("  ").map(str::trim).filter(|name| !name.is_empty());
    let mut seen = Vec::new();
    for name in names {
        seen.push(match name {
            "Size" => Column::Size,
            name if name.contains("(us)") && !seen.contains(&Column::Latency) => Column::Latency,
            name if name.contains("MB/s") && !seen.contains(&Column::Bandwidth) => Column::Bandwidth,
            _ => Column::Other,
        });
    }
    seen
}

fn row(line: &str, op: &str, titles: &[Column]) -> Option<Measured> {
    // A column may hold a word: `Pass` of validation.
    let words: Vec<&str> = line.split_whitespace().collect();
    let number = |column| -> Option<f64> {
        let place = titles.iter().position(|title| *title == column)?;
        words.get(place)?.parse().ok()
    };
    words.first()?.parse::<f64>().ok()?;
    let mut key = Key::from([(Field::Op, text_of(op))]);
    if let Some(bytes) = number(Column::Size) {
        key.insert(Field::Bytes, Value::Number(bytes as u64));
    }
    let found = Measured {
        key,
        time_us: number(Column::Latency).into_iter().collect(),
        algbw_gbps: number(Column::Bandwidth)
            .map(|rate| rate * 8.0 / 1e3)
            .into_iter()
            .collect(),
        busbw_gbps: Vec::new(),
    };
    (!found.time_us.is_empty() || !found.algbw_gbps.is_empty()).then_some(found)
}
