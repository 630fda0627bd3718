//! Polatis TL1: patches, shutters, power, labels, attenuation.

use std::collections::BTreeSet;
use std::time::Duration;

use super::polatis;
use super::tl1_session::Tl1;
use crate::ocs::codec::tl1;
use crate::ocs::endpoint::{Dialect, Endpoint};
use crate::ocs::error::OcsError;
use crate::ocs::model::{Circuit, Identity, Port, PortInfo, PortState, Size};
use crate::ocs::switch::{Settling, Switch};

pub struct Tl1Polatis {
    tl1: Tl1,
    size: Option<Size>,
    /// It refused something that was said before the last answer had come: it may not like that.
    one_by_one: bool,
}

impl Tl1Polatis {
    pub fn new(endpoint: Endpoint) -> Self {
        Self {
            tl1: Tl1::new(endpoint),
            size: None,
            one_by_one: false,
        }
    }

    fn known_size(&mut self) -> Result<Size, OcsError> {
        match self.size {
            Some(size) => Ok(size),
            None => self.size(),
        }
    }

    /// Answers `number:value`, as they are.
    fn values(&mut self, command: &str) -> Result<Vec<(Port, String)>, OcsError> {
        let size = self.known_size()?;
        let lines = self.tl1.say(command)?;
        let value = |line: &String| {
            let (number, value) = line.split_once(':')?;
            Some((
                polatis::port(size, number.trim().parse().ok()?)?,
                value.trim().to_owned(),
            ))
        };
        Ok(lines.iter().filter_map(value).collect())
    }
}

impl Switch for Tl1Polatis {
    fn dialect(&self) -> Dialect {
        Dialect::Tl1Polatis
    }

    fn set_settle(&mut self, settle: Duration) {
        self.tl1.set_settle(settle);
    }

    fn reopen(&mut self) -> Result<(), OcsError> {
        self.tl1.reopen()?;
        let (user, password) = (&self.tl1.endpoint().user, &self.tl1.endpoint().password);
        let command = format!("ACT-USER::{user}:{{}}::{password};");
        let shown = format!("ACT-USER::{user}");
        self.tl1.say_as(&command, &shown).map(drop)
    }

    fn identify(&mut self) -> Result<Identity, OcsError> {
        let lines = self.tl1.say("RTRV-NETYPE:::{}:;")?;
        let line = lines.first().cloned().unwrap_or_default();
        let mut parts = line.split(',').map(|part| part.trim().to_owned());
        let mut next = || parts.next().unwrap_or_default();
        let (vendor, model, _kind, firmware) = (next(), next(), next(), next());
        let inventory = self.tl1.say("RTRV-INV::OCS:{}:;").unwrap_or_default();
        let serial = inventory.iter().find_map(|line| tl1::field(line, "SN"));
        Ok(Identity {
            vendor,
            model,
            serial: serial.unwrap_or_default().to_owned(),
            firmware,
        })
    }

    fn size(&mut self) -> Result<Size, OcsError> {
        let command = "RTRV-EQPT::SYSTEM:{}:::PARAMETER=SIZE;";
        let lines = self.tl1.say(command)?;
        let size = lines
            .iter()
            .find_map(|line| tl1::field(line, "SIZE")?.parse().ok());
        let size = size.ok_or_else(|| OcsError::malformed(command, lines.join(" ")))?;
        self.size = Some(size);
        Ok(size)
    }

    fn circuits(&mut self) -> Result<BTreeSet<Circuit>, OcsError> {
        let size = self.known_size()?;
        let command = "RTRV-PATCH:::{}:;";
        let lines = self.tl1.say(command)?;
        let circuit = |line: &String| {
            let (a, b) = line.split_once(',')?;
            polatis::pair(size, a.trim().parse().ok()?, b.trim().parse().ok()?)
        };
        let all = lines
            .iter()
            .map(|line| circuit(line).ok_or_else(|| OcsError::malformed(command, line.as_str())));
        all.collect()
    }

