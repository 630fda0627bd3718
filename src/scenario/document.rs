//! TOML with a span at every key and value, over several texts: parsing, replacing a value,
//! and finding again where a value was written.

use std::collections::HashMap;

use toml::Spanned;
use toml::de::{DeTable, DeValue, Error};

use super::diagnostic::Diagnostic;
use super::source::Span;

/// A TOML table whose spans count over all texts.
pub type Table<'a> = DeTable<'a>;
/// A TOML value whose spans count over all texts.
pub type Value<'a> = Spanned<DeValue<'a>>;

/// Parses a whole text that begins at `base` among all texts.
pub fn parse(text: &str, base: usize) -> Result<Table<'_>, Vec<Diagnostic>> {
    match DeTable::parse(text) {
        Ok(table) => Ok(shift_table(table.into_inner(), base)),
        Err(error) => Err(vec![syntax_error(&error, base, text.len())]),
    }
}

/// Parses one value that begins at `base` among all texts.
pub fn parse_value(text: &str, base: usize) -> Result<Value<'_>, Diagnostic> {
    match DeValue::parse(text) {
        Ok(value) => Ok(shift(value, base)),
        Err(error) => Err(syntax_error(&error, base, text.len())),
    }
}

fn syntax_error(error: &Error, base: usize, len: usize) -> Diagnostic {
    let span = error.span().unwrap_or(len..len);
    Diagnostic::new(format!("not valid TOML: {}", error.message())).at(span.start + base..span.end + base, "")
}

fn shift(value: Value<'_>, by: usize) -> Value<'_> {
    let span = value.span().start + by..value.span().end + by;
    let value = match value.into_inner() {
        DeValue::Array(mut array) => {
            for element in array.iter_mut() {
                let old = std::mem::replace(element, Spanned::new(0..0, DeValue::Boolean(false)));
                *element = shift(old, by);
            }
            DeValue::Array(array)
        }
        DeValue::Table(table) => DeValue::Table(shift_table(table, by)),
        scalar => scalar,
    };
    Spanned::new(span, value)
}

fn shift_table(table: Table<'_>, by: usize) -> Table<'_> {
    let mut shifted = DeTable::new();
    for (key, value) in table {
        let span = key.span().start + by..key.span().end + by;
        shifted.insert(Spanned::new(span, key.into_inner()), shift(value, by));
    }
    shifted
}

/// Where every key and value was written, by path: `traffic.collective[0].sizes[1]`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Spans(HashMap<String, (Span, Span)>);

impl Spans {
    /// Notes all keys and values of a table.
    pub fn of(table: &Table<'_>) -> Self {
        let mut spans = Spans::default();
        spans.note_table("", table);
        spans
    }

    fn note_table(&mut self, prefix: &str, table: &Table<'_>) {
        for (key, value) in table {
            let dot = if prefix.is_empty() { "" } else { "." };
            let path = format!("{prefix}{dot}{}", key.get_ref());
            self.note(path, key.span(), value);
        }
    }

    fn note(&mut self, path: String, key: Span, value: &Value<'_>) {
        match value.get_ref() {
            DeValue::Table(table) => self.note_table(&path, table),
            DeValue::Array(array) => {
                for (number, element) in array.iter().enumerate() {
                    self.note(format!("{path}[{number}]"), element.span(), element);
                }
            }
            _ => {}
        }
        self.0.insert(path, (key, value.span()));
    }

    /// Span of the value at `path`, else of the nearest thing around it that was written.
    pub fn value(&self, path: &str) -> Option<Span> {
        let mut path = path;
        loop {
            if let Some((_, value)) = self.0.get(path) {
                return Some(value.clone());
            }
            path = &path[..path.rfind(['.', '['])?];
        }
    }

    /// Span of the key at `path`, if it was written.
    pub fn key(&self, path: &str) -> Option<Span> {
        self.0.get(path).map(|(key, _)| key.clone())
    }
}

/// A step of a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Into a table.
    Key(String),
    /// Into an array.
    Index(usize),
}

/// Puts `value` at `path`, making tables on the way; each step comes with the span that named it.
pub fn replace<'a>(table: &mut Table<'a>, path: &[(Step, Span)], value: Value<'a>) -> Result<(), Diagnostic> {
    let Some(((Step::Key(key), span), rest)) = path.split_first() else {
        let span = path.first().map_or(0..0, |(_, span)| span.clone());
        return Err(Diagnostic::new("a key was expected here, not a number").at(span, ""));
    };
    let old = table.remove_entry(key.as_str()).map(|(_, old)| old);
    let new = replace_in(old, key, span, rest, value)?;
    table.insert(Spanned::new(span.clone(), key.clone().into()), new);
    Ok(())
}

fn replace_in<'a>(
    old: Option<Value<'a>>,
    name: &str,
    named: &Span,
    path: &[(Step, Span)],
    value: Value<'a>,
) -> Result<Value<'a>, Diagnostic> {
    let Some((step, span)) = path.first() else {
        return Ok(value);
    };
    let old = old.unwrap_or_else(|| Spanned::new(named.clone(), DeValue::Table(DeTable::new())));
    let place = old.span();
    let new = match (old.into_inner(), step) {
        (DeValue::Table(mut table), Step::Key(_)) => {
            replace(&mut table, path, value)?;
            DeValue::Table(table)
        }
        (DeValue::Array(mut array), Step::Index(number)) => {
            let count = array.len();
            let Some(element) = array.get_mut(*number) else {
                let message = format!("`{name}` has no element {number}");
                let label = format!("there are {count}, counted from 0");
                return Err(Diagnostic::new(message).at(span.clone(), label));
            };
            let old = std::mem::replace(element, Spanned::new(0..0, DeValue::Boolean(false)));
            *element = replace_in(Some(old), name, named, &path[1..], value)?;
            DeValue::Array(array)
        }
        (DeValue::Array(array), Step::Key(key)) => {
            let message = format!("`{name}` is a list of {}", array.len());
            let help = format!("say which one: `{name}[0].{key}`");
            return Err(Diagnostic::new(message).at(span.clone(), "").help(help));
        }
        (other, _) => {
            let message = format!("`{name}` is a {} and holds nothing", other.type_str());
            return Err(Diagnostic::new(message).at(span.clone(), ""));
        }
    };
    Ok(Spanned::new(place, new))
}
