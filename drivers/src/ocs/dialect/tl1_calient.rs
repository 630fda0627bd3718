//! Calient TL1: a circuit is entered, then activated; it carries a group and a name. Genie makes its own in
//! the group GENIE and removes any by the group that the switch says it has.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::tl1_session::Tl1;
use crate::ocs::codec::tl1;
use crate::ocs::endpoint::{Dialect, Endpoint};
use crate::ocs::error::OcsError;
use crate::ocs::model::{Circuit, Identity, Port, PortInfo, PortState, Size};
use crate::ocs::switch::{Settling, Switch, circuit};

const GROUP: &str = "GENIE";

pub struct Tl1Calient {
    tl1: Tl1,
    /// Addresses of ports in order; each has a fibre in (A) and a fibre out (B).
    addresses: Vec<String>,
}

/// What the switch says of a circuit.
struct Entry {
    group: String,
    name: String,
    fields: String,
    two_way: bool,
}

impl Tl1Calient {
    pub fn new(endpoint: Endpoint) -> Self {
        Self {
            tl1: Tl1::new(endpoint),
            addresses: Vec::new(),
        }
    }

    fn learn_ports(&mut self) -> Result<(), OcsError> {
        if self.addresses.is_empty() {
            let command = "RTRV-PORT::0:{};";
            let lines = self.tl1.say(command)?;
            let address = |line: &String| {
                line.split(':')
                    .next()
                    .map(str::to_owned)
                    .filter(|a| is_address(a))
            };
            self.addresses = lines
                .iter()
                .filter_map(address)
                .take(crate::ocs::model::MOST_PORTS.into())
                .collect();
            if self.addresses.is_empty() {
                return Err(OcsError::malformed(command, "no ports"));
            }
        }
        Ok(())
    }

    fn number(&self, address: &str) -> Option<u32> {
        let index = self.addresses.iter().position(|known| known == address)?;
        Some(index as u32 + 1)
    }

    fn address(&self, number: u16) -> Result<&str, OcsError> {
        let found = self.addresses.get(usize::from(number).wrapping_sub(1));
        found
            .map(String::as_str)
            .ok_or_else(|| OcsError::refused("port", "there is no such port"))
    }

    /// `a,b` and `a>b` of a circuit, as commands want them.
    fn words(&self, circuit: Circuit) -> Result<(String, String), OcsError> {
        let (a, b) = (self.address(circuit.a)?, self.address(circuit.b)?);
        Ok((format!("{a},{b}"), format!("{a}>{b}")))
    }

    fn entries(&mut self) -> Result<BTreeMap<Circuit, Entry>, OcsError> {
        self.learn_ports()?;
        let command = "RTRV-CRS:::{}::ALL;";
        let lines = self.tl1.say(command)?;
        let size = Size {
            a: self.addresses.len() as u16,
            b: self.addresses.len() as u16,
        };
        let mut entries = BTreeMap::new();
        for line in &lines {
            let bad = || OcsError::malformed(command, line.as_str());
            let value = |key| tl1::field(line, key).ok_or_else(bad);
            let port = |key| value(key).and_then(|address| self.number(address).ok_or_else(bad));
            let (a, b) = (port("SRCPORT")?, port("DSTPORT")?);
            let two_way = value("CONNTYPE")? == "2WAY";
            let ways = if two_way { &[(a, b), (b, a)][..] } else { &[(a, b)] };
            for (a, b) in ways {
                let entry = Entry {
                    group: value("GRPNAME")?.to_owned(),
                    name: value("CONNNAME")?.to_owned(),
                    fields: line.clone(),
                    two_way,
                };
                entries.insert(circuit(size, *a, *b).ok_or_else(bad)?, entry);
            }
        }
        Ok(entries)
    }
}

fn is_address(text: &str) -> bool {
    let parts: Vec<&str> = text.split('.').collect();
    parts.len() == 3 && parts.iter().all(|part| part.parse::<u16>().is_ok())
}

impl Switch for Tl1Calient {
    fn dialect(&self) -> Dialect {
        Dialect::Tl1Calient
    }

    fn set_settle(&mut self, settle: Duration) {
        self.tl1.set_settle(settle);
    }

    fn reopen(&mut self) -> Result<(), OcsError> {
        self.tl1.reopen()?;
        let (user, password) = (&self.tl1.endpoint().user, &self.tl1.endpoint().password);
        let command = format!("ACT-USER::{user}:{{}}::{password};");
        let shown = format!("ACT-USER::{user}");
        match self.tl1.say_as(&command, &shown) {
            // A session of ours that broke off may still stand.
            Err(OcsError::Refused { reason, .. }) if reason.to_ascii_lowercase().contains("already") => {
                Ok(())
            }
            other => other.map(drop),
        }
    }

    fn identify(&mut self) -> Result<Identity, OcsError> {
        let lines = self.tl1.say("RTRV-NE:::{};")?;
        let line = lines.join(",");
        let value = |key| tl1::field(&line, key).unwrap_or_default().to_owned();
        Ok(Identity {
            vendor: "Calient".into(),
            model: value("CHASSISTYPE"),
            serial: value("SERIALNUMBER"),
            firmware: value("SWPACKAGE"),
        })
    }

