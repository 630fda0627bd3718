//! Typed values out of a tree: each wrong one is noted where it stands, so that a user sees all
//! mistakes of a file at once, and keys that nobody asked for are said.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use crate::scenario::source::Sources;
use crate::scenario::suggest;

use super::{
    Diagnostic, Diagnostics, Entry, MAX_BYTES, Node, Notice, NoticeKind, Number, Parsed, Span, Value,
};

/// After this many mistakes or notices the rest is not listed.
const MOST: usize = 50;

/// Reads one file.
#[derive(Debug)]
pub struct Reader {
    sources: Sources,
    wrong: Vec<Diagnostic>,
    notices: Vec<Notice>,
}

/// The keys of a map that have not been read yet.
#[derive(Debug)]
pub struct Fields {
    entries: BTreeMap<String, Entry>,
    /// Where a missing key is reported: the end of the map.
    end: Span,
}

impl Fields {
    /// Takes a key with its value out.
    pub fn take(&mut self, key: &str) -> Option<Entry> {
        self.entries.remove(key)
    }

    /// Whether the key is written and not yet taken.
    pub fn has(&self, key: &str) -> bool {
        self.entries.contains_key(key)
    }

    /// What has not been taken, in the order of the file.
    pub fn rest(self) -> Vec<Entry> {
        let mut rest: Vec<Entry> = self.entries.into_values().collect();
        rest.sort_by_key(|entry| entry.span.start);
        rest
    }
}

/// Which key of `known` an unknown one may have been meant to be.
fn meant(entry: &Entry, known: &[&str]) -> Option<String> {
    let nearest = suggest::nearest(&entry.key, known.iter().copied())?;
    Some(format!("did you mean `{nearest}`?"))
}

impl Reader {
    /// Parses `text` by `parse`; `name` is what the user calls the file.
    pub fn open(
        name: &str,
        text: &str,
        parse: impl FnOnce(&str) -> Result<Node, Diagnostic>,
    ) -> Result<(Self, Node), Diagnostics> {
        if text.len() > MAX_BYTES {
            let message = format!(
                "{name}: {} bytes are too many for a configuration file",
                text.len()
            );
            let wrong = Diagnostic::new(message).help(format!("at most {MAX_BYTES} are read"));
            return Err(Diagnostics::new(Sources::default(), vec![wrong]));
        }
        let mut sources = Sources::default();
        sources.add(name, text);
        match parse(text) {
            Ok(node) => Ok((
                Reader {
                    sources,
                    wrong: Vec::new(),
                    notices: Vec::new(),
                },
                node,
            )),
            Err(wrong) => Err(Diagnostics::new(sources, vec![wrong])),
        }
    }

    /// The value, unless something was wrong.
    pub fn finish<T>(self, value: Option<T>) -> Result<Parsed<T>, Diagnostics> {
        match value {
            Some(value) if self.wrong.is_empty() => Ok(Parsed {
                value,
                notices: self.notices,
            }),
            _ => Err(Diagnostics::new(self.sources, self.wrong)),
        }
    }

    /// Notes a mistake.
    pub fn wrong(&mut self, diagnostic: Diagnostic) {
        if self.wrong.len() < MOST {
            self.wrong.push(diagnostic);
        }
    }

    /// Says something that is not a mistake.
    pub fn notice(&mut self, kind: NoticeKind, span: &Span, message: String, help: Option<String>) {
        if self.notices.len() >= MOST {
            return;
        }
        let at = self.sources.locate(span).map(|at| at.place());
        self.notices.push(Notice {
            kind,
            at,
            message,
            help,
        });
    }

    /// The fields of a map; `what` with its article names the thing that it should describe.
    pub fn fields(&mut self, node: Node, what: &str) -> Option<Fields> {
        let Value::Map(list) = node.value else {
            let message = format!("{what} is a map of keys and values, not {}", node.value.kind());
            self.wrong(Diagnostic::new(message).at(node.span, ""));
            return None;
        };
        let mut entries: BTreeMap<String, Entry> = BTreeMap::new();
        for entry in list {
            if let Some(first) = entries.get(&entry.key) {
                let message = format!("key `{}` is given twice", entry.key);
                let twice = Diagnostic::new(message).at(entry.span, "");
                let first = first.span.clone();
                self.wrong(twice.related(first, "first here"));
            } else {
                entries.insert(entry.key.clone(), entry);
            }
        }
        let end = node.span.end.saturating_sub(1)..node.span.end;
        Some(Fields { entries, end })
    }

    /// Says which keys are left: unknown ones, with the nearest of `known`.
    pub fn unknown(&mut self, fields: Fields, known: &[&str]) {
        for entry in fields.rest() {
            let message = format!("unknown key `{}` has no effect", entry.key);
            let help = meant(&entry, known);
            self.notice(NoticeKind::Unknown, &entry.span, message, help);
        }
    }

    /// Refuses the keys that are left, in a format of genie's own.
    pub fn refuse(&mut self, fields: Fields, known: &[&str]) {
        for entry in fields.rest() {
            let wrong = Diagnostic::new(format!("unknown key `{}`", entry.key.escape_debug()));
            let help = meant(&entry, known);
            self.wrong(wrong.at(entry.span, "").maybe_help(help));
        }
    }

    /// Notes that a key is missing.
    pub fn missing(&mut self, fields: &Fields, key: &str, help: String) {
        let near = fields.entries.keys().map(String::as_str);
        let near = suggest::nearest(key, near).and_then(|name| fields.entries.get(name));
        let missing = Diagnostic::new(format!("missing key `{key}`")).at(fields.end.clone(), "");
        let missing = match near {
            Some(near) => missing.related(near.span.clone(), "is this meant?"),
            None => missing,
        };
        self.wrong(missing.help(help));
    }

