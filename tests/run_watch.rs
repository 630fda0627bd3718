//! What a run says of itself while it goes on: pulses, metrics that strict readers accept, lines of `--verbose`;
//! and what `genie export` makes for other programs.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

const SCENARIO: &str = "\
name = \"watched\"
[testbed]
fabric = \"host\"
ranks = 2
[[traffic.collective]]
op = \"all-reduce\"
sizes = [\"1 KiB\", \"4 MiB\"]
iterations = 6000
";

/// OpenMetrics 1.0, as strictly as its specification reads.
fn check(text: &str) -> BTreeMap<String, f64> {
    let body = text.strip_suffix("# EOF\n").expect("it ends with # EOF");
    let mut samples = BTreeMap::new();
    let mut families = BTreeSet::new();
    let (mut family, mut kind, mut unit, mut met) = (String::new(), String::new(), String::new(), Vec::new());
    for line in body.lines() {
        assert!(!line.is_empty() && line.trim() == line, "{line:?}");
        if let Some(comment) = line.strip_prefix("# ") {
            let mut words = comment.splitn(3, ' ');
            let (what, name, rest) = (
                words.next().unwrap_or(""),
                words.next().unwrap_or(""),
                words.next().unwrap_or(""),
            );
            if what == "TYPE" {
                assert!(families.insert(name.to_owned()), "{name} comes twice");
                (family, kind, unit) = (name.into(), rest.into(), String::new());
                met.clear();
                assert!(["info", "gauge", "counter", "summary"].contains(&rest), "{line}");
            } else {
                assert!(
                    ["UNIT", "HELP"].contains(&what) && name == family && !met.contains(&what.to_owned()),
                    "{line}"
                );
                assert!(
                    what != "UNIT" || name.ends_with(&format!("_{rest}")),
                    "{line}: the name ends with the unit"
                );
                unit = if what == "UNIT" { rest.into() } else { unit };
                met.push(what.to_owned());
            }
            continue;
        }
        let (series, value) = line.rsplit_once(' ').expect("a value");
        let (name, labels) = match series.split_once('{') {
            Some((name, labels)) => (name, labels.strip_suffix('}').expect("labels are closed")),
            None => (series, ""),
        };
        let suffix = name
            .strip_prefix(&family)
            .unwrap_or_else(|| panic!("{line} is not of {family}"));
        let allowed: &[&str] = match kind.as_str() {
            "info" => &["_info"],
            "counter" => &["_total"],
            "gauge" => &[""],
            _ => &["", "_count", "_sum"],
        };
        assert!(allowed.contains(&suffix), "{line}: a {kind} has no {suffix}");
        let mut rest = labels;
        let mut names = BTreeSet::new();
        while !rest.is_empty() {
            let (label, after) = rest.split_once("=\"").expect("a label has a value");
            assert!(
                label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_') && names.insert(label),
                "{line}"
            );
            let mut escaped = false;
            let end = after.find(|c: char| {
                let ends = c == '"' && !escaped;
                escaped = c == '\\' && !escaped;
                ends
            });
            let end = end.expect("a value is closed");
            rest = after[end + 1..].strip_prefix(',').unwrap_or(&after[end + 1..]);
        }
        assert_eq!(
            names.contains("quantile"),
            kind == "summary" && suffix.is_empty(),
            "{line}"
        );
        let value: f64 = value.parse().unwrap_or_else(|_| panic!("{line}"));
        assert!(kind != "counter" || value >= 0.0, "{line}");
        assert!(
            samples.insert(series.to_owned(), value).is_none(),
            "{series} comes twice"
        );
    }
    samples
}

fn scrape(address: &str) -> Option<String> {
    let mut stream = TcpStream::connect(address).ok()?;
    stream
        .write_all(b"GET /metrics HTTP/1.1\r\nHost: test\r\n\r\n")
        .ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    let (head, body) = answer.split_once("\r\n\r\n")?;
    assert!(
        head.contains("application/openmetrics-text; version=1.0.0"),
        "{head}"
    );
    Some(body.to_owned())
}

#[test]
fn metrics_are_what_strict_readers_accept_and_grow() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("watched.toml");
    std::fs::write(&file, SCENARIO).expect("room");
    let mut genie = Command::new(env!("CARGO_BIN_EXE_genie"))
        .args(["run", "--verbose", "--metrics", "127.0.0.1:0", "--results"])
        .arg(folder.path().join("results"))
        .arg(&file)
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("genie starts");
    let mut said = BufReader::new(genie.stderr.take().expect("it is a pipe"));
    let mut line = String::new();
    said.read_line(&mut line).expect("it says where");
    let address = line
        .trim()
        .trim_start_matches("metrics at http://")
        .trim_end_matches("/metrics")
        .to_owned();
    let (mut all, until) = (Vec::new(), Instant::now() + Duration::from_secs(60));
    while genie.try_wait().expect("it can be asked").is_none() && Instant::now() < until {
        all.extend(scrape(&address).filter(|text| !text.is_empty()));
        std::thread::sleep(Duration::from_millis(20));
    }
    assert!(genie.wait().expect("it ended").success());
    let mut rest = String::new();
    said.read_to_string(&mut rest).expect("text");
    assert!(rest.contains("operation 2 of 2: all-reduce"), "{rest}");
    let checked: Vec<BTreeMap<String, f64>> = all.iter().map(|text| check(text)).collect();
    assert!(!checked.is_empty(), "somebody was answered");
    let finished = |samples: &BTreeMap<String, f64>| samples["genie_operations_finished_total"];
    assert!(
        checked
            .windows(2)
            .all(|pair| finished(&pair[0]) <= finished(&pair[1])),
        "counters grow"
    );
    let moved = checked
        .last()
        .and_then(|last| last.get("genie_rank_moved_bytes_total{rank=\"0\"}"));
    assert!(moved.is_some_and(|bytes| *bytes > 1e6), "{:?}", checked.last());
}

#[test]
fn quiet_says_nothing_and_an_address_that_is_taken_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("watched.toml");
    std::fs::write(&file, SCENARIO.replace("6000", "5")).expect("room");
    let run = |arguments: &[&str]| {
        Command::new(env!("CARGO_BIN_EXE_genie"))
            .args(["run", "--results"])
            .arg(folder.path().join("results"))
            .args(arguments)
            .arg(&file)
            .output()
            .expect("genie runs")
    };
    let quiet = run(&["--quiet"]);
    assert!(quiet.status.success() && quiet.stderr.is_empty(), "{quiet:?}");
    // No terminal: no bar, nothing that would flood a log.
    let plain = run(&["--live"]);
    assert!(plain.status.success() && plain.stderr.is_empty(), "{plain:?}");
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("bound").to_string();
    let refused = run(&["--metrics", &address]);
    assert_eq!(refused.status.code(), Some(2), "{refused:?}");
}
