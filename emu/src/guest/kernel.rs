//! A kernel of the distribution: which packages hold it, fetching them without installing, and what of
//! them the guest needs.

use std::ffi::OsStr;
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::module::{self, Modules};
use super::{GuestError, bzimage};

/// Packages whose dependencies on one another are followed: a kernel comes in one to four of them.
const PARTS: [&str; 3] = ["linux-image-", "linux-binary-", "linux-modules-"];
/// Folders of modules that are looked at; dependencies do not leave them.
const FOLDERS: [&str; 9] = [
    "arch/x86/crypto/",
    "crypto/",
    "drivers/char/",
    "drivers/infiniband/core/",
    "drivers/infiniband/sw/",
    "drivers/virtio/",
    "fs/",
    "lib/",
    "net/",
];
/// Largest file of a package that is read, bytes.
const LARGEST: u64 = 256 << 20;

/// Packages with a kernel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Packages {
    /// The kernel's release, `6.1.0-56-amd64`.
    pub release: String,
    /// Names of the packages.
    pub names: Vec<String>,
}

/// A kernel, unpacked.
#[derive(Debug)]
pub struct Kernel {
    /// To be booted.
    pub vmlinux: Vec<u8>,
    /// Its modules.
    pub modules: Modules,
}

fn missing(what: impl Into<String>, help: impl Into<String>) -> GuestError {
    GuestError::Missing {
        what: what.into(),
        help: help.into(),
    }
}

/// Finds the packages of the distribution's current kernel.
///
/// # Errors
/// Not a distribution with apt, another processor than x86-64, or no lists of packages.
pub fn packages() -> Result<Packages, GuestError> {
    if std::env::consts::ARCH != "x86_64" {
        return Err(missing(
            format!(
                "the guest's kernel is one for x86-64; this is {}",
                std::env::consts::ARCH
            ),
            "use a kernel with soft-RoCE: `sudo modprobe rdma_rxe`",
        ));
    }
    let os = fs::read_to_string("/etc/os-release").unwrap_or_default();
    let meta = meta_package(&os).ok_or_else(|| {
        missing(
            format!(
                "a guest's kernel can be had on Debian and Ubuntu; this is {}",
                os_name(&os)
            ),
            "use a kernel with soft-RoCE: `sudo modprobe rdma_rxe`, often in a package of additional modules",
        )
    })?;
    for program in ["apt-get", "apt-cache", "dpkg-deb"] {
        if super::machine::in_path(program).is_none() {
            return Err(missing(
                format!("there is no `{program}`, which fetches the guest's kernel"),
                "install the packages `apt` and `dpkg`, or use a kernel with soft-RoCE: `sudo modprobe rdma_rxe`",
            ));
        }
    }
    let mut found = vec![meta.to_owned()];
    for next in 0.. {
        let Some(package) = found.get(next) else { break };
        for dependency in dependencies(&depends(package)?) {
            if !found.contains(&dependency) {
                found.push(dependency);
            }
        }
    }
    chosen(found).ok_or_else(|| {
        missing(
            format!("apt knows no kernel: nothing that `{meta}` depends on"),
            "sudo apt-get update",
        )
    })
}

/// The package that depends on the current kernel.
fn meta_package(os_release: &str) -> Option<&'static str> {
    let words = |key: &str| {
        let line = os_release.lines().find_map(|line| line.strip_prefix(key));
        let line = line.unwrap_or_default().replace('"', "");
        line.split_whitespace().map(str::to_owned).collect::<Vec<_>>()
    };
    let is = |name: &str| {
        [words("ID="), words("ID_LIKE=")]
            .concat()
            .iter()
            .any(|word| word == name)
    };
    match () {
        () if is("ubuntu") => Some("linux-image-generic"),
        () if is("debian") => Some("linux-image-amd64"),
        () => None,
    }
}

fn os_name(os_release: &str) -> String {
    let name = os_release
        .lines()
        .find_map(|line| line.strip_prefix("PRETTY_NAME="));
    name.map_or("another system".into(), |name| name.replace('"', ""))
}

