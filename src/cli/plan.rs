//! `genie plan FILE`: what a scenario would do, without doing it. Everything here is computed,
//! nothing measured.

mod circuits;

use std::path::PathBuf;

use comfy_table::{CellAlignment, Table, presets};

use crate::scenario::diagnostic::Diagnostics;
use crate::scenario::plan::{FabricKind, Link, Node, NodeKind, OpPlan, Plan, TracePlan};
use crate::scenario::units::Bytes;
use crate::scenario::{self, planner};

/// Hosts, links or operations of which all are shown; of more, a summary.
const SHOWN: usize = 24;

/// Arguments of `genie plan`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Scenario file.
    file: PathBuf,
    /// Override a value of the scenario: `--set topology.star.hosts=8`.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    sets: Vec<String>,
    /// The whole plan as one JSON object on stdout.
    #[arg(long)]
    json: bool,
}

/// Prints the plan; 0, or 2 if the scenario is wrong.
pub fn run(args: Args) -> i32 {
    let loaded = match scenario::load(&args.file, &args.sets) {
        Ok(loaded) => loaded,
        Err(diagnostics) => return wrong(&diagnostics),
    };
    match planner::placement::study(&loaded) {
        Ok(Some(study)) => return super::placement::plan(&loaded, study, args.json),
        Ok(None) => {}
        Err(diagnostics) => return wrong(&diagnostics),
    }
    match planner::build(&loaded) {
        Ok(plan) if args.json => super::print(&(json(&plan) + "\n")),
        Ok(plan) => super::print(&text(&plan)),
        Err(diagnostics) => return wrong(&diagnostics),
    }
    0
}

fn wrong(diagnostics: &Diagnostics) -> i32 {
    super::check::complain(diagnostics);
    2
}

/// The plan as one JSON object, with `expected_duration_s`, real seconds.
pub fn json(plan: &Plan) -> String {
    let mut value = serde_json::to_value(plan).expect("a plan is plain JSON");
    value["expected_duration_s"] = planner::duration::expected(plan).into();
    serde_json::to_string_pretty(&value).expect("a value is plain JSON")
}

/// One line: ranks, hosts, operations, duration.
pub fn headline(plan: &Plan) -> String {
    let on = match plan.testbed.fabric {
        FabricKind::Host => "this machine".to_owned(),
        FabricKind::Emulated | FabricKind::SoftRoce => count(hosts(plan).count(), "emulated host"),
    };
    let dilated = if plan.dilation == 1.0 {
        String::new()
    } else {
        format!(" (dilated {} times)", plan.dilation)
    };
    let seconds = planner::duration::expected(plan);
    let ranks = count(plan.ranks.len(), "rank");
    format!(
        "{ranks} on {on}, {}, about {seconds:.0} s{dilated}",
        count(plan.ops.len(), "operation")
    )
}

/// The plan as text.
pub fn text(plan: &Plan) -> String {
    let mut out = format!("{}: {}\n", plan.name, headline(plan));
    if plan.testbed.fabric != FabricKind::Host {
        out += &section("hosts", &host_table(plan));
        out += &switches(plan);
        out += &section(
            "links, with payload of the whole run (-> from the first node to the second)",
            &link_table(plan),
        );
    }
    if let (FabricKind::Host, Some(rank)) = (plan.testbed.fabric, plan.ranks.first()) {
        let addresses: Vec<String> = rank.addresses.iter().map(ToString::to_string).collect();
        out += &format!("\naddresses {}\n", addresses.join(" "));
    }
    out += &communicators(plan);
    out += &circuits::text(plan);
    out += &section("operations, expected times without software", &op_table(plan));
    out += &traces(plan);
    for caution in &plan.cautions {
        out += &format!("\ncaution: {caution}\n");
    }
    out
}

fn section(title: &str, table: &Table) -> String {
    let text = table.to_string();
    let lines: Vec<&str> = text.lines().map(str::trim_end).collect();
    format!("\n{title}\n{}\n", lines.join("\n"))
}

fn count(number: usize, name: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{number} {name}{plural}")
}

fn hosts(plan: &Plan) -> impl Iterator<Item = (usize, &Node)> {
    let nodes = plan.network.nodes.iter().enumerate();
    nodes.filter(|(_, node)| node.kind == NodeKind::Host)
}

