//! Where ranks run, and the communicators over them.

use std::collections::{HashMap, HashSet};
use std::net::IpAddr;

use crate::scenario::plan::{Communicator, FabricKind, NodeKind, RankPlace};
use crate::scenario::section::Scenario;
use crate::scenario::section::testbed::Ranks;
use crate::scenario::suggest;

use super::findings::Findings;
use super::network::Wired;

/// Most ranks of a run; each is a process.
pub const MAX_RANKS: u64 = 4096;

/// Places all ranks; `None` only after something was found wrong.
pub fn place(scenario: &Scenario, wired: &Wired, findings: &mut Findings<'_>) -> Option<Vec<RankPlace>> {
    let testbed = &scenario.testbed;
    if testbed.ranks.is_some() && testbed.ranks_per_host.is_some() {
        let help = "give one of `ranks` and `ranks_per_host`";
        findings.unwanted(
            "testbed.ranks_per_host",
            "both say how many ranks there are",
            help,
        );
        return None;
    }
    let before = findings.wrong.len();
    let places = match testbed.fabric {
        FabricKind::Host => on_host(scenario, wired, findings),
        FabricKind::Emulated | FabricKind::SoftRoce => on_hosts(scenario, wired, findings),
    };
    (findings.wrong.len() == before).then_some(places)
}

fn on_host(scenario: &Scenario, wired: &Wired, findings: &mut Findings<'_>) -> Vec<RankPlace> {
    let per_host = u64::from(scenario.testbed.ranks_per_host.unwrap_or(1));
    let (path, count) = match &scenario.testbed.ranks {
        Some(Ranks::Count(count)) => ("testbed.ranks", u64::from(*count)),
        Some(Ranks::Hosts(hosts)) if wired.hosts > 0 => ("testbed.ranks", hosts.len() as u64),
        Some(Ranks::Hosts(_)) => {
            let wrong = findings.wrong(
                "testbed.ranks",
                "all ranks of the host fabric run on this machine",
            );
            wrong.help.push("give their number: ranks = 2".into());
            return Vec::new();
        }
        None if wired.hosts > 0 => ("testbed.ranks_per_host", per_host * wired.hosts as u64),
        None => ("testbed.ranks_per_host", per_host),
    };
    if scenario.testbed.ranks.is_none() && scenario.testbed.ranks_per_host.is_none() && wired.hosts == 0 {
        let wrong = findings.wrong("testbed.fabric", "how many ranks?");
        wrong
            .help
            .push("give their number in `[testbed]`: ranks = 2".into());
        return Vec::new();
    }
    if !check_count(path, count, findings) {
        return Vec::new();
    }
    let addresses = scenario.host.clone().unwrap_or_default().addresses;
    (0..count)
        .map(|_| RankPlace {
            host: 0,
            addresses: addresses.clone(),
        })
        .collect()
}

fn on_hosts(scenario: &Scenario, wired: &Wired, findings: &mut Findings<'_>) -> Vec<RankPlace> {
    let nodes = &wired.network.nodes;
    let hosts: Vec<usize> = match &scenario.testbed.ranks {
        Some(Ranks::Count(count)) => {
            let wrong = findings.wrong(
                "testbed.ranks",
                format!("on which hosts do the {count} ranks run?"),
            );
            wrong
                .help
                .push("give `ranks_per_host = 1`, or the host of each rank: ranks = [\"h0\", \"h1\"]".into());
            return Vec::new();
        }
        Some(Ranks::Hosts(names)) => {
            if !check_count("testbed.ranks", names.len() as u64, findings) {
                return Vec::new();
            }
            named_hosts(names, wired, findings)
        }
        None => {
            let per_host = scenario.testbed.ranks_per_host.unwrap_or(1);
            let all = (0..nodes.len()).filter(|node| nodes[*node].kind == NodeKind::Host);
            if !check_count(
                "testbed.ranks_per_host",
                u64::from(per_host) * all.clone().count() as u64,
                findings,
            ) {
                return Vec::new();
            }
            all.flat_map(|host| (0..per_host).map(move |_| host)).collect()
        }
    };
    let place = |host: usize| RankPlace {
        host,
        addresses: nodes[host].addresses.iter().copied().map(IpAddr::V4).collect(),
    };
    hosts.into_iter().map(place).collect()
}

