//! YAML text to a tree with positions: one document of lists, maps and plain values. Aliases are
//! refused (a short text could stand for an endless tree), and so are keys that are not plain.

use saphyr_parser::{Event, Parser, Span as YamlSpan};

use super::{Diagnostic, Entry, MAX_DEPTH, Node, Number, Span, Value};

/// Parses a whole text.
pub fn parse(text: &str) -> Result<Node, Diagnostic> {
    let offsets = text.char_indices().map(|(offset, _)| offset).collect();
    let mut events = Events {
        parser: Parser::new_from_str(text),
        offsets,
        end: text.len(),
    };
    loop {
        match events.next()? {
            (Event::StreamStart | Event::DocumentStart(_), _) => {}
            (Event::StreamEnd, span) => {
                return Err(Diagnostic::new("the file is empty").at(span, "YAML was expected here"));
            }
            (event, span) => {
                let node = events.node(event, span, MAX_DEPTH)?;
                events.only_document()?;
                return Ok(node);
            }
        }
    }
}

struct Events<'a> {
    parser: Parser<'a, saphyr_parser::StrInput<'a>>,
    /// Byte offset of each character: the parser counts characters.
    offsets: Vec<usize>,
    end: usize,
}

impl<'a> Events<'a> {
    fn next(&mut self) -> Result<(Event<'a>, Span), Diagnostic> {
        match self.parser.next_event() {
            Some(Ok((event, span))) => Ok((event, self.span(&span))),
            Some(Err(error)) => {
                let at = self.offset(error.marker().index());
                Err(Diagnostic::new("not valid YAML").at(at..at, error.info()))
            }
            None => Err(Diagnostic::new("not valid YAML").at(self.end..self.end, "the text ends here")),
        }
    }

    fn offset(&self, characters: usize) -> usize {
        self.offsets.get(characters).copied().unwrap_or(self.end)
    }

    fn span(&self, span: &YamlSpan) -> Span {
        self.offset(span.start.index())..self.offset(span.end.index())
    }

    fn only_document(&mut self) -> Result<(), Diagnostic> {
        loop {
            match self.next()? {
                (Event::StreamEnd, _) => return Ok(()),
                (Event::DocumentEnd, _) => {}
                (_, span) => return Err(Diagnostic::new("a second document begins here").at(span, "")),
            }
        }
    }

    fn node(&mut self, event: Event<'a>, span: Span, depth: usize) -> Result<Node, Diagnostic> {
        let Some(depth) = depth.checked_sub(1) else {
            return Err(Diagnostic::new("lists and maps are nested too deep").at(span, ""));
        };
        match event {
            Event::Scalar(text, ..) => Ok(Node {
                span,
                value: scalar(&text),
            }),
            Event::SequenceStart(..) => self.list(span.start, depth),
            Event::MappingStart(..) => self.map(span.start, depth),
            Event::Alias(_) => Err(Diagnostic::new("aliases (`*name`) are not read")
                .at(span, "")
                .help("write the value out")),
            _ => Err(Diagnostic::new("not valid YAML").at(span, "a value was expected here")),
        }
    }

    fn list(&mut self, start: usize, depth: usize) -> Result<Node, Diagnostic> {
        let mut list = Vec::new();
        loop {
            match self.next()? {
                (Event::SequenceEnd, span) => {
                    return Ok(Node {
                        span: start..span.end.max(start),
                        value: Value::List(list),
                    });
                }
                (event, span) => list.push(self.node(event, span, depth)?),
            }
        }
    }

    fn map(&mut self, start: usize, depth: usize) -> Result<Node, Diagnostic> {
        let mut map = Vec::new();
        loop {
            let (key, span) = match self.next()? {
                (Event::MappingEnd, span) => {
                    return Ok(Node {
                        span: start..span.end.max(start),
                        value: Value::Map(map),
                    });
                }
                (Event::Scalar(key, ..), span) => (key.into_owned(), span),
                (_, span) => return Err(Diagnostic::new("a key is plain text or a number").at(span, "")),
            };
            let (event, at) = self.next()?;
            let value = self.node(event, at, depth)?;
            map.push(Entry { key, span, value });
        }
    }
}

/// Quoted or not, a scalar is what it looks like, as yaml-cpp reads it.
fn scalar(text: &str) -> Value {
    match text {
        "" | "~" | "null" => Value::Null,
        "true" => Value::Bool(true),
        "false" => Value::Bool(false),
        _ => Number::parse(text).map_or_else(|| Value::Text(text.into()), Value::Number),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flow_and_block_lists_are_the_same() {
        let values = |text: &str| {
            let Value::Map(entries) = parse(text).expect("valid").value else {
                panic!("a map")
            };
            let Value::List(list) = &entries[0].value.value else {
                panic!("a list")
            };
            list.iter().map(|node| node.value.clone()).collect::<Vec<_>>()
        };
        let flow = values("a: [ 1, 2.5, Ring ] # é\n");
        assert_eq!(flow, values("# é\na:\n  - 1\n  - 2.5\n  - Ring\n"));
        assert_eq!(flow[1], Value::Number(Number::Real(2.5)));
    }

    #[test]
    fn positions_count_bytes() {
        let text = "# é\na: tbd\n";
        let Value::Map(entries) = parse(text).expect("valid").value else {
            panic!("a map")
        };
        assert_eq!(&text[entries[0].value.span.clone()], "tbd");
    }

    #[test]
    fn what_would_blow_up_is_refused() {
        let deep = "[".repeat(10_000);
        let bomb = "a: &a [x, x]\nb: &b [*a, *a]\nc: [*b, *b]\n";
        for text in [
            "",
            "# only a comment",
            "a: [1",
            "a: 1\n---\nb: 2",
            "? [x]\n: 1",
            bomb,
            &deep,
        ] {
            assert!(parse(text).is_err(), "{}", &text[..text.len().min(20)]);
        }
    }
}
