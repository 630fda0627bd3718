//! Bandwidth and time against size, each with what the links allow and what the plan expects.

use std::collections::BTreeMap;

use super::page::{Block, Figure, Key, Section, Table};
use super::side::Side;
use super::{micros, short, size};
use crate::report::diff::letter;
use crate::report::svg::plot::{Axis, Line, Plot, Stroke};
use crate::report::svg::scale::Kind;
use crate::results::summary::Row;

/// A row at its place on the curves. Times in nominal microseconds, rates in Gbit/s.
#[derive(Debug, Clone)]
struct Point {
    bytes: f64,
    time: f64,
    times: (f64, f64),
    busbw: f64,
    /// busbw per 1 / us: from a time to the rate that it means.
    factor: f64,
    limit: Option<f64>,
    expected: Option<f64>,
}

/// The points of one algorithm of one side.
type Curve = (String, Vec<Point>);

/// `None` where no collective was played at several sizes.
pub(super) fn section(sides: &[Side]) -> Option<Section> {
    let mut blocks = Vec::new();
    for (title, curves) in groups(sides) {
        if curves.iter().any(|(_, points)| points.len() > 1) {
            blocks.push(Block::Figure(figure(&title, &curves)));
        }
    }
    let notes = vec![
        "Medians of iterations; both axes are logarithmic. Where a run was repeated, the line goes through the median of its \
         repetitions and bars reach from the lowest to the highest. Limit and expectation are computed, not measured: the \
         limit is the bandwidth at which the busiest link carries all the payload it can; the expectation is the plan's, \
         from that limit and the delays of the algorithm's rounds."
            .into(),
    ];
    (!blocks.is_empty()).then(|| Section {
        id: "scaling".into(),
        title: "Bandwidth and time against size".into(),
        notes,
        blocks,
        ..Section::default()
    })
}

/// The curves of each collective and communicator.
fn groups(sides: &[Side]) -> Vec<(String, Vec<Curve>)> {
    let mut groups: Vec<(String, Vec<Curve>)> = Vec::new();
    for (place, side) in sides.iter().enumerate() {
        let rows = side
            .run()
            .rows
            .iter()
            .filter(|row| row.trace.is_none() && row.bytes > 0);
        let mut curves: BTreeMap<(String, String), Vec<Point>> = BTreeMap::new();
        for row in rows {
            let title = format!("{}, {} ranks ({})", row.op, row.ranks, row.communicator);
            let mut name = row.algorithm.to_string();
            if sides.len() > 1 {
                name = format!("{}: {name}", letter(place));
            }
            curves.entry((title, name)).or_default().extend(point(side, row));
        }
        for ((title, name), mut points) in curves {
            points.sort_by(|a, b| a.bytes.total_cmp(&b.bytes));
            match groups.iter_mut().find(|(group, _)| *group == title) {
                Some((_, curves)) => curves.push((name, points)),
                None => groups.push((title, vec![(name, points)])),
            }
        }
    }
    groups
}

fn point(side: &Side, row: &Row) -> Option<Point> {
    let mut medians = side.medians_of(row.index);
    medians.sort_by(f64::total_cmp);
    let (low, high) = (*medians.first()?, *medians.last()?);
    let time = crate::results::statistics::median::median(&medians)?;
    let own = row.time?.p50;
    let factor = row.busbw_gbps? * own;
    Some(Point {
        bytes: row.bytes as f64,
        time,
        times: (low, high),
        busbw: factor / time,
        factor,
        limit: row
            .link_share
            .filter(|share| *share > 0.0)
            .map(|share| factor / own / share),
        expected: row.expected_us.filter(|us| *us > 0.0),
    })
}

