//! `genie vm`: the small virtual machine that has soft-RoCE where this kernel has not.

use std::io::{self, IsTerminal, Write};
use std::path::PathBuf;

use crate::testbed::exit;
use crate::testbed::fabric::guest::{self, Errand, Heard};

/// Arguments of `genie vm`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Make the guest's image: fetch the distribution's kernel, without installing it, into the user's
    /// cache. A run that needs the guest does this by itself.
    Build(BuildArgs),
    /// Run a program in the guest. Its files are this machine's; it can write to the current folder.
    Run(RunArgs),
    /// The guest's first process.
    #[command(hide = true)]
    Init,
}

#[derive(Debug, clap::Args)]
struct BuildArgs {
    /// Make it anew, of the kernel that is current now.
    #[arg(long)]
    force: bool,
}

#[derive(Debug, clap::Args)]
struct RunArgs {
    /// Another folder that the program may write to.
    #[arg(long, value_name = "DIR")]
    writable: Vec<PathBuf>,
    /// Memory of the guest in MiB, 256 at least; a quarter of this machine's unless given.
    #[arg(long, value_name = "MIB", value_parser = clap::value_parser!(u64).range(256..=1_048_576))]
    memory: Option<u64>,
    /// Program and arguments.
    #[arg(last = true, required = true)]
    program: Vec<String>,
}

/// Does what the sub-command says.
pub fn run(args: Args) -> i32 {
    match args.command {
        Command::Build(args) => build(&args),
        Command::Run(args) => run_program(args),
        Command::Init => {
            super::complain(&guest::first_process().to_string());
            exit::INTERNAL
        }
    }
}

fn build(args: &BuildArgs) -> i32 {
    match guest::build(args.force, &mut |text| super::print_error(&format!("# {text}\n"))) {
        Ok(image) => {
            super::print(&format!(
                "guest with Linux {} in {}\n",
                image.release,
                image.folder.display()
            ));
            exit::OK
        }
        Err(error) => refused(&error.into()),
    }
}

fn run_program(args: RunArgs) -> i32 {
    let here = std::env::current_dir().into_iter();
    let errand = Errand {
        argv: args.program,
        writable: here.chain(args.writable).collect(),
        tools: true,
        memory_mib: args.memory,
    };
    play(errand, false)
}

/// Plays this very command in a guest, which may write to the folder of results.
pub fn same_command(results: PathBuf, quiet: bool) -> i32 {
    let argv = std::env::args_os()
        .map(std::ffi::OsString::into_string)
        .collect::<Result<Vec<_>, _>>();
    let (Ok(mut argv), Ok(own)) = (argv, std::env::current_exe()) else {
        super::complain("arguments that are not UTF-8 cannot be taken into a guest");
        return exit::USAGE;
    };
    argv[0] = own.to_string_lossy().into_owned();
    let errand = Errand {
        argv,
        writable: vec![results],
        ..Errand::default()
    };
    play(errand, quiet)
}

fn play(mut errand: Errand, quiet: bool) -> i32 {
    for folder in &mut errand.writable {
        let made = std::fs::create_dir_all(&*folder).and_then(|()| folder.canonicalize());
        match made {
            Ok(path) => *folder = path,
            Err(e) => {
                super::complain(&format!("{}: {e}", folder.display()));
                return exit::USAGE;
            }
        }
    }
    errand.writable.sort();
    errand.writable.dedup();
    // What a killed run has left is undone now; what cannot be is no reason not to run.
    let _ = genie_emu::journal::clean_dead();
    let talkative = !quiet && io::stderr().is_terminal();
    let mut say = |text: &str| {
        if talkative {
            super::print_error(&format!("# {text}\n"));
        }
    };
    let mut hear = |heard: Heard<'_>| match heard {
        Heard::Up(up, after) if talkative => super::print_error(&format!(
            "# guest with Linux {} up after {:.1} s\n",
            up.kernel,
            after.as_secs_f64()
        )),
        Heard::Up(..) => {}
        Heard::Out(bytes) => pass_on(&mut io::stdout().lock(), bytes),
        Heard::Err(bytes) => pass_on(&mut io::stderr().lock(), bytes),
    };
    match guest::play(&errand, &mut say, &mut hear) {
        Ok(code) => code,
        Err(error) => refused(&error),
    }
}

/// A reader that went away is no error.
fn pass_on(to: &mut dyn Write, bytes: &[u8]) {
    let _ = to.write_all(bytes).and_then(|()| to.flush());
}

fn refused(error: &guest::ErrandError) -> i32 {
    super::complain(&error.to_string());
    error.exit_code()
}
