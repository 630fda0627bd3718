//! What must be done to come from the circuits that are there to those that are wanted, and whether it may
//! be: the plan of every change. Pure.

use std::collections::BTreeSet;

use serde::Serialize;

use super::model::{Circuit, Port, Size};

/// What may happen to circuits that are there already.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Mode {
    /// None is touched: a wanted circuit whose port is in use is refused.
    #[default]
    Safe,
    /// Those that are in the way give way, if both of their ports are allowed.
    Update,
    /// The allowed ports end up with the wanted circuits and no others.
    Overwrite,
}

/// Circuits to remove and circuits to make, in this order.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Change {
    /// To be removed.
    pub remove: BTreeSet<Circuit>,
    /// To be made.
    pub add: BTreeSet<Circuit>,
}

/// Why a change is not to be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    /// No such port.
    #[error("there is no port {port} on a switch of {size}")]
    NoPort {
        /// The port.
        port: Port,
        /// The switch's size.
        size: Size,
    },
    /// A port that is off limits.
    #[error(
        "port {0} may not be changed\nhelp: the device file's `allow` (or --allow) names the ports that may"
    )]
    NotAllowed(Port),
    /// Two wanted circuits share a port.
    #[error("{0} and {1} cannot both be: they share a port")]
    Twice(Circuit, Circuit),
    /// Safe mode.
    #[error("{other} is in the way of {wanted}\nhelp: --mode update moves it, if it is yours to move")]
    InUse {
        /// What is wanted.
        wanted: Circuit,
        /// What is there.
        other: Circuit,
    },
    /// Somebody else's.
    #[error("{other} is in the way of {wanted}, and its other port may not be changed")]
    Foreign {
        /// What is wanted.
        wanted: Circuit,
        /// What is there.
        other: Circuit,
    },
    /// Not there.
    #[error("there is no circuit {0}")]
    Absent(Circuit),
}

impl Change {
    /// The change from `now` to having `wanted`. `allow`: ports that may be changed; `None`: all.
    pub fn to(
        wanted: &BTreeSet<Circuit>,
        now: &BTreeSet<Circuit>,
        mode: Mode,
        size: Size,
        allow: Option<&BTreeSet<Port>>,
    ) -> Result<Self, PlanError> {
        let allowed = |port: &Port| allow.is_none_or(|allow| allow.contains(port));
        let ours = |circuit: &Circuit| circuit.ports().iter().all(allowed);
        exist(wanted, size)?;
        if let Some((one, other)) = clash(wanted) {
            return Err(PlanError::Twice(one, other));
        }
        for port in wanted.difference(now).flat_map(|circuit| circuit.ports()) {
            allowed(&port).then_some(()).ok_or(PlanError::NotAllowed(port))?;
        }
        let mut change = Change {
            add: wanted.difference(now).copied().collect(),
            ..Self::default()
        };
        for &wanted in &change.add {
            for &other in now.iter().filter(|other| other.conflicts(wanted)) {
                match mode {
                    Mode::Safe => return Err(PlanError::InUse { wanted, other }),
                    _ if !ours(&other) => return Err(PlanError::Foreign { wanted, other }),
                    _ => change.remove.insert(other),
                };
            }
        }
        if mode == Mode::Overwrite {
            change
                .remove
                .extend(now.difference(wanted).filter(|circuit| ours(circuit)));
        }
        Ok(change)
    }

    /// The removal of `unwanted` circuits, all of which must be there.
    pub fn without(
        unwanted: &BTreeSet<Circuit>,
        now: &BTreeSet<Circuit>,
        size: Size,
        allow: Option<&BTreeSet<Port>>,
    ) -> Result<Self, PlanError> {
        exist(unwanted, size)?;
        for circuit in unwanted {
            let forbidden = circuit
                .ports()
                .into_iter()
                .find(|port| allow.is_some_and(|allow| !allow.contains(port)));
            if let Some(port) = forbidden {
                return Err(PlanError::NotAllowed(port));
            }
            now.contains(circuit)
                .then_some(())
                .ok_or(PlanError::Absent(*circuit))?;
        }
        Ok(Change {
            remove: unwanted.clone(),
            ..Self::default()
        })
    }