fn depends(package: &str) -> Result<String, GuestError> {
    let mut command = Command::new("apt-cache");
    command.args(["depends", "--important", package]);
    match run(&mut command) {
        Ok(said) => Ok(String::from_utf8_lossy(&said).into_owned()),
        Err(GuestError::Program { said, .. }) if said.contains("No packages found") => Err(missing(
            format!("apt knows no package `{package}`"),
            "sudo apt-get update",
        )),
        Err(other) => Err(other),
    }
}

/// Of `  Depends: linux-image-6.1.0-56-amd64` the names that are parts of a kernel.
fn dependencies(text: &str) -> Vec<String> {
    let name = |line: &str| {
        let line = line.trim().trim_start_matches('|');
        let name = line
            .strip_prefix("Depends:")
            .or(line.strip_prefix("PreDepends:"))?
            .trim();
        PARTS
            .iter()
            .any(|part| name.starts_with(part))
            .then(|| name.to_owned())
    };
    text.lines().filter_map(name).collect()
}

/// Those with a version in their name; others only lead to them.
fn chosen(found: Vec<String>) -> Option<Packages> {
    let version = |name: &String| {
        let rest = PARTS.iter().find_map(|part| name.strip_prefix(part))?;
        let rest = rest.strip_prefix("extra-").unwrap_or(rest);
        rest.starts_with(|c: char| c.is_ascii_digit())
            .then(|| rest.to_owned())
    };
    let names: Vec<String> = found.into_iter().filter(|name| version(name).is_some()).collect();
    let release = names.iter().find_map(version)?;
    Some(Packages { release, names })
}

/// Fetches the packages into a folder, and unpacks what the guest needs.
pub fn fetch(packages: &Packages, folder: &Path) -> Result<Kernel, GuestError> {
    let mut command = Command::new("apt-get");
    command.arg("download").args(&packages.names).current_dir(folder);
    run(&mut command).map_err(|e| match e {
        GuestError::Program { what, said } => missing(
            format!("{what} failed: {said}"),
            "`sudo apt-get update` renews apt's lists; the guest's kernel is fetched once, so this needs the network",
        ),
        other => other,
    })?;
    let mut parts = Parts::default();
    let listing = fs::read_dir(folder).map_err(GuestError::file(folder))?;
    for package in listing.flatten().map(|entry| entry.path()) {
        if package.extension() == Some(OsStr::new("deb")) {
            parts.unpack(&package)?;
            fs::remove_file(&package).map_err(GuestError::file(&package))?;
        }
    }
    let image = parts
        .image
        .ok_or_else(|| GuestError::format(folder, format!("no vmlinuz in {}", packages.names.join(", "))))?;
    let vmlinux = bzimage::vmlinux(&image).map_err(|e| GuestError::format(folder.join("vmlinuz"), e))?;
    Ok(Kernel {
        vmlinux,
        modules: parts.modules,
    })
}

/// What was found in packages so far.
#[derive(Debug, Default)]
struct Parts {
    image: Option<Vec<u8>>,
    modules: Modules,
}

impl Parts {
    fn unpack(&mut self, package: &Path) -> Result<(), GuestError> {
        let mut child = Command::new("dpkg-deb")
            .arg("--fsys-tarfile")
            .arg(package)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .map_err(GuestError::file("dpkg-deb"))?;
        let tar = child.stdout.take();
        let read = tar.map_or(Ok(()), |tar| self.read(tar));
        let status = child.wait().map_err(GuestError::file("dpkg-deb"))?;
        read.map_err(|e| GuestError::format(package, e))?;
        match status.success() {
            true => Ok(()),
            false => Err(GuestError::format(package, "dpkg-deb cannot read it")),
        }
    }

    fn read(&mut self, tar: impl Read) -> std::io::Result<()> {
        let mut archive = tar::Archive::new(tar);
        for entry in archive.entries()? {
            let entry = entry?;
            let path = entry.path()?.to_string_lossy().into_owned();
            let path = path.trim_start_matches("./").trim_start_matches("usr/");
            if !entry.header().entry_type().is_file() || !wanted(path) {
                continue;
            }
            let mut content = Vec::new();
            entry.take(LARGEST).read_to_end(&mut content)?;
            match module::name_of(path) {
                Some(name) => self.modules.add(name, bzimage::unpack(&content)?),
                None if path.ends_with("modules.builtin") => {
                    self.modules.add_built_in(&String::from_utf8_lossy(&content));
                }
                None => self.image = Some(content),
            }
        }
        Ok(())
    }
}

