//! Polatis SCPI. Set-commands have no answer: `*OPC?` tells that mirrors have settled, reading back and
//! the error queue tell the rest.

use std::collections::BTreeSet;
use std::time::Duration;

use super::polatis;
use crate::ocs::codec::{self, scpi};
use crate::ocs::endpoint::{Dialect, Endpoint};
use crate::ocs::error::OcsError;
use crate::ocs::model::{Circuit, Identity, Port, PortInfo, PortState, Size, Startup};
use crate::ocs::switch::{Session, Settling, Switch};

/// So long without a byte, and no banner is to be expected any more.
const SILENCE: Duration = Duration::from_millis(30);
/// Most ports in one query of power (the device's own limit).
const POWER_PORTS: usize = 256;
/// Entries of an error queue that are read at once; a queue that never empties is not waited for.
const MOST_ERRORS: usize = 64;

pub struct Scpi {
    session: Session,
    size: Option<Size>,
}

impl Scpi {
    pub fn new(endpoint: Endpoint) -> Self {
        Self {
            session: Session::new(endpoint),
            size: None,
        }
    }

    fn query(&mut self, command: &str) -> Result<String, OcsError> {
        self.query_within(command, self.session.endpoint.answer)
    }

    fn query_within(&mut self, command: &str, patience: Duration) -> Result<String, OcsError> {
        let bytes = format!("{command}\r\n");
        self.session
            .ask_within(command, bytes.as_bytes(), patience, |bytes, _| {
                let found = codec::line(bytes);
                Ok(found.map(|(line, length)| (String::from_utf8_lossy(line).trim().to_owned(), length)))
            })
    }

    fn set(&mut self, command: &str) -> Result<(), OcsError> {
        self.session.tell(command, format!("{command}\r\n").as_bytes())
    }

    /// A set-command that must have worked: what the error queue says of it is the answer.
    fn set_checked(&mut self, command: &str) -> Result<(), OcsError> {
        self.errors()?;
        self.set(command)?;
        self.settling(&[])?;
        match self.errors()?.first() {
            None => Ok(()),
            Some(reason) => Err(OcsError::refused(command, reason)),
        }
    }

    fn known_size(&mut self) -> Result<Size, OcsError> {
        match self.size {
            Some(size) => Ok(size),
            None => self.size(),
        }
    }

    fn pairs(&mut self, circuits: &[Circuit]) -> Result<String, OcsError> {
        let size = self.known_size()?;
        let (from, to): (Vec<u32>, Vec<u32>) = circuits.iter().map(|c| polatis::numbers(size, *c)).unzip();
        Ok(format!("{},{}", scpi::ports(&from), scpi::ports(&to)))
    }

    fn states(&mut self, numbers: &[u32]) -> Result<Vec<PortState>, OcsError> {
        let command = format!(":oxc:swit:port:stat? {}", scpi::ports(numbers));
        let answer = self.query(&command)?;
        let bad = || OcsError::malformed(&command, answer.as_str());
        let letters = scpi::read_tuple(&answer).map_err(|_| bad())?;
        if letters.len() != numbers.len() {
            return Err(bad());
        }
        let state = |letter: &&str| match *letter {
            "E" => Ok(PortState::Enabled),
            "D" => Ok(PortState::Blocked),
            "F" => Ok(PortState::Failed),
            _ => Err(bad()),
        };
        letters.iter().map(state).collect()
    }

    /// Power of these ports, dBm; `None` for each where the model has no monitors.
    fn powers(&mut self, numbers: &[u32]) -> Result<Vec<Option<f64>>, OcsError> {
        let command = format!(":pmon:pow? {}", scpi::ports(numbers));
        let answer = self.query(&command)?;
        let values = scpi::read_tuple(&answer).unwrap_or_default();
        let mut powers: Vec<Option<f64>> = values
            .iter()
            .map(|v| v.parse().ok().filter(|p: &f64| p.is_finite()))
            .collect();
        powers.resize(numbers.len(), None);
        Ok(powers)
    }
}

impl Switch for Scpi {
    fn dialect(&self) -> Dialect {
        Dialect::Scpi
    }

    fn set_settle(&mut self, settle: Duration) {
        self.session.endpoint.settle = settle;
    }

    fn reopen(&mut self) -> Result<(), OcsError> {
        self.session.reopen()?.drain(SILENCE);
        self.identify().map(drop)
    }

