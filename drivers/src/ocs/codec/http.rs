//! HTTP/1.1 messages (RFC 9112), as much as RESTCONF takes: whole bodies by length, by chunks or up to
//! the end of the connection; and Basic authentication (RFC 7617).

use super::{MOST_BYTES, Malformed};

const MOST_HEAD: usize = 64 << 10;
const MOST_HEADERS: usize = 200;

/// A request or an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// `GET /x HTTP/1.1` or `HTTP/1.1 200 OK`, in three parts.
    pub start: [String; 3],
    /// Headers, names in lower case.
    pub headers: Vec<(String, String)>,
    /// Body.
    pub body: Vec<u8>,
}

impl Message {
    /// The value of a header; `name` in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(key, _)| key == name);
        found.map(|(_, value)| value.as_str())
    }

    /// Status code of an answer.
    pub fn status(&self) -> Result<u16, Malformed> {
        let code = self.start[1]
            .parse()
            .ok()
            .filter(|code| (100..600).contains(code));
        code.ok_or_else(|| Malformed(format!("`{}` is not a status of HTTP", self.start[1])))
    }

    /// The message on the wire; its length is added.
    pub fn bytes(&self) -> Vec<u8> {
        let mut text = self.start.join(" ");
        text.push_str("\r\n");
        for (name, value) in &self.headers {
            text.push_str(&format!("{name}: {value}\r\n"));
        }
        text.push_str(&format!("content-length: {}\r\n\r\n", self.body.len()));
        let mut bytes = text.into_bytes();
        bytes.extend_from_slice(&self.body);
        bytes
    }
}

/// The first message and how many bytes it took; `None`: not all of it is there. `ended`: no more bytes
/// will come, which ends a body without a length.
pub fn message(bytes: &[u8], ended: bool) -> Result<Option<(Message, usize)>, Malformed> {
    let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") else {
        return match bytes.len() > MOST_HEAD {
            true => Err(Malformed("headers that do not end".into())),
            false => Ok(None),
        };
    };
    if end > MOST_HEAD {
        return Err(Malformed("headers of more than 64 KiB".into()));
    }
    let mut message = head(&String::from_utf8_lossy(&bytes[..end]))?;
    let rest = &bytes[end + 4..];
    let body = match (
        message.header("transfer-encoding"),
        message.header("content-length"),
    ) {
        (Some(coding), None) if coding.eq_ignore_ascii_case("chunked") => chunked(rest)?,
        (Some(_), _) => return Err(Malformed("a transfer encoding that is not known".into())),
        (None, Some(length)) => counted(rest, length)?,
        (None, None) if without_body(&message) => Some((Vec::new(), 0)),
        (None, None) => ended.then(|| (rest.to_vec(), rest.len())),
    };
    Ok(body.map(|(body, length)| {
        message.body = body;
        (message, end + 4 + length)
    }))
}

/// Requests without a length, and answers that have none by their status.
fn without_body(message: &Message) -> bool {
    !message.start[0].starts_with("HTTP/") || matches!(message.start[1].as_str(), "204" | "304")
}

fn head(text: &str) -> Result<Message, Malformed> {
    let mut lines = text.split("\r\n");
    let first = lines.next().unwrap_or_default();
    let mut parts = first.splitn(3, ' ').map(str::to_owned);
    let (Some(a), Some(b)) = (parts.next(), parts.next()) else {
        return Err(Malformed("not a message of HTTP".into()));
    };
    let start = [a, b, parts.next().unwrap_or_default()];
    if !start[0].starts_with("HTTP/1.") && !start[2].starts_with("HTTP/1.") {
        return Err(Malformed("not a message of HTTP/1".into()));
    }
    let mut headers = Vec::new();
    for line in lines {
        let (name, value) = line
            .split_once(':')
            .ok_or_else(|| Malformed("a header without a colon".into()))?;
        headers.push((name.trim().to_ascii_lowercase(), value.trim().to_owned()));
        if headers.len() > MOST_HEADERS {
            return Err(Malformed("too many headers".into()));
        }
    }
    Ok(Message {
        start,
        headers,
        body: Vec::new(),
    })
}

