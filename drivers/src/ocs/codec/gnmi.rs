//! gNMI (OpenConfig, `gnmi.proto` 0.10) as far as SONiC's databases need it, and gRPC's frame around its messages.
//! Wire structs are written by hand: no protoc.

use std::collections::BTreeMap;

use prost::Message;

use super::hpack::Header;
use super::{MOST_BYTES, Malformed};

/// Origin of paths into SONiC's databases: `/DATABASE/localhost/TABLE/KEY/FIELD`.
pub const ORIGIN: &str = "sonic-db";
/// Encoding of values: the only one that SONiC takes for its configuration.
pub const JSON_IETF: i32 = 4;

/// gRPC's status of success, of what is not there, of a wrong password, and of a method that there is none of.
pub const OK: u32 = 0;
/// See [`OK`].
pub const NOT_FOUND: u32 = 5;
/// See [`OK`].
pub const UNIMPLEMENTED: u32 = 12;
/// See [`OK`].
pub const UNAUTHENTICATED: u32 = 16;

/// A path.
#[derive(Clone, PartialEq, Message)]
pub struct Path {
    /// Which tree.
    #[prost(string, tag = "2")]
    pub origin: String,
    /// From the root on.
    #[prost(message, repeated, tag = "3")]
    pub elem: Vec<PathElem>,
    /// Which part of the device.
    #[prost(string, tag = "4")]
    pub target: String,
}

/// A step of a path.
#[derive(Clone, PartialEq, Message)]
pub struct PathElem {
    /// Name.
    #[prost(string, tag = "1")]
    pub name: String,
    /// Keys of a list.
    #[prost(btree_map = "string, string", tag = "2")]
    pub key: BTreeMap<String, String>,
}

/// A value; others than JSON and text are not read.
#[derive(Clone, PartialEq, Message)]
pub struct TypedValue {
    /// Text.
    #[prost(string, optional, tag = "1")]
    pub string_val: Option<String>,
    /// JSON.
    #[prost(bytes = "vec", optional, tag = "10")]
    pub json_val: Option<Vec<u8>>,
    /// JSON as RFC 7951 has it.
    #[prost(bytes = "vec", optional, tag = "11")]
    pub json_ietf_val: Option<Vec<u8>>,
}

/// A value at a path.
#[derive(Clone, PartialEq, Message)]
pub struct Update {
    /// Where.
    #[prost(message, optional, tag = "1")]
    pub path: Option<Path>,
    /// What.
    #[prost(message, optional, tag = "3")]
    pub val: Option<TypedValue>,
}

/// Values at a time.
#[derive(Clone, PartialEq, Message)]
pub struct Notification {
    /// Nanoseconds since 1970.
    #[prost(int64, tag = "1")]
    pub timestamp: i64,
    /// Before all paths.
    #[prost(message, optional, tag = "2")]
    pub prefix: Option<Path>,
    /// Values.
    #[prost(message, repeated, tag = "4")]
    pub update: Vec<Update>,
}

/// Asks for values.
#[derive(Clone, PartialEq, Message)]
pub struct GetRequest {
    /// Before all paths.
    #[prost(message, optional, tag = "1")]
    pub prefix: Option<Path>,
    /// Where.
    #[prost(message, repeated, tag = "2")]
    pub path: Vec<Path>,
    /// How values are to be written.
    #[prost(int32, tag = "5")]
    pub encoding: i32,
}

/// Its answer.
#[derive(Clone, PartialEq, Message)]
pub struct GetResponse {
    /// A notification for each path.
    #[prost(message, repeated, tag = "1")]
    pub notification: Vec<Notification>,
}

/// Changes values, all or none.
#[derive(Clone, PartialEq, Message)]
pub struct SetRequest {
    /// Before all paths.
    #[prost(message, optional, tag = "1")]
    pub prefix: Option<Path>,
    /// Removed.
    #[prost(message, repeated, tag = "2")]
    pub delete: Vec<Path>,
    /// Replaced.
    #[prost(message, repeated, tag = "3")]
    pub replace: Vec<Update>,
    /// Added or changed.
    #[prost(message, repeated, tag = "4")]
    pub update: Vec<Update>,
}

/// Its answer; what it says of each change is not read.
#[derive(Clone, PartialEq, Message)]
pub struct SetResponse {
    /// Nanoseconds since 1970.
    #[prost(int64, tag = "4")]
    pub timestamp: i64,
}

impl Path {
    /// The path of these names.
    pub fn of(names: &[&str]) -> Self {
        let elem = |name: &&str| PathElem {
            name: (*name).to_owned(),
            key: BTreeMap::new(),
        };
        Path {
            origin: ORIGIN.into(),
            elem: names.iter().map(elem).collect(),
            target: String::new(),
        }
    }

    /// Its names.
    pub fn names(&self) -> Vec<&str> {
        self.elem.iter().map(|elem| elem.name.as_str()).collect()
    }
}

impl TypedValue {
    /// A value of JSON.
    pub fn json(value: &serde_json::Value) -> Self {
        TypedValue {
            json_ietf_val: Some(value.to_string().into_bytes()),
            ..TypedValue::default()
        }
    }

