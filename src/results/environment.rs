//! The machine that a run is made on, as it was at the start: kernel, CPU, memory, load, TCP
//! settings, network cards, the scheduler's job, genie's own version. What cannot be found out is empty;
//! nothing fails. [`hardware`]: the machine in depth. [`secrets`]: what is not told.

mod hardware;
pub mod secrets;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

pub use genie_drivers::nic::Modules;
use genie_drivers::nic::{self, Nic};
use serde::{Deserialize, Serialize};

/// TCP settings that decide how fast and in what rhythm TCP sends (Linux Documentation/networking/ip-sysctl).
const SYSCTLS: &[&str] = &[
    "net/ipv4/tcp_congestion_control",
    "net/ipv4/tcp_available_congestion_control",
    "net/ipv4/tcp_rmem",
    "net/ipv4/tcp_wmem",
    "net/ipv4/tcp_timestamps",
    "net/ipv4/tcp_sack",
    "net/ipv4/tcp_ecn",
    "net/ipv4/tcp_slow_start_after_idle",
    "net/ipv4/tcp_no_metrics_save",
    "net/core/rmem_max",
    "net/core/wmem_max",
    "net/core/default_qdisc",
    "net/core/netdev_max_backlog",
    "net/core/busy_poll",
    "net/core/busy_read",
    "net/core/rps_sock_flow_entries",
    "net/ipv4/tcp_mem",
    "net/ipv4/tcp_window_scaling",
    "net/ipv4/tcp_moderate_rcvbuf",
    "net/ipv4/tcp_autocorking",
    "net/ipv4/tcp_limit_output_bytes",
    "net/ipv4/tcp_mtu_probing",
    "net/ipv4/tcp_ecn_fallback",
    "net/ipv4/tcp_reordering",
    "net/ipv4/tcp_recovery",
    "net/ipv4/tcp_min_tso_segs",
    "net/ipv4/fib_multipath_hash_policy",
    "net/ipv4/ip_local_port_range",
];

/// A machine and the genie on it.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Environment {
    /// Host name.
    pub hostname: String,
    /// Operating system, `PRETTY_NAME` of os-release(5).
    pub os: Option<String>,
    /// Kernel release.
    pub kernel: String,
    /// `x86_64`, `aarch64`, ...
    pub architecture: String,
    /// CPU model.
    pub cpu: Option<String>,
    /// Cores that are online.
    pub cores: u32,
    /// Cores that this process may use (affinity and control-group quota).
    pub usable_cores: u32,
    /// Frequency governor of core 0.
    pub governor: Option<String>,
    /// Memory, bytes.
    pub memory_bytes: u64,
    /// Load averages over 1, 5 and 15 minutes at the start.
    pub load: [f64; 3],
    /// What it seems to run in: `virtual machine (QEMU ...)`, `container (docker)`; `None`: on metal, as far as can be seen.
    pub virtualisation: Option<String>,
    /// TCP sysctls by name (`net.ipv4.tcp_rmem`).
    pub tcp: BTreeMap<String, String>,
    /// Network cards of the machine.
    pub nics: Vec<Nic>,
    /// The kernel's command line, without secrets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kernel_command_line: Option<String>,
    /// NUMA nodes: their CPUs and memory.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub numa: BTreeMap<String, String>,
    /// By what the kernel tells the time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clock_source: Option<String>,
    /// `always`, `madvise`, `never`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub transparent_hugepages: Option<String>,
    /// Switches of power, scheduling and firmware, by name: `smt`, `boost`, `idle_states`, `microcode`, ...
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub switches: BTreeMap<String, String>,
    /// Limits of the process, soft and hard.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub limits: BTreeMap<String, String>,
    /// RDMA devices and what sysfs says of them: firmware, GUID, ports.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub rdma: BTreeMap<String, BTreeMap<String, String>>,
    /// Equipment outside this machine that the run's drivers used, by name, as they found it.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub equipment: BTreeMap<String, BTreeMap<String, String>>,
    /// What the scheduler or the CI calls the job and its place.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub scheduler: BTreeMap<String, String>,
    /// Variables that change how Genie and network libraries behave, without secrets.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub variables: BTreeMap<String, String>,
    /// How genie was called, without secrets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub command: Option<String>,
    /// Version of genie.
    pub genie_version: String,
    /// Commit that genie was built from, when the build knew (`GENIE_GIT_COMMIT`).
    pub genie_commit: Option<String>,
}

