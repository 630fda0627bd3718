//! SONiC-OCS over gNMI: Get of tables, rows and fields of its databases, Set as one JSON patch. Capabilities and
//! subscriptions are not there.

use genie_drivers::ocs::codec::gnmi::{
    self, GetRequest, GetResponse, NOT_FOUND, Notification, OK, ORIGIN, Path, SetRequest, SetResponse,
    TypedValue, UNIMPLEMENTED, Update,
};
use genie_drivers::ocs::codec::hpack::Header;
use genie_drivers::ocs::codec::http2::{self, Connection, Event};
use serde_json::{Value, json};

use super::sonic_db;
use super::{Answer, FIRMWARE, Grammar, World};

/// gRPC's status of a request that makes no sense, and of one that failed.
const INVALID_ARGUMENT: u32 = 3;
const UNKNOWN: u32 = 2;

/// A session.
pub struct Gnmi {
    connection: Connection,
    greeted: bool,
}

/// A status of gRPC and its words.
type Refused = (u32, String);

impl Gnmi {
    pub fn new() -> Self {
        Self {
            connection: Connection::server(),
            greeted: false,
        }
    }
}

impl Grammar for Gnmi {
    fn greeting(&mut self) -> Vec<u8> {
        self.connection.take()
    }

    /// Frame by frame.
    fn take(&mut self, bytes: &[u8]) -> Result<Option<(Vec<u8>, usize)>, String> {
        let mut begin = 0;
        if !self.greeted {
            let length = bytes.len().min(http2::PREFACE.len());
            if bytes[..length] != http2::PREFACE[..length] {
                return Err("not HTTP/2".into());
            }
            begin = http2::PREFACE.len();
        }
        let Some(rest) = bytes.get(begin..) else {
            return Ok(None);
        };
        let found = http2::frame(rest).map_err(|e| e.0)?;
        self.greeted |= found.is_some();
        Ok(found.map(|(_, length)| (rest[..length].to_vec(), begin + length)))
    }

    fn answer(&mut self, request: &[u8], world: &mut World<'_>) -> Answer {
        let event = match http2::frame(request) {
            Ok(Some((frame, _))) => self.connection.handle(frame),
            Ok(None) => Ok(None),
            Err(error) => Err(error),
        };
        let close = match event {
            Ok(Some(Event::Message {
                stream,
                headers,
                body,
            })) => {
                self.serve(stream, &headers, &body, world);
                false
            }
            Ok(Some(Event::GoAway { .. })) | Err(_) => true,
            Ok(_) => false,
        };
        Answer {
            close,
            ..Answer::now(self.connection.take())
        }
    }
}

impl Gnmi {
    fn serve(&mut self, stream: u32, headers: &[Header], body: &[u8], world: &mut World<'_>) {
        let method = gnmi::header(headers, ":path").unwrap_or_default();
        let done = match method {
            "/gnmi.gNMI/Get" => request(body)
                .and_then(|request| get(&request, world))
                .map(|a| gnmi::pack(&a)),
            "/gnmi.gNMI/Set" => request(body)
                .and_then(|request| set(&request, world))
                .map(|a| gnmi::pack(&a)),
            _ => Err((UNIMPLEMENTED, format!("no method {method}"))),
        };
        let (body, (status, words)) = match done {
            Ok(body) => (body, (OK, String::new())),
            Err(refused) => (Vec::new(), refused),
        };
        let own = |(name, value): (&str, &str)| (name.to_owned(), value.to_owned());
        let first = [(":status", "200"), ("content-type", "application/grpc")].map(own);
        let mut last = vec![own(("grpc-status", &status.to_string()))];
        if status != OK {
            last.push(own(("grpc-message", &gnmi::coded(&words))));
        }
        self.connection.answer(stream, &first, &body, last);
    }
}

fn request<M: prost::Message + Default>(body: &[u8]) -> Result<M, Refused> {
    gnmi::unpack(body).map_err(|e| (INVALID_ARGUMENT, e.0))
}

fn get(request: &GetRequest, world: &World<'_>) -> Result<GetResponse, Refused> {
    if request.encoding != gnmi::JSON_IETF {
        return Err((UNIMPLEMENTED, "only JSON_IETF is told here".into()));
    }
    let notification = |path: &Path| {
        let value = value(request.prefix.as_ref(), path, world)?;
        let update = Update {
            path: Some(path.clone()),
            val: Some(TypedValue::json(&value)),
        };
        Ok(Notification {
            timestamp: world.now.as_nanos() as i64,
            prefix: request.prefix.clone(),
            update: vec![update],
        })
    };
    let notification = request
        .path
        .iter()
        .map(notification)
        .collect::<Result<_, Refused>>()?;
    Ok(GetResponse { notification })
}

fn value(prefix: Option<&Path>, path: &Path, world: &World<'_>) -> Result<Value, Refused> {
    let names = path.names();
    if prefix.is_some_and(|prefix| prefix.target == "OTHERS") && names == ["osversion", "build"] {
        return Ok(json!({"build_version": format!("SONiC.{FIRMWARE}"), "error": ""}));
    }
    let absent = || (NOT_FOUND, format!("no {}", names.join("/")));
    let (database, rest) = local(path, &names)?;
    let tables = sonic_db::tables(database, world).ok_or_else(absent)?;
    let (table, rest) = rest.split_first().ok_or_else(absent)?;
    let mut value = tables
        .get(*table)
        .cloned()
        .map(Value::Object)
        .ok_or_else(absent)?;
    for name in rest {
        value = value.get(*name).cloned().ok_or_else(absent)?;
    }
    Ok(value)
}

/// Database and the rest of a path into one of this switch.
fn local<'a>(path: &Path, names: &'a [&'a str]) -> Result<(&'a str, &'a [&'a str]), Refused> {
    match names {
        [database, "localhost", rest @ ..] if path.origin == ORIGIN => Ok((*database, rest)),
        _ => Err((UNIMPLEMENTED, format!("no tree {}", names.join("/")))),
    }
}

/// A Set becomes one JSON patch: what is deleted, then what is replaced, then what is updated.
fn set(request: &SetRequest, world: &mut World<'_>) -> Result<SetResponse, Refused> {
    let mut operations = Vec::new();
    for path in &request.delete {
        operations.push(json!({"op": "remove", "path": pointer(path)?}));
    }
    let (replace, add) = (request.replace.iter(), request.update.iter());
    for (op, update) in replace.map(|u| ("replace", u)).chain(add.map(|u| ("add", u))) {
        let path = update
            .path
            .as_ref()
            .ok_or((INVALID_ARGUMENT, "an update without a path".to_owned()))?;
        let value = update
            .val
            .as_ref()
            .ok_or((INVALID_ARGUMENT, "an update without a value".to_owned()))?;
        let value = value.read().map_err(|e| (INVALID_ARGUMENT, e.0))?;
        operations.push(json!({"op": op, "path": pointer(path)?, "value": value}));
    }
    sonic_db::patch(&operations, world).map_err(|reason| (UNKNOWN, reason))?;
    Ok(SetResponse {
        timestamp: world.now.as_nanos() as i64,
    })
}

fn pointer(path: &Path) -> Result<String, Refused> {
    let names = path.names();
    match local(path, &names)? {
        ("CONFIG_DB", rest) => Ok(rest.iter().map(|name| format!("/{name}")).collect()),
        _ => Err((UNIMPLEMENTED, "only CONFIG_DB can be set".into())),
    }
}
