//! `genie man`: manual pages, made from the same descriptions as `--help`.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use clap::{Command, CommandFactory};
use clap_mangen::Man;

use crate::results::durable::Output;
use crate::testbed::exit;

/// Arguments of `genie man`.
#[derive(Debug, Clone, clap::Args)]
#[command(after_help = "\
For example:
  genie man run | man -l -
  genie man --dir ~/.local/share/man/man1")]
pub struct Args {
    /// The command whose page is printed; genie's own if none is named.
    #[arg(value_name = "COMMAND", conflicts_with = "dir")]
    command: Option<String>,
    /// Write the pages of all commands into this folder.
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
}

/// Prints a page, or writes all.
pub fn run(args: &Args) -> i32 {
    let mut genie = super::Cli::command();
    genie.build();
    if let Some(dir) = &args.dir {
        return match write(dir, &genie) {
            Ok(()) => exit::OK,
            Err(error) => {
                super::complain(&format!("cannot write pages to {}: {error}", dir.display()));
                exit::USAGE
            }
        };
    }
    let wanted = match &args.command {
        None => Some(&genie),
        Some(name) => shown(&genie).find(|command| command.get_name() == name),
    };
    match wanted.map(page) {
        Some(Ok(page)) => {
            super::print(&String::from_utf8_lossy(&page));
            exit::OK
        }
        Some(Err(error)) => {
            super::complain(&error.to_string());
            exit::INTERNAL
        }
        None => {
            super::complain("there is no such command\nhelp: `genie --help` lists all");
            exit::USAGE
        }
    }
}

/// The commands that people use.
fn shown(genie: &Command) -> impl Iterator<Item = &Command> {
    genie.get_subcommands().filter(|command| !command.is_hide_set())
}

fn page(command: &Command) -> io::Result<Vec<u8>> {
    let name = command.get_display_name().unwrap_or("genie").to_owned();
    let mut text = Vec::new();
    Man::new(command.clone())
        .title(name.to_uppercase())
        .render(&mut text)?;
    Ok(text)
}

fn write(dir: &Path, genie: &Command) -> io::Result<()> {
    fs::create_dir_all(dir)?;
    for command in std::iter::once(genie).chain(shown(genie)) {
        let name = command.get_display_name().unwrap_or("genie");
        let mut file = Output::create(&dir.join(format!("{name}.1")))?;
        file.write_all(&page(command)?)?;
        file.finish()?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_has_a_page_that_names_it() {
        let folder = tempfile::tempdir().unwrap();
        let mut genie = super::super::Cli::command();
        genie.build();
        write(folder.path(), &genie).unwrap();
        // The page of `help` says how to ask for help, and has no options.
        for command in shown(&genie).filter(|command| command.get_name() != "help") {
            let name = command.get_name();
            let page = fs::read_to_string(folder.path().join(format!("genie-{name}.1"))).unwrap();
            assert!(
                page.contains(".SH SYNOPSIS") && page.contains(".SH OPTIONS"),
                "{name}"
            );
        }
        assert!(!folder.path().join("genie-rank.1").exists());
    }
}
