//! Microsoft's Philly trace: a JSON list of jobs with their attempts.

use serde::Deserialize;

use super::csv::time;
use super::read::{Row, Rows, TraceError};

#[derive(Deserialize)]
struct Entry {
    submitted_time: Option<String>,
    #[serde(default)]
    attempts: Vec<Attempt>,
}

#[derive(Deserialize)]
struct Attempt {
    start_time: Option<String>,
    end_time: Option<String>,
    #[serde(default)]
    detail: Vec<Server>,
}

#[derive(Deserialize)]
struct Server {
    #[serde(default)]
    gpus: Vec<serde::de::IgnoredAny>,
}

/// Reads all jobs: one runs for the sum of its attempts, on the GPUs of the largest.
pub fn read(text: &str) -> Result<Rows, TraceError> {
    let entries: Vec<Entry> =
        serde_json::from_str(text).map_err(|error| TraceError::Json(error.to_string()))?;
    let mut rows = Rows::default();
    for (number, entry) in entries.iter().enumerate() {
        let row = entry.row().map_err(|what| TraceError::At {
            place: "job",
            number: number + 1,
            what,
        })?;
        match row {
            Some(row) => rows.rows.push(row),
            None => rows.skipped += 1,
        }
    }
    Ok(rows)
}

impl Entry {
    fn row(&self) -> Result<Option<Row>, String> {
        let Some(arrival) = time(self.submitted_time.as_deref().unwrap_or(""))? else {
            return Ok(None);
        };
        let (mut seconds, mut gpus) = (0.0, 0);
        for attempt in &self.attempts {
            let of = |text: &Option<String>| time(text.as_deref().unwrap_or(""));
            if let Some((start, end)) = of(&attempt.start_time)?.zip(of(&attempt.end_time)?) {
                seconds += end - start;
            }
            gpus = gpus.max(attempt.detail.iter().map(|server| server.gpus.len()).sum());
        }
        Row::new(arrival, seconds, gpus as f64)
    }
}
