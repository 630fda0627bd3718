//! Cells in rows and columns, coloured by value; the value is written in a cell that has room for it.

use super::canvas::{Anchor, Canvas};

/// How values become colours.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Colours {
    /// From 0 to so much, pale to strong.
    Sequential(f64),
    /// From minus so much to so much, through a neutral middle.
    Diverging(f64),
}

/// Steps of each range of colours: classes `q0` to `q8` and `d0` to `d8`.
const STEPS: f64 = 9.0;

impl Colours {
    fn class(self, value: f64) -> String {
        let (letter, share) = match self {
            Colours::Sequential(most) => ('q', value / most),
            Colours::Diverging(most) => ('d', value / most / 2.0 + 0.5),
        };
        let step = (share * STEPS).floor().clamp(0.0, STEPS - 1.0);
        format!("{letter}{step}")
    }

    fn ends(self) -> (f64, f64) {
        match self {
            Colours::Sequential(most) => (0.0, most),
            Colours::Diverging(most) => (-most, most),
        }
    }
}

/// A figure.
#[derive(Debug, Clone)]
pub struct Heat {
    /// What columns are.
    pub across: String,
    /// Names of columns.
    pub columns: Vec<String>,
    /// Names of rows.
    pub rows: Vec<String>,
    /// `[row][column]`.
    pub values: Vec<Vec<Option<f64>>>,
    /// How values become colours.
    pub colours: Colours,
    /// How a value is written.
    pub value: fn(f64) -> String,
    /// What colours mean, with the unit.
    pub legend: String,
}

/// Pixels of a row.
const ROW: f64 = 18.0;
/// Width of the figure.
const WIDTH: f64 = 1060.0;
/// Where cells begin below the names of columns.
const TOP: f64 = 34.0;
/// A cell of this width has room for its value.
const ROOMY: f64 = 36.0;
/// Room below for the legend.
const LEGEND: f64 = 46.0;
/// About the width of a character of the figure's text.
const CHARACTER: f64 = 6.3;

impl Heat {
    /// As SVG; `label` says in words what it shows.
    pub fn svg(&self, label: &str) -> String {
        let longest = self.rows.iter().map(|row| row.chars().count()).max().unwrap_or(0);
        let left = (longest as f64 * CHARACTER + 12.0).min(WIDTH / 3.0);
        let cell = ((WIDTH - left) / self.columns.len().max(1) as f64).min(96.0);
        let bottom = TOP + self.rows.len() as f64 * ROW;
        let mut canvas = Canvas::new(WIDTH, bottom + LEGEND);
        canvas.text((left, 12.0), Anchor::Start, "title", &self.across);
        self.names_of_columns(&mut canvas, left, cell);
        for (place, row) in self.rows.iter().enumerate() {
            let y = TOP + place as f64 * ROW;
            canvas.text((left - 6.0, y + 13.0), Anchor::End, "tick", row);
            self.cells(&mut canvas, place, (left, y), cell);
        }
        self.legend(&mut canvas, (left, bottom + 16.0));
        canvas.finish(label)
    }

    fn names_of_columns(&self, canvas: &mut Canvas, left: f64, cell: f64) {
        let longest = self
            .columns
            .iter()
            .map(|name| name.chars().count())
            .max()
            .unwrap_or(0);
        let every = ((longest as f64 * CHARACTER + 8.0) / cell).ceil().max(1.0) as usize;
        for (place, name) in self.columns.iter().enumerate().step_by(every) {
            let x = left + (place as f64 + 0.5) * cell;
            canvas.text((x, TOP - 6.0), Anchor::Middle, "tick", name);
        }
    }

    fn cells(&self, canvas: &mut Canvas, row: usize, (left, y): (f64, f64), cell: f64) {
        for (column, value) in self.values[row].iter().enumerate() {
            let Some(value) = value.filter(|value| value.is_finite()) else {
                continue;
            };
            let x = left + column as f64 * cell;
            let class = self.colours.class(value);
            let text = (self.value)(value);
            let name = self.columns.get(column).map_or("", String::as_str);
            let tip = format!("{}, {name}: {text}", self.rows[row]);
            canvas.rect((x, y), (cell - 1.0, ROW - 1.0), &format!("cell {class}"), &tip);
            if cell >= ROOMY {
                canvas.text(
                    (x + cell / 2.0, y + 13.0),
                    Anchor::Middle,
                    &format!("in {class}"),
                    &text,
                );
            }
        }
    }

    fn legend(&self, canvas: &mut Canvas, (x, y): (f64, f64)) {
        let (low, high) = self.colours.ends();
        let step = (high - low) / STEPS;
        for number in 0..STEPS as usize {
            let value = low + (number as f64 + 0.5) * step;
            let class = format!("cell {}", self.colours.class(value));
            canvas.rect((x + number as f64 * 24.0, y), (24.0, 10.0), &class, "");
        }
        canvas.text((x, y + 24.0), Anchor::Start, "tick", &(self.value)(low));
        canvas.text(
            (x + STEPS * 24.0, y + 24.0),
            Anchor::End,
            "tick",
            &(self.value)(high),
        );
        canvas.text(
            (x + STEPS * 24.0 + 12.0, y + 9.0),
            Anchor::Start,
            "tick",
            &self.legend,
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_go_from_end_to_end_and_stay_there() {
        let class = |colours: Colours, value| colours.class(value);
        assert_eq!(class(Colours::Sequential(1.0), 0.0), "q0");
        assert_eq!(class(Colours::Sequential(1.0), 1.0), "q8");
        assert_eq!(class(Colours::Sequential(1.0), 7.0), "q8");
        assert_eq!(class(Colours::Diverging(0.1), 0.0), "d4");
        assert_eq!(class(Colours::Diverging(0.1), -0.1), "d0");
    }
}
