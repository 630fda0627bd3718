//! Distributions one below the other, each relative to its own median: which rows vary, at a glance.

use super::canvas::{Anchor, Canvas};
use super::scale::{Kind, Scale};

/// A row: quantiles as shares of the median.
#[derive(Debug, Clone)]
pub struct Row {
    /// Its name.
    pub name: String,
    /// Fastest, 5th, 25th, 75th, 95th, 99th percentile, slowest, each over the median.
    pub quantiles: [f64; 7],
    /// Its colour.
    pub series: usize,
}

/// Width of the figure.
const WIDTH: f64 = 1060.0;
/// Pixels of a row.
const ROW: f64 = 18.0;
const TOP: f64 = 8.0;

/// As SVG; `label` says in words what it shows.
pub fn svg(rows: &[Row], label: &str) -> String {
    let longest = rows.iter().map(|row| row.name.chars().count()).max().unwrap_or(0);
    let left = (longest as f64 * 6.3 + 16.0).min(WIDTH / 2.0);
    let bottom = TOP + rows.len() as f64 * ROW;
    let values = rows.iter().flat_map(|row| row.quantiles).chain([0.9, 1.1]);
    let x = Scale::over(Kind::Log, values, (left, WIDTH - 20.0));
    let mut canvas = Canvas::new(WIDTH, bottom + 40.0);
    for tick in x.ticks(9) {
        let place = x.place(tick);
        canvas.line(
            (place, TOP),
            (place, bottom),
            if tick == 1.0 { "axis" } else { "grid" },
        );
        canvas.text(
            (place, bottom + 15.0),
            Anchor::Middle,
            "tick",
            format!("{tick:.3}").trim_end_matches('0').trim_end_matches('.'),
        );
    }
    for (number, row) in rows.iter().enumerate() {
        let y = TOP + (number as f64 + 0.5) * ROW;
        let class = |what: &str| format!("s{} {what}", row.series % 8);
        let [min, p5, p25, p75, p95, p99, max] = row.quantiles.map(|quantile| x.place(quantile));
        canvas.text((left - 8.0, y + 4.0), Anchor::End, "tick", &row.name);
        canvas.line((min, y), (max, y), &class("whisker"));
        canvas.line((p5, y), (p95, y), &class("bar"));
        canvas.rect((p25, y - 5.0), ((p75 - p25).max(1.0), 10.0), &class("fill"), "");
        canvas.line((x.place(1.0), y - 7.0), (x.place(1.0), y + 7.0), "median");
        canvas.mark(
            2,
            (p99, y),
            &class("dot"),
            &format!("{}: p99 is {:.2} times the median", row.name, row.quantiles[5]),
        );
    }
    canvas.text(
        ((left + WIDTH) / 2.0, bottom + 33.0),
        Anchor::Middle,
        "title",
        "time of an iteration / median of its row",
    );
    canvas.finish(label)
}
