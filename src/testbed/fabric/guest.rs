//! Programs in a small virtual machine with this machine's files: for fabrics that this kernel
//! cannot make.

use std::path::{Path, PathBuf};

use genie_emu::guest::image::{self, Image};
use genie_emu::guest::machine::{Qemu, Size};
use genie_emu::guest::session::Guest;
use genie_emu::guest::wire::Play;
use genie_emu::guest::{GuestError, INSIDE, init};
use genie_emu::journal::Journal;

use crate::testbed::exit;

pub use genie_emu::guest::inside;
pub use genie_emu::guest::session::Heard;

/// Variables that mean something on this machine only.
const OURS: [&str; 3] = ["TMPDIR", "XDG_RUNTIME_DIR", INSIDE];

/// What is to be played in a guest.
#[derive(Debug, Clone, Default)]
pub struct Errand {
    /// Program and arguments.
    pub argv: Vec<String>,
    /// Folders that it may write to; they must exist.
    pub writable: Vec<PathBuf>,
    /// Whether kernel modules for trying things out are loaded.
    pub tools: bool,
    /// Memory of the guest, MiB; `None`: what fits this machine.
    pub memory_mib: Option<u64>,
}

/// Why nothing, or not all, was played.
#[derive(Debug, thiserror::Error)]
pub enum ErrandError {
    /// The guest.
    #[error(transparent)]
    Guest(#[from] GuestError),
    /// Nothing can be journalled.
    #[error(transparent)]
    Journal(#[from] genie_emu::journal::JournalError),
    /// This machine's side of it.
    #[error("{what}: {source}")]
    Here {
        /// What was tried.
        what: String,
        /// Why it failed.
        source: std::io::Error,
    },
}

impl ErrandError {
    /// The exit code that says so.
    pub fn exit_code(&self) -> i32 {
        match self {
            ErrandError::Guest(GuestError::Missing { .. } | GuestError::NotStarted { .. }) => exit::USAGE,
            ErrandError::Guest(GuestError::Boot { .. } | GuestError::Lost { .. }) => exit::FABRIC,
            _ => exit::INTERNAL,
        }
    }
}

/// Makes the guest's image if there is none yet, or `anew`.
pub fn build(anew: bool, say: &mut dyn FnMut(&str)) -> Result<Image, GuestError> {
    image::build(&image::cache()?, anew, say)
}

/// Plays a program in a guest; gives its exit code. `say` hears what is being done about the guest.
pub fn play(
    errand: &Errand,
    say: &mut dyn FnMut(&str),
    hear: &mut dyn FnMut(Heard<'_>),
) -> Result<i32, ErrandError> {
    let qemu = Qemu::find()?;
    let image = build(false, say)?;
    let here = |what: &'static str| {
        move |source| ErrandError::Here {
            what: what.into(),
            source,
        }
    };
    let folder = std::env::current_dir().map_err(here("the current folder"))?;
    let play = Play {
        argv: errand.argv.clone(),
        environment: environment(&qemu.describe()),
        folder,
        writable: errand.writable.clone(),
        tools: errand.tools,
        own: std::env::current_exe().unwrap_or_default(),
    };
    let mut size = Size::fitting();
    size.memory_mib = errand.memory_mib.unwrap_or(size.memory_mib);
    let guest = Guest {
        qemu: &qemu,
        image: &image,
        // By this name it can be read even after a rebuild has replaced it.
        own: Path::new("/proc/self/exe"),
        size,
    };
    let journal = Journal::create(&format!("vm-{}", std::process::id()))?;
    let played = guest.play(&play, &journal, hear);
    journal
        .finish()
        .map_err(here("the journal could not be removed"))?;
    Ok(played?)
}

/// This process's variables that are text, and what plays.
fn environment(player: &str) -> Vec<(String, String)> {
    let text = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
    let kept = text.filter(|(name, _)| !OURS.contains(&name.as_str()));
    let temporary = ("TMPDIR".to_owned(), "/dev/shm".to_owned());
    kept.chain([temporary, (INSIDE.to_owned(), player.to_owned())])
        .collect()
}

/// The first process of a guest; returns only if it fails.
pub fn first_process() -> std::io::Error {
    match init::run() {
        Ok(()) => std::io::Error::other("the host did not end the guest"),
        Err(e) => e,
    }
}
