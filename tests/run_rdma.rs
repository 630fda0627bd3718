//! Verbs over soft-RoCE, in the guest where this kernel has none: real data over lossy links, links that carry
//! nothing any more, and what `rdma` says from outside.

#![allow(clippy::print_stderr)] // a skip says why

mod run_support;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use genie::network::rdma::device;
use run_support::genie::BINARY;
use run_support::guest::{PATIENCE, is_qemu, machines, no_guest};
use run_support::{Genie, Value, eventually, table};

/// Whether there is nothing to play verbs with.
fn no_verbs() -> bool {
    if !device::BUILT_IN {
        eprintln!("skipped: this build has no transport `rdma`");
    }
    !device::BUILT_IN || no_guest()
}

/// Three ranks, real data; `more` are further keys of the star.
fn scenario(folder: &Path, more: &str) -> PathBuf {
    let file = folder.join("verbs.toml");
    let text = format!(
        r#"
name = "verbs"
[testbed]
fabric = "soft-roce"
transport = "rdma"
verify = true
deadline = "30 s"
[rdma]
queue_pairs = 2
split = "split"
[topology.star]
hosts = 3
rate = "1 Gbit/s"
{more}
[[traffic.collective]]
op = "all-reduce"
sizes = ["1 KiB", "512 KiB"]
iterations = 3
warmup = 0
[[traffic.collective]]
op = "all-to-all"
sizes = ["96 KiB"]
iterations = 2
warmup = 0
"#
    );
    fs::write(&file, text).expect("writable");
    file
}

/// The only run of a folder.
fn only_run(results: &Path) -> PathBuf {
    let mut runs = fs::read_dir(results).expect("results").flatten();
    let run = runs.find(|entry| entry.path().join("manifest.json").exists());
    run.expect("one run").path()
}

/// Its manifest.
fn manifest(results: &Path) -> Value {
    let text = fs::read_to_string(only_run(results).join("manifest.json"));
    serde_json::from_str(&text.expect("a manifest")).expect("JSON")
}

