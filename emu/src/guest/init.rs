//! The guest's first process: loads modules, mounts the host's files, plays one program, relays what it
//! says, and reports its end.

use std::ffi::CString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read};
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::kmod::{ModuleInitFlags, finit_module};
use nix::mount::{MsFlags, mount};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigSet, Signal, killpg};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::{Pid, chdir, chroot, sethostname, sync};

use super::image::LISTS;
use super::machine::{ROOT, writable_tag};
use super::program::{INIT, LIBRARIES};
use super::wire::{self, Frames, PORT, Play, Said, Told, Up};
use crate::netlink::{Netlink, link};

/// Where this machine's files are mounted before they become the root.
const HOST: &str = "/host";
/// Options of 9p, with the largest message that virtio carries.
const SHARED: &str = "trans=virtio,version=9p2000.L,msize=512000";
const BEAT: Duration = Duration::from_secs(1);
/// Output of what the program has left running is waited for so long.
const LAST_WORDS: Duration = Duration::from_millis(300);

/// Plays the part of the guest's first process; returns only if that fails, and the kernel ends with it.
///
/// # Errors
/// Whatever fails before the port is there; the console shows it. Afterwards the port tells.
pub fn run() -> io::Result<()> {
    if std::process::id() != 1 {
        return Err(io::Error::other("only a guest's kernel starts this"));
    }
    for (kind, folder) in [("proc", "/proc"), ("sysfs", "/sys"), ("devtmpfs", "/dev")] {
        mount_at(kind, Path::new(folder), kind, MsFlags::empty(), None)?;
    }
    load(LISTS[0])?;
    let port = open_port()?;
    wire::say(&port, &Said::Up(up()))?;
    let mut frames = Frames::default();
    let play = first_order(&port, &mut frames)?;
    let said = match prepare(&play) {
        Ok(()) => match start(&play) {
            Ok(player) => Said::Exit(player.follow(&port, &mut frames)?),
            Err(e) => Said::NotStarted(e.to_string()),
        },
        Err(e) => Said::Failed(e.to_string()),
    };
    sync();
    wire::say(&port, &said)?;
    // The other side ends the guest as soon as it has heard.
    std::thread::sleep(Duration::from_secs(10));
    Ok(())
}

fn up() -> Up {
    let text = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let uptime = text("/proc/uptime");
    let seconds: f64 = uptime
        .split(' ')
        .next()
        .and_then(|s| s.parse().ok())
        .unwrap_or(0.0);
    Up {
        kernel: text("/proc/sys/kernel/osrelease").trim().to_owned(),
        uptime_ms: (seconds * 1000.0) as u64,
    }
}

/// Loads the modules of a list, in its order.
fn load(list: &str) -> io::Result<()> {
    let list = fs::read_to_string(Path::new("/").join(list))?;
    for name in list.lines() {
        let path = format!("/modules/{name}.ko");
        let file = File::open(&path)?;
        let no_options = CString::default();
        match finit_module(file.as_fd(), &no_options, ModuleInitFlags::empty()) {
            Ok(()) | Err(Errno::EEXIST) => {}
            Err(e) => return Err(io::Error::other(format!("cannot load {path}: {e}"))),
        }
    }
    Ok(())
}

