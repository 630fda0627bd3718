//! A `[placement]` section, checked, to the study that is replayed.

use super::findings::Findings;
use crate::placement::fixed::MAX_ROW;
use crate::placement::machine::{Failures, Machine};
use crate::placement::replay::Rules;
use crate::placement::study::{Entry, Source, Study};
use crate::placement::trace::generate::Arrivals;
use crate::scenario::diagnostic::{Diagnostic, Diagnostics};
use crate::scenario::load::Loaded;
use crate::scenario::section::placement::Placement;

/// Most seeds, jobs of a seed, and nodes of a torus.
const MOST: (u32, u32, u64) = (10_000, 1_000_000, 1 << 17);

/// The study of a scenario that has a `[placement]`; its jobs are generated ones until a trace is put in.
pub fn study(loaded: &Loaded) -> Result<Option<Study>, Diagnostics> {
    let Some(section) = &loaded.scenario.placement else {
        return Ok(None);
    };
    let mut findings = Findings::new(loaded);
    check(loaded, section, &mut findings);
    let failures = Failures {
        nodes: section.failed_nodes.clone(),
        ports: section
            .failed_ports
            .iter()
            .map(|[switch, port]| (*switch, *port))
            .collect(),
        switches: section.failed_switches.clone(),
    };
    if findings.wrong.is_empty() {
        for (number, policy) in section.policy.iter().enumerate() {
            if let Err(error) = Machine::new(section.torus, policy.cube, &failures) {
                findings.wrong(&format!("placement.policy[{number}].cube"), error.to_string());
            }
        }
    }
    if !findings.wrong.is_empty() {
        return Err(Diagnostics::new(loaded.sources.clone(), findings.wrong));
    }
    Ok(Some(resolved(section, failures)))
}

fn check(loaded: &Loaded, section: &Placement, findings: &mut Findings<'_>) {
    if !loaded.scenario.traffic.collective.is_empty() {
        findings.wrong(
            "placement",
            "a scenario has either `traffic` or `placement`, not both",
        );
    }
    for key in [
        "testbed",
        "time",
        "topology",
        "host",
        "tcp",
        "rdma",
        "roce-user",
        "communicator",
    ] {
        if findings.written(key) {
            findings.unwanted(
                key,
                format!("`{key}` means nothing to a placement"),
                "leave it out",
            );
        }
    }
    let nodes: u64 = section
        .torus
        .iter()
        .map(|d| u64::from(*d))
        .fold(1, u64::saturating_mul);
    if nodes == 0 || nodes > MOST.2 || section.torus.iter().any(|d| *d > MAX_ROW) {
        let message = format!(
            "a torus has from 1 to {} nodes, at most {MAX_ROW} along an axis",
            MOST.2
        );
        findings.wrong("placement.torus", message);
    }
    let mut within = |path: &str, value: u32, most: u32| {
        if value == 0 || value > most {
            findings.wrong(path, format!("{value} is out of range: from 1 to {most}"));
        }
    };
    within("placement.seeds", section.seeds, MOST.0);
    within("placement.jobs", section.jobs, MOST.1);
    within("placement.loads", section.loads.len() as u32, 16);
    within("placement.policy", section.policy.len() as u32, 64);
    let mut positive = |path: &str, value: f64, most: f64| {
        if !(value > 0.0 && value <= most) {
            findings.wrong(
                path,
                format!("{value} is out of range: more than 0, at most {most}"),
            );
        }
    };
    positive("placement.arrivals_per_hour", section.arrivals_per_hour, 1e6);
    for (number, load) in section.loads.iter().enumerate() {
        positive(&format!("placement.loads[{number}]"), *load, 1e6);
    }
    if !(0.0..=1.0).contains(&section.communication) {
        findings.wrong("placement.communication", "a share is from 0 to 1");
    }
    for (number, policy) in section.policy.iter().enumerate() {
        if !(1..=16).contains(&policy.cube) {
            let wrong: &mut Diagnostic = findings.wrong(
                &format!("placement.policy[{number}].cube"),
                "a cube has from 1 to 16 nodes along an edge",
            );
            wrong.help.push("TPU v4 has cubes of 4".into());
        }
    }
}

fn resolved(section: &Placement, failures: Failures) -> Study {
    let entries = section.policy.iter().map(|policy| Entry {
        policy: policy.policy,
        cube: policy.cube,
        backfill: policy.backfill,
    });
    Study {
        torus: section.torus,
        seeds: (section.first_seed, section.seeds),
        source: Source::Generated(Arrivals {
            jobs: section.jobs,
            per_hour: section.arrivals_per_hour,
        }),
        loads: section.loads.clone(),
        entries: entries.collect(),
        rules: Rules {
            reconfiguration: section.reconfiguration.0 / 1000,
            backfill: 0,
            communication: section.communication,
            check: true,
        },
        failures,
    }
}
