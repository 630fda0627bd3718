//! ASTRA-sim's standard output: `sys[3] finished, 123456 cycles, exposed communication 1000 cycles.`
//! A cycle is a nanosecond of simulated time. Computed, not measured: exact.

use super::{Field, Key, Measured, Parsed, Value, text_of};

/// The time of the last system to finish, and the largest exposed communication.
pub fn text(text: &str) -> Option<Parsed> {
    let finished: Vec<(u64, Option<u64>)> = text.lines().filter_map(line).collect();
    let (longest, ranks) = (
        finished.iter().map(|(cycles, _)| *cycles).max()?,
        finished.len() as u64,
    );
    let exposed = finished.iter().filter_map(|(_, exposed)| *exposed).max();
    let row = |op: &str, cycles: u64| Measured {
        key: Key::from([(Field::Op, text_of(op)), (Field::Ranks, Value::Number(ranks))]),
        time_us: vec![cycles as f64 / 1e3],
        ..Measured::default()
    };
    let mut rows = vec![row("simulation", longest)];
    rows.extend(exposed.map(|cycles| row("exposed communication", cycles)));
    Some(Parsed {
        source: "ASTRA-sim",
        exact: true,
        rows,
        cautions: vec!["ASTRA-sim's times are modelled, not measured".into()],
    })
}

fn line(line: &str) -> Option<(u64, Option<u64>)> {
    let (_, rest) = line.split_once("sys[")?;
    let (system, rest) = rest.split_once("] finished, ")?;
    system.parse::<u32>().ok()?;
    let (cycles, rest) = rest.split_once(" cycles")?;
    let exposed = rest
        .split_once("exposed communication ")
        .and_then(|(_, rest)| rest.split_once(" cycles"));
    Some((
        cycles.trim().parse().ok()?,
        exposed.and_then(|(cycles, _)| cycles.trim().parse().ok()),
    ))
}
