//! What the documentation says of the tree is so: links resolve, every scenario and every exit code
//! is named, commands of the README exist.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

#[test]
fn relative_links_resolve() {
    let pages = pages();
    assert!(pages.len() > 6, "only {} pages were found", pages.len());
    let wrong: Vec<String> = pages.iter().flat_map(|page| broken(page, &read(page))).collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_broken_link_is_found() {
    let page = root().join("docs/tour.md");
    let text = "# A word\n[a](nowhere.md) [b](#a-word) [c](#another) [d](https://example.org/x) [e](../README.md#none)\n```\n[f](code.md)\n```\n`[g](code.md)`\n[h]: gone.md\n";
    let found: Vec<String> = broken(&page, text)
        .iter()
        .filter_map(|m| m.split_once(": ").map(|(_, what)| what.to_owned()))
        .collect();
    assert_eq!(
        found,
        [
            "`nowhere.md` does not exist",
            "`#another` is no heading",
            "`../README.md#none` is no heading",
            "`gone.md` does not exist",
        ]
    );
}

#[test]
fn every_exit_code_is_documented_with_its_meaning() {
    let source = read(&root().join("src/testbed/exit.rs"));
    let codes: BTreeSet<&str> = source
        .lines()
        .filter_map(|line| {
            line.strip_prefix("pub const ")?
                .split_once(": i32 = ")?
                .1
                .strip_suffix(';')
        })
        .collect();
    assert!(codes.len() > 5 && codes.contains("0"), "{codes:?}");
    let docs = read(&root().join("docs/stability.md"));
    let documented: BTreeSet<&str> = docs
        .lines()
        .filter_map(|line| line.strip_prefix("| ")?.split_once(" |").map(|(code, _)| code))
        .filter(|code| code.parse::<i32>().is_ok())
        .collect();
    assert_eq!(
        documented, codes,
        "docs/stability.md and src/testbed/exit.rs disagree"
    );
}

#[test]
fn the_readme_names_every_scenario_and_the_scenarios_say_what_they_show() {
    let readme = read(&root().join("README.md"));
    let listing = fs::read_dir(root().join("scenarios")).expect("scenarios/ is part of the tree");
    for path in listing.flatten().map(|entry| entry.path()) {
        if path.extension().is_none_or(|extension| extension != "toml") {
            continue;
        }
        let name = path
            .file_stem()
            .map(|stem| stem.to_string_lossy().into_owned())
            .unwrap_or_default();
        assert!(
            readme.contains(&format!("`{name}`")),
            "README.md does not name scenarios/{name}.toml"
        );
        assert!(
            read(&path).starts_with("# "),
            "scenarios/{name}.toml does not open with a comment on what it shows"
        );
    }
}

#[test]
fn the_two_commands_of_the_readme_are_what_ci_plays() {
    let readme = read(&root().join("README.md"));
    assert!(readme.contains("cargo run --release -- run scenarios/allreduce.toml"));
    assert!(root().join("scenarios/allreduce.toml").exists());
    assert!(readme.lines().any(|line| line.trim() == "./test"));
    assert!(read(&root().join(".ci/run")).contains("./test"));
}

// --- reading pages ---------------------------------------------------------------------------

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// The markdown pages of the root and of docs/, and those beside code.
fn pages() -> Vec<PathBuf> {
    let mut pages = Vec::new();
    for folder in [
        ".",
        "docs",
        "benches",
        "benches/peers",
        "scenarios",
        "topologies",
        "emu",
        "drivers",
    ] {
        let Ok(listing) = fs::read_dir(root().join(folder)) else {
            continue;
        };
        let paths = listing.flatten().map(|entry| entry.path());
        pages.extend(paths.filter(|path| path.extension().is_some_and(|extension| extension == "md")));
    }
    pages.sort();
    pages
}

/// Messages about the links of a page that lead nowhere.
fn broken(page: &Path, text: &str) -> Vec<String> {
    let folder = page.parent().unwrap_or(Path::new("."));
    let name = page.strip_prefix(root()).unwrap_or(page).display();
    let mut wrong = Vec::new();
    for (line, target) in links(text) {
        if target.contains("://") || target.starts_with("mailto:") {
            continue;
        }
        let (path, fragment) = target.split_once('#').unwrap_or((&target, ""));
        let file = if path.is_empty() {
            page.to_owned()
        } else {
            folder.join(path)
        };
        if !file.exists() {
            wrong.push(format!("{name}:{line}: `{target}` does not exist"));
        } else if !fragment.is_empty() {
            let headings = if path.is_empty() {
                headings(text)
            } else {
                headings(&read(&file))
            };
            if !headings.contains(fragment) {
                wrong.push(format!("{name}:{line}: `{target}` is no heading"));
            }
        }
    }
    wrong
}

/// (line, target) of each link outside code.
fn links(text: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    for (number, line) in prose(text) {
        if let Some((_, target)) = line.strip_prefix('[').and_then(|rest| rest.split_once("]: ")) {
            found.push((number, target.trim().to_owned()));
            continue;
        }
        let mut rest = line.as_str();
        while let Some((_, after)) = rest.split_once("](") {
            let Some((target, later)) = after.split_once(')') else {
                break;
            };
            found.push((number, target.trim().to_owned()));
            rest = later;
        }
    }
    found
}

/// Numbered lines without code blocks and code spans.
fn prose(text: &str) -> Vec<(usize, String)> {
    let mut fenced = false;
    let mut lines = Vec::new();
    for (number, line) in text.lines().enumerate() {
        if line.trim_start().starts_with("```") {
            fenced = !fenced;
        } else if !fenced {
            let plain: Vec<&str> = line.split('`').step_by(2).collect();
            lines.push((number + 1, plain.join("`")));
        }
    }
    lines
}

/// Headings as GitHub makes anchors of them.
fn headings(text: &str) -> BTreeSet<String> {
    let mut fenced = false;
    let mut found = BTreeSet::new();
    for line in text.lines() {
        fenced ^= line.trim_start().starts_with("```");
        let words = line.trim_start_matches('#');
        if !fenced && words.len() < line.len() && words.starts_with(' ') {
            let kept = words
                .trim()
                .chars()
                .filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
            found.insert(kept.collect::<String>().to_lowercase().replace(' ', "-"));
        }
    }
    found
}
