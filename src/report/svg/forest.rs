//! Changes with their intervals, one row each, around a line of no change; what is within the noise
//! floor lies in a band.

use super::canvas::{Anchor, Canvas};
use super::scale::{Kind, Scale};

/// A row.
#[derive(Debug, Clone)]
pub struct Row {
    /// Its name.
    pub name: String,
    /// The change, a share.
    pub change: f64,
    /// Its interval, as far as it is known.
    pub bounds: (Option<f64>, Option<f64>),
    /// Changes up to this share are noise.
    pub floor: f64,
    /// Class of its verdict: `better`, `worse`, `unproven`.
    pub verdict: &'static str,
}

/// Width of the figure.
const WIDTH: f64 = 1060.0;
/// Pixels of a row.
const ROW: f64 = 20.0;
const TOP: f64 = 10.0;
/// Widest change that is drawn at its place.
const WIDEST: f64 = 4.0;

/// As SVG; `across` names the axis, `label` says in words what it shows.
pub fn svg(rows: &[Row], across: &str, label: &str) -> String {
    let longest = rows.iter().map(|row| row.name.chars().count()).max().unwrap_or(0);
    let left = (longest as f64 * 6.3 + 16.0).min(WIDTH / 2.0);
    let bottom = TOP + rows.len() as f64 * ROW;
    let reach = rows.iter().flat_map(|row| {
        let bounds = [row.bounds.0, row.bounds.1].into_iter().flatten();
        bounds.chain([row.change, row.floor, -row.floor, 0.01, -0.01])
    });
    let reach = reach.map(|reach| reach.clamp(-WIDEST, WIDEST) * 1.05);
    let x = Scale::over(Kind::Linear, reach, (left, WIDTH - 70.0));
    let mut canvas = Canvas::new(WIDTH, bottom + 42.0);
    for tick in x.ticks(8) {
        let place = x.place(tick);
        canvas.line(
            (place, TOP),
            (place, bottom),
            if tick == 0.0 { "axis" } else { "grid" },
        );
        canvas.text((place, bottom + 15.0), Anchor::Middle, "tick", &percent(tick));
    }
    for (place, row) in rows.iter().enumerate() {
        draw(&mut canvas, row, x, (left, TOP + place as f64 * ROW));
    }
    canvas.text(
        ((left + WIDTH - 70.0) / 2.0, bottom + 34.0),
        Anchor::Middle,
        "title",
        across,
    );
    canvas.finish(label)
}

fn draw(canvas: &mut Canvas, row: &Row, x: Scale, (left, top): (f64, f64)) {
    let y = top + ROW / 2.0;
    let (from, to) = (x.place(-row.floor.min(WIDEST)), x.place(row.floor.min(WIDEST)));
    canvas.rect((from, top + 2.0), (to - from, ROW - 4.0), "floor", "");
    canvas.text((left - 8.0, y + 4.0), Anchor::End, "tick", &row.name);
    if let (Some(low), Some(high)) = row.bounds {
        let bound = |value: f64| x.place(value.clamp(-WIDEST, WIDEST));
        canvas.line(
            (bound(low), y),
            (bound(high), y),
            &format!("{} interval", row.verdict),
        );
    }
    let series = match row.verdict {
        "better" => 3,
        "worse" => 4,
        _ => 0,
    };
    let tip = format!("{}: {}, {}", row.name, percent(row.change), row.verdict);
    let at = x.place(row.change.clamp(-WIDEST, WIDEST));
    canvas.mark(series, (at, y), &format!("{} dot", row.verdict), &tip);
    canvas.text(
        (WIDTH - 62.0, y + 4.0),
        Anchor::Start,
        "tick",
        &percent(row.change),
    );
}

fn percent(share: f64) -> String {
    match share * 100.0 {
        percent if percent.abs() < 0.005 => "0 %".into(),
        percent if percent.abs() < 10.0 => format!("{percent:+.2} %"),
        percent => format!("{percent:+.0} %"),
    }
}
