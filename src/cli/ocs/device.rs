//! `genie ocs show|plan|apply|connect|disconnect|save|restore|port`: one switch, one command.

use std::collections::BTreeSet;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::Instant;

use genie_drivers::nic;
use genie_drivers::ocs::model::port_list;
use genie_drivers::ocs::{
    self, Applied, Change, Circuit, Endpoint, Hold, Identity, Mode, OcsError, Port, PortInfo, PortState,
    Startup, Switch,
};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::signals::Signals;
use crate::cli::print;
use crate::results::durable;
use crate::scenario::units::Duration;
use crate::testbed::exit;

/// Largest list of circuits or saved state, bytes.
const MOST_BYTES: u64 = 4 << 20;
/// So much longer than the change and the wait is a lease.
const LEASE_MARGIN: std::time::Duration = std::time::Duration::from_secs(120);

type Done = Result<(), (i32, String)>;

/// Which switch, and what may be done there.
#[derive(Debug, Clone, clap::Args)]
struct Target {
    /// The switch: DIALECT://HOST[:PORT] or a device file.
    #[arg(value_name = "SWITCH")]
    switch: String,
    /// Ports that may be changed, for example 1A..8A,1B..8B. Together with a device file's list: both must allow it.
    #[arg(long, value_name = "PORTS")]
    allow: Option<String>,
    /// Folder of leases, shared by those who must not take each other's ports.
    #[arg(long, value_name = "DIR")]
    leases: Option<PathBuf>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// How circuits are changed.
#[derive(Debug, Clone, clap::Args)]
struct How {
    /// What may happen to circuits that are there.
    #[arg(long, value_enum, default_value = "safe")]
    mode: ModeName,
    /// Keep the circuits for so long, in the foreground, then put everything back; also after Ctrl-C, and,
    /// by the next genie, after a kill -9.
    #[arg(long, value_name = "TIME")]
    hold: Option<Duration>,
    /// Wait for the carrier of this interface, and say how long it took; once for each.
    #[arg(long, value_name = "INTERFACE")]
    link: Vec<String>,
    /// How long to wait for carriers.
    #[arg(long, value_name = "TIME", default_value = "30s")]
    link_patience: Duration,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum ModeName {
    /// Nothing is touched; a port in use is an error.
    Safe,
    /// What is in the way gives way, if its ports are allowed.
    Update,
    /// The allowed ports end up with the wanted circuits and no others.
    Overwrite,
}

impl From<ModeName> for Mode {
    fn from(name: ModeName) -> Self {
        match name {
            ModeName::Safe => Mode::Safe,
            ModeName::Update => Mode::Update,
            ModeName::Overwrite => Mode::Overwrite,
        }
    }
}

/// Arguments of `genie ocs show`.
#[derive(Debug, Clone, clap::Args)]
pub struct ShowArgs {
    #[command(flatten)]
    target: Target,
    /// Ports too: shutters, labels, power, attenuation.
    #[arg(long)]
    ports: bool,
}

/// Arguments of `genie ocs plan` and `apply`.
#[derive(Debug, Clone, clap::Args)]
pub struct ApplyArgs {
    #[command(flatten)]
    target: Target,
    /// Circuits, one a line or as `genie ocs save` wrote them; `#` begins a comment.
    #[arg(value_name = "FILE")]
    file: PathBuf,
    #[command(flatten)]
    how: How,
}

/// Arguments of `genie ocs connect`.
#[derive(Debug, Clone, clap::Args)]
pub struct ConnectArgs {
    #[command(flatten)]
    target: Target,
    /// Circuits, for example 1A-2B 2A-1B.
    #[arg(value_name = "CIRCUIT", required = true)]
    circuits: Vec<Circuit>,
    #[command(flatten)]
    how: How,
}

/// Arguments of `genie ocs disconnect`.
#[derive(Debug, Clone, clap::Args)]
pub struct DisconnectArgs {
    #[command(flatten)]
    target: Target,
    /// Circuits.
    #[arg(value_name = "CIRCUIT", required_unless_present = "all")]
    circuits: Vec<Circuit>,
    /// All circuits on allowed ports, whoever made them.
    #[arg(long, conflicts_with = "circuits", requires = "yes_clear_all")]
    all: bool,
    /// Yes, all of them.
    #[arg(long)]
    yes_clear_all: bool,
}

/// Arguments of `genie ocs save`.
#[derive(Debug, Clone, clap::Args)]
pub struct SaveArgs {
    #[command(flatten)]
    target: Target,
    /// Where to; standard output without it.
    #[arg(value_name = "FILE")]
    file: Option<PathBuf>,
}

/// Arguments of `genie ocs restore`.
#[derive(Debug, Clone, clap::Args)]
pub struct RestoreArgs {
    #[command(flatten)]
    target: Target,
    /// A file of `genie ocs save`.
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Yes, on all ports of the switch; not needed with a list of allowed ports.
    #[arg(long)]
    yes_clear_all: bool,
}

/// Arguments of `genie ocs port`.
#[derive(Debug, Clone, clap::Args)]
pub struct PortArgs {
    #[command(flatten)]
    target: Target,
    /// Ports, for example 1A..4A,2B.
    #[arg(value_name = "PORTS")]
    ports: String,
    /// Close the shutter.
    #[arg(long, conflicts_with = "unblock")]
    block: bool,
    /// Open the shutter.
    #[arg(long)]
    unblock: bool,
    /// Attenuate by so many dB; 0 for not at all.
    #[arg(long, value_name = "DB")]
    attenuate: Option<f64>,
    /// Label.
    #[arg(long)]
    label: Option<String>,
}

/// What `save` writes and `restore` reads.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Saved {
    identity: Identity,
    circuits: BTreeSet<Circuit>,
    #[serde(default)]
    ports: Vec<PortInfo>,
    #[serde(default)]
    startup: Option<Startup>,
}

/// A session with a switch, and what is allowed there.
struct Open {
    endpoint: Endpoint,
    switch: Box<dyn Switch>,
    allow: Option<BTreeSet<Port>>,
    folder: PathBuf,
}

fn usage(error: impl std::fmt::Display) -> (i32, String) {
    (exit::USAGE, error.to_string())
}

impl Target {
    fn open(&self) -> Result<Open, (i32, String)> {
        let endpoint = Endpoint::find(&self.switch).map_err(usage)?;
        let asked = self.allow.as_deref().map(port_list).transpose().map_err(usage)?;
        let allow = match (endpoint.allow.clone(), asked) {
            (Some(file), Some(asked)) => Some(file.intersection(&asked).copied().collect()),
            (file, asked) => file.or(asked),
        };
        let failed = |error: OcsError| (exit::FABRIC, format!("{} {error}", self.switch));
        let switch = ocs::open(endpoint.clone()).map_err(failed)?;
        let folder = super::lease_folder(self.leases.as_deref());
        Ok(Open {
            endpoint,
            switch,
            allow,
            folder,
        })
    }

