//! The layers of docs/how-it-works.md, kept by a test: reads every path in src/, emu/ and drivers/
//! that leads into another room and fails on one that [`EDGES`] does not allow. Also: who may print,
//! where `unsafe` may stand, how long files may be and how they open.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// (a room or part of one, what it may use, why). A room is a file or folder right below src/;
/// within a room everything may use everything, and code under `#[cfg(test)]` anything.
#[rustfmt::skip]
const EDGES: &[(&str, &str, &str)] = &[
    ("main", "cli", "main parses, runs and exits; nothing else"),
    // What people see.
    ("cli", "report", "commands print by way of reports"),
    ("cli", "results", "`run` records; `runs` and `show` read the store"),
    ("cli", "event", "`run` hands the testbed's events to recorder and report"),
    ("cli", "testbed", "`run` plays, `rank` is played; exit codes"),
    ("cli", "scenario", "commands load scenarios and plan them"),
    ("cli", "topology", "`plan` and `check` describe networks"),
    ("cli", "workload", "`workload` inspects, converts and generates traces"),
    ("cli", "network::message", "names of ranks: plain data"),
    ("cli", "placement", "`run` replays placements"),
    ("report", "placement", "comparisons of policies are plain data"),
    ("scenario", "placement", "the planner turns a `[placement]` into the study that is replayed"),
    ("cli", "system::op", "operations are plain data that everyone may name"),
    ("cli", "genie_emu", "privileges come first in `run`; `clean` undoes what journals list"),
    ("cli", "genie_drivers", "`ocs` drives switches; `clean` puts their circuits back"),
    ("report", "results", "reports are made of recorded runs"),
    ("report", "event", "live reports follow events"),
    ("report", "scenario::plan", "the plan is plain data that everyone may read"),
    ("report", "scenario::units", "sizes and rates print themselves"),
    ("report", "workload::inspect", "what was found in traces is plain data"),
    ("report", "network::message", "names of ranks: plain data"),
    ("report", "system::op", "operations are plain data that everyone may name"),
    ("results", "event", "the recorder consumes events"),
    ("results", "scenario::plan", "the plan is plain data that everyone may read"),
    ("results", "scenario::units", "sizes and rates as types"),
    ("results", "network::message", "names of ranks: plain data"),
    ("results", "system::op", "operations are plain data that everyone may name"),
    ("results", "genie_drivers", "the environment of a run names network cards and their drivers"),
    ("event", "network::message", "names of ranks: plain data"),
    ("event", "network::transport::DeviceUse", "which RDMA device was used is plain data"),
    ("results", "network::transport::DeviceUse", "which RDMA device was used is plain data"),
    ("report", "testbed::model::outcome", "what came of a simulation is plain data"),
    ("report", "testbed::model::insight", "what a simulation spent its time on is plain data"),
    ("report", "workload::graph", "classes of nodes are plain data"),
    // What plays.
    ("testbed", "event", "the controller emits events"),
    ("testbed", "workload", "ranks are fed by it"),
    ("testbed", "system", "a player is a loop around the machine"),
    ("testbed", "network", "a player moves the machine's messages over a transport"),
    ("testbed", "topology", "fabrics are made of it"),
    ("testbed", "scenario::plan", "the plan is what the testbed carries out"),
    ("testbed", "scenario::units", "sizes and rates as types"),
    ("testbed::model", "document", "mistakes in configuration files"),
    ("testbed::fabric", "genie_emu", "the emulated fabric"),
    ("testbed::controller", "genie_emu::journal", "a run's journal outlives the controller"),
    ("testbed::fabric", "genie_drivers", "real equipment"),
    ("testbed::devices", "genie_drivers", "why a rank has no RDMA device"),
    // The three layers: none knows another, but for what messages and operations are called.
    ("workload", "system::op", "operations are plain data that everyone may name"),
    ("workload", "network::message", "names of ranks: plain data"),
    ("workload", "scenario::units", "sizes and times as types"),
    ("workload::generate", "scenario::suggest", "the nearest valid name of a model or device"),
    ("workload", "system::collective", "which algorithm a collective takes, and what it costs where it is modelled"),
    ("system", "network::message", "how messages are named and matched, on every transport"),
    ("system", "scenario::units", "operations print their size"),
    ("network::rdma", "genie_drivers", "which RDMA device has a rank's address, and its counters"),
    ("scenario::planner", "network::rdma::device", "whether this build has verbs, and how to get them"),
    ("network", "scenario::plan", "a transport's options are part of the plan"),
    ("network", "scenario::units", "sizes and rates as types"),
    ("network", "system::op", "operations are plain data that everyone may name"),
    // Configuration files of other simulators: plain data out of text.
    ("system", "document", "ASTRA-sim's system file"),
    ("network", "document", "ASTRA-sim's network file"),
    ("workload", "document", "ASTRA-sim's memory and comm group files"),
    ("document", "scenario::diagnostic", "mistakes look alike in every file"),
    ("document", "scenario::source", "where they stand"),
    ("document", "scenario::suggest", "the nearest valid name"),
    // What is to be played.
    ("scenario", "topology", "the planner lays a scenario over its network"),
    ("scenario", "system::op", "operations are plain data that everyone may name"),
    ("scenario", "system::collective", "the planner asks who sends how much to whom"),
    ("scenario", "network::message", "names of ranks: plain data"),
    ("scenario", "workload", "the planner reads the traces that it plans; a trace's recipe is part of the plan"),
    ("topology", "scenario::units", "rates and delays as types"),
    ("topology", "placement", "cubes are wired by the port map that placements use"),
    ("topology", "scenario::plan", "a built network is part of the plan"),
];

