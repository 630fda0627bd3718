//! `[rdma]`: ranges, what excludes what, and the resolved options.

use std::ops::RangeInclusive;

use crate::network::rdma::device;
use crate::scenario::plan::rdma::{RdmaOptions, RdmaVerb, Service};
use crate::scenario::plan::{FabricKind, Network, Testbed, TransportKind};
use crate::scenario::section::Scenario;
use crate::scenario::section::rdma::Rdma;
use crate::scenario::units::Bytes;

use super::findings::Findings;

/// Ranges of the plain numbers: name, value, what is possible.
fn ranges(rdma: &Rdma) -> Vec<(&'static str, u32, RangeInclusive<u32>)> {
    vec![
        ("port", rdma.port, 1..=255),
        ("gid_index", rdma.gid_index.unwrap_or(0), 0..=255),
        ("channels", rdma.channels, 1..=64),
        ("queue_pairs", rdma.queue_pairs, 1..=64),
        ("slots", rdma.slots, 1..=256),
        ("credits", rdma.credits, 4..=255),
        ("inline", rdma.inline.unwrap_or(64), 64..=512),
        ("depth", rdma.depth, 8..=16384),
        ("signal_every", rdma.signal_every, 1..=(rdma.depth / 2).max(1)),
        ("post_list", rdma.post_list, 1..=64),
        ("service_level", rdma.service_level, 0..=15),
        ("dscp", rdma.dscp, 0..=63),
        ("hop_limit", rdma.hop_limit, 1..=255),
        ("pkey_index", rdma.pkey_index, 0..=65535),
        ("timeout", rdma.timeout, 0..=31),
        ("retry_count", rdma.retry_count, 0..=7),
        ("rnr_retry", rdma.rnr_retry, 0..=7),
        ("min_rnr_timer", rdma.min_rnr_timer, 0..=31),
    ]
}

impl Default for RdmaOptions {
    fn default() -> Self {
        resolve(&Rdma::default())
    }
}

/// Checks the section.
pub fn check(scenario: &Scenario, findings: &mut Findings<'_>) {
    let rdma = &scenario.rdma;
    if scenario.testbed.transport == TransportKind::Tcp && (!rdma.is_default() || findings.written("rdma")) {
        let help = "`[rdma]` needs transport = \"rdma\" or \"roce-user\" in `[testbed]`";
        findings.unwanted("rdma", "`[rdma]` is not used by transport `tcp`", help);
    }
    if scenario.testbed.transport == TransportKind::Rdma {
        check_possible(scenario, findings);
    } else if rdma.huge_pages {
        let help = "memory of `roce-user` is ordinary memory; `huge_pages` is for transport = \"rdma\"";
        findings.unwanted(
            "rdma.huge_pages",
            "`huge_pages` is not used by this transport",
            help,
        );
    }
    for (name, value, range) in ranges(rdma) {
        if !range.contains(&value) {
            let (least, most) = range.into_inner();
            findings.wrong(
                &format!("rdma.{name}"),
                format!("a {name} of {value}; {least} to {most} are possible"),
            );
        }
    }
    for (name, value, least, most) in [
        ("slot", rdma.slot, Bytes(4 << 10), Bytes(64 << 20)),
        ("small", rdma.small, Bytes(0), Bytes(64 << 10)),
    ] {
        if !(least..=most).contains(&value) {
            findings.wrong(
                &format!("rdma.{name}"),
                format!("a {name} of {value}; {least} to {most} are possible"),
            );
        }
    }
    if let Some(mtu) = rdma.mtu.filter(|mtu| ![256, 512, 1024, 2048, 4096].contains(mtu)) {
        let wrong = findings.wrong("rdma.mtu", format!("a path MTU of {mtu}"));
        wrong
            .help
            .push("256, 512, 1024, 2048 or 4096: bytes of payload in a packet".into());
    }
    for (number, label) in rdma.flow_labels.iter().enumerate() {
        if *label >= 1 << 20 {
            findings.wrong(
                &format!("rdma.flow_labels[{number}]"),
                format!("a flow label of {label}; it has 20 bits, 0 to 1048575"),
            );
        }
    }
    check_together(rdma, findings);
}

