//! The guest's image in the user's cache: a kernel to boot, and an archive with its modules. Made once;
//! what changes between runs (this program) is added at each start.

use std::fs::{self, DirBuilder, File};
use std::io::Write;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use nix::fcntl::{Flock, FlockArg};

use super::cpio::Archive;
use super::module::{NEEDED, TOOLS};
use super::{GuestError, kernel};

/// Changes when images of older versions do not do any more.
const FORMAT: &str = "1";
const KERNEL: &str = "vmlinux";
const MODULES: &str = "modules.cpio";
/// In the guest: names of modules in the order of loading, those for every guest and those for tools.
pub(super) const LISTS: [&str; 2] = ["modules/needed", "modules/tools"];

/// An image that can be booted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Image {
    /// Release of its kernel.
    pub release: String,
    /// Its folder.
    pub folder: PathBuf,
}

impl Image {
    /// The kernel, an ELF file.
    pub fn kernel(&self) -> PathBuf {
        self.folder.join(KERNEL)
    }

    /// The archive with its modules.
    pub fn modules(&self) -> PathBuf {
        self.folder.join(MODULES)
    }
}

/// The cache: `$XDG_CACHE_HOME/genie/guest`, else below `~/.cache`.
///
/// # Errors
/// If neither is known.
pub fn cache() -> Result<PathBuf, GuestError> {
    let absolute = |name: &str| {
        let path = std::env::var_os(name).map(PathBuf::from);
        path.filter(|path| path.is_absolute())
    };
    let base = absolute("XDG_CACHE_HOME").or_else(|| absolute("HOME").map(|home| home.join(".cache")));
    base.map(|base| base.join("genie/guest"))
        .ok_or_else(|| GuestError::Missing {
            what: "there is no folder to keep the guest in: neither XDG_CACHE_HOME nor HOME is set".into(),
            help: "set one of them to a folder of yours".into(),
        })
}

/// The image made last.
pub fn find(cache: &Path) -> Option<Image> {
    let image = |entry: fs::DirEntry| {
        let name = entry.file_name().into_string().ok()?;
        let release = name.strip_suffix(&format!("_{FORMAT}"))?.to_owned();
        let image = Image {
            release,
            folder: entry.path(),
        };
        let made: SystemTime = fs::metadata(image.modules()).ok()?.modified().ok()?;
        image.kernel().exists().then_some((made, image))
    };
    let images = fs::read_dir(cache).ok()?.flatten().filter_map(image);
    images.max_by_key(|(made, _)| *made).map(|(_, image)| image)
}

/// The image made last; if there is none or `anew`, makes it of the distribution's current kernel.
/// `say` hears what is being done, as this takes some seconds.
pub fn build(cache: &Path, anew: bool, say: &mut dyn FnMut(&str)) -> Result<Image, GuestError> {
    let made = DirBuilder::new().recursive(true).mode(0o700).create(cache);
    made.map_err(GuestError::file(cache))?;
    // Two runs that need an image at the same time: the second finds what the first has made.
    let lock = cache.join("lock");
    let file = File::create(&lock).map_err(GuestError::file(&lock))?;
    let _held =
        Flock::lock(file, FlockArg::LockExclusive).map_err(|(_, e)| GuestError::file(&lock)(e.into()))?;
    match find(cache) {
        Some(image) if !anew => Ok(image),
        _ => make(cache, say),
    }
}

fn make(cache: &Path, say: &mut dyn FnMut(&str)) -> Result<Image, GuestError> {
    let packages = kernel::packages()?;
    // Left by a build that was killed, perhaps.
    let scratch = cache.join("building");
    remove(&scratch)?;
    fs::create_dir(&scratch).map_err(GuestError::file(&scratch))?;
    say(&format!("fetching {}", packages.names.join(", ")));
    let kernel = kernel::fetch(&packages, &scratch)?;
    say("packing the kernel and its modules");
    let modules = archive(&kernel).map_err(|e| GuestError::format(&packages.release, e))?;
    write(&scratch.join(KERNEL), &kernel.vmlinux)?;
    write(&scratch.join(MODULES), &modules)?;
    let image = Image {
        folder: cache.join(format!("{}_{FORMAT}", packages.release)),
        release: packages.release,
    };
    remove(&image.folder)?;
    fs::rename(&scratch, &image.folder).map_err(GuestError::file(&image.folder))?;
    Ok(image)
}

fn archive(kernel: &kernel::Kernel) -> Result<Vec<u8>, String> {
    let mut archive = Archive::default();
    let needed = kernel.modules.in_order(NEEDED)?;
    let both = [NEEDED, TOOLS].concat();
    let tools = kernel.modules.in_order(&both)?.split_off(needed.len());
    for (list, modules) in LISTS.iter().zip([needed, tools]) {
        let names: Vec<&str> = modules.iter().map(|(name, _)| name.as_str()).collect();
        archive.file(list, names.join("\n").as_bytes());
        for (name, file) in &modules {
            archive.file(&format!("modules/{name}.ko"), file);
        }
    }
    Ok(archive.finish())
}

fn remove(folder: &Path) -> Result<(), GuestError> {
    match fs::remove_dir_all(folder) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(GuestError::file(folder)(e)),
        _ => Ok(()),
    }
}

/// Written through to the disk: an image that lost its content in a power cut would be taken for one.
fn write(path: &Path, content: &[u8]) -> Result<(), GuestError> {
    let write = || {
        let mut file = File::create(path)?;
        file.write_all(content)?;
        file.sync_all()
    };
    write().map_err(GuestError::file(path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_image_made_last_is_found_and_half_made_ones_are_not() {
        let cache = tempfile::tempdir().unwrap();
        assert_eq!(find(cache.path()), None);
        let add = |folder: &str, files: &[&str]| {
            fs::create_dir(cache.path().join(folder)).unwrap();
            for file in files {
                fs::write(cache.path().join(folder).join(file), "x").unwrap();
            }
        };
        add("building", &[KERNEL, MODULES]);
        add("5.10_0", &[KERNEL, MODULES]);
        add("6.12_1", &[KERNEL]);
        assert_eq!(find(cache.path()), None);
        add("6.1_1", &[KERNEL, MODULES]);
        assert_eq!(find(cache.path()).unwrap().release, "6.1");
    }
}
