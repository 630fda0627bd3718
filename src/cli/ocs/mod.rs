//! `genie ocs`: circuits of optical switches for people, against real ones and imitations alike.
//!
//! * `device`: show, plan, apply, connect, disconnect, save, restore, port. [`serve`]: an imitation.
//! * `signals`: waiting in the foreground.

mod device;
pub mod serve;
mod signals;

use std::path::{Path, PathBuf};

use clap::Subcommand;
use genie_drivers::ocs::{self, Endpoint, hold};

use crate::testbed::exit;

/// What exit codes mean here.
pub const EXIT_CODES: &str = "\
SWITCH is an address, DIALECT://HOST[:PORT] with DIALECT one of scpi, tl1-polatis, tl1-calient, restconf,
netconf (or netconf+ssh), sonic (or sonic+ssh), gnmi (or gnmi+tls), or the path of a device file.
Exit codes: 0 done; 2 bad input, a lease or a port that is not allowed: nothing was changed;
5 the switch could not be reached or did not do it.";

/// Arguments of `genie ocs`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Imitate a switch until signalled.
    Serve(serve::Args),
    /// Show a switch: identity, circuits, ports.
    Show(device::ShowArgs),
    /// Say what `apply` would change.
    Plan(device::ApplyArgs),
    /// Make the circuits that a file lists.
    Apply(device::ApplyArgs),
    /// Make circuits.
    Connect(device::ConnectArgs),
    /// Remove circuits.
    Disconnect(device::DisconnectArgs),
    /// Write circuits and ports to a file.
    Save(device::SaveArgs),
    /// Make circuits and ports what a file of `save` says.
    Restore(device::RestoreArgs),
    /// Shutters, attenuation and labels of ports.
    Port(device::PortArgs),
}

/// Runs it.
pub fn run(args: Args) -> i32 {
    let done = match args.command {
        Command::Serve(args) => return serve::run(&args),
        Command::Show(args) => device::show(&args),
        Command::Plan(args) => device::apply(&args, true),
        Command::Apply(args) => device::apply(&args, false),
        Command::Connect(args) => device::connect(&args),
        Command::Disconnect(args) => device::disconnect(&args),
        Command::Save(args) => device::save(&args),
        Command::Restore(args) => device::restore(&args),
        Command::Port(args) => device::port(&args),
    };
    match done {
        Ok(()) => exit::OK,
        Err((code, text)) => {
            super::complain(&text);
            code
        }
    }
}

/// Where leases are kept: what was asked for, else `GENIE_OCS_LEASES`, else a folder of this user.
pub fn lease_folder(asked: Option<&Path>) -> PathBuf {
    if let Some(folder) = asked {
        return folder.to_owned();
    }
    match std::env::var_os("GENIE_OCS_LEASES").filter(|folder| !folder.is_empty()) {
        Some(folder) => folder.into(),
        None => {
            let mut name = genie_emu::state::default_dir().into_os_string();
            name.push("-ocs");
            name.into()
        }
    }
}

/// Puts back circuits that killed holders have left, and says so; gives the exit code.
pub fn recover(folder: &Path) -> i32 {
    let open = |name: &str| {
        let endpoint = Endpoint::find(name).map_err(|e| e.to_string())?;
        let settle = endpoint.settle;
        let switch = ocs::open(endpoint).map_err(|e| e.to_string())?;
        Ok((switch, settle))
    };
    let restored = match hold::restore_dead(folder, open) {
        Ok(restored) => restored,
        Err(error) => {
            super::complain(&format!("cannot read leases in {}: {error}", folder.display()));
            return exit::INTERNAL;
        }
    };
    let mut code = exit::OK;
    for one in restored {
        match one.result {
            Ok(_) => super::print_error(&format!(
                "put back the circuits that a killed genie left on {}\n",
                one.switch
            )),
            Err(error) => {
                code = exit::INTERNAL;
                super::complain(&format!(
                    "{}: circuits of a killed genie could not be put back: {error}",
                    one.switch
                ));
            }
        }
    }
    code
}
