//! The texts that a scenario is made of (its file, its topology file, `--set` overrides) laid end to
//! end, so that one span says both which text and where in it.

use std::ops::Range;

/// Byte range in the texts laid end to end.
pub type Span = Range<usize>;

/// One text.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Source {
    /// File name as the user gave it, or `--set`.
    name: String,
    text: String,
    /// Where its first byte lies among all texts.
    base: usize,
}

/// All texts that diagnostics may point into.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sources(Vec<Source>);

/// A place as people and editors name it.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Place {
    /// File name as the user gave it, or `--set`.
    pub file: String,
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
}

/// A span within one text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Located<'a> {
    /// Number of the text.
    pub source: usize,
    /// Its name.
    pub name: &'a str,
    /// All of it.
    pub text: &'a str,
    /// The span, counted from the text's first byte, on character boundaries.
    pub span: Span,
}

impl Sources {
    /// Adds a text and returns the base of its spans.
    pub fn add(&mut self, name: &str, text: &str) -> usize {
        let base = self.0.last().map_or(0, |last| last.base + last.text.len() + 1);
        self.0.push(Source {
            name: name.into(),
            text: text.into(),
            base,
        });
        base
    }

    /// The text in which `span` begins; `None` when there is no text at all.
    pub fn locate(&self, span: &Span) -> Option<Located<'_>> {
        let number = self
            .0
            .partition_point(|source| source.base <= span.start)
            .checked_sub(1)?;
        let source = &self.0[number];
        let start = source.text.floor_char_boundary(span.start - source.base);
        let end = source
            .text
            .ceil_char_boundary(span.end.saturating_sub(source.base).max(start));
        Some(Located {
            source: number,
            name: &source.name,
            text: &source.text,
            span: start..end,
        })
    }
}

impl Located<'_> {
    /// File, line and column of the span's first character.
    pub fn place(&self) -> Place {
        let before = &self.text[..self.span.start];
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        Place {
            file: self.name.into(),
            line: before.matches('\n').count() + 1,
            column: before[line_start..].chars().count() + 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_says_which_text_and_where() {
        let mut sources = Sources::default();
        assert_eq!(sources.locate(&(0..1)), None);
        sources.add("a.toml", "één\ntwo");
        let base = sources.add("--set", "x=1");
        let place = sources.locate(&(6..9)).map(|at| at.place());
        assert_eq!(
            place,
            Some(Place {
                file: "a.toml".into(),
                line: 2,
                column: 1
            })
        );
        let place = sources.locate(&(base + 2..base + 3)).map(|at| at.place());
        assert_eq!(
            place,
            Some(Place {
                file: "--set".into(),
                line: 1,
                column: 3
            })
        );
    }

    #[test]
    fn spans_beyond_the_end_or_inside_a_character_are_bent_back() {
        let mut sources = Sources::default();
        sources.add("a.toml", "é");
        let at = sources.locate(&(1..9)).expect("there is a text");
        assert_eq!(at.span, 0..2);
    }
}
