//! SONiC-OCS over gNMI: the same tables as by its shell, read with Get and changed with Set, which the switch turns
//! into one JSON patch (and saves).

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use serde_json::{Map, Value, json};

use super::sonic_tables::{self as tables, CIRCUIT_STATES, CIRCUITS, PORT_STATES, PORTS, Rows};
use crate::ocs::codec::gnmi::{
    self, GetRequest, GetResponse, Path, SetRequest, SetResponse, TypedValue, Update,
};
use crate::ocs::codec::hpack::Header;
use crate::ocs::codec::http2::{self, Connection, Event};
use crate::ocs::endpoint::{Dialect, Endpoint};
use crate::ocs::error::OcsError;
use crate::ocs::model::{Circuit, Identity, Port, PortInfo, Size};
use crate::ocs::switch::{Session, Settling, Switch};

pub struct Gnmi {
    session: Session,
    connection: Connection,
}

/// Where SONiC's databases begin.
const CONFIG: [&str; 2] = ["CONFIG_DB", "localhost"];
const STATE: [&str; 2] = ["STATE_DB", "localhost"];

impl Gnmi {
    pub fn new(endpoint: Endpoint) -> Self {
        Self {
            session: Session::new(endpoint),
            connection: Connection::client(),
        }
    }

    /// Calls a method; `None` when there is no such thing.
    fn call<A: prost::Message + Default>(
        &mut self,
        method: &str,
        request: &impl prost::Message,
    ) -> Result<Option<A>, OcsError> {
        let endpoint = &self.session.endpoint;
        let headers = gnmi::call(method, &endpoint.authority(), &endpoint.user, &endpoint.password);
        let patience = endpoint.answer + endpoint.settle;
        let stream = self.connection.request(&headers, &gnmi::pack(request));
        let (headers, body) = self.answer(method, stream, patience)?;
        let malformed = |e: crate::ocs::codec::Malformed| OcsError::malformed(method, e.0);
        match gnmi::status(&headers).map_err(malformed)? {
            (gnmi::OK, _) => gnmi::unpack(&body).map(Some).map_err(malformed),
            (gnmi::NOT_FOUND, _) => Ok(None),
            (gnmi::UNAUTHENTICATED, words) => Err(OcsError::refused(
                method,
                &format!("user or password is wrong: {words}"),
            )),
            (status, words) => Err(OcsError::refused(
                method,
                &format!("{words} (gRPC status {status})"),
            )),
        }
    }

    /// Frame by frame, answering what has to be answered on the way.
    fn answer(
        &mut self,
        method: &str,
        stream: u32,
        patience: Duration,
    ) -> Result<(Vec<Header>, Vec<u8>), OcsError> {
        let deadline = Instant::now() + patience;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            // A switch that only ever says something else would be heard for ever.
            if left.is_zero() {
                return Err(OcsError::Timeout {
                    request: method.into(),
                    ms: patience.as_millis() as u64,
                });
            }
            let out = self.connection.take();
            let read = |bytes: &[u8], _: bool| http2::frame(bytes);
            let frame = self.session.ask_within(method, &out, left, read)?;
            let event = self.connection.handle(frame);
            match event.map_err(|e| OcsError::malformed(method, e.0))? {
                Some(Event::Message {
                    stream: of,
                    headers,
                    body,
                }) if of == stream => {
                    self.connection.forget(stream);
                    return Ok((headers, body));
                }
                Some(Event::Reset { stream: of, code }) if of == stream => {
                    return Err(OcsError::malformed(method, format!("HTTP/2 reset, code {code}")));
                }
                Some(Event::GoAway { code, text }) => {
                    let reason = format!("HTTP/2 goes away, code {code} {text}");
                    return Err(OcsError::Lost {
                        request: method.into(),
                        reason,
                    });
                }
                _ => {}
            }
        }
    }

    fn get(&mut self, database: [&str; 2], rest: &[&str]) -> Result<Value, OcsError> {
        let names = [&database[..], rest].concat();
        self.get_path(None, Path::of(&names))
    }

    fn get_path(&mut self, prefix: Option<Path>, path: Path) -> Result<Value, OcsError> {
        let request = GetRequest {
            prefix,
            path: vec![path],
            encoding: gnmi::JSON_IETF,
        };
        let Some(answer) = self.call::<GetResponse>("Get", &request)? else {
            return Ok(Value::Null);
        };
        let mut updates = answer.notification.iter().flat_map(|part| &part.update);
        match updates.next().and_then(|update| update.val.as_ref()) {
            Some(value) => value.read().map_err(|e| OcsError::malformed("Get", e.0)),
            None => Ok(Value::Null),
        }
    }

    /// Rows of the first of these tables that there is. An empty table is none to SONiC.
    fn rows(&mut self, database: [&str; 2], names: &[&str]) -> Result<Rows, OcsError> {
        for name in names {
            match self.get(database, &[*name])? {
                Value::Null => {}
                Value::Object(table) => return Ok(fields_of(table)),
                _ => return Err(OcsError::malformed(name, "not a table")),
            }
        }
        Ok(Rows::new())
    }

    fn set(&mut self, delete: Vec<Path>, update: Vec<Update>) -> Result<(), OcsError> {
        if delete.is_empty() && update.is_empty() {
            return Ok(());
        }
        let request = SetRequest {
            delete,
            update,
            ..SetRequest::default()
        };
        match self.call::<SetResponse>("Set", &request)? {
            Some(_) => Ok(()),
            None => Err(OcsError::refused("Set", "there is no such thing")),
        }
    }
}

