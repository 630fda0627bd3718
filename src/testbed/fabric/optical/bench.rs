//! One optical switch: an imitation whose light drives its links, a session with it, and the lease of its ports.

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Mutex;
use std::time::Duration;

use genie_drivers::ocs::{self, Applied, Change, Circuit, Endpoint, Hold, Mode, Port, Size, Switch};
use genie_emu::ocs::light::Flash;
use genie_emu::ocs::{Lamp, Options, Settle, Trouble};

use super::lock;
use crate::scenario::plan::optical;

/// A session is begun so often before it is given up: with troubles the first attempts may fail.
const ATTEMPTS: u32 = 12;
/// A lease longer than any run.
const LEASE: Duration = Duration::from_secs(30 * 86_400);
/// So much longer than mirrors take is waited for them and for answers that wait for them.
const PATIENCE: Duration = Duration::from_secs(2);
/// An answer that does not wait for mirrors. Imitations on this machine answer within milliseconds.
const ANSWER: Duration = Duration::from_secs(1);

/// A switch that is served, and the driver's side of it.
#[derive(Debug)]
pub(super) struct Bench {
    name: String,
    address: SocketAddr,
    /// Ended early, it is gone.
    lamp: Mutex<Option<Lamp>>,
    unit: Mutex<Unit>,
}

struct Unit {
    switch: Box<dyn Switch>,
    /// Taken away when the circuits are put back.
    hold: Option<Hold>,
    size: Size,
    /// Ports at which links end: no others are touched.
    ports: BTreeSet<Port>,
    settle: Duration,
}

impl std::fmt::Debug for Unit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Unit")
            .field("size", &self.size)
            .finish_non_exhaustive()
    }
}

