//! SONiC-OCS: the few commands of its shell that a driver needs. Not a shell: a line is a command, an
//! optional here-document and an optional `; echo MARK $?`.

use genie_drivers::ocs::codec;
use genie_drivers::ocs::{Circuit, Port};
use serde_json::{Map, Value, json};

use super::{Answer, FIRMWARE, Grammar, Refusal, SERIAL, World};
use crate::ocs::core::{Fault, Status};

const MOST_BYTES: usize = 1 << 20;

/// A session; nothing is kept between commands.
pub struct Sonic;

/// What was printed, and the reason of a failure.
type Outcome = Result<String, String>;

impl Grammar for Sonic {
    fn take(&mut self, bytes: &[u8]) -> Result<Option<(Vec<u8>, usize)>, String> {
        let whole = whole(bytes);
        match whole {
            None if bytes.len() > MOST_BYTES => Err("a command that does not end".into()),
            _ => Ok(whole.map(|length| (bytes[..length].to_vec(), length))),
        }
    }

    fn answer(&mut self, request: &[u8], world: &mut World<'_>) -> Answer {
        let text = String::from_utf8_lossy(request);
        let (line, input) = text.split_once('\n').unwrap_or((&text, ""));
        let (command, mark) = match line.rsplit_once("; echo ") {
            Some((command, mark)) => (command, mark.trim().strip_suffix("$?")),
            None => (line, None),
        };
        let command = command.split("<<").next().unwrap_or_default().replace("2>&1", "");
        let input = input.rsplit_once("\nGENIE-END").map_or(input, |(input, _)| input);
        let (mut printed, status) = match carry_out(command.trim(), input, world) {
            Ok(text) => (text, 0),
            Err(reason) => (format!("Error: {reason}\n"), 1),
        };
        if let Some(mark) = mark {
            printed += &format!("{mark}{status}\n");
        }
        Answer::now(printed)
    }
}

/// Length of the first command with its here-document, if all of it is there.
fn whole(bytes: &[u8]) -> Option<usize> {
    let (line, mut at) = codec::line(bytes)?;
    let line = String::from_utf8_lossy(line).into_owned();
    let Some((_, end)) = line.split_once("<<'") else {
        return Some(at);
    };
    let end = end.split('\'').next().unwrap_or_default();
    loop {
        let (next, length) = codec::line(&bytes[at..])?;
        at += length;
        if next == end.as_bytes() {
            return Some(at);
        }
    }
}

fn carry_out(command: &str, input: &str, world: &mut World<'_>) -> Outcome {
    let words: Vec<&str> = command
        .split_whitespace()
        .filter(|word| *word != "sudo")
        .collect();
    match words[..] {
        [] | ["true"] => Ok(String::new()),
        ["show", "version"] => Ok(format!(
            "SONiC Software Version: {FIRMWARE}\nPlatform: x86_64-kvm_x86_64-r0\nHwSKU: ocs-{}\nSerial Number: {SERIAL}\n",
            world.core.size
        )),
        ["sonic-db-dump", "-n", database, "-k", pattern] => {
            let table = pattern.trim_matches('\'').trim_end_matches('*');
            dump(database, table, world)
        }
        ["config", "apply-patch", "/dev/stdin"] => apply_patch(input, world),
        ["config", "ocs", "cross-connect", "add", list] => edit(list, true, world),
        ["config", "ocs", "cross-connect", "add", list, "safe" | "update"] => edit(list, true, world),
        ["config", "ocs", "cross-connect", "delete", list] => edit(list, false, world),
        [
            "config",
            "ocs",
            "port",
            "state",
            port,
            word @ ("normal" | "force_blocked"),
        ] => {
            let port: Port = port.parse().map_err(|_| "no such port".to_owned())?;
            let blocked = word == "force_blocked";
            world
                .change_ports(&[port], |port| port.blocked = blocked)
                .map_err(reason)?;
            Ok(String::new())
        }
        ["config", "ocs", "port", "label", port, label] => {
            let port: Port = port.parse().map_err(|_| "no such port".to_owned())?;
            world
                .change_ports(&[port], |port| port.label = label.to_owned())
                .map_err(reason)?;
            Ok(String::new())
        }
        ["show", "ocs", "cross-connect", what @ ("config" | "status")] => Ok(table(what, world)),
        _ => Err(format!("No such command \"{}\".", words.join(" "))),
    }
}

fn reason(refusal: Refusal) -> String {
    match refusal {
        Refusal::Fault(Fault::InUse) => "a port is already used by another cross-connect".into(),
        Refusal::Fault(Fault::Absent) => "no such cross-connect".into(),
        Refusal::Fault(_) => "no such port or value".into(),
        Refusal::Denied => "Failed to apply patch".into(),
    }
}

