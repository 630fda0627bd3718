//! The logical topology JSON of ASTRA-sim's packet-level backends: `{"logical-dims": ["8", "2"]}`.

use crate::document::{Diagnostic, Diagnostics, Fields, Node, Number, Parsed, Reader, Value, json};

const KEY: &str = "logical-dims";

/// NPUs along each logical dimension, the fastest-varying part of a rank first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogicalTopology {
    /// At least one, each at least 1.
    pub dims: Vec<u32>,
}

impl LogicalTopology {
    /// Reads the text of a file that is called `name`.
    pub fn parse(name: &str, text: &str) -> Result<Parsed<Self>, Diagnostics> {
        let (mut reader, root) = Reader::open(name, text, json::parse)?;
        let fields = reader.fields(root, "a logical topology");
        let topology = fields.and_then(|fields| read(&mut reader, fields));
        reader.finish(topology)
    }

    /// NPUs in all.
    pub fn npus(&self) -> u32 {
        self.dims.iter().product()
    }
}

fn read(reader: &mut Reader, mut fields: Fields) -> Option<LogicalTopology> {
    if !fields.has(KEY) {
        reader.missing(
            &fields,
            KEY,
            "for example \"logical-dims\": [\"8\", \"2\"]".into(),
        );
        return None;
    }
    let (nodes, span) = reader.list(&mut fields, KEY, "[\"8\", \"2\"]")?;
    reader.unknown(fields, &[KEY]);
    let dims: Vec<u32> = nodes.into_iter().filter_map(|node| dim(reader, node)).collect();
    let npus = dims.iter().try_fold(1u32, |npus, dim| npus.checked_mul(*dim));
    if npus.is_none() || dims.is_empty() {
        reader.wrong(Diagnostic::new("not a possible number of NPUs").at(span, ""));
        return None;
    }
    Some(LogicalTopology { dims })
}

/// Numbers are written as text; plain ones are taken too.
fn dim(reader: &mut Reader, mut node: Node) -> Option<u32> {
    if let Value::Text(text) = &node.value
        && let Some(number) = Number::parse(text)
    {
        node.value = Value::Number(number);
    }
    let dim = reader.whole_of(&node, "an element of `logical-dims`", 1..=u64::from(u32::MAX))?;
    Some(dim as u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dimensions_are_texts_or_numbers() {
        let parse = |text: &str| LogicalTopology::parse("l.json", text);
        let topology = parse("{\"logical-dims\": [\"8\", 2]}").expect("valid").value;
        assert_eq!(
            (topology.dims.as_slice(), topology.npus()),
            ([8, 2].as_slice(), 16)
        );
        for text in [
            "{}",
            "{\"logical-dims\": []}",
            "{\"logical-dims\": [\"0\"]}",
            "{\"logical-dims\": [\"x\"]}",
            "{\"logical-dims\": [4000000000, 4]}",
            "{\"logical-dims\": \"8\"}",
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
