//! Tags and pins. A tag is a name that somebody gave a run; a pin only says "keep it". Both are one
//! small file each in the store's private folder, made in one step, so that writers do not disturb
//! each other; neither touches the run.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::{fs, io};

use super::PRIVATE;
use crate::results::{RunId, durable};

/// Longest name of a tag.
const LONGEST: usize = 64;

/// Why a label was not set.
#[derive(Debug, thiserror::Error)]
pub enum LabelError {
    /// The name cannot be a tag.
    #[error(
        "`{0}` cannot be a tag: {LONGEST} letters, digits, `.`, `_`, `-` at most, beginning with a letter or digit, and neither `latest` nor a run id"
    )]
    Name(String),
    /// The tag names another run.
    #[error("tag `{name}` is {id}'s already")]
    Taken {
        /// The tag.
        name: String,
        /// Its run.
        id: RunId,
    },
    /// There is no such tag.
    #[error("there is no tag `{0}`")]
    Unknown(String),
    /// The file system said no.
    #[error("cannot write {}: {source}", path.display())]
    Write {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

impl LabelError {
    /// What to do about it.
    pub fn help(&self) -> &'static str {
        match self {
            LabelError::Name(_) => "for example `genie tag latest before-upgrade`",
            LabelError::Taken { .. } => "`--move` gives it to this run",
            LabelError::Unknown(_) => "`genie tag` lists all",
            LabelError::Write { .. } => "give a results folder that can be written with --results DIR",
        }
    }
}

/// All tags with their runs. What is not a tag is passed over.
pub fn tags(root: &Path) -> BTreeMap<String, RunId> {
    let tag = |name: String| {
        let text = fs::read_to_string(tag_path(root, &name)).ok()?;
        Some((name, text.trim().parse().ok()?))
    };
    names(&root.join(PRIVATE).join("tags"))
        .into_iter()
        .filter(|name| is_name(name))
        .filter_map(tag)
        .collect()
}

/// Gives a run a tag; takes it from another run only if `moved`.
///
/// # Errors
/// [`LabelError`].
pub fn tag(root: &Path, id: &RunId, name: &str, moved: bool) -> Result<(), LabelError> {
    if !is_name(name) {
        return Err(LabelError::Name(name.into()));
    }
    let taken = tags(root).remove(name);
    match taken.filter(|taken| taken != id) {
        Some(id) if !moved => {
            let name = name.into();
            return Err(LabelError::Taken { name, id });
        }
        _ => {}
    }
    put(&root.join(PRIVATE).join("tags"), name, &format!("{id}\n"))
}

/// Removes a tag; the run it named.
///
/// # Errors
/// [`LabelError`].
pub fn untag(root: &Path, name: &str) -> Result<RunId, LabelError> {
    let id = tags(root).remove(name);
    let id = id.ok_or_else(|| LabelError::Unknown(name.into()))?;
    remove(tag_path(root, name))?;
    Ok(id)
}

/// All pinned runs.
pub fn pins(root: &Path) -> BTreeSet<RunId> {
    let names = names(&root.join(PRIVATE).join("pins"));
    names.iter().filter_map(|name| name.parse().ok()).collect()
}

/// Pins a run.
///
/// # Errors
/// [`LabelError::Write`].
pub fn pin(root: &Path, id: &RunId) -> Result<(), LabelError> {
    put(&root.join(PRIVATE).join("pins"), id.as_str(), "")
}

/// Takes a pin out; a run that has none is left as it is.
///
/// # Errors
/// [`LabelError::Write`].
pub fn unpin(root: &Path, id: &RunId) -> Result<(), LabelError> {
    remove(root.join(PRIVATE).join("pins").join(id.as_str()))
}

fn is_name(name: &str) -> bool {
    let right = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    name.len() <= LONGEST
        && name.chars().all(right)
        && name.starts_with(|c: char| c.is_ascii_alphanumeric())
        && name != "latest"
        && name.parse::<RunId>().is_err()
}

fn tag_path(root: &Path, name: &str) -> PathBuf {
    root.join(PRIVATE).join("tags").join(name)
}

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries
        .filter_map(|entry| entry.file_name().into_string().ok())
        .collect()
}

fn put(folder: &Path, name: &str, text: &str) -> Result<(), LabelError> {
    let written = fs::create_dir_all(folder).and_then(|()| durable::replace(folder, name, text, true));
    written.map_err(|source| LabelError::Write {
        path: folder.join(name),
        source,
    })
}

fn remove(path: PathBuf) -> Result<(), LabelError> {
    match fs::remove_file(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => removed.map_err(|source| LabelError::Write { path, source }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_could_be_taken_for_something_else_are_refused() {
        let long = "x".repeat(LONGEST + 1);
        for name in [
            "",
            "latest",
            "a/b",
            "..",
            ".hidden",
            "-x",
            "a#1",
            "latest~1",
            "20261122-153254-k3v9x",
            &long,
        ] {
            assert!(!is_name(name), "{name}");
        }
        for name in ["v1.0", "before-upgrade", "k3", "2026_11"] {
            assert!(is_name(name), "{name}");
        }
    }
}
