//! The databases of a SONiC-OCS, whatever the way to them: tables as they stand, and JSON patches of CONFIG_DB.

use std::collections::BTreeMap;

use genie_drivers::ocs::{Circuit, Port};
use serde_json::{Map, Value, json};

use super::{FIRMWARE, Refusal, SERIAL, World};
use crate::ocs::core::{Fault, Status};

/// Tables by name: rows by key.
pub type Tables = BTreeMap<&'static str, Map<String, Value>>;

/// The tables of a database, those without rows left out as Redis does; `None`: no such database.
pub fn tables(database: &str, world: &World<'_>) -> Option<Tables> {
    let mut tables = match database {
        "CONFIG_DB" => config(world),
        "STATE_DB" => states(world),
        _ => return None,
    };
    tables.retain(|_, rows| !rows.is_empty());
    Some(tables)
}

fn config(world: &World<'_>) -> Tables {
    let circuit = |circuit: Circuit| {
        let [a, b] = circuit.ports().map(|port| port.to_string());
        (circuit.to_string(), json!({"a_side": a, "b_side": b}))
    };
    let port = |port: Port| {
        let config = world.core.port(port);
        let state = if config.blocked { "force_blocked" } else { "normal" };
        (port.to_string(), json!({"label": config.label, "state": state}))
    };
    let device = json!({
        "hostname": "ocs", "switch_type": "ocs", "platform": "x86_64-kvm_x86_64-r0", "hwsku": format!("ocs-{}", world.core.size),
    });
    let circuits = world.core.circuits().map(|(known, _)| circuit(known));
    BTreeMap::from([
        (
            "DEVICE_METADATA",
            Map::from_iter([("localhost".to_owned(), device)]),
        ),
        ("OCS_CROSS_CONNECT", circuits.collect()),
        ("OCS_PORT", world.core.size.ports().map(port).collect()),
    ])
}

fn states(world: &World<'_>) -> Tables {
    let word = |circuit| match world.core.status(circuit, world.now) {
        Status::Idle => "blocked",
        Status::Tuning => "tuning",
        Status::Tuned => "tuned",
        Status::Failed => "failed",
    };
    let circuit = |circuit: Circuit| {
        let ([a, b], word) = (circuit.ports().map(|port| port.to_string()), word(circuit));
        let fields = json!({"a_side": a, "b_side": b, "a_side_status": word, "b_side_status": word});
        (circuit.to_string(), fields)
    };
    let port = |port: Port| {
        let status = world.core.at(port).map_or("blocked", word);
        (port.to_string(), json!({"status": status}))
    };
    let chassis =
        json!({"serial": SERIAL, "model": format!("ocs-{}", world.core.size), "revision": FIRMWARE});
    let circuits = world.core.circuits().map(|(known, _)| circuit(known));
    BTreeMap::from([
        (
            "CHASSIS_INFO",
            Map::from_iter([("chassis 1".to_owned(), chassis)]),
        ),
        ("OCS_CROSS_CONNECT_TABLE", circuits.collect()),
        ("OCS_PORT_TABLE", world.core.size.ports().map(port).collect()),
    ])
}

/// Why the switch does not do it, in its words.
pub fn reason(refusal: Refusal) -> String {
    match refusal {
        Refusal::Fault(Fault::InUse) => "a port is already used by another cross-connect".into(),
        Refusal::Fault(Fault::Absent) => "no such cross-connect".into(),
        Refusal::Fault(_) => "no such port or value".into(),
        Refusal::Denied => "Failed to apply patch".into(),
    }
}

/// Makes circuits. Those on stuck ports are made here, and shown as failed.
pub fn connect(circuits: &[Circuit], world: &mut World<'_>) -> Result<(), String> {
    world.permit().map_err(reason)?;
    let done = world.core.connect(world.bulk(circuits), world.now);
    done.map(drop).map_err(|fault| reason(Refusal::Fault(fault)))
}

/// What an operation of a patch is about.
enum Change {
    Add(Circuit),
    Remove(Circuit),
    /// A side of a circuit, which its name says already.
    Side,
    State(Port, bool),
    Label(Port, String),
}

/// Applies a JSON patch (RFC 6902) of the two tables that are of interest: additions and removals of whole circuits,
/// states and labels of ports. It is one change: all of it is done, or nothing.
pub fn patch(operations: &[Value], world: &mut World<'_>) -> Result<(), String> {
    let changes: Vec<Change> = operations.iter().map(change).collect::<Result<_, _>>()?;
    let (mut add, mut remove) = (Vec::new(), Vec::new());
    for change in &changes {
        match change {
            Change::Add(circuit) => add.push(*circuit),
            Change::Remove(circuit) => remove.push(*circuit),
            Change::State(port, _) | Change::Label(port, _) if !world.core.size.has(*port) => {
                return Err(reason(Refusal::Fault(Fault::NoPort)));
            }
            Change::Side | Change::State(..) | Change::Label(..) => {}
        }
    }
    world.permit().map_err(reason)?;
    let fault = |fault| reason(Refusal::Fault(fault));
    let (remove, add) = (world.bulk(&remove), world.bulk(&add));
    world.core.exchange(remove, add, world.now).map_err(fault)?;
    for change in &changes {
        match change {
            Change::State(port, blocked) => world.core.port_mut(*port).map_err(fault)?.blocked = *blocked,
            Change::Label(port, label) => {
                world.core.port_mut(*port).map_err(fault)?.label.clone_from(label);
            }
            Change::Add(_) | Change::Remove(_) | Change::Side => {}
        }
    }
    Ok(())
}

