//! Shapes and text on a canvas whose unit is a CSS pixel. What has no place (an infinite or undefined
//! coordinate) is not drawn, so that a figure is always well-formed.

use std::fmt::Write;

/// Where a text stands from its point.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Anchor {
    /// It begins there.
    Start,
    /// It is centred there.
    Middle,
    /// It ends there.
    End,
}

/// A figure being drawn.
#[derive(Debug, Clone)]
pub struct Canvas {
    width: f64,
    height: f64,
    body: String,
}

/// A coordinate: two decimals are a hundredth of a pixel.
pub(super) fn coordinate(value: f64) -> String {
    let text = format!("{value:.2}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// Text as HTML and XML take it, in content and in attributes.
pub fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            // XML has no other control characters (XML 1.0, section 2.2).
            c if c.is_control() && c != '\n' && c != '\t' => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}

impl Canvas {
    /// An empty canvas of so many pixels.
    pub fn new(width: f64, height: f64) -> Canvas {
        Canvas {
            width,
            height,
            body: String::new(),
        }
    }

    /// A straight line.
    pub fn line(&mut self, from: (f64, f64), to: (f64, f64), class: &str) {
        self.path(&[from, to], class);
    }

    /// A line through points.
    pub fn path(&mut self, points: &[(f64, f64)], class: &str) {
        let finite = points.iter().filter(|(x, y)| x.is_finite() && y.is_finite());
        let mut d = String::new();
        for (place, (x, y)) in finite.enumerate() {
            let command = if place == 0 { 'M' } else { 'L' };
            let _ = write!(d, "{command}{} {}", coordinate(*x), coordinate(*y));
        }
        if !d.is_empty() {
            self.shape(&d, class, "");
        }
    }

    /// A shape by its path data; `tip` is shown when it is pointed at, and read out, if it is not empty.
    pub fn shape(&mut self, d: &str, class: &str, tip: &str) {
        let _ = match tip {
            "" => write!(self.body, r#"<path class="{class}" d="{d}"/>"#),
            tip => write!(
                self.body,
                r#"<path class="{class}" d="{d}"><title>{}</title></path>"#,
                escaped(tip)
            ),
        };
    }

    /// A rectangle.
    pub fn rect(&mut self, corner: (f64, f64), size: (f64, f64), class: &str, tip: &str) {
        let numbers = [corner.0, corner.1, size.0, size.1];
        if numbers.iter().all(|number| number.is_finite()) {
            let [x, y, width, height] = numbers.map(coordinate);
            self.shape(&format!("M{x} {y}h{width}v{height}h-{width}z"), class, tip);
        }
    }

    /// A line of text; `at` is on its base line.
    pub fn text(&mut self, at: (f64, f64), anchor: Anchor, class: &str, text: &str) {
        let anchor = match anchor {
            Anchor::Start => "start",
            Anchor::Middle => "middle",
            Anchor::End => "end",
        };
        if at.0.is_finite() && at.1.is_finite() {
            let _ = write!(
                self.body,
                r#"<text class="{class}" x="{}" y="{}" text-anchor="{anchor}">{}</text>"#,
                coordinate(at.0),
                coordinate(at.1),
                escaped(text)
            );
        }
    }

    /// A line of text that runs upward.
    pub fn text_upward(&mut self, at: (f64, f64), class: &str, text: &str) {
        let _ = write!(
            self.body,
            r#"<text class="{class}" transform="translate({} {}) rotate(-90)" text-anchor="middle">{}</text>"#,
            coordinate(at.0),
            coordinate(at.1),
            escaped(text)
        );
    }

    /// The mark of a series: shapes differ, for those who cannot tell the colours.
    pub fn mark(&mut self, series: usize, at: (f64, f64), class: &str, tip: &str) {
        if at.0.is_finite() && at.1.is_finite() {
            self.shape(&mark(series, at, 3.6), class, tip);
        }
    }

    /// The figure; `label` says in words what it shows.
    pub fn finish(self, label: &str) -> String {
        let (width, height) = (coordinate(self.width), coordinate(self.height));
        format!(
            r#"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" role="img" aria-label="{}">{}</svg>"#,
            escaped(label),
            self.body
        )
    }
}

/// Path data of a series' mark of about `r` around a point: circle, square, diamond, triangle, cross.
pub fn mark(series: usize, (x, y): (f64, f64), r: f64) -> String {
    let n = coordinate;
    let polygon = |points: &[(f64, f64)]| {
        let points: Vec<String> = points
            .iter()
            .map(|(dx, dy)| format!("{} {}", n(x + dx * r), n(y + dy * r)))
            .collect();
        format!("M{}z", points.join("L"))
    };
    match series % 5 {
        0 => format!(
            "M{} {}a{r} {r} 0 1 0 {} 0a{r} {r} 0 1 0 -{} 0z",
            n(x - r),
            n(y),
            n(2.0 * r),
            n(2.0 * r)
        ),
        1 => polygon(&[(-0.9, -0.9), (0.9, -0.9), (0.9, 0.9), (-0.9, 0.9)]),
        2 => polygon(&[(0.0, -1.25), (1.25, 0.0), (0.0, 1.25), (-1.25, 0.0)]),
        3 => polygon(&[(0.0, -1.2), (1.15, 0.9), (-1.15, 0.9)]),
        _ => polygon(&[(0.0, 1.2), (1.15, -0.9), (-1.15, -0.9)]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_well_formed_whatever_is_drawn() {
        let mut canvas = Canvas::new(100.0, 50.0);
        canvas.path(&[(f64::NAN, 1.0), (0.0, f64::INFINITY)], "line");
        canvas.text((f64::NAN, 0.0), Anchor::Start, "", "nowhere");
        canvas.text((1.0, 2.0), Anchor::End, "t", "<a> & \"b\" \u{1}");
        canvas.rect((0.0, 1.0 / 3.0), (2.0, 4.0), "s0", "5 > 4");
        (0..5).for_each(|series| canvas.mark(series, (5.0, 5.0), "s0", ""));
        let svg = canvas.finish("a < b");
        let document = roxmltree::Document::parse(&svg).expect("well-formed");
        assert_eq!(document.root_element().attribute("aria-label"), Some("a < b"));
        assert!(
            !svg.contains("NaN") && !svg.contains("inf") && !svg.contains("nowhere"),
            "{svg}"
        );
        assert!(svg.contains("M0 0.33h2v4h-2z"), "{svg}");
    }
}
