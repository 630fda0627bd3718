//! Polatis RESTCONF: JSON of the vendor's models over HTTP.

use std::time::Duration;

use genie_drivers::ocs::codec::http::{self, Message};
use genie_drivers::ocs::{Circuit, Port, Startup};
use serde_json::{Value, json};

use super::{Answer, FIRMWARE, Grammar, Refusal, SERIAL, World, model, number, pair, port};
use crate::ocs::core::Fault;

/// A session; HTTP keeps nothing.
pub struct Restconf;

/// Status, error tag and message.
type Failure = (u16, &'static str, String);
type Outcome = Result<(u16, Option<Value>, Duration), Failure>;

impl Grammar for Restconf {
    fn take(&mut self, bytes: &[u8]) -> Result<Option<(Vec<u8>, usize)>, String> {
        let found = http::message(bytes, false).map_err(|e| e.0)?;
        Ok(found.map(|(_, length)| (bytes[..length].to_vec(), length)))
    }

    fn answer(&mut self, request: &[u8], world: &mut World<'_>) -> Answer {
        let request = match http::message(request, true) {
            Ok(Some((request, _))) => request,
            _ => return reply(400, None, Duration::ZERO),
        };
        let close = request
            .header("connection")
            .is_some_and(|value| value.eq_ignore_ascii_case("close"));
        let mut answer = match carry_out(&request, world) {
            Ok((status, body, at)) => reply(status, body, at),
            Err((status, tag, message)) => {
                let error = json!({"error-type": "application", "error-tag": tag, "error-message": message});
                reply(
                    status,
                    Some(json!({"ietf-restconf:errors": {"error": [error]}})),
                    Duration::ZERO,
                )
            }
        };
        answer.close = close;
        answer
    }
}

fn reply(status: u16, body: Option<Value>, at: Duration) -> Answer {
    let words = match status {
        200 => "OK",
        204 => "No Content",
        400 => "Bad Request",
        401 => "Unauthorized",
        404 => "Not Found",
        405 => "Method Not Allowed",
        409 => "Conflict",
        _ => "Error",
    };
    let mut headers = vec![("content-type".to_owned(), "application/yang-data+json".to_owned())];
    if status == 401 {
        headers.push(("www-authenticate".into(), "Basic realm=\"ocs\"".into()));
    }
    let message = Message {
        start: ["HTTP/1.1".into(), status.to_string(), words.into()],
        headers,
        body: body.map_or(Vec::new(), |body| body.to_string().into_bytes()),
    };
    Answer::at(at, message.bytes())
}

fn failure(refusal: Refusal) -> Failure {
    match refusal {
        Refusal::Fault(Fault::InUse) => (409, "in-use", "a port is in another pair".into()),
        Refusal::Fault(Fault::Absent) => (404, "data-missing", "no such pair".into()),
        Refusal::Fault(_) => (400, "invalid-value", "no such port or value".into()),
        Refusal::Denied => (409, "operation-failed", "the switch refuses".into()),
    }
}

fn carry_out(request: &Message, world: &mut World<'_>) -> Outcome {
    if request.header("authorization") != Some(http::basic("admin", "root").as_str()) {
        return Err((401, "access-denied", "user or password is wrong".into()));
    }
    let [method, target, _] = &request.start;
    let path = target
        .split('?')
        .next()
        .unwrap_or_default()
        .replace("optical-switch:", "")
        .replace("polatis-switch:", "");
    if let Some(path) = path.strip_prefix("/api/data/") {
        return match method.as_str() {
            "GET" => get(path, world).map(|body| (200, Some(body), Duration::ZERO)),
            "PATCH" => patch(path, &body(request)?, world).map(|at| (204, None, at)),
            "DELETE" => delete(path, world).map(|()| (204, None, Duration::ZERO)),
            _ => Err((405, "operation-not-supported", "GET, PATCH or DELETE".into())),
        };
    }
    match (method.as_str(), path.as_str()) {
        ("POST", "/api/operations/port-set-state") => {
            let input = body(request)?;
            for (key, blocked) in [("port-enab", false), ("port-disab", true)] {
                let list = input.pointer(&format!("/input/{key}")).and_then(Value::as_array);
                let ports = ports(list.map_or(&[], Vec::as_slice), world)?;
                if !ports.is_empty() {
                    world
                        .change_ports(&ports, |port| port.blocked = blocked)
                        .map_err(failure)?;
                }
            }
            Ok((204, None, Duration::ZERO))
        }
        _ => Err((404, "invalid-value", "no such resource".into())),
    }
}

fn body(request: &Message) -> Result<Value, Failure> {
    serde_json::from_slice(&request.body).map_err(|e| (400, "malformed-message", e.to_string()))
}

fn ports(list: &[Value], world: &World<'_>) -> Result<Vec<Port>, Failure> {
    let one = |value: &Value| port(world.core.size, value.as_u64()?.try_into().ok()?);
    list.iter()
        .map(|value| one(value).ok_or_else(|| failure(Refusal::Fault(Fault::NoPort))))
        .collect()
}

/// The word of a port's status.
pub fn status(port: Port, world: &World<'_>) -> &'static str {
    match (world.core.failed(port, world.now), world.core.port(port).blocked) {
        (true, _) => "FAILED",
        (_, true) => "DISABLED",
        _ => "ENABLED",
    }
}

fn get(path: &str, world: &World<'_>) -> Result<Value, Failure> {
    let size = world.core.size;
    let each = |row: &dyn Fn(Port) -> Value| {
        let rows: Vec<Value> = size.ports().map(row).collect();
        json!({"optical-switch:port": rows})
    };
    Ok(match path.trim_end_matches('/') {
        "product-information" => json!({"polatis-switch:product-information": {
            "manufacturer": "Polatis", "serial-number": SERIAL, "model-name": model(size), "software-version": FIRMWARE}}),
        "cross-connects/pair" => {
            let pair = |c: Circuit| json!({"ingress": c.a, "egress": number(size, Port::B(c.b))});
            let pairs: Vec<Value> = world.core.circuits().map(|(circuit, _)| pair(circuit)).collect();
            json!({"optical-switch:pair": pairs})
        }
        "port-config/port" => each(
            &|port| json!({"port-id": number(size, port), "status": status(port, world), "label": world.core.port(port).label}),
        ),
        "opm-power/port" => each(
            &|port| json!({"port-id": number(size, port), "power": format!("{:.2}", world.core.power(port, world.now))}),
        ),
        "voa/port" => each(&|port| match world.core.port(port).attenuation {
            None => json!({"port-id": number(size, port), "atten-mode": "VOA_MODE_NONE"}),
            Some(level) => {
                json!({"port-id": number(size, port), "atten-mode": "VOA_MODE_RELATIVE", "atten-level": format!("{level:.2}")})
            }
        }),
        "system-config/startup-mode" => json!({"polatis-switch:startup-mode": startup(world.core.startup)}),
        _ => return Err((404, "invalid-value", "no such resource".into())),
    })
}

/// The model's word for a start-up mode.
pub fn startup(startup: Startup) -> &'static str {
    match startup {
        Startup::Volatile => "MODE_VOLATILE",
        Startup::Preserve => "MODE_PRESERVE",
    }
}

fn patch(path: &str, body: &Value, world: &mut World<'_>) -> Result<Duration, Failure> {
    let size = world.core.size;
    let bad = || {
        (
            400,
            "invalid-value",
            "a member is missing or out of range".to_owned(),
        )
    };
    let list = |key: &str| {
        let list = body
            .get(key)
            .or_else(|| body.get(format!("optical-switch:{key}")));
        list.and_then(Value::as_array).ok_or_else(bad)
    };
    match path.trim_end_matches('/') {
        "cross-connects/pair" => {
            let number = |row: &Value, key| {
                row.get(key)
                    .and_then(Value::as_u64)
                    .and_then(|n| u32::try_from(n).ok())
            };
            let circuit = |row: &Value| pair(size, number(row, "ingress")?, number(row, "egress")?);
            let circuits: Vec<Circuit> = list("pair")?
                .iter()
                .map(|row| circuit(row).ok_or_else(bad))
                .collect::<Result<_, _>>()?;
            world.connect(&circuits).map_err(failure)
        }
        "port-config/port" | "voa/port" => {
            for row in list("port")? {
                let ports = ports(&[row.get("port-id").cloned().unwrap_or_default()], world)?;
                let text = |key: &str| row.get(key).and_then(Value::as_str).map(str::to_owned);
                if path.starts_with("port") {
                    let label = text("label").ok_or_else(bad)?;
                    world
                        .change_ports(&ports, |port| port.label.clone_from(&label))
                        .map_err(failure)?;
                } else {
                    let level = match text("atten-mode").as_deref() {
                        Some("VOA_MODE_NONE") => None,
                        Some(_) => Some(
                            text("atten-level")
                                .and_then(|level| level.parse().ok())
                                .ok_or_else(bad)?,
                        ),
                        None => return Err(bad()),
                    };
                    world
                        .change_ports(&ports, |port| port.attenuation = level)
                        .map_err(failure)?;
                }
            }
            Ok(Duration::ZERO)
        }
        "system-config/startup-mode" => {
            world.permit().map_err(failure)?;
            world.core.startup = match body.get("startup-mode").and_then(Value::as_str) {
                Some("MODE_VOLATILE") => Startup::Volatile,
                Some("MODE_PRESERVE") => Startup::Preserve,
                _ => return Err(bad()),
            };
            Ok(Duration::ZERO)
        }
        _ => Err((404, "invalid-value", "no such resource".into())),
    }
}

fn delete(path: &str, world: &mut World<'_>) -> Result<(), Failure> {
    let none = || failure(Refusal::Fault(Fault::Absent));
    let circuits: Vec<Circuit> = match path.strip_prefix("cross-connects/pair=") {
        Some(ingress) => {
            let port = ingress
                .parse()
                .ok()
                .and_then(|number| port(world.core.size, number))
                .ok_or_else(none)?;
            vec![world.core.at(port).ok_or_else(none)?]
        }
        None if path == "cross-connects/pair" => world.core.circuits().map(|(circuit, _)| circuit).collect(),
        None => return Err((404, "invalid-value", "no such resource".into())),
    };
    world.disconnect(&circuits).map_err(failure)
}
