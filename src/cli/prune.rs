//! `genie prune`: deletes runs beyond limits that are given. Nothing is ever deleted unasked.

use std::path::PathBuf;

use crate::results::store::retention::{self, Candidate, Limits};
use crate::results::{RunId, Store};
use crate::scenario::units::Bytes;
use crate::testbed::exit;

/// Arguments of `genie prune`.
#[derive(Debug, Clone, clap::Args)]
#[command(group = clap::ArgGroup::new("limit").required(true).multiple(true))]
pub struct Args {
    /// Keep so many of the newest runs; the repetitions of one count once.
    #[arg(long, value_name = "COUNT", group = "limit")]
    keep: Option<usize>,
    /// Delete what is older: `12h`, `30d`, `8w`.
    #[arg(long, value_name = "AGE", group = "limit", value_parser = age)]
    older_than: Option<f64>,
    /// Delete the oldest until the rest needs no more: `"10 GiB"`.
    #[arg(long, value_name = "BYTES", group = "limit")]
    size: Option<Bytes>,
    /// Only say what would be deleted.
    #[arg(long)]
    dry_run: bool,
    /// The results folder.
    #[arg(long, value_name = "DIR", default_value = "results")]
    results: PathBuf,
}

/// Seconds of `30d`.
fn age(text: &str) -> Result<f64, String> {
    let wrong = || format!("`{text}` is not an age like `12h`, `30d` or `8w`");
    let (number, unit) = text
        .split_at_checked(text.len().saturating_sub(1))
        .ok_or_else(wrong)?;
    let hours = match unit {
        "h" => 1,
        "d" => 24,
        "w" => 24 * 7,
        _ => return Err(wrong()),
    };
    let number: u32 = number.parse().map_err(|_| wrong())?;
    Ok(f64::from(number) * f64::from(hours) * 3600.0)
}

/// Deletes and says what.
pub fn run(args: &Args) -> i32 {
    let store = Store::new(&args.results);
    let sets = match retention::candidates(&store, jiff::Timestamp::now()) {
        Ok(sets) => sets,
        Err(error) => return super::refused(&error, &error.help()),
    };
    let limits = Limits {
        count: args.keep,
        age_s: args.older_than,
        bytes: args.size.map(|size| size.0),
    };
    let chosen: Vec<&Candidate> = retention::choose(&sets, limits)
        .into_iter()
        .map(|place| &sets[place])
        .collect();
    let (mut code, mut deleted, mut bytes) = (exit::OK, 0, 0);
    for set in chosen {
        let (done, what) = match args.dry_run {
            true => (Ok(()), "would delete"),
            false => (retention::delete_set(&store, &set.runs), "deleted"),
        };
        if let Err(error) = done {
            let ids: Vec<&str> = set.runs.iter().map(RunId::as_str).collect();
            super::complain(&format!("run {} cannot be deleted: {error}", ids.join(", ")));
            code = exit::INTERNAL;
            continue;
        }
        for id in &set.runs {
            super::print(&format!("{what} {id}\n"));
        }
        (deleted, bytes) = (deleted + 1, bytes + set.bytes);
    }
    let kept = sets.iter().filter(|set| set.protected).count();
    super::print(&format!(
        "{deleted} of {} runs, {}; {kept} pinned, tagged, running or damaged are kept\n",
        sets.len(),
        Bytes(bytes)
    ));
    code
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_have_units() {
        assert_eq!(age("12h"), Ok(43_200.0));
        assert_eq!(age("1w"), Ok(604_800.0));
        for text in ["", "d", "12", "-1d", "1.5d", "1y", "é"] {
            assert!(age(text).is_err(), "{text}");
        }
    }
}
