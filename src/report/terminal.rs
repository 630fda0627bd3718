//! The table as a reader of nccl-tests knows it: `#` lines around rows of figures. Live output and
//! `genie show` are this same code.

use std::collections::BTreeSet;
use std::io::{self, Write};
use std::path::Path;

use super::columns::{Column, Layout, figures};
use super::facts::facts;
use super::style::{Style, Tone, wrap};
use crate::event::{NeighboursFound, Reconfiguration};
use crate::results::cautions::RowCaution;
use crate::results::summary::{Row, has_root, name_of, reduces};
use crate::results::{Run, State};
use crate::scenario::plan::Plan;

/// Writes the table of one run piece by piece: header, rows as they come, tail.
#[derive(Debug, Clone)]
pub struct TableWriter {
    layout: Layout,
    style: Style,
}

/// How much of a run was shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Shown {
    rows: usize,
    changes: usize,
    neighbours: usize,
}

/// What is shown next.
#[derive(Debug)]
enum Next<'a> {
    Change(&'a Reconfiguration),
    Neighbours(&'a NeighboursFound),
    Row(&'a Row),
}

impl Next<'_> {
    /// The operation that it belongs to, and its place there: what was before it, what happened during it, its row.
    fn place(&self) -> (usize, u8) {
        match self {
            Next::Change(change) => (change.op, if change.during { 2 } else { 0 }),
            Next::Neighbours(found) => (found.op, 1),
            Next::Row(row) => (row.index, 3),
        }
    }
}

impl Shown {
    fn next<'a>(&self, run: &'a Run) -> Option<Next<'a>> {
        let manifest = &run.manifest;
        let change = manifest.reconfigurations.get(self.changes).map(Next::Change);
        let found = manifest.neighbours.get(self.neighbours).map(Next::Neighbours);
        let row = run.rows.get(self.rows).map(Next::Row);
        [change, found, row].into_iter().flatten().min_by_key(Next::place)
    }
}

/// Writes the table of a run that is over (or as far as it is).
///
/// # Errors
/// Those of `out`.
pub fn show(out: &mut impl Write, run: &Run, folder: Option<&Path>, style: Style) -> io::Result<()> {
    let table = TableWriter::new(&run.manifest.plan, style);
    table.header(out, run)?;
    table.more(out, run, &mut Shown::default())?;
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

    /// The rows and changes of circuits that were not shown yet, in order.
    ///
    /// # Errors
    /// Those of `out`.
    pub fn more(&self, out: &mut impl Write, run: &Run, shown: &mut Shown) -> io::Result<()> {
        while let Some(next) = shown.next(run) {
            match next {
                Next::Change(change) => {
                    for line in super::circuits::lines(change) {
                        self.note(out, Tone::Faint, &line)?;
                    }
                    shown.changes += 1;
                }
                Next::Neighbours(found) => {
                    self.note(out, Tone::Faint, &super::circuits::neighbours(found))?;
                    shown.neighbours += 1;
                }
                Next::Row(row) => {
                    self.row(out, row)?;
                    shown.rows += 1;
                }
            }
        }
        Ok(())
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
        for trace in &run.manifest.traces {
            for line in super::trace::lines(trace) {
                writeln!(out, "# {line}")?;
            }
        }
        if let Some(wrong) = run.wrong() {
            let verdict = if wrong == 0 { "OK" } else { "FAILED" };
            writeln!(out, "# Out of bounds values : {wrong} {verdict}")?;
        }
        if let Some(busbw) = run.mean_busbw_gbps() {
            writeln!(out, "# Avg bus bandwidth    : {}", figures(busbw / 8.0))?;
        }
        if let Some(cpu) = run.cpu_s_per_gb() {
            writeln!(out, "# CPU seconds per GB    : {}", figures(cpu))?;
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
                &format!("run {} is not fully stored", run.manifest.run_id),
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
        let same = |column: Column, names: BTreeSet<String>| {
            let missing = !self.layout.has(column) && names.len() == 1;
            missing.then(|| format!("{} {}", column.title(), names.into_iter().collect::<String>()))
        };
        let ops = || plan.ops.iter().map(|op| &op.op);
        let reducing = ops().filter(|op| reduces(op.collective));
        let rooted = ops().filter(|op| has_root(op.collective));
        let parts = [
            same(Column::Type, ops().map(|op| name_of(&op.dtype)).collect()),
            same(Column::Redop, reducing.map(|op| name_of(&op.redop)).collect()),
            same(Column::Root, rooted.map(|op| op.root.to_string()).collect()),
        ];
        let parts: Vec<String> = parts.into_iter().flatten().collect();
        (!parts.is_empty()).then(|| parts.join(", "))
    }
}

/// What became of a rank, in a sentence.
pub(super) fn lost(loss: &crate::event::RankLoss) -> String {
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
pub(super) fn end(run: &Run) -> String {
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
