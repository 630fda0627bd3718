//! Placement as people use it: what a scenario would replay, what it prints, and traces that are none.

#![allow(clippy::unwrap_used)] // clippy takes helpers of integration tests for code

use std::process::{Command, Output};

use serde_json::Value;

const RFOLD: &str = "scenarios/rfold-4096.toml";

fn genie(words: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_genie"));
    command.current_dir(env!("CARGO_MANIFEST_DIR")).args(words);
    command.output().unwrap()
}

fn json(words: &[&str]) -> Value {
    let done = genie(words);
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    serde_json::from_slice(&done.stdout).unwrap()
}

#[test]
fn a_row_for_each_policy_has_the_promised_fields() {
    let small = [
        "--set",
        "placement.seeds=2",
        "--set",
        "placement.jobs=30",
        "--set",
        "placement.loads=[20]",
    ];
    let report = json(&[&["run", RFOLD, "--json"][..], &small].concat());
    let rows = report["policies"].as_array().unwrap();
    assert_eq!(rows.len(), 11);
    for row in rows {
        assert!(row["policy"].is_string() && row["cube"].is_u64(), "{row}");
        assert_eq!((&row["jobs"], &row["seeds"]), (&60.into(), &2.into()), "{row}");
        for field in ["completion_rate", "utilisation_time", "utilisation_event"] {
            assert!(
                (0.0..=1.0).contains(&row[field].as_f64().unwrap()),
                "{field} of {row}"
            );
        }
        for share in ["p50", "p90", "p99"] {
            assert!(row["jct_h"][share].as_f64().unwrap() > 0.0, "{row}");
        }
        for reason in ["resource", "shape", "wiring"] {
            assert!(row["waiting_h"][reason].as_f64().unwrap() >= 0.0, "{row}");
        }
        assert!(row["cross_connects_changed"].is_u64(), "{row}");
        assert!(row["verified"].as_u64().unwrap() > 0, "{row}");
    }
    assert_eq!(report["fault"], Value::Null);
}

#[test]
fn a_plan_says_what_would_be_replayed() {
    let plan = json(&["plan", RFOLD, "--json"]);
    let outlook = &plan["outlook"];
    // 11 policies and 2 rules of the public simulator, under 2 loads, with 20 seeds.
    assert_eq!(outlook["replays"], 13 * 2 * 20);
    assert_eq!(outlook["jobs"], 400 * 20);
    let wiring = outlook["wiring"].as_array().unwrap();
    let of_four = wiring.iter().find(|row| row["cube"] == 4).unwrap();
    assert_eq!(
        (&of_four["switches"], &of_four["ports"]),
        (&48.into(), &128.into())
    );
    // A load is a factor: pressed together 20 times, jobs ask for 20 times as much.
    let offered = |n: usize| outlook["offered"][n][1].as_f64().unwrap();
    assert!((offered(1) / offered(0) - 20.0).abs() < 1e-6, "{outlook}");
    let text = String::from_utf8(genie(&["plan", RFOLD]).stdout).unwrap();
    assert!(
        text.contains("520 replays") && text.contains("a what-if"),
        "{text}"
    );
}

#[test]
fn a_trace_that_is_none_is_named_with_its_line() {
    let folder = tempfile::tempdir().unwrap();
    let hostile: [(&str, &[u8], &str); 9] = [
        ("rfold", b"0,0,T3D_NT,0x1x1,1,5\n", "line 1"),
        ("rfold", b"0,0,T3D_NT,4x4x4\n", "line 1: the line ends before"),
        ("rfold", b"0,1e99,T3D_NT,4x4x4,64,5\n", "out of range"),
        ("helios", b"a,b\n1,2\n", "no column `gpu_num`"),
        ("acme", b"\xff\xfe\n", "not UTF-8"),
        (
            "alibaba-2020",
            b"j,t,1,Terminated,x,2,3,4,100,V100\n",
            "`start_time` is not a number",
        ),
        ("alibaba-2023", b"", "no job in it"),
        ("philly", b"[{\"attempts\": 3}]", "not a Philly job log"),
        ("philly", b"[[[[[[", "not a Philly job log"),
    ];
    for (format, bytes, words) in hostile {
        let file = folder.path().join("trace");
        std::fs::write(&file, bytes).unwrap();
        let set = format!(
            "placement.trace={{file=\"{}\",format=\"{format}\"}}",
            file.display()
        );
        for command in ["run", "plan"] {
            let done = genie(&[command, RFOLD, "--set", &set]);
            let error = String::from_utf8_lossy(&done.stderr);
            assert_eq!(done.status.code(), Some(2), "{format}: {error}");
            assert!(error.contains(words), "{format}: {error}");
        }
    }
    let missing = genie(&[
        "run",
        RFOLD,
        "--set",
        "placement.trace={file=\"/nowhere\",format=\"rfold\"}",
    ]);
    assert_eq!(missing.status.code(), Some(2));
}