    /// A whole number; one with a fraction is cut, as C++ does when it converts, and that is said.
    pub fn whole(&mut self, fields: &mut Fields, key: &str, range: RangeInclusive<u64>) -> Option<u64> {
        let entry = fields.take(key)?;
        self.whole_of(&entry.value, &format!("`{key}`"), range)
    }

    /// The same of a value that is called `what`.
    pub fn whole_of(&mut self, node: &Node, what: &str, range: RangeInclusive<u64>) -> Option<u64> {
        let (low, high) = (*range.start(), *range.end());
        let wanted = format!("{what} is a whole number from {low} to {high}");
        let Value::Number(number) = node.value else {
            self.mistyped(node, wanted);
            return None;
        };
        let whole = match number {
            Number::Whole(whole) => Some(whole),
            Number::Real(real) if real > -1.0 && real < 2f64.powi(63) => Some(real as u64),
            Number::Real(_) => None,
        };
        let Some(whole) = whole.filter(|whole| range.contains(whole)) else {
            self.wrong(Diagnostic::new(wanted).at(node.span.clone(), "out of range"));
            return None;
        };
        if number.as_f64().fract() != 0.0 {
            let message = format!("{what} is a whole number: {whole} is taken");
            self.notice(NoticeKind::Changed, &node.span, message, None);
        }
        Some(whole)
    }

    /// A number that is at least `low`; `unit` is for the message.
    pub fn real(&mut self, fields: &mut Fields, key: &str, low: f64, unit: &str) -> Option<f64> {
        let entry = fields.take(key)?;
        self.real_of(&entry.value, &format!("`{key}`"), low, unit)
    }

    /// The same of a value that is called `what`.
    pub fn real_of(&mut self, node: &Node, what: &str, low: f64, unit: &str) -> Option<f64> {
        let unit = if unit.is_empty() {
            String::new()
        } else {
            format!(" in {unit}")
        };
        let wanted = format!("{what} is a number{unit}, at least {low}");
        let Value::Number(number) = node.value else {
            self.mistyped(node, wanted);
            return None;
        };
        let real = Some(number.as_f64()).filter(|real| *real >= low);
        if real.is_none() {
            self.wrong(Diagnostic::new(wanted).at(node.span.clone(), "out of range"));
        }
        real
    }

    /// 0 or 1, or `true`.
    pub fn flag(&mut self, fields: &mut Fields, key: &str) -> Option<bool> {
        let entry = fields.take(key)?;
        match entry.value.value {
            Value::Number(flag) if flag.as_f64() == 0.0 || flag.as_f64() == 1.0 => Some(flag.as_f64() == 1.0),
            Value::Bool(true) => Some(true),
            Value::Bool(false) => {
                let wrong = Diagnostic::new(format!("`{key}` is 0 or 1")).at(entry.value.span, "");
                self.wrong(wrong.help("ASTRA-sim compares it with 0 and takes `false` for 1; write 0"));
                None
            }
            _ => {
                self.mistyped(&entry.value, format!("`{key}` is 0 or 1"));
                None
            }
        }
    }

    /// Text.
    pub fn text(&mut self, fields: &mut Fields, key: &str) -> Option<(String, Span)> {
        let entry = fields.take(key)?;
        self.text_of(entry.value, &format!("`{key}`"))
    }

    /// The same of a value that is called `what`.
    pub fn text_of(&mut self, node: Node, what: &str) -> Option<(String, Span)> {
        match node.value {
            Value::Text(text) => Some((text, node.span)),
            _ => {
                self.mistyped(&node, format!("{what} is text"));
                None
            }
        }
    }

    /// One of some names.
    pub fn choice<T: Copy>(&mut self, fields: &mut Fields, key: &str, names: &[(&str, T)]) -> Option<T> {
        let (text, span) = self.text(fields, key)?;
        self.choice_of(&text, span, &format!("value of `{key}`"), names)
    }

    /// The same of a text that is called `what`.
    pub fn choice_of<T: Copy>(
        &mut self,
        text: &str,
        span: Span,
        what: &str,
        names: &[(&str, T)],
    ) -> Option<T> {
        let found = names.iter().find(|(name, _)| *name == text);
        if found.is_none() {
            let known: Vec<&str> = names.iter().map(|(name, _)| *name).collect();
            let wrong = Diagnostic::new(format!("`{text}` is no {what}")).at(span, "");
            self.wrong(wrong.maybe_help(suggest::help(text, "it is one of", &known)));
        }
        found.map(|(_, value)| *value)
    }

    /// A list.
    pub fn list(&mut self, fields: &mut Fields, key: &str, example: &str) -> Option<(Vec<Node>, Span)> {
        let entry = fields.take(key)?;
        match entry.value.value {
            Value::List(list) => Some((list, entry.value.span)),
            _ => {
                let message = format!("`{key}` is a list, not {}", entry.value.value.kind());
                let wrong = Diagnostic::new(message).at(entry.value.span, "");
                self.wrong(wrong.help(format!("for example {example}")));
                None
            }
        }
    }

    fn mistyped(&mut self, node: &Node, wanted: String) {
        let label = match &node.value {
            Value::Number(_) => String::new(),
            other => format!("this is {}", other.kind()),
        };
        self.wrong(Diagnostic::new(wanted).at(node.span.clone(), label));
    }
}
