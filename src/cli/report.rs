//! `genie report`: runs as one HTML file.

use std::path::{Path, PathBuf};

use crate::report::html;
use crate::report::html::side::Side;
use crate::results::diff::{Comparison, Metric, Options, compare, stored};
use crate::results::store::{Selector, StoreError};
use crate::results::{Store, durable};
use crate::testbed::exit;

/// Arguments of `genie report`.
#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    /// Runs: ids or their beginnings, tags, `latest`, `latest~N`, or paths; repetitions go together. Several are
    /// compared with the first.
    #[arg(value_name = "RUN", required = true)]
    runs: Vec<String>,
    /// The file to write; `report-<run>.html` if not given.
    #[arg(long, short, value_name = "FILE.html")]
    output: Option<PathBuf>,
    /// The results folder.
    #[arg(long, value_name = "DIR", default_value = "results")]
    results: PathBuf,
}

/// Writes the report; says where.
pub fn run(args: &Args) -> i32 {
    match gather(args) {
        Ok((sides, comparison)) => {
            let id = &sides[0].run().manifest.run_id;
            let file = args.output.clone();
            let file = file.unwrap_or_else(|| PathBuf::from(format!("report-{id}.html")));
            write(&file, &html::page(&sides, comparison.as_ref()))
        }
        Err(error) => super::refused(&error, &error.help()),
    }
}

/// The runs, and how they compare where there are several.
fn gather(args: &Args) -> Result<(Vec<Side>, Option<Comparison>), StoreError> {
    let store = Store::new(&args.results);
    let damaged = |(path, damage)| StoreError::Damaged { path, damage };
    let (mut sides, mut series) = (Vec::new(), Vec::new());
    for text in &args.runs {
        let selector: Selector = text.parse().map_err(StoreError::from)?;
        let folders = store.select(&selector)?;
        sides.push(Side::read(text, &folders).map_err(damaged)?);
        if args.runs.len() > 1 {
            series.push(stored::series(text, &folders, Metric::Time).map_err(damaged)?);
        }
    }
    let comparison = (series.len() > 1).then(|| compare(&series, &Options::default()));
    Ok((sides, comparison))
}

fn write(file: &Path, page: &str) -> i32 {
    match durable::output(file, page) {
        Ok(()) => {
            super::print(&format!("{}\n", file.display()));
            exit::OK
        }
        Err(error) => {
            super::complain(&format!(
                "cannot write {}: {error}\nhelp: give another file with -o FILE.html",
                file.display()
            ));
            exit::USAGE
        }
    }
}
