//! What people and programs see of a run: snapshots of the table and of the JSON object, live and
//! from disk.

mod chrome_trace;
mod results_fixture;

use std::path::Path;

use genie::event::{Event, MessageSeen, NeighboursFound, RankLoss, RankMessages, Reconfiguration, Status};
use genie::report::live::{Live, Output};
use genie::report::progress::Said;
use genie::report::style::Style;
use genie::report::{json, terminal};
use genie::results::{Recorder, Run, Store};
use genie::scenario::plan::{FabricKind, Plan};
use results_fixture as made;

fn played(plan: &Plan, events: &[Event]) -> Run {
    let mut run = made::run(plan.clone());
    events.iter().for_each(|event| run.apply(event));
    run
}

fn table(run: &Run, width: usize) -> String {
    let mut out = Vec::new();
    let style = Style { width, colour: false };
    let folder = Path::new("results/20261122-153254-k3v9x");
    terminal::show(&mut out, run, Some(folder), style).expect("memory takes all");
    let text = String::from_utf8(out).expect("tables are text");
    for line in text.lines() {
        assert!(line.chars().count() <= width, "wider than {width}: {line}");
    }
    text
}

#[test]
fn a_completed_run() {
    let plan = made::plan();
    let run = played(&plan, &made::completed(&plan));
    insta::assert_snapshot!("completed-120", table(&run, 120));
    insta::assert_snapshot!("completed-80", table(&run, 80));
    insta::assert_snapshot!("completed-json", json::text(&run, Some("results/x".as_ref())));
}

/// A change of no switches before operation `op`, or while it is played.
fn change(op: usize, during: bool) -> Reconfiguration {
    Reconfiguration {
        number: 0,
        step: format!("step {op}"),
        op,
        during,
        at_s: 1.5,
        switches: Vec::new(),
        links: Vec::new(),
        lost_frames: None,
        probes_lost: 0,
        probe_every_s: None,
        probe_pause_s: None,
        retransmits: Some(3),
    }
}

/// What is stored in lists of its own is shown in the order in which it happened.
#[test]
fn circuits_neighbours_and_rows_come_in_their_order() {
    let plan = made::plan();
    let found = |op: usize| {
        Event::NeighboursFound(NeighboursFound {
            step: format!("step {op}"),
            op,
            job: format!("j{op}"),
            dimension: 0,
            pairs: Vec::new(),
        })
    };
    let row = |op: usize| Event::OpFinished(made::record(&plan, op, &made::around(120.0)));
    let events = [
        Event::Reconfigured(change(0, false)),
        found(0),
        Event::Reconfigured(change(0, true)),
        row(0),
        row(1),
        Event::Reconfigured(change(2, false)),
        found(2),
    ];
    let text = table(&played(&plan, &events), 120);
    let shown: Vec<&str> = text
        .lines()
        .skip_while(|line| !line.starts_with("# circuits"))
        .filter_map(|line| match line {
            _ if line.starts_with("# circuits") => Some(if line.contains("while") {
                "during"
            } else {
                "before"
            }),
            _ if line.starts_with("# neighbours") => Some("neighbours"),
            _ if !line.starts_with('#') => Some("row"),
            _ => None,
        })
        .collect();
    let (first, second) = (
        ["before", "neighbours", "during", "row"],
        ["row", "before", "neighbours"],
    );
    assert_eq!(shown, [&first[..], &second[..]].concat(), "{text}");
    // What could not be counted is not said to be none.
    assert!(
        text.contains("lost: an unknown number of frames at dark ports"),
        "{text}"
    );
    assert!(text.contains("3 TCP segments again"), "{text}");
}

#[test]
fn a_dilated_run_reports_nominal_figures() {
    let mut plan = made::plan();
    let plain = played(&plan, &made::completed(&plan));
    plan.dilation = 100.0;
    let dilated = played(&plan, &made::completed(&plan));
    for (plain, dilated) in plain.rows.iter().zip(&dilated.rows) {
        let (plain, dilated) = (plain.time.unwrap().p50, dilated.time.unwrap().p50);
        // Ranks differ by real nanoseconds in the fixture, so the times differ by rounding.
        assert!((plain - dilated).abs() < 0.01, "{plain} {dilated}");
    }
    insta::assert_snapshot!("dilated-120", table(&dilated, 120));
}

#[test]
fn a_verified_run_with_wrong_elements() {
    let mut plan = made::plan();
    plan.testbed.verify = true;
    let mut events = made::completed(&plan);
    for event in &mut events {
        if let Event::OpFinished(record) = event
            && record.op == 1
        {
            record.wrong = vec![0, 3, 0, 0];
        }
    }
    let run = played(&plan, &events);
    assert_eq!(run.wrong(), Some(3));
    insta::assert_snapshot!("verified-120", table(&run, 120));
}

