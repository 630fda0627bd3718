//! Lines over two axes: what most figures are. Series are told apart by colour, mark and dashes, and
//! named in a legend that the page shows as text.

use super::canvas::{Anchor, Canvas};
use super::scale::{Kind, Scale};

/// An axis.
#[derive(Debug, Clone)]
pub struct Axis {
    /// What it shows, with its unit.
    pub title: String,
    /// How values are laid out.
    pub kind: Kind,
    /// How a tick is written.
    pub tick: fn(f64) -> String,
}

/// How a series is drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stroke {
    /// A line with a mark at every point: what was measured.
    Marked,
    /// A line without marks: many points.
    Plain,
    /// Dashes: a limit.
    Dashed,
    /// Dots: a model.
    Dotted,
}

impl Stroke {
    fn class(self) -> &'static str {
        match self {
            Stroke::Marked | Stroke::Plain => "line",
            Stroke::Dashed => "line dashed",
            Stroke::Dotted => "line dotted",
        }
    }
}

/// One line.
#[derive(Debug, Clone)]
pub struct Line {
    /// Which colour and mark.
    pub series: usize,
    /// How it is drawn.
    pub stroke: Stroke,
    /// Its points.
    pub points: Vec<(f64, f64)>,
    /// Lower and upper bound at points, where there are any.
    pub bars: Vec<(f64, f64, f64)>,
    /// What each point says of itself; may be empty.
    pub tips: Vec<String>,
}

/// A figure.
#[derive(Debug, Clone)]
pub struct Plot {
    /// Pixels.
    pub size: (f64, f64),
    /// The horizontal axis.
    pub x: Axis,
    /// The vertical axis.
    pub y: Axis,
    /// The lines, later ones on top.
    pub lines: Vec<Line>,
    /// Values of x that are marked by a vertical line and a word.
    pub marks: Vec<(f64, String)>,
    /// Whether the vertical axis begins at zero.
    pub from_zero: bool,
}

/// Room for the labels around the axes.
const LEFT: f64 = 62.0;
const RIGHT: f64 = 14.0;
const TOP: f64 = 14.0;
const BOTTOM: f64 = 44.0;

impl Plot {
    /// As SVG; `label` says in words what it shows.
    pub fn svg(&self, label: &str) -> String {
        let (width, height) = self.size;
        let points = || self.lines.iter().flat_map(|line| &line.points);
        let bars = || self.lines.iter().flat_map(|line| &line.bars);
        let marks = self.marks.iter().map(|(x, _)| *x);
        let xs = points().map(|(x, _)| *x).chain(marks);
        let zero = self.from_zero.then_some(0.0);
        let ys = points()
            .map(|(_, y)| *y)
            .chain(bars().flat_map(|(_, low, high)| [*low, *high]))
            .chain(zero);
        let x = Scale::over(self.x.kind, xs, (LEFT, width - RIGHT));
        let y = Scale::over(self.y.kind, ys, (height - BOTTOM, TOP));
        let mut canvas = Canvas::new(width, height);
        self.axes(&mut canvas, x, y);
        for (number, (at, word)) in self.marks.iter().enumerate() {
            let place = x.place(*at);
            canvas.line((place, TOP), (place, height - BOTTOM), "mark");
            let (anchor, dx) = if place > width * 0.7 {
                (Anchor::End, -4.0)
            } else {
                (Anchor::Start, 4.0)
            };
            // One above the other, because they may be close; low, because the line goes up.
            let y = height - BOTTOM - 6.0 - 13.0 * number as f64;
            canvas.text((place + dx, y), anchor, "tick", word);
        }
        self.lines.iter().for_each(|line| draw(&mut canvas, line, x, y));
        canvas.finish(label)
    }

    fn axes(&self, canvas: &mut Canvas, x: Scale, y: Scale) {
        let (width, height) = self.size;
        let (bottom, right) = (height - BOTTOM, width - RIGHT);
        for tick in y.ticks(((height - TOP - BOTTOM) / 34.0) as usize) {
            let place = y.place(tick);
            canvas.line((LEFT, place), (right, place), "grid");
            canvas.text(
                (LEFT - 6.0, place + 4.0),
                Anchor::End,
                "tick",
                &(self.y.tick)(tick),
            );
        }
        for tick in x.ticks(((width - LEFT - RIGHT) / 62.0) as usize) {
            let place = x.place(tick);
            canvas.line((place, bottom), (place, bottom + 4.0), "axis");
            canvas.text(
                (place, bottom + 16.0),
                Anchor::Middle,
                "tick",
                &(self.x.tick)(tick),
            );
        }
        canvas.line((LEFT, bottom), (right, bottom), "axis");
        canvas.text(
            ((LEFT + right) / 2.0, height - 8.0),
            Anchor::Middle,
            "title",
            &self.x.title,
        );
        canvas.text_upward((13.0, (TOP + bottom) / 2.0), "title", &self.y.title);
    }
}

fn draw(canvas: &mut Canvas, line: &Line, x: Scale, y: Scale) {
    let class = |what: &str| format!("s{} {what}", line.series % 8);
    let places: Vec<(f64, f64)> = line
        .points
        .iter()
        .map(|(px, py)| (x.place(*px), y.place(*py)))
        .collect();
    canvas.path(&places, &class(line.stroke.class()));
    for (at, low, high) in &line.bars {
        let (at, low, high) = (x.place(*at), y.place(*low), y.place(*high));
        canvas.line((at, low), (at, high), &class("bar"));
    }
    if line.stroke == Stroke::Marked {
        for (place, at) in places.iter().enumerate() {
            let tip = line.tips.get(place).map_or("", String::as_str);
            canvas.mark(line.series, *at, &class("dot"), tip);
        }
    }
}
