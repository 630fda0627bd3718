//! QEMU with one guest: how it is called, how it ends with this process, and what it says on its
//! console.
#![allow(unsafe_code)]

use std::collections::VecDeque;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;

use nix::sys::memfd::{MFdFlags, memfd_create};

use super::image::Image;
use super::{GuestError, program, wire};

const QEMU: &str = "qemu-system-x86_64";
/// The end of the console that is kept, bytes.
const CONSOLE: usize = 4096;
/// The processor that QEMU's translator imitates: one without those extensions that programs choose because they
/// are fast, and that are slow when translated. `rep movsb` moves a byte for each round through the translated code:
/// with it, soft-RoCE carries a quarter.
const TRANSLATED: &str = "max,-erms,-fsrm,-avx2,-pclmulqdq";
/// Saves the guest's kernel work that means nothing here.
const KERNEL_OPTIONS: &str = "console=ttyS0 quiet panic=-1 mitigations=off cryptomgr.notests \
    audit=0 apparmor=0 lsm= random.trust_cpu=1 rcupdate.rcu_expedited=1 8250.nr_uarts=1";
/// The same of the kernel itself, whose processor is translated: 112 is `rep_good` by its number (`cpufeatures.h`),
/// without which memory is not moved by `rep movsq` either.
const TRANSLATED_OPTIONS: &str = "clearcpuid=112";
/// The translator hands out this processor's own counter of cycles. The kernel does not trust it, and would ask an
/// imitated timer for the time, which takes a dozen times as long; where it goes at one pace it is right.
const CLOCK: &str = "tsc=reliable";
/// Tags of folders that the guest may mount: the root of all files, and writable folders by number.
pub(super) const ROOT: &str = "root";

/// The tag of a writable folder.
pub(super) fn writable_tag(number: usize) -> String {
    format!("writable{number}")
}

/// Where a program is.
pub(super) fn in_path(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .map(|folder| folder.join(program))
        .find(|candidate| candidate.is_file())
}

/// What carries out the guest's instructions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Accelerator {
    /// The processor itself.
    Kvm,
    /// QEMU's translator: works everywhere, some ten times slower.
    Tcg,
}

impl Accelerator {
    /// KVM where a kernel can be booted in it: with the processor's own extensions, and not PVM, which
    /// offers `/dev/kvm` but runs only kernels made for it.
    pub fn best() -> Self {
        let cpuinfo = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let usable = File::options().read(true).write(true).open("/dev/kvm").is_ok();
        if usable && has_extensions(&cpuinfo) && !Path::new("/sys/module/kvm_pvm").exists() {
            Accelerator::Kvm
        } else {
            Accelerator::Tcg
        }
    }

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Accelerator::Kvm => "KVM",
            Accelerator::Tcg => "TCG",
        }
    }

    /// The kernel's command line; after `--` the arguments of `/init`.
    fn command_line(self) -> String {
        match self {
            Accelerator::Kvm => format!("{KERNEL_OPTIONS} -- vm init"),
            Accelerator::Tcg => {
                let cpuinfo = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
                let clock = if has_flag(&cpuinfo, "constant_tsc") {
                    CLOCK
                } else {
                    ""
                };
                format!("{KERNEL_OPTIONS} {TRANSLATED_OPTIONS} {clock} -- vm init")
            }
        }
    }

    fn arguments(self) -> [&'static str; 4] {
        match self {
            Accelerator::Kvm => ["-accel", "kvm", "-cpu", "host"],
            Accelerator::Tcg => ["-accel", "tcg,thread=multi,tb-size=128", "-cpu", TRANSLATED],
        }
    }
}

fn has_extensions(cpuinfo: &str) -> bool {
    has_flag(cpuinfo, "vmx") || has_flag(cpuinfo, "svm")
}

fn has_flag(cpuinfo: &str, wanted: &str) -> bool {
    let flags = cpuinfo.lines().find(|line| line.starts_with("flags"));
    flags.is_some_and(|flags| flags.split_whitespace().any(|flag| flag == wanted))
}

/// QEMU as it is installed here.
#[derive(Debug, Clone)]
pub struct Qemu {
    program: PathBuf,
    /// `7.2.22`.
    pub version: String,
    /// What it will use.
    pub accelerator: Accelerator,
}

