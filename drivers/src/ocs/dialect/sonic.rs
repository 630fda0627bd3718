//! SONiC-OCS by a shell on the switch: changes are JSON patches of CONFIG_DB, states are read from its
//! databases as JSON.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::{Map, Value, json};

use super::sonic_tables::{self as tables, CIRCUIT_STATES, CIRCUITS, PORT_STATES, PORTS, Rows};
use crate::ocs::codec::shell;
use crate::ocs::endpoint::{Dialect, Endpoint};
use crate::ocs::error::OcsError;
use crate::ocs::model::{Circuit, Identity, Port, PortInfo, Size};
use crate::ocs::switch::{Session, Settling, Switch};

/// So long without a byte, and no banner is to be expected any more.
const SILENCE: Duration = Duration::from_millis(30);

pub struct Sonic {
    session: Session,
    number: u64,
}

impl Sonic {
    pub fn new(endpoint: Endpoint) -> Self {
        Self {
            session: Session::new(endpoint),
            number: 0,
        }
    }

    /// Runs a command on the switch; gives what it printed.
    fn run(&mut self, command: &str, input: Option<&str>) -> Result<String, OcsError> {
        self.number += 1;
        let number = self.number;
        let bytes = shell::request(command, input, number);
        let read = |bytes: &[u8], _: bool| shell::answer(bytes, number);
        let answer = self.session.ask(command, &bytes, read)?;
        match answer.status {
            0 => Ok(answer.text),
            status => {
                let last = answer.text.lines().rev().find(|line| !line.trim().is_empty());
                let reason = format!("{} (exit status {status})", last.unwrap_or("no reason given"));
                Err(OcsError::refused(command, &reason))
            }
        }
    }

    /// Rows of a database whose key begins with one of these tables, by what follows the table's name.
    fn rows(&mut self, database: &str, tables: &[&str]) -> Result<Rows, OcsError> {
        let command = format!("sonic-db-dump -n {database} -k '{}*'", tables[0]);
        let text = self.run(&command, None)?;
        // Whatever is printed before the object is a warning.
        let json = text.find('{').map_or("{}", |begin| &text[begin..]);
        let all: Map<String, Value> =
            serde_json::from_str(json).map_err(|e| OcsError::malformed(&command, e.to_string()))?;
        let row = |(key, value): (String, Value)| {
            let (table, name) = key.split_once('|')?;
            let Value::Object(mut value) = value else {
                return None;
            };
            let fields = match value.remove("value") {
                Some(Value::Object(fields)) => fields,
                _ => Map::new(),
            };
            tables.contains(&table).then(|| (name.to_owned(), fields))
        };
        Ok(all.into_iter().filter_map(row).collect())
    }

    fn patch(&mut self, operations: Vec<Value>) -> Result<(), OcsError> {
        if operations.is_empty() {
            return Ok(());
        }
        let text = Value::Array(operations).to_string();
        self.run("sudo config apply-patch /dev/stdin", Some(&text))
            .map(drop)
    }
}

impl Switch for Sonic {
    fn dialect(&self) -> Dialect {
        Dialect::Sonic
    }

    fn set_settle(&mut self, settle: Duration) {
        self.session.endpoint.settle = settle;
    }

    fn reopen(&mut self) -> Result<(), OcsError> {
        self.session.reopen()?.drain(SILENCE);
        // A shell that has not begun to read yet may still print its greeting: the mark ends it.
        self.run("true", None).map(drop)
    }

    fn identify(&mut self) -> Result<Identity, OcsError> {
        let text = self.run("show version", None)?;
        let value = |key: &str| {
            let line = text.lines().find_map(|line| line.trim().strip_prefix(key));
            line.unwrap_or_default().trim_start_matches(':').trim().to_owned()
        };
        Ok(Identity {
            vendor: value("Platform"),
            model: value("HwSKU"),
            serial: value("Serial Number"),
            firmware: value("SONiC Software Version"),
        })
    }

    fn size(&mut self) -> Result<Size, OcsError> {
        tables::size(&self.rows("CONFIG_DB", &[PORTS])?)
    }

    fn circuits(&mut self) -> Result<BTreeSet<Circuit>, OcsError> {
        tables::circuits(&self.rows("CONFIG_DB", &[CIRCUITS])?)
    }

    fn connect(&mut self, circuits: &[Circuit]) -> Result<(), OcsError> {
        let add = |circuit: &Circuit| {
            let path = format!("/OCS_CROSS_CONNECT/{circuit}");
            let [a, b] = circuit.ports().map(|port| port.to_string());
            [
                json!({"op": "add", "path": path, "value": {}}),
                json!({"op": "add", "path": format!("{path}/a_side"), "value": a}),
                json!({"op": "add", "path": format!("{path}/b_side"), "value": b}),
            ]
        };
        self.patch(circuits.iter().flat_map(add).collect())
    }

    fn disconnect(&mut self, circuits: &[Circuit]) -> Result<(), OcsError> {
        let now = self.circuits()?;
        let there = circuits.iter().filter(|circuit| now.contains(circuit));
        let remove =
            |circuit: &Circuit| json!({"op": "remove", "path": format!("/OCS_CROSS_CONNECT/{circuit}")});
        self.patch(there.map(remove).collect())
    }

    fn settling(&mut self, circuits: &[Circuit]) -> Result<Settling, OcsError> {
        let rows = self.rows("STATE_DB", &CIRCUIT_STATES)?;
        Ok(tables::settling(&rows, circuits))
    }

    fn ports(&mut self) -> Result<Vec<PortInfo>, OcsError> {
        let config = self.rows("CONFIG_DB", &[PORTS])?;
        let states = self.rows("STATE_DB", &PORT_STATES)?;
        Ok(tables::ports(&config, &states))
    }

    fn block(&mut self, ports: &[Port], blocked: bool) -> Result<(), OcsError> {
        let word = tables::state_word(blocked);
        for port in ports {
            self.run(&format!("sudo config ocs port state {port} {word}"), None)?;
        }
        Ok(())
    }

    fn label(&mut self, port: Port, label: &str) -> Result<(), OcsError> {
        tables::check_label(label)?;
        self.run(&format!("sudo config ocs port label {port} {label}"), None)
            .map(drop)
    }
}
