//! `key: value` lines, the form of ASTRA-sim 1.0's system files, to the same tree as JSON. Lists are
//! joined by underscores: `ring_doubleBinaryTree`.

use super::{Diagnostic, Entry, Node, Number, Span, Value};

/// Parses a whole text; values of `lists` are split at underscores.
pub fn parse(text: &str, lists: &[&str]) -> Result<Node, Diagnostic> {
    let mut entries = Vec::new();
    let mut start = 0;
    for line in text.split_inclusive('\n') {
        let end = start + line.trim_end().len();
        if !line.trim().is_empty() {
            entries.push(entry(text, start..end.max(start), lists)?);
        }
        start += line.len();
    }
    Ok(Node {
        span: 0..text.len(),
        value: Value::Map(entries),
    })
}

fn entry(text: &str, line: Span, lists: &[&str]) -> Result<Entry, Diagnostic> {
    let Some(colon) = text[line.clone()].find(':').map(|at| line.start + at) else {
        return Err(Diagnostic::new("a line is `key: value`").at(line, "there is no colon here"));
    };
    let span = trimmed(text, line.start..colon);
    let at = trimmed(text, colon + 1..line.end);
    let key = text[span.clone()].to_owned();
    let value = if lists.contains(&key.as_str()) {
        list(text, at)
    } else {
        scalar(text, at)
    };
    Ok(Entry { key, span, value })
}

fn trimmed(text: &str, span: Span) -> Span {
    let part = &text[span.clone()];
    let start = span.start + part.len() - part.trim_start().len();
    start..start + part.trim().len()
}

fn list(text: &str, span: Span) -> Node {
    let mut start = span.start;
    let elements = text[span.clone()].split('_').map(|part| {
        let at = start..start + part.len();
        start = at.end + 1;
        scalar(text, at)
    });
    Node {
        value: Value::List(elements.collect()),
        span,
    }
}

fn scalar(text: &str, span: Span) -> Node {
    let text = &text[span.clone()];
    let value = Number::parse(text).map_or_else(|| Value::Text(text.into()), Value::Number);
    Node { span, value }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_split_at_underscores() {
        let text = "a: ring_direct2\r\n\nb : 10 \n";
        let Value::Map(entries) = parse(text, &["a"]).expect("valid").value else {
            panic!("a map")
        };
        let Value::List(list) = &entries[0].value.value else {
            panic!("a list")
        };
        let parts: Vec<&str> = list.iter().map(|node| &text[node.span.clone()]).collect();
        assert_eq!(parts, ["ring", "direct2"]);
        assert_eq!(entries[1].key, "b");
        assert_eq!(entries[1].value.value, Value::Number(Number::Whole(10)));
        assert!(parse("no colon", &[]).is_err());
    }
}