    /// The change that undoes this one.
    pub fn reversed(&self) -> Self {
        Self {
            remove: self.add.clone(),
            add: self.remove.clone(),
        }
    }

    /// Nothing to do.
    pub fn is_empty(&self) -> bool {
        self.remove.is_empty() && self.add.is_empty()
    }

    /// All ports that it touches.
    pub fn ports(&self) -> BTreeSet<Port> {
        let circuits = self.remove.iter().chain(&self.add);
        circuits.flat_map(|circuit| circuit.ports()).collect()
    }
}

fn exist(circuits: &BTreeSet<Circuit>, size: Size) -> Result<(), PlanError> {
    let missing = circuits
        .iter()
        .flat_map(|circuit| circuit.ports())
        .find(|port| !size.has(*port));
    missing.map_or(Ok(()), |port| Err(PlanError::NoPort { port, size }))
}

/// Two of these circuits that share a port.
pub fn clash(circuits: &BTreeSet<Circuit>) -> Option<(Circuit, Circuit)> {
    let list: Vec<Circuit> = circuits.iter().copied().collect();
    let second = |(index, one): (usize, &Circuit)| {
        let rest = &list[index + 1..];
        rest.iter()
            .find(|other| other.conflicts(*one))
            .map(|other| (*one, *other))
    };
    list.iter().enumerate().find_map(second)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIZE: Size = Size { a: 8, b: 8 };

    fn set(text: &str) -> BTreeSet<Circuit> {
        text.split_whitespace()
            .map(|word| word.parse().unwrap())
            .collect()
    }

    fn change(
        wanted: &str,
        now: &str,
        mode: Mode,
        allow: Option<&str>,
    ) -> Result<(String, String), PlanError> {
        let allow = allow.map(|text| super::super::model::port_list(text).unwrap());
        let found = Change::to(&set(wanted), &set(now), mode, SIZE, allow.as_ref())?;
        let words =
            |set: &BTreeSet<Circuit>| set.iter().map(Circuit::to_string).collect::<Vec<_>>().join(" ");
        Ok((words(&found.remove), words(&found.add)))
    }

    fn pair(remove: &str, add: &str) -> Result<(String, String), PlanError> {
        Ok((remove.into(), add.into()))
    }

    #[test]
    fn safe_touches_nothing() {
        assert_eq!(
            change("1A-1B 2A-2B", "1A-1B 3A-3B", Mode::Safe, None),
            pair("", "2A-2B")
        );
        assert!(matches!(
            change("1A-2B", "1A-1B", Mode::Safe, None),
            Err(PlanError::InUse { .. })
        ));
    }

    #[test]
    fn update_moves_what_is_in_the_way_and_only_what_is_allowed() {
        assert_eq!(
            change("1A-2B", "1A-1B 2A-2B 3A-3B", Mode::Update, None),
            pair("1A-1B 2A-2B", "1A-2B")
        );
        let foreign = change("1A-2B", "2A-2B", Mode::Update, Some("1A,2B"));
        assert!(matches!(foreign, Err(PlanError::Foreign { .. })), "{foreign:?}");
    }

    #[test]
    fn overwrite_clears_the_allowed_ports_and_no_others() {
        let found = change(
            "1A-1B",
            "2A-2B 3A-3B 4A-8B",
            Mode::Overwrite,
            Some("1A..4A,1B..4B"),
        );
        assert_eq!(found, pair("2A-2B 3A-3B", "1A-1B"));
    }

    #[test]
    fn what_cannot_be_is_refused() {
        assert!(matches!(
            change("9A-1B", "", Mode::Update, None),
            Err(PlanError::NoPort { .. })
        ));
        assert!(matches!(
            change("1A-1B 1A-2B", "", Mode::Update, None),
            Err(PlanError::Twice(..))
        ));
        assert!(matches!(
            change("1A-1B", "", Mode::Safe, Some("1A")),
            Err(PlanError::NotAllowed(Port::B(1)))
        ));
        let gone = Change::without(&set("1A-1B"), &set(""), SIZE, None);
        assert_eq!(gone, Err(PlanError::Absent(Circuit::new(1, 1))));
    }
}
