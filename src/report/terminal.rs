//! The table as a reader of nccl-tests knows it: `#` lines around rows of figures. Live output and
//! `genie show` are this same code.

use std::collections::BTreeSet;
use std::io::{self, Write};
use std::path::Path;

use super::columns::{Column, Layout, figures};
use super::style::{Style, Tone, wrap};
use crate::results::cautions::RowCaution;
use crate::results::summary::{Row, name_of};
use crate::results::{Run, State};
use crate::scenario::plan::{FabricKind, NodeKind, Plan};

/// Writes the table of one run piece by piece: header, rows as they come, tail.
#[derive(Debug, Clone)]
pub struct TableWriter {
    layout: Layout,
    style: Style,
}

/// Writes the table of a run that is over (or as far as it is).
///
/// # Errors
/// Those of `out`.
pub fn show(out: &mut impl Write, run: &Run, folder: Option<&Path>, style: Style) -> io::Result<()> {
    let table = TableWriter::new(&run.manifest.plan, style);
    table.header(out, run)?;
    for row in &run.rows {
        table.row(out, row)?;
    }
    table.tail(out, run, folder)
}

impl TableWriter {
    /// A table for the rows of `plan`.
    pub fn new(plan: &Plan, style: Style) -> TableWriter {
        TableWriter {
            layout: Layout::of(plan, style.width),
            style,
        }
    }

    /// What was run, on what, and the titles of the columns.
    ///
    /// # Errors
    /// Those of `out`.
    pub fn header(&self, out: &mut impl Write, run: &Run) -> io::Result<()> {
        for text in facts(run).into_iter().chain(self.left_out(&run.manifest.plan)) {
            out.write_all(wrap(&text, self.style.width, "# ", "#   ").as_bytes())?;
        }
        writeln!(out, "#")?;
        let titles = self.layout.line('#', |column| column.title().into());
        let units = self.layout.line('#', |column| column.unit().into());
        writeln!(out, "{}", self.style.paint(Tone::Bold, &titles))?;
        writeln!(out, "{}", self.style.paint(Tone::Bold, &units))
    }

    /// One row.
    ///
    /// # Errors
    /// Those of `out`.
    pub fn row(&self, out: &mut impl Write, row: &Row) -> io::Result<()> {
        let line = self.layout.line(' ', |column| self.layout.cell(column, row));
        let tone = if row.wrong.unwrap_or(0) > 0 {
            Tone::Error
        } else if row.complete {
            return writeln!(out, "{line}");
        } else {
            Tone::Warning
        };
        writeln!(out, "{}", self.style.paint(tone, &line))
    }

    /// Totals, footnotes, cautions, how the run ended and where it is stored.
    ///
    /// # Errors
    /// Those of `out`.
    pub fn tail(&self, out: &mut impl Write, run: &Run, folder: Option<&Path>) -> io::Result<()> {
        if let Some(wrong) = run.wrong() {
            let verdict = if wrong == 0 { "OK" } else { "FAILED" };
            writeln!(out, "# Out of bounds values : {wrong} {verdict}")?;
        }
        if let Some(busbw) = run.mean_busbw_gbps() {
            writeln!(out, "# Avg bus bandwidth    : {}", figures(busbw / 8.0))?;
        }
        let marks: BTreeSet<RowCaution> = run.rows.iter().flat_map(|row| row.cautions.clone()).collect();
        for mark in marks {
            self.note(
                out,
                Tone::Faint,
                &format!("note {}: {}", mark.mark(), mark.text()),
            )?;
        }
        for caution in &run.manifest.cautions {
            self.note(out, Tone::Warning, &format!("caution: {caution}"))?;
        }
        for loss in &run.manifest.lost_ranks {
            self.note(out, Tone::Error, &lost(loss))?;
        }
        for link in &run.manifest.lost_links {
            self.note(out, Tone::Error, &format!("link {link} vanished during the run"))?;
        }
        self.note(out, tone(run.manifest.status), &end(run))?;
        match folder {
            Some(folder) => self.note(
                out,
                Tone::Bold,
                &format!("run {} stored in {}", run.manifest.run_id, folder.display()),
            ),
            None => self.note(
                out,
                Tone::Bold,
                &format!("run {} not stored", run.manifest.run_id),
            ),
        }
    }

    fn note(&self, out: &mut impl Write, tone: Tone, text: &str) -> io::Result<()> {
        for line in wrap(text, self.style.width, "# ", "#   ").lines() {
            writeln!(out, "{}", self.style.paint(tone, line))?;
        }
        Ok(())
    }

