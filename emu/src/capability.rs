//! What this kernel can emulate, found by trying it in a network namespace that is thrown away.

use std::os::fd::AsFd;
use std::{fs, thread};

use crate::namespace::set_parameter;
use crate::netlink::link::{self, VethEnd, VethSettings};
use crate::netlink::{Netlink, NetlinkError, Request, qdisc};
use crate::privilege::{self, Privilege};

/// What works here. All false: this process may not make namespaces.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Capabilities {
    /// By what right.
    pub privilege: Option<Privilege>,
    /// Whether a process without root could build fabrics, as far as the kernel's switches say.
    pub user_namespaces: bool,
    /// veth pairs.
    pub veth: bool,
    /// Token bucket.
    pub tbf: bool,
    /// Hierarchical token bucket.
    pub htb: bool,
    /// Delay, loss and reordering.
    pub netem: bool,
    /// Fair queueing with pacing.
    pub fq: bool,
    /// Equal-cost paths hashed by flow.
    pub multi_path: bool,
}

/// Tries everything; takes a few milliseconds.
pub fn probe() -> Capabilities {
    let mut found = Capabilities {
        privilege: privilege::current(),
        user_namespaces: user_namespaces_allowed(),
        ..Capabilities::default()
    };
    // A refusal leaves the fields false, which is the finding.
    thread::scope(|scope| {
        let _ = scope.spawn(|| try_in_new_namespace(&mut found)).join();
    });
    found
}

fn try_in_new_namespace(found: &mut Capabilities) -> Result<(), NetlinkError> {
    let flags = nix::sched::CloneFlags::CLONE_NEWNET;
    nix::sched::unshare(flags).map_err(std::io::Error::from)?;
    found.multi_path = set_parameter("ipv4/fib_multipath_hash_policy", "1").is_ok();
    let here = fs::File::open("/proc/thread-self/ns/net")?;
    let end = |name, index| VethEnd {
        name,
        index,
        namespace: here.as_fd(),
        address: [2, 0, 0, 0, 0, 1],
        no_arp: true,
    };
    let mut netlink = Netlink::open()?;
    let settings = VethSettings {
        mtu: 1500,
        gso_max_size: None,
        gso_max_segs: None,
        tx_queue_len: None,
    };
    netlink.apply(&[link::add_veth([end("a", 2), end("b", 3)], &settings)])?;
    found.veth = true;
    let mut has = |requests: &[Request]| {
        let granted = netlink.apply(requests).is_ok();
        // Refused when there is nothing to delete, which is as well.
        let _ = netlink.apply(&[qdisc::delete_root(2)]);
        granted
    };
    let impairment = qdisc::Impairment {
        delay: std::time::Duration::from_millis(1),
        loss: 0.0,
        packets: 1000,
    };
    let impaired = qdisc::add_impairment(2, false, &impairment);
    let bucket = qdisc::TokenBucket {
        rate: 1_000_000,
        burst: 10_000,
        limit: 100_000,
    };
    let hierarchy = qdisc::Hierarchy {
        rate: 1_000_000,
        burst: 10_000,
        limit: 100_000,
    };
    found.fq = has(&[qdisc::add_plain(2, "fq")]);
    found.netem = has(&[impaired]);
    found.tbf = has(&[qdisc::add_token_bucket(2, &bucket)]);
    found.htb = has(&qdisc::add_hierarchy(2, &hierarchy));
    Ok(())
}

fn user_namespaces_allowed() -> bool {
    let is = |path: &str, value: &str| fs::read_to_string(path).is_ok_and(|text| text.trim() == value);
    !is("/proc/sys/kernel/unprivileged_userns_clone", "0")
        && !is("/proc/sys/kernel/apparmor_restrict_unprivileged_userns", "1")
        && !is("/proc/sys/user/max_user_namespaces", "0")
        && fs::metadata("/proc/self/ns/user").is_ok()
}
