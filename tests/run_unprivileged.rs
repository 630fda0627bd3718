//! Without root: a run makes its networks in a user namespace where the kernel gives one, and says in
//! one sentence what to do where it does not.

mod run_support;

use std::os::unix::fs::{PermissionsExt, chown};
use std::path::PathBuf;

use run_support::genie::BINARY;
use run_support::{Genie, Machine, Running};

const NOBODY: u32 = 65534;

const SCENARIO: &str = r#"
    name = "unprivileged"
    [testbed]
    fabric = "emulated"
    calibrate = false
    [topology.star]
    hosts = 3
    rate = "200 Mbit/s"
    [[traffic.collective]]
    op = "all-reduce"
    sizes = ["1 KiB", "256 KiB"]
    iterations = 3
"#;

/// A machine with a home for nobody, in which the binary and a scenario are readable.
struct Home {
    machine: Machine,
    path: PathBuf,
}

impl Home {
    /// `None` where this test is not run by root: then the other tests are this test already.
    #[allow(clippy::print_stderr)]
    fn new() -> Option<Self> {
        let machine = Machine::new()?;
        if !machine.root {
            eprintln!("skipped: only root can become somebody else");
            return None;
        }
        let open = |path: &std::path::Path| std::fs::set_permissions(path, PermissionsExt::from_mode(0o755));
        open(machine.scratch()).expect("our own folder");
        let path = machine.scratch().join("home");
        std::fs::create_dir(&path).expect("our own folder");
        std::fs::copy(BINARY, machine.scratch().join("genie")).expect("there is room");
        open(&machine.scratch().join("genie")).expect("our own file");
        open(&machine.file("scenario.toml", SCENARIO)).expect("our own file");
        chown(&path, Some(NOBODY), Some(NOBODY)).expect("root may");
        Some(Self { machine, path })
    }

    /// `genie run` of the scenario as nobody, by way of `before`.
    fn play(&self, before: &[&str]) -> Genie {
        let mut command = self.machine.command("setpriv");
        command
            .args(["--reuid=65534", "--regid=65534", "--clear-groups"])
            .args(before);
        command.arg(self.machine.scratch().join("genie")).arg("run");
        command
            .arg(self.machine.scratch().join("scenario.toml"))
            .arg("--json");
        command
            .env("HOME", &self.path)
            .env("XDG_RUNTIME_DIR", &self.path)
            .env_remove("SUDO_USER");
        Genie::by(command).results(&self.path.join("results"))
    }

    /// Files in the home, but for stored runs.
    fn files(&self) -> Vec<String> {
        let files = std::fs::read_dir(&self.path).expect("our own folder").flatten();
        files
            .filter_map(|file| file.file_name().into_string().ok())
            .filter(|name| name != "results")
            .collect()
    }
}

fn user_namespaces(home: &Home) -> bool {
    let given = home
        .machine
        .command("setpriv")
        .args([
            "--reuid=65534",
            "--regid=65534",
            "--clear-groups",
            "unshare",
            "--user",
            "--map-root-user",
            "--net",
            "true",
        ])
        .output();
    given.is_ok_and(|output| output.status.success())
}

/// The user namespace ends with its processes, and all that was made in it: nothing is left on the
/// machine, and not in the home.
#[test]
fn nobody_plays_in_a_user_namespace() {
    let Some(home) = Home::new() else { return };
    if !user_namespaces(&home) {
        return eprintln!("skipped: this kernel gives nobody no user namespace");
    }
    let before = home.machine.found();
    let report = home.play(&[]).end().expect(0).json();
    assert_eq!(report["status"], "completed");
    assert_eq!(report["fabric"], "emulated");
    assert!(report["ops"][1]["link_share"].as_f64().unwrap() <= 1.02);
    home.machine.assert_as_before(&before);
    assert_eq!(home.files(), [""; 0]);
    let runs = std::fs::read_dir(home.path.join("results")).unwrap().count();
    assert_eq!(runs, 1, "stored for nobody to read");
}

/// After `kill -9` only a journal and a socket are left; the next start of the same user removes them.
#[test]
fn nobody_cleans_up_after_a_killed_controller() {
    let Some(home) = Home::new() else { return };
    if !user_namespaces(&home) {
        return eprintln!("skipped: this kernel gives nobody no user namespace");
    }
    let before = home.machine.found();
    let mut running: Running = home
        .play(&[])
        .set("traffic.collective.0.iterations=100000")
        .start();
    running.until_within_row(0);
    running.signal(nix::sys::signal::Signal::SIGKILL);
    running.end();
    home.machine.assert_empties(std::time::Duration::from_secs(2));
    assert_eq!(home.files(), ["genie"], "the state folder");
    home.play(&[]).end().expect(0);
    home.machine.assert_as_before(&before);
    assert_eq!(home.files(), [""; 0]);
}

/// In a user namespace that allows no further one, a process without capabilities is where a user of
/// a locked-down machine is.
#[test]
fn without_user_namespaces_one_sentence_says_what_to_do() {
    let Some(home) = Home::new() else { return };
    let locked = "echo 0 > /proc/sys/user/max_user_namespaces && \
        exec setpriv --bounding-set -all --inh-caps -all --ambient-caps -all \"$@\"";
    let wrap = ["unshare", "--user", "--map-root-user", "sh", "-c", locked, "sh"];
    let trial = Genie::by({
        let mut command = home.machine.command("setpriv");
        command
            .args(["--reuid=65534", "--regid=65534", "--clear-groups"])
            .args(wrap)
            .arg("true");
        command
    });
    if trial.end().code != Some(0) {
        return eprintln!("skipped: a machine without user namespaces cannot be imitated here");
    }
    let before = home.machine.found();
    let ended = home.play(&wrap).end().expect(2);
    assert_eq!(ended.stdout, "");
    let said: Vec<&str> = ended.stderr.lines().collect();
    assert!(
        said[0].starts_with("error: building an emulated network needs root or user namespaces: "),
        "{said:?}"
    );
    assert!(
        said[0].contains("user.max_user_namespaces"),
        "the setting to change: {said:?}"
    );
    assert!(said.len() == 2 && said[1].starts_with("help: "), "{said:?}");
    home.machine.assert_as_before(&before);
    assert!(!home.path.join("results").exists(), "nothing was started");
}

/// The first thing that anyone does needs no privileges at all, whatever the machine's default
/// congestion control is: loopback, and nothing that only root may set.
#[test]
fn nobody_says_hello() {
    let Some(home) = Home::new() else { return };
    let before = home.machine.found();
    let hello = home.play(&[]).set("testbed.fabric=host").set("testbed.ranks=3");
    assert_eq!(hello.end().expect(0).json()["status"], "completed");
    home.machine.assert_as_before(&before);
    assert_eq!(home.files(), [""; 0]);
}