/// The port by its name; it appears shortly after its driver.
fn open_port() -> io::Result<File> {
    let named = |entry: &fs::DirEntry| {
        fs::read_to_string(entry.path().join("name")).is_ok_and(|name| name.trim() == PORT)
    };
    let deadline = Instant::now() + Duration::from_secs(10);
    loop {
        let ports = fs::read_dir("/sys/class/virtio-ports")
            .into_iter()
            .flatten()
            .flatten();
        if let Some(port) = ports.filter(named).map(|entry| entry.file_name()).next() {
            return OpenOptions::new()
                .read(true)
                .write(true)
                .open(Path::new("/dev").join(port));
        }
        if Instant::now() > deadline {
            return Err(io::Error::other("there is no port to the host"));
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn first_order(port: &File, frames: &mut Frames) -> io::Result<Play> {
    loop {
        match frames.told()? {
            Some(Told::Play(play)) => return Ok(play),
            Some(Told::Signal(_)) | None => {}
        }
        if !frames.read(port)? {
            return Err(io::Error::other("the host is gone"));
        }
    }
}

/// Makes the host's files the root, with this kernel's own `/proc`, `/sys` and `/dev`.
fn prepare(play: &Play) -> io::Result<()> {
    if play.tools {
        load(LISTS[1])?;
    }
    let in_memory = in_memory(&play.own);
    let host = Path::new(HOST);
    let root_options = format!("{SHARED},cache=loose");
    mount_at(ROOT, host, "9p", MsFlags::MS_RDONLY, Some(&root_options))?;
    let mut writable: Vec<(usize, &PathBuf)> = play.writable.iter().enumerate().collect();
    // A folder before those in it.
    writable.sort_by_key(|(_, path)| path.components().count());
    for (number, path) in writable {
        let options = format!("{SHARED},cache=mmap");
        mount_at(
            &writable_tag(number),
            &below(path),
            "9p",
            MsFlags::empty(),
            Some(&options),
        )?;
    }
    for folder in ["proc", "sys", "dev"] {
        let from = Path::new("/").join(folder);
        let moved = mount(
            Some(&from),
            &host.join(folder),
            None::<&str>,
            MsFlags::MS_MOVE,
            None::<&str>,
        );
        moved.map_err(|e| named(e, &format!("cannot move /{folder}")))?;
    }
    mount_at(
        "tmpfs",
        &host.join("run"),
        "tmpfs",
        MsFlags::empty(),
        Some("mode=0755"),
    )?;
    // As every distribution has them: shells and programs read through these.
    for (link, to) in [
        ("fd", "/proc/self/fd"),
        ("stdin", "/proc/self/fd/0"),
        ("stdout", "/proc/self/fd/1"),
        ("stderr", "/proc/self/fd/2"),
    ] {
        std::os::unix::fs::symlink(to, host.join("dev").join(link))?;
    }
    for (folder, kind) in [("pts", "devpts"), ("shm", "tmpfs")] {
        let folder = host.join("dev").join(folder);
        fs::create_dir_all(&folder)?;
        mount_at(kind, &folder, kind, MsFlags::empty(), None)?;
    }
    chroot(host).map_err(|e| named(e, "cannot enter the host's files"))?;
    for (file, path) in &in_memory {
        lay_over(file, path);
    }
    chdir(&play.folder).map_err(|e| named(e, &format!("cannot enter {}", play.folder.display())))?;
    sethostname("genie-guest")?;
    let up = [link::set_up(link::LOOPBACK, "lo", true)];
    Netlink::open()?.apply(&up).map_err(io::Error::other)
}

/// This program and its libraries, which the guest has in memory, and where they are among the host's files.
fn in_memory(own: &Path) -> Vec<(File, PathBuf)> {
    let libraries = fs::read_to_string(Path::new("/").join(LIBRARIES)).unwrap_or_default();
    let libraries = libraries
        .lines()
        .map(|path| (PathBuf::from(path), PathBuf::from(path)));
    let program = (Path::new("/").join(INIT), own.to_owned());
    libraries
        .chain([program])
        .filter_map(|(here, there)| Some((File::open(here).ok()?, there)))
        .collect()
}

/// What is in memory need not be read through the host's files. Where it cannot be laid over them, it is read there.
fn lay_over(file: &File, path: &Path) {
    let here = format!("/proc/self/fd/{}", file.as_raw_fd());
    let _ = mount(
        Some(here.as_str()),
        path,
        None::<&str>,
        MsFlags::MS_BIND,
        None::<&str>,
    );
}

fn below(path: &Path) -> PathBuf {
    Path::new(HOST).join(path.strip_prefix("/").unwrap_or(path))
}

fn mount_at(what: &str, at: &Path, kind: &str, flags: MsFlags, options: Option<&str>) -> io::Result<()> {
    mount(Some(what), at, Some(kind), flags, options)
        .map_err(|e| named(e, &format!("cannot mount {what} at {}", at.display())))
}

fn named(e: Errno, what: &str) -> io::Error {
    io::Error::other(format!("{what}: {e}"))
}

fn start(play: &Play) -> io::Result<Player> {
    let Some((program, arguments)) = play.argv.split_first() else {
        return Err(io::Error::other("no program was named"));
    };
    let child = Command::new(program)
        .args(arguments)
        .env_clear()
        .envs(play.environment.iter().cloned())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .spawn()
        .map_err(|e| io::Error::other(format!("{program}: {e}")))?;
    // Blocked only now, because the program would inherit it.
    let mut ended = SigSet::empty();
    ended.add(Signal::SIGCHLD);
    ended.thread_block()?;
    let ended = SignalFd::with_flags(&ended, SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC)?;
    Ok(Player {
        child,
        ended,
        status: None,
    })
}

/// The program that plays.
struct Player {
    child: Child,
    ended: SignalFd,
    status: Option<(ExitStatus, Instant)>,
}

impl Player {
    /// Relays until the program has ended and said all; gives its exit code.
    fn follow(mut self, port: &File, frames: &mut Frames) -> io::Result<i32> {
        let (mut out, mut err) = (self.child.stdout.take(), self.child.stderr.take());
        let mut beat = Instant::now();
        loop {
            if let Some((status, when)) = self.status
                && ((out.is_none() && err.is_none()) || when.elapsed() > LAST_WORDS)
            {
                return Ok(status.code().unwrap_or(128 + status.signal().unwrap_or(0)));
            }
            let ready = self.wait(port, out.as_ref().map(AsFd::as_fd), err.as_ref().map(AsFd::as_fd))?;
            if ready[0] && !frames.read(port)? {
                return Err(io::Error::other("the host is gone"));
            }
            while let Some(told) = frames.told()? {
                self.obey(&told);
            }
            self.reap();
            if ready[2] && !relay(&mut out, port, Said::Out)? {
                out = None;
            }
            if ready[3] && !relay(&mut err, port, Said::Err)? {
                err = None;
            }
            if beat.elapsed() >= BEAT {
                beat = Instant::now();
                wire::say(port, &Said::Beat)?;
            }
        }
    }

    /// Which of port, end of a process, output and errors have something.
    fn wait(
        &self,
        port: &File,
        out: Option<std::os::fd::BorrowedFd<'_>>,
        err: Option<std::os::fd::BorrowedFd<'_>>,
    ) -> io::Result<[bool; 4]> {
        let of = |fd| PollFd::new(fd, PollFlags::POLLIN);
        // What is not there any more is asked after in the place of something that is.
        let stand_in = self.ended.as_fd();
        let mut all = [
            of(port.as_fd()),
            of(stand_in),
            of(out.unwrap_or(stand_in)),
            of(err.unwrap_or(stand_in)),
        ];
        match poll(&mut all, PollTimeout::from(100u16)) {
            Err(Errno::EINTR) | Ok(_) => {}
            Err(e) => return Err(e.into()),
        }
        let mut ready = all.map(|fd| fd.any().unwrap_or(false));
        ready[2] &= out.is_some();
        ready[3] &= err.is_some();
        Ok(ready)
    }

    fn obey(&self, told: &Told) {
        if let Told::Signal(number) = told
            && let Ok(signal) = Signal::try_from(*number)
        {
            // Ended just now is as well.
            let _ = killpg(Pid::from_raw(self.child.id() as i32), signal);
        }
    }

    /// Buries every process that has ended: orphans fall to the first process.
    fn reap(&mut self) {
        while let Ok(Some(_)) = self.ended.read_signal() {}
        loop {
            let (pid, raw) = match waitpid(Pid::from_raw(-1), Some(WaitPidFlag::WNOHANG)) {
                Ok(WaitStatus::Exited(pid, code)) => (pid, code << 8),
                Ok(WaitStatus::Signaled(pid, signal, _)) => (pid, signal as i32),
                _ => return,
            };
            if pid.as_raw() == self.child.id() as i32 {
                self.status = Some((ExitStatus::from_raw(raw), Instant::now()));
            }
        }
    }
}

/// Passes on what is there; `false` at its end.
fn relay(from: &mut Option<impl Read>, port: &File, said: fn(Vec<u8>) -> Said) -> io::Result<bool> {
    let mut chunk = [0; 16 << 10];
    let count = from.as_mut().map_or(Ok(0), |from| from.read(&mut chunk))?;
    if count > 0 {
        wire::say(port, &said(chunk[..count].into()))?;
    }
    Ok(count > 0)
}