/// Where `unsafe` may stand, and for what.
#[rustfmt::skip]
const UNSAFE: &[(&str, &str)] = &[
    ("src/network/rdma/verbs/library.rs", "loading libibverbs, by the signatures of its functions"),
    ("src/network/rdma/verbs/owned.rs", "giving back what libibverbs made; mappings"),
    ("src/network/rdma/verbs/sys.rs", "libibverbs, and the memory that its devices write"),
    ("src/network/rdma/verbs/sys/tests.rs", "an imitation of libibverbs"),
    ("src/network/tcp/sys.rs", "sendfile, MSG_TRUNC, epoll and socket options of the data path"),
    ("src/network/roce/sys.rs", "many datagrams in one call, segmented by the kernel; an interface's MTU"),
    ("src/testbed/launch/local.rs", "system calls between fork and exec"),
    ("src/report/style.rs", "the terminal's width"),
    ("emu/src/privilege.rs", "fork, to try a user namespace on a child"),
    ("emu/src/guest/machine.rs", "system calls between fork and exec"),
    ("emu/src/calibrate.rs", "MSG_TRUNC, as the transport that it stands for"),
    ("emu/src/journal/clean.rs", "signals by pidfd"),
    ("drivers/src/nic/ethtool.rs", "the ethtool ioctl"),
];

/// Folders whose code may print.
const PRINTING: &[&str] = &["src/cli/", "src/report/"];
/// What printing looks like.
const PRINTS: &[&str] = &[
    "println!",
    "print!",
    "eprintln!",
    "eprint!",
    "dbg!",
    "stdout()",
    "stderr()",
];

/// The workspace's packages and those of them that each may name.
#[rustfmt::skip]
const PACKAGES: &[(&str, &str, &[&str])] = &[
    ("Cargo.toml", "genie", &["genie-emu", "genie-drivers"]),
    ("emu/Cargo.toml", "genie-emu", &["genie-drivers"]),
    ("drivers/Cargo.toml", "genie-drivers", &[]),
];

/// A file of this many lines wants to be two.
const LONGEST: usize = 1000;

