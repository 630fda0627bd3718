//! `genie rank N`: one rank's process, started by `genie run`.

use crate::testbed::{exit, rank};

/// Arguments of `genie rank`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Which rank.
    rank: u32,
}

/// Runs the rank to its end.
pub fn run(args: Args) -> i32 {
    match rank::run(args.rank) {
        Ok(()) => exit::OK,
        Err(error @ rank::RankError::NotLaunched(_)) => {
            super::complain(&error.to_string());
            exit::USAGE
        }
        Err(error) => {
            super::complain(&error.to_string());
            exit::INTERNAL
        }
    }
}
