//! What a comparison of placement policies would replay: text for people, and JSON.

use std::fmt::Write;

use serde_json::json;

use crate::placement::study::{Outlook, Study};

/// One line.
pub fn headline(study: &Study, outlook: &Outlook) -> String {
    let [a, b, c] = study.torus;
    let count = |count: usize, what: &str| format!("{count} {what}{}", if count == 1 { "" } else { "s" });
    format!(
        "{} on a torus of {a}x{b}x{c} in virtual time, {}, {}",
        count(outlook.replays, "replay"),
        count(study.seeds.1 as usize, "seed"),
        count(study.loads.len(), "load"),
    )
}

/// As one JSON object.
pub fn json(name: &str, study: &Study, outlook: &Outlook) -> String {
    let value = json!({
        "name": name,
        "clock": "virtual",
        "measured": false,
        "torus": study.torus,
        "first_seed": study.seeds.0,
        "seeds": study.seeds.1,
        "failed": {
            "nodes": study.failures.nodes, "ports": study.failures.ports, "switches": study.failures.switches,
        },
        "outlook": outlook,
    });
    serde_json::to_string_pretty(&value).expect("figures are plain JSON") + "\n"
}

/// For people.
pub fn text(name: &str, study: &Study, outlook: &Outlook) -> String {
    let mut out = format!("{name}: {}\n\n", headline(study, outlook));
    let [one, two, three] = outlook.dimensions.map(|share| share * 100.0);
    let _ = writeln!(
        out,
        "jobs       {} of all seeds, {:.0} nodes and {:.2} h in the mean; {one:.0} % rows, {two:.0} % planes, {three:.0} % boxes",
        outlook.jobs, outlook.mean_nodes, outlook.mean_hours
    );
    if outlook.left_out > 0 {
        let _ = writeln!(
            out,
            "left out   {} jobs of the trace, larger than the machine",
            outlook.left_out
        );
    }
    for (load, offered) in &outlook.offered {
        let _ = writeln!(
            out,
            "load {load:<5} asks for {:.1} % of the node-hours there are",
            offered * 100.0
        );
    }
    let failed = &study.failures;
    if !(failed.nodes.is_empty() && failed.ports.is_empty() && failed.switches.is_empty()) {
        let _ = writeln!(
            out,
            "failed     {} nodes, {} ports, {} switches",
            failed.nodes.len(),
            failed.ports.len(),
            failed.switches.len()
        );
    }
    out += "\npolicy           cube  fill  switches  ports of each\n";
    for row in &outlook.wiring {
        let _ = writeln!(
            out,
            "{:<16} {:>4} {:>5} {:>9} {:>14}{}",
            row.policy.to_string(),
            row.cube,
            row.backfill,
            row.switches,
            row.ports,
            if row.buildable {
                ""
            } else {
                " (no such switch is known: a what-if)"
            },
        );
    }
    out
}