    fn size(&mut self) -> Result<Size, OcsError> {
        self.learn_ports()?;
        let ports = self.addresses.len() as u16;
        Ok(Size { a: ports, b: ports })
    }

    fn circuits(&mut self) -> Result<BTreeSet<Circuit>, OcsError> {
        Ok(self.entries()?.into_keys().collect())
    }

    fn connect(&mut self, circuits: &[Circuit]) -> Result<(), OcsError> {
        self.learn_ports()?;
        for circuit in circuits {
            let (ports, name) = self.words(*circuit)?;
            self.tl1.say(&format!("ENT-CRS::{ports}:{{}}::{GROUP},1WAY;"))?;
            let activate = format!("ACT-CRS::{ports}:{{}}::{name},{GROUP};");
            // Refused once may be busy; refused twice is meant.
            let activated = match self.tl1.say(&activate) {
                Err(error) if !error.wants_new_session() => self.tl1.say(&activate),
                other => other,
            };
            if let Err(error) = activated {
                // Entered but dark is no circuit; it would be in the way of the next attempt.
                if !error.wants_new_session() {
                    let _ = self.tl1.say(&format!("DLT-CRS::{ports}:{{}}::,{GROUP},{name};"));
                }
                return Err(error);
            }
        }
        Ok(())
    }

    fn disconnect(&mut self, circuits: &[Circuit]) -> Result<(), OcsError> {
        let entries = self.entries()?;
        for circuit in circuits {
            let Some(entry) = entries.get(circuit) else {
                continue;
            };
            let back = Circuit::new(circuit.b, circuit.a);
            if entry.two_way && !circuits.contains(&back) {
                let reason = format!("it is one half of the two-way circuit {}", entry.name);
                return Err(OcsError::refused(&circuit.to_string(), &reason));
            }
            if entry.two_way && back < *circuit {
                continue;
            }
            let (source, target) = (
                tl1::field(&entry.fields, "SRCPORT"),
                tl1::field(&entry.fields, "DSTPORT"),
            );
            let ports = format!("{},{}", source.unwrap_or_default(), target.unwrap_or_default());
            let rest = format!("{ports}:{{}}::,{},{};", entry.group, entry.name);
            // It may be entered but not active.
            let canceled = self.tl1.say(&format!("CANC-CRS::{rest}"));
            if let Some(error) = canceled.err().filter(OcsError::wants_new_session) {
                return Err(error);
            }
            self.tl1.say(&format!("DLT-CRS::{rest}"))?;
        }
        Ok(())
    }

    fn settling(&mut self, circuits: &[Circuit]) -> Result<Settling, OcsError> {
        let entries = self.entries()?;
        let mut settling = Settling::default();
        let mut idle = Vec::new();
        for circuit in circuits {
            let state = entries
                .get(circuit)
                .and_then(|entry| tl1::field(&entry.fields, "OS"));
            match state {
                Some("RDY") => {}
                Some("FLT") => settling.failed.push(*circuit),
                Some("OOS") => idle.push(*circuit),
                _ => settling.pending = true,
            }
        }
        // Entered and never activated: the answer to entering it was lost.
        for circuit in idle {
            let (ports, _) = self.words(circuit)?;
            let Entry { group, name, .. } = &entries[&circuit];
            self.tl1.say(&format!("ACT-CRS::{ports}:{{}}::{name},{group};"))?;
            settling.pending = true;
        }
        Ok(settling)
    }

    fn ports(&mut self) -> Result<Vec<PortInfo>, OcsError> {
        self.learn_ports()?;
        let mut infos: Vec<PortInfo> = self.size()?.ports().map(PortInfo::unknown).collect();
        let count = self.addresses.len();
        for line in self.tl1.say("RTRV-PORT::0:{};")? {
            let Some(index) = line.split(':').next().and_then(|address| self.number(address)) else {
                continue;
            };
            let index = index as usize - 1;
            infos[index].state = state(&line, "INOC");
            infos[count + index].state = state(&line, "OUTOC");
        }
        for line in self.tl1.say("RTRV-PORT-SUM::0:{};")? {
            let Some(index) = line.split(':').next().and_then(|address| self.number(address)) else {
                continue;
            };
            let index = index as usize - 1;
            let power = |key| {
                tl1::field(&line, key)
                    .and_then(|text| text.parse().ok())
                    .filter(|p: &f64| p.is_finite())
            };
            infos[index].power_dbm = power("INPWR");
            infos[count + index].power_dbm = power("OUTPWR");
        }
        Ok(infos)
    }

    fn block(&mut self, _ports: &[Port], _blocked: bool) -> Result<(), OcsError> {
        Err(self.lacks("shutters"))
    }
}

fn state(line: &str, condition: &str) -> Option<PortState> {
    match tl1::field(line, condition)? {
        "OK" => Some(PortState::Enabled),
        "FAIL" => Some(PortState::Failed),
        _ => None,
    }
}
