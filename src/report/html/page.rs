//! What a page is made of, and the file itself: `page.html` filled in, `page.css` within it, and a
//! content security policy that allows that style by its hash and nothing else.

use minijinja::syntax::SyntaxConfig;
use minijinja::value::Serde;
use minijinja::{Environment, context};
use serde::Serialize;
use sha2::{Digest, Sha256};

use crate::report::svg::canvas;

/// All of a report.
#[derive(Debug)]
pub struct Page {
    /// What the browser calls it.
    pub title: String,
    /// In order.
    pub sections: Vec<Section>,
}

/// A part with a heading.
#[derive(Debug, Default, Serialize)]
pub struct Section {
    /// Its anchor, unique in the page.
    pub id: String,
    /// Its heading.
    pub title: String,
    /// What is said before its figures; each a paragraph.
    pub notes: Vec<String>,
    /// Sentences that must not be missed.
    pub warnings: Vec<String>,
    /// Figures and tables.
    pub blocks: Vec<Block>,
}

/// A figure, a table, or text as it is.
#[derive(Debug, Serialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum Block {
    /// A figure with the table behind it.
    Figure(Figure),
    /// A table of its own; folded away if `folded`.
    Table {
        /// The table.
        table: Table,
        /// Whether it is shown when asked for only.
        folded: bool,
    },
    /// Text in a fixed pitch, folded away.
    Text {
        /// What it is.
        title: String,
        /// The text.
        text: String,
    },
}

/// One or more drawings with a caption.
#[derive(Debug, Serialize)]
pub struct Figure {
    /// What it shows and how to read it.
    pub caption: String,
    /// The drawings, SVG.
    pub drawings: Vec<String>,
    /// What lines and colours mean.
    pub legend: Vec<Key>,
    /// The same in figures.
    pub table: Option<Table>,
    /// Whether several stand beside each other.
    pub small: bool,
}

/// A line of a legend.
#[derive(Debug, Serialize)]
pub struct Key {
    /// A sample, SVG.
    pub sample: String,
    /// What it stands for.
    pub text: String,
}

/// A table.
#[derive(Debug, Default, Serialize)]
pub struct Table {
    /// What it holds.
    pub caption: String,
    /// Titles of columns.
    pub columns: Vec<Column>,
    /// Cells as text; as many as columns.
    pub rows: Vec<Vec<String>>,
}

/// A column of a table.
#[derive(Debug, Serialize)]
pub struct Column {
    /// Its title.
    pub title: String,
    /// Whether it holds figures, which stand to the right.
    pub figures: bool,
}

impl Table {
    /// An empty table; titles that begin with `#` are of figures.
    pub fn new(caption: impl Into<String>, titles: impl IntoIterator<Item = impl AsRef<str>>) -> Table {
        let column = |title: &str| Column {
            figures: title.starts_with('#'),
            title: title.trim_start_matches('#').into(),
        };
        Table {
            caption: caption.into(),
            columns: titles.into_iter().map(|title| column(title.as_ref())).collect(),
            rows: Vec::new(),
        }
    }
}

impl Key {
    /// A line, its mark in the middle if it has one; `stroke` is a class.
    pub fn line(series: usize, stroke: &str, marked: bool, text: impl Into<String>) -> Key {
        let mut drawing = canvas::Canvas::new(30.0, 12.0);
        let class = |what: &str| format!("s{} {what}", series % 8);
        drawing.line((1.0, 6.0), (29.0, 6.0), &class(stroke));
        if marked {
            drawing.mark(series, (15.0, 6.0), &class("dot"), "");
        }
        Key {
            sample: drawing.finish(""),
            text: text.into(),
        }
    }

    /// A mark in the colour of a verdict.
    pub fn verdict(class: &str, series: usize, text: impl Into<String>) -> Key {
        let mut drawing = canvas::Canvas::new(30.0, 12.0);
        drawing.line((1.0, 6.0), (29.0, 6.0), &format!("{class} interval"));
        drawing.mark(series, (15.0, 6.0), &format!("{class} dot"), "");
        Key {
            sample: drawing.finish(""),
            text: text.into(),
        }
    }

    /// A filled square.
    pub fn fill(series: usize, text: impl Into<String>) -> Key {
        let mut drawing = canvas::Canvas::new(14.0, 12.0);
        drawing.rect((1.0, 1.0), (12.0, 10.0), &format!("s{} fill", series % 8), "");
        Key {
            sample: drawing.finish(""),
            text: text.into(),
        }
    }
}

impl Page {
    /// The file.
    pub fn html(&self) -> String {
        let style = include_str!("page.css");
        // Only the style of this very page: no script, no image, no font, no frame, no form.
        let policy = format!(
            "default-src 'none'; style-src 'sha256-{}'; base-uri 'none'; form-action 'none'",
            base64(&Sha256::digest(style.as_bytes()))
        );
        let mut environment = Environment::new();
        let syntax = SyntaxConfig::builder()
            .trim_blocks(true)
            .lstrip_blocks(true)
            .build();
        environment.set_syntax(syntax.expect("no delimiters are changed"));
        environment
            .add_template("page.html", include_str!("page.html"))
            .expect("the template is checked by tests");
        let template = environment.get_template("page.html").expect("it was added");
        template
            .render(context! {
                title => &self.title,
                sections => Serde(&self.sections),
                version => env!("CARGO_PKG_VERSION"),
                style,
                policy,
            })
            .expect("the template uses what it is given")
    }
}

/// RFC 4648, section 4.
fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let group = |chunk: &[u8]| {
        let bits =
            chunk.iter().fold(0u32, |bits, byte| bits << 8 | u32::from(*byte)) << (8 * (3 - chunk.len()));
        let digit = |place: usize| match place <= chunk.len() {
            true => char::from(DIGITS[(bits >> (18 - 6 * place)) as usize & 63]),
            false => '=',
        };
        [0, 1, 2, 3].map(digit)
    };
    bytes.chunks(3).flat_map(group).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_standards_examples() {
        // RFC 4648, section 10.
        for (plain, encoded) in [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foobar", "Zm9vYmFy"),
        ] {
            assert_eq!(base64(plain.as_bytes()), encoded);
        }
    }

    #[test]
    fn text_of_a_page_cannot_become_markup() {
        let section = Section {
            id: "a".into(),
            title: "<script>alert(1)</script>".into(),
            warnings: vec!["<img src=x>".into()],
            blocks: vec![Block::Text {
                title: "t".into(),
                text: "</pre><b>".into(),
            }],
            ..Section::default()
        };
        let page = Page {
            title: "</title><script>".into(),
            sections: vec![section],
        };
        let html = page.html();
        for markup in ["<script", "<img", "<b>"] {
            assert!(!html.contains(markup), "{markup}");
        }
    }
}