impl Qemu {
    /// Finds it.
    pub fn find() -> Result<Self, GuestError> {
        let program = in_path(QEMU).ok_or_else(|| GuestError::Missing {
            what: format!("there is no {QEMU}, which runs the guest"),
            help: "sudo apt-get install --no-install-recommends qemu-system-x86".into(),
        })?;
        let answer = Command::new(&program)
            .arg("--version")
            .stdin(Stdio::null())
            .output();
        let answer = answer.map_err(GuestError::file(&program))?;
        let text = String::from_utf8_lossy(&answer.stdout).into_owned();
        let version = text
            .split_whitespace()
            .nth(3)
            .ok_or_else(|| GuestError::Program {
                what: format!("{} --version", program.display()),
                said: text.clone(),
            })?;
        Ok(Self {
            program,
            version: version.to_owned(),
            accelerator: Accelerator::best(),
        })
    }

    /// `QEMU 7.2.22, TCG`.
    pub fn describe(&self) -> String {
        format!("QEMU {}, {}", self.version, self.accelerator.name())
    }
}

/// How large the guest is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Size {
    /// Virtual processors.
    pub processors: usize,
    /// Memory, MiB; taken from this machine as the guest uses it.
    pub memory_mib: u64,
}

impl Size {
    /// As many processors as here, up to 8; a quarter of the memory, 512 MiB to 4 GiB.
    pub fn fitting() -> Self {
        let meminfo = fs::read_to_string("/proc/meminfo").unwrap_or_default();
        let total = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"));
        let kib = total.and_then(|rest| rest.split_whitespace().next()?.parse::<u64>().ok());
        Self {
            processors: thread::available_parallelism().map_or(1, usize::from).min(8),
            memory_mib: (kib.unwrap_or(0) / 4096).clamp(512, 4096),
        }
    }
}

/// A running QEMU. Dropping it kills it.
#[derive(Debug)]
pub struct Machine {
    child: Child,
    /// The guest's port.
    pub port: UnixStream,
    console: Arc<Mutex<VecDeque<u8>>>,
    listener: Option<thread::JoinHandle<()>>,
}

impl Machine {
    /// Starts a guest that has this program as its first process and all files of this machine to read.
    ///
    /// To be called on the main thread: QEMU ends with the thread that has started it.
    pub fn start(
        qemu: &Qemu,
        image: &Image,
        program: &Path,
        size: Size,
        writable: &[PathBuf],
    ) -> Result<Self, GuestError> {
        let initrd = initrd(image, program)?;
        let failed = GuestError::file(&qemu.program);
        let (port, theirs) = UnixStream::pair().map_err(GuestError::file("a socket"))?;
        let theirs = OwnedFd::from(theirs);
        let mut command = Command::new(&qemu.program);
        command
            .args([
                "-M",
                "pc",
                "-nodefaults",
                "-display",
                "none",
                "-no-reboot",
                "-no-user-config",
            ])
            .args(qemu.accelerator.arguments())
            .args([
                "-smp",
                &size.processors.to_string(),
                "-m",
                &size.memory_mib.to_string(),
            ])
            .arg("-kernel")
            .arg(image.kernel())
            .args(["-initrd", &format!("/proc/self/fd/{}", initrd.as_raw_fd())])
            .args(["-append", &qemu.accelerator.command_line()])
            .args([
                "-chardev",
                "stdio,id=console,signal=off",
                "-serial",
                "chardev:console",
            ])
            .args(["-device", "virtio-serial-pci"])
            .args(["-chardev", &format!("socket,id=port,fd={}", theirs.as_raw_fd())])
            .args([
                "-device",
                &format!("virtserialport,chardev=port,name={}", wire::PORT),
            ])
            .args(share("/".as_ref(), ROOT, true));
        for (number, folder) in writable.iter().enumerate() {
            command.args(share(folder, &writable_tag(number), false));
        }
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        inherit(&mut command, &[&initrd, &theirs]);
        let mut child = command.spawn().map_err(failed)?;
        let console = Arc::new(Mutex::new(VecDeque::new()));
        let mut parts: Vec<Box<dyn Read + Send>> = Vec::new();
        parts.extend(
            child
                .stdout
                .take()
                .map(|out| Box::new(out) as Box<dyn Read + Send>),
        );
        parts.extend(
            child
                .stderr
                .take()
                .map(|err| Box::new(err) as Box<dyn Read + Send>),
        );
        let listener = listen(parts, console.clone());
        Ok(Self {
            child,
            port,
            console,
            listener: Some(listener),
        })
    }

    /// QEMU's process.
    pub fn process(&self) -> i32 {
        self.child.id() as i32
    }

    /// Kills it, and gives the end of what it said on its console and QEMU itself said.
    pub fn end(mut self) -> String {
        self.kill();
        if let Some(listener) = self.listener.take() {
            // It ends with QEMU's last word; a panic in it has lost only words.
            let _ = listener.join();
        }
        let console = self
            .console
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner());
        let bytes: Vec<u8> = console.iter().copied().collect();
        readable(&bytes)
    }

    fn kill(&mut self) {
        // Already ended is as well.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        self.kill();
    }
}