fn change(operation: &Value) -> Result<Change, String> {
    let text = |key: &str| operation.get(key).and_then(Value::as_str).unwrap_or_default();
    let (kind, value) = (text("op"), operation.get("value").unwrap_or(&Value::Null));
    let mut names = text("path").split('/').skip(1);
    let (table, name, field) = (
        names.next(),
        names.next().unwrap_or_default(),
        names.next().unwrap_or_default(),
    );
    let other = || format!("cannot do {operation}");
    if names.next().is_some() {
        return Err(other());
    }
    match table {
        Some("OCS_CROSS_CONNECT") => {
            let circuit: Circuit = name.parse().map_err(|e| format!("{e}"))?;
            let [a, b] = circuit.ports().map(|port| port.to_string());
            let same = |side: &str, port: &str| value.get(side).is_none_or(|value| value == port);
            match (kind, field) {
                ("add", "") if same("a_side", &a) && same("b_side", &b) => Ok(Change::Add(circuit)),
                ("add", "a_side") if value == &a => Ok(Change::Side),
                ("add", "b_side") if value == &b => Ok(Change::Side),
                ("remove", "") => Ok(Change::Remove(circuit)),
                _ => Err(other()),
            }
        }
        Some("OCS_PORT") => {
            let port: Port = name.parse().map_err(|e| format!("{e}"))?;
            match (kind, field, value.as_str()) {
                ("add" | "replace", "state", Some("force_blocked")) => Ok(Change::State(port, true)),
                ("add" | "replace", "state", Some("normal")) => Ok(Change::State(port, false)),
                ("add" | "replace", "label", Some(label)) => Ok(Change::Label(port, label.to_owned())),
                _ => Err(other()),
            }
        }
        _ => Err("only OCS_CROSS_CONNECT and OCS_PORT can be patched here".into()),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::time::Duration;

    use genie_drivers::ocs::Size;

    use super::*;
    use crate::ocs::core::{Core, Settle};
    use crate::ocs::trouble::{Luck, Trouble};

    /// A switch with 1A-1B and 2A-2B, and what becomes of a patch there.
    fn patched(trouble: &Trouble, operations: Value) -> (Result<(), String>, String) {
        let settle = Settle {
            mean: Duration::ZERO,
            jitter: Duration::ZERO,
        };
        let mut core = Core::new(Size { a: 4, b: 4 }, settle, 1, BTreeSet::new(), BTreeSet::new());
        core.connect(&[Circuit::new(1, 1), Circuit::new(2, 2)], Duration::ZERO)
            .unwrap();
        let mut world = World {
            core: &mut core,
            luck: &mut Luck::default(),
            trouble,
            now: Duration::ZERO,
        };
        let operations = operations.as_array().unwrap();
        let done = patch(operations, &mut world);
        let now: Vec<String> = core.circuits().map(|(circuit, _)| circuit.to_string()).collect();
        (done, now.join(" "))
    }

    fn operation(op: &str, circuit: &str) -> Value {
        json!({"op": op, "path": format!("/OCS_CROSS_CONNECT/{circuit}"), "value": {}})
    }

    #[test]
    fn a_patch_is_one_change_and_all_or_nothing() {
        let before = "1A-1B 2A-2B";
        let (remove, add) = (operation("remove", "1A-1B"), operation("add", "1A-3B"));
        // Every second change is refused: this is the first, though it removes and makes.
        let mut trouble = Trouble::default();
        trouble.add("deny=2").unwrap();
        let (done, now) = patched(&trouble, json!([remove, add]));
        assert_eq!((done, now.as_str()), (Ok(()), "1A-3B 2A-2B"));
        trouble.add("deny=1").unwrap();
        let (done, now) = patched(&trouble, json!([remove, add]));
        assert!(done.is_err() && now == before, "{done:?} {now}");
        for wrong in [
            operation("add", "1A-2B"),
            operation("add", "1A-9B"),
            operation("remove", "3A-3B"),
            json!({"op": "add", "path": "/OCS_PORT/9A/state", "value": "normal"}),
        ] {
            let (done, now) = patched(&Trouble::default(), json!([remove, wrong]));
            assert!(done.is_err() && now == before, "{wrong}: {done:?} {now}");
        }
    }
}
