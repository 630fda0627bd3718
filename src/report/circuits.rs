//! A change of circuits in words: what each switch did and how long it took, each time on its own, and how
//! long links were dark by traffic and by light.

use std::collections::BTreeSet;

use crate::event::{NeighboursFound, Reconfiguration, SwitchChange};

/// The lines of a change, without what marks them as comments.
pub fn lines(change: &Reconfiguration) -> Vec<String> {
    let when = match change.during {
        true => format!("while operation {} is played, ", change.op),
        false => String::new(),
    };
    let mut lines = vec![format!(
        "circuits of {}, {when}at {:.2} s: {}",
        change.step,
        change.at_s,
        match change.switches.len() {
            0 => "nothing changes".to_owned(),
            1 => "1 switch".to_owned(),
            n => format!("{n} switches"),
        }
    )];
    for switch in &change.switches {
        lines.push(commands(switch));
        lines.extend(dark(switch));
    }
    if change.during {
        lines.push(format!(
            "  lost: {} at dark ports, {} of {}; then {} again",
            count(change.lost_frames, "frame"),
            count(Some(change.probes_lost), "probe"),
            change
                .probe_every_s
                .map_or("no stream".into(), |every| format!("one each {}", time(every))),
            count(change.retransmits, "TCP segment")
        ));
    }
    lines
}

fn commands(change: &SwitchChange) -> String {
    let retries = match change.retries {
        0 => String::new(),
        retries => format!(", {retries} more attempts"),
    };
    let link_up = change
        .link_up_s
        .map_or(String::new(), |s| format!(", link up {}", time(s)));
    format!(
        "  {} ({}): {} removed, {} made; command {}, settle {}{link_up}{retries}",
        change.ocs,
        change.dialect,
        change.removed.len(),
        change.made.len(),
        time(change.command_s),
        time(change.settle_s),
    )
}

/// How long the link of a switch was dark that was dark longest, beside what the device takes.
fn dark(change: &SwitchChange) -> Option<String> {
    let traffic = change.dark_traffic_s?;
    let light = change
        .dark_light_s
        .map_or(String::new(), |light| format!(", {} by light", time(light)));
    let settle = change.device_settle_s + change.device_jitter_s;
    Some(format!(
        "    dark {} by traffic{light}: the device's {} and {}",
        time(traffic),
        time(settle),
        time((traffic - settle).max(0.0))
    ))
}

/// Whether a job's neighbours are one hop apart, in a line.
pub fn neighbours(found: &NeighboursFound) -> String {
    let near = found.pairs.iter().filter(|pair| pair.hops == Some(1)).count();
    let hops: BTreeSet<Option<u32>> = found.pairs.iter().map(|pair| pair.hops).collect();
    let mut far: Vec<String> = hops
        .into_iter()
        .filter(|hops| *hops != Some(1))
        .map(|hops| hops.map_or("not reached".into(), |hops| format!("{hops} hops")))
        .collect();
    if far.is_empty() {
        far.push("by their time to live".into());
    }
    let times = found.pairs.iter().filter_map(|pair| pair.one_way_us);
    let times: Vec<f64> = times.collect();
    let (least, most) = (
        times.iter().copied().fold(f64::INFINITY, f64::min),
        times.iter().copied().fold(0.0, f64::max),
    );
    let took = match times.is_empty() {
        true => String::new(),
        false => format!("; {least:.0} to {most:.0} us one way"),
    };
    format!(
        "neighbours of job {} along dimension {}: {near} of {} one hop apart ({}){took}",
        found.job,
        found.dimension,
        found.pairs.len(),
        far.join(", ")
    )
}

fn count(number: Option<u64>, name: &str) -> String {
    let plural = if number == Some(1) { "" } else { "s" };
    let number = number.map_or("an unknown number of".into(), |number| number.to_string());
    format!("{number} {name}{plural}")
}

/// Seconds as people say them.
fn time(seconds: f64) -> String {
    match seconds {
        s if s < 1.0 => format!("{:.2} ms", s * 1e3),
        s => format!("{s:.3} s"),
    }
}
