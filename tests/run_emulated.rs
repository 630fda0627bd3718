//! Runs over emulated networks: what physics forbids, what must be counted, and that the machine is
//! left as it was found.

mod run_support;

use std::time::Duration;

use run_support::{Machine, Value, stage, table};

const MIB: f64 = 1048576.0;

/// Ring all-reduce of 1 MiB, three times, on a star.
fn star(hosts: u32, rate: &str) -> String {
    format!(
        r#"
        name = "star"
        [testbed]
        fabric = "emulated"
        calibrate = false
        [topology.star]
        hosts = {hosts}
        rate = "{rate}"
        [[traffic.collective]]
        op = "all-reduce"
        algorithm = "ring"
        sizes = "1 MiB"
        iterations = 3
        warmup = 1
        "#
    )
}

/// In a ring of n = 4 each rank sends 2 (n-1)/n = 1.5 MiB per all-reduce, and at 100 Mbit/s a link
/// passes (1500-52)/(1500+14) x 12.5 MB of payload a second: no iteration can take less than 131.6 ms.
/// Every link carries exactly that payload each way, and headers: 52 + 14 bytes on at most 1448.
#[test]
fn a_shaped_link_is_never_faster_than_its_wire_and_carries_every_byte() {
    let Some(machine) = Machine::new() else { return };
    let before = machine.found();
    let report = machine.play(&star(4, "100 Mbit/s")).end().expect(0).json();
    machine.assert_as_before(&before);

    let op = &report["ops"][0];
    let wire_us = 1.5 * MIB / (12.5 * 1448.0 / 1514.0);
    let (fastest, share) = (
        op["time_us"]["min"].as_f64().unwrap(),
        op["link_share"].as_f64().unwrap(),
    );
    println!(
        "fastest {fastest:.0} us, the wire takes {wire_us:.0} us; {:.1} % of the limit",
        share * 100.0
    );
    assert!(
        fastest > wire_us / 1.02,
        "{fastest} us is faster than the wire's {wire_us}"
    );
    assert!(share > 0.3 && share <= 1.02, "{share}");
    // busbw is the payload rate of a link, so it is the share of the payload limit.
    let limit_gbps = 0.1 * 1448.0 / 1514.0;
    assert!(
        (op["busbw_gbps"].as_f64().unwrap() / limit_gbps / share - 1.0).abs() < 1e-3,
        "{op}"
    );

    let payload = 4.0 * 1.5 * MIB; // three iterations and one to warm up
    let folder = machine.results().join(report["run_id"].as_str().unwrap());
    let links = table(&folder, "links.csv");
    let counted: Vec<f64> = links
        .iter()
        .filter(|row| row["op"] == "0")
        .map(|row| row["counted_bytes"].parse().unwrap())
        .collect();
    assert_eq!(counted.len(), 8, "four links, two directions each: {links:?}");
    for bytes in counted {
        assert!(bytes >= payload, "{bytes} counted of {payload}");
        assert!(
            bytes < payload * 1.06,
            "{:.2} % overhead",
            (bytes / payload - 1.0) * 100.0
        );
    }
    for link in report["links"].as_array().unwrap() {
        assert_eq!(link["drops"], 0, "{link}");
    }
}

/// Calibration plays over the links before the ranks do: what it measures is the shaped rate.
#[test]
fn calibration_finds_the_rate_that_was_asked_for() {
    let Some(machine) = Machine::new() else { return };
    let before = machine.found();
    let report = machine
        .play(&star(2, "100 Mbit/s"))
        .set("testbed.calibrate=true")
        .end()
        .expect(0)
        .json();
    machine.assert_as_before(&before);
    let link = &report["calibration"]["links"][0];
    let measured = link["measured_bps"].as_f64().unwrap();
    println!("100 Mbit/s measured as {:.2} Mbit/s", measured / 1e6);
    assert_eq!(link["wanted_bps"], 1e8);
    assert_eq!(link["hops"], 2);
    // Faster than the wire is impossible; slower is possible on a busy machine, but not by much.
    assert!((0.8e8..1.02e8).contains(&measured), "{measured}");
}

