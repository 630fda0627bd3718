//! Polatis RESTCONF (RFC 8040): JSON over HTTP. An answer to a change means that the switch has taken it.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::{Value, json};

use super::polatis::{self, bare, port_state, startup, startup_word};
use crate::ocs::codec::http::{self, Message};
use crate::ocs::endpoint::{Dialect, Endpoint};
use crate::ocs::error::OcsError;
use crate::ocs::model::{Circuit, Identity, Port, PortInfo, Size, Startup};
use crate::ocs::switch::{Session, Settling, Switch};

const MEDIA: &str = "application/yang-data+json";

pub struct Restconf {
    session: Session,
    size: Option<Size>,
}

impl Restconf {
    pub fn new(endpoint: Endpoint) -> Self {
        Self {
            session: Session::new(endpoint),
            size: None,
        }
    }

    fn known_size(&mut self) -> Result<Size, OcsError> {
        match self.size {
            Some(size) => Ok(size),
            None => self.size(),
        }
    }

    /// A request; `None` when the switch has no such thing.
    fn request(&mut self, method: &str, path: &str, body: Option<Value>) -> Result<Option<Value>, OcsError> {
        let name = format!("{method} {path}");
        let endpoint = &self.session.endpoint;
        let headers = [
            ("host", endpoint.authority()),
            ("accept", MEDIA.into()),
            ("content-type", MEDIA.into()),
            ("authorization", http::basic(&endpoint.user, &endpoint.password)),
        ];
        let message = Message {
            start: [method.into(), path.into(), "HTTP/1.1".into()],
            headers: headers.map(|(name, value)| (name.to_owned(), value)).to_vec(),
            body: body.map_or(Vec::new(), |body| body.to_string().into_bytes()),
        };
        let patience = endpoint.answer + endpoint.settle;
        let answer = self
            .session
            .ask_within(&name, &message.bytes(), patience, |bytes, ended| {
                let begin = begin(bytes);
                let found = http::message(&bytes[begin..], ended)?;
                Ok(found.map(|(message, length)| (message, begin + length)))
            })?;
        let status = answer.status().map_err(|e| OcsError::malformed(&name, e.0))?;
        let value =
            || serde_json::from_slice(&answer.body).map_err(|e| OcsError::malformed(&name, e.to_string()));
        match status {
            204 | 201 => Ok(Some(Value::Null)),
            200 if answer.body.is_empty() => Ok(Some(Value::Null)),
            200 => value().map(Some),
            404 if method == "GET" => Ok(None),
            _ => Err(OcsError::refused(
                &name,
                &reason(status, &value().unwrap_or_default()),
            )),
        }
    }

    /// The list or value behind `…:key` or `key` of an answer.
    fn get(&mut self, path: &str, key: &str) -> Result<Value, OcsError> {
        let path = format!("/api/data/{path}");
        let Some(answer) = self.request("GET", &path, None)? else {
            return Ok(Value::Null);
        };
        let Value::Object(members) = answer else {
            return Err(OcsError::malformed(&path, "not an object of JSON"));
        };
        let found = members.into_iter().find(|(name, _)| bare(name) == key);
        found
            .map(|(_, value)| value)
            .ok_or_else(|| OcsError::malformed(&path, format!("without `{key}`")))
    }

    fn list(&mut self, path: &str, key: &str) -> Result<Vec<Value>, OcsError> {
        match self.get(path, key)? {
            Value::Array(list) => Ok(list),
            Value::Null => Ok(Vec::new()),
            _ => Err(OcsError::malformed(path, "not a list")),
        }
    }

    /// Lists by port, where the switch has them.
    fn by_port(&mut self, path: &str) -> Result<Vec<(Port, Value)>, OcsError> {
        let size = self.known_size()?;
        let list = self.list(path, "port")?;
        let port = |value: &Value| polatis::port(size, value.get("port-id")?.as_u64()?.try_into().ok()?);
        Ok(list
            .into_iter()
            .filter_map(|value| Some((port(&value)?, value)))
            .collect())
    }
}

/// Where an answer begins: garbage from connecting may stand before it.
fn begin(bytes: &[u8]) -> usize {
    bytes
        .windows(7)
        .position(|seven| seven == b"HTTP/1.")
        .unwrap_or(0)
}

/// What RFC 8040's error list says, or the bare status.
fn reason(status: u16, body: &Value) -> String {
    let error = body.pointer("/ietf-restconf:errors/error/0");
    let text = |key: &str| error.and_then(|error| error.get(key)?.as_str());
    match (text("error-tag"), text("error-message")) {
        (Some(tag), Some(message)) => format!("{tag}: {message}"),
        (Some(tag), None) => tag.into(),
        _ if status == 401 => "user or password is wrong (HTTP 401)".into(),
        _ => format!("HTTP {status}"),
    }
}

impl Switch for Restconf {
    fn dialect(&self) -> Dialect {
        Dialect::Restconf
    }

    fn set_settle(&mut self, settle: Duration) {
        self.session.endpoint.settle = settle;
    }

    fn reopen(&mut self) -> Result<(), OcsError> {
        self.session.reopen()?;
        self.identify().map(drop)
    }

