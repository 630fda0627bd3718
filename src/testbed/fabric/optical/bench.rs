//! One optical switch: an imitation whose light drives its links, a session with it, and the lease of its ports.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use genie_drivers::ocs::{
    self, Applied, Change, Circuit, Endpoint, Hold, Mode, OcsError, Port, Size, Switch,
};
use genie_emu::ocs::light::Flash;
use genie_emu::ocs::{Lamp, Options, Settle, Trouble};

use super::lock;
use crate::scenario::plan::optical;
use crate::scenario::units;

/// A session is begun so often before it is given up: with troubles the first attempts may fail.
const ATTEMPTS: u32 = 12;
/// A lease longer than any run.
const LEASE: Duration = Duration::from_secs(30 * 86_400);
/// So much longer than mirrors take is waited for them and for answers that wait for them.
const PATIENCE: Duration = Duration::from_secs(2);
/// An answer that does not wait for mirrors. Imitations on this machine answer within milliseconds.
const ANSWER: Duration = Duration::from_secs(1);

/// What is known of a switch, by name.
pub type Facts = BTreeMap<String, String>;

/// A switch that is served, and the driver's side of it.
#[derive(Debug)]
pub(super) struct Bench {
    name: String,
    address: SocketAddr,
    endpoint: Endpoint,
    /// Ports at which links end: no others are touched.
    ports: BTreeSet<Port>,
    /// Ended early, it is gone.
    lamp: Mutex<Option<Lamp>>,
    /// Once there is a session.
    unit: Mutex<Option<Unit>>,
}

struct Unit {
    switch: Box<dyn Switch>,
    /// Taken away when the circuits are put back.
    hold: Option<Hold>,
    size: Size,
}

impl std::fmt::Debug for Unit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Unit")
            .field("size", &self.size)
            .finish_non_exhaustive()
    }
}

impl Bench {
    /// Serves the switch; nobody has a session with it yet.
    pub fn serve(
        plan: &optical::Switch,
        name: &str,
        fabric: &genie_emu::Fabric,
        dilation: f64,
    ) -> Result<Self, String> {
        let failed = |e: &dyn std::fmt::Display| failed(name, e);
        let options = options(plan, dilation).map_err(|e| failed(&e))?;
        let (dialect, settle, slow) = (options.dialect, options.settle, options.trouble.slow_reply);
        let crossbar = fabric.crossbar(plan.node).map_err(|e| failed(&e))?;
        let lamp = Lamp::start(options, crossbar, plan.links.iter().copied().collect());
        let lamp = lamp.map_err(|e| failed(&e))?;
        let address = lamp.address();
        let mut endpoint = Endpoint::at(&format!("{dialect}://{address}")).map_err(|e| failed(&e))?;
        endpoint.settle = settle.mean + settle.jitter + slow + PATIENCE;
        endpoint.answer = slow + ANSWER;
        let ports = plan.links.iter().flat_map(|(n, _)| [Port::A(*n), Port::B(*n)]);
        Ok(Bench {
            name: name.into(),
            address,
            endpoint,
            ports: ports.collect(),
            lamp: Mutex::new(Some(lamp)),
            unit: Mutex::new(None),
        })
    }

    /// Begins a session with the switch, leases its ports, and gives what the switch is. No attempt is begun after
    /// `until`; whoever does not want to wait for one under way ends the imitation.
    pub fn open(&self, leases: &Path, owner: &str, until: Instant) -> Result<Facts, String> {
        let failed = |e: &dyn std::fmt::Display| failed(&self.name, e);
        let (mut switch, size) = self.session(until).map_err(|e| failed(&e))?;
        let hold = Hold::take(leases, &self.endpoint, &self.ports, LEASE, owner);
        let hold = Some(hold.map_err(|e| failed(&e))?);
        let facts = self.facts(&mut *switch, size);
        *lock(&self.unit) = Some(Unit { switch, hold, size });
        Ok(facts)
    }

