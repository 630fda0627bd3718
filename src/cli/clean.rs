//! `genie clean`: removes what the journals of killed runs say was made, and nothing else.

use genie_emu::journal;

use crate::testbed::exit;

/// Arguments of `genie clean`.
#[derive(Debug, clap::Args)]
pub struct Args {}

/// Cleans and says what was done.
#[allow(clippy::print_stdout)]
pub fn run(_args: Args) -> i32 {
    match journal::clean_dead() {
        Ok(report) => {
            println!("{report}");
            if report.is_complete() { exit::OK } else { exit::INTERNAL }
        }
        Err(error) => {
            super::complain(&error.to_string());
            exit::INTERNAL
        }
    }
}
