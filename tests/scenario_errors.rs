//! What wrong scenarios are answered: the texts that users see, one snapshot for each part of a file.

use std::fmt::Write;
use std::path::Path;

use genie::scenario::{self, planner};

/// A right scenario, into which cases put their mistake.
const GOOD: &str = r#"name = "test"

[testbed]
fabric = "emulated"

[topology.star]
hosts = 4
rate = "1 Gbit/s"

[[traffic.collective]]
op = "all-reduce"
sizes = ["1 KiB", "1 MiB"]
"#;

/// The diagnostics of a text, or `ok`.
fn answer(text: &str, sets: &[&str]) -> String {
    let sets: Vec<String> = sets.iter().map(|set| set.to_string()).collect();
    let planned = scenario::load_text("x.toml", text, &sets).and_then(|loaded| planner::build(&loaded));
    match planned {
        Ok(_) => "ok\n".into(),
        Err(diagnostics) => diagnostics.to_string(),
    }
}

/// Cases replace a piece of [`GOOD`] (the whole, if the piece is empty).
fn answers(cases: &[(&str, &str, &str)]) -> String {
    let mut out = String::new();
    for (name, piece, mistake) in cases {
        let text = if piece.is_empty() {
            mistake.to_string()
        } else {
            GOOD.replace(piece, mistake)
        };
        assert!(
            piece.is_empty() || GOOD.contains(piece),
            "{name}: `{piece}` is not in the scenario"
        );
        let answer = answer(&text, &[]);
        assert_ne!(answer, "ok\n", "{name} was accepted");
        writeln!(out, "=== {name}\n{answer}").expect("strings take everything");
    }
    out
}

#[test]
fn the_good_scenario_is_right() {
    assert_eq!(answer(GOOD, &[]), "ok\n");
}

#[test]
fn syntax() {
    let deep = format!("x = {}{}", "[".repeat(5000), "]".repeat(5000));
    let dotted = format!("{}x = 1", "a.".repeat(5000));
    let out = answers(&[
        ("no value", "hosts = 4", "hosts ="),
        ("open string", "\"test\"", "\"test"),
        ("open table", "[testbed]", "[testbed"),
        ("key twice", "hosts = 4", "hosts = 4\nhosts = 5"),
        (
            "table twice",
            "[topology.star]",
            "[testbed]\nverify = true\n[topology.star]",
        ),
        ("empty file", "", ""),
        ("json", "", "{\"name\": \"test\"}"),
        ("nothing but a name", "", "name = \"x\""),
    ]);
    insta::assert_snapshot!(out);
    for text in [deep, dotted] {
        let answer = answer(&text, &[]);
        assert!(
            answer.starts_with("error: not valid TOML: "),
            "{}",
            &answer[..200.min(answer.len())]
        );
    }
}

#[test]
fn keys_and_types() {
    let out = answers(&[
        ("unknown section", "[testbed]", "[tesbed]"),
        ("unknown section, nothing near", "[testbed]", "[cluster]"),
        ("unknown key", "hosts = 4", "host = 4"),
        (
            "unknown key, nothing near",
            "hosts = 4",
            "hosts = 4\nbandwidth = 4",
        ),
        (
            "unknown kind of traffic",
            "[[traffic.collective]]",
            "[[traffic.colective]]",
        ),
        (
            "unknown key in a list of tables",
            "op = \"all-reduce\"",
            "op = \"all-reduce\"\niteration = 4",
        ),
        (
            "table for a list of tables",
            "[[traffic.collective]]",
            "[traffic.collective]",
        ),
        ("missing key", "rate = \"1 Gbit/s\"", ""),
        ("missing op", "op = \"all-reduce\"\n", ""),
        ("unknown fabric", "\"emulated\"", "\"emulate\""),
        ("unknown op", "\"all-reduce\"", "\"allreduce\""),
        ("unknown algorithm", "op =", "algorithm = \"tree\"\nop ="),
        ("text for a number", "hosts = 4", "hosts = \"4\""),
        ("fraction of a host", "hosts = 4", "hosts = 4.5"),
        ("negative hosts", "hosts = 4", "hosts = -4"),
        ("number for a flag", "[testbed]", "[testbed]\nverify = 1"),
        ("number for a name", "\"test\"", "7"),
        (
            "a value for a section",
            "[testbed]\nfabric = \"emulated\"",
            "testbed = \"emulated\"",
        ),
        (
            "several mistakes",
            "[testbed]",
            "[tcp]\nslot = 5\n[time]\ndilaton = 2\n[testbed]\nwait = \"busy\"",
        ),
    ]);
    insta::assert_snapshot!(out);
}

