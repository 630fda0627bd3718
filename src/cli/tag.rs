//! `genie tag` and `genie pin`: names for runs, and which to keep.

use std::path::PathBuf;

use crate::results::Store;
use crate::results::store::labels;
use crate::testbed::exit;

/// Arguments of `genie tag`.
#[derive(Debug, Clone, clap::Args)]
pub struct TagArgs {
    /// Run: id or its beginning, tag, `latest`, `latest~N`. Without it, lists all tags.
    #[arg(value_name = "RUN", requires = "name")]
    run: Option<String>,
    /// The tag: letters, digits, `.`, `_`, `-`.
    #[arg(value_name = "NAME")]
    name: Option<String>,
    /// Remove a tag.
    #[arg(long, value_name = "NAME", conflicts_with = "run")]
    delete: Option<String>,
    /// Take the tag from the run that has it.
    #[arg(long = "move")]
    moved: bool,
    /// The results folder.
    #[arg(long, value_name = "DIR", default_value = "results")]
    results: PathBuf,
}

/// Arguments of `genie pin`.
#[derive(Debug, Clone, clap::Args)]
pub struct PinArgs {
    /// Runs: ids or their beginnings, tags, `latest`, `latest~N`.
    #[arg(value_name = "RUN", required = true)]
    runs: Vec<String>,
    /// Take the pins out again.
    #[arg(long)]
    undo: bool,
    /// The results folder.
    #[arg(long, value_name = "DIR", default_value = "results")]
    results: PathBuf,
}

/// Sets, removes or lists tags.
pub fn tag(args: &TagArgs) -> i32 {
    let store = Store::new(&args.results);
    if let Some(name) = &args.delete {
        return super::told(labels::untag(store.root(), name), labels::LabelError::help);
    }
    let (Some(run), Some(name)) = (&args.run, &args.name) else {
        let lines = store
            .tags()
            .into_iter()
            .map(|(name, id)| format!("{id}  {name}\n"));
        super::print(&lines.collect::<String>());
        return exit::OK;
    };
    // A tag names all repetitions by way of the first.
    match super::ids(&store, std::slice::from_ref(run)) {
        Ok(ids) => super::told(
            labels::tag(store.root(), &ids[0], name, args.moved),
            labels::LabelError::help,
        ),
        Err(code) => code,
    }
}

/// Pins or unpins runs.
pub fn pin(args: &PinArgs) -> i32 {
    let store = Store::new(&args.results);
    let ids = match super::ids(&store, &args.runs) {
        Ok(ids) => ids,
        Err(code) => return code,
    };
    let each = |id| match args.undo {
        true => labels::unpin(store.root(), id),
        false => labels::pin(store.root(), id),
    };
    super::told(ids.iter().try_for_each(each), labels::LabelError::help)
}