#[test]
fn a_partial_run_on_a_small_busy_machine() {
    let plan = made::plan();
    let mut run = made::run(plan.clone());
    run.manifest.environment.usable_cores = 2;
    run.manifest.environment.load[0] = 1.9;
    let loss = RankLoss {
        rank: 2,
        host: "h2".into(),
        what: "killed by signal 9".into(),
        operation: "all-reduce ring 64 MiB, iteration 3 of 10".into(),
        waiting: vec![(3, 2), (0, 3)],
        at_s: 4.25,
    };
    let mut first = made::record(&plan, 0, &made::around(120.0));
    first.end_ns[0][9] += 400_000;
    let mut second = made::record(&plan, 1, &[846_000.0, 847_000.0]);
    second.cpu_s = vec![0.85; 4];
    let events = [
        made::started(),
        made::calibrated(0.95e9, 700.0),
        Event::OpFinished(first),
        Event::Caution {
            text: "congestion control bbr is not available; cubic is used".into(),
        },
        Event::RankLost(loss),
        Event::OpFinished(second),
        made::rank_finished(0),
        made::finished(Status::Partial, Some("rank 2 (h2) was killed by signal 9"), 4),
    ];
    events.iter().for_each(|event| run.apply(event));
    assert_eq!(
        run.rows[1].link_overhead, None,
        "it is not known how much an incomplete operation sent"
    );
    insta::assert_snapshot!("partial-100", table(&run, 100));
    insta::assert_snapshot!("partial-json", json::text(&run, None));
}

#[test]
fn a_run_on_the_hosts_own_interfaces_has_no_limit() {
    let mut plan = made::plan();
    plan.testbed.fabric = FabricKind::Host;
    plan.network.links.clear();
    plan.network.nodes.truncate(1);
    plan.ranks.iter_mut().for_each(|place| place.host = 0);
    for op in &mut plan.ops {
        op.link_bytes.clear();
        op.expected.seconds = None;
    }
    let mut events = made::completed(&plan);
    events.retain(|event| !matches!(event, Event::Calibrated(_)));
    let run = played(&plan, &events);
    assert!(
        run.rows
            .iter()
            .all(|row| row.link_share.is_none() && row.link_overhead.is_none())
    );
    insta::assert_snapshot!("host-120", table(&run, 120));
}

#[test]
fn live_output_and_show_are_the_same() {
    let plan = made::plan();
    let results = tempfile::tempdir().unwrap();
    let mut recorder = Recorder::start(results.path(), made::run(plan.clone()));
    let (mut rows, mut object) = (Vec::new(), Vec::new());
    let mut live = Live::new(
        &mut rows,
        recorder.run(),
        Output::Table(Style::PLAIN),
        Said::Nothing,
    );
    let mut programs = Live::new(&mut object, recorder.run(), Output::Json, Said::Nothing);
    for event in made::completed(&plan) {
        recorder.record(&event);
        live.event(&recorder, &event);
        programs.event(&recorder, &event);
    }
    drop((live, programs));
    assert_eq!(recorder.loss(), None);
    let (_, stored) = Store::new(results.path()).open("k3").unwrap();
    let mut shown = Vec::new();
    terminal::show(&mut shown, &stored, recorder.stored(), Style::PLAIN).unwrap();
    assert_eq!(String::from_utf8(rows), String::from_utf8(shown));
    assert_eq!(
        String::from_utf8(object).unwrap(),
        json::text(&stored, recorder.stored())
    );
}

#[test]
fn a_stored_run_has_a_timeline_of_every_iteration() {
    let folder = tempfile::tempdir().expect("a folder");
    let plan = made::plan();
    let mut recorder = Recorder::start(folder.path(), made::run(plan.clone()));
    for event in made::completed(&plan) {
        recorder.record(&event);
    }
    let file = folder.path().join("t.json");
    let show = || {
        std::process::Command::new(env!("CARGO_BIN_EXE_genie"))
            .arg("show")
            .arg(recorder.path())
            .arg("--timeline")
            .arg(&file)
            .output()
            .expect("genie runs")
    };
    let output = show();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let text = std::fs::read_to_string(&file).expect("it is written");
    let json: serde_json::Value = serde_json::from_str(&text).expect("it is JSON");
    let events = json["traceEvents"].as_array().expect("events");
    let iterations = events.iter().filter(|event| event["cat"] == "iteration");
    let lines = std::fs::read_to_string(recorder.path().join("iterations.csv")).expect("iterations");
    assert_eq!(
        iterations.count(),
        lines.lines().count() - 1,
        "one for each line but the header"
    );
    let counters: std::collections::BTreeSet<&str> = events
        .iter()
        .filter(|event| event["ph"] == "C")
        .filter_map(|event| event["name"].as_str())
        .collect();
    assert_eq!(
        counters.len(),
        2 * plan.network.links.len(),
        "one for each direction: {counters:?}"
    );
    let ends = |phase: &str| {
        let of_phase = events.iter().filter(|event| event["ph"] == phase);
        of_phase.map(|event| event["id"].as_u64()).collect::<Vec<_>>()
    };
    assert_eq!(ends("s"), ends("f"), "an arrow that leaves arrives");
    let operations = events.iter().filter(|event| event["cat"] == "operation");
    assert_eq!(operations.count(), 2 * plan.ops.len(), "a begin and an end each");
    std::fs::remove_file(&file).expect("it is there");
    std::fs::create_dir(&file).expect("its place is free");
    assert_eq!(show().status.code(), Some(2), "a folder cannot be written");
}

