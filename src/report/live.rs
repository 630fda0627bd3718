//! Shows a run while it goes on: the bar on stderr, the table or one JSON object on stdout. A
//! closed stdout (`genie run ... | head`) ends the printing, not the run.

use std::io::{self, Write};

use super::json;
use super::progress::{Progress, Said};
use super::style::Style;
use super::terminal::{Shown, TableWriter};
use crate::event::Event;
use crate::results::{Recorder, Run};

/// What stdout gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Output {
    /// The table, row by row.
    Table(Style),
    /// One JSON object at the end.
    Json,
}

/// Follows the events of one run.
#[derive(Debug)]
pub struct Live<W: Write> {
    out: W,
    output: Output,
    progress: Progress,
    table: Option<TableWriter>,
    shown: Shown,
    broken: bool,
}

impl<W: Write> Live<W> {
    /// To `out`; what `said` asks for goes to stderr.
    pub fn new(out: W, run: &Run, output: Output, said: Said) -> Live<W> {
        Live {
            out,
            output,
            progress: Progress::new(&run.manifest.plan, said),
            table: None,
            shown: Shown::default(),
            broken: false,
        }
    }

    /// Shows one event, which `recorder` has recorded already.
    pub fn event(&mut self, recorder: &Recorder, event: &Event) {
        self.progress.event(&recorder.run().manifest.plan, event);
        if !self.broken {
            let shown = match self.output {
                Output::Table(style) => self.table_event(recorder, event, style),
                Output::Json => self.json_event(recorder, event),
            };
            self.broken = shown.is_err();
        }
    }

    fn table_event(&mut self, recorder: &Recorder, event: &Event, style: Style) -> io::Result<()> {
        let over = matches!(event, Event::RunFinished { .. });
        if !over && !matches!(event, Event::OpStarted { .. } | Event::OpFinished(_)) {
            return Ok(());
        }
        let run = recorder.run();
        let (out, shown, table) = (&mut self.out, &mut self.shown, &mut self.table);
        self.progress.aside(|| {
            // Not before: the header tells what the links were found to be.
            if table.is_none() {
                table
                    .insert(TableWriter::new(&run.manifest.plan, style))
                    .header(out, run)?;
            }
            let Some(table) = table else { return Ok(()) };
            table.more(out, run, shown)?;
            if over {
                table.tail(out, run, recorder.stored())?;
            }
            out.flush()
        })
    }

    fn json_event(&mut self, recorder: &Recorder, event: &Event) -> io::Result<()> {
        if let Event::RunFinished { .. } = event {
            self.out
                .write_all(json::text(recorder.run(), recorder.stored()).as_bytes())?;
            self.out.flush()?;
        }
        Ok(())
    }
}
