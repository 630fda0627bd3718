//! Receive packet steering: each link's packets are received on one processor.
//!
//! Without it packets that were sent on two processors overtake each other at a veth's far end, which
//! TCP takes for loss. Links take turns among the processors: the kernel's own choice, by a hash of the
//! flow, leaves processors idle when flows are few.

use std::os::fd::AsFd;
use std::{fs, io, thread};

use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, CpuSet, sched_getaffinity, unshare};
use nix::unistd::Pid;

use super::Fabric;
use crate::namespace::enter;

/// The mask (all processors) for interfaces made later in a namespace, below `/proc/sys/net` (Linux 6.3 and newer).
pub(super) const DEFAULT_MASK: &str = "core/rps_default_mask";

/// The processors that this process may use.
fn processors() -> Vec<usize> {
    let allowed = sched_getaffinity(Pid::from_raw(0)).unwrap_or_default();
    (0..CpuSet::count())
        .filter(|&number| allowed.is_set(number).unwrap_or(false))
        .collect()
}

/// All of them, as the kernel writes masks.
pub(super) fn all_processors() -> String {
    mask(processors().into_iter())
}

/// Groups of 32 bits in hexadecimal, the highest first.
fn mask(processors: impl Iterator<Item = usize>) -> String {
    let mut words = vec![0u32];
    for number in processors {
        words.resize(words.len().max(number / 32 + 1), 0);
        words[number / 32] |= 1 << (number % 32);
    }
    let words: Vec<String> = words.iter().rev().map(|word| format!("{word:08x}")).collect();
    words.join(",")
}

impl Fabric {
    /// Gives each link a processor, by turns, through sysfs.
    pub(super) fn steer_ports(&self) -> io::Result<()> {
        let processors = processors();
        let of_link = |link: usize| mask([processors[link % processors.len()]].into_iter());
        // Sysfs shows the network namespace of whoever mounted it, so it is mounted for each, out of
        // others' sight.
        let work = || -> io::Result<()> {
            let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
            unshare(CloneFlags::CLONE_NEWNS)?;
            mount(
                None::<&str>,
                "/",
                None::<&str>,
                MsFlags::MS_REC | MsFlags::MS_PRIVATE,
                None::<&str>,
            )?;
            for ((node, spec), ends) in self.nodes.iter().zip(&self.spec.nodes).zip(self.ends_by_node()) {
                // A shared namespace is the one that /sys shows already.
                let mounted = !spec.shared;
                enter(node.namespace.as_fd())?;
                if mounted {
                    mount(Some("sysfs"), "/sys", Some("sysfs"), flags, None::<&str>)?;
                }
                for (link, side) in ends {
                    let name = &self.spec.links[link].ends[side].1;
                    fs::write(
                        format!("/sys/class/net/{name}/queues/rx-0/rps_cpus"),
                        of_link(link + side * (processors.len() - 1)),
                    )?;
                }
                if mounted {
                    umount2("/sys", MntFlags::MNT_DETACH)?;
                }
            }
            Ok(())
        };
        thread::scope(|scope| scope.spawn(work).join())
            .unwrap_or_else(|_| Err(io::Error::other("the thread that steers ports panicked")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn masks_are_written_as_the_kernel_does() {
        assert_eq!(mask([0, 1].into_iter()), "00000003");
        assert_eq!(mask([0, 33].into_iter()), "00000002,00000001");
        assert_eq!(mask([].into_iter()), "00000000");
    }

    #[test]
    fn ports_are_steered_on_older_kernels_too() {
        use crate::journal::Journal;
        if crate::privilege::current().is_none() {
            return eprintln!("skipped: needs root");
        }
        let state = tempfile::tempdir().unwrap();
        let journal = Journal::create_in(state.path(), "steer").unwrap();
        let run = format!("s{:x}", std::process::id());
        let fabric = Fabric::up(&crate::star::star(&run, 2, None, 1500), &journal).unwrap();
        fabric.steer_ports().unwrap();
        assert!(
            !std::path::Path::new("/sys/class/net/p1").exists(),
            "nobody else sees it"
        );
    }
}
