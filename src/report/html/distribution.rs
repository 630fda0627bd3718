//! How the times of iterations are distributed: all rows at a glance, then each as histogram and as
//! cumulative distribution.

use super::page::{Block, Figure, Key, Section, Table};
use super::side::{Side, words};
use super::{micros, short};
use crate::report::diff::letter;
use crate::report::svg::plot::{Axis, Line, Plot, Stroke};
use crate::report::svg::scale::Kind;
use crate::report::svg::spread;
use crate::results::diff::series::Key as RowKey;
use crate::results::diff::stored::key;
use crate::results::statistics::times::nearest_rank;

/// Rows that are drawn one by one; of more, those that vary most.
const DRAWN: usize = 36;
/// Points of a cumulative distribution.
const POINTS: usize = 200;
/// Most bars of a histogram.
const BARS: f64 = 40.0;
/// Slowest over fastest, from which on the axis is logarithmic.
const WIDE: f64 = 8.0;

/// A row of all sides: each side's times, ascending, nominal microseconds.
struct Group {
    name: String,
    sides: Vec<(usize, Vec<f64>)>,
}

impl Group {
    /// How far the slowest hundredth is from the median; the largest of all sides.
    fn tail(&self) -> f64 {
        let tail = |sorted: &[f64]| Some(nearest_rank(sorted, 0.99)? / nearest_rank(sorted, 0.5)?);
        self.sides
            .iter()
            .filter_map(|(_, sorted)| tail(sorted))
            .fold(0.0, f64::max)
    }
}

/// `None` where no row has two iterations.
pub(super) fn section(sides: &[Side]) -> Option<Section> {
    let mut groups = groups(sides);
    groups.retain(|group| group.sides.iter().any(|(_, times)| times.len() > 1));
    if groups.is_empty() {
        return None;
    }
    let mut notes = vec![
        "An iteration lasts until its slowest rank has finished it. Of repetitions all iterations are taken together.".into(),
    ];
    let mut blocks = vec![Block::Figure(overview(&groups, sides))];
    if groups.len() > DRAWN {
        notes.push(format!(
            "{} of {} rows are drawn one by one: those whose slowest hundredth is farthest from the median. The table has all.",
            DRAWN,
            groups.len()
        ));
        groups.sort_by(|a, b| b.tail().total_cmp(&a.tail()));
        groups.truncate(DRAWN);
    }
    blocks.extend(groups.iter().map(|group| Block::Figure(figure(group, sides))));
    Some(Section {
        id: "distribution".into(),
        title: "Distribution of times".into(),
        notes,
        blocks,
        ..Section::default()
    })
}

fn groups(sides: &[Side]) -> Vec<Group> {
    let mut groups: Vec<((RowKey, usize), Group)> = Vec::new();
    for (place, side) in sides.iter().enumerate() {
        let mut met: Vec<RowKey> = Vec::new();
        for row in &side.run().rows {
            let key = key(row);
            // Rows that are equal in all that names them are told apart by their order.
            let occurrence = met.iter().filter(|before| **before == key).count();
            met.push(key.clone());
            let mut times = side.times_of(row.index);
            times.sort_by(f64::total_cmp);
            if times.is_empty() {
                continue;
            }
            let id = (key, occurrence);
            match groups.iter_mut().find(|(other, _)| *other == id) {
                Some((_, group)) => group.sides.push((place, times)),
                None => groups.push((
                    id,
                    Group {
                        name: words(row),
                        sides: vec![(place, times)],
                    },
                )),
            }
        }
    }
    groups.into_iter().map(|(_, group)| group).collect()
}

/// Every row relative to its own median.
fn overview(groups: &[Group], sides: &[Side]) -> Figure {
    let mut rows = Vec::new();
    let titles = [
        "row",
        "#iterations",
        "#min (us)",
        "#p5",
        "#p25",
        "#p50",
        "#p75",
        "#p95",
        "#p99",
        "#max",
        "#p99 / p50",
    ];
    let mut table = Table::new(
        "Quantiles of the times of iterations, microseconds (nominal)",
        titles,
    );
    for group in groups {
        for (place, sorted) in &group.sides {
            let quantile = |p: f64| nearest_rank(sorted, p).unwrap_or(f64::NAN);
            let (min, max) = (sorted[0], sorted[sorted.len() - 1]);
            let median = quantile(0.5);
            let name = match sides.len() {
                1 => group.name.clone(),
                _ => format!("{}: {}", letter(*place), group.name),
            };
            let all = [
                min,
                quantile(0.05),
                quantile(0.25),
                quantile(0.75),
                quantile(0.95),
                quantile(0.99),
                max,
            ];
            let mut cells = vec![name.clone(), sorted.len().to_string()];
            cells.extend([&all[..3], &[median], &all[3..]].concat().into_iter().map(short));
            cells.push(short(quantile(0.99) / median));
            table.rows.push(cells);
            if sorted.len() > 1 && median > 0.0 {
                rows.push(spread::Row {
                    name,
                    quantiles: all.map(|time| time / median),
                    series: *place,
                });
            }
        }
    }
    Figure {
        caption: "Spread of each row: box from the 25th to the 75th percentile, thick line from the 5th to the 95th, thin line \
                  from fastest to slowest, diamond at the 99th"
            .into(),
        drawings: vec![spread::svg(&rows, "spread of the times of iterations of every row, relative to its median")],
        legend: legend(sides, groups.iter().flat_map(|group| &group.sides).map(|(place, _)| *place)),
        table: Some(table),
        small: false,
    }
}

