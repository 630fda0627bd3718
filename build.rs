//! Tells release builds which commit they are of (`GENIE_GIT_COMMIT`), unless whoever builds says it. Other
//! builds do not ask: every commit would build them anew.

#![allow(clippy::print_stdout)] // cargo reads it

use std::process::Command;

fn main() {
    println!("cargo:rerun-if-env-changed=GENIE_GIT_COMMIT");
    println!("cargo:rerun-if-changed=build.rs");
    let release = std::env::var("PROFILE").is_ok_and(|profile| profile == "release");
    if !release || std::env::var_os("GENIE_GIT_COMMIT").is_some() {
        return;
    }
    if let Some(head) = git(&["rev-parse", "--git-path", "logs/HEAD"]) {
        println!("cargo:rerun-if-changed={head}");
    }
    // No repository, as in an archive of the sources: nothing is known.
    if let Some(commit) = git(&["rev-parse", "--short=12", "HEAD"]) {
        let changed =
            git(&["status", "--porcelain", "--untracked-files=no"]).is_some_and(|list| !list.is_empty());
        println!(
            "cargo:rustc-env=GENIE_GIT_COMMIT={commit}{}",
            if changed { "+changes" } else { "" }
        );
    }
}

fn git(arguments: &[&str]) -> Option<String> {
    let output = Command::new("git").args(arguments).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| text.trim().to_owned())
}