    fn connect(&mut self, circuits: &[Circuit]) -> Result<(), OcsError> {
        let size = self.known_size()?;
        // A command makes one circuit, and its answer may wait for the mirrors: said all at once, they move
        // together.
        let command = |circuit: &Circuit| {
            let (a, b) = polatis::numbers(size, *circuit);
            format!("ENT-PATCH::{a},{b}:{{}}:;")
        };
        let commands: Vec<String> = circuits.iter().map(command).collect();
        let together = if self.one_by_one { 1 } else { commands.len().max(1) };
        for some in commands.chunks(together) {
            let done = self.tl1.say_all(some);
            self.one_by_one |= matches!(done, Err(OcsError::Refused { .. }));
            done?;
        }
        Ok(())
    }

    fn disconnect(&mut self, circuits: &[Circuit]) -> Result<(), OcsError> {
        // A patch is removed by its ingress port, whatever its other end: what is removed must be what was
        // meant, so it is read first.
        let now = self.circuits()?;
        let mine = circuits.iter().filter(|circuit| now.contains(circuit));
        let list = tl1::list(mine.map(|circuit| circuit.a.into()));
        if list.is_empty() {
            return Ok(());
        }
        self.tl1.say(&format!("DLT-PATCH::{list}:{{}}:;")).map(drop)
    }

    fn settling(&mut self, circuits: &[Circuit]) -> Result<Settling, OcsError> {
        let now = self.circuits()?;
        Ok(Settling {
            pending: circuits.iter().any(|circuit| !now.contains(circuit)),
            failed: Vec::new(),
        })
    }

    fn ports(&mut self) -> Result<Vec<PortInfo>, OcsError> {
        let size = self.known_size()?;
        let all = format!("1&&{}", u32::from(size.a) + u32::from(size.b));
        let mut infos: Vec<PortInfo> = size.ports().map(PortInfo::unknown).collect();
        let at = |port: Port| (polatis::number(size, port) - 1) as usize;
        for (port, word) in self.values(&format!("RTRV-PORT-SHUTTER::{all}:{{}}:;"))? {
            infos[at(port)].state = match word.as_str() {
                "OPEN" => Some(PortState::Enabled),
                "CLOSED" => Some(PortState::Blocked),
                "FAILED" => Some(PortState::Failed),
                _ => None,
            };
        }
        for (port, label) in self.values(&format!("RTRV-PORT-LABEL::{all}:{{}}:;"))? {
            infos[at(port)].label = Some(label.trim_matches(['"', '\\']).to_owned());
        }
        for (port, power) in self.values(&format!("RTRV-PORT-POWER::{all}:{{}}:;"))? {
            infos[at(port)].power_dbm = power.parse().ok().filter(|power: &f64| power.is_finite());
        }
        Ok(infos)
    }

    fn block(&mut self, ports: &[Port], blocked: bool) -> Result<(), OcsError> {
        let size = self.known_size()?;
        let verb = if blocked { "OPR" } else { "RLS" };
        let list = tl1::list(ports.iter().map(|port| polatis::number(size, *port)));
        self.tl1
            .say(&format!("{verb}-PORT-SHUTTER::{list}:{{}}:;"))
            .map(drop)
    }

    fn attenuate(&mut self, port: Port, level_db: Option<f64>) -> Result<(), OcsError> {
        let number = polatis::number(self.known_size()?, port);
        let mode = match level_db {
            Some(level) => format!("MODE=RELATIVE,LEVEL={level:.2}"),
            None => "MODE=NONE".into(),
        };
        self.tl1
            .say(&format!("SET-PORT-ATTEN::{number}:{{}}:::{mode};"))
            .map(drop)
    }

    fn label(&mut self, port: Port, label: &str) -> Result<(), OcsError> {
        let number = polatis::number(self.known_size()?, port);
        if label.contains(['"', ';', '{']) || label.chars().any(char::is_control) {
            return Err(OcsError::refused(
                label,
                "a label may not hold quotes, semicolons or braces here",
            ));
        }
        self.tl1
            .say(&format!("ED-PORT-LABEL::{number}:{{}}:::LABEL=\"{label}\";"))
            .map(drop)
    }
}
