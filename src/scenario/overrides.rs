//! `--set key=value`: where in the scenario, and what to put there.
//!
//! The path is dotted; elements of lists are `name[0]` or `name.0`. The value is TOML; what is no
//! TOML (`10 Gbit/s`, `host`) is taken as text, also inside one pair of brackets.

use toml::Spanned;
use toml::de::{DeArray, DeValue};

use super::diagnostic::Diagnostic;
use super::document::{self, Step, Table, Value};
use super::source::Span;

/// Applies the override `text`, which begins at `base` among all texts.
pub fn apply<'a>(table: &mut Table<'a>, text: &'a str, base: usize) -> Result<(), Diagnostic> {
    let (path, value) = parse(text, base)?;
    document::replace(table, &path, value)
}

/// The override's path and value.
pub fn parse(text: &str, base: usize) -> Result<(Vec<(Step, Span)>, Value<'_>), Diagnostic> {
    let Some(equals) = text.find('=') else {
        return Err(Diagnostic::new("an override is `key=value`")
            .at(base..base + text.len(), "no `=` in it")
            .help("for example `--set testbed.verify=true`"));
    };
    let path = steps(&text[..equals], base)?;
    let start = equals + 1;
    Ok((path, value(&text[start..], base + start)?))
}

fn steps(path: &str, base: usize) -> Result<Vec<(Step, Span)>, Diagnostic> {
    let mut steps = Vec::new();
    let mut at = 0;
    for part in path.split('.') {
        let (name, indices) = part.split_at(part.find('[').unwrap_or(part.len()));
        let trimmed = name.trim();
        let start = base + at + (name.len() - name.trim_start().len());
        let span = start..start + trimmed.len();
        match trimmed.parse() {
            _ if trimmed.is_empty() => {
                let span = base + at..base + at + part.len();
                return Err(Diagnostic::new("an empty name in the path of an override").at(span, ""));
            }
            Ok(number) if !steps.is_empty() => steps.push((Step::Index(number), span)),
            _ => steps.push((Step::Key(trimmed.to_owned()), span)),
        }
        index_steps(indices, base + at + name.len(), &mut steps)?;
        at += part.len() + 1;
    }
    Ok(steps)
}

/// Reads `[0][1]`.
fn index_steps(text: &str, base: usize, steps: &mut Vec<(Step, Span)>) -> Result<(), Diagnostic> {
    let mut at = 0;
    let text = text.trim_end();
    while at < text.len() {
        let end = text[at..].find(']').map(|end| at + end);
        let inner = end
            .and_then(|end| text.get(at + 1..end))
            .filter(|_| text[at..].starts_with('['));
        let Some((number, end)) = inner.and_then(|inner| inner.trim().parse().ok()).zip(end) else {
            return Err(
                Diagnostic::new("an element of a list is named by its number: `name[0]`")
                    .at(base + at..base + text.len(), ""),
            );
        };
        steps.push((Step::Index(number), base + at + 1..base + end));
        at = end + 1;
    }
    Ok(())
}

/// Parses as TOML, else as bare text.
fn value(text: &str, base: usize) -> Result<Value<'_>, Diagnostic> {
    let trimmed = text.trim();
    let base = base + (text.len() - text.trim_start().len());
    let error = match document::parse_value(trimmed, base) {
        Ok(value) => return Ok(value),
        Err(error) => error,
    };
    if trimmed.starts_with(['"', '\'', '{']) {
        return Err(error);
    }
    let Some(inner) = trimmed.strip_prefix('[') else {
        return Ok(bare(trimmed, base));
    };
    let Some(inner) = inner
        .strip_suffix(']')
        .filter(|inner| !inner.contains(['[', ']', '"', '\'', '{']))
    else {
        return Err(error);
    };
    let mut array = DeArray::new();
    let mut at = base + 1;
    for part in inner.split(',') {
        array.push(value(part, at)?);
        at += part.len() + 1;
    }
    Ok(Spanned::new(base..base + trimmed.len(), DeValue::Array(array)))
}

fn bare(text: &str, base: usize) -> Value<'_> {
    Spanned::new(base..base + text.len(), DeValue::String(text.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(document: &str, text: &str) -> Result<toml::Table, String> {
        let mut table = document::parse(document, 0).expect("test documents are valid");
        apply(&mut table, text, 1000).map_err(|error| error.message)?;
        let value = Spanned::new(0..0, table);
        serde::Deserialize::deserialize(toml::Deserializer::from(value)).map_err(|error| error.to_string())
    }

    #[test]
    fn bare_words_are_text_and_toml_is_toml() {
        let got = set("", "a.b=10 Gbit/s").expect("valid");
        assert_eq!(got.to_string().trim(), "[a]\nb = \"10 Gbit/s\"");
        assert_eq!(set("", "a=host").expect("valid")["a"].as_str(), Some("host"));
        assert_eq!(set("", "a=\"host\"").expect("valid")["a"].as_str(), Some("host"));
        assert_eq!(set("", "a = 4").expect("valid")["a"].as_integer(), Some(4));
        assert_eq!(set("", "a=true").expect("valid")["a"].as_bool(), Some(true));
        let list = set("", "a=[1 KiB, 64 MiB]").expect("valid");
        assert_eq!(list["a"].as_array().map(Vec::len), Some(2));
    }

    #[test]
    fn elements_of_lists_have_two_spellings() {
        let document = "[[t.c]]\nx = 1\n[[t.c]]\nx = 2";
        for path in ["t.c.1.x", "t.c[1].x", "t . c[1] . x"] {
            let got = set(document, &format!("{path}=3")).expect("valid");
            assert_eq!(got["t"]["c"][1]["x"].as_integer(), Some(3), "{path}");
            assert_eq!(got["t"]["c"][0]["x"].as_integer(), Some(1), "{path}");
        }
    }

    #[test]
    fn wrong_paths_are_refused() {
        let document = "y = 1\n[[t.c]]\nx = 1";
        for text in [
            "",
            "y",
            "=1",
            "t..c=1",
            "t.c.7.x=1",
            "t.c.x=1",
            "y.z=1",
            "t.c[a].x=1",
            "t.c[0=1",
        ] {
            assert!(set(document, text).is_err(), "{text}");
        }
    }
}
