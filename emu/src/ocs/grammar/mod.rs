//! The dialects' grammars: from the bytes of a session to the switch and back. What a real device was never
//! recorded to say (most errors, most states) is reconstructed; docs/ocs.md lists it.

mod calient;
mod gnmi;
mod netconf;
mod polatis_tl1;
mod restconf;
mod scpi;
mod sonic;
mod sonic_db;

use std::time::Duration;

use genie_drivers::ocs::{Circuit, Dialect, Port, Size};

use super::core::{Core, Fault};
use super::trouble::{Luck, Trouble};

/// Firmware that all imitations claim.
pub const FIRMWARE: &str = "6.7.3.9";
/// Serial number, likewise.
pub const SERIAL: &str = "GENIE-0001";

/// One session's language.
pub trait Grammar: Send {
    /// What the switch says first.
    fn greeting(&mut self) -> Vec<u8> {
        Vec::new()
    }

    /// The first whole request in these bytes and how many it took; `None`: none is whole.
    ///
    /// # Errors
    /// Bytes that can never become a request: the session ends.
    fn take(&mut self, bytes: &[u8]) -> Result<Option<(Vec<u8>, usize)>, String>;

    /// Carries a request out.
    fn answer(&mut self, request: &[u8], world: &mut World<'_>) -> Answer;

    /// Whether the next request is looked at while an answer still waits for mirrors.
    fn overlaps(&self) -> bool {
        false
    }
}

/// What is sent, and when.
#[derive(Debug, Default)]
pub struct Answer {
    /// The bytes.
    pub bytes: Vec<u8>,
    /// Not before this time.
    pub at: Duration,
    /// The session ends after it.
    pub close: bool,
}

impl Answer {
    /// Sent at once.
    pub fn now(bytes: impl Into<Vec<u8>>) -> Self {
        Self::at(Duration::ZERO, bytes)
    }

    /// Sent at this time.
    pub fn at(at: Duration, bytes: impl Into<Vec<u8>>) -> Self {
        Self {
            bytes: bytes.into(),
            at,
            close: false,
        }
    }
}

/// Why a change is not made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// It makes no sense to the switch.
    Fault(Fault),
    /// It does, but the switch was told to refuse it.
    Denied,
}

/// What a request may act upon.
pub struct World<'a> {
    /// The switch.
    pub core: &'a mut Core,
    /// Which changes are refused.
    pub luck: &'a mut Luck,
    /// What goes wrong.
    pub trouble: &'a Trouble,
    /// Now, since the switch was started.
    pub now: Duration,
}

impl World<'_> {
    /// Asked before every change.
    pub fn permit(&mut self) -> Result<(), Refusal> {
        if self.luck.denies(self.trouble) {
            Err(Refusal::Denied)
        } else {
            Ok(())
        }
    }

    /// Makes circuits; gives when they will have settled. Those with a stuck port are passed over in silence,
    /// for dialects that show no failed ones.
    pub fn connect(&mut self, wanted: &[Circuit]) -> Result<Duration, Refusal> {
        self.permit()?;
        let stuck = |circuit: &Circuit| {
            circuit
                .ports()
                .iter()
                .any(|port| self.trouble.stuck.contains(port))
        };
        let moved: Vec<Circuit> = self
            .bulk(wanted)
            .iter()
            .copied()
            .filter(|circuit| !stuck(circuit))
            .collect();
        self.core.connect(&moved, self.now).map_err(Refusal::Fault)
    }

    /// Removes circuits.
    pub fn disconnect(&mut self, unwanted: &[Circuit]) -> Result<(), Refusal> {
        self.permit()?;
        self.core.disconnect(self.bulk(unwanted)).map_err(Refusal::Fault)
    }

    /// As much of a bulk as is done.
    pub fn bulk<'b, T>(&self, all: &'b [T]) -> &'b [T] {
        match self.trouble.half_bulk as usize {
            most if most > 0 && all.len() > most => &all[..most],
            _ => all,
        }
    }

    /// Changes ports.
    pub fn change_ports(
        &mut self,
        ports: &[Port],
        change: impl Fn(&mut super::core::PortConfig),
    ) -> Result<(), Refusal> {
        self.permit()?;
        if ports.iter().any(|port| !self.core.size.has(*port)) {
            return Err(Refusal::Fault(Fault::NoPort));
        }
        for port in ports {
            change(self.core.port_mut(*port).map_err(Refusal::Fault)?);
        }
        Ok(())
    }
}

/// The grammar of a new session; `number` counts sessions.
pub fn new(dialect: Dialect, number: u32) -> Box<dyn Grammar> {
    match dialect {
        Dialect::Scpi => Box::new(scpi::Scpi::default()),
        Dialect::Tl1Polatis => Box::new(polatis_tl1::PolatisTl1::default()),
        Dialect::Tl1Calient => Box::new(calient::Calient::default()),
        Dialect::Restconf => Box::new(restconf::Restconf),
        Dialect::Netconf => Box::new(netconf::Netconf::new(number)),
        Dialect::Sonic => Box::new(sonic::Sonic),
        Dialect::Gnmi => Box::new(gnmi::Gnmi::new()),
    }
}

/// Polatis' number of a port: B ports come after A ports.
fn number(size: Size, port: Port) -> u32 {
    match port {
        Port::A(number) => number.into(),
        Port::B(number) => u32::from(size.a) + u32::from(number),
    }
}

/// The port of Polatis' number.
fn port(size: Size, number: u32) -> Option<Port> {
    size.ports().nth(usize::try_from(number.checked_sub(1)?).ok()?)
}

/// The circuit between two of Polatis' numbers, in this order.
fn pair(size: Size, from: u32, to: u32) -> Option<Circuit> {
    match (port(size, from)?, port(size, to)?) {
        (Port::A(a), Port::B(b)) => Some(Circuit { a, b }),
        _ => None,
    }
}

/// Polatis' product code.
fn model(size: Size) -> String {
    format!("N-VST-{size}-LU1-DMHNV-801")
}
