//! Links: how busy each direction was in each operation, counted on the links themselves.

use super::page::{Block, Figure, Section, Table};
use super::ranks::amount;
use super::side::{Side, columns};
use super::{percent, short};
use crate::report::svg::heat::{Colours, Heat};
use crate::results::links::LinkOp;
use crate::results::summary::Row;
use crate::results::{Run, tables};

/// Link directions that are drawn; of more, the busiest.
const DRAWN: usize = 128;

/// `None` where links are not counted.
pub(super) fn section(side: &Side, title: String, place: usize) -> Option<Section> {
    let run = side.run();
    if side.links.is_empty() && run.links.is_empty() {
        return None;
    }
    let rows = rows(run);
    let (directions, shaped) = rates(side, &rows);
    let mut blocks = Vec::new();
    if directions
        .iter()
        .any(|(_, values)| values.iter().any(Option::is_some))
    {
        blocks.push(Block::Figure(figure(&rows, directions, shaped)));
    }
    blocks.push(Block::Table {
        table: totals(side),
        folded: true,
    });
    Some(Section {
        id: format!("links-{place}"),
        title,
        notes: vec![
            "Bytes of frames, headers included, as counted on the link during an operation, over its iterations and its median \
             time. A link that all others wait for is near its rate while they are not."
                .into(),
        ],
        blocks,
        ..Section::default()
    })
}

/// Rows that have a time.
pub(super) fn rows(run: &Run) -> Vec<&Row> {
    run.rows.iter().filter(|row| row.time.is_some()).collect()
}

/// The name of a direction of a link, and its mean rate in each row.
pub(super) type Rates = (String, Vec<Option<f64>>);

/// The rates of each direction in `rows`: as a share of the link's rate if all links have one, which the second
/// answer says, else in Gbit/s.
pub(super) fn rates(side: &Side, rows: &[&Row]) -> (Vec<Rates>, bool) {
    let plan = &side.run().manifest.plan;
    let shaped = plan.network.links.iter().all(|link| link.rate.is_some());
    let mut directions: Vec<Rates> = Vec::new();
    for (number, link) in plan.network.links.iter().enumerate() {
        for direction in 0..2 {
            let way = tables::way(plan, &plan.network.links[number], direction);
            let of_link: Vec<&LinkOp> = side
                .links
                .iter()
                .filter(|counted| counted.link == link.name && counted.direction == way)
                .collect();
            let rate = link.rate.filter(|_| shaped).map(|rate| rate.0 as f64 / 1e9);
            let value = |row: &&Row| {
                let counted = of_link.iter().find(|counted| counted.op == row.index)?;
                Some(gbps(row, counted)? / rate.unwrap_or(1.0))
            };
            directions.push((way, rows.iter().map(value).collect()));
        }
    }
    (directions, shaped)
}

/// Mean rate of a direction while the operation was played, nominal Gbit/s.
fn gbps(row: &Row, counted: &LinkOp) -> Option<f64> {
    let iterations = f64::from(row.warmup + row.planned_iterations);
    let time_us = row.time.filter(|_| row.complete)?.p50;
    (time_us > 0.0).then(|| counted.counted_bytes as f64 / iterations * 8.0 / 1e3 / time_us)
}

fn figure(rows: &[&Row], directions: Vec<Rates>, shaped: bool) -> Figure {
    let value: fn(f64) -> String = if shaped { percent } else { short };
    let unit = if shaped {
        "share of the link's rate"
    } else {
        "Gbit/s"
    };
    let (across, names) = columns(rows);
    let caption = format!("How busy each link direction was: {unit}");
    let mut table = Table::new(
        caption.clone(),
        std::iter::once("direction".to_owned()).chain(names.iter().map(|name| format!("#{name}"))),
    );
    for (way, values) in &directions {
        let cell = |cell: &Option<f64>| cell.map_or_else(|| "-".into(), value);
        table.rows.push(
            std::iter::once(way.clone())
                .chain(values.iter().map(cell))
                .collect(),
        );
    }
    let all = directions.len();
    let busiest = |values: &[Option<f64>]| values.iter().flatten().copied().fold(0.0, f64::max);
    let mut drawn = directions;
    if all > DRAWN {
        drawn.sort_by(|a, b| busiest(&b.1).total_cmp(&busiest(&a.1)));
        drawn.truncate(DRAWN);
    }
    let most = drawn
        .iter()
        .map(|(_, values)| busiest(values))
        .fold(0.0, f64::max);
    let (ways, values): (Vec<String>, Vec<Vec<Option<f64>>>) = drawn.into_iter().unzip();
    let drawing = Heat {
        across,
        columns: names,
        rows: ways,
        values,
        colours: Colours::Sequential(if shaped { 1.0 } else { most.max(f64::MIN_POSITIVE) }),
        value,
        legend: unit.into(),
    };
    let cut = match all > DRAWN {
        true => format!("; the {DRAWN} busiest of {all}, the table has all"),
        false => String::new(),
    };
    Figure {
        drawings: vec![drawing.svg(&caption)],
        caption: format!("{caption}{cut}"),
        legend: Vec::new(),
        table: Some(table),
        small: false,
    }
}

fn totals(side: &Side) -> Table {
    let run = side.run();
    let plan = &run.manifest.plan;
    let titles = ["link", "direction", "#counted", "#payload expected", "#drops"];
    let mut table = Table::new("Links over the whole run, set-up included", titles);
    for count in &run.links {
        let Some(number) = plan.network.links.iter().position(|link| link.name == count.link) else {
            continue;
        };
        for direction in 0..2 {
            let payload = tables::planned_payload(run, number, direction);
            table.rows.push(vec![
                count.link.clone(),
                tables::way(plan, &plan.network.links[number], direction),
                amount(count.bytes[direction]),
                payload.map_or_else(|| "-".into(), |bytes| amount(bytes as u64)),
                count.drops[direction].to_string(),
            ]);
        }
    }
    table
}
