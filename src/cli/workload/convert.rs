//! `genie workload convert`: writes traces of one or all ranks, and a comm-group file where they need one.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use clap::ValueEnum;

use super::input::{self, Input};
use crate::results::durable::{self, Output};
use crate::testbed::exit;
use crate::workload::chakra::{Trace, Writer};
use crate::workload::error::FormatError;
use crate::workload::json::{graph, protobuf};

/// Arguments of `genie workload convert`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    input: Input,
    /// Where to: PREFIX.0.et, PREFIX.1.et, ..., and PREFIX.groups.json if there are comm groups.
    #[arg(short, long, value_name = "PREFIX")]
    output: String,
    /// The format to write.
    #[arg(long, value_name = "FORMAT", default_value = "et")]
    to: Target,
}

/// Formats that are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Target {
    /// Chakra, protobuf: what ASTRA-sim reads.
    Et,
    /// Protobuf's JSON, as chakra_jsonizer writes it.
    Json,
    /// The JSON that only feeder version 1 reads (workload_graph).
    GraphJson,
}

/// Converts.
///
/// # Errors
/// The input cannot be read or the output not be written.
pub fn run(args: &Args) -> Result<i32, FormatError> {
    let source = input::open(&args.input)?;
    let ranks = source.ranks();
    let mut notices = source.notices.clone();
    let extension = if args.to == Target::Et { "et" } else { "json" };
    let path = |rank: u32| PathBuf::from(format!("{}.{rank}.{extension}", args.output));
    if source
        .files()
        .iter()
        .any(|file| ranks.iter().any(|rank| same(file, &path(*rank))))
    {
        return Err(FormatError::new(
            &args.output,
            "the output would overwrite the input",
        ));
    }
    let mut nodes = 0;
    for rank in &ranks {
        let trace = source.trace(*rank)?;
        nodes += trace.nodes.len();
        for lost in write(&trace, args.to, &path(*rank))? {
            let notice = format!("this form has no place for `{lost}`: left out");
            if !notices.contains(&notice) {
                notices.push(notice);
            }
        }
    }
    let mut text = format!(
        "{} traces, {nodes} nodes: {}\n",
        ranks.len(),
        path(ranks.first().copied().unwrap_or(0)).display()
    );
    if !source.groups.is_empty() {
        let path = PathBuf::from(format!("{}.groups.json", args.output));
        let groups = serde_json::to_string_pretty(&source.groups).expect("numbers are plain JSON");
        durable::output(&path, &(groups + "\n")).map_err(|error| failed(&path, &error))?;
        text += &format!("{} comm groups: {}\n", source.groups.len(), path.display());
    }
    super::notice(&notices);
    crate::cli::print(&text);
    Ok(exit::OK)
}

/// Writes one file; gives the attributes that were left out.
fn write(trace: &Trace, to: Target, path: &Path) -> Result<Vec<String>, FormatError> {
    let (text, lost) = match to {
        Target::Et => {
            et(trace, path).map_err(|error| failed(path, &error))?;
            return Ok(Vec::new());
        }
        Target::Json => (protobuf::write(trace), Vec::new()),
        Target::GraphJson => graph::write(trace),
    };
    durable::output(path, &text).map_err(|error| failed(path, &error))?;
    Ok(lost)
}

fn et(trace: &Trace, path: &Path) -> io::Result<()> {
    let mut writer = Writer::new(Output::create(path)?, &trace.metadata)?;
    trace.nodes.iter().try_for_each(|node| writer.node(node))?;
    writer.finish()?.finish()
}

fn failed(path: &Path, error: &io::Error) -> FormatError {
    FormatError::new(&path.display().to_string(), format!("cannot be written: {error}"))
}

fn same(a: &Path, b: &Path) -> bool {
    fs::canonicalize(a).is_ok_and(|a| fs::canonicalize(b).is_ok_and(|b| a == b))
}
