//! Traces of lines: Helios, Acme, both of Alibaba, and the public RFold simulator's.

use std::collections::HashMap;

use super::read::{Format, Row, Rows, TraceError};
use crate::placement::shape::Shape;

/// Columns of files that have no header.
const TASKS: &str =
    "job_name,task_name,inst_num,status,start_time,end_time,plan_cpu,plan_mem,plan_gpu,gpu_type";
const RFOLD: &str = "id,arrival,topology,shape,size,duration";

/// Reads all lines.
pub fn read(format: Format, text: &str) -> Result<Rows, TraceError> {
    let mut lines = text.lines().enumerate().filter(|(_, line)| {
        let line = line.trim();
        !line.is_empty() && !line.starts_with('#')
    });
    let header = match format {
        Format::Alibaba2020 => TASKS,
        Format::Rfold => RFOLD,
        _ => lines.next().map_or("", |(_, line)| line),
    };
    let header = split(header.trim_start_matches('\u{feff}'));
    let columns: HashMap<&str, usize> = header.iter().enumerate().map(|(n, name)| (*name, n)).collect();
    let mut rows = Rows::default();
    for (number, line) in lines {
        let fields = split(line);
        // Some copies of the trace of 2020 have its separate header put before it.
        if format == Format::Alibaba2020 && fields == header {
            continue;
        }
        let record = Record {
            columns: &columns,
            fields: &fields,
        };
        match record.row(format).map_err(|what| at(number, what))? {
            Some(row) => rows.rows.push(row),
            None => rows.skipped += 1,
        }
    }
    Ok(rows)
}

fn at(number: usize, what: String) -> TraceError {
    TraceError::At {
        place: "line",
        number: number + 1,
        what,
    }
}

/// Fields between commas; those in quotes may hold commas.
fn split(line: &str) -> Vec<&str> {
    let (mut fields, mut start, mut quoted) = (Vec::new(), 0, false);
    for (at, c) in line.char_indices() {
        match c {
            '"' => quoted = !quoted,
            ',' if !quoted => {
                fields.push(&line[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    fields.push(&line[start..]);
    fields
        .iter()
        .map(|field| field.trim().trim_matches('"'))
        .collect()
}

struct Record<'a> {
    columns: &'a HashMap<&'a str, usize>,
    fields: &'a [&'a str],
}

impl Record<'_> {
    fn row(&self, format: Format) -> Result<Option<Row>, String> {
        match format {
            Format::Helios | Format::Acme => self.slurm(),
            Format::Alibaba2020 => self.task(),
            Format::Alibaba2023 => self.pod(),
            _ => self.rfold(),
        }
    }

    fn field(&self, name: &str) -> Result<&str, String> {
        let column = self.columns.get(name);
        let column = column.ok_or_else(|| format!("the header has no column `{name}`"))?;
        let field = self.fields.get(*column);
        field
            .copied()
            .ok_or_else(|| format!("the line ends before `{name}`"))
    }

    /// A number; `None` if the field is empty.
    fn number(&self, name: &str) -> Result<Option<f64>, String> {
        let field = self.field(name)?;
        if missing(field) {
            return Ok(None);
        }
        let number: Option<f64> = field.parse().ok().filter(|n: &f64| n.is_finite());
        let wrong = || format!("`{name}` is not a number: `{}`", short(field));
        number.map(Some).ok_or_else(wrong)
    }

    fn slurm(&self) -> Result<Option<Row>, String> {
        let gpus = self.number("gpu_num")?;
        let arrival = time(self.field("submit_time")?)?;
        let duration = match self.number("duration")? {
            Some(duration) => Some(duration),
            None => {
                let (start, end) = (time(self.field("start_time")?)?, time(self.field("end_time")?)?);
                start.zip(end).map(|(start, end)| end - start)
            }
        };
        whole(arrival, duration, gpus)
    }

    fn task(&self) -> Result<Option<Row>, String> {
        let (start, end) = (self.number("start_time")?, self.number("end_time")?);
        let (count, share) = (self.number("inst_num")?, self.number("plan_gpu")?);
        // In hundredths of a GPU for each instance.
        let gpus = count
            .zip(share)
            .map(|(count, share)| (count * share / 100.0).ceil());
        whole(start, start.zip(end).map(|(start, end)| end - start), gpus)
    }

    fn pod(&self) -> Result<Option<Row>, String> {
        let arrival = self.number("creation_time")?;
        let start = self.number("scheduled_time")?.or(arrival);
        let end = self.number("deletion_time")?;
        whole(
            arrival,
            start.zip(end).map(|(start, end)| end - start),
            self.number("num_gpu")?,
        )
    }

    fn rfold(&self) -> Result<Option<Row>, String> {
        let shape = self.field("shape")?;
        let twisted = self.field("topology")? == "T3D_T" && !shape.ends_with('T');
        let text = format!("{shape}{}", if twisted { "T" } else { "" });
        let shape: Shape = text.parse().map_err(|error| format!("{error}"))?;
        let row = whole(
            self.number("arrival")?,
            self.number("duration")?,
            Some(shape.size() as f64),
        )?;
        Ok(row.map(|row| Row {
            shape: Some(shape),
            ..row
        }))
    }
}

fn whole(arrival: Option<f64>, duration: Option<f64>, gpus: Option<f64>) -> Result<Option<Row>, String> {
    match (arrival, duration, gpus) {
        (Some(arrival), Some(duration), Some(gpus)) => Row::new(arrival, duration, gpus),
        _ => Ok(None),
    }
}

fn missing(field: &str) -> bool {
    matches!(
        field,
        "" | "None" | "none" | "NULL" | "null" | "NaN" | "nan" | "Unknown"
    )
}

fn short(field: &str) -> String {
    field.chars().take(40).collect()
}

/// `2023-03-01 00:00:00`, with or without a zone (which is the same for a whole trace), as seconds of its own
/// calendar; `None` if it is empty.
pub fn time(field: &str) -> Result<Option<f64>, String> {
    if missing(field) {
        return Ok(None);
    }
    let wrong = || format!("`{}` is not a time; expected 2017-10-09 07:02:30", short(field));
    let plain = field.get(..19).ok_or_else(wrong)?;
    let civil: jiff::civil::DateTime = plain.parse().map_err(|_| wrong())?;
    let zoned = civil.to_zoned(jiff::tz::TimeZone::UTC).map_err(|_| wrong())?;
    Ok(Some(zoned.timestamp().as_second() as f64))
}
