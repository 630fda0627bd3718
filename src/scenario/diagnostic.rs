//! What is wrong with a scenario: where, why, and what to do, in the form of rustc's diagnostics.
//! `Display` prints them plain; [`Diagnostics::render`] in colour; `Serialize` gives JSON.

use std::fmt;

use annotate_snippets::renderer::DecorStyle;
use annotate_snippets::{AnnotationKind, Group, Level, Renderer, Snippet};
use serde::ser::SerializeStruct;
use serde::{Serialize, Serializer};

use super::source::{Sources, Span};

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostic {
    /// What is wrong, one clause in lower case.
    pub message: String,
    /// Where, and what to say there; `None` when it lies in no text.
    pub at: Option<(Span, String)>,
    /// Other places that explain it.
    pub related: Vec<(Span, String)>,
    /// What to do about it.
    pub help: Vec<String>,
}

impl Diagnostic {
    /// A diagnostic that points nowhere yet.
    pub fn new(message: impl Into<String>) -> Self {
        Diagnostic {
            message: message.into(),
            at: None,
            related: Vec::new(),
            help: Vec::new(),
        }
    }

    /// Points at `span`, with a short reason under the caret (may be empty).
    pub fn at(mut self, span: Span, label: impl Into<String>) -> Self {
        self.at = Some((span, label.into()));
        self
    }

    /// Also points at another place.
    pub fn related(mut self, span: Span, label: impl Into<String>) -> Self {
        self.related.push((span, label.into()));
        self
    }

    /// Adds a line of help.
    pub fn help(mut self, text: impl Into<String>) -> Self {
        self.help.push(text.into());
        self
    }

    /// Adds a line of help, if there is one.
    pub fn maybe_help(mut self, text: Option<String>) -> Self {
        self.help.extend(text);
        self
    }
}

/// Everything that is wrong, with the texts in which it lies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostics {
    /// The texts.
    pub sources: Sources,
    /// At least one.
    pub list: Vec<Diagnostic>,
}

impl std::error::Error for Diagnostics {}

impl fmt::Display for Diagnostics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.render(false))
    }
}

impl Diagnostics {
    /// What is wrong with these texts, in the order in which it is written there.
    pub fn new(sources: Sources, mut list: Vec<Diagnostic>) -> Self {
        list.sort_by_key(|diagnostic| diagnostic.at.as_ref().map(|(span, _)| span.start));
        Diagnostics { sources, list }
    }

    /// As text, ending in a newline; `colour` for terminals.
    pub fn render(&self, colour: bool) -> String {
        let renderer = if colour {
            Renderer::styled()
        } else {
            Renderer::plain()
        };
        let renderer = renderer.decor_style(DecorStyle::Ascii).term_width(160);
        let parts: Vec<String> = self
            .list
            .iter()
            .map(|d| renderer.render(&[self.group(d)]))
            .collect();
        parts.join("\n\n") + "\n"
    }

    fn group<'a>(&'a self, diagnostic: &'a Diagnostic) -> Group<'a> {
        let mut group = Group::with_title(Level::ERROR.primary_title(printable(&diagnostic.message)));
        let primary = diagnostic.at.iter().map(|at| (at, AnnotationKind::Primary));
        let related = diagnostic.related.iter().map(|at| (at, AnnotationKind::Context));
        let mut snippets: Vec<(usize, Snippet<'a, _>)> = Vec::new();
        for ((span, label), kind) in primary.chain(related) {
            let Some(located) = self.sources.locate(span) else {
                continue;
            };
            let mut annotation = kind.span(located.span.clone());
            if !label.is_empty() {
                annotation = annotation.label(printable(label));
            }
            match snippets.iter_mut().find(|(source, _)| *source == located.source) {
                Some((_, snippet)) => *snippet = snippet.clone().annotation(annotation),
                None => {
                    let snippet = Snippet::source(located.text)
                        .path(located.name)
                        .annotation(annotation);
                    snippets.push((located.source, snippet));
                }
            }
        }
        group = group.elements(snippets.into_iter().map(|(_, snippet)| snippet));
        group.elements(
            diagnostic
                .help
                .iter()
                .map(|help| Level::HELP.message(printable(help))),
        )
    }
}

/// Control characters of a user's text as escapes, so that no message steers the terminal.
fn printable(text: &str) -> String {
    let escape = |c: char| match c {
        '\n' => "\n".to_owned(),
        c if c.is_control() || turns_text(c) => c.escape_default().to_string(),
        c => c.to_string(),
    };
    text.chars().map(escape).collect()
}

/// Unicode's controls of writing direction.
fn turns_text(c: char) -> bool {
    matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

impl Serialize for Diagnostics {
    /// A list of `{file, line, column, message, label, help}`; the place is null where there is none.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.list.iter().map(|diagnostic| Shown {
            diagnostic,
            sources: &self.sources,
        }))
    }
}

struct Shown<'a> {
    diagnostic: &'a Diagnostic,
    sources: &'a Sources,
}

impl Serialize for Shown<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let at = self.diagnostic.at.as_ref();
        let place = at
            .and_then(|(span, _)| self.sources.locate(span))
            .map(|at| at.place());
        let mut shown = serializer.serialize_struct("Diagnostic", 6)?;
        shown.serialize_field("file", &place.as_ref().map(|place| &place.file))?;
        shown.serialize_field("line", &place.as_ref().map(|place| place.line))?;
        shown.serialize_field("column", &place.as_ref().map(|place| place.column))?;
        shown.serialize_field("message", &self.diagnostic.message)?;
        shown.serialize_field(
            "label",
            &at.map(|(_, label)| label).filter(|label| !label.is_empty()),
        )?;
        shown.serialize_field("help", &self.diagnostic.help)?;
        shown.end()
    }
}
