//! `genie completions`: what a shell needs to complete `genie` commands.

use clap::CommandFactory;
use clap_complete::Shell;

use crate::testbed::exit;

/// Arguments of `genie completions`.
#[derive(Debug, Clone, clap::Args)]
#[command(after_help = "\
For example:
  genie completions bash > ~/.local/share/bash-completion/completions/genie
  genie completions zsh > \"${fpath[1]}/_genie\"
  genie completions fish > ~/.config/fish/completions/genie.fish")]
pub struct Args {
    /// Which shell.
    shell: Shell,
}

/// Prints the script.
pub fn run(args: &Args) -> i32 {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut super::Cli::command(), "genie", &mut script);
    super::print(&String::from_utf8_lossy(&script));
    exit::OK
}
