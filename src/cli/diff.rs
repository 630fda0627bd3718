//! `genie diff A B [C...]`: runs side by side.

use std::path::{Path, PathBuf};

use crate::report;
use crate::report::style::Style;
use crate::results::Store;
use crate::results::diff::foreign::ForeignError;
use crate::results::diff::options::{Filter, FilterError};
use crate::results::diff::{Field, Metric, Options, Series, compare, foreign, stored};
use crate::results::store::{Selector, StoreError};
use crate::testbed::exit;

/// Arguments of `genie diff`.
#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    /// Runs (id or its beginning, tag, `latest`, `latest~N`, path; `#N` for one repetition), or files
    /// of nccl-tests, OSU, perftest, iperf3 or ASTRA-sim. All are compared with the first.
    #[arg(value_name = "RUN", required = true, num_args = 2..)]
    runs: Vec<String>,
    /// The results folder.
    #[arg(long, value_name = "DIR", default_value = "results")]
    results: PathBuf,
    /// What to compare.
    #[arg(long, value_enum, default_value = "time")]
    metric: Metric,
    /// Only these collectives, with commas between.
    #[arg(long, value_name = "OP")]
    op: Option<String>,
    /// Only these sizes, with commas between: `1 MiB`.
    #[arg(long, value_name = "SIZE")]
    size: Option<String>,
    /// Only rows with this value of a field: `algorithm=ring`.
    #[arg(long = "where", value_name = "FIELD=VALUE")]
    filters: Vec<String>,
    /// Match rows whatever their value of this field: `--ignore algorithm` compares algorithms.
    #[arg(long, value_name = "FIELD", value_enum, value_delimiter = ',')]
    ignore: Vec<Field>,
    /// A geometric mean for each value of this field.
    #[arg(long, value_name = "FIELD", value_enum)]
    group: Option<Field>,
    /// A difference is proven when its corrected p is below.
    #[arg(long, default_value_t = 0.05, value_parser = share)]
    alpha: f64,
    /// Of intervals.
    #[arg(long, default_value_t = 0.95, value_parser = share)]
    confidence: f64,
    /// Changes up to this share are noise: `0.02`. Learned from repetitions or assumed if not given.
    #[arg(long, value_name = "SHARE", value_parser = floor)]
    noise: Option<f64>,
    /// One JSON object.
    #[arg(long, group = "form")]
    json: bool,
    /// Markdown, for a pull request.
    #[arg(long, group = "form")]
    markdown: bool,
    /// CSV.
    #[arg(long, group = "form")]
    csv: bool,
    /// Exit with 7 when a row is proven to be worse.
    #[arg(long)]
    exit_code: bool,
}

/// Between 0 and 1, both excluded.
fn share(text: &str) -> Result<f64, String> {
    let share = text.parse().ok().filter(|share| *share > 0.0 && *share < 1.0);
    share.ok_or_else(|| format!("`{text}` is not between 0 and 1"))
}

fn floor(text: &str) -> Result<f64, String> {
    let floor = text
        .parse()
        .ok()
        .filter(|share: &f64| *share >= 0.0 && share.is_finite());
    floor.ok_or_else(|| format!("`{text}` is not a share like 0.02"))
}

/// Why a column cannot be made.
#[derive(Debug, thiserror::Error)]
enum ColumnError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Foreign(#[from] ForeignError),
}

impl ColumnError {
    fn help(&self) -> String {
        match self {
            ColumnError::Store(error) => error.help(),
            ColumnError::Foreign(error) => error.help(),
        }
    }
}

/// Compares; 0 whatever it found, unless `--exit-code`.
pub fn run(args: &Args) -> i32 {
    let options = match options(args) {
        Ok(options) => options,
        Err(error) => return super::refused(&error, "for example --where algorithm=ring --size \"1 MiB\""),
    };
    let store = Store::new(&args.results);
    let mut series = Vec::new();
    for text in &args.runs {
        match column(&store, text, args.metric) {
            Ok(side) => series.push(side),
            Err(error) => return super::refused(&error, &error.help()),
        }
    }
    let comparison = compare(&series, &options);
    if comparison.rows.is_empty() {
        super::complain(
            "there is nothing to compare: no row is left\nhelp: look at --metric, --op, --size and --where",
        );
        return exit::USAGE;
    }
    super::print(&match () {
        () if args.json => report::diff::json(&comparison),
        () if args.markdown => report::diff::markdown(&comparison),
        () if args.csv => report::diff::csv(&comparison),
        () => report::diff::text(&comparison, Style::of_stdout()),
    });
    match args.exit_code && comparison.has_regression() {
        true => exit::REGRESSION,
        false => exit::OK,
    }
}

fn options(args: &Args) -> Result<Options, FilterError> {
    let mut filters = Vec::new();
    for (field, values) in [(Field::Op, &args.op), (Field::Bytes, &args.size)] {
        if let Some(values) = values {
            filters.push(Filter::of(field, values)?);
        }
    }
    for text in &args.filters {
        filters.push(Filter::parse(text)?);
    }
    Ok(Options {
        metric: args.metric,
        filters,
        ignored: args.ignore.clone(),
        group: args.group,
        alpha: args.alpha,
        confidence: args.confidence,
        floor: args.noise,
    })
}

/// A run, or else a file of another program.
fn column(store: &Store, text: &str, metric: Metric) -> Result<Series, ColumnError> {
    let path = Path::new(text);
    if path.is_file() {
        return Ok(foreign::series(text, path, metric)?);
    }
    let selector: Selector = text.parse().map_err(StoreError::from)?;
    let folders = store.select(&selector)?;
    let damaged = |(path, damage)| StoreError::Damaged { path, damage };
    Ok(stored::series(text, &folders, metric).map_err(damaged)?)
}