fn counted(rest: &[u8], length: &str) -> Result<Option<(Vec<u8>, usize)>, Malformed> {
    let digits = !length.is_empty() && length.bytes().all(|byte| byte.is_ascii_digit());
    let length = length
        .parse()
        .ok()
        .filter(|length| digits && *length <= MOST_BYTES);
    let length: usize = length.ok_or_else(|| Malformed("a length that makes no sense".into()))?;
    Ok(rest.get(..length).map(|body| (body.to_vec(), length)))
}

fn chunked(rest: &[u8]) -> Result<Option<(Vec<u8>, usize)>, Malformed> {
    let bad = || Malformed("a chunk that makes no sense".into());
    let (mut body, mut at) = (Vec::new(), 0);
    loop {
        let Some(end) = rest[at..].iter().position(|&byte| byte == b'\n') else {
            return if rest.len() - at > 64 {
                Err(bad())
            } else {
                Ok(None)
            };
        };
        let size = String::from_utf8_lossy(&rest[at..at + end]);
        let size = size.split(';').next().unwrap_or_default().trim().to_owned();
        let size = usize::from_str_radix(&size, 16).map_err(|_| bad())?;
        if size > MOST_BYTES || body.len() + size > MOST_BYTES {
            return Err(bad());
        }
        at += end + 1;
        let Some(chunk) = rest.get(at..at + size + 2) else {
            return Ok(None);
        };
        if &chunk[size..] != b"\r\n" {
            return Err(bad());
        }
        body.extend_from_slice(&chunk[..size]);
        at += size + 2;
        if size == 0 {
            return Ok(Some((body, at)));
        }
    }
}

/// The value of `Authorization` for a user and a password.
pub fn basic(user: &str, password: &str) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let plain = format!("{user}:{password}").into_bytes();
    let mut text = String::from("Basic ");
    for three in plain.chunks(3) {
        let bits =
            three.iter().fold(0u32, |bits, byte| bits << 8 | u32::from(*byte)) << (8 * (3 - three.len()));
        for letter in 0..4 {
            let index = (bits >> (18 - 6 * letter)) as usize & 63;
            let padding = letter > three.len();
            text.push(if padding { '=' } else { LETTERS[index] as char });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bodies_by_length_by_chunks_and_by_the_end() {
        let whole = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nabcdNEXT";
        let (found, length) = message(whole, false).unwrap().unwrap();
        assert_eq!(
            (found.body.as_slice(), &whole[length..]),
            (&b"abcd"[..], &b"NEXT"[..])
        );
        assert_eq!(message(&whole[..40], false).unwrap(), None);
        let chunks = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n";
        assert_eq!(message(chunks, false).unwrap().unwrap().0.body, b"abc");
        let open = b"HTTP/1.1 200 OK\r\n\r\nab";
        assert_eq!(message(open, false).unwrap(), None);
        assert_eq!(message(open, true).unwrap().unwrap().0.body, b"ab");
        assert_eq!(
            message(b"HTTP/1.1 204 No\r\n\r\n", false)
                .unwrap()
                .unwrap()
                .0
                .status()
                .unwrap(),
            204
        );
    }

    #[test]
    fn nonsense_is_refused() {
        for text in [
            "x\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabcde",
            "HTTP/1.1 200 OK\r\nno colon\r\n\r\n",
        ] {
            assert!(message(text.as_bytes(), false).is_err(), "{text}");
        }
        assert!(message(&vec![b'x'; MOST_HEAD + 1], false).is_err());
    }

    #[test]
    fn credentials_as_rfc_7617_has_them() {
        assert_eq!(
            basic("Aladdin", "open sesame"),
            "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="
        );
        assert_eq!(basic("a", "b"), "Basic YTpi");
    }
}