/// Names of the sides, where there are several.
fn legend(sides: &[Side], places: impl Iterator<Item = usize>) -> Vec<Key> {
    let mut places: Vec<usize> = places.filter(|_| sides.len() > 1).collect();
    places.sort_unstable();
    places.dedup();
    let key = |place: usize| {
        Key::line(
            place,
            "line",
            false,
            format!("{} {}", letter(place), sides[place].label),
        )
    };
    places.into_iter().map(key).collect()
}

fn figure(group: &Group, sides: &[Side]) -> Figure {
    let all = || group.sides.iter().flat_map(|(_, times)| times.iter().copied());
    let (low, high) = (all().fold(f64::INFINITY, f64::min), all().fold(0.0, f64::max));
    let kind = match low > 0.0 && high / low > WIDE {
        true => Kind::Log,
        false => Kind::Linear,
    };
    let counts: Vec<String> = group
        .sides
        .iter()
        .map(|(_, times)| times.len().to_string())
        .collect();
    let name = &group.name;
    Figure {
        caption: format!("{name}, {} iterations", counts.join(" and ")),
        drawings: vec![histogram(group, kind, (low, high)), cumulative(group, kind)],
        legend: legend(sides, group.sides.iter().map(|(place, _)| *place)),
        table: None,
        small: true,
    }
}

/// Shares of iterations in bars of equal width (of equal ratio on a logarithmic axis).
fn histogram(group: &Group, kind: Kind, (low, high): (f64, f64)) -> String {
    let most = group
        .sides
        .iter()
        .map(|(_, times)| times.len())
        .max()
        .unwrap_or(1);
    // Square root of the samples: coarse enough for few, fine enough for many.
    let bars = (most as f64).sqrt().ceil().clamp(4.0, BARS);
    let edge = |bar: f64| match kind {
        Kind::Linear => low + (high - low) * bar / bars,
        _ => low * (high / low).powf(bar / bars),
    };
    let steps = |times: &[f64]| {
        let mut points = vec![(edge(0.0), 0.0)];
        for bar in 0..bars as usize {
            let (from, to) = (edge(bar as f64), edge(bar as f64 + 1.0));
            let last = bar + 1 == bars as usize;
            let inside = times
                .iter()
                .filter(|time| **time >= from && (**time < to || last));
            let share = inside.count() as f64 / times.len() as f64 * 100.0;
            points.extend([(from, share), (to, share)]);
        }
        points.push((edge(bars), 0.0));
        points
    };
    let lines = group
        .sides
        .iter()
        .map(|(place, times)| line(*place, steps(times)));
    let label = format!("{}: histogram of the times of iterations", group.name);
    plot(kind, "% of iterations", lines.collect(), Vec::new()).svg(&label)
}

/// For each time the share of iterations that took no longer.
fn cumulative(group: &Group, kind: Kind) -> String {
    let points = |sorted: &[f64]| {
        let every = (sorted.len() as f64 / POINTS as f64).max(1.0);
        let mut points = vec![(sorted[0], 0.0)];
        let mut place = every;
        while (place as usize) < sorted.len() {
            points.push((
                sorted[place as usize - 1],
                place.floor() / sorted.len() as f64 * 100.0,
            ));
            place += every;
        }
        points.push((sorted[sorted.len() - 1], 100.0));
        // Steps: nothing is known between two samples.
        let steps = points
            .windows(2)
            .flat_map(|pair| [(pair[0].0, pair[0].1), (pair[1].0, pair[0].1)]);
        steps.chain(points.last().copied()).collect::<Vec<_>>()
    };
    let lines = group
        .sides
        .iter()
        .map(|(place, sorted)| line(*place, points(sorted)));
    let marks = match group.sides.as_slice() {
        [(_, sorted)] => [(0.5, "p50"), (0.99, "p99")]
            .into_iter()
            .filter_map(|(p, name)| {
                let time = nearest_rank(sorted, p)?;
                Some((time, format!("{name} {}", micros(time))))
            })
            .collect(),
        _ => Vec::new(),
    };
    let label = format!(
        "{}: cumulative distribution of the times of iterations",
        group.name
    );
    plot(kind, "% that took no longer", lines.collect(), marks).svg(&label)
}

fn line(series: usize, points: Vec<(f64, f64)>) -> Line {
    Line {
        series,
        stroke: Stroke::Plain,
        points,
        bars: Vec::new(),
        tips: Vec::new(),
    }
}

fn plot(kind: Kind, y: &str, lines: Vec<Line>, marks: Vec<(f64, String)>) -> Plot {
    Plot {
        size: (360.0, 210.0),
        x: Axis {
            title: "time of an iteration".into(),
            kind,
            tick: micros,
        },
        y: Axis {
            title: y.into(),
            kind: Kind::Linear,
            tick: |value| format!("{value:.0}"),
        },
        lines,
        marks,
        from_zero: true,
    }
}