#[test]
fn units() {
    let out = answers(&[
        ("bare number", "\"1 Gbit/s\"", "1"),
        ("bare number in text", "\"1 Gbit/s\"", "\"1000\""),
        ("bare fraction", "[testbed]", "[testbed]\ndeadline = 0.5"),
        ("wrong unit", "\"1 Gbit/s\"", "\"1 GiB\""),
        ("misspelt unit", "\"1 MiB\"", "\"1 Mib\""),
        ("no number", "\"1 MiB\"", "\"large\""),
        ("negative", "\"1 MiB\"", "\"-1 MiB\""),
        ("too large", "\"1 MiB\"", "\"99999999999 TiB\""),
        ("bare number in a list", "\"1 MiB\"", "1024"),
        ("bare number as all sizes", "[\"1 KiB\", \"1 MiB\"]", "1024"),
    ]);
    insta::assert_snapshot!(out);
}

#[test]
fn testbed_and_transport() {
    let out = answers(&[
        ("name with a slash", "\"test\"", "\"../test\""),
        ("zero dilation", "[testbed]", "[time]\ndilation = 0\n[testbed]"),
        (
            "negative dilation",
            "[testbed]",
            "[time]\ndilation = -2.0\n[testbed]",
        ),
        (
            "dilation not a number",
            "[testbed]",
            "[time]\ndilation = nan\n[testbed]",
        ),
        (
            "dilation too strong for the links",
            "\"1 Gbit/s\"",
            "\"1 Mbit/s\"\n[time]\ndilation = 1e6",
        ),
        (
            "dilation on the host",
            "fabric = \"emulated\"",
            "fabric = \"host\"\n[time]\ndilation = 2",
        ),
        ("zero deadline", "[testbed]", "[testbed]\ndeadline = \"0 s\""),
        ("dscp", "[testbed]", "[tcp]\ndscp = 64\n[testbed]"),
        ("no slots", "[testbed]", "[tcp]\nslots = 0\n[testbed]"),
        (
            "too many channels",
            "[testbed]",
            "[tcp]\nchannels = 65\n[testbed]",
        ),
        ("tiny slot", "[testbed]", "[tcp]\nslot = \"1 B\"\n[testbed]"),
        (
            "huge buffer",
            "[testbed]",
            "[tcp]\nsend_buffer = \"1 TiB\"\n[testbed]",
        ),
        (
            "slow pacing",
            "[testbed]",
            "[tcp]\npacing = \"0 bit/s\"\n[testbed]",
        ),
        (
            "congestion control",
            "[testbed]",
            "[tcp]\ncongestion_control = \"Cubic!\"\n[testbed]",
        ),
        (
            "host section on an emulated fabric",
            "[testbed]",
            "[host]\naddresses = [\"127.0.0.1\"]\n[testbed]",
        ),
        (
            "no address",
            "fabric = \"emulated\"",
            "fabric = \"host\"\n[host]\naddresses = [\"localhost\"]",
        ),
        (
            "any address",
            "fabric = \"emulated\"",
            "fabric = \"host\"\n[host]\naddresses = [\"0.0.0.0\"]",
        ),
    ]);
    insta::assert_snapshot!(out);
}

#[test]
fn ranks_and_communicators() {
    let out = answers(&[
        ("no such host", "[testbed]", "[testbed]\nranks = [\"h0\", \"h9\"]"),
        (
            "rank on a switch",
            "[testbed]",
            "[testbed]\nranks = [\"h0\", \"s0\"]",
        ),
        ("no ranks", "[testbed]", "[testbed]\nranks_per_host = 0"),
        ("empty list of ranks", "[testbed]", "[testbed]\nranks = []"),
        (
            "a count on an emulated fabric",
            "[testbed]",
            "[testbed]\nranks = 4",
        ),
        (
            "ranks said twice",
            "[testbed]",
            "[testbed]\nranks_per_host = 1\nranks = [\"h0\"]",
        ),
        ("too many ranks", "[testbed]", "[testbed]\nranks_per_host = 5000"),
        (
            "host without a count",
            "",
            "name = \"x\"\n[testbed]\nfabric = \"host\"",
        ),
        (
            "rank outside",
            "[[traffic",
            "[[communicator]]\nname = \"a\"\nranks = [0, 4]\n[[traffic",
        ),
        (
            "rank twice",
            "[[traffic",
            "[[communicator]]\nname = \"a\"\nranks = [0, 1, 0]\n[[traffic",
        ),
        (
            "no member",
            "[[traffic",
            "[[communicator]]\nname = \"a\"\nranks = []\n[[traffic",
        ),
        (
            "communicator twice",
            "[[traffic",
            "[[communicator]]\nname = \"a\"\nranks = [0]\n[[communicator]]\nname = \"a\"\nranks = [1]\n[[traffic",
        ),
        (
            "world taken",
            "[[traffic",
            "[[communicator]]\nname = \"world\"\nranks = [0]\n[[traffic",
        ),
        ("unknown communicator", "op =", "communicator = \"wrld\"\nop ="),
    ]);
    insta::assert_snapshot!(out);
}

