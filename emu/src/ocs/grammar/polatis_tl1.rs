//! Polatis TL1.

use genie_drivers::ocs::codec::tl1::{self, Command};
use genie_drivers::ocs::{Circuit, Port};

use super::calient::{Deny, completed, denied, first_command};
use super::{Answer, FIRMWARE, Grammar, Refusal, SERIAL, World, model, number, pair, port};
use crate::ocs::core::Fault;

/// A session.
#[derive(Default)]
pub struct PolatisTl1 {
    active: bool,
}

type Lines = Result<(Vec<String>, std::time::Duration), Deny>;

const NOT_VALID: Deny = ("IDNV", "Input, Data Not Valid");

impl Grammar for PolatisTl1 {
    fn take(&mut self, bytes: &[u8]) -> Result<Option<(Vec<u8>, usize)>, String> {
        first_command(bytes)
    }

    fn answer(&mut self, request: &[u8], world: &mut World<'_>) -> Answer {
        let command = tl1::command(&String::from_utf8_lossy(request));
        match self.carry_out(&command, world) {
            Ok((lines, at)) => Answer::at(at, completed("GENIE", &command.tag, &lines)),
            Err(deny) => Answer::now(denied("GENIE", &command.tag, deny)),
        }
    }

    /// Tags tell the answers apart.
    fn overlaps(&self) -> bool {
        true
    }
}

fn refused(refusal: Refusal) -> Deny {
    match refusal {
        Refusal::Fault(Fault::InUse) => ("SARB", "Status, All Resources Busy"),
        Refusal::Fault(Fault::Range | Fault::NoPort) => NOT_VALID,
        Refusal::Fault(Fault::Absent) => ("SNVS", "Status, Not in Valid State"),
        Refusal::Denied => ("SNVS", "Status, Not in Valid State"),
    }
}

impl PolatisTl1 {
    fn carry_out(&mut self, command: &Command, world: &mut World<'_>) -> Lines {
        let size = world.core.size;
        let lines = |lines: Vec<String>| Ok((lines, std::time::Duration::ZERO));
        let done =
            |result: Result<(), Refusal>| result.map(|()| (Vec::new(), Default::default())).map_err(refused);
        if command.verb == "ACT-USER" {
            let password = command.data.first().map(String::as_str);
            self.active = command.access.eq_ignore_ascii_case("root") && password == Some("root");
            return if self.active {
                lines(Vec::new())
            } else {
                Err(("PIUI", "Privilege, Illegal User Identity"))
            };
        }
        if !self.active && command.verb != "RTRV-HDR" {
            return Err(("PLNA", "Privilege, Login Not Active"));
        }
        match command.verb.as_str() {
            "CANC-USER" => {
                self.active = false;
                lines(Vec::new())
            }
            "RTRV-HDR" | "ED-EQPT" => lines(Vec::new()),
            "RTRV-NETYPE" => lines(vec![format!("Polatis,{},OCS,{FIRMWARE}", model(size))]),
            "RTRV-INV" => lines(vec![format!("OCS:SN={SERIAL}")]),
            "RTRV-EQPT" => lines(vec![format!("SYSTEM:SIZE={size}")]),
            "ENT-PATCH" => {
                let (from, to) = command.access.split_once(',').ok_or(NOT_VALID)?;
                let (from, to) = (from.trim().parse(), to.trim().parse());
                let (Ok(from), Ok(to)) = (from, to) else {
                    return Err(NOT_VALID);
                };
                let circuit = pair(size, from, to).ok_or(("IIAC", "Input, Invalid Access Identifier"))?;
                world
                    .connect(&[circuit])
                    .map(|at| (Vec::new(), at))
                    .map_err(refused)
            }
            "DLT-PATCH" => done(world.disconnect(&named(command, world)?)),
            "RTRV-PATCH" => {
                let list = if command.access.is_empty() {
                    all(world)
                } else {
                    named(command, world)?
                };
                lines(
                    list.iter()
                        .map(|c| format!("{},{}", c.a, number(size, Port::B(c.b))))
                        .collect(),
                )
            }
            "OPR-PORT-SHUTTER" | "RLS-PORT-SHUTTER" => {
                let blocked = command.verb.starts_with("OPR");
                done(world.change_ports(&ports(command, world)?, |port| port.blocked = blocked))
            }
            "RTRV-PORT-SHUTTER" => lines(each(command, world, |port| {
                match world.core.port(port).blocked {
                    _ if world.core.failed(port, world.now) => "FAILED".into(),
                    true => "CLOSED".into(),
                    false => "OPEN".into(),
                }
            })?),
            "RTRV-PORT-POWER" => lines(each(command, world, |port| {
                format!("{:.2}", world.core.power(port, world.now))
            })?),
            "RTRV-PORT-PMON" => lines(each(command, world, |port| {
                format!("1550.0,{:.2},4", world.core.power(port, world.now))
            })?),
            "RTRV-PORT-LABEL" => lines(each(command, world, |port| world.core.port(port).label)?),
            "ED-PORT-LABEL" => {
                let data = command.data.join(":");
                let label = tl1::field(&data, "LABEL")
                    .ok_or(NOT_VALID)?
                    .trim_matches('"')
                    .to_owned();
                done(world.change_ports(&ports(command, world)?, |port| port.label.clone_from(&label)))
            }
            "SET-PORT-ATTEN" => {
                let data = command.data.join(":");
                let level = match tl1::field(&data, "MODE") {
                    Some("NONE") => None,
                    Some("ABSOLUTE" | "RELATIVE" | "CONVERGED") => {
                        let level: Option<f64> =
                            tl1::field(&data, "LEVEL").and_then(|level| level.parse().ok());
                        Some(level.filter(|level| level.abs() <= 60.0).ok_or(NOT_VALID)?)
                    }
                    _ => return Err(NOT_VALID),
                };
                let ports = ports(command, world)?;
                if ports.iter().any(|port| matches!(port, Port::A(_))) {
                    return Err(("EQWT", "Equipage, Wrong Type"));
                }
                done(world.change_ports(&ports, |port| port.attenuation = level))
            }
            _ => Err(("PICC", "Privilege, Illegal Command Code")),
        }
    }
}

fn all(world: &World<'_>) -> Vec<Circuit> {
    world.core.circuits().map(|(circuit, _)| circuit).collect()
}

/// Circuits at the ports that a command names; `ALL` are all.
fn named(command: &Command, world: &World<'_>) -> Result<Vec<Circuit>, Deny> {
    if command.access.eq_ignore_ascii_case("ALL") {
        return Ok(all(world));
    }
    let mut found = Vec::new();
    for port in ports(command, world)? {
        let circuit = world
            .core
            .at(port)
            .ok_or(("SNVS", "Status, Not in Valid State"))?;
        if !found.contains(&circuit) {
            found.push(circuit);
        }
    }
    Ok(found)
}

fn ports(command: &Command, world: &World<'_>) -> Result<Vec<Port>, Deny> {
    let numbers = tl1::read_list(&command.access).map_err(|_| NOT_VALID)?;
    let port = |number| port(world.core.size, number).ok_or(("IIAC", "Input, Invalid Access Identifier"));
    numbers.into_iter().map(port).collect()
}

/// A line `number:value` for each port of a command.
fn each(command: &Command, world: &World<'_>, value: impl Fn(Port) -> String) -> Result<Vec<String>, Deny> {
    let line = |port: Port| format!("{}:{}", number(world.core.size, port), value(port));
    Ok(ports(command, world)?.into_iter().map(line).collect())
}
