//! The switch itself: ports with shutters, attenuators and labels; circuits whose mirrors take their time.
//! Time is passed in, as time since the switch was started; randomness comes from a seed.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use genie_drivers::ocs::{Circuit, Port, Size, Startup};

/// Power that enters every lit A port, dBm, and what every circuit loses, dB: plausible, not measured.
const LAUNCHED_DBM: f64 = -2.0;
const LOSS_DB: f64 = 1.2;
/// What a monitor shows without light, dBm.
const DARK_DBM: f64 = -60.0;

/// How long mirrors take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settle {
    /// Always at least.
    pub mean: Duration,
    /// Each circuit takes so much more or less at most.
    pub jitter: Duration,
}

/// Why the switch does not do something. Each dialect has its own words for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// No such port, or a port on the wrong side.
    NoPort,
    /// A port that is in another circuit.
    InUse,
    /// No such circuit.
    Absent,
    /// A value out of range.
    Range,
}

/// How far a circuit is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// Provisioned but not active.
    Idle,
    /// Mirrors move.
    Tuning,
    /// Light passes, unless a shutter holds it back.
    Tuned,
    /// Mirrors do not move.
    Failed,
}

/// A circuit as the switch keeps it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cross {
    /// Group, in dialects that have one.
    pub group: String,
    /// Name, likewise.
    pub name: String,
    /// When its mirrors have settled; `None`: not activated.
    ready: Option<Duration>,
    stuck: bool,
}

/// What the switch keeps of a port.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct PortConfig {
    /// The shutter is closed.
    pub blocked: bool,
    /// Label.
    pub label: String,
    /// Attenuation, dB.
    pub attenuation: Option<f64>,
}

/// The state that all sessions and dialects share.
#[derive(Debug)]
pub struct Core {
    /// How many ports.
    pub size: Size,
    settle: Settle,
    random: u64,
    circuits: BTreeMap<Circuit, Cross>,
    ports: BTreeMap<Port, PortConfig>,
    stuck: BTreeSet<Port>,
    dark: BTreeSet<Port>,
    /// What a restart would do.
    pub startup: Startup,
}

impl Core {
    /// A switch without circuits. `stuck`: ports whose mirrors never move. `dark`: A ports without light.
    pub fn new(size: Size, settle: Settle, seed: u64, stuck: BTreeSet<Port>, dark: BTreeSet<Port>) -> Self {
        Self {
            size,
            settle,
            random: seed ^ 0x9e37_79b9_7f4a_7c15,
            circuits: BTreeMap::new(),
            ports: BTreeMap::new(),
            stuck,
            dark,
            startup: Startup::Volatile,
        }
    }

    /// Makes circuits, all or none, and gives when their mirrors will have settled.
    pub fn connect(&mut self, wanted: &[Circuit], now: Duration) -> Result<Duration, Fault> {
        self.exchange(&[], wanted, now)
    }

    /// Removes circuits and makes others in their place, all or none of it, and gives when mirrors will have settled.
    pub fn exchange(
        &mut self,
        unwanted: &[Circuit],
        wanted: &[Circuit],
        now: Duration,
    ) -> Result<Duration, Fault> {
        for circuit in wanted {
            self.enter(*circuit, "", "", true)?;
        }
        for (index, circuit) in wanted.iter().enumerate() {
            let stays = self.circuits.keys().filter(|other| !unwanted.contains(other));
            if stays
                .chain(&wanted[..index])
                .any(|other| other.conflicts(*circuit))
            {
                return Err(Fault::InUse);
            }
        }
        self.disconnect(unwanted)?;
        let mut ready = now;
        for circuit in wanted {
            if !self.circuits.contains_key(circuit) {
                self.enter(*circuit, "", "", false)?;
            }
            // One that is there already is left as it is.
            ready = ready.max(self.activate(*circuit, now)?);
        }
        Ok(ready)
    }