/// Two channels; the second message of a pair waits while the first is under way.
fn messages() -> Event {
    let seen = |sent, peer, channel, tag, posted_ns, done_ns| MessageSeen {
        iteration: 0,
        sent,
        peer,
        channel,
        communicator: 0,
        tag,
        bytes: 1 << 20,
        posted_ns,
        done_ns,
    };
    let sender = vec![
        seen(true, 1, 0, 1, 1_000, Some(5_000)),
        seen(true, 1, 0, 2, 2_000, Some(9_000)),
        seen(true, 2, 1, 1, 2_500, Some(2_500)),
    ];
    let receiver = vec![
        seen(false, 0, 0, 1, 500, Some(8_000)),
        seen(false, 0, 0, 2, 8_000, Some(12_000)),
    ];
    let mut ranks = vec![RankMessages::default(); 4];
    ranks[0].seen = sender;
    ranks[0].left_out = 7;
    ranks[1].seen = receiver;
    ranks[2].seen = vec![seen(false, 0, 1, 1, 3_000, None)];
    Event::MessagesSeen { op: 0, ranks }
}

#[test]
fn messages_have_a_track_for_each_rank_and_channel_and_arrows_from_send_to_receive() {
    let folder = tempfile::tempdir().expect("a folder");
    let plan = made::plan();
    let mut recorder = Recorder::start(folder.path(), made::run(plan.clone()));
    let finished = made::finished(Status::Completed, None, 0);
    for event in [made::started(), messages(), finished] {
        recorder.record(&event);
    }
    let table = std::fs::read_to_string(recorder.path().join("messages.csv")).expect("messages");
    let lines: Vec<&str> = table.lines().collect();
    assert_eq!(
        lines[1..],
        [
            "0,0,0,1,0,0,1,1048576,1000,5000,500,8000",
            "0,0,0,1,0,0,2,1048576,2000,9000,8000,12000",
            "0,0,0,2,1,0,1,1048576,2500,2500,3000,",
        ]
    );
    let file = folder.path().join("t.json");
    let shown = std::process::Command::new(env!("CARGO_BIN_EXE_genie"))
        .args(["export", "--format", "perfetto", "-o"])
        .arg(&file)
        .arg(recorder.path())
        .output()
        .expect("genie runs");
    assert!(
        shown.status.success(),
        "{}",
        String::from_utf8_lossy(&shown.stderr)
    );
    let text = std::fs::read_to_string(&file).expect("it is written");
    let json: serde_json::Value = serde_json::from_str(&text).expect("it is JSON");
    assert_eq!(json["otherData"]["messages_left_out"], 7);
    let events = chrome_trace::strict(&text);
    let tracks: Vec<(u64, &str)> = events
        .iter()
        .filter(|event| event["name"] == "thread_name")
        .filter_map(|event| Some((event["pid"].as_u64()?, event["args"]["name"].as_str()?)))
        .filter(|(_, name)| name.starts_with("channel"))
        .collect();
    assert_eq!(
        tracks,
        [
            (2, "channel 0 receives"),
            (1, "channel 0 sends"),
            (1, "channel 0 sends (2)"),
            (1, "channel 1 sends"),
            (3, "channel 1 receives"),
        ]
    );
    let arrows = events
        .iter()
        .filter(|event| event["name"] == "message" && event["ph"] == "s");
    assert_eq!(
        arrows.count(),
        2,
        "the third had not arrived when the operation ended"
    );
    let under_way: Vec<u64> = events
        .iter()
        .filter(|event| event["name"] == "bytes under way")
        .filter_map(|event| event["args"]["value"].as_u64())
        .collect();
    assert_eq!(under_way, [1 << 20, 2 << 20, 1 << 20, 0]);
}