impl Environment {
    /// This machine, now; of modules and cables in its network cards what `modules` knows already.
    pub fn capture(modules: &mut Modules) -> Environment {
        let mut environment = Environment::read(Path::new("/"));
        environment.usable_cores =
            std::thread::available_parallelism().map_or(environment.cores, |cores| cores.get() as u32);
        environment.nics = nic::list(modules);
        // Of variables and arguments that are no text nothing is told.
        let variables = || {
            std::env::vars_os()
                .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        };
        environment.scheduler = secrets::scheduler(variables());
        environment.variables = secrets::telling(variables());
        let arguments: Vec<String> = std::env::args_os()
            .filter_map(|word| word.into_string().ok())
            .collect();
        environment.command = Some(secrets::words(arguments.iter().map(String::as_str)));
        environment
    }

    /// What the files below `root` (`/proc`, `/sys`, `/etc`) say.
    fn read(root: &Path) -> Environment {
        let cpuinfo = text(root, "proc/cpuinfo").unwrap_or_default();
        let cores = cores(root, &cpuinfo);
        Environment {
            hostname: text(root, "proc/sys/kernel/hostname").unwrap_or_default(),
            os: text(root, "etc/os-release").and_then(|os| pretty_name(&os)),
            kernel: text(root, "proc/sys/kernel/osrelease").unwrap_or_default(),
            architecture: std::env::consts::ARCH.into(),
            cpu: cpu_model(&cpuinfo),
            cores,
            usable_cores: cores,
            governor: text(root, "sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"),
            memory_bytes: memory_bytes(root),
            load: load(root),
            virtualisation: virtualisation(root, &cpuinfo),
            tcp: SYSCTLS.iter().filter_map(|path| sysctl(root, path)).collect(),
            nics: Vec::new(),
            kernel_command_line: text(root, "proc/cmdline")
                .map(|line| secrets::words(line.split_whitespace())),
            numa: hardware::numa(root),
            clock_source: text(
                root,
                "sys/devices/system/clocksource/clocksource0/current_clocksource",
            ),
            transparent_hugepages: text(root, "sys/kernel/mm/transparent_hugepage/enabled")
                .and_then(|pages| hardware::chosen(&pages)),
            switches: hardware::switches(root, &cpuinfo),
            limits: hardware::limits(root),
            rdma: hardware::rdma(root),
            equipment: BTreeMap::new(),
            scheduler: BTreeMap::new(),
            variables: BTreeMap::new(),
            command: None,
            genie_version: env!("CARGO_PKG_VERSION").into(),
            genie_commit: option_env!("GENIE_GIT_COMMIT")
                .filter(|commit| !commit.is_empty())
                .map(Into::into),
        }
    }
}

fn text(root: &Path, path: &str) -> Option<String> {
    let text = fs::read_to_string(root.join(path)).ok()?;
    Some(text.trim().to_owned()).filter(|text| !text.is_empty())
}

fn pretty_name(os_release: &str) -> Option<String> {
    let line = os_release
        .lines()
        .find_map(|line| line.strip_prefix("PRETTY_NAME="))?;
    Some(line.trim_matches('"').to_owned())
}

/// x86 says `model name`; arm64 has no name there, so the part number must do.
fn cpu_model(cpuinfo: &str) -> Option<String> {
    let value = |key: &str| {
        let line = cpuinfo
            .lines()
            .find(|line| line.split(':').next().is_some_and(|k| k.trim() == key))?;
        Some(line.split_once(':')?.1.trim().to_owned())
    };
    value("model name").or_else(|| {
        Some(format!(
            "implementer {} part {}",
            value("CPU implementer")?,
            value("CPU part")?
        ))
    })
}

/// Online cores: `0-3,8` of /sys, else the processors of /proc/cpuinfo.
fn cores(root: &Path, cpuinfo: &str) -> u32 {
    let online = text(root, "sys/devices/system/cpu/online").and_then(|list| count(&list));
    online.unwrap_or_else(|| {
        cpuinfo
            .lines()
            .filter(|line| line.starts_with("processor"))
            .count() as u32
    })
}

