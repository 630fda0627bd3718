//! Bad input: exit code 2, where and why on stderr, nothing on stdout, nothing started, no run stored.

mod run_support;

use std::time::Duration;

use run_support::{Genie, repository};

const GOOD: &str = r#"name = "bad"
[testbed]
fabric = "emulated"
[topology.star]
hosts = 4
rate = "1 Gbit/s"
[[traffic.collective]]
op = "all-reduce"
sizes = "1 MiB"
"#;

/// `genie run` of this text must be refused at this place and say these words.
fn refused(text: &str, place: &str, words: &[&str], arguments: &[&str]) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("bad.toml");
    std::fs::write(&file, text).expect("it takes files");
    let results = folder.path().join("results");
    let genie = Genie::new()
        .arg("run")
        .arg(&file)
        .args(arguments)
        .results(&results);
    let ended = genie.deadline(Duration::from_secs(10)).end().expect(2);
    let said = &ended.stderr;
    assert!(
        said.contains(&format!("--> {place}")) || said.contains(&format!("/{place}")),
        "not at {place}:\n{said}"
    );
    for word in words {
        assert!(said.contains(word), "no `{word}` in:\n{said}");
    }
    assert_eq!(ended.stdout, "", "errors do not go to stdout");
    assert!(!results.exists(), "nothing was started, so nothing is stored");
}

/// (what is replaced, by what, line and column, what is said)
#[rustfmt::skip]
const MISTAKES: &[(&str, &str, &str, &[&str])] = &[
    ("hosts = 4", "host = 4", "5:1", &["unknown key `host`", "did you mean `hosts`"]),
    ("\"1 Gbit/s\"", "1000", "6:8", &["has no unit"]),
    ("\"1 Gbit/s\"", "\"1 GByte\"", "6:8", &["not a unit of bandwidth", "Gbit/s"]),
    ("\"1 Gbit/s\"", "\"0 Gbit/s\"", "6:8", &["below 1 kbit/s"]),
    ("\"1 MiB\"", "[\"1 KiB\", \"0 B\"]", "9:19", &["a size of zero"]),
    ("\"1 MiB\"", "\"6 B\"", "9:9", &["no whole number of elements"]),
    ("hosts = 4", "hosts = 10000", "5:9", &["10001 hosts and switches", "at most"]),
    ("hosts = 4", "hosts = -4", "5:9", &["-4"]),
    ("hosts = 4", "hosts = = 4", "5:9", &["not valid TOML"]),
    ("all-reduce", "all-redcue", "8:6", &["did you mean `all-reduce`"]),
    ("all-reduce\"", "send-recv\"\nalgorithm = \"direct\"", "9:13", &["send-recv has no direct", "ring"]),
    ("sizes", "communicator = \"wrld\"\nsizes", "9:16", &["did you mean `world`"]),
    ("sizes", "iterations = 0\nsizes", "9:14", &["0 iterations"]),
    ("fabric = \"emulated\"", "ranks = [\"h0\", \"h7\"]", "3:16", &["rank 1 on `h7`", "no such host"]),
    ("fabric = \"emulated\"", "ranks_per_host = 5000", "3:18", &["20000 ranks", "at most"]),
    ("[topology.star]\nhosts = 4\nrate = \"1 Gbit/s\"", "[topology]\nfile = \"nowhere.toml\"", "5:8", &["nowhere.toml"]),
    ("[testbed]", "[time]\ndilation = 0.0\n[testbed]", "3:12", &["a dilation of 0"]),
    ("name = \"bad\"\n", "", "1:1", &["missing key `name`"]),
];

#[test]
fn mistakes_are_refused_where_they_were_made() {
    for &(what, by, place, words) in MISTAKES {
        assert!(GOOD.contains(what), "{what}");
        refused(
            &GOOD.replacen(what, by, 1),
            &format!("bad.toml:{place}"),
            words,
            &[],
        );
    }
}

/// A network in two parts, two nodes of one name, a link to nowhere.
#[test]
fn impossible_networks_are_refused() {
    let network = |names: [&str; 3], end: &str| {
        let hosts: String = names
            .iter()
            .map(|name| format!("[[topology.host]]\nname = \"{name}\"\n"))
            .collect();
        let link = format!("[[topology.link]]\nends = [\"a\", \"{end}\"]\nrate = \"1 Gbit/s\"\n");
        format!("name = \"bad\"\n{hosts}{link}[[traffic.collective]]\nop = \"barrier\"\n")
    };
    refused(
        &network(["a", "b", "c"], "b"),
        "bad.toml:7:8",
        &["2 parts", "(a, b), (c)"],
        &[],
    );
    refused(
        &network(["a", "b", "a"], "b"),
        "bad.toml:7:8",
        &["a second node named `a`"],
        &[],
    );
    refused(
        &network(["a", "spine", "c"], "spin"),
        "bad.toml:9:14",
        &["named `spin`", "did you mean `spine`"],
        &[],
    );
}

