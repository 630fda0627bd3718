//! Cores, clock, power, memory: what decides whether times can be trusted.

use super::Finding;
use crate::results::Environment;

const AREA: &str = "machine";

pub(super) fn findings(machine: &Environment) -> Vec<Finding> {
    let cores = machine.usable_cores;
    let load = machine.load[0];
    let governor = machine.governor.as_deref();
    let clock = machine.clock_source.as_deref().unwrap_or("unknown");
    let pages = machine.transparent_hugepages.as_deref().unwrap_or("unknown");
    let virtual_machine = machine.virtualisation.as_deref();
    vec![
        Finding::fine(
            AREA,
            "kernel",
            format!(
                "{}, {}",
                machine.kernel,
                machine.os.as_deref().unwrap_or("unknown system")
            ),
        ),
        Finding::wanted(
            AREA,
            "cores",
            cores >= 4,
            format!(
                "{cores} usable of {}, {}",
                machine.cores,
                machine.cpu.as_deref().unwrap_or("unknown CPU")
            ),
            "more ranks than cores wait for each other: play as many ranks as there are cores, or dilate time (time.dilation)",
        ),
        Finding::wanted(
            AREA,
            "load",
            load < 0.25 * f64::from(cores.max(1)),
            format!("load average {load:.2} over the last minute"),
            "let other programs end before measuring: `genie diff` sees them as noise",
        ),
        Finding::wanted(
            AREA,
            "governor",
            governor.is_none_or(|governor| governor == "performance"),
            governor.unwrap_or("the kernel scales no frequency that can be seen here"),
            "cpupower frequency-set -g performance",
        ),
        Finding::wanted(
            AREA,
            "clock source",
            [
                "tsc",
                "kvm-clock",
                "arch_sys_counter",
                "hyperv_clocksource_tsc_page",
            ]
            .contains(&clock),
            clock,
            "reading this clock is slow: boot with clocksource=tsc tsc=reliable if the CPU's counter is constant",
        ),
        Finding::wanted(
            AREA,
            "huge pages",
            pages != "always",
            format!("transparent huge pages: {pages}"),
            "echo madvise > /sys/kernel/mm/transparent_hugepage/enabled (compaction stalls ranks)",
        ),
        Finding::wanted(
            AREA,
            "virtualisation",
            virtual_machine.is_none(),
            virtual_machine.unwrap_or("none that can be seen"),
            "a hypervisor may take the CPU away: rows whose time it took say so (note s)",
        ),
        Finding::wanted(
            AREA,
            "memory",
            machine.memory_bytes >= 2 << 30,
            format!("{} MiB", machine.memory_bytes >> 20),
            "verify = true holds real data of every rank: play fewer ranks or smaller sizes",
        ),
    ]
}
