//! Calient TL1: circuits with groups and names, entered first and activated then; and how TL1 answers look.

use genie_drivers::ocs::codec::tl1::{self, Command};
use genie_drivers::ocs::{Circuit, Port};

use super::{Answer, Grammar, Refusal, SERIAL, World};
use crate::ocs::core::{Fault, Status};

/// Ports of a segment, and of a row in it.
const SEGMENT: u16 = 64;
const ROW: u16 = 8;

/// A code of a denial, and its words.
pub type Deny = (&'static str, &'static str);

/// Bytes of a command at most.
const MOST_COMMAND: usize = 64 << 10;

/// The first whole command, as [`Grammar::take`] gives it.
pub fn first_command(bytes: &[u8]) -> Result<Option<(Vec<u8>, usize)>, String> {
    match tl1::next_command(bytes) {
        None if bytes.len() > MOST_COMMAND => Err("a command that does not end".into()),
        found => Ok(found.map(|(text, length)| (text.into_bytes(), length))),
    }
}

/// The answer to a command that was done.
pub fn completed(name: &str, tag: &str, lines: &[String]) -> String {
    let quoted: String = lines.iter().map(|line| format!("   \"{line}\"\r\n")).collect();
    format!("\r\n\n   {name} {}\r\nM  {tag} COMPLD\r\n{quoted};", date())
}

/// The answer to a command that was refused.
pub fn denied(name: &str, tag: &str, (code, words): Deny) -> String {
    format!(
        "\r\n\n   {name} {}\r\nM  {tag} DENY\r\n   {code}\r\n   /* {words} */\r\n;",
        date()
    )
}

/// An imitation has no calendar: answers must not differ from run to run.
fn date() -> &'static str {
    "26-01-01 00:00:00"
}

/// A session.
#[derive(Default)]
pub struct Calient {
    user: Option<String>,
}

type Lines = Result<Vec<String>, Deny>;

const INVALID: Deny = ("IDNV", "Invalid parameter");

impl Grammar for Calient {
    fn take(&mut self, bytes: &[u8]) -> Result<Option<(Vec<u8>, usize)>, String> {
        first_command(bytes)
    }

    fn answer(&mut self, request: &[u8], world: &mut World<'_>) -> Answer {
        let command = tl1::command(&String::from_utf8_lossy(request));
        match self.carry_out(&command, world) {
            Ok(lines) => Answer::now(completed("CALIENT01TS", &command.tag, &lines)),
            Err(deny) => Answer::now(denied("CALIENT01TS", &command.tag, deny)),
        }
    }
}

fn refused(refusal: Refusal) -> Deny {
    match refusal {
        Refusal::Fault(Fault::InUse) => ("SARB", "Failed: port is in use"),
        Refusal::Fault(Fault::Absent) => ("IDNV", "Invalid connection"),
        Refusal::Fault(_) => INVALID,
        Refusal::Denied => ("SNVS", "Failed"),
    }
}

impl Calient {
    fn carry_out(&mut self, command: &Command, world: &mut World<'_>) -> Lines {
        if command.verb == "ACT-USER" {
            if command.access.is_empty() {
                return Err(("PIUI", "Invalid user"));
            }
            if self.user.is_some() {
                return Err(("SNVS", "Already logged in"));
            }
            self.user = Some(command.access.clone());
            return Ok(vec![format!("{0}:{0},2", command.access)]);
        }
        if self.user.is_none() {
            return Err(("PLNA", "Login Not Active"));
        }
        match command.verb.as_str() {
            "CANC-USER" => {
                self.user = None;
                Ok(Vec::new())
            }
            "RTRV-NE" => Ok(vec![format!(
                "CALIENT01TS:SERIALNUMBER={SERIAL},SWPACKAGE=6.0-3,STATUS=OK,CHASSISTYPE=S320,PLATFORM=VERSION2"
            )]),
            "RTRV-PORT" => Ok(each_port(world, |world, number| {
                let state = |failed| if failed { "FAIL" } else { "OK" };
                let into = world.core.failed(Port::A(number), world.now);
                let out = world.core.failed(Port::B(number), world.now);
                format!(
                    "WX,NONE,NONE:INAS=IS,INOS=IS,INOC={},INRS=NPR,OUTAS=IS,OUTOS=IS,OUTOC={},OUTRS=NPR",
                    state(into),
                    state(out)
                )
            })),
            "RTRV-PORT-SUM" => Ok(each_port(world, summary)),
            "ENT-CRS" => {
                let (circuit, back) = ends(command, world)?;
                let rest: Vec<&str> = parts(command);
                let [group, kind, ..] = rest[..] else {
                    return Err(INVALID);
                };
                if !matches!(kind, "1WAY" | "2WAY") || kind == "2WAY" && circuit == back {
                    return Err(INVALID);
                }
                let name = format!(
                    "{}{}{}",
                    address(circuit.a),
                    if kind == "2WAY" { '-' } else { '>' },
                    address(circuit.b)
                );
                let name = rest
                    .get(2)
                    .filter(|name| !name.is_empty())
                    .map_or(name, |name| (*name).to_owned());
                world.permit().map_err(refused)?;
                let core = &mut world.core;
                core.enter(circuit, group, &name, false)
                    .map_err(|fault| refused(Refusal::Fault(fault)))?;
                if kind == "2WAY"
                    && let Err(fault) = core.enter(back, group, &name, false)
                {
                    core.disconnect(&[circuit])
                        .map_err(|fault| refused(Refusal::Fault(fault)))?;
                    return Err(refused(Refusal::Fault(fault)));
                }
                Ok(Vec::new())
            }
            "ACT-CRS" | "CANC-CRS" | "DLT-CRS" => {
                let rest = parts(command);
                // Activation names connection and group; the others leave a part empty and turn them round.
                let (group, name) = match command.verb.as_str() {
                    "ACT-CRS" => (rest.get(1), rest.first()),
                    _ => (rest.get(1), rest.get(2)),
                };
                let found = same(command, group.copied(), name.copied(), world)?;
                world.permit().map_err(refused)?;
                for circuit in found {
                    let done = match command.verb.as_str() {
                        "ACT-CRS" => world.core.activate(circuit, world.now).map(drop),
                        "CANC-CRS" => world.core.deactivate(circuit),
                        _ => world.core.disconnect(&[circuit]),
                    };
                    done.map_err(|fault| refused(Refusal::Fault(fault)))?;
                }
                Ok(Vec::new())
            }
            "DLT-CRS-ALL" => {
                let all: Vec<Circuit> = world.core.circuits().map(|(circuit, _)| circuit).collect();
                world.disconnect(&all).map(|()| Vec::new()).map_err(refused)
            }
            "RTRV-CRS" => Ok(connections(world)),
            _ => Err(("PICC", "Invalid command")),
        }
    }
}

