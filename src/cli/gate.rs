//! `genie gate RUN [BASELINE]`: for CI; its exit code says what was found.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use crate::report;
use crate::report::style::Style;
use crate::results::gate::baseline::{Baseline, BaselineError};
use crate::results::gate::{Measured, Verdict, judge, measured};
use crate::results::store::{Selector, StoreError};
use crate::results::{Store, durable};
use crate::scenario::suggest;
use crate::testbed::exit;

/// Longest baseline, bytes.
const LONGEST: u64 = 16 << 20;

/// Arguments of `genie gate`.
#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    /// Run: id or its beginning, tag, `latest`, `latest~N`, path.
    #[arg(value_name = "RUN")]
    run: String,
    /// Baseline: a file, or a name in the `baselines` folder of the results. The scenario's name if not given.
    #[arg(value_name = "BASELINE")]
    baseline: Option<String>,
    /// The results folder.
    #[arg(long, value_name = "DIR", default_value = "results")]
    results: PathBuf,
    /// Make the baseline from the run instead: the ratios that hold from machine to machine.
    #[arg(long)]
    pin: bool,
    /// With --pin: replace the baseline that is there.
    #[arg(long, requires = "pin")]
    replace: bool,
    /// Write JUnit XML.
    #[arg(long, value_name = "FILE")]
    junit: Option<PathBuf>,
    /// One JSON object on stdout.
    #[arg(long)]
    json: bool,
}

/// Why a gate could not judge.
#[derive(Debug, thiserror::Error)]
enum GateError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("{}: {source}", path.display())]
    Baseline { path: PathBuf, source: BaselineError },
    #[error("{}: {source}", path.display())]
    Io { path: PathBuf, source: io::Error },
    #[error("there is no baseline {}", path.display())]
    NoBaseline { path: PathBuf },
}

impl GateError {
    fn help(&self) -> String {
        match self {
            GateError::NoBaseline { path } => match nearest(path) {
                Some(name) => {
                    format!("the nearest is `{name}`; `genie gate RUN --pin` makes a baseline of a run")
                }
                None => "`genie gate RUN --pin` makes a baseline of a run".into(),
            },
            GateError::Store(error) => error.help(),
            GateError::Baseline { .. } => "docs/comparing.md says what a baseline holds".into(),
            GateError::Io { .. } => "look at permissions and free space".into(),
        }
    }
}

/// Judges, or pins.
pub fn run(args: &Args) -> i32 {
    let done = match args.pin {
        true => pin(args).map(|path| {
            super::print(&format!("pinned {}\n", path.display()));
            exit::OK
        }),
        false => gate(args),
    };
    done.unwrap_or_else(|error| super::refused(&error, &error.help()))
}

/// As `genie gate RUN BASELINE`, for a run that was just made.
pub fn of_run(results: &Path, run: &str, baseline: &str) -> i32 {
    run_quietly(&Args {
        run: run.into(),
        baseline: Some(baseline.into()),
        results: results.into(),
        pin: false,
        replace: false,
        junit: None,
        json: false,
    })
}

/// The judgement goes to stderr: stdout is the run's.
fn run_quietly(args: &Args) -> i32 {
    let judged = measure(args).and_then(|(measured, path)| {
        let judgement = judge(&read(&path)?, &measured);
        super::print_error(&report::gate::text(&judgement, Style::PLAIN));
        summary(&report::gate::markdown(&judgement))?;
        Ok(code(judgement.verdict))
    });
    judged.unwrap_or_else(|error| super::refused(&error, &error.help()))
}

fn gate(args: &Args) -> Result<i32, GateError> {
    let (measured, path) = measure(args)?;
    let judgement = judge(&read(&path)?, &measured);
    super::print(&match args.json {
        true => report::gate::json(&judgement),
        false => report::gate::text(&judgement, Style::of_stdout()),
    });
    if let Some(path) = &args.junit {
        let xml = report::gate::junit(&judgement);
        durable::output(path, &xml).map_err(|source| failed(path, source))?;
    }
    summary(&report::gate::markdown(&judgement))?;
    Ok(code(judgement.verdict))
}