/// Whether this build, and the fabric, can carry verbs at all.
fn check_possible(scenario: &Scenario, findings: &mut Findings<'_>) {
    if !device::BUILT_IN {
        let wrong = findings.wrong("testbed.transport", "this build has no transport `rdma`");
        wrong.help.push(device::HOW_TO_BUILD.into());
    }
    if scenario.testbed.fabric == FabricKind::Emulated {
        let wrong = findings.wrong("testbed.fabric", "emulated links have no RDMA devices");
        let help = "fabric = \"soft-roce\" makes one for each rank; fabric = \"host\" uses the machine's own";
        wrong.help.push(help.into());
    }
}

fn check_together(rdma: &Rdma, findings: &mut Findings<'_>) {
    if rdma.verb == RdmaVerb::Read && rdma.service != Service::Rc {
        let wrong = findings.wrong("rdma.verb", "only reliable connections can read");
        wrong.help.push("service = \"rc\", or another verb".into());
    }
    if rdma.pacing.is_some_and(|pacing| pacing.0 < 1000) {
        let wrong = findings.wrong("rdma.pacing", "pacing below 1 kbit/s");
        wrong
            .help
            .push("leave `pacing` away for connections that are not paced".into());
    }
    if rdma.timeout == 0 {
        findings.caution(
            "rdma.timeout = 0: a lost packet is never sent again; the run then ends at its deadline".into(),
        );
    }
    if rdma.service == Service::Uc {
        findings.caution(
            "rdma.service = \"uc\": what the network loses stays lost; the run then ends at its deadline"
                .into(),
        );
    }
}

/// Slots where soft-RoCE's packets get lost, unless the scenario says otherwise.
const LOSSY_SLOT: Bytes = Bytes(16 << 10);

/// Makes slots short where soft-RoCE crosses links that lose: its device counts every packet that was lost against
/// `retry_count` until a whole message has been acknowledged (rxe_comp.c, `AETH_NAK_PSN_SEQ_ERROR`), so long ones fail.
pub fn shorten_slots(testbed: &mut Testbed, network: &Network) {
    let soft = testbed.fabric == FabricKind::SoftRoce && testbed.transport == TransportKind::Rdma;
    if soft && network.links.iter().any(|link| !link.loss.is_zero()) {
        testbed.rdma.slot_bytes = LOSSY_SLOT;
    }
}

/// The checked options.
pub fn resolve(rdma: &Rdma) -> RdmaOptions {
    // In range, as checked; out of range nothing is played.
    let byte = |value: u32| u8::try_from(value).unwrap_or(u8::MAX);
    let short = |value: u32| u16::try_from(value).unwrap_or(u16::MAX);
    RdmaOptions {
        device: rdma.device.clone(),
        port: byte(rdma.port),
        gid_index: rdma.gid_index.map(short),
        service: rdma.service,
        verb: rdma.verb,
        channels: rdma.channels,
        queue_pairs: rdma.queue_pairs,
        split: rdma.split,
        slot_bytes: rdma.slot,
        slots: rdma.slots,
        small: rdma.small,
        credits: rdma.credits,
        inline: rdma.inline,
        depth: rdma.depth,
        signal_every: rdma.signal_every,
        post_list: rdma.post_list,
        huge_pages: rdma.huge_pages,
        pacing: rdma.pacing,
        mtu: rdma.mtu,
        service_level: byte(rdma.service_level),
        traffic_class: (byte(rdma.dscp) << 2) | rdma.ecn.bits(),
        flow_labels: rdma.flow_labels.clone(),
        hop_limit: byte(rdma.hop_limit),
        pkey_index: short(rdma.pkey_index),
        timeout: byte(rdma.timeout),
        retry_count: byte(rdma.retry_count),
        rnr_retry: byte(rdma.rnr_retry),
        min_rnr_timer: byte(rdma.min_rnr_timer),
    }
}