/// Parts of the first block of data, `GRP,1WAY`.
fn parts(command: &Command) -> Vec<&str> {
    let block = command.data.iter().find(|part| !part.is_empty());
    block.map_or(Vec::new(), |block| block.split(',').map(str::trim).collect())
}

/// The circuit that a command names by its ports, and the one the other way.
fn ends(command: &Command, world: &World<'_>) -> Result<(Circuit, Circuit), Deny> {
    let (a, b) = command.access.split_once(',').ok_or(INVALID)?;
    let (a, b) = (number(a, world).ok_or(INVALID)?, number(b, world).ok_or(INVALID)?);
    Ok((Circuit::new(a, b), Circuit::new(b, a)))
}

/// The circuits of the connection that a command names: its ports, group and name must all be right.
fn same(
    command: &Command,
    group: Option<&str>,
    name: Option<&str>,
    world: &World<'_>,
) -> Result<Vec<Circuit>, Deny> {
    let (circuit, back) = ends(command, world)?;
    let cross = world.core.cross(circuit).ok_or(("IDNV", "Invalid connection"))?;
    if group != Some(cross.group.as_str()) || name != Some(cross.name.as_str()) {
        return Err(("IDNV", "Invalid connection or group"));
    }
    let other = world
        .core
        .cross(back)
        .filter(|other| other.name == cross.name && back != circuit);
    Ok([circuit].into_iter().chain(other.map(|_| back)).collect())
}

fn connections(world: &World<'_>) -> Vec<String> {
    let mut seen: Vec<&str> = Vec::new();
    let mut lines = Vec::new();
    for (circuit, cross) in world.core.circuits() {
        if seen.contains(&cross.name.as_str()) {
            continue;
        }
        let back = world.core.cross(Circuit::new(circuit.b, circuit.a));
        let two_way = circuit.a != circuit.b && back.is_some_and(|other| other.name == cross.name);
        if two_way {
            seen.push(&cross.name);
        }
        let dark = world.trouble.no_light.contains(&Port::A(circuit.a));
        let (admin, service) = match world.core.status(circuit, world.now) {
            Status::Idle => ("UMA", "OOS"),
            Status::Tuning => ("UMA", "PND"),
            Status::Tuned => ("UMA", "RDY"),
            Status::Failed => ("UMA", "FLT"),
        };
        lines.push(format!(
            "{name}:SRCPORT={},DSTPORT={},GRPNAME={},CONNNAME={name},CONNTYPE={},AS={admin},OS={service},OC={},PS=UPR,AL=CL",
            address(circuit.a),
            address(circuit.b),
            cross.group,
            if two_way { "2WAY" } else { "1WAY" },
            if dark { "FAIL" } else { "OK" },
            name = cross.name,
        ));
    }
    lines
}

fn summary(world: &World<'_>, number: u16) -> String {
    let power = |port| format!("{:.2}", world.core.power(port, world.now));
    let (into, out) = (power(Port::A(number)), power(Port::B(number)));
    format!("ALIAS=NONE,INPWR={into},OUTPWR={out}")
}

fn each_port(world: &World<'_>, line: impl Fn(&World<'_>, u16) -> String) -> Vec<String> {
    let most = world.core.size.a.max(world.core.size.b);
    (1..=most)
        .map(|number| format!("{}:{}", address(number), line(world, number)))
        .collect()
}

/// `segment.row.port` of a port's number, all from 1.
pub fn address(number: u16) -> String {
    let index = number - 1;
    format!(
        "{}.{}.{}",
        index / SEGMENT + 1,
        index % SEGMENT / ROW + 1,
        index % ROW + 1
    )
}

fn number(text: &str, world: &World<'_>) -> Option<u16> {
    let most = world.core.size.a.max(world.core.size.b);
    let parts: Vec<u16> = text
        .trim()
        .split('.')
        .map(|part| part.parse().ok())
        .collect::<Option<_>>()?;
    let [segment, row, port] = parts[..] else {
        return None;
    };
    let valid = (1..=64).contains(&segment) && (1..=8).contains(&row) && (1..=8).contains(&port);
    let number = valid.then(|| (segment - 1) * SEGMENT + (row - 1) * ROW + port)?;
    (number <= most).then_some(number)
}