impl Bench {
    pub fn up(
        plan: &optical::Switch,
        nodes: &[String],
        fabric: &genie_emu::Fabric,
        dilation: f64,
        (leases, owner): (&Path, &str),
    ) -> Result<Self, String> {
        let name = nodes[plan.node].clone();
        let failed = |e: &dyn std::fmt::Display| format!("optical switch {name}: {e}");
        let real = |nominal: crate::scenario::units::Duration| nominal.std().mul_f64(dilation);
        let settle = Settle {
            mean: real(plan.settle),
            jitter: real(plan.jitter),
        };
        let slow = plan.trouble.slow_reply.std();
        let dialect: ocs::Dialect = plan.dialect.name().parse().map_err(|e| failed(&e))?;
        let options = Options {
            dialect,
            size: Size {
                a: plan.ports,
                b: plan.ports,
            },
            settle,
            seed: plan.seed,
            trouble: trouble(&plan.trouble).map_err(|e| failed(&e))?,
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
        };
        let crossbar = fabric.crossbar(plan.node).map_err(|e| failed(&e))?;
        let wiring = plan.links.iter().copied().collect();
        let lamp = Lamp::start(options, crossbar, wiring).map_err(|e| failed(&e))?;
        let address = lamp.address();
        let mut endpoint = Endpoint::at(&format!("{dialect}://{address}")).map_err(|e| failed(&e))?;
        let mirrors = settle.mean + settle.jitter + slow;
        endpoint.settle = mirrors + PATIENCE;
        endpoint.answer = mirrors + ANSWER;
        let ports: BTreeSet<Port> = plan
            .links
            .iter()
            .flat_map(|(n, _)| [Port::A(*n), Port::B(*n)])
            .collect();
        let (switch, size) = open(&endpoint).map_err(|e| failed(&e))?;
        let hold = Hold::take(leases, &endpoint, &ports, LEASE, owner).map_err(|e| failed(&e))?;
        Ok(Bench {
            address,
            lamp: Mutex::new(Some(lamp)),
            unit: Mutex::new(Unit {
                switch,
                hold: Some(hold),
                size,
                ports,
                settle: endpoint.settle,
            }),
            name,
        })
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Makes these circuits and no others on the ports at which links end.
    pub fn apply(&self, wanted: &BTreeSet<Circuit>) -> Result<Applied, String> {
        let failed = |e: &dyn std::fmt::Display| format!("optical switch {}: {e}", self.name);
        let mut unit = lock(&self.unit);
        let Unit {
            switch,
            hold,
            size,
            ports,
            settle,
        } = &mut *unit;
        let now = ask(&mut **switch, |switch| switch.circuits()).map_err(|e| failed(&e))?;
        let change =
            Change::to(wanted, &now, Mode::Overwrite, *size, Some(&*ports)).map_err(|e| failed(&e))?;
        let Some(hold) = hold else {
            return Err(failed(&"the lease has ended"));
        };
        let applied = hold
            .apply(&mut **switch, &change, *settle)
            .map_err(|e| failed(&e))?;
        applied.map_err(|e| failed(&e))
    }

    /// What has happened to its links since this was asked last.
    pub fn flashes(&self) -> Vec<Flash> {
        lock(&self.lamp).as_ref().map_or(Vec::new(), Lamp::flashes)
    }

    /// Why links do not follow the light any more, if they do not.
    pub fn failure(&self) -> Option<String> {
        lock(&self.lamp).as_ref().and_then(Lamp::failure)
    }

    /// Puts back the circuits that were there before.
    pub fn restore(&self) -> Result<(), String> {
        if lock(&self.lamp).is_none() {
            return Ok(()); // the switch is gone, and its circuits with it
        }
        let mut unit = lock(&self.unit);
        let settle = unit.settle;
        let Some(hold) = unit.hold.take() else {
            return Ok(());
        };
        let restored = hold.restore(&mut *unit.switch, settle);
        restored.map(drop).map_err(|e| {
            format!(
                "optical switch {}: circuits could not be put back: {e}",
                self.name
            )
        })
    }

    /// Ends the imitation at once.
    pub fn abandon(&self) {
        drop(lock(&self.lamp).take());
    }
}

/// A session, and the size of the switch.
fn open(endpoint: &Endpoint) -> Result<(Box<dyn Switch>, Size), ocs::OcsError> {
    let attempt = || -> Result<(Box<dyn Switch>, Size), ocs::OcsError> {
        let mut switch = ocs::open(endpoint.clone())?;
        let size = switch.size()?;
        Ok((switch, size))
    };
    for _ in 1..ATTEMPTS {
        if let Ok(opened) = attempt() {
            return Ok(opened);
        }
    }
    attempt()
}

/// Asks again, in a new session, where an answer was lost.
fn ask<T>(
    switch: &mut dyn Switch,
    question: impl Fn(&mut dyn Switch) -> Result<T, ocs::OcsError>,
) -> Result<T, ocs::OcsError> {
    for _ in 1..ATTEMPTS {
        match question(switch) {
            Err(error) if error.wants_new_session() => drop(switch.reopen()),
            other => return other,
        }
    }
    question(switch)
}

/// The plan's troubles in the imitation's words.
fn trouble(plan: &crate::topology::optical::Trouble) -> Result<Trouble, String> {
    let ports = |list: &[String]| -> Result<BTreeSet<Port>, String> {
        let port = |text: &String| text.parse::<Port>().map_err(|e| e.to_string());
        list.iter().map(port).collect()
    };
    Ok(Trouble {
        drop_reply: plan.drop_reply,
        slow_reply: plan.slow_reply.std(),
        deny: plan.deny,
        lose_session: plan.lose_session,
        half_bulk: plan.half_bulk,
        garbage_banner: plan.garbage_banner,
        stuck: ports(&plan.stuck_port)?,
        no_light: ports(&plan.no_light)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::topology::optical::Dialect;

    #[test]
    fn every_dialect_of_scenarios_is_one_of_drivers() {
        let names = [
            Dialect::Scpi,
            Dialect::Tl1Polatis,
            Dialect::Tl1Calient,
            Dialect::Restconf,
            Dialect::Netconf,
            Dialect::Sonic,
            Dialect::Gnmi,
        ]
        .map(Dialect::name);
        assert_eq!(names, ocs::Dialect::ALL.map(ocs::Dialect::name));
    }
}
