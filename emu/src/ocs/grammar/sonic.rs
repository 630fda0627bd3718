//! SONiC-OCS: the few commands of its shell that a driver needs. Not a shell: a line is a command, an
//! optional here-document and an optional `; echo MARK $?`.

use genie_drivers::ocs::codec;
use genie_drivers::ocs::{Circuit, Port};
use serde_json::{Map, Value, json};

use super::sonic_db::{self, reason};
use super::{Answer, FIRMWARE, Grammar, SERIAL, World};

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

fn edit(list: &str, add: bool, world: &mut World<'_>) -> Outcome {
    let circuits: Result<Vec<Circuit>, _> = list.split(',').map(str::parse).collect();
    let circuits = circuits.map_err(|e| format!("{e}"))?;
    match add {
        true => sonic_db::connect(&circuits, world),
        false => world.disconnect(&circuits).map_err(reason),
    }
    .map(|()| String::new())
}

fn apply_patch(input: &str, world: &mut World<'_>) -> Outcome {
    let patch: Vec<Value> = serde_json::from_str(input).map_err(|e| format!("not a JSON patch: {e}"))?;
    sonic_db::patch(&patch, world)?;
    Ok("Patch applied successfully.\n".into())
}

/// Rows of a database as its dump tool prints them.
fn dump(database: &str, prefix: &str, world: &World<'_>) -> Outcome {
    let tables = sonic_db::tables(database, world).ok_or_else(|| format!("no database {database}"))?;
    let mut all = Map::new();
    for (table, rows) in tables {
        for (name, fields) in rows {
            let key = format!("{table}|{name}");
            if key.starts_with(prefix) {
                let row = json!({"expireat": 0, "ttl": -0.001, "type": "hash", "value": fields});
                all.insert(key, row);
            }
        }
    }
    Ok(format!("{}\n", Value::Object(all)))
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