#[test]
fn topology() {
    let explicit = |links: &str| {
        let nodes = "[[topology.host]]\nname = \"a\"\n[[topology.host]]\nname = \"b\"\n[[topology.switch]]\nname = \"s\"";
        GOOD.replace(
            "[topology.star]\nhosts = 4\nrate = \"1 Gbit/s\"",
            &format!("{nodes}\n{links}"),
        )
    };
    let link =
        |a: &str, b: &str| format!("[[topology.link]]\nends = [\"{a}\", \"{b}\"]\nrate = \"1 Gbit/s\"\n");
    let cases: &[(&str, &str, &str)] = &[
        ("10,000 hosts", "hosts = 4", "hosts = 10_000"),
        ("no hosts", "hosts = 4", "hosts = 0"),
        ("rate of zero", "\"1 Gbit/s\"", "\"0 Gbit/s\""),
        (
            "tiny mtu",
            "[topology.star]",
            "[topology]\nmtu = 100\n[topology.star]",
        ),
        (
            "two builders",
            "[topology.star]",
            "[topology.ring]\nhosts = 4\nrate = \"1 Gbit/s\"\n[topology.star]",
        ),
        (
            "no topology",
            "[topology.star]\nhosts = 4\nrate = \"1 Gbit/s\"",
            "",
        ),
        (
            "empty topology",
            "[topology.star]\nhosts = 4\nrate = \"1 Gbit/s\"",
            "[topology]\nmtu = 1500",
        ),
        ("unknown builder", "[topology.star]", "[topology.fat-tree]"),
        ("nearly a builder", "[topology.star]", "[topology.full_mesh]"),
        (
            "four dimensions",
            "[topology.star]\nhosts = 4",
            "[topology.torus]\ndims = [2, 2, 2, 2]",
        ),
        (
            "huge torus",
            "[topology.star]\nhosts = 4",
            "[topology.torus]\ndims = [4000000000, 4000000000, 4000000000]",
        ),
        (
            "huge mesh",
            "[topology.star]\nhosts = 4",
            "[topology.full-mesh]\nhosts = 1000",
        ),
        (
            "missing topology file",
            "[topology.star]\nhosts = 4\nrate = \"1 Gbit/s\"",
            "[topology]\nfile = \"nowhere/none.toml\"",
        ),
    ];
    let mut out = answers(cases);
    for (name, links) in [
        ("disconnected", link("a", "s")),
        ("no links", String::new()),
        ("unknown end", link("a", "s") + &link("b", "switch")),
        (
            "link with itself",
            link("a", "s") + &link("b", "s") + &link("b", "b"),
        ),
        (
            "one end",
            "[[topology.link]]\nends = [\"a\"]\nrate = \"1 Gbit/s\"".into(),
        ),
        (
            "node twice",
            "[[topology.switch]]\nname = \"a\"\n".to_owned() + &link("a", "s") + &link("b", "s"),
        ),
        (
            "bad name",
            "[[topology.host]]\nname = \"a b\"\n".to_owned() + &link("a", "s") + &link("b", "s"),
        ),
        (
            "link twice",
            (link("a", "s") + &link("b", "s")).replace("rate", "name = \"l\"\nrate"),
        ),
    ] {
        let answer = answer(&explicit(&links), &[]);
        assert_ne!(answer, "ok\n", "{name} was accepted");
        writeln!(out, "=== {name}\n{answer}").expect("strings take everything");
    }
    insta::assert_snapshot!(out);
}