fn check_count(path: &str, count: u64, findings: &mut Findings<'_>) -> bool {
    if count == 0 {
        findings.wrong(path, "a run without ranks");
    } else if count > MAX_RANKS {
        let wrong = findings.wrong(path, format!("{count} ranks; a run has at most {MAX_RANKS}"));
        wrong.help.push("each rank is a process of this machine".into());
    }
    (1..=MAX_RANKS).contains(&count)
}

fn named_hosts(names: &[String], wired: &Wired, findings: &mut Findings<'_>) -> Vec<usize> {
    let nodes = &wired.network.nodes;
    let by_name: HashMap<&str, usize> = nodes
        .iter()
        .enumerate()
        .map(|(n, node)| (node.name.as_str(), n))
        .collect();
    let hosts: Vec<&str> = nodes
        .iter()
        .filter(|node| node.kind == NodeKind::Host)
        .map(|node| node.name.as_str())
        .collect();
    let mut places = Vec::new();
    for (rank, name) in names.iter().enumerate() {
        let path = format!("testbed.ranks[{rank}]");
        match by_name.get(name.as_str()) {
            Some(node) if nodes[*node].kind == NodeKind::Host => places.push(*node),
            Some(_) => {
                let wrong = findings.wrong(&path, format!("rank {rank} on `{name}`, which is a switch"));
                wrong.help.extend(suggest::help("", "hosts are", &hosts));
            }
            None => {
                let wrong = findings.wrong(
                    &path,
                    format!("rank {rank} on `{name}`, but there is no such host"),
                );
                wrong.help.extend(suggest::help(name, "hosts are", &hosts));
            }
        }
    }
    places
}

/// The world and the scenario's communicators; `None` only after something was found wrong.
pub fn communicators(
    scenario: &Scenario,
    ranks: u32,
    findings: &mut Findings<'_>,
) -> Option<Vec<Communicator>> {
    let before = findings.wrong.len();
    let mut all = vec![Communicator {
        id: 0,
        name: "world".into(),
        ranks: (0..ranks).collect(),
    }];
    for (number, section) in scenario.communicator.iter().enumerate() {
        let path = format!("communicator[{number}]");
        if section.name == "world" {
            let wrong = findings.wrong(
                &format!("{path}.name"),
                "\"world\" is the communicator of all ranks",
            );
            wrong.help.push("choose another name".into());
        } else if section.name.is_empty()
            || section.name.len() > 64
            || section.name.chars().any(char::is_control)
        {
            findings.wrong(
                &format!("{path}.name"),
                "a communicator's name is 1 to 64 printable characters",
            );
        } else if let Some(first) = scenario.communicator[..number]
            .iter()
            .position(|c| c.name == section.name)
        {
            let other = findings.span(&format!("communicator[{first}].name"));
            let wrong = findings.wrong(
                &format!("{path}.name"),
                format!("a second communicator named `{}`", section.name),
            );
            wrong.related.push((other, "the first".into()));
        }
        check_members(&path, &section.ranks, ranks, findings);
        all.push(Communicator {
            id: number as u32 + 1,
            name: section.name.clone(),
            ranks: section.ranks.clone(),
        });
    }
    (findings.wrong.len() == before).then_some(all)
}

fn check_members(path: &str, members: &[u32], ranks: u32, findings: &mut Findings<'_>) {
    if members.is_empty() {
        findings.wrong(&format!("{path}.ranks"), "a communicator without ranks");
    }
    let mut seen = HashSet::new();
    for (position, rank) in members.iter().enumerate() {
        let at = format!("{path}.ranks[{position}]");
        if *rank >= ranks {
            findings.wrong(
                &at,
                format!("there is no rank {rank}; ranks are 0 to {}", ranks - 1),
            );
        } else if !seen.insert(rank) {
            findings.wrong(&at, format!("rank {rank} is there twice"));
        }
    }
}
