//! What happened when: a lane for each rank, a bar for each thing that it did. Bars of a colour are one
//! path, and bars that would touch on the screen are one bar, so that a long run stays a small figure.

use super::canvas::{Anchor, Canvas, coordinate};
use super::scale::{Kind, Scale};

/// A bar: its lane, its colour, from, to.
pub type Bar = (usize, usize, f64, f64);

/// A figure.
#[derive(Debug, Clone)]
pub struct Lanes {
    /// What the horizontal axis shows, with its unit.
    pub across: String,
    /// How a tick is written.
    pub tick: fn(f64) -> String,
    /// Names of lanes.
    pub lanes: Vec<String>,
    /// Bars; of a lane and colour, ascending.
    pub bars: Vec<Bar>,
    /// Moments that are marked by a vertical line and a word.
    pub marks: Vec<(f64, String)>,
    /// What went on from when to when, written above the lanes where there is room.
    pub spans: Vec<(f64, f64, String)>,
    /// A counter below the lanes.
    pub counter: Option<Counter>,
}

/// A figure that has a value from when to when.
#[derive(Debug, Clone)]
pub struct Counter {
    /// What it counts, short.
    pub name: String,
    /// From, to, value as a share of the most that is drawn, what it says when it is pointed at.
    pub steps: Vec<(f64, f64, f64, String)>,
}

/// Width of the figure.
const WIDTH: f64 = 1060.0;
/// Room for names of lanes.
const LEFT: f64 = 76.0;
/// Below the words of spans and marks.
const TOP: f64 = 32.0;
/// About the width of a character of the figure's text.
const CHARACTER: f64 = 6.3;
/// Room for the axis.
const BOTTOM: f64 = 40.0;
/// Height of a counter, and of the gap above it.
const COUNTER: f64 = 36.0;
const GAP: f64 = 10.0;

impl Lanes {
    /// As SVG; `label` says in words what it shows.
    pub fn svg(&self, label: &str) -> String {
        let lane = (480.0 / self.lanes.len().max(1) as f64).clamp(7.0, 22.0);
        let lanes_end = TOP + lane * self.lanes.len() as f64;
        let room = if self.counter.is_some() {
            GAP + COUNTER
        } else {
            0.0
        };
        let bottom = lanes_end + room;
        let ends = self.bars.iter().flat_map(|(_, _, from, to)| [*from, *to]);
        let moments = self.marks.iter().map(|(at, _)| *at);
        let x = Scale::over(Kind::Linear, ends.chain(moments), (LEFT, WIDTH - 14.0));
        let mut canvas = Canvas::new(WIDTH, bottom + BOTTOM);
        for tick in x.ticks(10) {
            let place = x.place(tick);
            canvas.line((place, TOP), (place, bottom), "grid");
            canvas.text((place, bottom + 15.0), Anchor::Middle, "tick", &(self.tick)(tick));
        }
        let every = (13.0 / lane).ceil() as usize;
        for (place, name) in self.lanes.iter().enumerate().step_by(every) {
            let y = TOP + (place as f64 + 0.5) * lane + 4.0;
            canvas.text((LEFT - 6.0, y), Anchor::End, "tick", name);
        }
        self.bars(&mut canvas, x, lane);
        if let Some(counter) = &self.counter {
            counter.draw(&mut canvas, x, bottom);
        }
        for (from, to, name) in &self.spans {
            let (from, to) = (x.place(*from), x.place(*to));
            if to - from > name.chars().count() as f64 * CHARACTER {
                canvas.text(((from + to) / 2.0, 11.0), Anchor::Middle, "tick", name);
            }
        }
        for (at, word) in &self.marks {
            let place = x.place(*at);
            canvas.line((place, TOP - 4.0), (place, bottom), "fault");
            canvas.text((place, TOP - 6.0), Anchor::Middle, "tick", word);
        }
        canvas.text(
            ((LEFT + WIDTH) / 2.0, bottom + 33.0),
            Anchor::Middle,
            "title",
            &self.across,
        );
        canvas.finish(label)
    }

    fn bars(&self, canvas: &mut Canvas, x: Scale, lane: f64) {
        let colours = self.bars.iter().map(|(_, colour, _, _)| *colour).max();
        for colour in 0..=colours.unwrap_or(0) {
            let mut d = String::new();
            let mut open: Option<(usize, f64, f64)> = None;
            for (row, _, from, to) in self.bars.iter().filter(|bar| bar.1 == colour) {
                let (from, to) = (x.place(*from), x.place(*to));
                open = match open {
                    // Less than half a pixel between them.
                    Some((before, start, end)) if before == *row && from - end < 0.5 => {
                        Some((before, start, end.max(to)))
                    }
                    other => {
                        d.extend(other.map(|bar| path(bar, lane)));
                        Some((*row, from, to))
                    }
                };
            }
            d.extend(open.map(|bar| path(bar, lane)));
            if !d.is_empty() {
                canvas.shape(&d, &format!("s{} fill", colour % 8), "");
            }
        }
    }
}

impl Counter {
    /// Above `bottom`.
    fn draw(&self, canvas: &mut Canvas, x: Scale, bottom: f64) {
        canvas.line((LEFT, bottom), (WIDTH - 14.0, bottom), "axis");
        canvas.line((LEFT, bottom - COUNTER), (WIDTH - 14.0, bottom - COUNTER), "mark");
        canvas.text(
            (LEFT - 6.0, bottom - COUNTER / 2.0 + 4.0),
            Anchor::End,
            "tick",
            &self.name,
        );
        for (from, to, value, tip) in &self.steps {
            let (from, to) = (x.place(*from), x.place(*to));
            let height = COUNTER * value.clamp(0.0, 1.0);
            canvas.rect(
                (from, bottom - height),
                ((to - from).max(0.3), height),
                "s7 fill",
                tip,
            );
        }
    }
}

fn path((row, from, to): (usize, f64, f64), lane: f64) -> String {
    let y = TOP + row as f64 * lane;
    let (width, height) = ((to - from).max(0.3), lane * 0.8);
    format!(
        "M{} {}h{}v{}h-{}z",
        coordinate(from),
        coordinate(y + lane * 0.1),
        coordinate(width),
        coordinate(height),
        coordinate(width)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_million_bars_are_as_many_as_the_screen_has_room_for() {
        let bars = (0..1_000_000).map(|i| (0, 0, f64::from(i), f64::from(i) + 0.5));
        let lanes = Lanes {
            across: "s".into(),
            tick: |value| value.to_string(),
            lanes: vec!["rank 0".into()],
            bars: bars.collect(),
            marks: Vec::new(),
            spans: Vec::new(),
            counter: Some(Counter {
                name: "links".into(),
                steps: vec![
                    (0.0, 5e5, 0.5, "half".into()),
                    (5e5, 1e6, 2.0, "more than there is".into()),
                ],
            }),
        };
        let svg = lanes.svg("a rank");
        assert!(svg.len() < 10_000, "{} bytes", svg.len());
        roxmltree::Document::parse(&svg).expect("well-formed");
        assert!(svg.contains("<title>half</title>"), "{svg}");
    }
}
