//! `genie workload explain`: a trace, or one node of it, in words.

use super::input::{self, Input};
use crate::report::style::{Style, wrap};
use crate::testbed::exit;
use crate::workload::chakra::{Node, Trace};
use crate::workload::error::FormatError;
use crate::workload::inspect::explain;

/// Arguments of `genie workload explain`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    input: Input,
    /// Only this node: its id or name.
    #[arg(long, value_name = "ID|NAME")]
    node: Option<String>,
    /// Whose trace, where there are several.
    #[arg(long, value_name = "RANK")]
    rank: Option<u32>,
}

/// Explains.
///
/// # Errors
/// The input cannot be read, or there is no such rank or node.
pub fn run(args: &Args) -> Result<i32, FormatError> {
    let source = input::open(&args.input)?;
    let ranks = source.ranks();
    let rank = args
        .rank
        .or(ranks.first().copied())
        .filter(|rank| ranks.contains(rank));
    let rank = rank.ok_or_else(|| FormatError::new(&args.input.input, "there is no trace of that rank"))?;
    let trace = source.trace(rank)?;
    let lines = match &args.node {
        None => explain::trace(&trace),
        Some(wanted) => {
            let missing = || {
                FormatError::new(
                    &args.input.input,
                    format!("there is no node `{}`", wanted.escape_debug()),
                )
            };
            explain::node(find(&trace, wanted).ok_or_else(missing)?)
        }
    };
    super::notice(&source.notices);
    let width = Style::of_stdout().width;
    let text: String = lines.iter().map(|line| wrap(line, width, "", "  ")).collect();
    crate::cli::print(&text);
    Ok(exit::OK)
}

fn find<'a>(trace: &'a Trace, wanted: &str) -> Option<&'a Node> {
    let id: Option<u64> = wanted.parse().ok();
    let by_id = trace.nodes.iter().find(|node| Some(node.id) == id);
    by_id.or_else(|| trace.nodes.iter().find(|node| node.name == wanted))
}