fn edit(list: &str, add: bool, world: &mut World<'_>) -> Outcome {
    let circuits: Result<Vec<Circuit>, _> = list.split(',').map(str::parse).collect();
    let circuits = circuits.map_err(|e| format!("{e}"))?;
    match add {
        true => connect(&circuits, world),
        false => world.disconnect(&circuits).map_err(reason),
    }
    .map(|()| String::new())
}

/// Circuits on stuck ports are made here, and shown as failed.
fn connect(circuits: &[Circuit], world: &mut World<'_>) -> Result<(), String> {
    world.permit().map_err(reason)?;
    let done = world.core.connect(world.bulk(circuits), world.now);
    done.map(drop).map_err(|fault| reason(Refusal::Fault(fault)))
}

/// A JSON patch (RFC 6902) of the one table that is of interest: additions and removals of whole circuits.
fn apply_patch(input: &str, world: &mut World<'_>) -> Outcome {
    let patch: Vec<Value> = serde_json::from_str(input).map_err(|e| format!("not a JSON patch: {e}"))?;
    let (mut add, mut remove) = (Vec::new(), Vec::new());
    for operation in &patch {
        let text = |key: &str| operation.get(key).and_then(Value::as_str).unwrap_or_default();
        let path = text("path")
            .strip_prefix("/OCS_CROSS_CONNECT/")
            .ok_or("only OCS_CROSS_CONNECT can be patched here")?;
        let (name, field) = path.split_once('/').unwrap_or((path, ""));
        let circuit: Circuit = name.parse().map_err(|e| format!("{e}"))?;
        let [a, b] = circuit.ports().map(|port| port.to_string());
        match (text("op"), field) {
            ("add", "") => add.push(circuit),
            ("add", "a_side") if text("value") == a => {}
            ("add", "b_side") if text("value") == b => {}
            ("remove", "") => remove.push(circuit),
            _ => return Err(format!("cannot do {operation}")),
        }
    }
    if !remove.is_empty() {
        world.disconnect(&remove).map_err(reason)?;
    }
    if !add.is_empty() {
        connect(&add, world)?;
    }
    Ok("Patch applied successfully.\n".into())
}

/// Rows of a database as its dump tool prints them.
fn dump(database: &str, prefix: &str, world: &World<'_>) -> Outcome {
    let mut rows = Map::new();
    let mut row = |key: String, fields: Value| {
        if key.starts_with(prefix) {
            rows.insert(
                key,
                json!({"expireat": 0, "ttl": -0.001, "type": "hash", "value": fields}),
            );
        }
    };
    let word = |circuit| match world.core.status(circuit, world.now) {
        Status::Idle => "blocked",
        Status::Tuning => "tuning",
        Status::Tuned => "tuned",
        Status::Failed => "failed",
    };
    match database {
        "CONFIG_DB" => {
            for (circuit, _) in world.core.circuits() {
                let [a, b] = circuit.ports().map(|port| port.to_string());
                row(
                    format!("OCS_CROSS_CONNECT|{circuit}"),
                    json!({"a_side": a, "b_side": b}),
                );
            }
            for port in world.core.size.ports() {
                let config = world.core.port(port);
                let state = if config.blocked { "force_blocked" } else { "normal" };
                row(
                    format!("OCS_PORT|{port}"),
                    json!({"label": config.label, "state": state}),
                );
            }
        }
        "STATE_DB" => {
            for (circuit, _) in world.core.circuits() {
                let [a, b] = circuit.ports().map(|port| port.to_string());
                let word = word(circuit);
                let fields = json!({"a_side": a, "b_side": b, "a_side_status": word, "b_side_status": word});
                row(format!("OCS_CROSS_CONNECT_TABLE|{circuit}"), fields);
            }
            for port in world.core.size.ports() {
                let status = world.core.at(port).map_or("blocked", word);
                row(format!("OCS_PORT_TABLE|{port}"), json!({"status": status}));
            }
        }
        _ => return Err(format!("no database {database}")),
    }
    Ok(format!("{}\n", Value::Object(rows)))
}

fn table(what: &str, world: &World<'_>) -> String {
    let mut text =
        "Cross-Connect  A Side  B Side  Status\n-------------  ------  ------  ------\n".to_owned();
    for (circuit, _) in world.core.circuits() {
        let [a, b] = circuit.ports();
        let status = if what == "config" {
            String::new()
        } else {
            format!("{:?}", world.core.status(circuit, world.now)).to_lowercase()
        };
        text += &format!(
            "{:<13}  {:<6}  {:<6}  {status}\n",
            circuit.to_string(),
            a.to_string(),
            b.to_string()
        );
    }
    text
}
