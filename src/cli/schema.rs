//! `genie schema`: the JSON schema of scenario files.

/// Arguments of `genie schema`.
#[derive(Debug, clap::Args)]
pub struct Args {}

/// Prints the schema.
pub fn run(_: Args) -> i32 {
    super::print(&crate::scenario::schema::json());
    0
}
