//! Optical switches in emulated networks: traffic goes where circuits lead, links follow the light, dark times are
//! those of the device, and nothing is left behind.

#![allow(clippy::unwrap_used)] // clippy takes helpers of integration tests for code

mod run_support;

use std::path::Path;
use std::time::Duration;

use nix::sys::signal::Signal;
use run_support::{Genie, Machine, Value, repository, table};

/// Four hosts on one optical switch, in pairs and then in others.
fn pairs(dialect: &str, settle: &str, more: &str) -> String {
    format!(
        r#"
        name = "pairs"
        [testbed]
        calibrate = false
        [[topology.host]]
        name = "h0"
        [[topology.host]]
        name = "h1"
        [[topology.host]]
        name = "h2"
        [[topology.host]]
        name = "h3"
        [[topology.ocs]]
        name = "o"
        dialect = "{dialect}"
        settle = "{settle}"
        {more}
        [[topology.link]]
        ends = ["h0", "o"]
        rate = "500 Mbit/s"
        [[topology.link]]
        ends = ["o", "h1"]
        rate = "500 Mbit/s"
        [[topology.link]]
        ends = ["h2", "o"]
        port = 7
        rate = "500 Mbit/s"
        [[topology.link]]
        ends = ["h3", "o"]
        rate = "500 Mbit/s"
        [[communicator]]
        name = "01"
        ranks = [0, 1]
        [[communicator]]
        name = "23"
        ranks = [2, 3]
        [[communicator]]
        name = "02"
        ranks = [0, 2]
        [[step]]
        name = "straight"
        circuits = [["h0", "h1"], ["h2", "h3"]]
        [[step.collective]]
        op = "all-reduce"
        communicator = "01"
        sizes = "1 MiB"
        iterations = 3
        [[step.collective]]
        op = "all-reduce"
        communicator = "23"
        sizes = "1 MiB"
        iterations = 3
        [[step]]
        name = "crossed"
        circuits = [["o:7", "h0-o"], ["h1", "h3"]]
        [[step.collective]]
        op = "all-reduce"
        communicator = "02"
        sizes = "1 MiB"
        iterations = 3
        "#
    )
}

/// What a link direction carried in an operation.
fn carried(folder: &Path, op: &str, link: &str) -> u64 {
    let rows = table(folder, "links.csv");
    let own = rows.iter().filter(|row| row["op"] == op && row["link"] == link);
    own.map(|row| row["counted_bytes"].parse::<u64>().unwrap()).sum()
}

fn change<'a>(report: &'a Value, step: &str) -> &'a Value {
    let all = report["reconfigurations"].as_array().expect("a list");
    let found = all.iter().find(|change| change["step"] == step);
    found.unwrap_or_else(|| panic!("no step {step} in {all:#?}"))
}

/// An all-reduce of 1 MiB between two hosts moves 1 MiB each way in each of its 3 iterations and its warm-up,
/// over both links of the circuit that stands, and over no other.
#[test]
fn traffic_goes_where_circuits_lead() {
    let Some(machine) = Machine::new() else { return };
    let before = machine.found();
    let report = machine.play(&pairs("scpi", "40 ms", "")).end().expect(0).json();
    machine.assert_as_before(&before);
    let folder = Path::new(report["results_dir"].as_str().unwrap());
    for (op, lit, dark) in [
        ("0", ["h0-o", "o-h1"], ["h2-o", "h3-o"]),
        ("1", ["h2-o", "h3-o"], ["h0-o", "o-h1"]),
        ("2", ["h0-o", "h2-o"], ["o-h1", "h3-o"]),
    ] {
        for link in lit {
            let bytes = carried(folder, op, link);
            assert!(bytes > 8 << 20, "operation {op}: {bytes} bytes on {link}");
        }
        for link in dark {
            // Barriers may pass before an operation.
            let bytes = carried(folder, op, link);
            assert!(bytes < 64 << 10, "operation {op}: {bytes} bytes on {link}");
        }
        // Control messages only on the management network.
        for host in ["h0", "h1", "h2", "h3"] {
            let bytes = carried(folder, op, &format!("{host}-management"));
            assert!(
                bytes < 64 << 10,
                "operation {op}: {bytes} bytes of {host} beside the fabric"
            );
        }
    }
    let manifest = std::fs::read_to_string(folder.join("manifest.json")).unwrap();
    let manifest: Value = serde_json::from_str(&manifest).unwrap();
    let found = &manifest["environment"]["equipment"]["o"];
    assert_eq!(found["dialect"], "scpi", "{found}");
    assert_eq!(
        found["vendor"], "Polatis",
        "what the switch says of itself: {found}"
    );
    assert!(
        found["address"].as_str().unwrap().starts_with("127.0.0.1:"),
        "{found}"
    );
    assert_eq!(report["ops"][2]["step"], "crossed");
    let crossed = change(&report, "crossed");
    assert_eq!(
        crossed["switches"][0]["removed"].as_array().unwrap().len(),
        4,
        "{crossed:#}"
    );
    assert_eq!(table(folder, "circuits.csv").len(), 8, "four ends, twice");
}