/// An override is input like any other: its place is the argument.
#[test]
fn wrong_overrides_are_refused() {
    refused(
        GOOD,
        "--set:1:15",
        &["did you mean `hosts`"],
        &["--set", "topology.star.host=8"],
    );
    refused(
        GOOD,
        "--set:1:1",
        &["`key=value`"],
        &["--set", "topology.star.hosts"],
    );
    refused(
        GOOD,
        "--set",
        &["a size of zero"],
        &["--set", "traffic.collective.0.sizes=0 B"],
    );
}

/// All mistakes of a file are told at once, and the `--json` of a run that never was is no object.
#[test]
fn several_mistakes_are_told_together() {
    let text = GOOD
        .replace("\"1 MiB\"", "\"0 B\"")
        .replace("sizes", "root = 9\nsizes");
    refused(&text, "bad.toml:9:8", &["root 9 is outside"], &["--json"]);
    refused(&text, "bad.toml:10:9", &["a size of zero"], &["--json"]);
}

/// Not a scenario at all.
#[test]
fn files_that_are_no_scenarios_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let (near, binary) = (
        folder.path().join("hello.toml"),
        folder.path().join("binary.toml"),
    );
    std::fs::write(&near, GOOD).unwrap();
    std::fs::write(&binary, [0x7f, b'E', b'L', b'F', 0xff, 0xfe, 0]).unwrap();
    let run = |path: &std::path::Path| {
        let genie = Genie::new()
            .arg("run")
            .arg(path)
            .results(&folder.path().join("results"));
        let ended = genie.end().expect(2);
        assert_eq!(ended.stdout, "");
        assert!(!folder.path().join("results").exists());
        ended.stderr
    };
    let missing = run(&folder.path().join("helo.toml"));
    assert!(
        missing.contains("there is no such file") && missing.contains("hello.toml"),
        "{missing}"
    );
    assert!(run(&binary).contains("binary.toml:1:5"));
    assert!(run(folder.path()).contains("is a folder"));
}

/// Exit codes are part of the contract, so help lists them, and the documentation the same ones.
#[test]
fn help_lists_the_exit_codes_of_the_documentation() {
    let help = Genie::new().args(["run", "--help"]).end().expect(0).stdout;
    let listed = help.split("Exit codes:").nth(1).expect("a list of exit codes");
    let in_help: Vec<&str> = listed
        .lines()
        .filter_map(|line| line.split_whitespace().next())
        .collect();
    assert_eq!(
        in_help,
        [
            "0", "1", "2", "3", "4", "5", "6", "7", "8", "9", "10", "130", "143"
        ]
    );
    let page = std::fs::read_to_string(repository("docs/stability.md")).unwrap();
    for code in in_help {
        assert!(
            page.contains(&format!("| {code} |")),
            "docs/stability.md has no exit code {code}"
        );
    }
}

#[test]
fn wrong_commands_are_refused() {
    for arguments in [
        vec!["rnu", "x.toml"],
        vec!["run"],
        vec!["run", "a.toml", "--fast"],
        vec![],
    ] {
        let ended = Genie::new().args(&arguments).end().expect(2);
        assert_eq!(ended.stdout, "", "{arguments:?}");
        assert!(ended.stderr.contains("Usage"), "{arguments:?}: {}", ended.stderr);
    }
}

/// A reader that goes away (`genie ... 2>&1 | head -1`) changes no exit code.
#[test]
fn a_closed_stderr_changes_no_exit_code() {
    for (arguments, code) in [
        ("run nowhere.toml", 2),
        ("check nowhere.toml", 2),
        ("show latest", 2),
        ("schema", 0),
    ] {
        let genie = run_support::genie::BINARY;
        let script = format!("set -o pipefail; (sleep 0.1; exec {genie} {arguments}) 2>&1 | true");
        let mut bash = std::process::Command::new("bash");
        bash.args(["-c", &script]).current_dir("/");
        let ended = Genie::by(bash).end();
        assert_eq!(ended.code, Some(code), "genie {arguments}");
    }
}

/// A machine that cannot hold the plan says so before anything is started.
#[test]
fn too_large_for_this_machine() {
    let plain = |text: &str, limit: &str, words: &[&str]| {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let file = folder.path().join("large.toml");
        std::fs::write(&file, text).expect("it takes files");
        let results = folder.path().join("results");
        let mut shell = std::process::Command::new("sh");
        shell.args([
            "-c",
            &format!("{limit}; exec \"$@\""),
            "sh",
            env!("CARGO_BIN_EXE_genie"),
            "run",
        ]);
        let genie = Genie::by(shell).arg(&file).results(&results);
        let ended = genie.deadline(Duration::from_secs(10)).end().expect(2);
        for word in words {
            assert!(ended.stderr.contains(word), "no `{word}` in:\n{}", ended.stderr);
        }
        assert!(!results.exists(), "nothing was started, so nothing is stored");
    };
    // Four ranks' buffers of 1 TiB are more than any machine that runs this test has.
    let verifying = GOOD
        .replacen("[testbed]", "[testbed]\nverify = true", 1)
        .replacen("\"1 MiB\"", "\"1 TiB\"", 1);
    plain(&verifying, "true", &["12 TiB of real data", "no `verify`"]);
    plain(GOOD, "ulimit -n 80", &["open files", "at most 80", "ulimit -Hn"]);
}