fn pin(args: &Args) -> Result<PathBuf, GateError> {
    let (measured, path) = measure(args)?;
    if path.exists() && !args.replace {
        let there = io::Error::new(
            io::ErrorKind::AlreadyExists,
            "is there already; --replace writes it anew",
        );
        return Err(failed(&path, there));
    }
    let scenario = measured.facts.get("scenario").cloned().unwrap_or_default();
    let baseline = Baseline::pin(&scenario, &measured).map_err(|source| GateError::Baseline {
        path: path.clone(),
        source,
    })?;
    let wrong = |error: toml::ser::Error| failed(&path, io::Error::other(error));
    let text = toml::to_string(&baseline).map_err(wrong)?;
    let head =
        "# Pinned by `genie gate --pin`: ratios that hold from machine to machine. See docs/comparing.md.\n";
    let folder = path
        .parent()
        .filter(|folder| *folder != Path::new(""))
        .unwrap_or(Path::new("."));
    let name = path.file_name().unwrap_or_default();
    let written = fs::create_dir_all(folder)
        .and_then(|()| durable::replace(folder, &name.to_string_lossy(), &format!("{head}{text}"), true));
    written.map_err(|source| failed(&path, source))?;
    Ok(path)
}

/// What was measured, and the path of the baseline.
fn measure(args: &Args) -> Result<(Measured, PathBuf), GateError> {
    let store = Store::new(&args.results);
    let selector: Selector = args.run.parse().map_err(StoreError::from)?;
    let folders = store.select(&selector)?;
    let measured = measured::read(&folders).map_err(|(path, damage)| StoreError::Damaged { path, damage })?;
    let scenario = measured.facts.get("scenario").cloned().unwrap_or_default();
    let baselines = args.results.join("baselines");
    let path = match &args.baseline {
        Some(name) if name.contains('/') || name.ends_with(".toml") => PathBuf::from(name),
        Some(name) => baselines.join(format!("{name}.toml")),
        None => baselines.join(format!("{}.toml", plain(&scenario))),
    };
    Ok((measured, path))
}

/// The baseline beside a path whose name is a slip of the hand away.
fn nearest(path: &Path) -> Option<String> {
    let wanted = path.file_stem()?.to_string_lossy().into_owned();
    let entries = fs::read_dir(path.parent()?)
        .ok()?
        .flatten()
        .map(|entry| entry.path());
    let baselines = entries.filter(|path| path.extension().is_some_and(|extension| extension == "toml"));
    let names: Vec<String> = baselines
        .filter_map(|path| Some(path.file_stem()?.to_string_lossy().into_owned()))
        .collect();
    suggest::nearest(&wanted, names.iter().map(String::as_str)).map(str::to_owned)
}

/// A scenario's name as that of a file: runs may come from anywhere.
fn plain(scenario: &str) -> String {
    let plain = |c: char| {
        if c.is_ascii_alphanumeric() || matches!(c, '_' | '-') {
            c
        } else {
            '-'
        }
    };
    scenario.chars().map(plain).collect()
}

fn read(path: &Path) -> Result<Baseline, GateError> {
    let length = match fs::metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(GateError::NoBaseline { path: path.into() });
        }
        data => data.map_err(|source| failed(path, source))?.len(),
    };
    if length > LONGEST {
        return Err(failed(path, io::Error::other("is too long for a baseline")));
    }
    let text = fs::read_to_string(path).map_err(|source| failed(path, source))?;
    Baseline::parse(&text).map_err(|source| GateError::Baseline {
        path: path.into(),
        source,
    })
}

/// Adds to the job summary of a GitHub action, where there is one.
fn summary(markdown: &str) -> Result<(), GateError> {
    let Some(path) = std::env::var_os("GITHUB_STEP_SUMMARY").filter(|path| !path.is_empty()) else {
        return Ok(());
    };
    let path = PathBuf::from(path);
    let opened = OpenOptions::new().append(true).create(true).open(&path);
    let written = opened.and_then(|mut file| file.write_all(markdown.as_bytes()));
    written.map_err(|source| failed(&path, source))
}

fn code(verdict: Verdict) -> i32 {
    match verdict {
        Verdict::Pass => exit::OK,
        Verdict::Regression => exit::REGRESSION,
        Verdict::MissingData => exit::MISSING_DATA,
        Verdict::EnvironmentDiffers => exit::ENVIRONMENT,
        Verdict::TooNoisy => exit::TOO_NOISY,
    }
}

fn failed(path: &Path, source: io::Error) -> GateError {
    GateError::Io {
        path: path.into(),
        source,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_name_that_is_like_it_is_suggested() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["hello.toml", "rfold-live.toml", "hallo.txt"] {
            fs::write(folder.path().join(name), "").unwrap();
        }
        let near = |name: &str| nearest(&folder.path().join(name));
        assert_eq!(near("helo.toml"), Some("hello".into()));
        assert_eq!(near("throughput.toml"), None);
    }
}