fn count(list: &str) -> Option<u32> {
    list.split(',').try_fold(0, |sum, range| {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        let (first, last): (u32, u32) = (first.parse().ok()?, last.parse().ok()?);
        Some(sum + last.checked_sub(first)? + 1)
    })
}

fn memory_bytes(root: &Path) -> u64 {
    let meminfo = text(root, "proc/meminfo").unwrap_or_default();
    let total = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"));
    let kib = total.and_then(|rest| rest.split_whitespace().next()?.parse::<u64>().ok());
    kib.unwrap_or(0) * 1024
}

fn load(root: &Path) -> [f64; 3] {
    let line = text(root, "proc/loadavg").unwrap_or_default();
    let mut values = line.split_whitespace().map(|value| value.parse().unwrap_or(0.0));
    std::array::from_fn(|_| values.next().unwrap_or(0.0))
}

fn sysctl(root: &Path, path: &str) -> Option<(String, String)> {
    let value = text(root, &format!("proc/sys/{path}"))?;
    let words: Vec<&str> = value.split_whitespace().collect();
    Some((path.replace('/', "."), words.join(" ")))
}

/// Containers are marked by files of their makers, virtual machines by the CPU's `hypervisor` flag.
fn virtualisation(root: &Path, cpuinfo: &str) -> Option<String> {
    let machine = || {
        let vendor = text(root, "sys/class/dmi/id/sys_vendor").unwrap_or_default();
        let product = text(root, "sys/class/dmi/id/product_name").unwrap_or_default();
        format!("{vendor} {product}").trim().to_owned()
    };
    let flag = cpuinfo
        .lines()
        .filter(|line| line.starts_with("flags"))
        .any(|line| line.contains(" hypervisor"));
    let container = match () {
        () if root.join(".dockerenv").exists() => Some("docker".to_owned()),
        () if root.join("run/.containerenv").exists() => Some("podman".to_owned()),
        () => text(root, "run/systemd/container"),
    };
    let said = match (flag, machine()) {
        (false, _) => None,
        (true, machine) if machine.is_empty() => Some("virtual machine".to_owned()),
        (true, machine) => Some(format!("virtual machine ({machine})")),
    };
    let container = container.map(|kind| format!("container ({kind})"));
    [container, said]
        .into_iter()
        .flatten()
        .reduce(|a, b| format!("{a} in {b}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_machine_has_a_kernel_a_name_and_cores() {
        let environment = Environment::capture(&mut Modules::default());
        assert!(environment.cores >= 1 && environment.usable_cores >= 1);
        assert!(environment.kernel.starts_with(|c: char| c.is_ascii_digit()));
        assert!(environment.memory_bytes > 1 << 20);
        assert!(
            environment.tcp.contains_key("net.ipv4.tcp_congestion_control"),
            "{:?}",
            environment.tcp
        );
    }

    #[test]
    fn an_empty_machine_says_nothing_and_nothing_fails() {
        let environment = Environment::read(Path::new("/nonexistent"));
        assert_eq!((environment.cores, environment.memory_bytes), (0, 0));
        assert_eq!(environment.virtualisation, None);
    }

    #[test]
    fn a_docker_container_on_a_virtual_machine() {
        let root = tempfile::tempdir().unwrap();
        let write = |path: &str, text: &str| {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        write(".dockerenv", "");
        write(
            "proc/cpuinfo",
            "processor\t: 0\nmodel name\t: Xeon\nflags\t\t: fpu hypervisor\n",
        );
        write("sys/devices/system/cpu/online", "0-3,8\n");
        write("sys/class/dmi/id/sys_vendor", "QEMU\n");
        write("proc/loadavg", "1.50 0.5 0.25 1/2 3\n");
        write("proc/sys/net/ipv4/tcp_rmem", "4096\t131072\t6291456\n");
        let environment = Environment::read(root.path());
        assert_eq!(
            environment.virtualisation.as_deref(),
            Some("container (docker) in virtual machine (QEMU)")
        );
        assert_eq!(environment.cores, 5);
        assert_eq!(environment.cpu.as_deref(), Some("Xeon"));
        assert_eq!(environment.load, [1.5, 0.5, 0.25]);
        assert_eq!(environment.tcp["net.ipv4.tcp_rmem"], "4096 131072 6291456");
    }
}