/// Mirrors take their settle time: no port that moves is dark for less. How much more is measured on a
/// quiet machine (docs/ocs.md); here it only must not be another order.
#[test]
fn dark_times_are_those_of_the_device() {
    let Some(machine) = Machine::new() else { return };
    for (dialect, settle) in [("netconf", 0.08), ("tl1-calient", 0.15)] {
        let text = pairs(dialect, &format!("{} ms", settle * 1e3), "");
        let report = machine.play(&text).end().expect(0).json();
        let crossed = change(&report, "crossed");
        let switch = &crossed["switches"][0];
        println!("{dialect}: {switch}");
        assert_eq!(switch["device_settle_s"], settle);
        for by in ["dark_traffic_s", "dark_light_s"] {
            for link in crossed["links"].as_array().unwrap() {
                let dark = link[by].as_f64().unwrap_or_else(|| panic!("{by} of {link}"));
                assert!(
                    dark >= settle,
                    "{dialect}: {by} {dark} is less than {settle}: {link}"
                );
                assert!(dark < settle + 0.5, "{dialect}: {by} {dark}: {link}");
            }
        }
    }
}

/// The circuit under traffic goes away for 300 ms: its frames are lost and sent again, and the traffic ends well.
#[test]
fn what_hits_a_dark_port_is_lost_and_sent_again() {
    let Some(machine) = Machine::new() else { return };
    let text = pairs("scpi", "40 ms", "")
        + r#"
        [[step.change]]
        at = "200 ms"
        circuits = [["h1", "h3"]]
        [[step.change]]
        at = "500 ms"
        circuits = [["h0", "h2"]]
        "#;
    // The change is of the last step; it has 3 iterations there, too few to be changed under.
    let text = text.replacen(
        "iterations = 3\n        \n        [[step.change]]",
        "iterations = 60\n        [[step.change]]",
        1,
    );
    assert!(text.contains("iterations = 60"), "{text}");
    let report = machine.play(&text).end().expect(0).json();
    let during: Vec<&Value> = report["reconfigurations"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|change| change["during"] == true)
        .collect();
    assert_eq!(during.len(), 2, "{:#}", report["reconfigurations"]);
    let lost: u64 = during
        .iter()
        .map(|change| change["lost_frames"].as_u64().unwrap())
        .sum();
    let again: u64 = during
        .iter()
        .map(|change| change["retransmits"].as_u64().unwrap())
        .sum();
    println!("{lost} frames lost, {again} segments sent again");
    assert!(again > 0, "TCP must have sent again what was lost: {during:#?}");
    assert_eq!(report["ops"][2]["iterations"], 60, "and all of it arrived");
    // 1 MiB each way at 500 Mbit/s takes 17.5 ms; nothing came by another network while the circuit was dark.
    let fastest = report["ops"][2]["time_us"]["min"].as_f64().unwrap();
    assert!(fastest > 16_000.0, "{fastest} us");
    let folder = Path::new(report["results_dir"].as_str().unwrap());
    for host in ["h0", "h2"] {
        let bytes = carried(folder, "2", &format!("{host}-management"));
        assert!(bytes < 64 << 10, "{bytes} bytes of {host} beside the fabric");
    }
    assert_eq!(during[0]["op"], 2);
}