fn nothing_wrong(report: &Value) {
    assert_eq!(report["verified"], true);
    for op in report["ops"].as_array().expect("ops") {
        assert_eq!(op["wrong"], 0, "{op}");
    }
}

/// Traffic between racks goes up one of two spines and down again, hashed by flow. Real data arrives
/// whole, and what goes up through all uplinks comes down through all of them.
#[test]
fn leaf_and_spine_carry_real_data_over_equal_paths() {
    let Some(machine) = Machine::new() else { return };
    let before = machine.found();
    let scenario = r#"
        name = "leaf-spine"
        [testbed]
        fabric = "emulated"
        calibrate = false
        verify = true
        [topology.leaf-spine]
        leaves = 2
        spines = 2
        hosts_per_leaf = 2
        rate = "1 Gbit/s"
        [tcp]
        channels = 2
        [[traffic.collective]]
        op = "all-to-all"
        sizes = "256 KiB"
        iterations = 2
        [[traffic.collective]]
        op = "all-reduce"
        sizes = "100 KiB"
        iterations = 2
    "#;
    let report = machine.play(scenario).end().expect(0).json();
    machine.assert_as_before(&before);
    nothing_wrong(&report);
    let counted = |from: &str, to: &str| -> f64 {
        let links = report["links"].as_array().unwrap();
        let matching = links.iter().filter(|link| {
            let way = link["direction"].as_str().unwrap();
            way.starts_with(from) && way.contains(&format!("->{to}"))
        });
        matching.map(|link| link["counted_bytes"].as_f64().unwrap()).sum()
    };
    let (up, down) = (counted("leaf", "spine"), counted("spine", "leaf"));
    // All-to-all: each of 4 hosts sends 64 KiB to each of 2 hosts on the other leaf.
    assert!(up >= 8.0 * 65536.0, "{up} bytes went up");
    assert!((up / down - 1.0).abs() < 0.02, "{up} up, {down} down");
}

/// On a torus hosts forward for others: opposite corners are several hops apart.
#[test]
fn a_torus_of_hosts_forwards_real_data() {
    let Some(machine) = Machine::new() else { return };
    let before = machine.found();
    let scenario = r#"
        name = "torus"
        [testbed]
        fabric = "emulated"
        calibrate = false
        verify = true
        [topology.torus]
        dims = [3, 2]
        rate = "1 Gbit/s"
        delay = "100 us"
        [[traffic.collective]]
        op = "all-to-all"
        sizes = "96 KiB"
        iterations = 2
        [[traffic.collective]]
        op = "broadcast"
        sizes = "64 KiB"
        root = 5
        iterations = 2
    "#;
    let report = machine.play(scenario).end().expect(0).json();
    machine.assert_as_before(&before);
    nothing_wrong(&report);
    // A message crosses at least one link, whose delay is 100 us: nothing can be faster.
    let fastest = report["ops"][0]["time_us"]["min"].as_f64().unwrap();
    assert!(fastest > 100.0, "{fastest} us through a wire of 100 us");
}