/// The modules, and after them this program, in a file that is nowhere but in memory.
fn initrd(image: &Image, program: &Path) -> Result<OwnedFd, GuestError> {
    let modules = fs::read(image.modules()).map_err(GuestError::file(image.modules()))?;
    let own = program::archive(program)?;
    let write = || {
        let mut file = File::from(memfd_create(c"initrd", MFdFlags::MFD_CLOEXEC)?);
        file.write_all(&modules)?;
        file.write_all(&own)?;
        Ok::<OwnedFd, io::Error>(file.into())
    };
    write().map_err(GuestError::file("the guest's first files"))
}

fn share(folder: &Path, tag: &str, readonly: bool) -> [String; 2] {
    let readonly = if readonly { "on" } else { "off" };
    // A comma in a value is written twice.
    let path = folder.to_string_lossy().replace(',', ",,");
    let value =
        format!("local,path={path},mount_tag={tag},security_model=none,multidevs=remap,readonly={readonly}");
    ["-virtfs".into(), value]
}

/// Lets the child have these descriptors, a group of its own (the terminal's Ctrl-C is for us), and
/// an end when we end.
fn inherit(command: &mut Command, descriptors: &[&OwnedFd]) {
    let descriptors: Vec<i32> = descriptors.iter().map(|fd| fd.as_raw_fd()).collect();
    let parent = std::process::id();
    let check = |result: i32| match result {
        -1 => Err(io::Error::last_os_error()),
        _ => Ok(()),
    };
    // SAFETY: between fork and exec only async-signal-safe system calls are made, on descriptors that
    // the caller keeps open until the child is started.
    unsafe {
        command.pre_exec(move || {
            check(libc::setpgid(0, 0))?;
            check(libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL))?;
            if libc::getppid() as u32 != parent {
                return Err(io::Error::from_raw_os_error(libc::ESRCH));
            }
            descriptors
                .iter()
                .try_for_each(|&fd| check(libc::fcntl(fd, libc::F_SETFD, 0)))
        });
    }
}

/// Keeps the end of what is said.
fn listen(from: Vec<Box<dyn Read + Send>>, console: Arc<Mutex<VecDeque<u8>>>) -> thread::JoinHandle<()> {
    let one = |mut from: Box<dyn Read + Send>, console: &Mutex<VecDeque<u8>>| {
        let mut chunk = [0; 1024];
        while let Ok(count @ 1..) = from.read(&mut chunk) {
            let mut kept = console.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
            kept.extend(&chunk[..count]);
            let surplus = kept.len().saturating_sub(CONSOLE);
            kept.drain(..surplus);
        }
    };
    thread::spawn(move || {
        thread::scope(|scope| {
            for part in from {
                let console = &console;
                scope.spawn(move || one(part, console));
            }
        });
    })
}

/// The last lines without control characters, indented.
fn readable(bytes: &[u8]) -> String {
    const LINES: usize = 12;
    let text = String::from_utf8_lossy(bytes).replace('\r', "");
    let clean = |line: &str| line.chars().filter(|c| !c.is_control()).collect::<String>();
    let lines: Vec<String> = text
        .lines()
        .map(clean)
        .filter(|line| !line.trim().is_empty())
        .collect();
    let last = &lines[lines.len().saturating_sub(LINES)..];
    match last {
        [] => "  (none)".into(),
        last => last
            .iter()
            .map(|line| format!("  {line}"))
            .collect::<Vec<_>>()
            .join("\n"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kvm_needs_the_processor_s_extensions() {
        assert!(has_extensions("processor : 0\nflags\t\t: fpu vmx sse\n"));
        assert!(has_extensions("flags\t\t: svm\n"));
        assert!(!has_extensions("flags\t\t: fpu svm_lock vmxnet\n"));
        assert!(!has_extensions(""));
    }

    #[test]
    fn paths_with_commas_are_one_value() {
        let [_, value] = share("/a,b".as_ref(), "t", true);
        assert!(value.starts_with("local,path=/a,,b,mount_tag=t,"), "{value}");
    }

    #[test]
    fn the_console_s_end_is_readable() {
        assert_eq!(readable(b""), "  (none)");
        assert_eq!(readable(b"\x1b[1mone\r\n\r\ntwo\n"), "  [1mone\n  two");
        let many: String = (0..100).map(|n| format!("{n}\n")).collect();
        assert_eq!(readable(many.as_bytes()).lines().count(), 12);
    }
}
