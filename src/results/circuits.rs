//! Reconfigurations of optical switches, and neighbours of jobs, as lines of the folder's tables.

use super::csv;
use super::tables::{opt, opt_num};
use crate::event::{NeighboursFound, Reconfiguration};

/// The lines of `reconfigurations.csv` for one change: one for each switch.
pub fn switch_lines(change: &Reconfiguration) -> String {
    let line = |switch: &crate::event::SwitchChange| {
        csv::line([
            change.number.to_string(),
            change.step.clone(),
            change.op.to_string(),
            change.during.to_string(),
            opt_num(Some(change.at_s)),
            switch.ocs.clone(),
            switch.dialect.clone(),
            switch.removed.join(" "),
            switch.made.join(" "),
            opt_num(Some(switch.command_s)),
            opt_num(Some(switch.settle_s)),
            opt_num(switch.link_up_s),
            opt_num(Some(switch.device_settle_s)),
            opt_num(Some(switch.device_jitter_s)),
            opt_num(switch.dark_light_s),
            opt_num(switch.dark_traffic_s),
            opt_num(change.probe_pause_s),
            change.probes_lost.to_string(),
            opt(change.lost_frames),
            opt(change.retransmits),
            switch.retries.to_string(),
        ])
    };
    change.switches.iter().map(line).collect()
}

/// The lines of `circuits.csv` for one change: one for each end of a link whose circuit changed.
pub fn link_lines(change: &Reconfiguration) -> String {
    let line = |link: &crate::event::LinkDark| {
        csv::line([
            change.number.to_string(),
            link.ocs.clone(),
            link.link.clone(),
            link.node.clone(),
            opt(link.before.clone()),
            opt(link.after.clone()),
            opt_num(link.dark_light_s),
            opt_num(link.dark_traffic_s),
        ])
    };
    change.links.iter().map(line).collect()
}

/// The lines of `neighbours.csv` for one dimension of a job.
pub fn neighbour_lines(found: &NeighboursFound) -> String {
    let line = |pair: &crate::event::NeighbourFound| {
        csv::line([
            found.step.clone(),
            found.job.clone(),
            found.dimension.to_string(),
            pair.from.to_string(),
            pair.to.to_string(),
            opt(pair.hops),
            opt_num(pair.one_way_us),
        ])
    };
    found.pairs.iter().map(line).collect()
}