/// At 1 Gbit/s the wire takes 13.2 ms for this all-reduce. Dilated by 10 it takes ten times as long in
/// real time, and the figures still say 13.2 ms.
#[test]
fn dilated_time_is_reported_as_nominal_and_marked() {
    let Some(machine) = Machine::new() else { return };
    let play = machine.play(&star(4, "1 Gbit/s")).set("time.dilation=10");
    let report = play.end().expect(0).json();
    assert_eq!(report["dilation"], 10.0);
    let op = &report["ops"][0];
    let wire_us = 1.5 * MIB / (125.0 * 1448.0 / 1514.0);
    let nominal_us = op["time_us"]["p50"].as_f64().unwrap();
    assert!(
        nominal_us > wire_us / 1.02 && nominal_us < wire_us * 3.0,
        "{nominal_us} us, the wire {wire_us}"
    );
    let share = op["link_share"].as_f64().unwrap();
    assert!(share <= 1.02, "{share}");

    let id = report["run_id"].as_str().unwrap();
    let iterations = table(&machine.results().join(id), "iterations.csv");
    let real_ns = |row: &std::collections::BTreeMap<String, String>| {
        row["end_ns"].parse::<f64>().unwrap() - row["start_ns"].parse::<f64>().unwrap()
    };
    for row in &iterations {
        let nominal_us: f64 = row["time_us"].parse().unwrap();
        assert!(
            (real_ns(row) / 1e3 / nominal_us / 10.0 - 1.0).abs() < 1e-3,
            "{row:?}"
        );
    }
    let slowest_ms = iterations.iter().map(real_ns).fold(0.0, f64::max) / 1e6;
    assert!(
        slowest_ms > wire_us / 1e3 * 10.0 / 1.02,
        "{slowest_ms} ms is less than ten times the wire's"
    );
    let shown = machine
        .genie()
        .args(["show", id])
        .results(&machine.results())
        .end()
        .expect(0)
        .stdout;
    assert!(shown.contains("dilat"), "{shown}");
}

/// A wire that is 20 times as fast as this machine can be emulated: time goes slower, not the wire.
#[test]
fn dilation_plays_links_of_400_gbit() {
    let Some(machine) = Machine::new() else { return };
    let play = machine.play(&star(4, "400 Gbit/s")).set("time.dilation=400");
    let report = play
        .set("traffic.collective.0.sizes=4 MiB")
        .end()
        .expect(0)
        .json();
    let op = &report["ops"][0];
    let (share, busbw) = (
        op["link_share"].as_f64().unwrap(),
        op["busbw_gbps"].as_f64().unwrap(),
    );
    assert!(share > 0.3 && share <= 1.02, "{share}");
    assert!(busbw > 100.0 && busbw < 400.0, "{busbw} Gbit/s");
}

/// Two people, one machine: names, addresses and journals of two runs do not meet.
#[test]
fn two_runs_at_once_both_complete() {
    let Some(machine) = Machine::new() else { return };
    let before = machine.found();
    let runs = [1, 2].map(|_| machine.play(&star(3, "200 Mbit/s")).start());
    let reports = runs.map(|run| run.end().expect(0).json());
    machine.assert_as_before(&before);
    assert!(reports.iter().all(|report| report["status"] == "completed"));
    assert_ne!(reports[0]["run_id"], reports[1]["run_id"]);
}

/// Five namespaces and four processes: less than a second before the first byte and after the last.
/// Three times that on a machine that others use.
#[test]
fn four_hosts_start_and_end_within_a_second() {
    let Some(machine) = Machine::new() else { return };
    let ended = machine.play(&star(4, "1 Gbit/s")).end().expect(0);
    let report = ended.json();
    let (before, after) = (
        stage(&report, "connected"),
        ended.took.as_secs_f64() - stage(&report, "played"),
    );
    println!(
        "four hosts: {:.0} ms before the first byte, {:.0} ms after the last",
        before * 1e3,
        after * 1e3
    );
    assert!(before < 3.0 && after < 3.0, "{before} s before, {after} s after");
}

/// Ranks are told on which hosts they run; two of them may share one.
#[test]
fn ranks_run_where_they_are_put() {
    let Some(machine) = Machine::new() else { return };
    let before = machine.found();
    let play = machine
        .play(&star(3, "1 Gbit/s"))
        .set(r#"testbed.ranks=["h2", "h0", "h2"]"#);
    let mut running = play
        .set("traffic.collective.0.iterations=40")
        .deadline(Duration::from_secs(30))
        .start();
    running.until_within_row(0);
    let home = |rank: u32| std::fs::read_link(format!("/proc/{}/ns/net", running.rank(rank))).unwrap();
    assert_eq!(home(0), home(2));
    assert_ne!(home(0), home(1));
    running.end().expect(0);
    machine.assert_as_before(&before);
}
