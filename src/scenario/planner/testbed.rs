//! Name, time, testbed, host and TCP options: ranges and what excludes what.

use crate::scenario::plan::{FabricKind, TcpOptions, Testbed, TransportKind};
use crate::scenario::section::Scenario;
use crate::scenario::units::{Bytes, Duration};

use super::findings::Findings;

/// Of so many measured iterations messages are recorded unless the scenario says otherwise.
const RECORD_MESSAGES: u32 = 1;

/// Checks everything that needs no topology.
pub fn check(scenario: &Scenario, findings: &mut Findings<'_>) {
    check_name(&scenario.name, findings);
    check_time(scenario, findings);
    check_testbed(scenario, findings);
    check_tcp(scenario, findings);
    super::rdma::check(scenario, findings);
    super::roce::check(scenario, findings);
}

/// The checked options.
pub fn resolve(scenario: &Scenario) -> Testbed {
    let (testbed, tcp) = (&scenario.testbed, &scenario.tcp);
    Testbed {
        fabric: testbed.fabric,
        transport: testbed.transport,
        verify: testbed.verify,
        wait: testbed.wait,
        pin: testbed.pin,
        deadline: testbed.deadline,
        setup_deadline: testbed.setup_deadline,
        calibrate: testbed.calibrate,
        record_messages: testbed.record_messages.unwrap_or(RECORD_MESSAGES),
        tcp: TcpOptions {
            channels: tcp.channels,
            congestion_control: tcp.congestion_control.clone(),
            send_buffer: tcp.send_buffer,
            receive_buffer: tcp.receive_buffer,
            dscp: u8::try_from(tcp.dscp).unwrap_or(0),
            pacing: tcp.pacing,
            slot_bytes: tcp.slot,
            slots: tcp.slots,
        },
        rdma: super::rdma::resolve(&scenario.rdma),
        roce: super::roce::resolve(&scenario.roce_user),
    }
}

fn check_name(name: &str, findings: &mut Findings<'_>) {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    let first = |c: char| c.is_ascii_alphanumeric();
    if name.is_empty() || name.len() > 64 || !name.chars().all(plain) || !name.starts_with(first) {
        let wrong = findings.wrong("name", "not a scenario's name");
        wrong
            .help
            .push("1 to 64 letters, digits, `-`, `_` and `.`, a letter or digit first".into());
    }
}

fn check_time(scenario: &Scenario, findings: &mut Findings<'_>) {
    let dilation = scenario.time.dilation;
    if !(dilation > 0.0 && dilation <= 1e6) {
        let wrong = findings.wrong("time.dilation", format!("a dilation of {dilation}"));
        wrong
            .help
            .push("more than 0, at most 1e6; 1 is real time, 100 is 100 times slower".into());
    } else if dilation != 1.0 && scenario.testbed.fabric == FabricKind::Host {
        let wrong = findings.wrong(
            "time.dilation",
            "time cannot be dilated on the host's own interfaces",
        );
        wrong
            .help
            .push("only emulated links can be slowed: fabric = \"emulated\", or leave dilation away".into());
    }
}

fn check_testbed(scenario: &Scenario, findings: &mut Findings<'_>) {
    let testbed = &scenario.testbed;
    for (path, value) in [
        ("testbed.deadline", testbed.deadline),
        ("testbed.setup_deadline", testbed.setup_deadline),
    ] {
        if !(Duration(100_000_000)..=Duration(86_400_000_000_000)).contains(&value) {
            findings.wrong(
                path,
                format!("a deadline of {value}; 100 ms to 24 hours are possible"),
            );
        }
    }
    let per_host = testbed.ranks_per_host.unwrap_or(1);
    if testbed.transport == TransportKind::RoceUser && testbed.fabric != FabricKind::Host && per_host > 1 {
        let wrong = findings.wrong(
            "testbed.ranks_per_host",
            "RoCE v2 has one UDP port, so each rank of `roce-user` needs a host of its own",
        );
        wrong.help.push("ranks_per_host = 1, and more hosts".into());
    }
    let host = testbed.fabric == FabricKind::Host;
    if let Some(section) = &scenario.host {
        if !host {
            let help = "`[host]` needs fabric = \"host\" in `[testbed]`";
            findings.unwanted("host", "`[host]` is not used by an emulated fabric", help);
        } else if section.addresses.is_empty() {
            let wrong = findings.wrong("host.addresses", "no address");
            wrong
                .help
                .push("leave `addresses` away for loopback, 127.0.0.1".into());
        }
        for (number, address) in section.addresses.iter().enumerate() {
            if address.is_unspecified() || address.is_multicast() {
                findings.wrong(
                    &format!("host.addresses[{number}]"),
                    format!("{address} is not the address of an interface"),
                );
            }
            if section.addresses[..number].contains(address) {
                findings.wrong(
                    &format!("host.addresses[{number}]"),
                    format!("{address} is there twice"),
                );
            }
        }
    }
}

fn check_tcp(scenario: &Scenario, findings: &mut Findings<'_>) {
    let tcp = &scenario.tcp;
    for (path, name, value, most) in [
        ("tcp.channels", "channels", tcp.channels, 64),
        ("tcp.slots", "slots", tcp.slots, 1024),
    ] {
        if !(1..=most).contains(&value) {
            findings.wrong(path, format!("{value} {name}; 1 to {most} are possible"));
        }
    }
    if tcp.dscp > 63 {
        findings.wrong(
            "tcp.dscp",
            format!("a DSCP of {}; it has 6 bits, 0 to 63", tcp.dscp),
        );
    }
    let slot = Bytes(1 << 10)..=Bytes(64 << 20);
    if !slot.contains(&tcp.slot) {
        findings.wrong(
            "tcp.slot",
            format!("a slot of {}; 1 KiB to 64 MiB are possible", tcp.slot),
        );
    }
    let buffer = Bytes(4 << 10)..=Bytes(1 << 30);
    for (path, value) in [
        ("tcp.send_buffer", tcp.send_buffer),
        ("tcp.receive_buffer", tcp.receive_buffer),
    ] {
        if let Some(value) = value.filter(|value| !buffer.contains(value)) {
            findings.wrong(path, format!("a buffer of {value}; 4 KiB to 1 GiB are possible"));
        }
    }
    if tcp.pacing.is_some_and(|pacing| pacing.0 < 1000) {
        let wrong = findings.wrong("tcp.pacing", "pacing below 1 kbit/s");
        wrong
            .help
            .push("leave `pacing` away for connections that are not paced".into());
    }
    let name = &tcp.congestion_control;
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    if name.is_empty() || name.len() > 15 || !name.chars().all(plain) {
        let wrong = findings.wrong("tcp.congestion_control", "not the name of a congestion control");
        wrong
            .help
            .push("the kernel's name for it: `cubic`, `reno`, `bbr`, `dctcp`, ...".into());
    }
}