    fn identify(&mut self) -> Result<Identity, OcsError> {
        let answer = self.query("*IDN?")?;
        let mut parts = answer.split(',').map(|part| part.trim().to_owned());
        match (parts.next(), parts.next(), parts.next(), parts.next()) {
            (Some(vendor), Some(model), Some(serial), Some(firmware)) => Ok(Identity {
                vendor,
                model,
                serial,
                firmware,
            }),
            _ => Err(OcsError::malformed("*IDN?", answer)),
        }
    }

    fn size(&mut self) -> Result<Size, OcsError> {
        let answer = self.query(":oxc:swit:size?")?;
        let size = answer.replace(',', "x").replace(' ', "").parse();
        let size = size.map_err(|_| OcsError::malformed(":oxc:swit:size?", answer))?;
        self.size = Some(size);
        Ok(size)
    }

    fn circuits(&mut self) -> Result<BTreeSet<Circuit>, OcsError> {
        let size = self.known_size()?;
        let answer = self.query(":oxc:swit:conn:stat?")?;
        let bad = || OcsError::malformed(":oxc:swit:conn:stat?", answer.as_str());
        let pairs = scpi::read_pairs(&answer).map_err(|_| bad())?;
        let circuit = |(a, b)| polatis::pair(size, a, b).or_else(|| polatis::pair(size, b, a));
        pairs
            .into_iter()
            .map(|pair| circuit(pair).ok_or_else(bad))
            .collect()
    }

    fn connect(&mut self, circuits: &[Circuit]) -> Result<(), OcsError> {
        let pairs = self.pairs(circuits)?;
        self.set(&format!(":oxc:swit:conn:add {pairs}"))
    }

    fn disconnect(&mut self, circuits: &[Circuit]) -> Result<(), OcsError> {
        let pairs = self.pairs(circuits)?;
        self.set(&format!(":oxc:swit:conn:sub {pairs}"))
    }

    fn settling(&mut self, _circuits: &[Circuit]) -> Result<Settling, OcsError> {
        let patience = self.session.endpoint.settle + self.session.endpoint.answer;
        let answer = self.query_within("*OPC?", patience)?;
        match answer.trim() {
            "1" => Ok(Settling::default()),
            "0" => Ok(Settling {
                pending: true,
                failed: Vec::new(),
            }),
            _ => Err(OcsError::malformed("*OPC?", answer)),
        }
    }

    fn errors(&mut self) -> Result<Vec<String>, OcsError> {
        let mut errors = Vec::new();
        while errors.len() < MOST_ERRORS {
            let answer = self.query(":syst:err?")?;
            let entry = scpi::read_error(&answer).map_err(|e| OcsError::malformed(":syst:err?", e.0))?;
            match entry {
                Some(text) => errors.push(text),
                None => break,
            }
        }
        Ok(errors)
    }

    fn ports(&mut self) -> Result<Vec<PortInfo>, OcsError> {
        let size = self.known_size()?;
        let ports: Vec<Port> = size.ports().collect();
        let mut infos = Vec::with_capacity(ports.len());
        for part in ports.chunks(POWER_PORTS) {
            let numbers: Vec<u32> = part.iter().map(|port| polatis::number(size, *port)).collect();
            let states = self.states(&numbers)?;
            let powers = self.powers(&numbers)?;
            infos.extend(
                part.iter()
                    .zip(states)
                    .zip(powers)
                    .map(|((&port, state), power_dbm)| PortInfo {
                        state: Some(state),
                        power_dbm,
                        ..PortInfo::unknown(port)
                    }),
            );
        }
        // Models without monitors leave an error behind.
        self.errors()?;
        Ok(infos)
    }

    fn block(&mut self, ports: &[Port], blocked: bool) -> Result<(), OcsError> {
        let size = self.known_size()?;
        let numbers: Vec<u32> = ports.iter().map(|port| polatis::number(size, *port)).collect();
        let verb = if blocked { "dis" } else { "enab" };
        self.set_checked(&format!(":oxc:swit:port:{verb} {}", scpi::ports(&numbers)))
    }

    fn startup(&mut self) -> Result<Startup, OcsError> {
        let answer = self.query(":oxc:boot:mode?")?;
        match answer.trim() {
            "DARK" => Ok(Startup::Volatile),
            "REST" | "AUT" => Ok(Startup::Preserve),
            _ => Err(OcsError::malformed(":oxc:boot:mode?", answer)),
        }
    }

    fn set_startup(&mut self, startup: Startup) -> Result<(), OcsError> {
        let mode = match startup {
            Startup::Volatile => "dark",
            Startup::Preserve => "rest",
        };
        self.set_checked(&format!(":oxc:boot:mode {mode}"))
    }
}