    /// Provisions a circuit without moving mirrors. `dry`: only checks that its ports exist.
    pub fn enter(&mut self, circuit: Circuit, group: &str, name: &str, dry: bool) -> Result<(), Fault> {
        if !circuit.ports().iter().all(|port| self.size.has(*port)) {
            return Err(Fault::NoPort);
        }
        if dry {
            return Ok(());
        }
        if self
            .circuits
            .keys()
            .any(|other| *other == circuit || other.conflicts(circuit))
        {
            return Err(Fault::InUse);
        }
        let stuck = circuit.ports().iter().any(|port| self.stuck.contains(port));
        let cross = Cross {
            group: group.into(),
            name: name.into(),
            ready: None,
            stuck,
        };
        self.circuits.insert(circuit, cross);
        Ok(())
    }

    /// Moves the mirrors of a provisioned circuit; gives when they will have settled.
    pub fn activate(&mut self, circuit: Circuit, now: Duration) -> Result<Duration, Fault> {
        let settle = self.next_settle();
        let cross = self.circuits.get_mut(&circuit).ok_or(Fault::Absent)?;
        Ok(*cross.ready.get_or_insert(now + settle))
    }

    /// Turns the light off and keeps the circuit provisioned.
    pub fn deactivate(&mut self, circuit: Circuit) -> Result<(), Fault> {
        let cross = self.circuits.get_mut(&circuit).ok_or(Fault::Absent)?;
        cross.ready = None;
        Ok(())
    }

    /// Removes circuits, all or none. Light is gone at once.
    pub fn disconnect(&mut self, unwanted: &[Circuit]) -> Result<(), Fault> {
        if unwanted
            .iter()
            .any(|circuit| !self.circuits.contains_key(circuit))
        {
            return Err(Fault::Absent);
        }
        for circuit in unwanted {
            self.circuits.remove(circuit);
        }
        Ok(())
    }

    /// The mean, more or less a share of the jitter (SplitMix64).
    fn next_settle(&mut self) -> Duration {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.random;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        let share = (mixed >> 11) as f64 / (1u64 << 53) as f64;
        let (mean, jitter) = (self.settle.mean.as_secs_f64(), self.settle.jitter.as_secs_f64());
        Duration::try_from_secs_f64((mean + (2.0 * share - 1.0) * jitter).max(0.0)).unwrap_or_default()
    }

    /// All circuits.
    pub fn circuits(&self) -> impl Iterator<Item = (Circuit, &Cross)> {
        self.circuits.iter().map(|(circuit, cross)| (*circuit, cross))
    }

    /// The circuit at a port.
    pub fn at(&self, port: Port) -> Option<Circuit> {
        self.circuits
            .keys()
            .copied()
            .find(|circuit| circuit.ports().contains(&port))
    }

    /// What the switch keeps of a circuit.
    pub fn cross(&self, circuit: Circuit) -> Option<&Cross> {
        self.circuits.get(&circuit)
    }

    /// How far a circuit is.
    pub fn status(&self, circuit: Circuit, now: Duration) -> Status {
        match self.circuits.get(&circuit) {
            None | Some(Cross { ready: None, .. }) => Status::Idle,
            Some(Cross {
                ready: Some(ready), ..
            }) if *ready > now => Status::Tuning,
            Some(Cross { stuck: true, .. }) => Status::Failed,
            Some(_) => Status::Tuned,
        }
    }

    /// When the last mirror that moves now will have settled.
    pub fn all_settled(&self, now: Duration) -> Duration {
        self.circuits
            .values()
            .filter_map(|cross| cross.ready)
            .fold(now, Duration::max)
    }

    /// When the next mirror settles.
    pub fn next_settled(&self, now: Duration) -> Option<Duration> {
        self.circuits
            .values()
            .filter_map(|cross| cross.ready)
            .filter(|ready| *ready > now)
            .min()
    }