#[test]
fn real_data_crosses_lossy_links_by_verbs_and_what_is_sent_again_is_counted() {
    if no_verbs() {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let results = folder.path().join("results");
    let file = scenario(folder.path(), "loss = \"1 %\"");
    let run = Genie::new().arg("run").arg(file).arg("--json").results(&results);
    let report = run.deadline(PATIENCE).end().expect(0).json();
    assert_eq!(report["status"], "completed");
    let run = only_run(&results);
    // Some 3,000 packets with their acknowledges, each over two lossy links.
    let ranks = table(&run, "ranks.csv");
    let again = |rank: &BTreeMap<String, String>| rank["retransmits"].parse::<u64>().expect("a count");
    assert!(ranks.iter().map(again).sum::<u64>() > 0, "{ranks:?}");
    let mut links = table(&run, "links.csv");
    links.retain(|row| row["op"].is_empty());
    assert_eq!(links.len(), 6, "three links, two directions");
    for link in &links {
        let bytes: u64 = link["counted_bytes"].parse().expect("a number");
        // A ring of three sends 2/3 of 512 KiB twice in each of 3 iterations.
        assert!(bytes > 2 << 20, "{link:?}");
    }
}

/// Ways of moving data, each as changes of the scenario.
const WAYS: [&str; 5] = [
    "rdma.service=uc",
    "rdma.service=uc rdma.verb=send rdma.split=round-robin",
    "rdma.verb=write rdma.pacing=200Mbit/s",
    "rdma.verb=read rdma.channels=2 rdma.split=hash testbed.wait=block",
    "rdma.verb=send rdma.small=0B rdma.slots=1 rdma.slot=8192B testbed.wait=spin",
];

/// Plays the scenario once for each line of its input.
const EACH: &str = r#"
genie=$1 file=$2 results=$3
shift 3
for way; do
    sets=
    for set in $way; do sets="$sets --set $set"; done
    "$genie" run "$file" --results "$results" --json $sets >/dev/null || echo "failed: $way"
    echo "played: $way"
done
"#;

#[test]
fn every_service_and_verb_carries_real_data() {
    if no_verbs() {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let results = folder.path().join("results");
    let file = scenario(folder.path(), "");
    let run = Genie::new().args(["vm", "run", "--", "/bin/sh", "-c", EACH, "each", BINARY]);
    let run = run.arg(&file).arg(&results).args(WAYS).with(|command| {
        command.current_dir(folder.path());
    });
    let ended = run.deadline(PATIENCE).end().expect(0);
    for way in WAYS {
        assert!(
            ended.stdout.contains(&format!("played: {way}\n")),
            "{}",
            ended.stdout
        );
    }
    assert!(
        !ended.stdout.contains("failed"),
        "{}{}",
        ended.stdout,
        ended.stderr
    );
}

/// What the script below says: after `== TITLE` lines of that title.
fn sections(text: &str) -> BTreeMap<String, String> {
    let mut sections: BTreeMap<String, String> = BTreeMap::new();
    let mut title = String::new();
    for line in text.lines() {
        match line.strip_prefix("== ") {
            Some(new) => title = new.to_owned(),
            None => *sections.entry(title.clone()).or_default() += &format!("{line}\n"),
        }
    }
    sections
}

/// Plays without end in the background; looks at it by `rdma`; then sets a host's link down. Once more, with a
/// link that stays up and carries nothing.
const WITNESS: &str = r#"
genie=$1 file=$2 results=$3
for tool in rdma tc ip; do command -v $tool >/dev/null || { echo "== missing"; echo $tool; exit; }; done
begin() {
    mkdir -p "$results/$1"
    "$genie" run "$file" --results "$results/$1" --json --set rdma.timeout=14 --set testbed.wait=block >/dev/null 2>"$results/$1/err" &
    run=$!
    for try in $(seq 300); do
        [ "$(rdma resource show qp | grep -c 'type RC state RTS')" = 12 ] && break
        sleep 0.1
    done
    link=$(ls /sys/class/net | grep '^g.*0$' | head -n 1)
}
finish() {
    begun=$(date +%s)
    wait $run
    code=$?
    echo "== $1 code"; echo $code
    echo "== $1 seconds"; echo $(($(date +%s) - begun))
    echo "== $1 err"; cat "$results/$1/err"
    echo "== $1 left"; rdma link; ip -o link show type veth; ip netns
}
begin down
echo "== qp"; rdma -j resource show qp
echo "== mr"; rdma -j resource show mr
echo "== before"; rdma -j statistic show
sleep 1
echo "== after"; rdma -j statistic show
ip link set "$link" down
finish down
begin silent
tc qdisc replace dev "$link" root netem loss 100%
finish silent
"#;

#[test]
fn rdma_sees_what_the_run_says_and_a_link_that_fails_ends_it() {
    if no_verbs() {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let results = folder.path().join("results");
    let file = scenario(folder.path(), "");
    let text = fs::read_to_string(&file).expect("just written");
    // Longer than anybody waits.
    fs::write(&file, text.replace("iterations = 3", "iterations = 100000")).expect("writable");
    let run = Genie::new().args(["vm", "run", "--", "/bin/sh", "-c", WITNESS, "witness", BINARY]);
    let run = run.arg(&file).arg(&results).with(|command| {
        command.current_dir(folder.path());
    });
    let running = run.deadline(PATIENCE).start();
    assert!(eventually(Duration::from_secs(60), || !machines(running.pid()).is_empty()));
    let machine = machines(running.pid());
    let said = sections(&running.end().expect(0).stdout);
    assert!(!machine.iter().any(|&pid| is_qemu(pid)), "QEMU outlives the run");
    if let Some(tool) = said.get("missing") {
        eprintln!("skipped: there is no `{}` (package iproute2)", tool.trim());
        return;
    }
    // Retries are exhausted after 7 x 67 ms, or four times that as a device may count.
    for (case, code, words) in [
        ("down", "5", vec!["link"]),
        (
            "silent",
            "3",
            vec![
                "rank ",
                "IBV_WC_RETRY_EXC_ERR",
                "queue pair",
                "no acknowledgement within 0.470 s",
            ],
        ),
    ] {
        let of = |what: &str| said.get(&format!("{case} {what}")).map_or("", |text| text.trim());
        assert_eq!(of("code"), code, "{case}: {}", of("err"));
        for word in words {
            assert!(of("err").contains(word), "{case}: no `{word}` in {}", of("err"));
        }
        let seconds: u64 = of("seconds").parse().expect("a number");
        assert!(seconds < 20, "{case} took {seconds} s");
        assert_eq!(of("left"), "", "{case}: nothing is left");
        assert_eq!(manifest(&results.join(case))["status"], "partial");
    }
    // What the devices counted is kept although nobody came to the end.
    let silent = manifest(&results.join("silent"));
    let gave_up = |device: &Value| device["counters"]["retry_exceeded_err"].as_u64() > Some(0);
    let devices = silent["devices"].as_array().expect("devices");
    assert!(devices.iter().any(gave_up), "{devices:?}");

    let json = |title: &str| -> Vec<Value> { serde_json::from_str(&said[title]).expect("JSON") };
    let manifest = manifest(&results.join("down"));
    let devices = manifest["devices"].as_array().expect("devices");
    assert_eq!(devices.len(), 3);
    let pairs: Vec<Value> = json("qp")
        .into_iter()
        .filter(|pair| pair["type"] == "RC")
        .collect();
    for device in devices {
        let own = |all: &[Value]| -> Vec<Value> {
            let named = all.iter().filter(|one| one["ifname"] == device["name"]);
            named.cloned().collect()
        };
        let own_pairs = own(&pairs);
        assert_eq!(
            Some(own_pairs.len() as u64),
            device["queue_pairs"].as_u64(),
            "{device}"
        );
        assert!(
            own_pairs.iter().all(|pair| pair["state"] == "RTS"),
            "{own_pairs:?}"
        );
        let registered: u64 = own(&json("mr"))
            .iter()
            .filter_map(|mr| mr["mrlen"].as_u64())
            .sum();
        assert_eq!(Some(registered), device["registered_bytes"].as_u64(), "{device}");
    }
    // Traffic went on between the two looks, by every device.
    let sent = |title: &str| -> Vec<u64> {
        let all = json(title);
        all.iter().filter_map(|port| port["sent_pkts"].as_u64()).collect()
    };
    let (before, after) = (sent("before"), sent("after"));
    assert_eq!((before.len(), after.len()), (3, 3));
    assert!(
        before.iter().zip(&after).all(|(before, after)| before < after),
        "{before:?} {after:?}"
    );
}