    /// Columns for which there was no room, where all rows have the same in them.
    fn left_out(&self, plan: &Plan) -> Option<String> {
        let same = |column: Column, label: &str, names: BTreeSet<String>| {
            (!self.layout.has(column) && names.len() == 1)
                .then(|| format!("{label} {}", names.into_iter().collect::<String>()))
        };
        let types = plan.ops.iter().map(|op| name_of(&op.op.dtype)).collect();
        let redops = plan.ops.iter().map(|op| name_of(&op.op.redop)).collect();
        let parts = [
            same(Column::Type, "type", types),
            same(Column::Redop, "redop", redops),
        ];
        let parts: Vec<String> = parts.into_iter().flatten().collect();
        (!parts.is_empty()).then(|| parts.join(", "))
    }
}

/// The lines above the table: run, network, machine, calibration.
fn facts(run: &Run) -> Vec<String> {
    let manifest = &run.manifest;
    let (plan, machine) = (&manifest.plan, &manifest.environment);
    let fabric = name_of(&plan.testbed.fabric);
    let transport = name_of(&plan.testbed.transport);
    let tcp = &plan.testbed.tcp;
    let mut facts = vec![
        format!(
            "genie {}  run {}  scenario {}  seed {}",
            machine.genie_version, manifest.run_id, manifest.scenario, manifest.seed
        ),
        format!(
            "measured (clock wall)  fabric {fabric}  transport {transport} ({}, {} channel{})",
            tcp.congestion_control,
            tcp.channels,
            plural(tcp.channels as usize)
        ),
        network(plan),
        format!(
            "kernel {}  {} x {}{}",
            machine.kernel,
            machine.usable_cores,
            machine.cpu.as_deref().unwrap_or("CPU"),
            machine
                .virtualisation
                .as_ref()
                .map(|kind| format!("  {kind}"))
                .unwrap_or_default()
        ),
    ];
    if plan.dilation != 1.0 {
        facts.push(format!(
            "time dilated {} times: all figures below are nominal",
            plan.dilation
        ));
    }
    for link in manifest
        .calibration
        .iter()
        .flat_map(|calibration| &calibration.links)
    {
        let error = |measured: f64, wanted: Option<f64>| {
            let wanted = wanted.filter(|wanted| *wanted > 0.0);
            wanted
                .map(|wanted| format!(" ({:+.2} %)", (measured / wanted - 1.0) * 100.0))
                .unwrap_or_default()
        };
        facts.push(format!(
            "links by {}: {} Gbit/s{}, 64 KiB one way over {} hop{} {:.1} us{}",
            link.shaper,
            figures(link.measured_bps / 1e9),
            error(link.measured_bps, link.wanted_bps),
            link.hops,
            plural(link.hops as usize),
            link.measured_one_way_us,
            error(link.measured_one_way_us, link.wanted_one_way_us)
        ));
    }
    facts
}

fn network(plan: &Plan) -> String {
    let ranks = format!("{} rank{}", plan.ranks.len(), plural(plan.ranks.len()));
    if plan.testbed.fabric == FabricKind::Host {
        return format!("{ranks} on this host's own interfaces, not shaped");
    }
    let count = |kind| plan.network.nodes.iter().filter(|node| node.kind == kind).count();
    let (hosts, switches) = (count(NodeKind::Host), count(NodeKind::Switch));
    let rates: BTreeSet<_> = plan.network.links.iter().map(|link| link.rate).collect();
    let rates: Vec<String> = rates
        .into_iter()
        .map(|rate| rate.map_or("unshaped".into(), |rate| rate.to_string()))
        .collect();
    format!(
        "{ranks} on {hosts} host{}, {switches} switch{}, {} links ({}), mtu {}",
        plural(hosts),
        if switches == 1 { "" } else { "es" },
        plan.network.links.len(),
        rates.join(", "),
        plan.network.mtu
    )
}

fn plural(count: usize) -> &'static str {
    if count == 1 { "" } else { "s" }
}

fn lost(loss: &crate::event::RankLoss) -> String {
    let waiting: Vec<String> = loss
        .waiting
        .iter()
        .map(|(rank, on)| format!("rank {rank} for rank {on}"))
        .collect();
    let waiting = match waiting.len() {
        0 => String::new(),
        _ => format!("; waiting: {}", waiting.join(", ")),
    };
    format!(
        "rank {} ({}) lost at {:.2} s in {}: {}{waiting}",
        loss.rank, loss.host, loss.at_s, loss.operation, loss.what
    )
}

fn tone(state: State) -> Tone {
    match state {
        State::Completed => Tone::Bold,
        State::Running => Tone::Faint,
        State::Interrupted | State::Partial => Tone::Warning,
        State::Failed => Tone::Error,
    }
}

/// `status completed in 12.3 s`.
fn end(run: &Run) -> String {
    let manifest = &run.manifest;
    let mut text = format!("status {}", name_of(&manifest.status));
    if let Some(seconds) = manifest.duration_s {
        text += &format!(" in {seconds:.1} s");
    }
    if let Some(code) = manifest.exit_code.filter(|code| *code != 0) {
        text += &format!(", exit code {code}");
    }
    if let Some(reason) = &manifest.reason {
        text += &format!(": {reason}");
    }
    text
}
