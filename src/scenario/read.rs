//! From a TOML table to the sections of a scenario, section by section, so that one wrong section
//! does not hide the mistakes in the others; and serde's messages in a reader's words.

use serde::de::DeserializeOwned;
use toml::de::{DeValue, Error, ValueDeserializer};

use super::diagnostic::Diagnostic;
use super::document::{Table, Value};
use super::section::{Scenario, Traffic};
use super::source::Span;
use super::suggest;

/// The keys of a scenario.
pub const SECTIONS: &[&str] = &[
    "name",
    "testbed",
    "time",
    "topology",
    "host",
    "tcp",
    "rdma",
    "roce-user",
    "communicator",
    "placement",
    "traffic",
    "step",
];

/// The kinds of traffic.
pub const TRAFFIC: &[&str] = &["collective", "trace"];

/// Reads a scenario; `end` is where a missing key is reported.
pub fn scenario(mut table: Table<'_>, end: Span) -> Result<Scenario, Vec<Diagnostic>> {
    let mut reader = Reader { wrong: Vec::new() };
    if table.get("name").is_none() {
        let missing = Diagnostic::new("missing key `name`").at(end, "");
        reader
            .wrong
            .push(missing.help("every scenario begins with a name: name = \"allreduce\""));
    }
    let scenario = Scenario {
        name: reader.section(&mut table, "name").unwrap_or_default(),
        testbed: reader.section(&mut table, "testbed").unwrap_or_default(),
        time: reader.section(&mut table, "time").unwrap_or_default(),
        topology: reader.section(&mut table, "topology"),
        host: reader.section(&mut table, "host"),
        tcp: reader.section(&mut table, "tcp").unwrap_or_default(),
        rdma: reader.section(&mut table, "rdma").unwrap_or_default(),
        roce_user: reader.section(&mut table, "roce-user").unwrap_or_default(),
        communicator: reader.sections(&mut table, "communicator", "communicator"),
        placement: reader.section(&mut table, "placement"),
        traffic: reader.traffic(&mut table),
        step: reader.sections(&mut table, "step", "step"),
    };
    reader.unknown(&table, SECTIONS, "the sections of a scenario are");
    if reader.wrong.is_empty() {
        Ok(scenario)
    } else {
        Err(reader.wrong)
    }
}

struct Reader {
    wrong: Vec<Diagnostic>,
}

impl Reader {
    /// Takes one section out of the table.
    fn section<T: DeserializeOwned>(&mut self, table: &mut Table<'_>, key: &str) -> Option<T> {
        let (_, value) = table.remove_entry(key)?;
        self.value(value)
    }

    /// Takes a list of sections out of the table.
    fn sections<T: DeserializeOwned>(&mut self, table: &mut Table<'_>, key: &str, path: &str) -> Vec<T> {
        let Some((name, value)) = table.remove_entry(key) else {
            return Vec::new();
        };
        let (span, value) = (value.span(), value.into_inner());
        let DeValue::Array(array) = value else {
            let message = format!("`{path}` is a list of tables, not a {}", value.type_str());
            let help = format!("write `[[{path}]]`, once for each");
            let place = if matches!(value, DeValue::Table(_)) {
                name.span()
            } else {
                span
            };
            self.wrong.push(Diagnostic::new(message).at(place, "").help(help));
            return Vec::new();
        };
        array
            .into_iter()
            .filter_map(|element| self.value(element))
            .collect()
    }

    fn value<T: DeserializeOwned>(&mut self, value: Value<'_>) -> Option<T> {
        let span = value.span();
        match T::deserialize(ValueDeserializer::from(value)) {
            Ok(section) => Some(section),
            Err(error) => {
                self.wrong.push(type_error(&error, span));
                None
            }
        }
    }

    fn traffic(&mut self, table: &mut Table<'_>) -> Traffic {
        let Some((_, value)) = table.remove_entry("traffic") else {
            return Traffic::default();
        };
        let (span, value) = (value.span(), value.into_inner());
        let DeValue::Table(mut kinds) = value else {
            let message = format!("`traffic` is a table, not a {}", value.type_str());
            let help = "write `[[traffic.collective]]`, once for each operation";
            self.wrong.push(Diagnostic::new(message).at(span, "").help(help));
            return Traffic::default();
        };
        let collective = self.sections(&mut kinds, "collective", "traffic.collective");
        let trace = self.sections(&mut kinds, "trace", "traffic.trace");
        self.unknown(&kinds, TRAFFIC, "the kinds of traffic are");
        Traffic { collective, trace }
    }

    /// What is left in a table after all known keys were taken.
    fn unknown(&mut self, table: &Table<'_>, known: &[&str], what: &str) {
        for key in table.keys() {
            let message = format!("unknown key `{}`", key.get_ref());
            let help = suggest::help(key.get_ref(), what, known);
            self.wrong
                .push(Diagnostic::new(message).at(key.span(), "").maybe_help(help));
        }
    }
}

/// A type error of serde in a reader's words.
pub fn type_error(error: &Error, around: Span) -> Diagnostic {
    let span = error.span().unwrap_or(around);
    let message = error.message();
    let names: Vec<&str> = message.split('`').skip(1).step_by(2).collect();
    let (name, known) = names
        .split_first()
        .map_or(("", &[][..]), |(name, rest)| (*name, rest));
    if message.starts_with("unknown field ") {
        let help = suggest::help(name, "the keys here are", known);
        return Diagnostic::new(format!("unknown key `{name}`"))
            .at(span, "")
            .maybe_help(help);
    }
    if message.starts_with("unknown variant ") {
        let help = suggest::help(name, "one of", known);
        return Diagnostic::new(format!("`{name}` is not known here"))
            .at(span, "")
            .maybe_help(help);
    }
    if message.starts_with("missing field ") {
        return Diagnostic::new(format!("missing key `{name}`")).at(span, "needed here");
    }
    if message.contains("is not a unit of") {
        let units = message.split_once("units are ").map_or("", |(_, units)| units);
        let near = suggest::nearest(name, units.split(", ")).map(|unit| format!("did you mean `{unit}`?"));
        return Diagnostic::new(message).at(span, "").maybe_help(near);
    }
    Diagnostic::new(reword(message)).at(span, "")
}

/// Rust's type names in a reader's words.
fn reword(message: &str) -> String {
    if message.starts_with("invalid IP address") {
        return "not an IP address; write for example \"127.0.0.1\"".into();
    }
    let message = message
        .split_once("expected struct ")
        .map_or(message.to_owned(), |(given, _)| {
            format!("{given}expected a table")
        });
    let words = [
        ("expected u32", "expected a whole number from 0 to 4294967295"),
        ("expected u64", "expected a whole number, not negative"),
        ("expected i64", "expected a whole number"),
        ("expected f64", "expected a number"),
        ("expected a boolean", "expected true or false"),
        ("expected a sequence", "expected a list"),
        ("expected a map", "expected a table"),
        ("invalid type: sequence", "invalid type: list"),
        ("invalid type: map", "invalid type: table"),
        ("expected an array of length ", "expected a list of "),
    ];
    words
        .iter()
        .fold(message, |text, (rust, plain)| text.replace(rust, plain))
}