/// A table with this header; columns named in `right` are aligned there.
fn table(header: &[&str], right: &[usize]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_header(header);
    for column in right {
        if let Some(column) = table.column_mut(*column) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table
}

fn host_table(plan: &Plan) -> Table {
    let mut table = table(&["host", "addresses", "ranks"], &[]);
    let total = hosts(plan).count();
    let mut ranks = vec![Vec::new(); plan.network.nodes.len()];
    for (rank, place) in plan.ranks.iter().enumerate() {
        ranks[place.host].push(rank);
    }
    for (position, (number, node)) in hosts(plan).enumerate() {
        if total > SHOWN && (3..total - 1).contains(&position) {
            if position == 3 {
                table.add_row([format!("... {} more", total - 4), String::new(), String::new()]);
            }
            continue;
        }
        let addresses: Vec<String> = node.addresses.iter().map(ToString::to_string).collect();
        table.add_row([node.name.clone(), addresses.join(" "), spans(&ranks[number])]);
    }
    table
}

/// `0-3 8`.
fn spans(numbers: &[usize]) -> String {
    let runs = numbers.chunk_by(|a, b| a + 1 == *b);
    let show = |run: &[usize]| match run {
        [only] => only.to_string(),
        run => format!("{}-{}", run[0], run[run.len() - 1]),
    };
    let shown: Vec<String> = runs.map(show).collect();
    if shown.is_empty() {
        "none".into()
    } else {
        shown.join(" ")
    }
}

fn switches(plan: &Plan) -> String {
    let switches = plan
        .network
        .nodes
        .iter()
        .filter(|node| node.kind == NodeKind::Switch);
    let names: Vec<&str> = switches.map(|node| node.name.as_str()).collect();
    let optical = plan
        .network
        .nodes
        .iter()
        .filter(|node| node.kind == NodeKind::Ocs);
    let optical: Vec<&str> = optical.map(|node| node.name.as_str()).collect();
    let paths = plan
        .network
        .routes
        .iter()
        .flatten()
        .map(|route| route.via.len())
        .max()
        .unwrap_or(1);
    let mut out = match names.len() {
        0 => "\nno switches".to_owned(),
        n if n > SHOWN => format!("\n{n} switches {} ... {}", names[0], names[n - 1]),
        _ => format!("\nswitches {}", names.join(" ")),
    };
    match optical.len() {
        0 => {}
        n if n > SHOWN => out += &format!("; {n} optical switches {} ... {}", optical[0], optical[n - 1]),
        _ => out += &format!("; optical switches {}", optical.join(" ")),
    }
    if paths > 1 {
        out += &format!("; up to {paths} equal-cost links from a node");
    }
    format!("{out}; MTU {}\n", plan.network.mtu)
}

/// Payload of the whole run, warm-up included: `[link][direction]`, bytes.
fn totals(plan: &Plan) -> Vec<[f64; 2]> {
    let mut totals = vec![[0.0; 2]; plan.network.links.len()];
    for op in &plan.ops {
        let times = f64::from(op.warmup) + f64::from(op.iterations);
        for (total, bytes) in totals.iter_mut().zip(&op.link_bytes) {
            total[0] += bytes[0] * times;
            total[1] += bytes[1] * times;
        }
    }
    totals
}

fn link_table(plan: &Plan) -> Table {
    let totals = totals(plan);
    if plan.network.links.len() > SHOWN {
        return link_summary(plan, &totals);
    }
    let mut table = table(&["link", "rate", "delay", "bytes ->", "bytes <-"], &[1, 2, 3, 4]);
    for (link, total) in plan.network.links.iter().zip(&totals) {
        table.add_row([
            link.name.clone(),
            rate(link),
            delay(link),
            bytes(total[0]),
            bytes(total[1]),
        ]);
    }
    table
}

fn rate(link: &Link) -> String {
    link.rate.map_or("unlimited".into(), |rate| rate.to_string())
}

/// The delay, and the loss of a link that loses.
fn delay(link: &Link) -> String {
    match link.loss.is_zero() {
        true => link.delay.to_string(),
        false => format!("{}, loses {}", link.delay, link.loss),
    }
}

/// Links alike in the kinds of their ends, rate and delay, in one line.
fn link_summary(plan: &Plan, totals: &[[f64; 2]]) -> Table {
    let mut groups: Vec<(String, &Link, Vec<usize>)> = Vec::new();
    for (number, link) in plan.network.links.iter().enumerate() {
        let [a, b] = [&link.ends[0], &link.ends[1]].map(|end| family(&plan.network.nodes[end.node].name));
        let name = format!("{a} - {b}");
        let alike = |group: &&mut (String, &Link, Vec<usize>)| {
            group.0 == name
                && group.1.rate == link.rate
                && group.1.delay == link.delay
                && group.1.loss == link.loss
        };
        match groups.iter_mut().find(alike) {
            Some((_, _, members)) => members.push(number),
            None => groups.push((name, link, vec![number])),
        }
    }
    let header = [
        "links",
        "count",
        "rate",
        "delay",
        "bytes per direction, least",
        "most",
    ];
    let mut table = table(&header, &[1, 2, 3, 4, 5]);
    for (name, link, members) in groups {
        let all = members.iter().flat_map(|link| totals[*link]);
        let (least, most) = (all.clone().fold(f64::INFINITY, f64::min), all.fold(0.0, f64::max));
        let count = members.len().to_string();
        table.add_row([name, count, rate(link), delay(link), bytes(least), bytes(most)]);
    }
    table
}

/// A name without its number: `leaf3` is one of `leaf*`.
fn family(name: &str) -> String {
    format!("{}*", name.trim_end_matches(|c: char| c.is_ascii_digit()))
}

fn communicators(plan: &Plan) -> String {
    let named = plan.communicators.iter().skip(1);
    let line = |communicator: &scenario::plan::Communicator| {
        let ranks: Vec<usize> = communicator.ranks.iter().map(|rank| *rank as usize).collect();
        format!("\ncommunicator {}: ranks {}\n", communicator.name, spans(&ranks))
    };
    named.map(line).collect()
}

/// What traces amount to in one iteration.
fn traces(plan: &Plan) -> String {
    let line = |trace: &TracePlan| {
        let modelled = match trace.modelled_collectives {
            0 => String::new(),
            count => format!(" ({count} more within scale-up domains, modelled)"),
        };
        format!(
            "\ntrace {}: {}, {} of compute, {}{modelled}, {}, {} of payload\n",
            trace.name,
            count(trace.nodes as usize, "node"),
            time(trace.compute_s),
            count(trace.collectives as usize, "collective"),
            count(trace.messages as usize, "message"),
            bytes(trace.payload_bytes as f64),
        )
    };
    plan.ops
        .iter()
        .filter_map(|op| op.trace.as_deref())
        .map(line)
        .collect()
}

fn op_table(plan: &Plan) -> Table {
    let header = [
        "#",
        "op",
        "algorithm",
        "in",
        "size",
        "warm-up",
        "iterations",
        "expected",
        "wire",
        "busiest link",
    ];
    let mut table = table(&header, &[0, 4, 5, 6, 7, 8]);
    let total = plan.ops.len();
    let shown = 4 * SHOWN;
    for (number, op) in plan.ops.iter().enumerate().take(shown) {
        table.add_row(op_row(plan, number, op));
    }
    if total > shown {
        table.add_row(["".to_owned(), format!("... {} more", total - shown)]);
    }
    table
}

fn op_row(plan: &Plan, number: usize, op: &OpPlan) -> [String; 10] {
    let expected = &op.expected;
    let busiest = expected.busiest.map_or("-".into(), |(link, direction)| {
        let link = &plan.network.links[link];
        let names = [&link.ends[0], &link.ends[1]].map(|end| &plan.network.nodes[end.node].name);
        let (from, to) = if direction == 0 {
            (names[0], names[1])
        } else {
            (names[1], names[0])
        };
        format!("{from} -> {to}")
    });
    let communicator = &plan.communicators[op.op.communicator as usize];
    [
        number.to_string(),
        op.trace
            .as_ref()
            .map_or(op.op.collective.to_string(), |_| "trace".into()),
        op.trace
            .as_ref()
            .map_or(op.op.algorithm.to_string(), |trace| trace.name.clone()),
        communicator.name.clone(),
        Bytes(op.trace.as_ref().map_or(op.op.bytes, |trace| trace.payload_bytes)).to_string(),
        op.warmup.to_string(),
        op.iterations.to_string(),
        expected.seconds.map_or("-".into(), time),
        expected
            .wire_share
            .map_or("-".into(), |share| format!("{:.1} %", share * 100.0)),
        busiest,
    ]
}

/// Seconds with three or four figures: `12.35 us`.
fn time(seconds: f64) -> String {
    match seconds {
        s if s < 1e-3 => format!("{:.2} us", s * 1e6),
        s if s < 1.0 => format!("{:.2} ms", s * 1e3),
        s => format!("{s:.2} s"),
    }
}

/// Bytes rounded to three or four figures.
fn bytes(count: f64) -> String {
    let units = ["B", "KiB", "MiB", "GiB", "TiB"];
    let mut scaled = count;
    let mut unit = 0;
    while scaled >= 1024.0 && unit + 1 < units.len() {
        scaled /= 1024.0;
        unit += 1;
    }
    match unit {
        0 => format!("{scaled:.0} B"),
        _ => format!("{scaled:.1} {}", units[unit]),
    }
}