    fn identify(&mut self) -> Result<Identity, OcsError> {
        let product = self.get("product-information", "product-information")?;
        let text = |key: &str| {
            product
                .get(key)
                .and_then(Value::as_str)
                .unwrap_or_default()
                .to_owned()
        };
        Ok(polatis::identity(text))
    }

    fn size(&mut self) -> Result<Size, OcsError> {
        let size = polatis::size_of(&self.identify()?)?;
        self.size = Some(size);
        Ok(size)
    }

    fn circuits(&mut self) -> Result<BTreeSet<Circuit>, OcsError> {
        let size = self.known_size()?;
        let pairs = self.list("cross-connects/pair", "pair")?;
        let circuit = |pair: &Value| {
            let number = |key| {
                pair.get(key)?
                    .as_u64()
                    .and_then(|number| u32::try_from(number).ok())
            };
            polatis::pair(size, number("ingress")?, number("egress")?)
        };
        let wrong = |pair: &Value| OcsError::malformed("cross-connects", pair.to_string());
        pairs
            .iter()
            .map(|pair| circuit(pair).ok_or_else(|| wrong(pair)))
            .collect()
    }

    fn connect(&mut self, circuits: &[Circuit]) -> Result<(), OcsError> {
        let size = self.known_size()?;
        let pair = |circuit: &Circuit| {
            let (ingress, egress) = polatis::numbers(size, *circuit);
            json!({"ingress": ingress, "egress": egress})
        };
        let body = json!({"pair": circuits.iter().map(pair).collect::<Vec<_>>()});
        self.request("PATCH", "/api/data/cross-connects/pair", Some(body))
            .map(drop)
    }

    fn disconnect(&mut self, circuits: &[Circuit]) -> Result<(), OcsError> {
        // A pair is removed by its ingress port: what is removed must be what was meant.
        let now = self.circuits()?;
        for circuit in circuits.iter().filter(|circuit| now.contains(circuit)) {
            let path = format!("/api/data/cross-connects/pair={}", circuit.a);
            self.request("DELETE", &path, None)?;
        }
        Ok(())
    }

    fn settling(&mut self, circuits: &[Circuit]) -> Result<Settling, OcsError> {
        let now = self.circuits()?;
        Ok(polatis::settling(&now, circuits))
    }

    fn ports(&mut self) -> Result<Vec<PortInfo>, OcsError> {
        let size = self.known_size()?;
        let mut infos: Vec<PortInfo> = size.ports().map(PortInfo::unknown).collect();
        let at = |port: Port| polatis::number(size, port) as usize - 1;
        for (port, value) in self.by_port("port-config/port")? {
            infos[at(port)].state = value.get("status").and_then(Value::as_str).and_then(port_state);
            infos[at(port)].label = Some(
                value
                    .get("label")
                    .and_then(Value::as_str)
                    .unwrap_or_default()
                    .to_owned(),
            );
        }
        for (port, value) in self.by_port("opm-power/port")? {
            infos[at(port)].power_dbm = value.get("power").and_then(decimal);
        }
        for (port, value) in self.by_port("voa/port")? {
            let none = value.get("atten-mode").and_then(Value::as_str) == Some("VOA_MODE_NONE");
            let level = value.get("atten-level").and_then(decimal);
            infos[at(port)].attenuation_db = if none { Some(0.0) } else { level };
        }
        Ok(infos)
    }

    fn block(&mut self, ports: &[Port], blocked: bool) -> Result<(), OcsError> {
        let size = self.known_size()?;
        let numbers: Vec<u32> = ports.iter().map(|port| polatis::number(size, *port)).collect();
        let key = if blocked { "port-disab" } else { "port-enab" };
        let body = json!({"input": {key: numbers}});
        self.request("POST", "/api/operations/port-set-state", Some(body))
            .map(drop)
    }

    fn attenuate(&mut self, port: Port, level_db: Option<f64>) -> Result<(), OcsError> {
        let number = polatis::number(self.known_size()?, port);
        let body = match level_db {
            Some(level) => {
                json!({"port": [{"port-id": number, "atten-mode": "VOA_MODE_RELATIVE", "atten-level": format!("{level:.2}")}]})
            }
            None => json!({"port": [{"port-id": number, "atten-mode": "VOA_MODE_NONE"}]}),
        };
        self.request("PATCH", "/api/data/voa/port", Some(body)).map(drop)
    }

    fn label(&mut self, port: Port, label: &str) -> Result<(), OcsError> {
        let number = polatis::number(self.known_size()?, port);
        let body = json!({"port": [{"port-id": number, "label": label}]});
        self.request("PATCH", "/api/data/port-config/port", Some(body))
            .map(drop)
    }

    fn startup(&mut self) -> Result<Startup, OcsError> {
        let mode = self.get("system-config/startup-mode", "startup-mode")?;
        startup(mode.as_str().unwrap_or_default())
    }

    fn set_startup(&mut self, startup: Startup) -> Result<(), OcsError> {
        let body = json!({"startup-mode": startup_word(startup)});
        self.request("PATCH", "/api/data/system-config/startup-mode", Some(body))
            .map(drop)
    }
}

/// A decimal64: a string in RFC 7951's JSON, a number in some devices'.
fn decimal(value: &Value) -> Option<f64> {
    let number = value.as_f64().or_else(|| value.as_str()?.parse().ok())?;
    number.is_finite().then_some(number)
}