#[test]
fn no_arrow_points_upward() {
    let wrong: Vec<String> = sources()
        .iter()
        .flat_map(|(file, text)| upward(file, text))
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn an_upward_arrow_is_found_in_every_disguise() {
    let edges = |file: &str, text: &str| upward(file, text);
    assert_eq!(
        edges(
            "src/system/npu.rs",
            "//! x\nuse std::fmt;\nuse crate::testbed::clock::Timers;\n"
        ),
        ["src/system/npu.rs:3: system::npu must not use testbed::clock::Timers"]
    );
    assert_eq!(
        edges(
            "src/network/tcp/sys.rs",
            "fn f() -> crate::system::npu::Npu { todo }"
        )
        .len(),
        1
    );
    let nested = "use crate::{\n    event::Event,\n    network::{message::Rank, tcp::{self, mesh}},\n};";
    assert_eq!(
        edges("src/system/op.rs", nested),
        [
            "src/system/op.rs:2: system::op must not use event::Event",
            "src/system/op.rs:3: system::op must not use network::tcp",
            "src/system/op.rs:3: system::op must not use network::tcp::mesh",
        ]
    );
    assert_eq!(
        edges("src/topology/routes.rs", "use super::super::report;").len(),
        1
    );
    assert_eq!(
        edges("src/topology/routes.rs", "mod m {}\nuse super::super::report;").len(),
        1
    );
    assert_eq!(
        edges(
            "src/topology/routes.rs",
            "mod m { use super::super::super::report; }"
        )
        .len(),
        1
    );
    assert_eq!(edges("src/workload/feeder.rs", "use genie_emu::spec;").len(), 1);
    assert_eq!(edges("emu/src/star.rs", "use genie::event::Event;").len(), 1);
    assert_eq!(edges("drivers/src/lib.rs", "use genie_emu::spec;").len(), 1);
}

#[test]
fn what_only_looks_like_an_arrow_is_none() {
    for text in [
        "// use crate::cli::run;",
        "/* crate::cli */",
        "/// See [`crate::cli`].",
        "const A: &str = \"crate::cli::run\";",
        "const A: &str = r#\"a \" crate::cli\"#;",
        "const A: char = '\"'; // crate::cli",
        "#[cfg(test)]\nmod tests {\n    use crate::cli::run;\n}",
        "use crate::system::op::Op;",
        "use crate::network::message::{self, Rank};",
        "use super::op::Op;",
        "mod words {\n    use super::Npu;\n    mod more { use super::super::Npu; }\n}",
    ] {
        assert_eq!(upward("src/system/npu.rs", text), [""; 0], "{text}");
    }
}

#[test]
fn every_edge_has_a_reason_and_stands_once() {
    let mut seen = BTreeSet::new();
    for (from, to, why) in EDGES {
        assert!(!why.is_empty(), "{from} -> {to}");
        assert!(seen.insert((from, to)), "{from} -> {to} stands twice");
    }
}

#[test]
fn packages_depend_one_way() {
    for (manifest, package, allowed) in PACKAGES {
        let text = read(&root().join(manifest));
        // `[workspace.dependencies]` only says where packages are.
        let own = text
            .split("\n[")
            .filter(|table| !table.starts_with("workspace.dependencies"));
        for line in own.flat_map(str::lines) {
            let Some(name) = line
                .split(['.', '=', ' '])
                .next()
                .filter(|n| n.starts_with("genie"))
            else {
                continue;
            };
            assert!(
                allowed.contains(&name),
                "{manifest}: {package} must not depend on {name}"
            );
        }
    }
}

#[test]
fn only_commands_and_reports_print() {
    let wrong: Vec<String> = sources()
        .iter()
        .flat_map(|(file, text)| prints(file, text))
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert_eq!(
        prints("src/system/npu.rs", "fn f() {\n    println!(\"x\");\n}"),
        ["src/system/npu.rs:2: `println!` outside src/cli and src/report"]
    );
    assert_eq!(
        prints("src/report/list.rs", "fn f() { println!(\"x\"); }"),
        [""; 0]
    );
}

fn prints(file: &str, text: &str) -> Vec<String> {
    let program = file.starts_with("src/") || file.contains("/src/");
    if !program || PRINTING.iter().any(|folder| file.starts_with(folder)) {
        return Vec::new();
    }
    let code = shipped(&code_of(text));
    let found = |(number, line): (usize, &str)| {
        let what = PRINTS.iter().find(|print| words(line, print).next().is_some())?;
        Some(format!(
            "{file}:{}: `{what}` outside src/cli and src/report",
            number + 1
        ))
    };
    code.lines().enumerate().filter_map(found).collect()
}

#[test]
fn unsafe_stands_only_where_it_is_listed() {
    let mut wrong = Vec::new();
    for (file, text) in sources() {
        let code = shipped(&code_of(&text));
        let first = code
            .lines()
            .position(|line| words(line, "unsafe").next().is_some());
        match (first, UNSAFE.iter().any(|(listed, _)| *listed == file)) {
            (Some(line), false) => wrong.push(format!(
                "{file}:{}: `unsafe` in a file that UNSAFE does not list",
                line + 1
            )),
            (None, true) => wrong.push(format!("{file}: listed in UNSAFE without need")),
            _ => {}
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_file_says_what_it_is_for_and_stays_short() {
    let sources = sources();
    assert!(
        sources.len() > 40,
        "only {} files were found: is this the right folder?",
        sources.len()
    );
    for (file, text) in sources {
        assert!(
            text.starts_with("//! "),
            "{file}:1: does not open with `//! ` and what it is for"
        );
        let lines = text.lines().count();
        assert!(lines < LONGEST, "{file}: {lines} lines; {LONGEST} are too many");
    }
}

// --- reading sources -------------------------------------------------------------------------

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// Every `.rs` file below src, emu and drivers: its path from the root, and its text.
fn sources() -> Vec<(String, String)> {
    let mut files = Vec::new();
    for folder in ["src", "emu", "drivers"] {
        collect(&root().join(folder), &mut files);
    }
    files.sort();
    let name = |path: &PathBuf| {
        path.strip_prefix(root())
            .map(|p| p.display().to_string())
            .unwrap_or_default()
    };
    files.iter().map(|path| (name(path), read(path))).collect()
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    let listing = fs::read_dir(folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display()));
    for path in listing.flatten().map(|entry| entry.path()) {
        if path.is_dir() && !path.ends_with("target") {
            collect(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
}

/// The text with comments and the insides of literals blanked out; lines stay where they are.
fn code_of(text: &str) -> String {
    let chars: Vec<char> = text.chars().collect();
    let at = |i: usize| chars.get(i).copied().unwrap_or('\0');
    let mut code = String::with_capacity(text.len());
    let mut i = 0;
    while i < chars.len() {
        let end = match (at(i), at(i + 1)) {
            ('/', '/') => (i..chars.len()).find(|&j| at(j) == '\n').unwrap_or(chars.len()),
            ('/', '*') => end_of_block_comment(&chars, i),
            ('"', _) => end_of_string(&chars, i),
            ('r', '"' | '#') if !is_word(code.chars().last()) => end_of_raw_string(&chars, i),
            ('\'', '\\') => (i + 3..chars.len())
                .find(|&j| at(j) == '\'')
                .map_or(chars.len(), |j| j + 1),
            ('\'', _) if at(i + 2) == '\'' => i + 3,
            _ => i,
        };
        if end == i {
            code.push(at(i));
            i += 1;
        } else {
            code.extend(chars[i..end].iter().map(|&c| if c == '\n' { '\n' } else { ' ' }));
            i = end;
        }
    }
    code
}

fn end_of_block_comment(chars: &[char], start: usize) -> usize {
    let (mut depth, mut i) = (0, start);
    while i + 1 < chars.len() {
        match (chars[i], chars[i + 1]) {
            ('/', '*') => (depth, i) = (depth + 1, i + 2),
            ('*', '/') => (depth, i) = (depth - 1, i + 2),
            _ => i += 1,
        }
        if depth == 0 {
            return i;
        }
    }
    chars.len()
}

fn end_of_string(chars: &[char], start: usize) -> usize {
    let mut i = start + 1;
    while i < chars.len() && chars[i] != '"' {
        i += if chars[i] == '\\' { 2 } else { 1 };
    }
    (i + 1).min(chars.len())
}

/// `start` itself if this is no raw string but, say, `r#type`.
fn end_of_raw_string(chars: &[char], start: usize) -> usize {
    let hashes = chars[start + 1..].iter().take_while(|c| **c == '#').count();
    let open = start + 1 + hashes;
    if chars.get(open) != Some(&'"') {
        return start;
    }
    let closes =
        |&j: &usize| chars[j] == '"' && chars[j + 1..].iter().take_while(|c| **c == '#').count() >= hashes;
    (open + 1..chars.len())
        .find(closes)
        .map_or(chars.len(), |j| j + 1 + hashes)
}

/// Code without the test module at its end.
fn shipped(code: &str) -> String {
    let module = code.match_indices("#[cfg(test)]").find(|(i, mark)| {
        let rest = code[i + mark.len()..].trim_start();
        rest.starts_with("mod ") && (*i == 0 || code[..*i].ends_with('\n'))
    });
    module.map_or(code, |(i, _)| &code[..i]).to_owned()
}

fn is_word(c: Option<char>) -> bool {
    c.is_some_and(|c| c.is_alphanumeric() || c == '_')
}

/// Where `word` stands in `code`, not as a part of a longer word.
fn words<'a>(code: &'a str, word: &'a str) -> impl Iterator<Item = usize> + 'a {
    code.match_indices(word).map(|(i, _)| i).filter(move |&i| {
        let (before, after) = (code[..i].chars().last(), code[i + word.len()..].chars().next());
        let ends_in_word = is_word(word.chars().last());
        !(is_word(before) || ends_in_word && is_word(after))
    })
}

// --- edges -----------------------------------------------------------------------------------

/// Edges from `file` that are not allowed, one message each.
fn upward(file: &str, text: &str) -> Vec<String> {
    let code = shipped(&code_of(text));
    let package = file.split('/').next().unwrap_or_default();
    let module = module_of(file);
    let mut wrong = Vec::new();
    for (offset, path) in paths(&code, &module) {
        let from = module.join("::");
        let allowed = match package {
            "src" => allowed(&module, &path),
            "emu" => path[0] != "genie",
            _ => path[0] != "genie" && path[0] != "genie_emu",
        };
        if !allowed {
            let line = code[..offset].matches('\n').count() + 1;
            let from = if package == "src" {
                from
            } else {
                format!("genie-{package}")
            };
            wrong.push(format!("{file}:{line}: {from} must not use {}", path.join("::")));
        }
    }
    wrong
}

/// `src/system/npu.rs` is `system::npu`; a `mod.rs` is its folder.
fn module_of(file: &str) -> Vec<String> {
    let inside = file.split_once("src/").map_or(file, |(_, inside)| inside);
    let mut parts: Vec<String> = inside
        .trim_end_matches(".rs")
        .split('/')
        .map(str::to_owned)
        .collect();
    if parts.last().is_some_and(|last| last == "mod" || last == "lib") {
        parts.pop();
    }
    parts
}

fn allowed(module: &[String], path: &[String]) -> bool {
    let Some(room) = module.first() else { return true };
    let starts = |full: &[String], prefix: &str| {
        let prefix: Vec<&str> = prefix.split("::").collect();
        full.len() >= prefix.len() && full.iter().zip(&prefix).all(|(a, b)| a == b)
    };
    path[0] == *room
        || EDGES
            .iter()
            .any(|(from, to, _)| starts(module, from) && starts(path, to))
}

/// Every path of the code that leads into a room of this package or another package of the
/// workspace: where it stands, and its parts with `crate` and `super` resolved away.
fn paths(code: &str, module: &[String]) -> Vec<(usize, Vec<String>)> {
    let mut found = Vec::new();
    for root in ["crate::", "genie::", "super::", "genie_emu::", "genie_drivers::"] {
        for start in words(code, root) {
            // The later ones of `super::super::`.
            if code[..start].ends_with("super::") || code[..start].ends_with("self::") {
                continue;
            }
            let mut prefix = Vec::new();
            let mut rest = start + root.len();
            match root {
                "crate::" => {}
                "super::" => {
                    let mut above = (module.len() + inline_modules(code, start)).saturating_sub(1);
                    while code[rest..].starts_with("super::") {
                        (above, rest) = (above.saturating_sub(1), rest + "super::".len());
                    }
                    prefix.extend_from_slice(&module[..above.min(module.len())]);
                }
                "genie::" if module.first().is_some_and(|first| first == "main") => {}
                package => prefix.push(package.trim_end_matches("::").to_owned()),
            }
            tree(code, rest, &prefix, &mut found);
        }
    }
    found.retain(|(_, path)| !path.is_empty());
    found.sort();
    found
}

/// How many inline modules (`mod name { .. }`) of the file are open at `offset`.
fn inline_modules(code: &str, offset: usize) -> usize {
    let opens = |start: &usize| {
        let Some(brace) = code[*start..offset].find(['{', ';']).map(|i| start + i) else {
            return false;
        };
        let depth = |c: char| i32::from(c == '{') - i32::from(c == '}');
        let mut open = 0;
        // Still open: the braces since have not all been closed before `offset`.
        code[brace..].starts_with('{')
            && code[brace..offset].chars().all(|c| {
                open += depth(c);
                open > 0
            })
    };
    words(code, "mod")
        .take_while(|start| *start < offset)
        .filter(opens)
        .count()
}

/// Reads a use tree or plain path from `at`; gives each of its leaves. Returns where it ends.
fn tree(code: &str, mut at: usize, prefix: &[String], found: &mut Vec<(usize, Vec<String>)>) -> usize {
    let skip = |at: usize| at + code[at..].len() - code[at..].trim_start().len();
    let mut path = prefix.to_vec();
    loop {
        at = skip(at);
        if code[at..].starts_with('{') {
            at += 1;
            loop {
                at = skip(at);
                match code[at..].chars().next() {
                    Some('}') => return at + 1,
                    Some(',') => at += 1,
                    Some(_) => at = tree(code, at, &path, found).max(at + 1),
                    None => return at,
                }
            }
        }
        let start = at;
        let word: String = code[at..]
            .chars()
            .take_while(|c| is_word(Some(*c)) || *c == '#')
            .collect();
        at += word.len();
        if !matches!(word.as_str(), "self" | "") {
            path.push(word.trim_start_matches("r#").to_owned());
        }
        if !code[at..].starts_with("::") {
            found.push((start, path));
            // `as name` within a tree.
            let rest = code[at..].trim_start();
            if let Some(alias) = rest.strip_prefix("as ") {
                at = code.len() - alias.len();
                at += alias
                    .chars()
                    .take_while(|c| is_word(Some(*c)))
                    .map(char::len_utf8)
                    .sum::<usize>();
            }
            return at;
        }
        at += 2;
        // A generic argument, `Vec::<T>`, ends the path.
        if code[at..].starts_with('<') {
            found.push((start, path));
            return at;
        }
    }
}
