//! What every driver offers. One request, one answer; who changes circuits uses [`super::apply`], which
//! plans, waits, reads back and puts right.

use std::collections::BTreeSet;
use std::time::Duration;

use super::endpoint::{Dialect, Endpoint};
use super::error::OcsError;
use super::model::{Circuit, Identity, Port, PortInfo, Size, Startup};
use super::wire::{Reader, Wire};

/// What a switch says of circuits that were asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Settling {
    /// Mirrors still move.
    pub pending: bool,
    /// Circuits that the switch has given up.
    pub failed: Vec<Circuit>,
}

/// An optical circuit switch. Ports and circuits are those of [`super::model`] in every dialect.
pub trait Switch: Send {
    /// Which language.
    fn dialect(&self) -> Dialect;

    /// Begins a new session, with login where there is one. After an error other than a refusal the old
    /// one is not used again: a late answer would be taken for that to the next request.
    fn reopen(&mut self) -> Result<(), OcsError>;

    /// From now on mirrors may take so long; answers that may wait for them are waited for as much longer.
    fn set_settle(&mut self, settle: Duration);

    /// Maker, model, serial number, firmware.
    fn identify(&mut self) -> Result<Identity, OcsError>;

    /// How many ports.
    fn size(&mut self) -> Result<Size, OcsError>;

    /// All circuits, whoever made them.
    fn circuits(&mut self) -> Result<BTreeSet<Circuit>, OcsError>;

    /// Asks for circuits whose ports are free.
    fn connect(&mut self, circuits: &[Circuit]) -> Result<(), OcsError>;

    /// Removes exactly these circuits.
    fn disconnect(&mut self, circuits: &[Circuit]) -> Result<(), OcsError>;

    /// Whether these circuits have settled. May wait as long as the switch makes it wait.
    fn settling(&mut self, circuits: &[Circuit]) -> Result<Settling, OcsError>;

    /// What the switch's error queue holds, oldest first; empties it.
    fn errors(&mut self) -> Result<Vec<String>, OcsError> {
        Ok(Vec::new())
    }

    /// What is known of all ports.
    fn ports(&mut self) -> Result<Vec<PortInfo>, OcsError>;

    /// Closes or opens shutters.
    fn block(&mut self, ports: &[Port], blocked: bool) -> Result<(), OcsError>;

    /// Attenuates a B port by so many dB; `None` for not at all.
    fn attenuate(&mut self, _port: Port, _level_db: Option<f64>) -> Result<(), OcsError> {
        Err(self.lacks("attenuation"))
    }

    /// Labels a port.
    fn label(&mut self, _port: Port, _label: &str) -> Result<(), OcsError> {
        Err(self.lacks("labels of ports"))
    }

    /// What happens to circuits at a restart.
    fn startup(&mut self) -> Result<Startup, OcsError> {
        Err(self.lacks("start-up mode"))
    }

    /// Sets it.
    fn set_startup(&mut self, _startup: Startup) -> Result<(), OcsError> {
        Err(self.lacks("start-up mode"))
    }

    /// The error of a thing that the dialect has no words for.
    fn lacks(&self, what: &'static str) -> OcsError {
        OcsError::Unsupported {
            dialect: self.dialect().name(),
            what,
        }
    }
}

/// A session with a switch that can be begun anew.
#[derive(Debug)]
pub(super) struct Session {
    /// Who and how.
    pub endpoint: Endpoint,
    wire: Option<Wire>,
}

impl Session {
    pub fn new(endpoint: Endpoint) -> Self {
        Self { endpoint, wire: None }
    }

    /// Drops the old stream, if any, and opens a new one.
    pub fn reopen(&mut self) -> Result<&mut Wire, OcsError> {
        self.wire = None;
        let wire = Wire::open(&self.endpoint.via, self.endpoint.answer)?;
        Ok(self.wire.insert(wire))
    }

    /// Sends a request and reads its answer. `name` is how messages call the request.
    pub fn ask<T>(&mut self, name: &str, bytes: &[u8], read: impl Reader<T>) -> Result<T, OcsError> {
        let patience = self.endpoint.answer;
        self.ask_within(name, bytes, patience, read)
    }

    /// As [`Session::ask`], with another patience.
    pub fn ask_within<T>(
        &mut self,
        name: &str,
        bytes: &[u8],
        patience: Duration,
        read: impl Reader<T>,
    ) -> Result<T, OcsError> {
        let wire = self.wire.as_mut().ok_or_else(|| OcsError::Lost {
            request: name.into(),
            reason: "there is none".into(),
        })?;
        let sent = wire.send(name, bytes, self.endpoint.answer);
        let answer = sent.and_then(|()| wire.receive(name, patience, read));
        if answer.is_err() {
            self.wire = None;
        }
        answer
    }

    /// Sends something that has no answer.
    pub fn tell(&mut self, name: &str, bytes: &[u8]) -> Result<(), OcsError> {
        self.ask(name, bytes, |_, _| Ok(Some(((), 0))))
    }
}

/// The circuit of two numbers of ports, if they make one on a switch of this size.
pub(super) fn circuit(size: Size, a: u32, b: u32) -> Option<Circuit> {
    let (a, b) = (u16::try_from(a).ok()?, u16::try_from(b).ok()?);
    (size.has(Port::A(a)) && size.has(Port::B(b))).then_some(Circuit { a, b })
}