#[test]
fn traffic() {
    let sizes = "sizes = [\"1 KiB\", \"1 MiB\"]";
    let out = answers(&[
        (
            "no traffic",
            "[[traffic.collective]]\nop = \"all-reduce\"\nsizes = [\"1 KiB\", \"1 MiB\"]\n",
            "",
        ),
        ("size of zero", "\"1 KiB\"", "\"0 B\""),
        ("huge size", "\"1 KiB\"", "\"2 TiB\""),
        ("broken element", "\"1 KiB\"", "\"10 B\""),
        ("no sizes", sizes, ""),
        ("empty sizes", sizes, "sizes = []"),
        (
            "range backwards",
            sizes,
            "sizes = { from = \"2 MiB\", to = \"1 MiB\" }",
        ),
        (
            "factor of one",
            sizes,
            "sizes = { from = \"1 KiB\", to = \"1 MiB\", factor = 1 }",
        ),
        (
            "factor and step",
            sizes,
            "sizes = { from = \"1 KiB\", to = \"1 MiB\", factor = 2, step = \"1 KiB\" }",
        ),
        (
            "step of zero",
            sizes,
            "sizes = { from = \"1 KiB\", to = \"1 MiB\", step = \"0 B\" }",
        ),
        (
            "too many sizes",
            sizes,
            "sizes = { from = \"4 B\", to = \"1 MiB\", step = \"4 B\" }",
        ),
        (
            "unknown key in a range",
            sizes,
            "sizes = { from = \"1 KiB\", until = \"1 MiB\" }",
        ),
        ("no iterations", sizes, "sizes = \"1 KiB\"\niterations = 0"),
        (
            "iterations in words",
            sizes,
            "sizes = \"1 KiB\"\niterations = \"many\"",
        ),
        ("negative iterations", sizes, "sizes = \"1 KiB\"\niterations = -1"),
        (
            "root outside",
            "op = \"all-reduce\"",
            "op = \"broadcast\"\nroot = 4",
        ),
        (
            "no such algorithm for it",
            "op = \"all-reduce\"",
            "op = \"all-to-all\"\nalgorithm = \"halving-doubling\"",
        ),
        ("chunks in flight", "op =", "chunks_in_flight = 0\nop ="),
        ("tiny chunk", "op =", "chunk = \"3 B\"\nop ="),
        ("sizes of a barrier", "\"all-reduce\"", "\"barrier\""),
        ("matrix elsewhere", sizes, "matrix = [[\"0 B\"]]"),
        (
            "matrix and sizes",
            "op = \"all-reduce\"",
            "op = \"all-to-all\"\nmatrix = [[\"0 B\"]]",
        ),
        (
            "matrix too small",
            &format!("op = \"all-reduce\"\n{sizes}"),
            "op = \"all-to-all\"\nmatrix = [[\"0 B\"]]",
        ),
        (
            "matrix not square",
            &format!("op = \"all-reduce\"\n{sizes}"),
            "op = \"all-to-all\"\nmatrix = [[\"0 B\"], [\"0 B\"], [\"0 B\"], [\"0 B\"]]",
        ),
    ]);
    insta::assert_snapshot!(out);
}

#[test]
fn overrides() {
    let mut out = String::new();
    for sets in [
        &["topology.star.host=8"][..],
        &["topolgy.star.hosts=8"],
        &["topology.star.hosts=eight"],
        &["topology.star.rate=10"],
        &["testbed.verify"],
        &["testbed..verify=true"],
        &["traffic.collective.sizes=1 KiB"],
        &["traffic.collective[3].sizes=1 KiB"],
        &["traffic.collective.0.sizes=[\"1 KiB\""],
        &["traffic.collective[0.sizes=1 KiB"],
        &["name.x=1"],
        &["topology.star.hosts=10000", "time.dilation=0"],
        &["topology.file=nowhere/none.toml"],
    ] {
        let answer = answer(GOOD, sets);
        assert_ne!(answer, "ok\n", "{sets:?} was accepted");
        writeln!(out, "=== {sets:?}\n{answer}").expect("strings take everything");
    }
    insta::assert_snapshot!(out);
}

