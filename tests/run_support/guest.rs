//! The guest with soft-RoCE, where there can be one.

#![allow(clippy::print_stderr)] // a skip says why

use std::fs;
use std::process::Command;
use std::time::Duration;

use super::genie::BINARY;

/// A guest on a busy machine without KVM takes so long to boot and play little.
pub const PATIENCE: Duration = Duration::from_secs(150);

/// Why there can be no guest here, if there cannot.
pub fn no_guest() -> bool {
    let built = Command::new(BINARY)
        .args(["vm", "build"])
        .output()
        .expect("genie starts");
    let qemu = Command::new("qemu-system-x86_64").arg("--version").output();
    if built.status.success() && qemu.is_ok() {
        return false;
    }
    let why = String::from_utf8_lossy(&built.stderr).into_owned();
    eprintln!(
        "skipped: no guest here: {why}{}",
        if qemu.is_err() { "no QEMU" } else { "" }
    );
    // Anything but a sentence about what is missing is a failure, not a reason to skip.
    assert!(built.status.success() || built.status.code() == Some(2), "{why}");
    true
}

/// QEMU processes that are children of `parent`.
pub fn machines(parent: i32) -> Vec<i32> {
    let children = fs::read_to_string(format!("/proc/{parent}/task/{parent}/children")).unwrap_or_default();
    let children = children.split_whitespace().filter_map(|pid| pid.parse().ok());
    children.filter(|pid| is_qemu(*pid)).collect()
}

/// With a kernel: not one that was only asked for its version.
pub fn is_qemu(pid: i32) -> bool {
    let arguments = fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    arguments.starts_with('/') && arguments.contains("qemu") && arguments.contains("\0-kernel\0")
}