    /// A session, and the size of the switch.
    fn session(&self, until: Instant) -> Result<(Box<dyn Switch>, Size), OcsError> {
        // No mirror moves yet that an answer could wait for.
        let mut still = self.endpoint.clone();
        still.settle = Duration::ZERO;
        let attempt = || -> Result<(Box<dyn Switch>, Size), OcsError> {
            let mut switch = ocs::open(still.clone())?;
            let size = switch.size()?;
            switch.set_settle(self.endpoint.settle);
            Ok((switch, size))
        };
        let gone = || Instant::now() >= until || lock(&self.lamp).is_none();
        for _ in 1..ATTEMPTS {
            match attempt() {
                Err(_) if !gone() => {}
                decided => return decided,
            }
        }
        attempt()
    }

    fn facts(&self, switch: &mut dyn Switch, size: Size) -> Facts {
        let mut facts = Facts::from([
            ("dialect".into(), self.endpoint.dialect.to_string()),
            ("address".into(), self.address.to_string()),
            ("size".into(), size.to_string()),
        ]);
        // Who it is decides nothing: a switch that does not say is used all the same.
        if let Ok(identity) = ask(switch, |switch| switch.identify()) {
            facts.extend([
                ("vendor".into(), identity.vendor),
                ("model".into(), identity.model),
                ("serial".into(), identity.serial),
                ("firmware".into(), identity.firmware),
            ]);
        }
        facts
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// No change of a circuit takes longer, however often an answer is lost.
    pub fn patience(&self) -> Duration {
        (self.endpoint.settle + self.endpoint.answer).saturating_mul(ATTEMPTS)
    }

    /// Makes these circuits and no others on the ports at which links end.
    pub fn apply(&self, wanted: &BTreeSet<Circuit>) -> Result<Applied, String> {
        let failed = |e: &dyn std::fmt::Display| failed(&self.name, e);
        let mut unit = lock(&self.unit);
        let Some(Unit { switch, hold, size }) = &mut *unit else {
            return Err(failed(&"there is no session with it"));
        };
        let now = ask(&mut **switch, |switch| switch.circuits()).map_err(|e| failed(&e))?;
        let change = Change::to(wanted, &now, Mode::Overwrite, *size, Some(&self.ports));
        let change = change.map_err(|e| failed(&e))?;
        let Some(hold) = hold else {
            return Err(failed(&"the lease has ended"));
        };
        let applied = hold
            .apply(&mut **switch, &change, self.endpoint.settle)
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

    /// Puts back the circuits that were there before, and ends the imitation.
    pub fn down(&self) -> Result<(), String> {
        let restored = self.restore();
        self.abandon();
        restored
    }

    fn restore(&self) -> Result<(), String> {
        if lock(&self.lamp).is_none() {
            return Ok(()); // the switch is gone, and its circuits with it
        }
        let mut unit = lock(&self.unit);
        let Some(Unit { switch, hold, .. }) = &mut *unit else {
            return Ok(());
        };
        let Some(hold) = hold.take() else {
            return Ok(());
        };
        let restored = hold.restore(&mut **switch, self.endpoint.settle);
        let failed = |e| failed(&self.name, &format!("circuits could not be put back: {e}"));
        restored.map(drop).map_err(failed)
    }

    /// Ends the imitation at once.
    pub fn abandon(&self) {
        let lamp = lock(&self.lamp).take();
        drop(lamp); // not under the lock: it waits for its threads
    }
}

fn failed(name: &str, error: &dyn std::fmt::Display) -> String {
    format!("optical switch {name}: {error}")
}

/// Asks again, in a new session, where an answer was lost.
fn ask<T>(
    switch: &mut dyn Switch,
    question: impl Fn(&mut dyn Switch) -> Result<T, OcsError>,
) -> Result<T, OcsError> {
    for _ in 1..ATTEMPTS {
        match question(switch) {
            Err(error) if error.wants_new_session() => drop(switch.reopen()),
            other => return other,
        }
    }
    question(switch)
}

/// How the switch is imitated, in real time.
fn options(plan: &optical::Switch, dilation: f64) -> Result<Options, String> {
    let real = |nominal: units::Duration| nominal.std().mul_f64(dilation);
    Ok(Options {
        dialect: plan
            .dialect
            .name()
            .parse::<ocs::Dialect>()
            .map_err(|e| e.to_string())?,
        size: Size {
            a: plan.ports,
            b: plan.ports,
        },
        settle: Settle {
            mean: real(plan.settle),
            jitter: real(plan.jitter),
        },
        seed: plan.seed,
        trouble: trouble(&plan.trouble)?,
        listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
    })
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