/// Every trouble of the imitation ends in a run that works, or in one that says so and leaves nothing.
#[test]
fn troubles_end_well_or_with_a_reason() {
    let Some(machine) = Machine::new() else { return };
    let before = machine.found();
    for (trouble, code) in [
        ("{ deny = 2 }", 0),
        ("{ drop-reply = 5 }", 0),
        ("{ stuck-port = [\"7A\"] }", 5),
        ("{ no-light = [\"7A\"] }", 5),
    ] {
        let text = pairs("tl1-polatis", "20 ms", &format!("trouble = {trouble}"));
        let ended = machine.play(&text).end().expect(code);
        if code != 0 {
            assert!(
                ended.stderr.contains("optical switch o"),
                "{trouble}: {}",
                ended.stderr
            );
        }
        machine.assert_as_before(&before);
    }
}

/// A signal while mirrors move, and `kill -9`: nothing stays but what `genie clean` removes.
#[test]
fn nothing_is_left_behind_whenever_it_ends() {
    let Some(machine) = Machine::new() else { return };
    let before = machine.found();
    let slow = pairs("sonic", "20 s", "");
    let connected = |event: &Value| event["event"] == "stage" && event["stage"] == "fabric-up";
    for signal in [Signal::SIGINT, Signal::SIGTERM] {
        let mut run = machine.play(&slow).start();
        run.until_event("the fabric", connected);
        std::thread::sleep(Duration::from_millis(200));
        run.signal(signal);
        let ended = run.end().expect(128 + signal as i32);
        assert!(
            ended.took < Duration::from_secs(15),
            "{:?} for mirrors of 20 s",
            ended.took
        );
        machine.assert_as_before(&before);
    }
    let mut run = machine.play(&slow).start();
    run.until_event("the fabric", connected);
    run.signal(Signal::SIGKILL);
    run.end();
    machine.assert_empties(Duration::from_secs(10));
    machine.genie().arg("clean").end().expect(0);
    assert_eq!(machine.namespaces(), [""; 0]);
    let left: Vec<String> = machine.found().difference(&before).cloned().collect();
    assert!(left.is_empty(), "{left:#?}");
}

/// A switch that never answers is not waited for longer than set-up may take, and not at all after a signal.
#[test]
fn switches_that_do_not_answer_end_the_run() {
    let Some(machine) = Machine::new() else { return };
    let before = machine.found();
    let mute = pairs("scpi", "20 s", "trouble = { drop-reply = 1 }");
    let mute = mute.replace("[testbed]", "[testbed]\nsetup_deadline = \"2 s\"");
    let ended = machine.play(&mute).end().expect(5);
    assert!(ended.stderr.contains("optical switch o"), "{}", ended.stderr);
    assert!(ended.stderr.contains("given up after 2 s"), "{}", ended.stderr);
    assert!(ended.took < Duration::from_secs(12), "{:?}", ended.took);
    machine.assert_as_before(&before);

    let slow = pairs("tl1-polatis", "20 ms", "trouble = { slow-reply = \"60 s\" }");
    let mut run = machine.play(&slow).start();
    run.until_event("the fabric", |event| {
        event["event"] == "stage" && event["stage"] == "fabric-up"
    });
    std::thread::sleep(Duration::from_millis(200));
    run.signal(Signal::SIGINT);
    let ended = run.end().expect(130);
    assert!(ended.took < Duration::from_secs(12), "{:?}", ended.took);
    machine.assert_as_before(&before);
}