    /// Circuits that light passes: settled, no shutter closed, and light enters.
    pub fn lit(&self, now: Duration) -> BTreeSet<Circuit> {
        let open = |circuit: &Circuit| {
            let ports = circuit.ports();
            !self.dark.contains(&ports[0]) && ports.iter().all(|port| !self.port(*port).blocked)
        };
        let circuits = self.circuits.keys().copied();
        circuits
            .filter(|circuit| self.status(*circuit, now) == Status::Tuned && open(circuit))
            .collect()
    }

    /// What the switch keeps of a port.
    pub fn port(&self, port: Port) -> PortConfig {
        self.ports.get(&port).cloned().unwrap_or_default()
    }

    /// Changes it.
    pub fn port_mut(&mut self, port: Port) -> Result<&mut PortConfig, Fault> {
        if !self.size.has(port) {
            return Err(Fault::NoPort);
        }
        Ok(self.ports.entry(port).or_default())
    }

    /// Whether the switch has given a port up.
    pub fn failed(&self, port: Port, now: Duration) -> bool {
        self.at(port)
            .is_some_and(|circuit| self.status(circuit, now) == Status::Failed)
    }

    /// What a power monitor shows, dBm.
    pub fn power(&self, port: Port, now: Duration) -> f64 {
        let launched = |a: u16| !self.dark.contains(&Port::A(a));
        match port {
            Port::A(a) if launched(a) => LAUNCHED_DBM,
            Port::A(_) => DARK_DBM,
            Port::B(_) => match self
                .lit(now)
                .into_iter()
                .find(|circuit| circuit.ports().contains(&port))
            {
                Some(circuit) if launched(circuit.a) => {
                    LAUNCHED_DBM - LOSS_DB - self.port(port).attenuation.unwrap_or(0.0)
                }
                _ => DARK_DBM,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn core(stuck: &[Port]) -> Core {
        let settle = Settle {
            mean: 25 * MS,
            jitter: 5 * MS,
        };
        Core::new(
            Size { a: 4, b: 4 },
            settle,
            7,
            stuck.iter().copied().collect(),
            BTreeSet::new(),
        )
    }

    #[test]
    fn light_comes_after_the_settle_time_and_goes_at_once() {
        let mut core = core(&[]);
        let circuit = Circuit::new(1, 2);
        let ready = core.connect(&[circuit], 100 * MS).unwrap();
        assert!((120 * MS..=130 * MS).contains(&ready), "{ready:?}");
        assert_eq!(core.status(circuit, ready - MS), Status::Tuning);
        assert!(core.lit(ready - MS).is_empty() && core.lit(ready).contains(&circuit));
        assert!(core.power(Port::B(2), ready) > -10.0 && core.power(Port::B(2), ready - MS) < -50.0);
        core.port_mut(Port::B(2)).unwrap().blocked = true;
        assert!(core.lit(ready).is_empty());
        core.disconnect(&[circuit]).unwrap();
        assert_eq!(core.status(circuit, ready), Status::Idle);
    }

    #[test]
    fn a_port_is_in_one_circuit_and_a_bulk_is_all_or_nothing() {
        let mut core = core(&[]);
        core.connect(&[Circuit::new(1, 1)], MS).unwrap();
        let bulk = [Circuit::new(2, 2), Circuit::new(3, 1)];
        assert_eq!(core.connect(&bulk, MS), Err(Fault::InUse));
        assert_eq!(core.connect(&[Circuit::new(5, 1)], MS), Err(Fault::NoPort));
        assert_eq!(
            core.disconnect(&[Circuit::new(1, 1), Circuit::new(2, 2)]),
            Err(Fault::Absent)
        );
        assert_eq!(core.circuits().count(), 1);
    }

    #[test]
    fn a_stuck_port_never_lights() {
        let mut core = core(&[Port::A(1)]);
        let circuit = Circuit::new(1, 1);
        let ready = core.connect(&[circuit], MS).unwrap();
        assert_eq!(core.status(circuit, ready), Status::Failed);
        assert!(core.lit(ready).is_empty() && core.failed(Port::A(1), ready));
    }
}
