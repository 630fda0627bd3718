//! What this user may do, and how much of it.

use genie_emu::privilege::{NeedsPrivilege, Privilege};
use nix::sys::resource::{Resource, getrlimit};

use super::Finding;

const AREA: &str = "rights";
/// Open files that a run of 64 ranks on one machine needs.
const FILES: u64 = 4096;
/// Locked memory that RDMA of a few ranks needs, bytes.
const LOCKED: u64 = 64 << 20;

pub(super) fn findings(privilege: &Result<Privilege, NeedsPrivilege>) -> Vec<Finding> {
    let found = match privilege {
        Ok(Privilege::Root) => "root: namespaces have names that `ip netns` knows".to_owned(),
        Ok(Privilege::UserNamespace) => "not root, but user namespaces work".to_owned(),
        Err(error) => error.to_string(),
    };
    let limit = |resource| getrlimit(resource).map_or((0, 0), |limits| limits);
    let (soft, files) = limit(Resource::RLIMIT_NOFILE);
    let (_, locked) = limit(Resource::RLIMIT_MEMLOCK);
    let amount = |bytes: u64| {
        if bytes == u64::MAX {
            "unlimited".into()
        } else {
            format!("{} KiB", bytes >> 10)
        }
    };
    vec![
        Finding::needed(
            AREA,
            "emulated networks",
            privilege.is_ok(),
            found,
            "run as root, or allow user namespaces: sysctl kernel.unprivileged_userns_clone=1 (Debian), \
             kernel.apparmor_restrict_unprivileged_userns=0 (Ubuntu)",
        ),
        Finding::wanted(
            AREA,
            "open files",
            files >= FILES,
            format!("{soft}, may be raised to {files}"),
            "raise the hard limit (nofile in /etc/security/limits.conf): each pair of ranks needs connections",
        ),
        Finding::wanted(
            AREA,
            "locked memory",
            locked >= LOCKED,
            amount(locked),
            "for RDMA: memlock unlimited in /etc/security/limits.conf",
        ),
    ]
}