/// RFold's placements on cubes: every neighbour of every job is one hop away by what packets find.
#[test]
fn neighbours_of_placed_jobs_are_one_hop_apart() {
    let Some(machine) = Machine::new() else { return };
    let before = machine.found();
    let text = std::fs::read_to_string(repository("scenarios/rfold-live.toml")).unwrap();
    let report = machine
        .play(&text)
        .deadline(Duration::from_secs(150))
        .end()
        .expect(0)
        .json();
    machine.assert_as_before(&before);
    let found = report["neighbours"]
        .as_array()
        .expect("neighbours were looked for");
    // a: 3 dimensions; a and b: 3 + 2; b, c and d: 2 + 3 + 1.
    assert_eq!(found.len(), 3 + 5 + 6, "{found:#?}");
    for dimension in found {
        for pair in dimension["pairs"].as_array().unwrap() {
            assert_eq!(pair["hops"], 1, "{dimension:#}");
        }
    }
    // Every byte enters one host, its neighbour, and no other: what was counted where links end at hosts is what
    // the plan says, with headers. By two hops it would be twice as much.
    let folder = Path::new(report["results_dir"].as_str().unwrap());
    for op in 0..report["ops"].as_array().unwrap().len() {
        let (mut counted, mut planned, mut beside) = (0.0, 0.0, 0.0);
        for row in table(folder, "links.csv")
            .iter()
            .filter(|row| row["op"] == op.to_string())
        {
            let bytes: f64 = row["counted_bytes"].parse().unwrap();
            if row["link"].ends_with("-management") {
                beside += bytes;
            } else if !row["direction"].contains("->ocs") {
                counted += bytes;
                planned += row["payload_bytes"].parse::<f64>().unwrap();
            }
        }
        println!("operation {op}: {planned} B planned, {counted} counted, {beside} beside");
        assert!(
            counted > planned && counted < 1.2 * planned,
            "{op}: {counted} of {planned}"
        );
        assert!(
            beside < 0.05 * planned,
            "{op}: {beside} of {planned} beside the fabric"
        );
    }
}

/// Bad circuits are refused with place, reason and the nearest name, before anything is made.
#[test]
fn bad_circuits_are_refused() {
    for (from, to, wanted) in [
        (r#"["h1", "h3"]"#, r#"["h1", "h33"]"#, "did you mean `h3`"),
        (
            r#"["h1", "h3"]"#,
            r#"["h0", "h3"]"#,
            "`h0` is in a second circuit",
        ),
        (r#"["h1", "h3"]"#, r#"["h3", "h3"]"#, "with itself"),
        (
            r#"["h1", "h3"]"#,
            r#"["h1", "o:3000"]"#,
            "no link ends at port 3000 of `o`",
        ),
        (
            r#"["h1", "h3"]"#,
            r#"["h1", "p:3"]"#,
            "there is no optical switch `p`",
        ),
        (r#"["h1", "h3"]"#, r#"["h1", "o"]"#, "`o` is an optical switch"),
        (
            "circuits = [[\"o:7\", \"h0-o\"], [\"h1\", \"h3\"]]",
            "",
            "nothing joins their hosts",
        ),
        (
            "settle = \"25 ms\"",
            "settle = \"25 ms\"\njitter = \"26 ms\"",
            "a jitter of 26 ms",
        ),
        (
            "settle = \"25 ms\"",
            "settle = \"25 ms\"\ntrouble = { stuck-port = [\"x\"] }",
            "`x` is not such a port",
        ),
        ("dialect = \"scpi\"", "dialect = \"scp\"", "did you mean `scpi`"),
        (
            "ends = [\"h3\", \"o\"]",
            "ends = [\"h3\", \"o\"]\n        port = 7",
            "a second link at port 7 of `o`",
        ),
        (
            "rate = \"500 Mbit/s\"\n        [[communicator]]",
            "rate = \"1 Gbit/s\"\n        [[communicator]]",
            "one rate",
        ),
        (
            "calibrate = false",
            "calibrate = false\nfabric = \"host\"",
            "circuits",
        ),
        (
            "calibrate = false",
            "calibrate = false\nfabric = \"soft-roce\"",
            "optical switches",
        ),
        (
            "[[topology.ocs]]\n        name = \"o\"",
            "[[topology.ocs]]",
            "is no name",
        ),
    ] {
        let text = pairs("scpi", "25 ms", "");
        assert!(text.contains(from), "{from}");
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("x.toml");
        std::fs::write(&file, text.replacen(from, to, 1)).unwrap();
        let ended = Genie::new().arg("check").arg(&file).end().expect(2);
        assert!(ended.stderr.contains(wanted), "{from} -> {to}: {}", ended.stderr);
        assert!(ended.stderr.contains("x.toml:"), "the place: {}", ended.stderr);
    }
}
