//! What can be emulated here, what TCP offers, and whether there is RDMA, real or soft.

use std::path::Path;
use std::{env, fs};

use genie_drivers::rdma::{Device, finding, list};
use genie_emu::capability::Capabilities;
use genie_emu::guest::machine::Accelerator;

use super::{Finding, State};
use crate::results::Environment;

const EMULATION: &str = "emulated network";
const TCP: &str = "TCP";
const RDMA: &str = "RDMA";

pub(super) fn findings(kernel: &Capabilities, machine: &Environment) -> Vec<Finding> {
    let mut findings = emulation(kernel);
    findings.extend(tcp(machine));
    findings.extend(rdma());
    findings
}

fn emulation(kernel: &Capabilities) -> Vec<Finding> {
    let there = |there: bool| {
        if there {
            "works"
        } else {
            "the kernel refuses it, or has no such module"
        }
    };
    let item = |what, good, advice| Finding::wanted(EMULATION, what, good, there(good), advice);
    let shaper = kernel.htb || kernel.tbf;
    vec![
        Finding::needed(
            EMULATION,
            "veth",
            kernel.veth,
            there(kernel.veth),
            "modprobe veth; without it only `fabric = \"host\"` can be played",
        ),
        Finding::needed(
            EMULATION,
            "rates of links",
            shaper,
            match (kernel.htb, kernel.tbf) {
                (true, _) => "htb",
                (false, true) => "tbf",
                (false, false) => "neither htb nor tbf",
            },
            "modprobe sch_htb; without it links can only be `rate = \"unlimited\"`",
        ),
        item(
            "delay and loss",
            kernel.netem,
            "modprobe sch_netem (package linux-modules-extra on Ubuntu); without it links have no delay",
        ),
        item(
            "pacing (fq)",
            kernel.fq,
            "modprobe sch_fq; without it tcp.pacing is left to TCP itself",
        ),
        item(
            "equal-cost paths",
            kernel.multi_path,
            "a kernel with CONFIG_IP_ROUTE_MULTIPATH; without it flows take one path each",
        ),
    ]
}

fn tcp(machine: &Environment) -> Vec<Finding> {
    let setting = |name: &str| machine.tcp.get(name).map_or("", String::as_str);
    let controls = setting("net.ipv4.tcp_available_congestion_control");
    let has = |name: &str| controls.split(' ').any(|control| control == name);
    let buffer = |name: &str| {
        setting(name)
            .split(' ')
            .next_back()
            .and_then(|text| text.parse::<u64>().ok())
    };
    let least = ["net.ipv4.tcp_rmem", "net.ipv4.tcp_wmem"]
        .into_iter()
        .filter_map(buffer)
        .min();
    vec![
        Finding::wanted(
            TCP,
            "congestion control",
            has("bbr") && has("dctcp"),
            format!(
                "{controls}; the system's is {}",
                setting("net.ipv4.tcp_congestion_control")
            ),
            "modprobe tcp_bbr tcp_dctcp, to choose them in scenarios (tcp.congestion_control)",
        ),
        Finding::wanted(
            TCP,
            "buffers",
            least.is_some_and(|bytes| bytes >= 4 << 20),
            format!(
                "rmem {}, wmem {}",
                setting("net.ipv4.tcp_rmem"),
                setting("net.ipv4.tcp_wmem")
            ),
            "for fast links: sysctl -w net.ipv4.tcp_rmem='4096 131072 16777216' and tcp_wmem likewise",
        ),
        Finding::wanted(
            TCP,
            "idle connections",
            setting("net.ipv4.tcp_slow_start_after_idle") != "1",
            format!(
                "slow start after idle: {}",
                setting("net.ipv4.tcp_slow_start_after_idle")
            ),
            "sysctl -w net.ipv4.tcp_slow_start_after_idle=0 if steps are far apart",
        ),
    ]
}

fn rdma() -> Vec<Finding> {
    let soft = has_module("rdma_rxe");
    let emulator = in_path("qemu-system-x86_64");
    let accelerator = Accelerator::best();
    let mut findings = devices(&list());
    findings.extend([
        Finding::needed(
            RDMA,
            "soft-RoCE",
            soft,
            if soft {
                "rdma_rxe is there"
            } else {
                "this kernel has no rdma_rxe"
            },
            "a kernel with rdma_rxe (Debian, Ubuntu: the generic one), or a small virtual machine that has it",
        ),
        Finding::needed(
            RDMA,
            "virtual machine",
            emulator,
            if emulator { "QEMU is there" } else { "no QEMU" },
            "apt-get install qemu-system-x86, to play soft-RoCE where the kernel has none",
        ),
        Finding::wanted(
            RDMA,
            "acceleration",
            accelerator == Accelerator::Kvm,
            format!("guests run by {}", accelerator.name()),
            "without KVM a guest runs many times slower: its times say nothing, its protocol does",
        ),
    ]);
    findings
}

/// Each port, and what is wrong with it.
fn devices(devices: &[Device]) -> Vec<Finding> {
    let wrong = finding::findings(devices).into_iter().map(|wrong| {
        let state = if devices.is_empty() {
            State::Missing
        } else {
            State::Degraded
        };
        let found = format!("{}: {}", wrong.at, wrong.what);
        Finding::fine(RDMA, "devices", found).unless(false, state, wrong.help)
    });
    let ports = devices.iter().flat_map(|device| {
        device.ports.iter().map(|port| {
            let facts = [
                port.rate.as_deref(),
                port.netdev.as_deref(),
                device.firmware.as_deref(),
            ];
            let facts: Vec<&str> = facts.into_iter().flatten().collect();
            let found = format!(
                "{} port {}: {} ({})",
                device.name,
                port.number,
                port.state,
                facts.join(", ")
            );
            Finding::fine(RDMA, "devices", found)
        })
    });
    ports.chain(wrong).collect()
}

/// Whether the running kernel has a module, built in, loaded or to be loaded.
fn has_module(name: &str) -> bool {
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let folder = Path::new("/lib/modules").join(release.trim());
    let listed = |file: &str| {
        let text = fs::read_to_string(folder.join(file)).unwrap_or_default();
        text.lines().any(|line| {
            line.split(':')
                .next()
                .is_some_and(|path| path.contains(&format!("/{name}.ko")))
        })
    };
    Path::new("/sys/module").join(name).exists() || listed("modules.dep") || listed("modules.builtin")
}

fn in_path(program: &str) -> bool {
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path).any(|folder| folder.join(program).is_file())
}