fn wanted(path: &str) -> bool {
    if path.starts_with("boot/vmlinuz-") {
        return true;
    }
    let inside = path
        .strip_prefix("lib/modules/")
        .and_then(|rest| rest.split_once('/'));
    let Some((_, inside)) = inside else { return false };
    let Some(module) = inside.strip_prefix("kernel/") else {
        return inside == "vmlinuz" || inside == "modules.builtin";
    };
    let network = module.strip_prefix("drivers/net/");
    module.contains(".ko")
        && (FOLDERS.iter().any(|folder| module.starts_with(folder))
            || network.is_some_and(|name| !name.contains('/')))
}

/// Runs a program of the system in English; gives its standard output.
fn run(command: &mut Command) -> Result<Vec<u8>, GuestError> {
    let what = format!("`{}`", words(command).join(" "));
    let output = command.env("LC_ALL", "C").stdin(Stdio::null()).output();
    let output = output.map_err(GuestError::file(PathBuf::from(command.get_program())))?;
    if output.status.success() {
        return Ok(output.stdout);
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let last: Vec<&str> = said.trim().lines().rev().take(3).collect();
    let said = last.into_iter().rev().collect::<Vec<_>>().join("; ");
    Err(GuestError::Program { what, said })
}

fn words(command: &Command) -> Vec<String> {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(|word| word.to_string_lossy().into_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kernels_of_both_distributions_are_found() {
        let debian = "linux-image-amd64\n  Depends: linux-image-6.1.0-56-amd64\n";
        assert_eq!(dependencies(debian), ["linux-image-6.1.0-56-amd64"]);
        let ubuntu = "linux-image-generic\n  Depends: linux-image-6.8.0-48-generic\n  Depends: linux-modules-extra-6.8.0-48-generic\n  Depends: linux-firmware\n |Depends: intel-microcode\n";
        let found = [vec!["linux-image-generic".to_owned()], dependencies(ubuntu)].concat();
        let packages = chosen(found).unwrap();
        assert_eq!(packages.release, "6.8.0-48-generic");
        assert_eq!(
            packages.names,
            [
                "linux-image-6.8.0-48-generic",
                "linux-modules-extra-6.8.0-48-generic"
            ]
        );
        assert_eq!(chosen(vec!["linux-image-amd64".into()]), None);
    }

    #[test]
    fn distributions_are_told_apart() {
        assert_eq!(meta_package("ID=debian\n"), Some("linux-image-amd64"));
        assert_eq!(
            meta_package("NAME=\"Ubuntu\"\nID=ubuntu\nID_LIKE=debian\n"),
            Some("linux-image-generic")
        );
        assert_eq!(
            meta_package("ID=linuxmint\nID_LIKE=\"ubuntu debian\"\n"),
            Some("linux-image-generic")
        );
        assert_eq!(meta_package("ID=fedora\nPRETTY_NAME=\"Fedora\"\n"), None);
        assert_eq!(os_name("PRETTY_NAME=\"Fedora Linux 43\"\n"), "Fedora Linux 43");
    }

    #[test]
    fn only_what_may_be_needed_is_unpacked() {
        for path in [
            "boot/vmlinuz-6.1.0-56-amd64",
            "lib/modules/7.3.4/vmlinuz",
            "lib/modules/6.1/modules.builtin",
            "lib/modules/6.1/kernel/drivers/infiniband/sw/rxe/rdma_rxe.ko.xz",
            "lib/modules/6.1/kernel/drivers/net/veth.ko",
        ] {
            assert!(wanted(path), "{path}");
        }
        for path in [
            "boot/config-6.1",
            "lib/modules/6.1/kernel/drivers/net/ethernet/intel/ice/ice.ko",
            "lib/modules/6.1/kernel/sound/soundcore.ko",
            "lib/modules/6.1/modules.order",
        ] {
            assert!(!wanted(path), "{path}");
        }
    }
}