fn figure(title: &str, curves: &[Curve]) -> Figure {
    let several = curves
        .iter()
        .any(|(_, points)| points.iter().any(|point| point.times.0 < point.times.1));
    let mut legend = Vec::new();
    for (series, (name, points)) in curves.iter().enumerate() {
        legend.push(Key::line(series, "line", true, name.clone()));
        if points.iter().any(|point| point.limit.is_some()) {
            legend.push(Key::line(
                series,
                "line dashed",
                false,
                format!("{name}, limit of the links"),
            ));
        }
        if points.iter().any(|point| point.expected.is_some()) {
            legend.push(Key::line(
                series,
                "line dotted",
                false,
                format!("{name}, expected (modelled)"),
            ));
        }
    }
    let bars = if several {
        "; bars: lowest and highest repetition"
    } else {
        ""
    };
    Figure {
        caption: format!("{title}: bus bandwidth and time of an iteration against size{bars}"),
        drawings: vec![bandwidth(title, curves), time(title, curves)],
        legend,
        table: Some(table(title, curves)),
        small: false,
    }
}

fn bandwidth(title: &str, curves: &[Curve]) -> String {
    let lines = curves.iter().enumerate().flat_map(|(series, (name, points))| {
        let limit = points.iter().filter_map(|p| Some((p.bytes, p.limit?)));
        let expected = points
            .iter()
            .filter_map(|p| Some((p.bytes, p.factor / p.expected?)));
        let tip = |p: &Point| format!("{name}, {}: {} Gbit/s", size(p.bytes), short(p.busbw));
        [
            line(series, Stroke::Dashed, limit.collect()),
            line(series, Stroke::Dotted, expected.collect()),
            Line {
                bars: points
                    .iter()
                    .map(|p| (p.bytes, p.factor / p.times.1, p.factor / p.times.0))
                    .collect(),
                tips: points.iter().map(tip).collect(),
                ..line(
                    series,
                    Stroke::Marked,
                    points.iter().map(|p| (p.bytes, p.busbw)).collect(),
                )
            },
        ]
    });
    plot("busbw (Gbit/s)", short, lines.collect()).svg(&format!("{title}: bus bandwidth against size"))
}

fn time(title: &str, curves: &[Curve]) -> String {
    let lines = curves.iter().enumerate().flat_map(|(series, (name, points))| {
        let expected = points.iter().filter_map(|p| Some((p.bytes, p.expected?)));
        let limit = points.iter().filter_map(|p| Some((p.bytes, p.factor / p.limit?)));
        let tip = |p: &Point| format!("{name}, {}: {}", size(p.bytes), micros(p.time));
        [
            line(series, Stroke::Dashed, limit.collect()),
            line(series, Stroke::Dotted, expected.collect()),
            Line {
                bars: points.iter().map(|p| (p.bytes, p.times.0, p.times.1)).collect(),
                tips: points.iter().map(tip).collect(),
                ..line(
                    series,
                    Stroke::Marked,
                    points.iter().map(|p| (p.bytes, p.time)).collect(),
                )
            },
        ]
    });
    plot("time of an iteration", micros, lines.collect()).svg(&format!("{title}: time against size"))
}

fn line(series: usize, stroke: Stroke, points: Vec<(f64, f64)>) -> Line {
    Line {
        series,
        stroke,
        points,
        bars: Vec::new(),
        tips: Vec::new(),
    }
}

fn plot(y: &str, tick: fn(f64) -> String, lines: Vec<Line>) -> Plot {
    Plot {
        size: (520.0, 330.0),
        x: Axis {
            title: "size".into(),
            kind: Kind::LogSize,
            tick: size,
        },
        y: Axis {
            title: y.into(),
            kind: Kind::Log,
            tick,
        },
        lines,
        marks: Vec::new(),
        from_zero: false,
    }
}

fn table(title: &str, curves: &[Curve]) -> Table {
    let titles = [
        "curve",
        "#size",
        "#p50 (us)",
        "#lowest (us)",
        "#highest (us)",
        "#busbw (Gbit/s)",
        "#limit (Gbit/s)",
        "#expected (us), modelled",
    ];
    let mut table = Table::new(format!("{title}: bandwidth and time against size"), titles);
    let opt = |value: Option<f64>| value.map_or_else(|| "-".into(), short);
    for (name, points) in curves {
        table.rows.extend(points.iter().map(|p| {
            vec![
                name.clone(),
                size(p.bytes),
                short(p.time),
                short(p.times.0),
                short(p.times.1),
                short(p.busbw),
                opt(p.limit),
                opt(p.expected),
            ]
        }));
    }
    table
}
