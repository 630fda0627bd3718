//! Reading a scenario: its file, the topology file that it names, and the overrides of the command
//! line. Depends on nothing else of the machine.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use toml::de::DeValue;

use super::diagnostic::{Diagnostic, Diagnostics};
use super::document::{self, Spans, Table};
use super::section::Scenario;
use super::source::{Sources, Span};
use super::{overrides, read, suggest};

/// Largest scenario or topology file, bytes.
pub const MAX_FILE_BYTES: u64 = 4 << 20;

/// A scenario as it was read, and where each of its values was written.
#[derive(Debug, Clone, PartialEq)]
pub struct Loaded {
    /// The scenario.
    pub scenario: Scenario,
    /// The texts that it was read from.
    pub sources: Sources,
    /// Where keys and values are in them.
    pub spans: Spans,
}

/// Reads the scenario at `path` and applies overrides (`key=value`), the later over the earlier.
pub fn load(path: &Path, sets: &[String]) -> Result<Loaded, Diagnostics> {
    let mut sources = Sources::default();
    let name = path.display().to_string();
    match read_text(path, &name, "scenario", &mut sources) {
        Ok(text) => parse(&name, &text, sets, &mut sources),
        Err(wrong) => Err(vec![wrong]),
    }
    .map_err(|list| Diagnostics::new(sources, list))
}

/// Reads a scenario from text; `name` stands for its file, next to which a topology file is looked for.
pub fn load_text(name: &str, text: &str, sets: &[String]) -> Result<Loaded, Diagnostics> {
    let mut sources = Sources::default();
    parse(name, text, sets, &mut sources).map_err(|list| Diagnostics::new(sources, list))
}

fn parse(name: &str, text: &str, sets: &[String], sources: &mut Sources) -> Result<Loaded, Vec<Diagnostic>> {
    let base = sources.add(name, text);
    let bases: Vec<usize> = sets.iter().map(|set| sources.add("--set", set)).collect();
    let topology_text;
    let mut table = document::parse(text, base)?;
    let mut wrong = Vec::new();
    let sets = || sets.iter().zip(&bases);
    for (set, base) in sets().filter(|(set, _)| chooses_topology(set)) {
        wrong.extend(overrides::apply(&mut table, set, *base).err());
    }
    if let Some((file, span)) = topology_file(&table) {
        let path = Path::new(name).parent().unwrap_or(Path::new("")).join(&file);
        let shown = path.display().to_string();
        topology_text =
            read_text(&path, &shown, "topology", sources).map_err(|error| vec![error.at(span, "")])?;
        let base = sources.add(&shown, &topology_text);
        merge_topology(&mut table, document::parse(&topology_text, base)?)?;
    }
    for (set, base) in sets().filter(|(set, _)| !chooses_topology(set)) {
        wrong.extend(overrides::apply(&mut table, set, *base).err());
    }
    if !wrong.is_empty() {
        return Err(wrong);
    }
    let spans = Spans::of(&table);
    let scenario = read::scenario(table, base..base)?;
    Ok(Loaded {
        scenario,
        sources: std::mem::take(sources),
        spans,
    })
}

/// Overrides of the whole topology or its file come before the file is read, all others after.
fn chooses_topology(set: &str) -> bool {
    set.split_once('=')
        .is_some_and(|(path, _)| matches!(path.trim(), "topology" | "topology.file"))
}

fn topology_file(table: &Table<'_>) -> Option<(String, Span)> {
    let DeValue::Table(topology) = table.get("topology")?.get_ref() else {
        return None;
    };
    let file = topology.get("file")?;
    let DeValue::String(name) = file.get_ref() else {
        return None;
    };
    Some((name.to_string(), file.span()))
}

