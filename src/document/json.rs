//! JSON text to a tree with positions; strict, as other JSON readers are.

use jsonc_parser::ast;
use jsonc_parser::common::{Range, Ranged};
use jsonc_parser::{CollectOptions, ParseOptions, parse_to_ast};

use super::{Diagnostic, Entry, MAX_DEPTH, Node, Number, Value};

/// Standard JSON: none of the extensions.
const STRICT: ParseOptions = ParseOptions {
    allow_comments: false,
    allow_loose_object_property_names: false,
    allow_trailing_commas: false,
    allow_missing_commas: false,
    allow_single_quoted_strings: false,
    allow_hexadecimal_numbers: false,
    allow_unary_plus_numbers: false,
    allow_bare_decimal_point_numbers: false,
    allow_non_finite_numbers: false,
    allow_extended_string_escapes: false,
};

/// Parses a whole text.
pub fn parse(text: &str) -> Result<Node, Diagnostic> {
    let parsed = parse_to_ast(text, &CollectOptions::default(), &STRICT).map_err(|error| {
        let reason = error.kind().to_string();
        Diagnostic::new("not valid JSON").at(error.range().start..error.range().end, lower(&reason))
    })?;
    match parsed.value {
        Some(value) => node(value, MAX_DEPTH),
        None => Err(Diagnostic::new("the file is empty").at(0..0, "JSON was expected here")),
    }
}

fn lower(text: &str) -> String {
    let mut chars = text.chars();
    let first = chars.next().map(|c| c.to_ascii_lowercase());
    first.into_iter().chain(chars).collect()
}

fn node(value: ast::Value<'_>, depth: usize) -> Result<Node, Diagnostic> {
    let Range { start, end } = value.range();
    let Some(depth) = depth.checked_sub(1) else {
        return Err(Diagnostic::new("lists and maps are nested too deep").at(start..end, ""));
    };
    let value = match value {
        ast::Value::NullKeyword(_) => Value::Null,
        ast::Value::BooleanLit(literal) => Value::Bool(literal.value),
        ast::Value::StringLit(literal) => Value::Text(literal.value.into_owned()),
        ast::Value::NumberLit(literal) => match Number::parse(literal.value) {
            Some(number) => Value::Number(number),
            None => return Err(Diagnostic::new("this number is too large").at(start..end, "")),
        },
        ast::Value::Array(array) => {
            let elements = array.elements.into_iter().map(|element| node(element, depth));
            Value::List(elements.collect::<Result<_, _>>()?)
        }
        ast::Value::Object(object) => {
            let entries = object
                .properties
                .into_iter()
                .map(|property| entry(property, depth));
            Value::Map(entries.collect::<Result<_, _>>()?)
        }
    };
    Ok(Node {
        span: start..end,
        value,
    })
}

fn entry(property: ast::ObjectProp<'_>, depth: usize) -> Result<Entry, Diagnostic> {
    let Range { start, end } = property.name.range();
    Ok(Entry {
        key: property.name.into_string(),
        span: start..end,
        value: node(property.value, depth)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_know_where_they_are_written() {
        let node = parse("{\n\t\"é\": [1, -2.5, \"x\"]}").expect("valid");
        let Value::Map(entries) = node.value else {
            panic!("a map")
        };
        assert_eq!((entries[0].key.as_str(), entries[0].span.clone()), ("é", 3..7));
        let Value::List(list) = &entries[0].value.value else {
            panic!("a list")
        };
        assert_eq!(list[0].value, Value::Number(Number::Whole(1)));
        assert_eq!(list[1].value, Value::Number(Number::Real(-2.5)));
        assert_eq!(
            (&list[2].value, list[2].span.clone()),
            (&Value::Text("x".into()), 19..22)
        );
    }

    #[test]
    fn what_is_not_json_is_refused() {
        let deep = "[".repeat(100_000);
        for text in [
            "",
            "{",
            "{\"a\": 1,}",
            "[1 2]",
            "{a: 1}",
            "[NaN]",
            "[1e999]",
            "// c\n1",
            "1 2",
            &deep,
        ] {
            assert!(parse(text).is_err(), "{}", &text[..text.len().min(20)]);
        }
    }
}