fn fields_of(table: Map<String, Value>) -> Rows {
    let row = |(key, fields)| match fields {
        Value::Object(fields) => Some((key, fields)),
        _ => None,
    };
    table.into_iter().filter_map(row).collect()
}

fn config(rest: &[&str]) -> Path {
    Path::of(&[&CONFIG[..], rest].concat())
}

fn update(rest: &[&str], value: &Value) -> Update {
    Update {
        path: Some(config(rest)),
        val: Some(TypedValue::json(value)),
    }
}

impl Switch for Gnmi {
    fn dialect(&self) -> Dialect {
        Dialect::Gnmi
    }

    fn set_settle(&mut self, settle: Duration) {
        self.session.endpoint.settle = settle;
    }

    fn reopen(&mut self) -> Result<(), OcsError> {
        self.session.reopen()?;
        self.connection = Connection::client();
        let out = self.connection.take();
        let first = self.session.ask("HTTP/2 settings", &out, |bytes, _| {
            let Some(begin) = http2::begin(bytes) else {
                return Ok(None);
            };
            let found = http2::frame(&bytes[begin..])?;
            Ok(found.map(|(frame, length)| (frame, begin + length)))
        })?;
        let taken = self.connection.handle(first);
        taken.map_err(|e| OcsError::malformed("HTTP/2 settings", e.0))?;
        // Whether the user may read is known before anything is changed.
        self.size().map(drop)
    }

    fn identify(&mut self) -> Result<Identity, OcsError> {
        let text = |value: &Value, key: &str| {
            value
                .get(key)
                .and_then(Value::as_str)
                .unwrap_or_default()
                .to_owned()
        };
        let device = self.get(CONFIG, &["DEVICE_METADATA", "localhost"])?;
        let chassis = self.get(STATE, &["CHASSIS_INFO", "chassis 1"])?;
        let others = Path {
            target: "OTHERS".into(),
            ..Path::default()
        };
        let version = Path {
            origin: String::new(),
            ..Path::of(&["osversion", "build"])
        };
        let version = self.get_path(Some(others), version)?;
        Ok(Identity {
            vendor: text(&device, "platform"),
            model: text(&device, "hwsku"),
            serial: text(&chassis, "serial"),
            firmware: text(&version, "build_version"),
        })
    }

    fn size(&mut self) -> Result<Size, OcsError> {
        tables::size(&self.rows(CONFIG, &[PORTS])?)
    }

    fn circuits(&mut self) -> Result<BTreeSet<Circuit>, OcsError> {
        tables::circuits(&self.rows(CONFIG, &[CIRCUITS])?)
    }

    fn connect(&mut self, circuits: &[Circuit]) -> Result<(), OcsError> {
        let add = |circuit: &Circuit| {
            let [a, b] = circuit.ports().map(|port| port.to_string());
            update(
                &[CIRCUITS, &circuit.to_string()],
                &json!({"a_side": a, "b_side": b}),
            )
        };
        self.set(Vec::new(), circuits.iter().map(add).collect())
    }

    fn disconnect(&mut self, circuits: &[Circuit]) -> Result<(), OcsError> {
        let now = self.circuits()?;
        let there = circuits.iter().filter(|circuit| now.contains(circuit));
        let path = |circuit: &Circuit| config(&[CIRCUITS, &circuit.to_string()]);
        self.set(there.map(path).collect(), Vec::new())
    }

    fn settling(&mut self, circuits: &[Circuit]) -> Result<Settling, OcsError> {
        let rows = self.rows(STATE, &CIRCUIT_STATES)?;
        Ok(tables::settling(&rows, circuits))
    }

    fn ports(&mut self) -> Result<Vec<PortInfo>, OcsError> {
        let config = self.rows(CONFIG, &[PORTS])?;
        let states = self.rows(STATE, &PORT_STATES)?;
        Ok(tables::ports(&config, &states))
    }

    fn block(&mut self, ports: &[Port], blocked: bool) -> Result<(), OcsError> {
        let field = tables::state_field(&self.rows(CONFIG, &[PORTS])?);
        let word = tables::state_word(blocked).into();
        let change = |port: &Port| update(&[PORTS, &port.to_string(), field], &word);
        self.set(Vec::new(), ports.iter().map(change).collect())
    }

    fn label(&mut self, port: Port, label: &str) -> Result<(), OcsError> {
        tables::check_label(label)?;
        let change = update(&[PORTS, &port.to_string(), "label"], &label.into());
        self.set(Vec::new(), vec![change])
    }
}