/// Puts the `[topology]` of a topology file in the place of the scenario's, which may only add keys
/// that the file has not.
fn merge_topology<'a>(table: &mut Table<'a>, mut file: Table<'a>) -> Result<(), Vec<Diagnostic>> {
    let theirs = file.remove_entry("topology");
    let stray: Vec<Diagnostic> = file
        .keys()
        .map(|key| stray_key(key.get_ref(), key.span()))
        .collect();
    if !stray.is_empty() {
        return Err(stray);
    }
    let Some((_, theirs)) = theirs else {
        return Ok(());
    };
    let Some(DeValue::Table(ours)) = table.get_mut("topology").map(|value| value.get_mut()) else {
        return Ok(());
    };
    ours.remove_entry("file");
    let span = theirs.span();
    let DeValue::Table(theirs) = theirs.into_inner() else {
        return Err(vec![Diagnostic::new("`topology` is a table").at(span, "")]);
    };
    for (key, value) in theirs {
        if let Some((twice, _)) = ours.get_key_value(key.get_ref().as_ref()) {
            let message = format!("`{}` is in the topology file and in the scenario", key.get_ref());
            let at = Diagnostic::new(message).at(twice.span(), "second here");
            return Err(vec![at.related(key.span(), "first here")]);
        }
        ours.insert(key, value);
    }
    Ok(())
}

fn stray_key(key: &str, span: Span) -> Diagnostic {
    Diagnostic::new(format!("unknown key `{key}`"))
        .at(span, "")
        .help("a topology file holds only `[topology]` and the tables in it")
}

/// Reads a file as text. A file that is no UTF-8 is added to the sources, to point into it.
fn read_text(path: &Path, name: &str, kind: &str, sources: &mut Sources) -> Result<String, Diagnostic> {
    let failed = |error: std::io::Error| {
        let missing = error.kind() == std::io::ErrorKind::NotFound;
        let help = missing.then(|| neighbour(path)).flatten();
        Diagnostic::new(format!("cannot read the {kind} `{name}`: {}", reason(&error))).maybe_help(help)
    };
    if path.is_dir() {
        let message = format!("`{name}` is a folder, not a {kind} file");
        return Err(Diagnostic::new(message).maybe_help(first_within(path)));
    }
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(failed)?;
    file.take(MAX_FILE_BYTES + 1)
        .read_to_end(&mut bytes)
        .map_err(failed)?;
    if bytes.len() as u64 > MAX_FILE_BYTES {
        let message = format!("`{name}` is larger than {} MiB", MAX_FILE_BYTES >> 20);
        return Err(Diagnostic::new(message).help(format!("is it a {kind}?")));
    }
    String::from_utf8(bytes).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        let base = sources.add(name, &String::from_utf8_lossy(error.as_bytes()));
        let message = format!("`{name}` is not UTF-8 text");
        Diagnostic::new(message).at(base + at..base + at + 1, "this byte begins no character")
    })
}

fn reason(error: &std::io::Error) -> String {
    match error.kind() {
        std::io::ErrorKind::NotFound => "there is no such file".into(),
        std::io::ErrorKind::PermissionDenied => "permission denied".into(),
        _ => error.to_string(),
    }
}

fn toml_files(folder: &Path) -> Vec<String> {
    let folder = if folder.as_os_str().is_empty() {
        Path::new(".")
    } else {
        folder
    };
    let names = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let mut names: Vec<String> = names
        .filter_map(|entry| entry.file_name().into_string().ok())
        .filter(|name| name.ends_with(".toml"))
        .collect();
    names.sort();
    names
}

fn neighbour(path: &Path) -> Option<String> {
    let folder = path.parent()?;
    let names = toml_files(folder);
    let wanted = path.file_name()?.to_str()?;
    let name = suggest::nearest(wanted, names.iter().map(String::as_str))?;
    Some(format!("did you mean `{}`?", folder.join(name).display()))
}

fn first_within(folder: &Path) -> Option<String> {
    let name = toml_files(folder).into_iter().next()?;
    Some(format!(
        "name a file, for example `{}`",
        folder.join(name).display()
    ))
}