    /// An error of the switch, with its name.
    fn said(&self, error: impl std::fmt::Display) -> (i32, String) {
        (exit::FABRIC, format!("{} {error}", self.switch))
    }
}

/// Shows a switch.
pub fn show(args: &ShowArgs) -> Done {
    let mut open = args.target.open()?;
    let failed = |error: OcsError| args.target.said(error);
    let identity = open.switch.identify().map_err(failed)?;
    let size = open.switch.size().map_err(failed)?;
    let circuits = open.switch.circuits().map_err(failed)?;
    let ports = if args.ports {
        open.switch.ports().map_err(failed)?
    } else {
        Vec::new()
    };
    if args.target.json {
        let value = json!({
            "switch": args.target.switch, "dialect": open.switch.dialect(), "identity": identity,
            "size": size, "circuits": circuits, "ports": ports,
        });
        print(&format!("{value}\n"));
        return Ok(());
    }
    let Identity {
        vendor,
        model,
        serial,
        firmware,
    } = identity;
    let mut text = format!(
        "{vendor} {model}, serial {serial}, firmware {firmware}\n{size} ports, {} circuits\n",
        circuits.len()
    );
    circuits
        .iter()
        .for_each(|circuit| text += &format!("  {circuit}\n"));
    ports.iter().for_each(|port| text += &describe(port));
    print(&text);
    Ok(())
}

fn describe(info: &PortInfo) -> String {
    let mut text = format!("  {:<6}", info.port.to_string());
    text += match info.state {
        Some(PortState::Enabled) => "enabled ",
        Some(PortState::Blocked) => "blocked ",
        Some(PortState::Failed) => "failed  ",
        None => "-       ",
    };
    text += &info
        .power_dbm
        .map_or("         -".into(), |power| format!("{power:>6.2} dBm"));
    if let Some(level) = info.attenuation_db.filter(|level| *level != 0.0) {
        text += &format!("  attenuated by {level} dB");
    }
    if let Some(label) = info.label.as_ref().filter(|label| !label.is_empty()) {
        text += &format!("  {label}");
    }
    text.trim_end().to_owned() + "\n"
}

/// Makes the circuits of a file, or only says what would be done.
pub fn apply(args: &ApplyArgs, plan_only: bool) -> Done {
    let wanted = circuits_of(&args.file)?;
    let mode = args.how.mode.into();
    change(&args.target, &args.how, plan_only, |now, size, allow| {
        Change::to(&wanted, now, mode, size, allow)
    })
}

/// Makes circuits.
pub fn connect(args: &ConnectArgs) -> Done {
    let wanted: BTreeSet<Circuit> = args.circuits.iter().copied().collect();
    let mode = match args.how.mode {
        ModeName::Overwrite => {
            return Err(usage(
                "--mode overwrite goes with `genie ocs apply`, which names all circuits",
            ));
        }
        mode => mode.into(),
    };
    change(&args.target, &args.how, false, |now, size, allow| {
        Change::to(&wanted, now, mode, size, allow)
    })
}

/// Removes circuits.
pub fn disconnect(args: &DisconnectArgs) -> Done {
    let how = How {
        mode: ModeName::Safe,
        hold: None,
        link: Vec::new(),
        link_patience: Duration(0),
    };
    let unwanted: BTreeSet<Circuit> = args.circuits.iter().copied().collect();
    change(&args.target, &how, false, |now, size, allow| match args.all {
        true => Change::to(&BTreeSet::new(), now, Mode::Overwrite, size, allow),
        false => Change::without(&unwanted, now, size, allow),
    })
}

/// Plans a change by what is there now, takes a lease, carries it out.
fn change(
    target: &Target,
    how: &How,
    plan_only: bool,
    plan: impl FnOnce(&BTreeSet<Circuit>, ocs::Size, Option<&BTreeSet<Port>>) -> Result<Change, ocs::PlanError>,
) -> Done {
    let signals = Signals::hold_back().map_err(|e| (exit::INTERNAL, e))?;
    super::recover(&super::lease_folder(target.leases.as_deref()));
    let mut open = target.open()?;
    let size = open.switch.size().map_err(|e| target.said(e))?;
    let now = open.switch.circuits().map_err(|e| target.said(e))?;
    let change = plan(&now, size, open.allow.as_ref()).map_err(usage)?;
    if plan_only || change.is_empty() {
        print(&told(target, &change, None));
        return Ok(());
    }
    let lease = how.hold.map_or(LEASE_MARGIN, |hold| hold.std() + LEASE_MARGIN);
    let mut hold =
        Hold::take(&open.folder, &open.endpoint, &change.ports(), lease, &owner()).map_err(usage)?;
    let applied = hold
        .apply(&mut *open.switch, &change, open.endpoint.settle)
        .map_err(usage)?;
    let mut applied = match applied {
        Ok(applied) => applied,
        Err(error) => {
            if error.lost.is_empty() && error.stray.is_empty() && !error.unknown {
                hold.keep().map_err(|e| (exit::INTERNAL, e.to_string()))?;
            }
            return Err(target.said(error));
        }
    };
    let linked = await_links(how, &mut applied);
    print(&told(target, &change, Some(&applied)));
    match how.hold {
        None => hold.keep().map_err(|e| (exit::INTERNAL, e.to_string()))?,
        Some(time) => {
            signals.wait(Some(time.std()));
            hold.restore(&mut *open.switch, open.endpoint.settle)
                .map_err(|e| target.said(e))?;
            crate::cli::print_error("everything is as it was before\n");
        }
    }
    linked
}

/// Waits for the interfaces that were named.
fn await_links(how: &How, applied: &mut Applied) -> Done {
    if how.link.is_empty() {
        return Ok(());
    }
    let begin = Instant::now();
    loop {
        let down = how.link.iter().find(|name| nic::carrier(name) != Some(true));
        let Some(down) = down else {
            applied.times.link_up_s = Some(begin.elapsed().as_secs_f64());
            return Ok(());
        };
        if begin.elapsed() > how.link_patience.std() {
            let text = format!(
                "{down} has no carrier after {}; the circuits stay",
                how.link_patience
            );
            return Err((exit::FABRIC, text));
        }
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
}

/// A change for people or programs; `applied`: it was carried out.
fn told(target: &Target, change: &Change, applied: Option<&Applied>) -> String {
    if target.json {
        let value = json!({
            "switch": target.switch, "remove": change.remove, "add": change.add,
            "applied": applied.is_some(), "times": applied.map(|a| a.times),
            "retries": applied.map(|a| a.retries), "notes": applied.map(|a| a.notes.clone()),
        });
        return format!("{value}\n");
    }
    let mut text = String::new();
    change
        .remove
        .iter()
        .for_each(|circuit| text += &format!("- {circuit}\n"));
    change
        .add
        .iter()
        .for_each(|circuit| text += &format!("+ {circuit}\n"));
    if change.is_empty() {
        return "nothing to do\n".into();
    }
    if let Some(Applied {
        times,
        retries,
        notes,
        ..
    }) = applied
    {
        let ms = |seconds: f64| format!("{:.1} ms", seconds * 1e3);
        text += &format!(
            "done: command {}, settle {}",
            ms(times.command_s),
            ms(times.settle_s)
        );
        text += &times
            .link_up_s
            .map_or(String::new(), |link| format!(", link up {}", ms(link)));
        text += &if *retries > 0 {
            format!(", {retries} retries\n")
        } else {
            "\n".into()
        };
        notes.iter().for_each(|note| text += &format!("note: {note}\n"));
    }
    text
}

fn owner() -> String {
    let user = std::env::var("USER").unwrap_or_else(|_| nix::unistd::getuid().to_string());
    let host = nix::unistd::gethostname()
        .ok()
        .and_then(|name| name.into_string().ok())
        .unwrap_or_default();
    format!("{user}@{host} (process {})", std::process::id())
}

/// Writes circuits, ports and start-up mode down.
pub fn save(args: &SaveArgs) -> Done {
    let mut open = args.target.open()?;
    let failed = |error: OcsError| args.target.said(error);
    let saved = Saved {
        identity: open.switch.identify().map_err(failed)?,
        circuits: open.switch.circuits().map_err(failed)?,
        ports: open.switch.ports().map_err(failed)?,
        startup: optional(open.switch.startup()).map_err(failed)?,
    };
    let text = serde_json::to_string_pretty(&saved).map_err(|e| (exit::INTERNAL, e.to_string()))? + "\n";
    match &args.file {
        None => print(&text),
        Some(file) => durable::output(file, &text)
            .map_err(|e| usage(format!("cannot write {}: {e}", file.display())))?,
    }
    Ok(())
}

/// What a dialect has no words for is not there.
fn optional<T>(result: Result<T, OcsError>) -> Result<Option<T>, OcsError> {
    match result {
        Err(OcsError::Unsupported { .. }) => Ok(None),
        other => other.map(Some),
    }
}

/// Makes circuits, then ports, what a saved file says. Only allowed ports are touched.
pub fn restore(args: &RestoreArgs) -> Done {
    let saved = saved(&args.file)?;
    let allow = args.target.allow.is_some()
        || Endpoint::find(&args.target.switch)
            .map_err(usage)?
            .allow
            .is_some();
    if !allow && !args.yes_clear_all {
        let text = "restoring clears circuits that are not in the file, whoever made them\nhelp: name the ports that may be changed with --allow, or say --yes-clear-all";
        return Err(usage(text));
    }
    let how = How {
        mode: ModeName::Overwrite,
        hold: None,
        link: Vec::new(),
        link_patience: Duration(0),
    };
    change(&args.target, &how, false, |now, size, allow| {
        let mine = |circuit: &&Circuit| {
            circuit
                .ports()
                .iter()
                .all(|port| allow.is_none_or(|allow| allow.contains(port)))
        };
        let wanted: BTreeSet<Circuit> = saved.circuits.iter().filter(mine).copied().collect();
        Change::to(&wanted, now, Mode::Overwrite, size, allow)
    })?;
    let mut open = args.target.open()?;
    restore_ports(&mut open, &saved).map_err(|e| args.target.said(e))
}

fn restore_ports(open: &mut Open, saved: &Saved) -> Result<(), OcsError> {
    let now = open.switch.ports()?;
    let allowed = |port: &Port| open.allow.as_ref().is_none_or(|allow| allow.contains(port));
    for (old, new) in saved
        .ports
        .iter()
        .filter(|old| allowed(&old.port))
        .filter_map(|old| {
            let new = now.iter().find(|new| new.port == old.port)?;
            Some((old, new))
        })
    {
        if let (Some(state @ (PortState::Enabled | PortState::Blocked)), true) =
            (old.state, old.state != new.state)
        {
            open.switch.block(&[old.port], state == PortState::Blocked)?;
        }
        if let (Some(label), true) = (&old.label, old.label != new.label) {
            open.switch.label(old.port, label)?;
        }
        if let (Some(level), true) = (old.attenuation_db, old.attenuation_db != new.attenuation_db) {
            open.switch.attenuate(old.port, (level != 0.0).then_some(level))?;
        }
    }
    if let Some(startup) = saved.startup
        && optional(open.switch.startup())? != Some(startup)
    {
        open.switch.set_startup(startup)?;
    }
    Ok(())
}

/// Shutters, attenuation and labels.
pub fn port(args: &PortArgs) -> Done {
    let ports: Vec<Port> = port_list(&args.ports).map_err(usage)?.into_iter().collect();
    if args.attenuate.is_some_and(|level| !(0.0..=60.0).contains(&level)) {
        return Err(usage("attenuation is from 0 to 60 dB"));
    }
    let nothing = !args.block && !args.unblock && args.attenuate.is_none() && args.label.is_none();
    if nothing || ports.is_empty() {
        return Err(usage(
            "nothing to do\nhelp: give ports, and --block, --unblock, --attenuate or --label",
        ));
    }
    let mut open = args.target.open()?;
    let size = open.switch.size().map_err(|e| args.target.said(e))?;
    for &port in &ports {
        if !size.has(port) {
            return Err(usage(ocs::PlanError::NoPort { port, size }));
        }
        if open.allow.as_ref().is_some_and(|allow| !allow.contains(&port)) {
            return Err(usage(ocs::PlanError::NotAllowed(port)));
        }
    }
    set_ports(args, &ports, &mut *open.switch).map_err(|e| args.target.said(e))
}

fn set_ports(args: &PortArgs, ports: &[Port], switch: &mut dyn Switch) -> Result<(), OcsError> {
    if args.block || args.unblock {
        switch.block(ports, args.block)?;
    }
    for &port in ports {
        if let Some(level) = args.attenuate {
            switch.attenuate(port, (level > 0.0).then_some(level))?;
        }
        if let Some(label) = &args.label {
            switch.label(port, label)?;
        }
    }
    Ok(())
}

fn text_of(file: &Path) -> Result<String, (i32, String)> {
    let failed = |e: std::io::Error| usage(format!("cannot read {}: {e}", file.display()));
    let mut text = String::new();
    let opened = std::fs::File::open(file).map_err(failed)?;
    opened
        .take(MOST_BYTES + 1)
        .read_to_string(&mut text)
        .map_err(failed)?;
    if text.len() as u64 > MOST_BYTES {
        return Err(usage(format!(
            "{} is larger than {} MiB",
            file.display(),
            MOST_BYTES >> 20
        )));
    }
    Ok(text)
}

fn saved(file: &Path) -> Result<Saved, (i32, String)> {
    let text = text_of(file)?;
    serde_json::from_str(&text)
        .map_err(|e| usage(format!("{}: not a file of `genie ocs save`: {e}", file.display())))
}

/// Circuits of a list or of a saved file; at least one.
fn circuits_of(file: &Path) -> Result<BTreeSet<Circuit>, (i32, String)> {
    let text = text_of(file)?;
    if text.trim_start().starts_with('{') {
        return saved(file).map(|saved| saved.circuits);
    }
    let mut circuits = BTreeSet::new();
    for (number, line) in text.lines().enumerate() {
        let line = line.split('#').next().unwrap_or_default();
        for word in line.split([' ', '\t', ',']).filter(|word| !word.is_empty()) {
            let circuit = word
                .parse()
                .map_err(|e| usage(format!("{}:{}: {e}", file.display(), number + 1)))?;
            circuits.insert(circuit);
        }
    }
    if circuits.is_empty() {
        return Err(usage(format!("{} lists no circuit", file.display())));
    }
    Ok(circuits)
}