    /// The value as JSON.
    ///
    /// # Errors
    /// Text that is no JSON, or a value of another kind.
    pub fn read(&self) -> Result<serde_json::Value, Malformed> {
        if let Some(text) = &self.string_val {
            return Ok(text.as_str().into());
        }
        let json = self.json_ietf_val.as_ref().or(self.json_val.as_ref());
        let json = json.ok_or_else(|| Malformed("gNMI: a value that is neither JSON nor text".into()))?;
        serde_json::from_slice(json).map_err(|e| Malformed(format!("gNMI: {e}")))
    }
}

/// A message in gRPC's frame.
pub fn pack(message: &impl Message) -> Vec<u8> {
    let body = message.encode_to_vec();
    let mut bytes = vec![0];
    bytes.extend_from_slice(&(body.len() as u32).to_be_bytes());
    bytes.extend(body);
    bytes
}

/// The one message of a body.
///
/// # Errors
/// A body that is compressed, cut short, of more than one message, or of another kind of message.
pub fn unpack<M: Message + Default>(body: &[u8]) -> Result<M, Malformed> {
    let wrong = |what: &str| Malformed(format!("gRPC: {what}"));
    let Some(([compressed, length @ ..], rest)) = body.split_first_chunk::<5>() else {
        return Err(wrong("a message that is cut short"));
    };
    let length = u32::from_be_bytes(*length) as usize;
    if *compressed != 0 {
        return Err(wrong("a compressed message, which was not asked for"));
    }
    if length > MOST_BYTES || rest.len() != length {
        return Err(wrong("a body that is not one message"));
    }
    M::decode(rest).map_err(|e| wrong(&e.to_string()))
}

/// The headers of a call.
pub fn call(method: &str, authority: &str, user: &str, password: &str) -> Vec<Header> {
    let path = format!("/gnmi.gNMI/{method}");
    let mut headers = vec![
        (":method", "POST"),
        (":scheme", "http"),
        (":path", &path),
        (":authority", authority),
        ("te", "trailers"),
        ("content-type", "application/grpc"),
        ("user-agent", concat!("genie/", env!("CARGO_PKG_VERSION"))),
    ];
    if !user.is_empty() {
        headers.extend([("username", user), ("password", password)]);
    }
    let owned = |(name, value): (&str, &str)| (name.to_owned(), value.to_owned());
    headers.into_iter().map(owned).collect()
}

/// The value of a header.
pub fn header<'a>(headers: &'a [Header], name: &str) -> Option<&'a str> {
    let found = headers.iter().find(|(known, _)| known == name);
    found.map(|(_, value)| value.as_str())
}

/// gRPC's status in the headers of an answer, and its words.
///
/// # Errors
/// Headers of no gRPC answer.
pub fn status(headers: &[Header]) -> Result<(u32, String), Malformed> {
    let status = header(headers, "grpc-status").and_then(|status| status.parse().ok());
    let status = status.ok_or_else(|| {
        let http = header(headers, ":status").unwrap_or("none");
        Malformed(format!("not an answer of gRPC (HTTP status {http})"))
    })?;
    let words = header(headers, "grpc-message").unwrap_or_default();
    Ok((status, plain(words)))
}

/// Undoes percent-encoding.
fn plain(text: &str) -> String {
    let (mut bytes, mut rest) = (Vec::new(), text.as_bytes());
    while let Some((&first, after)) = rest.split_first() {
        let hex = after.get(..2).filter(|_| first == b'%');
        let hex = hex.and_then(|two| std::str::from_utf8(two).ok());
        let (byte, left) = match hex.and_then(|hex| u8::from_str_radix(hex, 16).ok()) {
            Some(byte) => (byte, &after[2..]),
            None => (first, after),
        };
        bytes.push(byte);
        rest = left;
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Percent-encodes what may not stand in a header.
pub fn coded(text: &str) -> String {
    let code = |byte: u8| match byte {
        b' '..=b'~' if byte != b'%' => char::from(byte).to_string(),
        _ => format!("%{byte:02X}"),
    };
    text.bytes().map(code).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_read_as_they_are_written() {
        let update = Update {
            path: Some(Path::of(&[
                "CONFIG_DB",
                "localhost",
                "OCS_CROSS_CONNECT",
                "1A-2B",
            ])),
            val: Some(TypedValue::json(&serde_json::json!({"a_side": "1A"}))),
        };
        let request = SetRequest {
            update: vec![update],
            ..SetRequest::default()
        };
        assert_eq!(unpack::<SetRequest>(&pack(&request)).unwrap(), request);
        // By hand: origin is field 2, an element field 3 whose name is field 1.
        let path = Path::of(&["X"]).encode_to_vec();
        assert_eq!(path, b"\x12\x08sonic-db\x1a\x03\x0a\x01X");
    }

    #[test]
    fn frames_that_are_none_are_refused() {
        for body in [
            &[][..],
            &[0, 0, 0, 0],
            &[1, 0, 0, 0, 0],
            &[0, 0, 0, 0, 2, 1],
            &[0, 0, 0, 0, 1, 0xff],
        ] {
            assert!(unpack::<GetRequest>(body).is_err(), "{body:?}");
        }
    }

    #[test]
    fn words_of_a_status_survive() {
        for text in ["no such cross-connect", "100 % ü\n"] {
            assert_eq!(plain(&coded(text)), text);
        }
        assert_eq!(plain("%zz %4"), "%zz %4");
    }
}