#[test]
fn rdma_options_are_checked_whether_or_not_the_build_has_the_transport() {
    let host = ["testbed.fabric=host", "testbed.transport=rdma"];
    for (set, message) in [
        ("rdma.port=0", "a port of 0; 1 to 255 are possible"),
        ("rdma.queue_pairs=65", "a queue_pairs of 65; 1 to 64 are possible"),
        (
            "rdma.signal_every=65",
            "a signal_every of 65; 1 to 64 are possible",
        ),
        ("rdma.slot=1 KiB", "a slot of 1 KiB; 4 KiB to 64 MiB are possible"),
        ("rdma.mtu=1500", "a path MTU of 1500"),
        ("rdma.flow_labels=[1048576]", "it has 20 bits, 0 to 1048575"),
        ("rdma.verb=write-im", "write-imm"),
        (
            "rdma={ verb = \"read\", service = \"uc\" }",
            "only reliable connections can read",
        ),
        ("testbed.fabric=emulated", "emulated links have no RDMA devices"),
    ] {
        let answer = answer(GOOD, &[&host[..], &[set]].concat());
        assert!(answer.contains(message), "{set}: {answer}");
    }
    let unused = answer(GOOD, &["rdma.queue_pairs=2"]);
    assert!(
        unused.contains("`[rdma]` is not used by transport `tcp`"),
        "{unused}"
    );
    let built_in = answer(GOOD, &host);
    assert_eq!(built_in == "ok\n", cfg!(feature = "rdma"), "{built_in}");
    assert!(
        built_in == "ok\n" || built_in.contains("libibverbs-dev"),
        "{built_in}"
    );
}

#[test]
fn overrides_that_are_right() {
    for set in [
        "topology.star.rate=10 Gbit/s",
        "topology.star.rate=\"10 Gbit/s\"",
        "topology.star.rate=unlimited",
        "testbed.fabric=host",
        "testbed.verify=true",
        "topology.star.hosts = 8",
        "traffic.collective.0.sizes=[\"1 KiB\", \"64 MiB\"]",
        "traffic.collective[0].sizes=[1 KiB,64MiB]",
        "traffic.collective[0].sizes[1]=2 MiB",
        "traffic.collective[0].sizes=8 B",
        "traffic.collective[0].sizes={ from = \"1 KiB\", to = \"1 MiB\" }",
        "topology={ ring = { hosts = 3, rate = \"1 Gbit/s\" } }",
        "time.dilation=10",
        "tcp.dscp=46",
        "host={}",
    ] {
        let expected = if set == "host={}" { "error" } else { "ok" };
        assert!(
            answer(GOOD, &[set]).starts_with(expected),
            "{set}: {}",
            answer(GOOD, &[set])
        );
    }
}

#[test]
fn files() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = |name: &str| folder.path().join(name);
    std::fs::write(path("good.toml"), GOOD).expect("writable");
    std::fs::write(path("latin.toml"), b"name = \"t\"\n# caf\xe9\n").expect("writable");
    std::fs::write(path("large.toml"), vec![b'#'; 5 << 20]).expect("writable");
    std::fs::write(
        path("missing-topology.toml"),
        "name = \"t\"\n[topology]\nfile = \"god.toml\"\n",
    )
    .expect("writable");
    std::fs::write(
        path("stray.toml"),
        "name = \"t\"\n[topology]\nfile = \"good.toml\"\n",
    )
    .expect("writable");
    std::fs::write(
        path("star.toml"),
        "[topology]\nmtu = 9000\n[topology.star]\nhost = 3\n",
    )
    .expect("writable");
    std::fs::write(
        path("wrong-topology.toml"),
        "name = \"t\"\n[topology]\nfile = \"star.toml\"\n",
    )
    .expect("writable");
    std::fs::write(
        path("both.toml"),
        "name = \"t\"\n[topology]\nfile = \"star.toml\"\nmtu = 1500\n",
    )
    .expect("writable");
    let mut out = String::new();
    for name in [
        "god.toml",
        "",
        "latin.toml",
        "large.toml",
        "missing-topology.toml",
        "stray.toml",
        "wrong-topology.toml",
        "both.toml",
        "good.toml/x.toml",
    ] {
        let refused = scenario::load(&path(name), &[]).expect_err("all of these are wrong");
        let shown = refused
            .to_string()
            .replace(&folder.path().display().to_string(), "DIR");
        writeln!(out, "=== {name}\n{shown}").expect("strings take everything");
    }
    insta::assert_snapshot!(out);
    let endless = scenario::load(Path::new("/dev/zero"), &[]).expect_err("no scenario");
    assert!(endless.to_string().contains("larger than 4 MiB"), "{endless}");
}

#[test]
fn json_has_the_place() {
    let refused = scenario::load_text("x.toml", "name = \"x\"\n[tesbed]\n", &[]).expect_err("wrong");
    insta::assert_snapshot!(serde_json::to_string_pretty(&refused).expect("plain JSON"));
}

#[test]
fn colour_is_for_terminals() {
    let refused = scenario::load_text("x.toml", "[tesbed]\n", &[]).expect_err("wrong");
    assert!(!refused.render(false).contains('\x1b'));
    assert!(refused.render(true).contains('\x1b'));
}
